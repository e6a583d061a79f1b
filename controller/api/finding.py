"""What a path or a filter names, as far as it may be shown to whoever asks.

What belongs to others is answered like what is not there: nobody learns of it by asking.
"""

from __future__ import annotations

from controller.api.context import Asker, World
from controller.api.problems import Problem
from controller.core.model import Batch
from controller.ports import BatchQuery


def hidden(what: str, name: str) -> Problem:
    """There is no such thing, or it is not theirs to see."""
    return Problem(
        404, "not-found", f"there is no {what} {name}, or it is not yours to see: list what there is"
    )


async def batch_named(world: World, who: Asker, text: str) -> Batch:
    """A batch by its id, or by its name where one only has it. Raises ``Problem``: 404, 409."""
    batch = await world.store.batch(text)
    if batch is not None and who.sees(batch.user):
        return batch
    query = BatchQuery(name=text, user="" if who.sees_all else who.user)
    found = await world.desk.batch_page(query, None, 50)
    shown = [one for one in found.batches if who.sees(one.user)]
    if not shown:
        raise hidden("batch", text)
    if len(shown) > 1:
        listed = " or ".join(f"{one.id} ({one.namespace})" for one in shown[:5])
        raise Problem(
            409, "ambiguous", f"{text} is the name of several batches: give the id of one, {listed}"
        )
    return shown[0]
