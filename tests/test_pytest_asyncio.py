"""Tests as users of pytest-asyncio, plain asyncio and trio write them.

They run in real time, beside anyio's plugin, with which all other tests are written.
"""

from __future__ import annotations

import asyncio
from itertools import count

import pytest
import pytest_asyncio

from flowpy import Flow


@pytest.mark.asyncio
async def test_a_flow_is_awaited_like_anything_else_on_asyncio():
    queue = asyncio.Queue()

    async def double(n):
        await asyncio.sleep(0)
        return 2 * n

    await Flow(range(3)).map(double).on_each(queue.put).collect()

    assert [queue.get_nowait() for _ in range(3)] == [0, 2, 4]


@pytest.mark.asyncio
async def test_a_flow_over_an_endless_iterable_can_be_timed_out_on_asyncio():
    ended = []
    endless = Flow(count()).filter(lambda n: n < 0).on_completion(ended.append)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await endless.collect()

    assert [type(error) for error in ended] == [asyncio.CancelledError]


@pytest.mark.asyncio
async def test_a_flow_over_an_endless_iterable_lets_other_tasks_run_on_asyncio():
    endless = Flow(count()).filter(lambda n: n < 0)

    collecting = asyncio.create_task(endless.collect())
    for _ in range(5):
        await asyncio.sleep(0)  # each time this task gets its turn again
    collecting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await collecting


def test_a_flow_over_an_endless_iterable_can_be_timed_out_on_trio():
    trio = pytest.importorskip("trio")
    ended = []
    endless = Flow(count()).filter(lambda n: n < 0).on_completion(ended.append)

    async def main():
        with trio.move_on_after(0.05) as scope:
            await endless.collect()
        return scope.cancelled_caught

    assert trio.run(main)
    assert [type(error) for error in ended] == [trio.Cancelled]


@pytest_asyncio.fixture
async def opened_by_a_fixture():
    closed = []

    async def source():
        try:
            for n in count():
                await asyncio.sleep(0)
                yield n
        finally:
            closed.append("source")

    async with Flow(source).buffer().merge(Flow.never()).open() as items:
        yield items
    assert closed == ["source"]


@pytest.mark.asyncio
async def test_a_fixture_may_open_a_flow_with_tasks_of_its_own(opened_by_a_fixture):
    assert [await anext(opened_by_a_fixture) for _ in range(3)] == [0, 1, 2]
