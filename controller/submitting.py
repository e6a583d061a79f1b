"""A spec that a person submits: taken in as the daemon takes in a file, but nobody changes another's batch.

Called by the command line and the API. A dry run goes through the very code of the real one.
"""

from __future__ import annotations

from controller import intake
from controller.core.model import Batch
from controller.core.spec import BatchSpec
from controller.intake import Taken
from controller.people import Caller, NotAllowed
from controller.ports import Store
from controller.pretending import pretend


async def submit_spec(
    store: Store, caller: Caller, spec: BatchSpec, source: str, *, dry_run: bool = False
) -> Taken:
    """Make the batch, or bring the one of its name up to the spec. Raises ``NotAllowed`` (E9).

    Whoever may not see others' batches is told that the name is taken, and not by whom.
    """

    def must_be_theirs(batch: Batch) -> None:
        if caller.may(batch.user):
            return
        if caller.blind:
            raise NotAllowed(f"the name {batch.name} is taken: choose another")
        raise NotAllowed(
            f"batch {batch.name} belongs to {batch.user}, and you are {caller.user}: choose another name, or "
            "ask its owner, or an admin with --as-admin"
        )

    # Asked of the very batch that would be changed: one looked for here could come a moment later.
    kept = pretend(store) if dry_run else store
    return await intake.accept(kept, spec, source=source, may_change=must_be_theirs)
