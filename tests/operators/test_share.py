"""What it means that several flows share one collection: broadcast, partition."""

from __future__ import annotations

import gc
import itertools
from contextvars import ContextVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowConsumedError, flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend):
    before = len(anyio.get_running_tasks())
    yield
    gc.collect()
    await anyio.sleep(1)
    assert len(anyio.get_running_tasks()) == before


SHARED = {
    "broadcast": lambda source: source.broadcast(2),
    "partition": lambda source: source.partition(lambda n: n % 2),
}
shared = pytest.mark.parametrize("apply", SHARED.values(), ids=SHARED)


async def together(*flows):
    """Collect flows at once and return for each its items and what it raised."""
    results = [None] * len(flows)

    async def collect(k):
        items, error = [], None
        try:
            await flows[k].collect(items.append)
        except Exception as raised:  # noqa: BLE001 - the test looks at it
            error = raised
        results[k] = items, error

    async with anyio.create_task_group() as group:
        for k in range(len(flows)):
            group.start_soon(collect, k)
    return results


# --------------------------------------------------------------------------- marbles


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a-b|", "('1a''2a')-('1b''2b')|"),
        ("|", "|"),
        ("", ""),
        ("#", "#"),
        ("a-#", "('1a''2a')-#"),
        ("(ab|)", "('1a''1b''2a''2b'|)"),
    ],
)
async def test_broadcast(source, expected):
    def build(a):
        one, two = a.broadcast(2)
        return one.map(lambda x: f"1{x}").merge(
            # Later by less than a frame, so that the order is known.
            two.map(later(1e-7)).map(lambda x: f"2{x}")
        )

    await assert_marbles(build, source, expected=expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a-B-c|", "'1a'-'2B'-'1c'|"),
        ("|", "|"),
        ("", ""),
        ("#", "#"),
        ("a-B#", "'1a'-'2B'#"),
    ],
)
async def test_partition(source, expected):
    def build(a):
        lower, upper = a.partition(str.islower)
        return lower.map(lambda x: f"1{x}").merge(upper.map(lambda x: f"2{x}"))

    await assert_marbles(build, source, expected=expected)


def later(seconds):
    async def wait(item):
        await anyio.sleep(seconds)
        return item

    return wait


async def test_the_slowest_sets_the_pace():
    def build(a):
        fast, slow = a.broadcast(2, capacity=1)
        return fast.merge(slow.on_each(later(3)).filter(lambda _: False))

    # b waits in the slow one's buffer while a is worked on; so c comes with that.
    await assert_marbles(build, "abcd|", expected="ab-c--d-----|")


async def test_one_that_leaves_no_longer_holds_the_others():
    def build(a):
        fast, slow = a.broadcast(2, capacity=1)
        return fast.merge(slow.on_each(later(3)).take(1).filter(lambda _: False))

    await assert_marbles(build, "abcdefg|", expected="ab-(cd)efg|")


# --------------------------------------------------------------------------- meaning


@given(st.lists(st.integers()), st.integers(1, 4), st.integers(1, 3))
async def test_each_of_broadcast_sees_every_item(items, n, capacity):
    results = await together(*Flow(items).broadcast(n, capacity=capacity))

    assert results == [(items, None)] * n


@given(st.lists(st.integers()))
async def test_each_item_is_in_one_of_the_two_of_partition(items):
    odd, even = Flow(items).partition(lambda n: n % 2)

    assert await together(odd, even) == [
        ([n for n in items if n % 2], None),
        ([n for n in items if not n % 2], None),
    ]


async def test_predicates_may_be_async():
    async def is_odd(n):
        await checkpoint()
        return n % 2

    odd, even = Flow(range(5)).partition(is_odd)

    assert await together(odd, even) == [([1, 3], None), ([0, 2, 4], None)]


@shared
async def test_what_fits_may_be_read_one_after_the_other(apply):
    one, two = apply(Flow(range(6)))
    first, second = await one.to_list(), await two.to_list()

    assert sorted({*first, *second}) == list(range(6))


@shared
async def test_there_is_one_collection_which_the_first_of_them_starts(apply):
    source = Source(*range(6))
    one, two = apply(Flow(source.generator))
    before = source.opened
    await together(one, two)

    assert (before, source.opened, source.pulled) == (0, 1, 6)
    assert source.is_closed


@shared
async def test_each_can_be_collected_once(apply):
    one, two = apply(Flow.of(1, 2, 3))
    await together(one, two)

    for each in (one, two.map(str)):
        with pytest.raises(FlowConsumedError, match="can be collected once"):
            await each.to_list()


@shared
async def test_all_get_the_error_of_the_source_after_the_items_before_it(apply):
    boom = Boom()
    source = Source(1, 2, 3, error=boom)
    (first, one), (second, two) = await together(*apply(Flow(source.generator)))

    assert one is two is boom
    assert sorted({*first, *second}) == [1, 2, 3]
    assert source.is_closed


