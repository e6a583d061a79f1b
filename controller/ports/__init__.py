"""The ports: what the engine needs from the world, and the errors that the world may raise.

The engine imports this package and never an adapter. Each port has one contract suite under
``tests/contract`` that the in-memory adapter and every real one must pass.

Three outcomes of a write: it returns (applied), raises ``Rejected`` (it was refused, for good), or
raises ``Unavailable`` (unknown: it may or may not have been applied). Reads are complete or raise
``Unavailable``: "I could not see" is never "there is nothing".
"""

from controller.ports.clock import Clock
from controller.ports.cluster import Cluster, Created, CreateResult, NewJob
from controller.ports.desk import (
    BatchPage,
    BatchQuery,
    Changed,
    Desk,
    JobPage,
    JobQuery,
    JobSort,
    Kept,
    Place,
)
from controller.ports.elector import Elector
from controller.ports.errors import BatchkeeperError, Conflict, Rejected, StaleEpoch, Unavailable
from controller.ports.event_writer import ClusterEvent, EventWriter, Subject
from controller.ports.journal import Invariant, Journal
from controller.ports.notifier import Notifier, Throttled
from controller.ports.source import NamedFile, SpecFile, SpecSource
from controller.ports.store import JobFilter, Standing, Store, Untold
from controller.ports.tokens import KeySource, Reviewed, TokenReviewer

__all__ = [
    "BatchPage",
    "BatchQuery",
    "BatchkeeperError",
    "Changed",
    "Clock",
    "Cluster",
    "ClusterEvent",
    "Conflict",
    "CreateResult",
    "Created",
    "Desk",
    "Elector",
    "EventWriter",
    "Invariant",
    "JobFilter",
    "JobPage",
    "JobQuery",
    "JobSort",
    "Journal",
    "Kept",
    "KeySource",
    "NamedFile",
    "NewJob",
    "Notifier",
    "Place",
    "Rejected",
    "Reviewed",
    "SpecFile",
    "SpecSource",
    "StaleEpoch",
    "Standing",
    "Store",
    "Subject",
    "Throttled",
    "TokenReviewer",
    "Unavailable",
    "Untold",
]
