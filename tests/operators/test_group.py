"""What the operators mean that put items together, in lists or groups."""

from __future__ import annotations

import itertools
import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowConsumedError, GroupedFlow, flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source
from tests.operators.schedules import durations, played, schedules, timed

pytestmark = pytest.mark.anyio

BEFORE_AN_ERROR = {
    "chunked, one begun": (lambda source: source.chunked(2), [[1, 2], [3]]),
    "chunked, none begun": (lambda source: source.chunked(3), [[1, 2, 3]]),
    "windowed": (lambda source: source.windowed(2), [[1, 2], [2, 3]]),
    "windowed partial": (
        lambda source: source.windowed(2, 2, partial=True),
        [[1, 2]],
    ),
    "chunked_by": (
        lambda source: source.chunked_by(lambda n: n > 1),
        [(False, [1]), (True, [2, 3])],
    ),
}

EMPTY = {
    "chunked": lambda source: source.chunked(2),
    "windowed": lambda source: source.windowed(2),
    "windowed partial": lambda source: source.windowed(2, partial=True),
    "chunked_by": lambda source: source.chunked_by(abs),
}

NUMBERS = st.lists(st.integers(-3, 3))


@pytest.mark.parametrize("apply", EMPTY.values(), ids=EMPTY)
async def test_of_nothing_comes_no_list(apply):
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize(
    ("apply", "before"), BEFORE_AN_ERROR.values(), ids=BEFORE_AN_ERROR
)
async def test_an_error_from_above_comes_after_the_lists_before_it(
    apply, before, outcome
):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2, 3).concat(Flow.fail(error))))

    assert items == before
    assert raised is error


@pytest.mark.parametrize("apply", EMPTY.values(), ids=EMPTY)
async def test_of_an_error_alone_comes_no_list(apply, outcome):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.fail(error)))

    assert items == []
    assert raised is error


@pytest.mark.parametrize(
    "apply",
    [lambda source: source.chunked(2), lambda source: source.chunked_by(abs)],
    ids=["chunked", "chunked_by"],
)
async def test_a_cancellation_above_brings_no_list_of_what_had_arrived(apply):
    lists = []

    with anyio.move_on_after(1) as scope:
        await apply(Flow.of(1).concat(Flow.never())).collect(lists.append)

    assert scope.cancelled_caught
    assert lists == []