async def test_an_error_of_the_predicate_is_raised_and_says_where():
    boom = Boom()

    def fail(item):
        raise boom

    (_, one), (_, two) = await together(*Flow.of(1).partition(fail))

    assert one is two is boom
    (note,) = boom.__notes__  # in the words of the one that was first
    assert note[:-3] == "in stage 1 of Flow.of(1).partition(fail)"


@pytest.mark.parametrize("capacity", [1, 2, 64])
async def test_upstream_waits_while_one_is_not_read(capacity):
    source = Source(*range(300))
    fast, slow = Flow(source.generator).broadcast(2, capacity=capacity)
    async with slow.open() as items:
        with anyio.move_on_after(5):
            await fast.collect()
        before = source.pulled
        for n in range(7):
            assert await anext(items) == n
            await anyio.sleep(1)

        assert before == capacity
        assert source.pulled == capacity + 7
    assert source.is_closed


async def test_the_unread_one_of_partition_holds_64_items():
    source = Source(*range(300))
    odd, even = Flow(source.generator).partition(lambda n: n % 2)
    seen = []
    with anyio.move_on_after(5):
        await odd.collect(seen.append)

    assert source.pulled == 127  # 0 ... 126, of which 64 are even
    assert seen == list(range(1, 127, 2))
    assert await even.to_list() == list(range(0, 300, 2))
    assert source.is_closed


async def test_what_comes_for_one_that_has_left_partition_is_dropped():
    source = Source(*range(300))
    odd, even = Flow(source.generator).partition(lambda n: n % 2)
    (few, _), (rest, _) = await together(odd.take(2), even)

    assert few == [1, 3]
    assert rest == list(range(0, 300, 2))


async def test_items_are_dropped_only_for_somebody_who_waits_for_another():
    source = Source(*range(300))
    odd = Flow(source.generator).partition(lambda n: n == 3)[0]
    rest = Flow(source.generator).partition(lambda n: n < 150)[1]
    async with rest.open() as items:
        assert await anext(items) == 150
        await anyio.sleep(1)
        assert source.pulled == 151 + 64
    assert await odd.to_list() == [3]


@shared
async def test_when_the_first_is_cancelled_the_others_go_on(apply):
    source = Source(*range(6))
    one, two = apply(Flow(source.generator).on_each(later(1)))
    seen = []

    async def cancelled():
        with anyio.move_on_after(2.5):
            await one.collect()
        assert not source.closed

    async with anyio.create_task_group() as group:
        group.start_soon(cancelled)
        await anyio.sleep(0.5)
        await two.collect(seen.append)
        assert source.is_closed

    assert seen in ([0, 1, 2, 3, 4, 5], [0, 2, 4])


@shared
@pytest.mark.parametrize("times", [(1.5, 3.5), (3.5, 1.5), (2.5, 2.5)])
async def test_the_last_to_leave_has_closed_the_source(apply, times):
    source = Source(*range(100))
    flows = apply(Flow(source.generator).on_each(later(1)))
    closed = []

    async def leave(each, time):
        with anyio.move_on_after(time):
            await each.collect()
        closed.append(source.closed)

    async with anyio.create_task_group() as group:
        for each, time in zip(flows, times, strict=True):
            group.start_soon(leave, each, time)

    assert closed[-1] == 1
    assert closed[0] == (times[0] == times[1] and closed[0])
    assert source.is_closed


@shared
async def test_after_an_early_stop_the_other_can_still_be_collected(apply):
    source = Source(*range(300))
    one, two = apply(Flow(source.generator))
    first = await one.first()
    before = source.closed
    rest = await two.to_list()

    assert before == 0
    assert {first, *rest} >= {0, 2, 298}
    assert source.is_closed


@shared
async def test_one_that_is_dropped_while_the_source_works_has_it_cancelled(apply):
    events = []

    @flow
    async def slow():
        try:
            yield 1
            yield 2
            await anyio.sleep(99)
        finally:
            await anyio.sleep(1)
            events.append("closed")

    one, two = apply(slow())
    await one.first()
    await checkpoint()
    del two
    gc.collect()
    await anyio.sleep(2)

    assert events == ["closed"]


@shared
async def test_what_nobody_can_collect_any_more_does_not_count(apply):
    source = Source(*range(300))
    one, two = apply(Flow(source.generator))
    del two
    items = await one.to_list()

    assert source.pulled == 300
    assert len(items) in {300, 150}
    assert source.is_closed


@shared
async def test_the_last_one_to_be_dropped_ends_the_collection(apply):
    source = Source(*range(300))
    one, two = apply(Flow(source.generator).on_each(later(0.1)))
    await one.first()
    before = source.closed
    del two
    gc.collect()
    await anyio.sleep(2)

    assert before == 0
    assert source.is_closed


@shared
async def test_a_reader_that_fails_leaves_the_others_alone(apply):
    boom = Boom()

    def fail(item):
        raise boom

    one, two = apply(Flow(range(6)))
    (_, raised), (items, error) = await together(one.on_each(fail), two)

    assert raised is boom
    assert error is None
    assert items in ([0, 1, 2, 3, 4, 5], [0, 2, 4])


