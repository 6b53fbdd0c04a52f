"""Background work on event loops of their own: Ctrl-C, eager tasks, uvloop, asyncio's own
cancellation.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.util import find_spec

import pytest

from flowpy import Flow, flow, run
from flowpy._crew import Crew
from tests.laws.probes import Boom
from tests.test_crew import apart, error_of, ticks


@apart
def test_a_task_that_is_cancelled_on_asyncio_closes_its_source(apply):
    events = []

    async def main():
        reading = asyncio.create_task(apply(ticks(events)).collect())
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1
    assert events == ["open", "closing", "closed"]


def test_a_timeout_of_asyncio_is_told_from_a_cancellation():
    events = []

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ticks(events).buffer().collect()
        task = asyncio.current_task()
        return task.cancelling()

    assert asyncio.run(main()) == 0
    assert events == ["open", "closing", "closed"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_interrupts_a_function_in_a_task_of_its_own(backend):
    events = []

    def interrupt(n):
        signal.raise_signal(signal.SIGINT)
        events.append("went on")
        return n

    async def source():
        try:
            yield 1
        finally:
            events.append("closed")

    with pytest.raises(KeyboardInterrupt):
        run(
            Flow(source).map(interrupt).buffer().merge(Flow.never()).to_list,
            backend=backend,
        )

    # asyncio cancels the main task first; it interrupts code at the second Ctrl-C.
    assert events == (["closed"] if backend == "trio" else ["went on", "closed"])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="has no eager tasks")
@apart
def test_it_works_with_eager_tasks(apply):
    events = []

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        ended = Flow.of(1, 2).merge(Flow.empty(), [3], Flow.empty())
        items = await ended.to_list()
        failed = await error_of(
            Flow.fail(Boom()).merge(ticks([]), Flow.fail(OSError()))
        )
        first = []

        @flow
        async def quick():
            async for n in Flow(range(9)):
                yield n
            await asyncio.sleep(0)
            events.append("ended")

        async for item in apply(quick()):
            first.append(item)
            break
        await asyncio.sleep(0.01)
        return items, failed, first, len(asyncio.all_tasks())

    items, failed, first, left = asyncio.run(main())
    assert sorted(items) == [1, 2, 3]
    assert isinstance(failed, Boom)
    assert len(first) == 1
    assert left == 1


@pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
@apart
def test_it_works_on_uvloop(apply):
    source = Flow(range(9)).map(str)

    async def main():
        return await apply(source).take(1).to_list()

    assert run(main, backend="uvloop") == run(main, backend="asyncio")


def test_a_child_that_asyncio_cancels_fails_the_stage_unless_that_is_closing():
    async def main():
        async with Crew("test") as crew:
            child = crew.spawn(asyncio.sleep, 9)
            await asyncio.sleep(0)
            child.key.cancel()
            await crew.join(child)
            failed = crew.error
        async with Crew("test") as closing:
            child = closing.spawn(asyncio.sleep, 9)
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(child.key.cancel)
            closing.closing = True
            await closing.join(child)
        return failed, closing.error

    failed, error = asyncio.run(main())

    assert isinstance(failed, asyncio.CancelledError)
    assert error is None


def test_an_iterator_that_outlives_the_run_of_trio_is_closed_with_it():
    trio = pytest.importorskip("trio")
    events, kept = [], []

    async def main():
        kept.append(aiter(ticks(events).buffer()))
        await anext(kept[0])

    trio.run(main)

    assert events[:2] == ["open", "closing"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="has no eager tasks")
def test_an_eager_child_may_leave_in_its_first_step():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with Crew("test") as crew:
            channel = crew.channel(1)
            channel.close()
            child = crew.spawn(channel.put, 1, feeds=channel)
        return child.ended, list(channel.items)

    assert asyncio.run(main()) == (True, [])


async def numbers():
    for n in range(100):
        yield n


@pytest.mark.skipif(sys.version_info < (3, 12), reason="has no eager tasks")
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("source", [numbers, range(100)], ids=["generator", "range"])
@pytest.mark.parametrize("every", [1, 3, 1000])
def test_eager_workers_that_hardly_wait_take_all_items(source, ordered, every):
    async def call(n):
        if n % every == 1:
            await asyncio.sleep(0)
        return n

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        flow = Flow(source).map(call, concurrency=3, ordered=ordered)
        return sorted(await flow.to_list())

    assert asyncio.run(main()) == list(range(100))
