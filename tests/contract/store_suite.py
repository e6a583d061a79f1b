"""The Store's contract: one suite, which ``test_store_memory`` and ``test_store_mongo`` both run."""

from __future__ import annotations

from tests.contract.store_batch_suite import BatchSuite
from tests.contract.store_gate_suite import GateSuite
from tests.contract.store_lineage_suite import LineageSuite, MetaSuite
from tests.contract.store_machine_suite import ClockSuite, MachineSuite
from tests.contract.store_notice_suite import NoticeSuite
from tests.contract.store_record_suite import LineSuite, ListingSuite, RecordSuite
from tests.contract.store_together_suite import TogetherSuite


class StoreSuite(
    MachineSuite,
    TogetherSuite,
    ClockSuite,
    GateSuite,
    BatchSuite,
    RecordSuite,
    LineSuite,
    ListingSuite,
    LineageSuite,
    MetaSuite,
    NoticeSuite,
):
    """A subclass gives the fixture ``world``: a ``StoreWorld`` with an empty store."""
