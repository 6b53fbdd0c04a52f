"""launch_in: a flow is collected in a task of a group."""

from __future__ import annotations

import asyncio

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import Flow, flow, run
from tests.laws.probes import Boom


@flow
async def ticks(events):
    try:
        while True:
            await anyio.sleep(1)
            events.append("tick")
            yield
    finally:
        events.append("closed")


@pytest.mark.anyio
async def test_it_collects_while_others_go_on():
    seen = []
    async with anyio.create_task_group() as group:
        job = Flow(range(3)).on_each(seen.append).launch_in(group)
        before = list(seen), repr(job)
        await job.wait()
        after = list(seen), repr(job)

    assert before == ([], "<Job: Flow(range).on_each(list.append), running>")
    assert after == ([0, 1, 2], "<Job: Flow(range).on_each(list.append), ended>")


@pytest.mark.anyio
async def test_a_job_is_cancelled_alone():
    events, others = [], []
    async with anyio.create_task_group() as group:
        job = ticks(events).launch_in(group)
        other = ticks(others).take(4).launch_in(group)
        await anyio.sleep(2.5)
        job.cancel()
        await job.wait()
        at_once = list(events)
        job.cancel()
        await other.wait()

    assert at_once == ["tick", "tick", "closed"]
    assert others == ["tick"] * 4 + ["closed"]


@pytest.mark.anyio
async def test_a_job_that_is_cancelled_before_it_began_does_nothing():
    seen = []
    async with anyio.create_task_group() as group:
        job = Flow([1]).map(seen.append).buffer().launch_in(group)
        job.cancel()
        await job.wait()

    assert seen in ([], [1])  # what awaits nothing is not interrupted


@pytest.mark.anyio
async def test_an_error_ends_the_group_as_that_of_any_task():
    boom, events = Boom(), []
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - of the whole group
        async with anyio.create_task_group() as group:
            ticks(events).launch_in(group)
            await checkpoint()
            job = Flow.fail(boom).launch_in(group)
            await job.wait()
            await anyio.sleep_forever()

    assert caught.value.exceptions == (boom,)
    assert events == ["closed"]


@pytest.mark.anyio
async def test_the_end_of_the_group_cancels_the_job():
    events = []
    async with anyio.create_task_group() as group:
        job = ticks(events).buffer().launch_in(group)
        await anyio.sleep(1.5)
        group.cancel_scope.cancel()

    await job.wait()
    assert events == ["tick", "closed"]


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", [None, 3, Flow.empty()])
async def test_what_is_no_task_group_is_refused(wrong):
    with pytest.raises(TypeError, match="task_group must be a task group of anyio"):
        Flow.of(1).launch_in(wrong)


def test_a_task_group_of_asyncio_will_do():
    boom, events = Boom(), []

    async def main():
        async with asyncio.TaskGroup() as group:
            job = ticks(events).launch_in(group)
            await asyncio.sleep(0)
            job.cancel()
            await job.wait()
        with pytest.raises(ExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                Flow.fail(boom).launch_in(group)
        return caught.value.exceptions

    assert run(main) == (boom,)
    assert events == ["closed"]


def test_a_job_ends_that_asyncio_never_began():
    calls = []

    async def main():
        try:
            async with asyncio.TaskGroup() as group:
                job = Flow([1]).on_each(calls.append).launch_in(group)
                raise Boom  # noqa: TRY301 - the group has to end
        except* Boom:
            await job.wait()

    run(main)
    assert calls == []


def test_a_nursery_of_trio_will_do():
    trio = pytest.importorskip("trio")
    seen = []

    async def main():
        async with trio.open_nursery() as nursery:
            await Flow.of(1, 2).on_each(seen.append).launch_in(nursery).wait()

    trio.run(main)
    assert seen == [1, 2]
