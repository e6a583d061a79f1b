"""Gates (R1, R2): a claim is one guarded update, and nothing gets past it."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from controller.core.model import Foreign, ForeignKind, Gate, Hold, Holder, TerminatedCode
from tests.contract.store_world import StoreWorld

EPOCH = 7


def foreign(uid: str, cause: ForeignKind = ForeignKind.FOREIGN) -> Foreign:
    """An object of somebody else's."""
    return Foreign(uid, f"gwas-{uid}", "Job", cause)


class GateSuite:
    """Claims, places, foreign objects and what people set."""

    async def test_a_claim_takes_places(self, world: StoreWorld) -> None:
        """A claim adds its job ids with their slots and leaves its epoch on the gate."""
        await world.add_batch(max_active=3)
        one, two, three = (world.store.new_id() for _ in range(3))
        assert await world.store.claim(world.batch_id, [(one, 0), (two, 1)], EPOCH)
        assert await world.store.claim(world.batch_id, [(three, 2)], EPOCH)
        gate = await world.gate()
        assert gate.holders == (Holder(one, 0), Holder(two, 1), Holder(three, 2))
        assert gate.epoch == EPOCH

    @pytest.mark.parametrize(
        "fields",
        [
            {"paused": True},
            {"hold": f"{Hold.SYSTEMIC_FAILURE}: 9 of 10 first attempts failed"},
            {"cancel": "stop"},
            {"max": 1},
            {"max": 0},
        ],
        ids=["paused", "held", "cancelled", "max lowered", "max nought"],
    )
    async def test_what_closes_the_gate(self, world: StoreWorld, fields: dict[str, Any]) -> None:
        """Pause, hold, cancel and a lowered max each refuse a claim, and lifting them lets it through."""
        await world.add_batch(max_active=2)
        first, second = world.store.new_id(), world.store.new_id()
        assert await world.store.claim(world.batch_id, [(first, 0)], EPOCH)
        if "cancel" in fields:
            fields = {"cancel": world.stop(TerminatedCode.BATCH_ABORT, "enough")}
        assert await world.store.set_gate(world.batch_id, fields)
        before = await world.gate()
        assert not await world.store.claim(world.batch_id, [(second, 1)], EPOCH)
        assert await world.gate() == before
        usual = {"paused": False, "hold": None, "cancel": None, "max": 2}
        assert await world.store.set_gate(world.batch_id, {name: usual[name] for name in fields})
        assert await world.store.claim(world.batch_id, [(second, 1)], EPOCH)

    async def test_no_place_left(self, world: StoreWorld) -> None:
        """A claim takes all its places or none."""
        await world.add_batch(max_active=2)
        ids = [world.store.new_id() for _ in range(3)]
        assert not await world.store.claim(world.batch_id, [(job, n) for n, job in enumerate(ids)], EPOCH)
        assert (await world.gate()).holders == ()
        assert await world.store.claim(world.batch_id, [(job, n) for n, job in enumerate(ids[:2])], EPOCH)

    async def test_nobody_twice(self, world: StoreWorld) -> None:
        """Neither a job nor a slot that is in the gate may enter it again."""
        await world.add_batch(max_active=5)
        one, two, three = (world.store.new_id() for _ in range(3))
        assert await world.store.claim(world.batch_id, [(one, 0)], EPOCH)
        assert not await world.store.claim(world.batch_id, [(one, 1)], EPOCH)
        assert not await world.store.claim(world.batch_id, [(two, 0)], EPOCH)
        assert not await world.store.claim(world.batch_id, [(two, 1), (three, 0)], EPOCH)
        assert (await world.gate()).holders == (Holder(one, 0),)
        for places in ([], [(one, 1), (one, 2)], [(two, 1), (three, 1)]):
            with pytest.raises(ValueError, match="claim"):
                await world.store.claim(world.batch_id, places, EPOCH)

    async def test_a_stale_leader_claims_nothing(self, world: StoreWorld) -> None:
        """An older epoch than the gate's is refused; a newer one is taken over by the gate."""
        await world.add_batch()
        one, two = world.store.new_id(), world.store.new_id()
        assert await world.store.claim(world.batch_id, [(one, 0)], EPOCH)
        assert not await world.store.claim(world.batch_id, [(two, 1)], EPOCH - 1)
        assert await world.store.claim(world.batch_id, [(two, 1)], EPOCH + 1)
        assert (await world.gate()).epoch == EPOCH + 1

    async def test_foreign_objects_take_places(self, world: StoreWorld) -> None:
        """Foreign objects count by uid, once, even above max; then nothing of ours starts (R2)."""
        await world.add_batch(max_active=2)
        one, two = world.store.new_id(), world.store.new_id()
        assert await world.store.claim(world.batch_id, [(one, 0)], EPOCH)
        await world.store.enter_foreign(world.batch_id, [foreign("$a"), foreign("b"), foreign("b")])
        ghost = foreign("b", ForeignKind.GHOST)
        await world.store.enter_foreign(world.batch_id, [ghost, foreign("c", ForeignKind.ORPHAN)])
        gate = await world.gate()
        assert gate.foreign == (foreign("$a"), foreign("b"), foreign("c", ForeignKind.ORPHAN))
        assert gate.free == -2
        for uid in ("$a", "b", "unheard-of"):
            assert not await world.store.claim(world.batch_id, [(two, 1)], EPOCH)
            await world.store.drop_foreign(world.batch_id, uid)
        assert (await world.gate()).foreign == (foreign("c", ForeignKind.ORPHAN),)
        await world.store.drop_foreign(world.batch_id, "c")
        assert await world.store.claim(world.batch_id, [(two, 1)], EPOCH)

    async def test_places_are_taken_over(self, world: StoreWorld) -> None:
        """Even above max, while that hold is on; what they are for is counted once (R2, S11)."""
        await world.add_batch(max_active=1)
        one, two, three = (world.store.new_id() for _ in range(3))
        await world.store.set_gate(world.batch_id, {"hold": "adopting: all"})
        await world.store.enter_foreign(world.batch_id, [foreign("a"), foreign("b")])
        taken = [Holder(one, 0, "a", "Job"), Holder(two, 1)]
        for places, hold, epoch in ((taken, "looking", EPOCH), ([Holder(three, 0)], "adopting: all", EPOCH)):
            assert await world.store.take_over(world.batch_id, places, hold, epoch) is (hold != "looking")
        assert not await world.store.take_over(world.batch_id, taken, "adopting: all", EPOCH), (
            "a slot is taken"
        )
        await world.store.leave(world.batch_id, [three])
        assert not await world.store.take_over(world.batch_id, taken, "adopting: all", EPOCH - 1)
        assert await world.store.take_over(world.batch_id, taken, "adopting: all", EPOCH)
        gate = await world.gate()
        assert set(gate.holders) == set(taken)
        assert gate.foreign == (foreign("b"),)

    async def test_in_a_cancelled_batch_only_places_that_are_missing_are_given(
        self, world: StoreWorld
    ) -> None:
        """Nothing is taken over any more; but the cancel is to reach who is active without a place."""
        await world.add_batch()
        missing = [Holder(world.store.new_id(), 0)]
        cancel = world.stop(TerminatedCode.BATCH_ABORT, "enough")
        await world.store.set_gate(world.batch_id, {"hold": "looking: first", "cancel": cancel})
        assert not await world.store.take_over(world.batch_id, missing, "looking: first", EPOCH)
        assert (await world.gate()).holders == ()
        assert await world.store.take_over(world.batch_id, missing, "looking: first", EPOCH, cancelled=True)
        assert list((await world.gate()).holders) == missing

    async def test_leaving(self, world: StoreWorld) -> None:
        """A place that was left is free again; leaving twice, or without a place, does nothing."""
        await world.add_batch(max_active=2)
        one, two, three = (world.store.new_id() for _ in range(3))
        assert await world.store.claim(world.batch_id, [(one, 0), (two, 1)], EPOCH)
        await world.store.leave(world.batch_id, [one, three])
        await world.store.leave(world.batch_id, [one])
        assert (await world.gate()).holders == (Holder(two, 1),)
        assert await world.store.claim(world.batch_id, [(three, 0)], EPOCH)

    async def test_places_change_hands(self, world: StoreWorld) -> None:
        """In a full gate one update takes the ended out and the next in, into the slot that gets free."""
        await world.add_batch(max_active=2)
        one, two, three, four = (world.store.new_id() for _ in range(4))
        assert await world.store.claim(world.batch_id, [(one, 0), (two, 1)], EPOCH)
        after = await world.store.claim(world.batch_id, [(three, 0)], EPOCH, [one, four])
        assert after is not None
        assert after == await world.gate()
        assert set(after.holders) == {Holder(two, 1), Holder(three, 0)}
        assert await world.store.leave(world.batch_id, [two]) == await world.gate()

    async def test_what_is_refused_lets_nobody_out(self, world: StoreWorld) -> None:
        """Too many for what gets free, a slot that stays taken, one that is in already, a closed gate: all
        of the claim is refused, and with it the leaving."""
        await world.add_batch(max_active=2)
        one, two, three, four = (world.store.new_id() for _ in range(4))
        assert await world.store.claim(world.batch_id, [(one, 0), (two, 1)], EPOCH)
        before = await world.gate()
        for places in ([(three, 0), (four, 2)], [(three, 1)], [(two, 0)]):
            assert await world.store.claim(world.batch_id, places, EPOCH, [one]) is None
        assert await world.store.claim(world.batch_id, [(three, 0)], EPOCH - 1, [one]) is None
        await world.store.enter_foreign(world.batch_id, [foreign("theirs")])
        assert await world.store.claim(world.batch_id, [(three, 0)], EPOCH, [one]) is None
        await world.store.drop_foreign(world.batch_id, "theirs")
        assert await world.store.set_gate(world.batch_id, {"paused": True})
        assert await world.store.claim(world.batch_id, [(three, 0)], EPOCH, [one]) is None
        assert (await world.gate()).holders == before.holders

    async def test_only_what_people_may_set(self, world: StoreWorld) -> None:
        """Places and epochs can't be set, max and pause can't be unset, and a missing gate says so."""
        await world.add_batch()
        for fields in ({"holders": ()}, {"epoch": 9}, {"max": None}, {"paused": None}):
            with pytest.raises(ValueError, match=r"gate|set"):
                await world.store.set_gate(world.batch_id, fields)
        assert not await world.store.set_gate(world.store.new_id(), {"max": 3})
        assert await world.gate() == Gate(world.batch_id, 5)

    async def test_a_cancel_is_lifted_by_its_own_order(self, world: StoreWorld) -> None:
        """Whoever lifts a cancel names it: a later one, and another person's, stays; nothing else changes."""
        await world.add_batch()
        first = world.stop(TerminatedCode.BATCH_ABORT, "enough")
        later = dataclasses.replace(first, at=first.at + timedelta(seconds=1))
        other = dataclasses.replace(first, by="$eve")
        assert not await world.store.lift_cancel(world.batch_id, first)
        for order in (later, other):
            assert await world.store.set_gate(world.batch_id, {"cancel": order, "paused": True})
            assert not await world.store.lift_cancel(world.batch_id, first)
            gate = await world.gate()
            assert gate.cancel == order
            assert await world.store.lift_cancel(world.batch_id, gate.cancel)
            assert await world.gate() == Gate(world.batch_id, 5, paused=True)
        assert not await world.store.lift_cancel(world.store.new_id(), first)

    async def test_no_gate_no_claim(self, world: StoreWorld) -> None:
        """Without a gate nothing is claimed and nothing is invented."""
        nowhere = world.store.new_id()
        assert not await world.store.claim(nowhere, [(world.store.new_id(), 0)], EPOCH)
        await world.store.enter_foreign(nowhere, [foreign("a")])
        await world.store.leave(nowhere, [world.store.new_id()])
        assert await world.store.gates([nowhere]) == {}

    async def test_a_gate_is_made_once(self, world: StoreWorld) -> None:
        """``ensure_gate`` makes a missing gate and never overwrites one."""
        batch = await world.add_batch(max_active=5)
        await world.store.ensure_gate(Gate(batch.id, 99))
        assert (await world.gate()).max == 5
        missing = Gate(world.store.new_id(), 3, cancel=world.stop(TerminatedCode.USER, "enough"))
        await world.store.ensure_gate(missing)
        await world.store.ensure_gate(dataclasses.replace(missing, max=9))
        assert await world.store.gates([missing.batch_id]) == {missing.batch_id: missing}

    async def test_fifty_claims_at_once(self, world: StoreWorld) -> None:
        """However many claim at the same time, max is never exceeded and no slot is given twice."""
        await world.add_batch(max_active=8)

        async def claim(n: int) -> bool:
            places = [(world.store.new_id(), n % 12)]
            return await world.store.claim(world.batch_id, places, EPOCH) is not None

        won = await asyncio.gather(*(claim(n) for n in range(50)))
        holders = (await world.gate()).holders
        assert sum(won) == len(holders) == 8
        assert len({holder.slot for holder in holders}) == 8
