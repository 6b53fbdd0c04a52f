"""What `measure` tells of the stages above it, and when."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections import Counter

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import Flow, _meter, channel_flow, flow
from flowpy._fusion import ENABLED
from flowpy._reporter import Reporter
from tests.laws.probes import Boom
from tests.laws.table import OPERATORS

pytestmark = pytest.mark.anyio


class Watch:
    """An observer that keeps all that it was told."""

    def __init__(self, error=None, at=0):
        self.error = error
        self.at = at
        self.told = []

    def __call__(self, snapshot):
        self.told.append(snapshot)
        if self.error is not None and len(self.told) > self.at:
            raise self.error

    @property
    def last(self):
        return self.told[-1]

    def items(self):
        return {stage.call: stage.items for stage in self.last.stages}

    def errors(self):
        return {stage.call: stage.errors for stage in self.last.stages}

    def waiting(self, at=-1):
        return {s.call: s.waiting for s in self.told[at].stages if s.waiting}

    def times(self):
        return [round(snapshot.seconds, 3) for snapshot in self.told]


def every(seconds, items=range(100)):
    return Flow(items).on_each(lambda _: anyio.sleep(seconds))


# ------------------------------------------------------------------------------- items


async def test_each_stage_is_told_with_what_it_passed_on():
    watch = Watch()

    await Flow(range(9)).filter(lambda n: n % 2).chunked(3).measure(watch).collect()

    assert [(s.number, s.name, s.call, s.items) for s in watch.last.stages] == [
        (0, "Flow", "Flow(range)", 9),
        (1, "filter", "filter(<lambda>)", 4),
        (2, "chunked", "chunked(3)", 2),
    ]


async def test_the_last_item_before_an_early_stop_counts():
    watch = Watch()

    await Flow(range(9)).map(str).measure(watch).take(3).collect()

    assert watch.items() == {"Flow(range)": 3, "map(str)": 3}


async def test_each_collection_counts_for_itself():
    watch = Watch()
    measured = Flow(range(3)).measure(watch)

    await measured.collect()
    await measured.collect()

    first, second = watch.told
    assert [snapshot.stages[0].items for snapshot in watch.told] == [3, 3]
    assert first.collection != second.collection


async def test_what_is_collected_again_by_retry_goes_on_counting():
    watch = Watch()
    attempts = []

    def fails_twice(n):
        attempts.append(n)
        if len(attempts) < 3:
            raise OSError
        return n

    await Flow([1, 2]).map(fails_twice).retry(backoff=0).measure(watch).collect()

    assert watch.items() == {
        "Flow(list)": 4,
        "map(fails_twice)": 2,
        "retry()": 2,
    }
    assert watch.errors() == {"Flow(list)": 0, "map(fails_twice)": 2, "retry()": 0}


async def test_stages_between_those_with_tasks_are_counted():
    watch = Watch()

    await (
        Flow(range(9))
        .map(str)
        .buffer(2)
        .map(int)
        .map(float, concurrency=2)
        .enumerate()
        .measure(watch)
        .collect()
    )

    assert set(watch.items().values()) == {9}
    assert len(watch.items()) == 6


async def test_a_measured_flow_inside_another_is_counted_by_both():
    upper, lower = Watch(), Watch()
    inner = Flow(range(4)).map(str).measure(upper)

    await inner.filter(lambda s: s > "1").measure(lower).collect()

    assert upper.items() == {"Flow(range)": 4, "map(str)": 4}
    assert [stage.items for stage in lower.last.stages] == [4, 4, 4, 2]


@pytest.mark.parametrize(
    "share",
    [lambda source: source.share(), lambda source: source.broadcast(1)[0]],
    ids=["share", "broadcast"],
)
async def test_what_several_flows_collect_together_is_not_counted_for_one(share):
    watch = Watch()

    await share(Flow(range(3)).map(str)).map(int).measure(watch).collect()

    assert [stage.items for stage in watch.last.stages] == [0, 0, 3, 3]


async def test_an_operator_of_a_user_is_one_stage():
    watch = Watch()

    @flow
    async def doubled(source):
        async for x in source.map(lambda x: x):
            yield x
            yield x

    await Flow([1, 2]).pipe(doubled).measure(watch).collect()

    assert watch.items() == {"Flow(list)": 2, "pipe(doubled)": 4}


@pytest.mark.skipif(not ENABLED, reason="tells how a chain is fused")
async def test_the_counters_are_part_of_the_one_function():
    names = []

    def note(n):
        import sys  # noqa: PLC0415 - of this test alone

        names.append(sys._getframe(1).f_code.co_name)
        return n

    await Flow(range(3)).map(note).map(str).measure(Watch()).collect()

    assert set(names) == {
        "read_in_turns|counted|map|counted|map|counted|measuring|collect"
    }


# ------------------------------------------------------------------------------ errors


async def test_an_error_counts_where_it_was_raised_and_below():
    watch = Watch()

    def fails(n):
        raise Boom

    with pytest.raises(Boom):
        await Flow([1, 2]).map(fails).map(str).measure(watch).collect()

    assert watch.errors() == {"Flow(list)": 0, "map(fails)": 1, "map(str)": 1}


async def test_an_error_of_the_source_counts_everywhere():
    watch = Watch()

    with pytest.raises(Boom):
        await Flow.fail(Boom()).buffer().map(str).measure(watch).collect()

    assert set(watch.errors().values()) == {1}


async def test_an_error_that_is_caught_counts_above_the_one_that_catches_it():
    watch = Watch()

    await Flow.fail(OSError()).map(str).catch().measure(watch).collect()

    assert list(watch.errors().values()) == [1, 1, 0]


async def test_an_error_below_is_none_of_the_stages_above():
    watch = Watch()

    def fails(n):
        raise Boom

    with pytest.raises(Boom):
        await Flow([1, 2]).map(str).measure(watch).map(fails).collect()

    assert set(watch.errors().values()) == {0}
    assert watch.last.ended


# ----------------------------------------------------------------------------- waiting


async def test_a_full_buffer_says_how_many_items_wait():
    watch = Watch()

    async with Flow(range(99)).buffer(5).map(str).measure(watch).open() as items:
        await anext(items)
        await anyio.sleep(1)

    assert watch.waiting(at=2) == {"buffer(5)": 6}  # its task holds one more
    assert watch.waiting() == {}


async def test_calls_say_how_many_items_are_in_work_or_wait_for_their_turn():
    for ordered in (True, False):
        watch = Watch()

        def work(n):
            return anyio.sleep(0.35 if n else 0.05)

        measured = Flow(range(9)).map(work, concurrency=3, ordered=ordered)
        async with measured.measure(watch).open() as items:
            await anext(items)
            await anyio.sleep(0.22)
            in_work = watch.waiting(-1)
            await anyio.sleep(9)

        assert list(in_work.values()) == [3]
        assert list(watch.waiting(-2).values()) == [6]  # twice as many as work at once


async def test_merged_flows_say_how_many_of_their_items_wait():
    watch = Watch()

    async with Flow(range(99)).merge([1, 2, 3]).measure(watch).open() as items:
        await anext(items)
        await anyio.sleep(1)

    (waiting,) = watch.waiting(at=5).values()
    assert 16 <= waiting <= 19


async def test_inner_flows_say_how_many_are_read_and_what_waits():
    watch = Watch()
    inner = Flow([1, 2]).flat_map(lambda n: [n] * 9, concurrency=2)

    async with inner.measure(watch).open() as items:
        await anext(items)
        await anyio.sleep(1)

    (waiting,) = watch.waiting(at=5).values()
    assert waiting == 17  # both have been read to their end


async def test_a_channel_flow_says_how_many_items_wait():
    watch = Watch()

    @channel_flow(capacity=4)
    async def numbers(channel):
        for n in range(9):
            await channel.send(n)

    async with numbers().measure(watch).open() as items:
        await anext(items)
        await anyio.sleep(1)

    assert list(watch.waiting(at=5).values()) == [4]


async def test_flows_that_share_a_collection_say_what_waits_for_them():
    whole = Flow(range(99))
    shared, (cast, _), (odd, _) = (
        whole.share(),
        whole.broadcast(2, capacity=7),
        whole.partition(lambda n: n % 2),
    )
    for part, most in ((shared, 63), (cast, 6), (odd, 48)):
        watch = Watch()
        async with part.measure(watch).open() as items:
            await anext(items)
            await anyio.sleep(1)

        (waiting,) = watch.waiting(at=5).values()
        assert most <= waiting <= most + 1


HOLDERS = [
    case
    for case in OPERATORS
    if case.apply(Flow.of(1), lambda fn: fn)._stages[-1].holds
]


@pytest.mark.parametrize("case", HOLDERS, ids=str)
async def test_every_stage_that_holds_items_says_in_what(case, monkeypatch):
    held = []

    class Counter(_meter.Counter):
        def __exit__(self, *raised):
            if self.holds:
                held.append(self.holder)
            super().__exit__(*raised)

    monkeypatch.setattr(_meter, "Counter", Counter)
    await case.apply(Flow.of(1, 2), lambda fn: fn).measure(Watch()).collect()
    await case.apply(Flow.of(1, 2), lambda fn: fn).map(str).measure(Watch()).collect()

    assert len(held) == 2
    assert None not in held


async def test_a_stage_that_fails_in_its_first_step_takes_nothing_of_another():
    watch = Watch()
    once = Flow.of(1).broadcast(1)[0]
    await once.collect()

    with pytest.raises(RuntimeError, match="can be collected once"):
        await once.map(str).measure(watch).collect()
    await Flow.of(1, 2).buffer().collect()

    assert watch.waiting() == {}


# -------------------------------------------------------------------------------- when


async def test_the_observer_is_told_every_100_ms_and_at_the_end():
    watch = Watch()

    await every(0.04, range(10)).measure(watch).collect()

    assert watch.times() == [0.1, 0.2, 0.3, 0.4]
    assert [s.stages[0].items for s in watch.told] == [3, 6, 8, 10]
    assert [s.ended for s in watch.told] == [False, False, False, True]


async def test_what_comes_at_the_same_instant_is_counted():
    watch = Watch()

    await Flow.interval(0.1, delay=0.1).take(3).measure(watch).collect()

    assert [s.stages[1].items for s in watch.told] == [1, 2, 3]


async def test_it_is_told_too_while_nothing_comes():
    watch = Watch()

    with anyio.move_on_after(1.05):
        await Flow.never().measure(watch).collect()

    assert len(watch.told) == 11
    assert watch.last.ended


async def test_it_is_told_too_while_the_reader_is_busy():
    watch = Watch()

    async with Flow([1]).measure(watch).open() as items:
        await anext(items)
        await anyio.sleep(0.55)

    assert watch.times() == [0.1, 0.2, 0.3, 0.4, 0.5, 0.55]


async def test_each_snapshot_has_the_one_before():
    watch = Watch()

    await every(0.04, range(10)).measure(watch).collect()

    assert all(stage.items == 0 for stage in watch.told[0].before)
    assert [s.before for s in watch.told[1:]] == [s.stages for s in watch.told[:-1]]


async def test_a_source_that_never_lets_others_run_is_told_of_at_its_items(
    monkeypatch,
):
    watch = Watch()
    time = 0.0

    async def enter(self, begin=Reporter.__aenter__):
        await begin(self)
        self._now = lambda: time
        self._started = self._looked = self._told = time
        return self

    @flow
    async def busy():
        nonlocal time
        for n in range(1000):
            time += 0.001 if n < 500 else 0.05
            yield n

    monkeypatch.setattr(Reporter, "__aenter__", enter)
    await busy().measure(watch).collect()

    fast = [s for s in watch.told if s.seconds < 0.5]
    assert 2 <= len(fast) <= 4
    assert 100 < len(watch.told) < 200


async def test_the_last_snapshot_comes_however_the_collection_ends():
    async def cancelled(measured):
        with anyio.move_on_after(1):
            await measured.on_each(lambda _: anyio.sleep(9)).collect()

    async def closed(measured):
        items = aiter(measured)
        await anext(items)
        await items.aclose()

    for end in (cancelled, closed, lambda m: m.first(), lambda m: m.collect()):
        watch = Watch()

        await end(Flow([1, 2]).measure(watch))

        assert [s.ended for s in watch.told if s.ended] == [True]
        assert watch.last.ended


async def test_a_flow_that_is_dropped_is_told_to_have_ended():
    watch = Watch()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # trio's, of the iterator
        async for _ in Flow([1, 2]).buffer().measure(watch):
            break
        gc.collect()
    await anyio.sleep(1)

    assert watch.last.ended
    assert watch.last.seconds < 1


async def test_a_flow_that_is_never_collected_tells_nothing():
    watch = Watch()

    async with Flow([1]).measure(watch).open():
        await anyio.sleep(1)

    assert watch.told == []


# --------------------------------------------------------------------- the observer


async def test_an_async_observer_is_awaited_and_never_called_twice_at_a_time():
    running, most, ends = 0, 0, 0

    async def slow(snapshot):
        nonlocal running, most, ends
        running += 1
        most = max(most, running)
        try:
            await anyio.sleep(0.17)
        finally:
            running -= 1
        ends += snapshot.ended

    await every(0.01).measure(slow).collect()

    assert (running, most, ends) == (0, 1, 1)


async def test_an_observer_that_is_told_at_an_item_is_not_told_by_the_clock_too(
    monkeypatch,
):
    running, most = 0, 0

    async def slow(snapshot):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(0.5)
        running -= 1

    async def enter(self, begin=Reporter.__aenter__):
        await begin(self)
        clock = self._now
        self._now = lambda: clock() + late
        return self

    late = 0

    @flow
    async def busy():
        nonlocal late
        for n in range(5):
            late += 1  # though others have not run
            yield n

    monkeypatch.setattr(Reporter, "__aenter__", enter)
    await busy().measure(slow).collect()

    assert most == 1


async def test_what_the_observer_raises_comes_with_the_next_item():
    error = ValueError("boom")
    items = []

    with pytest.raises(ValueError, match="boom") as raised:
        await every(0.3).measure(Watch(error)).collect(items.append)

    assert raised.value is error
    assert items == []


async def test_what_the_observer_raises_while_nothing_more_comes_is_raised_at_the_end():
    error = ValueError("boom")
    tail = Flow([1]).concat(Flow.empty().delay_start(1))
    items = []

    with pytest.raises(ValueError, match="boom") as raised:
        await tail.measure(Watch(error)).collect(items.append)

    assert raised.value is error
    assert items == [1]


async def test_what_the_observer_raises_is_no_error_of_a_stage():
    watch = Watch(ValueError("boom"), at=0)

    with pytest.raises(ValueError, match="boom"):
        await every(0.3).measure(watch).collect()

    assert set(watch.errors().values()) == {0}


async def test_what_it_raises_at_the_end_is_noted_on_the_error_that_came_first():
    error = KeyError("first")
    watch = Watch(ValueError("late"))

    with pytest.raises(KeyError) as raised:
        await Flow.fail(error).measure(watch).collect()

    assert raised.value is error
    assert error.__notes__ == ["while closing, also raised: ValueError('late')"]


async def test_what_it_raised_before_is_noted_on_an_error_from_above():
    error = KeyError("above")

    def observe(snapshot):
        if not snapshot.ended:
            raise ValueError(len(told))

    told = [1]
    with pytest.raises(KeyError) as raised:
        await (
            every(0.15, [1]).drop(1).concat(Flow.fail(error)).measure(observe).collect()
        )

    assert raised.value is error
    assert error.__notes__ == ["while closing, also raised: ValueError(1)"]


@pytest.mark.parametrize("only_at_the_end", [True, False])
async def test_what_it_raised_is_no_garbage_in_a_cycle(only_at_the_end):
    async def collect():
        error = Boom()
        found = weakref.ref(error)

        def observe(snapshot):
            if snapshot.ended == only_at_the_end:
                raise error

        tail = Flow([1]).concat(Flow.empty().delay_start(0.15))
        try:
            await tail.measure(observe).collect()
        except Boom:
            del error, observe, tail  # or it and this frame would be a cycle
        return found

    gc.collect()
    gc.disable()
    try:
        found = await collect()

        assert found() is None
    finally:
        gc.enable()


async def test_no_task_is_left_when_the_observer_fails(anyio_backend):
    before = len(anyio.get_running_tasks())

    for at in range(3):
        with pytest.raises(ValueError, match="boom"):
            await every(0.07).measure(Watch(ValueError("boom"), at)).collect()
        await checkpoint()

        assert len(anyio.get_running_tasks()) == before


async def test_differences_of_concurrent_collections_add_up():
    total = Counter()

    def add(snapshot):
        for stage, before in zip(snapshot.stages, snapshot.before, strict=True):
            total[stage.name] += stage.items - before.items
            total["waiting"] += stage.waiting - before.waiting

    measured = every(0.03, range(20)).buffer(3).on_each(lambda _: anyio.sleep(0.05))
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(measured.measure(add).collect)

    assert total == {"Flow": 60, "on_each": 120, "buffer": 60, "waiting": 0}
