"""What every cluster must do, whatever runs its jobs. A subclass brings the fixture ``world``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from datetime import timedelta

import pytest

from controller.core.sight import Hint
from controller.ports import CreateResult, Rejected
from tests.contract.cluster_world import LONG, Does, World


class ClusterSuite:
    """The contract. Subclasses override the fixture."""

    @pytest.fixture
    def world(self) -> World:
        """The cluster under test."""
        raise NotImplementedError

    # -- create, and how jobs end

    async def test_a_job_runs_to_its_end(self, world: World) -> None:
        """A created job is found under its name and id, starts, succeeds, and says when and where."""
        job = world.job("sweep-1", Does.SUCCEED)
        created = await world.cluster.create(job)
        assert created.result is CreateResult.CREATED
        shown = await world.finished(job)
        assert (shown.uid, shown.name, shown.namespace) == (created.uid, job.name, world.namespace)
        assert (shown.job_id, shown.batch_id, shown.task_id) == (job.job_id, job.batch_id, job.task_id)
        assert (shown.succeeded, shown.exit_code, shown.pod_unfinished) == (True, 0, False)
        assert shown.node
        assert shown.created_at
        assert shown.started_at
        assert shown.finished_at
        assert shown.created_at <= shown.started_at <= shown.finished_at
        assert world.kinds(job) == ["create", "start", "end"]

    async def test_an_exit_code_is_kept(self, world: World) -> None:
        """A job that exits with 3 has failed with 3."""
        job = world.job("sweep-1", Does.FAIL)
        await world.cluster.create(job)
        shown = await world.finished(job)
        assert (shown.succeeded, shown.exit_code) == (False, 3)

    async def test_a_running_job_is_active(self, world: World) -> None:
        """Between start and end an object is not finished and has one unfinished pod."""
        job = world.job("sweep-1", Does.STAY)
        await world.cluster.create(job)
        shown = await world.started(job)
        assert shown.active
        assert not shown.finished
        assert shown.succeeded is None
        assert (await world.cluster.get(world.namespace, job.name, job.job_id)).pods == 1

    async def test_a_name_is_taken_once(self, world: World) -> None:
        """Of many creates of one job at once one is answered created, and it runs once."""
        job = world.job("sweep-1", Does.SUCCEED)
        answers = await asyncio.gather(*(world.cluster.create(job) for _ in range(5)))
        assert sorted(answer.result for answer in answers) == ["created", *["exists-ours"] * 4]
        assert len({answer.uid for answer in answers}) == 1
        await world.finished(job)
        assert world.kinds(job) == ["create", "start", "end"]

    async def test_a_finished_object_keeps_its_name(self, world: World) -> None:
        """A create after the end says that ours is there, and runs nothing again."""
        job = world.job("sweep-1", Does.SUCCEED)
        created = await world.cluster.create(job)
        await world.finished(job)
        again = await world.cluster.create(job)
        assert (again.result, again.uid) == (CreateResult.EXISTS_OURS, created.uid)
        assert world.kinds(job) == ["create", "start", "end"]

    async def test_another_jobs_name_is_foreign(self, world: World) -> None:
        """An object of ours with another job id holds the name against this job."""
        first = world.job("sweep-1", Does.STAY, "a" * 24)
        second = world.job("sweep-1", Does.STAY, "b" * 24)
        created = await world.cluster.create(first)
        answer = await world.cluster.create(second)
        assert (answer.result, answer.uid) == (CreateResult.EXISTS_FOREIGN, created.uid)
        live = await world.cluster.get(world.namespace, second.name, second.job_id)
        assert (live.job, live.foreign_uid, live.pods) == (None, created.uid, 0)

    async def test_a_foreign_name_is_left_alone(self, world: World) -> None:
        """A name that somebody else holds answers foreign, for a create and for a burial."""
        uid = world.add_foreign("sweep-1")
        job = world.job("sweep-1", Does.SUCCEED)
        assert (await world.cluster.create(job)).result is CreateResult.EXISTS_FOREIGN
        answer = await world.cluster.bury(job, LONG)
        assert (answer.result, answer.uid) == (CreateResult.EXISTS_FOREIGN, uid)
        assert (await world.cluster.get(world.namespace, job.name, job.job_id)).foreign_uid == uid

    # -- burial

    async def test_a_tombstone_holds_the_name(self, world: World) -> None:
        """A buried name is held by an object that runs nothing, and every create meets it."""
        job = world.job("sweep-1", Does.SUCCEED)
        buried = await world.cluster.bury(job, LONG)
        assert buried.result is CreateResult.CREATED
        for call in (world.cluster.bury(job, LONG), world.cluster.create(job)):
            answer = await call
            assert (answer.result, answer.uid) == (CreateResult.EXISTS_TOMBSTONE, buried.uid)
        shown = await world.shown(job)
        assert shown is not None
        assert shown.tombstone
        assert not shown.active
        assert (await world.cluster.get(world.namespace, job.name, job.job_id)).pods == 0
        assert world.kinds(job) == ["tombstone"]

    async def test_a_tombstone_is_never_observed(self, world: World) -> None:
        """A list has neither a job nor a foreign object for a tombstone."""
        await world.cluster.bury(world.job("sweep-1", Does.SUCCEED), LONG)
        seen = await world.cluster.observe([world.namespace])
        assert seen.jobs == {}
        assert seen.foreign == ()

    async def test_a_late_create_wins_over_a_burial(self, world: World) -> None:
        """A burial that meets the live job says so and leaves it; deleted, the name can be buried."""
        job = world.job("sweep-1", Does.STAY)
        created = await world.cluster.create(job)
        answer = await world.cluster.bury(job, LONG)
        assert (answer.result, answer.uid) == (CreateResult.EXISTS_OURS, created.uid)
        await world.started(job)
        await world.cluster.delete(world.namespace, job.name, created.uid)
        await world.gone(job)
        assert (await world.cluster.bury(job, LONG)).result is CreateResult.CREATED

    async def test_a_tombstone_expires(self, world: World) -> None:
        """After its time to live a tombstone is gone and the name is free."""
        job = world.job("sweep-1", Does.SUCCEED)
        await world.cluster.bury(job, timedelta(seconds=0.3))
        await world.gone(job)
        assert (await world.cluster.create(job)).result is CreateResult.CREATED

    # -- delete

    async def test_a_deleted_job_is_gone_with_its_processes(self, world: World) -> None:
        """A running job ends first, then its object goes, and the name is free for another uid."""
        job = world.job("sweep-1", Does.STAY)
        created = await world.cluster.create(job)
        await world.started(job)
        await world.cluster.delete(world.namespace, job.name, created.uid)
        await world.gone(job)
        assert (await world.cluster.get(world.namespace, job.name, job.job_id)).pods == 0
        assert world.kinds(job) == ["create", "start", "end", "delete"]
        again = await world.cluster.create(job)
        assert again.result is CreateResult.CREATED
        assert again.uid != created.uid

    async def test_an_object_stays_until_its_pod_is_gone(self, world: World) -> None:
        """Deletion is in the foreground: while the job resists, object, name and place stay taken."""
        job = world.job("sweep-1", Does.IGNORE)
        created = await world.cluster.create(job)
        await world.started(job)
        await world.cluster.delete(world.namespace, job.name, created.uid)
        live = await world.cluster.get(world.namespace, job.name, job.job_id)
        assert live.job is not None
        assert live.job.deleting
        assert live.job.active
        assert live.pods == 1
        assert (await world.cluster.create(job)).result is CreateResult.EXISTS_OURS
        await world.gone(job)

    async def test_a_finished_job_is_deleted(self, world: World) -> None:
        """A finished object goes when it is deleted; nothing starts or ends again."""
        job = world.job("sweep-1", Does.FAIL)
        created = await world.cluster.create(job)
        await world.finished(job)
        await world.cluster.delete(world.namespace, job.name, created.uid)
        await world.gone(job)
        assert world.kinds(job) == ["create", "start", "end", "delete"]

    async def test_a_delete_spares_another_uid(self, world: World) -> None:
        """A delete with a uid that the object does not have does nothing, and neither does one of nothing."""
        job = world.job("sweep-1", Does.STAY)
        await world.cluster.create(job)
        await world.started(job)
        await world.cluster.delete(world.namespace, job.name, "another")
        await world.cluster.expire(world.namespace, job.name, "another", timedelta(0))
        await world.cluster.delete(world.namespace, "sweep-2", "another")
        await world.cluster.expire(world.namespace, "sweep-2", "another", timedelta(0))
        await world.pass_time()
        shown = await world.shown(job)
        assert shown is not None
        assert not shown.deleting
        assert not shown.expiring

    async def test_what_is_foreign_is_never_deleted(self, world: World) -> None:
        """Even with the right uid, somebody else's object is neither deleted nor expired."""
        uid = world.add_foreign("sweep-1")
        with pytest.raises(Rejected):
            await world.cluster.delete(world.namespace, "sweep-1", uid)
        with pytest.raises(Rejected):
            await world.cluster.expire(world.namespace, "sweep-1", uid, timedelta(0))
        assert await world.cluster.get_uid(world.namespace, "sweep-1", world.foreign_kind, uid)

    # -- reads

    async def test_nothing_is_nothing(self, world: World) -> None:
        """A free name shows no object, no foreign one, no pod; an empty namespace lists completely."""
        live = await world.cluster.get(world.namespace, "sweep-1", "a" * 24)
        assert (live.job, live.foreign_uid, live.pods) == (None, "", 0)
        seen = await world.cluster.observe([world.namespace])
        assert (seen.namespaces, dict(seen.blind), dict(seen.jobs)) == (frozenset({world.namespace}), {}, {})

    async def test_a_list_shows_ours_by_id_and_others_as_foreign(self, world: World) -> None:
        """Our objects stand under their job ids, other people's in ``foreign``, each in one of them only."""
        uid = world.add_foreign("sweep-9")
        job = world.job("sweep-1", Does.SUCCEED)
        created = await world.cluster.create(job)
        await world.finished(job)
        seen = await world.cluster.observe([world.namespace])
        assert {job_id: found.uid for job_id, found in seen.jobs.items()} == {job.job_id: created.uid}
        assert [(one.name, one.uid, one.active) for one in seen.foreign] == [("sweep-9", uid, True)]
        assert (await world.cluster.observe(["elsewhere"])).jobs == {}
        world.remove_foreign("sweep-9")
        assert (await world.cluster.observe([world.namespace])).foreign == ()

    async def test_a_look_under_a_prefix_finds_ours_and_others(self, world: World) -> None:
        """Ours come with their labels, other people's without; a tombstone of ours is not found."""
        uid = world.add_foreign("sweep-9")
        world.add_foreign("other-9")
        job, buried = world.job("sweep-1", Does.FAIL), world.job("sweep-2", Does.STAY)
        created = await world.cluster.create(job)
        await world.cluster.bury(buried, LONG)
        await world.finished(job)
        found = {one.job.name: one.job for one in await world.cluster.find(world.namespace, "sweep-")}
        assert {name: (one.uid, one.job_id, one.batch_id) for name, one in found.items()} == {
            "sweep-1": (created.uid, job.job_id, job.batch_id),
            "sweep-9": (uid, "", ""),
        }
        assert (found["sweep-1"].finished, found["sweep-1"].exit_code) == (True, 3)
        assert found["sweep-9"].active

    async def test_looks_are_stamped_in_order(self, world: World) -> None:
        """A look that was asked for later has no earlier stamp."""
        first = (await world.cluster.observe([world.namespace])).asked
        await world.pass_time()
        second = (await world.cluster.get(world.namespace, "sweep-1", "a" * 24)).asked
        await world.pass_time()
        assert first < second < (await world.cluster.observe([world.namespace])).asked

    async def test_a_uid_is_asked_for_live(self, world: World) -> None:
        """An object is active by uid until it has finished or vanished, whoever made it."""
        uid = world.add_foreign("sweep-9")
        assert await world.cluster.get_uid(world.namespace, "sweep-9", world.foreign_kind, uid)
        assert not await world.cluster.get_uid(world.namespace, "sweep-9", world.foreign_kind, "another")
        world.remove_foreign("sweep-9")
        assert not await world.cluster.get_uid(world.namespace, "sweep-9", world.foreign_kind, uid)
        job = world.job("sweep-1", Does.FAIL)
        created = await world.cluster.create(job)
        await world.finished(job)
        assert not await world.cluster.get_uid(world.namespace, job.name, "Job", created.uid)

    async def test_a_log_is_read_from_its_end(self, world: World) -> None:
        """The log tail has as many bytes as were asked for, the last ones."""
        job = world.job("sweep-1", Does.SUCCEED)
        await world.cluster.create(job)
        shown = await world.finished(job)
        assert await world.cluster.log_tail(shown, 1000) == "first\nlast\n"
        assert await world.cluster.log_tail(shown, 5) == "last\n"
        assert await world.cluster.log_tail(shown, 0) == ""

    # -- expiry

    async def test_a_finished_object_expires(self, world: World) -> None:
        """A time to live lets a finished object be collected, and the name is free."""
        job = world.job("sweep-1", Does.SUCCEED)
        created = await world.cluster.create(job)
        await world.finished(job)
        await world.cluster.expire(world.namespace, job.name, created.uid, LONG)
        shown = await world.shown(job)
        assert shown is not None
        assert shown.expiring
        await world.cluster.expire(world.namespace, job.name, created.uid, timedelta(0))
        await world.gone(job)
        assert world.kinds(job) == ["create", "start", "end", "delete"]

    async def test_a_running_object_does_not_expire(self, world: World) -> None:
        """A time to live counts from the end: it ends nothing."""
        job = world.job("sweep-1", Does.STAY)
        created = await world.cluster.create(job)
        await world.started(job)
        await world.cluster.expire(world.namespace, job.name, created.uid, timedelta(0))
        await world.pass_time()
        shown = await world.shown(job)
        assert shown is not None
        assert not shown.finished

    async def test_a_list_tells_how_a_job_ended(self, world: World) -> None:
        """An end that nobody has recorded yet is in the list, with what is known of it."""
        job = world.job("sweep-1", Does.FAIL)
        await world.cluster.create(job)
        ended = await world.finished(job)
        jobs = (await world.cluster.observe([world.namespace])).jobs
        assert job.job_id in jobs
        listed = jobs[job.job_id]
        assert listed.finished
        assert listed.exit_code == ended.exit_code != 0
        assert listed.succeeded is False

    async def test_a_list_leaves_out_only_what_expires_and_has_ended(self, world: World) -> None:
        """Its end is recorded, and it is there for people; what runs is listed, whatever was asked of it."""
        over, runs = world.job("sweep-1", Does.SUCCEED), world.job("sweep-2", Does.STAY)
        made = {job.job_id: await world.cluster.create(job) for job in (over, runs)}
        await world.finished(over)
        await world.started(runs)
        for job in (over, runs):
            await world.cluster.expire(world.namespace, job.name, made[job.job_id].uid, LONG)
        seen = (await world.cluster.observe([world.namespace])).jobs
        assert runs.job_id in seen
        assert seen[runs.job_id].active
        assert over.job_id not in seen or seen[over.job_id].expiring
        there = await world.shown(over)
        assert there is not None
        assert there.expiring

    # -- hints, history

    async def test_changes_are_hinted(self, world: World) -> None:
        """A listener is first told to look, then of a job's end with the object, then of its going."""
        job = world.job("sweep-1", Does.FAIL)
        async with aclosing(world.cluster.changes()) as hints:  # type: ignore[type-var]
            assert await anext(hints) == Hint()
            created = await world.cluster.create(job)
            told = await self._next(world, anext(hints))
            while told.job is None or not told.job.finished:
                told = await self._next(world, anext(hints))
            assert (told.job_id, told.batch_id, told.job.exit_code) == (job.job_id, job.batch_id, 3)
            await world.cluster.delete(world.namespace, job.name, created.uid)
            while told.job is not None or not told.job_id:  # it may say in between to look at everything
                told = await self._next(world, anext(hints))
            assert told.job_id == job.job_id

    @staticmethod
    async def _next(world: World, hint: Awaitable[Hint]) -> Hint:
        future = asyncio.ensure_future(hint)

        async def told() -> bool:
            return future.done()

        await world.until(told)
        return await future

    async def test_history_is_complete_and_in_order(self, world: World) -> None:
        """Revisions count up by one; each object is created, starts, ends and goes in this order, once."""
        jobs = [world.job(f"sweep-{n}", does) for n, does in enumerate((Does.SUCCEED, Does.FAIL, Does.STAY))]
        for job in jobs:
            await world.cluster.create(job)
        for job in jobs:
            shown = await world.started(job)
            await world.cluster.delete(world.namespace, job.name, shown.uid)
        for job in jobs:
            await world.gone(job)
            assert world.kinds(job) == ["create", "start", "end", "delete"]
        revisions = [entry.revision for entry in world.history()]
        assert revisions == list(range(1, len(revisions) + 1))

    async def test_a_closed_cluster_lets_jobs_go_on(self, world: World) -> None:
        """Closing ends the listeners and no job."""
        job = world.job("sweep-1", Does.STAY)
        await world.cluster.create(job)
        await world.started(job)
        await world.cluster.close()
        await world.pass_time()
        assert world.kinds(job) == ["create", "start"]