async def test_an_error_of_the_cleanup_comes_to_the_last_one_to_leave():
    boom = Boom()

    async def source():
        try:
            for n in itertools.count():
                yield n
        finally:
            raise boom

    one, two = Flow(source).broadcast(2, capacity=1)
    (first, none), (second, raised) = await together(one.take(2), two.take(4))

    assert (first, none) == ([0, 1], None)
    assert second == [0, 1, 2, 3]
    assert raised is boom


@shared
async def test_the_callbacks_above_see_the_context_of_the_first(apply):
    variable = ContextVar("variable", default="unset")
    seen = set()
    one, two = apply(Flow(range(4)).on_each(lambda _: seen.add(variable.get())))

    async def collect(each, name):
        variable.set(name)
        await each.collect()

    async with anyio.create_task_group() as group:
        group.start_soon(collect, one, "first")
        await anyio.sleep(0)
        await checkpoint()
        group.start_soon(collect, two, "second")

    assert seen == {"first"}


@shared
async def test_a_source_with_a_task_group_is_opened_and_closed_by_one_task(apply):
    @flow
    async def numbers():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            for n in range(100):
                await anyio.sleep(1)
                yield n

    one, two = apply(numbers())
    (first, error), (second, other) = await together(one.take(2), two.take(3))

    assert error is None
    assert other is None
    assert first in ([0, 1], [1, 3])
    assert second in ([0, 1, 2], [0, 2, 4])


async def test_a_source_that_never_waits_can_be_left_when_its_items_are_dropped():
    odd, even = Flow(itertools.count).map(lambda n: 1).partition(lambda n: n % 2)
    with anyio.move_on_after(1) as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(odd.take(3).collect)
            group.start_soon(even.collect)
            for _ in range(20):
                await checkpoint()
            scope.cancel()

    assert scope.cancelled_caught


@shared
async def test_they_can_be_read_in_another_run_once_the_source_has_ended(apply):
    one, two = apply(Flow(range(6)))
    first = await one.to_list()
    second = await anyio.to_thread.run_sync(anyio.run, two.to_list)

    assert {*first, *second} == set(range(6))


async def test_broadcast_and_partition_can_be_nested():
    odd, even = Flow(range(9)).broadcast(1)[0].partition(lambda n: n % 2)
    a, b = odd.broadcast(2)
    results = await together(a, b, even)

    assert results == [([1, 3, 5, 7], None)] * 2 + [([0, 2, 4, 6, 8], None)]


async def test_who_comes_after_the_event_loop_has_ended_is_told():
    one, two = Flow(itertools.count).broadcast(2, capacity=3)
    seen = []

    assert await anyio.to_thread.run_sync(anyio.run, one.first) == 0
    with pytest.raises(RuntimeError, match="the event loop ended its collection"):
        await anyio.to_thread.run_sync(anyio.run, two.collect, seen.append)
    assert seen == list(range(len(seen)))


@pytest.mark.parametrize(
    "above", [lambda source: source, lambda source: source.retry()]
)
@shared
async def test_a_branch_in_the_same_chain_is_garbage_once_nobody_has_the_chain(
    apply, above
):
    source = Source(1, hangs=True)

    async def collect():
        one, two = apply(above(Flow(source.generator)))
        await one.concat(two).to_list()

    with anyio.move_on_after(1):
        await collect()
    gc.collect()
    await anyio.sleep(1)

    assert source.opened == 1
    assert source.is_closed


async def test_a_group_that_is_dropped_during_cleanup_does_not_interrupt_it():
    events, groups = [], []

    async def source():
        try:
            yield 0
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(1)
            events.append("closed")

    async def drop():
        await anyio.sleep(0.5)
        groups.clear()
        gc.collect()
        events.append("dropped")

    async with (
        anyio.create_task_group() as tasks,
        Flow(source).group_by(str).open() as items,
    ):
        groups.append(await anext(items))
        tasks.start_soon(drop)

    assert events == ["dropped", "closed"]


@shared
async def test_a_part_that_is_gone_ends_a_collection_that_waits_for_it(apply):
    source = Source(*range(1000))
    one, two = apply(Flow(source.generator))

    assert await one.first() in {0, 1}
    await anyio.sleep(1)
    assert source.opened > source.closed  # the other part is full, and may yet be read
    del one, two
    gc.collect()
    await anyio.sleep(1)

    assert source.is_closed


@shared
async def test_a_source_that_drops_the_last_part_as_it_ends_has_ended(apply):
    events, kept = [], []

    @flow
    async def source():
        try:
            yield 1
            yield 2
            await anyio.sleep(1)
            kept.clear()
            gc.collect()
        finally:
            events.append("closed")

    one, two = apply(source())
    kept.append(two)
    del two

    assert await one.first() in {1, 2}
    assert events == []
    await anyio.sleep(2)
    assert events == ["closed"]
