"""What the operators mean that let upstream run ahead."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from flowpy import BufferOverflowError, Flow, flow
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

CAPACITIES = (0, 1, 2, 5, 64)

every_capacity = pytest.mark.parametrize("capacity", CAPACITIES)


@flow
async def waiting(n):
    for i in range(n):
        await checkpoint()
        yield i


async def read_slowly(source, seconds):
    """Return what a reader gets that takes some seconds for each item."""
    seen = []

    async def take(item):
        seen.append(item)
        await anyio.sleep(seconds)

    await source.collect(take)
    return seen


@given(st.lists(st.none() | st.integers()), st.integers(0, 5), st.integers(0, 5))
async def test_buffers_keep_every_item_in_order(items, first, second):
    assert await Flow(items).buffer(first).buffer(second).to_list() == items


@every_capacity
async def test_items_of_a_source_that_waits_come_in_order(capacity):
    source = waiting(150).buffer(capacity)

    assert await source.to_list() == list(range(150))
    assert await read_slowly(source, 1) == list(range(150))


@every_capacity
@pytest.mark.parametrize("taken", [1, 2, 7])
async def test_upstream_is_pulled_capacity_and_one_ahead(capacity, taken):
    source = Source(*range(200))
    async with Flow(source.generator).buffer(capacity).open() as items:
        for _ in range(taken):
            await anext(items)
            await anyio.sleep(1)

        assert source.pulled == taken + capacity + 1


async def test_without_capacity_each_item_is_taken_before_the_next_is_pulled():
    seen = []
    source = Flow("abc").on_each(lambda item: seen.append(f"pull {item}")).buffer(0)

    async def take(item):
        await anyio.sleep(1)
        seen.append(f"done {item}")

    await source.collect(take)

    # The next one is pulled while the reader is busy with this one.
    assert seen == ["pull a", "pull b", "done a", "pull c", "done b", "done c"]


async def test_upstream_works_while_the_reader_does():
    async def work(item):
        await anyio.sleep(1)
        return item

    start = anyio.current_time()
    seen = await read_slowly(Flow(range(4)).map(work).buffer(), 1)

    assert seen == [0, 1, 2, 3]
    assert anyio.current_time() - start == pytest.approx(5)


@pytest.mark.parametrize(
    ("on_overflow", "expected"),
    [
        ("drop_oldest", [0, 2, 5, 8, 10, 11]),
        ("drop_latest", [0, 1, 2, 4, 7, 10]),
    ],
)
async def test_what_comes_for_a_full_buffer_is_dropped(on_overflow, expected):
    # Items come at 0.5, 1.5 ...; the reader is ready at 0.5, 3.6, 6.7 ...
    source = Flow.interval(1, delay=0.5).take(12)
    seen = await read_slowly(source.buffer(2, on_overflow=on_overflow), 3.1)

    assert seen == expected


async def test_an_overflow_is_raised_after_the_items_that_wait():
    source = Source(*range(9))
    seen = []
    with pytest.raises(BufferOverflowError, match="while 3 others waited"):
        await Flow(source.generator).buffer(3, on_overflow="error").collect(seen.append)

    assert seen == [0, 1, 2]
    assert source.pulled == 4
    assert source.is_closed


@pytest.mark.parametrize("on_overflow", ["suspend", "drop_oldest", "drop_latest"])
async def test_an_error_comes_after_the_items_that_wait(on_overflow):
    boom = Boom()
    source = Flow(Source(1, 2, error=boom).generator)
    seen = []
    with pytest.raises(Boom) as caught:
        await source.buffer(5, on_overflow=on_overflow).collect(seen.append)

    assert seen == [1, 2]
    assert caught.value is boom


async def test_the_newest_item_waits_for_a_slow_reader():
    source = Flow.interval(1).take(8).conflate()

    assert await read_slowly(source, 2.4) == [0, 2, 4, 7]


async def test_a_reader_that_keeps_up_gets_every_item_of_a_conflated_flow():
    assert await Flow.interval(1).take(4).conflate().to_list() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "apply",
    [
        Flow.conflate,
        lambda source: source.buffer(1, on_overflow="drop_oldest"),
        lambda source: source.buffer(1, on_overflow="drop_latest"),
    ],
)
async def test_a_source_that_never_waits_lets_the_reader_run_when_items_are_dropped(
    apply,
):
    async def endless():
        while True:
            yield "item"

    assert await apply(Flow(endless)).take(3).to_list() == ["item"] * 3


async def test_the_error_of_a_prefetched_item_is_dropped_when_the_reader_stops():
    source = Source(1, 2, error=Boom())
    items = await Flow(source.generator).buffer().take(1).to_list()

    assert items == [1]
    assert source.failed
    assert source.is_closed