@pytest.mark.parametrize(
    ("apply", "needed"),
    [
        (lambda source: source.chunked(2), [0, 1]),
        (lambda source: source.windowed(2), [0, 1]),
        (lambda source: source.windowed(2, 3, partial=True), [0, 1]),
        # A run is over when the next one begins.
        (lambda source: source.chunked_by(lambda n: n // 2), [0, 1, 2]),
    ],
    ids=["chunked", "windowed", "windowed partial", "chunked_by"],
)
async def test_a_list_comes_as_soon_as_it_is_known_to_be_full(apply, needed):
    pulled = []

    await apply(Flow(range(9)).on_each(pulled.append)).first()

    assert pulled == needed


@pytest.mark.parametrize(
    "apply",
    [
        lambda source: source.chunked(2),
        lambda source: source.windowed(2),
        lambda source: source.windowed(3, partial=True),
        lambda source: source.chunked_by(bool).map(lambda run: run[1]),
    ],
    ids=["chunked", "windowed", "windowed partial", "chunked_by"],
)
async def test_a_list_that_is_changed_downstream_does_not_change_another(apply):
    source = Flow(range(5))

    cleared = apply(source).map(lambda items: (items.copy(), items.clear())[0])

    assert await cleared.to_list() == await apply(source).to_list()


# --------------------------------------------------------------------------- chunked


@given(NUMBERS, st.integers(1, 6))
async def test_chunked_is_a_row_of_slices(items, size):
    slices = [items[k : k + size] for k in range(0, len(items), size)]

    assert await Flow(items).chunked(size).to_list() == slices


async def test_what_is_raised_below_does_not_bring_the_chunk_that_was_begun(outcome):
    error = ValueError("boom")

    def fails(chunk):
        raise error

    items, raised = await outcome(Flow.of(1, 2, 3).chunked(2).on_each(fails))

    assert items == []
    assert raised is error


async def test_an_error_comes_only_when_the_list_before_it_has_been_taken():
    error = ValueError("boom")
    failing = Flow.of(1).concat(Flow.fail(error))

    assert await failing.chunked(2).first() == [1]
    assert await failing.chunked_by(abs).first() == (1, [1])


# ------------------------------------------------------------------- chunked(within)

LISTS = {
    "1": ["a", "b"],
    "2": ["c", "d"],
    "3": ["e"],
    "4": ["c"],
    "5": [],
    "6": ["d"],
    "7": ["a", "b", "c"],
}


async def test_a_chunk_comes_when_it_is_full_or_its_time_is_over():
    await assert_marbles(
        lambda a: a.chunked(2, within=2),
        "ab---cd-e----|",
        expected="-1----2---3--|",
        values=LISTS,
    )


async def test_the_time_of_a_chunk_begins_with_its_first_item():
    await assert_marbles(
        lambda a: a.chunked(within=2),
        "-----ab---c-|",
        expected="-------1----(4|)",
        values=LISTS,
    )


async def test_an_item_at_the_end_of_the_time_belongs_to_the_chunk():
    await assert_marbles(
        lambda a: a.chunked(within=2), "abc---|", expected="--7---|", values=LISTS
    )
    assert await timed(Flow.interval(1).take(5).chunked(within=1)) == [
        (1, [0, 1]),
        (3, [2, 3]),
        (4, [4]),
    ]


async def test_what_comes_at_the_same_instant_is_a_chunk_within_0_seconds():
    await assert_marbles(
        lambda a: a.chunked(within=0), "(ab)-(cd)e|", expected="1-23|", values=LISTS
    )


async def test_an_empty_flow_has_no_chunk_and_an_error_comes_after_the_last_one():
    await assert_marbles(lambda a: a.chunked(within=2), "---|", expected="---|")
    await assert_marbles(lambda a: a.chunked(within=2), "---#", expected="---#")
    await assert_marbles(
        lambda a: a.chunked(9, within=5),
        "ab#",
        expected="--(1#)",
        values=LISTS,
        collected="^-!",
    )


async def test_a_chunk_that_is_waited_for_is_dropped_when_the_consumer_stops():
    await assert_marbles(
        lambda a: a.chunked(within=5), "ab---", expected="---!", collected="^--!"
    )
    await assert_marbles(
        lambda a: a.chunked(2, within=5),
        "abcd---",
        expected="-(1!)",
        values=LISTS,
        collected="^!",
    )


async def test_chunks_do_not_depend_on_a_slow_consumer():
    await assert_marbles(
        lambda a: a.chunked(9, within=2),
        "ab-cd--e-|",
        expected="--1----2----3----|",
        values=LISTS,
        pause=5,
    )


@pytest.mark.parametrize(("size", "ahead"), [(3, 3), (None, 1024)])
async def test_upstream_runs_no_more_than_a_chunk_ahead(size, ahead):
    source = Source(*range(5000))
    quick = Flow(source.generator).on_each(
        lambda n: anyio.sleep(1) if n == 2 else anyio.lowlevel.checkpoint()
    )
    async with quick.chunked(size, within=0.5).open() as items:
        first = await anext(items)
        await anyio.sleep(100)

        assert first == [0, 1]
        assert source.pulled == len(first) + ahead


async def test_an_item_of_a_source_that_is_slow_to_close_is_not_lost():
    async def slow_to_close():
        try:
            yield "a"
        finally:
            await anyio.sleep(9)

    chunks = Flow(slow_to_close).chunked(5, within=2)

    assert await timed(chunks) == [(2, ["a"])]


def chunks_of(items, end, size, within):
    result = []
    while items:
        first = items[0][0]
        chunk = [x for time, x in items[:size] if time <= first + within]
        full = len(chunk) == size
        time = items[size - 1][0] if full else min(first + within, end)
        result.append((time, chunk))
        items = items[len(chunk) :]
    return result


@given(schedules, st.none() | st.integers(1, 4), durations | st.just(0), st.booleans())
async def test_chunked_does_what_its_model_says(schedule, size, within, fails):
    items, end = schedule
    error = Boom() if fails else None
    source = played(items, end, error)
    came, raised = await timed(source.chunked(size, within=within), fails=True)

    assert came == chunks_of(items, end, size or 99, within)
    assert raised is error


@given(schedules, durations, st.integers(0, 5))
async def test_chunks_of_a_slow_consumer_are_those_of_a_quick_one(
    schedule, within, pause
):
    items, end = schedule
    came = await timed(played(items, end).chunked(within=within), pause=pause)

    assert [x for _, x in came] == [x for _, x in chunks_of(items, end, 99, within)]


# ------------------------------------------------------------------ windowed_by_time


async def test_windows_by_time_come_at_each_tick_of_a_grid():
    await assert_marbles(
        lambda a: a.windowed_by_time(3),
        "ab---c-------d|",
        expected="---1--4--5--5-(6|)",
        values=LISTS,
    )


async def test_an_item_at_a_tick_belongs_to_the_window_that_ends_there():
    ticks = Flow.interval(1).take(5)

    assert await timed(ticks.windowed_by_time(2)) == [(2, [0, 1, 2]), (4, [3, 4])]
    assert await timed(ticks.windowed_by_time(2, every=1)) == [
        (1, [0, 1]),
        (2, [0, 1, 2]),  # as far back as to the start, and what came just then
        (3, [2, 3]),
        (4, [3, 4]),
    ]


async def test_windows_that_do_not_overlap_have_each_item_once_the_last_one_too():
    ticks = Flow.interval(1, delay=0.5).take(5)

    assert await timed(ticks.windowed_by_time(2)) == [
        (2, [0, 1]),
        (4, [2, 3]),
        (4.5, [4]),
    ]
    assert await timed(ticks.windowed_by_time(2, every=4)) == [(4, [2, 3]), (4.5, [4])]
    assert await timed(ticks.windowed_by_time(2, every=1.5)) == [
        (1.5, [0, 1]),
        (3, [1, 2]),
        (4.5, [3, 4]),
    ]


async def test_windows_by_time_leave_out_what_comes_between_them():
    assert await timed(Flow.interval(1).take(9).windowed_by_time(2, every=5)) == [
        (5, [4, 5]),
        (8, [7, 8]),
    ]


async def test_an_error_drops_the_window_that_was_begun():
    await assert_marbles(
        lambda a: a.windowed_by_time(3), "ab--c#", expected="---1-#", values=LISTS
    )


async def test_an_empty_flow_has_the_windows_that_were_due():
    await assert_marbles(
        lambda a: a.windowed_by_time(2), "---|", expected="--5|", values=LISTS
    )
    assert await Flow.empty().windowed_by_time(2).to_list() == []


async def test_windows_by_time_stop_with_the_consumer():
    await assert_marbles(
        lambda a: a.windowed_by_time(2),
        "ab----",
        expected="--(1!)",
        values=LISTS,
        collected="^-!",
    )


async def test_windows_by_time_are_late_for_a_slow_consumer_but_not_lost():
    await assert_marbles(
        lambda a: a.windowed_by_time(3),
        "ab---c-------d|",
        expected="---1----4----5----5----6----|",
        values=LISTS,
        pause=5,
    )


async def test_upstream_waits_when_many_items_have_come_for_a_slow_consumer():
    source = Source(*range(5000))
    spread = Flow(source.generator).on_each(lambda _: anyio.sleep(0.01))
    async with spread.windowed_by_time(1).open() as items:
        first = await anext(items)
        await anyio.sleep(100)

        assert source.pulled == len(first) + 1024


async def test_windows_by_time_do_not_drift():
    windows = await timed(Flow.interval(0.1).windowed_by_time(0.7).take(100))

    assert windows[-1] == (70, list(range(694, 701)))


def windows_of(items, end, fails, period, every):
    def window(until):
        return [
            x
            for time, x in items
            if time <= until and (until - period < time or until <= period)
        ]

    result, tick = [], every
    while tick < end:
        result.append((tick, window(tick)))
        tick += every
    fresh = [x for time, x in items if tick - every < time or tick == every]
    last = window(end)
    if every >= period:  # no item is in two windows
        last = [x for x in last if x in fresh]
    return result + [(end, last)] * bool(fresh and last and not fails)


@given(schedules, durations, st.none() | durations, st.booleans(), st.integers(0, 5))
async def test_windowed_by_time_does_what_its_model_says(
    schedule, period, every, fails, pause
):
    items, end = schedule
    error = Boom() if fails else None
    expected = windows_of(items, end, fails, period, every or period)
    windows = played(items, end, error).windowed_by_time(period, every=every)
    came, raised = await timed(windows, fails=True)
    slowly, _ = await timed(windows, pause=pause, fails=True)

    assert came == expected
    assert raised is error
    assert [x for _, x in slowly] == [x for _, x in expected]


# -------------------------------------------------------------------------- windowed


def windows(items, size, step, partial):
    """Say what windows are, without a thought for speed."""
    cut = [items[start : start + size] for start in range(0, len(items), step)]
    return [window for window in cut if partial or len(window) == size]


@given(NUMBERS, st.integers(1, 6), st.integers(1, 6), st.booleans())
async def test_windowed_gives_a_window_every_step_items(items, size, step, partial):
    flow = Flow(items).windowed(size, step, partial=partial)

    assert await flow.to_list() == windows(items, size, step, partial)


@given(NUMBERS, st.integers(1, 6))
async def test_windowed_moves_by_one_and_gives_only_full_windows_by_default(
    items, size
):
    assert await Flow(items).windowed(size).to_list() == windows(items, size, 1, False)


# ------------------------------------------------------------------------ chunked_by


@given(NUMBERS, st.sampled_from([abs, bool, str, lambda n: n // 2]))
async def test_chunked_by_is_groupby(items, key):
    groups = [(own, list(run)) for own, run in itertools.groupby(items, key)]

    assert await Flow(items).chunked_by(key).to_list() == groups


async def test_chunked_by_gives_the_key_of_the_item_before_the_next_run():
    runs = Flow.of(1, 1.0, True, 2).chunked_by(lambda n: n)

    assert await runs.to_list() == [(1, [1, 1.0, True]), (2, [2])]


async def test_an_error_of_the_key_comes_after_the_run_before_it(outcome):
    error = ValueError("boom")

    async def fails_at_three(n):
        await anyio.sleep(1)
        if n == 3:
            raise error
        return n // 2

    items, raised = await outcome(Flow.of(0, 1, 2, 3, 4).chunked_by(fails_at_three))

    assert items == [(0, [0, 1]), (1, [2])]
    assert raised is error


async def test_chunked_by_takes_every_nan_for_a_key_of_its_own():
    nan = math.nan

    runs = await Flow.of(1.0, nan, nan, 1.0, 1.0).chunked_by(lambda x: x).to_list()

    assert [len(run) for _, run in runs] == [1, 1, 1, 2]


# --------------------------------------------------------------------------- group_by


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend):
    before = len(anyio.get_running_tasks())
    yield
    assert len(anyio.get_running_tasks()) == before


def first(item):
    return item[0]


async def collect_all(groups, each=None):
    """Collect all groups at once; return what came of each, and what was raised."""
    results, errors = [], []

    async def collect(group, items):
        try:
            await (each(group) if each else group).collect(items.append)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        try:
            async for group in groups:
                results.append((group.key, []))
                tasks.start_soon(collect, group, results[-1][1])
        except Exception as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)
    return results, errors


def as_marbles(groups):
    """Name each new group and each item of a group, as one flow."""

    @flow
    async def played():
        send, receive = anyio.create_memory_object_stream(100)

        async def play(group, end):
            async with end:
                async for item in group:
                    await end.send(f"{group.key}:{item}")
                await end.send(f"{group.key}|")

        async def play_all(end):
            async with end, anyio.create_task_group() as tasks:
                async for group in groups:
                    await end.send(group.key)
                    tasks.start_soon(play, group, end.clone())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(play_all, send)
            async with receive:
                async for item in receive:
                    yield item

    return played()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("|", "|"),
        ("", ""),
        ("a-A-b", "('a''a:a')-'a:A'-('b''b:b')"),
    ],
)
async def test_groups_come_with_their_first_item(source, expected):
    await assert_marbles(
        lambda a: as_marbles(a.group_by(str.lower)), source, expected=expected
    )


@given(NUMBERS)
async def test_groups_are_what_to_groups_gives(numbers):
    results, errors = await collect_all(Flow(numbers).group_by(abs))

    assert errors == []
    assert dict(results) == await Flow(numbers).to_groups(abs)
    assert [key for key, _ in results] == list(dict.fromkeys(map(abs, numbers)))


async def test_groups_that_fit_may_be_collected_one_after_the_other():
    groups = await Flow(range(9)).group_by(lambda n: n % 2).to_list()

    assert all(isinstance(group, GroupedFlow) for group in groups)
    assert [(g.key, await g.to_list()) for g in groups] == [
        (0, [0, 2, 4, 6, 8]),
        (1, [1, 3, 5, 7]),
    ]


async def test_all_groups_get_the_error_of_the_source_after_their_items():
    boom = Boom()
    source = Source(1, 2, 3, error=boom)
    groups = Flow(source.generator).group_by(lambda n: n % 2)

    results, errors = await collect_all(groups)

    assert results == [(1, [1, 3]), (0, [2])]
    assert errors == [boom] * 3
    assert all(error is boom for error in errors)
    assert source.is_closed


@pytest.mark.parametrize("capacity", [2, 5])
async def test_upstream_waits_for_an_unread_group(capacity):
    source = Source(*range(100))
    groups = Flow(source.generator).group_by(lambda n: n % 2, capacity=capacity)
    async with groups.open() as items:
        even = await anext(items)
        odd = await anext(items)
        await anyio.sleep(1)
        assert source.pulled == 2 * capacity - 1

        async with even.open() as numbers:
            for n in range(2):
                assert await anext(numbers) == 2 * n
                await anyio.sleep(1)

                # The odd ones are not read: the next of them is the last.
                assert source.pulled == 2 * capacity
        assert odd.key == 1
    assert source.is_closed


async def test_no_more_groups_wait_than_the_capacity():
    source = Source(*range(100))
    async with Flow(source.generator).group_by(abs, capacity=3).open() as groups:
        assert (await anext(groups)).key == 0
        await anyio.sleep(1)

        assert source.pulled == 4


async def test_the_groups_go_on_when_their_flow_was_left():
    source = Source(*range(100))
    groups = Flow(source.generator).group_by(lambda n: n % 5, capacity=2)

    results, errors = await collect_all(groups.take(2))

    assert results == [(0, list(range(0, 100, 5))), (1, list(range(1, 100, 5)))]
    assert errors == []
    assert source.is_closed


async def test_when_the_last_of_them_leaves_the_source_is_closed():
    source = Source(*range(1000))
    groups = Flow(source.generator).group_by(lambda n: n % 5, capacity=2)

    results, errors = await collect_all(groups.take(2), lambda group: group.take(3))

    assert results == [(0, [0, 5, 10]), (1, [1, 6, 11])]
    assert errors == []
    assert source.pulled < 20
    assert source.is_closed


async def test_a_group_that_was_left_gets_no_more_items_and_no_second_group():
    groups = Flow("abababcab").group_by(str)

    results, _ = await collect_all(groups, lambda group: group.take(1))

    assert results == [("a", ["a"]), ("b", ["b"]), ("c", ["c"])]


async def test_a_group_that_was_cancelled_leaves_the_others_alone():
    async def wait(item):
        await anyio.sleep(1)

    source = Flow("ababab").on_each(wait)
    seen = []

    async def cancelled(group):
        with anyio.move_on_after(1.5):
            await group.collect()

    async with anyio.create_task_group() as tasks:
        async for group in source.group_by(str):
            if group.key == "a":
                tasks.start_soon(cancelled, group)
            else:
                tasks.start_soon(group.collect, seen.append)

    assert seen == ["b", "b", "b"]


async def test_a_group_can_be_collected_once():
    group = await Flow("aa").group_by(str).to_list()
    items = await group[0].to_list()

    assert items == ["a", "a"]
    with pytest.raises(FlowConsumedError, match="group_by can be collected once"):
        await group[0].to_list()


async def test_a_group_that_nobody_began_is_refused_when_all_have_left():
    source = Source(*range(900))
    group = await Flow(source.generator).group_by(abs).first()

    assert source.is_closed
    with pytest.raises(FlowConsumedError, match="was closed before"):
        await group.to_list()


async def test_a_group_that_is_gone_holds_nobody():
    async with Flow(range(1000)).group_by(lambda n: n % 3, capacity=2).open() as groups:
        keys = [(await anext(groups)).key for _ in range(3)]
        await anyio.sleep(1)

        assert await anext(groups, None) is None
    assert keys == [0, 1, 2]


async def test_a_group_that_is_gone_while_the_source_is_closed_does_not_disturb_it():
    groups = []
    cleaned_up = False

    async def source():
        nonlocal cleaned_up
        try:
            yield 1
            yield 2
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(2)
            cleaned_up = True

    async def let_go():
        await anyio.sleep(2)
        groups.clear()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(let_go)
        async with Flow(source).group_by(abs).open() as items:
            groups += [await anext(items), await anext(items)]
            await anyio.sleep(1)

    assert cleaned_up


async def test_one_group_too_many_ends_the_one_that_was_used_least_recently():
    groups = Flow(["a1", "b1", "a2", "c1", "b2", "b3"]).group_by(first, max_groups=2)

    results, errors = await collect_all(groups)

    assert errors == []
    assert results == [
        *(("a", ["a1", "a2"]), ("b", ["b1"]), ("c", ["c1"]), ("b", ["b2", "b3"]))
    ]


async def test_keys_may_be_computed_in_the_background():
    async def key(item):
        await anyio.sleep(1)
        return item[0]

    results, _ = await collect_all(Flow(["a1", "b1", "a2"]).group_by(key))

    assert results == [("a", ["a1", "a2"]), ("b", ["b1"])]


async def test_a_key_that_is_not_hashable_is_an_error_in_its_place():
    results, errors = await collect_all(Flow([1, [2]]).group_by(lambda x: x))

    assert results == [(1, [1])]
    assert [type(error) for error in errors] == [TypeError] * 2
    assert errors[0] is errors[1]


async def test_a_grouped_flow_can_be_made():
    group = GroupedFlow("key", [1, 2])

    assert (group.key, await group.map(str).to_list()) == ("key", ["1", "2"])
