"""What the timed operators mean: marble in, marble out, and models of random schedules."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source
from tests.operators.schedules import durations, played, schedules, timed

pytestmark = pytest.mark.anyio


TIMED = {
    "debounce": lambda a: a.debounce(2),
    "debounce(fn)": lambda a: a.debounce(lambda _: 2),
    "throttle": lambda a: a.throttle(2),
    "throttle(trailing)": lambda a: a.throttle(2, trailing=True),
    "sample": lambda a: a.sample(2),
    "sample of a flow of ticks": lambda a: a.sample(Flow.interval(2, delay=2)),
    "delay": lambda a: a.delay(2),
    "delay_start": lambda a: a.delay_start(0),
    "pace": lambda a: a.pace(1, 2),
    "timeout": lambda a: a.timeout(100),
    "timeout(fallback)": lambda a: a.timeout(100, fallback="x"),
}

every_one = pytest.mark.parametrize("apply", TIMED.values(), ids=TIMED)


@every_one
async def test_an_empty_flow_ends_when_its_source_does(apply):
    await assert_marbles(apply, "---|", expected="---|", collected="^--!")


@every_one
async def test_an_error_alone_comes_when_it_is_raised(apply):
    await assert_marbles(apply, "---#", expected="---#", collected="^--!")


@every_one
async def test_of_a_flow_that_never_does_anything_comes_nothing(apply):
    came = []
    with anyio.move_on_after(50) as scope:
        await apply(Flow.never()).collect(came.append)

    assert scope.cancelled_caught
    assert came == []


@every_one
async def test_a_consumer_that_stops_while_it_waits_closes_the_source(apply):
    await assert_marbles(apply, "------a", expected="-----!", collected="^----!")


@pytest.mark.parametrize(
    "name", ["debounce", "throttle", "sample", "delay", "delay_start", "timeout"]
)
async def test_durations_can_be_timedeltas(name):
    made = getattr(Flow.of(1), name)(timedelta(minutes=1))

    assert repr(made) == f"Flow.of(1).{name}(60.0)"


# -------------------------------------------------------------------------- debounce


@pytest.mark.parametrize("seconds", [2, timedelta(seconds=2), lambda _: 2])
async def test_debounce_emits_what_was_followed_by_quiet(seconds):
    await assert_marbles(
        lambda a: a.debounce(seconds),
        "ab---c--d|",
        expected="---b---c-(d|)",
        collected="^--------!",
    )


async def test_an_item_at_the_end_of_the_quiet_period_replaces_the_one_before():
    await assert_marbles(lambda a: a.debounce(2), "a-b-c---|", expected="------c-|")
    # With plain timers too, which event loops fire in any order.
    assert await timed(Flow.interval(2).take(4).debounce(2)) == [(6, 3)]


async def test_the_pending_item_comes_at_once_when_the_source_ends():
    await assert_marbles(lambda a: a.debounce(9), "a-b|", expected="---(b|)")


async def test_an_error_drops_the_pending_item():
    await assert_marbles(
        lambda a: a.debounce(2), "a---b#", expected="--a--#", collected="^----!"
    )


async def test_an_item_whose_quiet_ends_as_the_error_comes_is_dropped():
    await assert_marbles(lambda a: a.debounce(2), "a-#", expected="--#")


async def test_a_consumer_that_breaks_off_stops_the_source_at_once():
    await assert_marbles(
        lambda a: a.debounce(2),
        "a---b---c",
        expected="--a---(b!)",
        collected="^-----!",
    )


async def test_while_the_consumer_is_busy_one_item_waits_and_its_time_does_not_begin():
    # a is emitted at 2 and held until 7; b waits, c is pulled when b is received.
    await assert_marbles(
        lambda a: a.debounce(2), "a--b--c--|", expected="--a------c----|", pause=5
    )


async def test_each_item_has_a_quiet_period_of_its_own():
    async def seconds(name):
        return {"a": 5, "b": 1, "c": 0, "d": 3}[name]

    # A shorter one is not held up by the timer of a longer one before.
    await assert_marbles(
        lambda a: a.debounce(seconds), "ab-cd----|", expected="--bc---d-|"
    )


async def test_a_period_of_0_lets_every_item_pass():
    assert await Flow(range(5)).debounce(0).to_list() == [0, 1, 2, 3, 4]
    await assert_marbles(lambda a: a.debounce(0), "(ab)c|", expected="(ab)c|")


@pytest.mark.parametrize(
    ("given", "error"), [(-1, ValueError), ("1", TypeError), (None, TypeError)]
)
async def test_a_period_that_is_none_fails_the_flow(given, error):
    source = Source(1, 2, hangs=True)
    with pytest.raises(error, match="seconds must be"):
        await Flow(source.generator).debounce(lambda _: given).to_list()

    assert source.is_closed


async def test_debounce_of_a_source_that_never_waits_gives_the_last_item():
    async def quick():
        for n in range(5000):
            yield n

    assert await Flow(quick).debounce(1).to_list() == [4999]


# -------------------------------------------------------------------------- throttle


async def test_throttle_emits_the_first_item_of_each_interval():
    await assert_marbles(
        lambda a: a.throttle(3), "abc--d----ef-|", expected="a----d----e--|"
    )


async def test_an_item_at_the_end_of_an_interval_opens_the_next_one():
    await assert_marbles(lambda a: a.throttle(2), "abcdef|", expected="a-c-e-|")
    assert await timed(Flow.interval(0.1).take(10).throttle(0.3)) == [
        (0, 0),
        (0.3, 3),
        (0.6, 6),
        (0.9, 9),
    ]


async def test_a_throttled_flow_is_pulled_as_it_is_read():
    source = Source(1, 2, 3)
    async with Flow(source.generator).throttle(1).open() as items:
        await anext(items)
        await anyio.sleep(5)

        assert source.pulled == 1


async def test_throttle_stops_and_fails_with_its_source():
    await assert_marbles(lambda a: a.throttle(3), "ab--c#", expected="a---c#")
    await assert_marbles(
        lambda a: a.throttle(3), "ab--c-", expected="a---(c!)", collected="^---!"
    )


async def test_trailing_emits_the_last_item_of_an_interval_at_its_end():
    await assert_marbles(
        lambda a: a.throttle(3, trailing=True),
        "abc--d----ef-|",
        expected="a--c--d---e--(f|)",
    )


async def test_trailing_emits_nothing_at_the_end_of_an_interval_with_one_item():
    await assert_marbles(
        lambda a: a.throttle(3, trailing=True), "a----b-|", expected="a----b-|"
    )


async def test_trailing_waits_with_the_last_item_for_the_end_of_the_interval():
    await assert_marbles(
        lambda a: a.throttle(4, trailing=True),
        "ab|",
        expected="a---(b|)",
        collected="^-!",
    )


async def test_trailing_has_an_item_at_the_end_of_an_interval_at_once():
    await assert_marbles(
        lambda a: a.throttle(2, trailing=True), "abcdef|", expected="a-c-e-(f|)"
    )
    ticks = Flow.interval(1).take(4).throttle(2, trailing=True)
    assert await timed(ticks) == [(0, 0), (2, 2), (4, 3)]


async def test_trailing_drops_what_waits_at_an_error():
    await assert_marbles(lambda a: a.throttle(4, trailing=True), "ab#", expected="a-#")


async def test_trailing_gives_a_slow_consumer_the_newest():
    await assert_marbles(
        lambda a: a.throttle(2, trailing=True),
        "abcdefgh--|",
        expected="a----f----h----|",
        pause=5,
    )


async def test_trailing_loses_neither_the_first_nor_the_last_of_a_burst():
    assert await timed(Flow(range(3000)).throttle(1, trailing=True)) == [
        (0, 0),
        (1, 2999),
    ]


# ---------------------------------------------------------------------------- sample


async def test_sample_emits_the_newest_item_at_each_tick():
    await assert_marbles(lambda a: a.sample(3), "abc-----d-e|", expected="---c-----d-|")


async def test_the_grid_of_sample_begins_with_the_collection():
    await assert_marbles(
        lambda a: a.sample(3), "----a----b---|", expected="------a--b---|"
    )


@pytest.mark.parametrize("period", [2, Flow.interval(2, delay=2)], ids=["2", "flow"])
async def test_an_item_that_comes_with_a_tick_is_emitted_the_end_drops_the_tail(period):
    await assert_marbles(lambda a: a.sample(period), "a-b-|", expected="--b-|")
    await assert_marbles(lambda a: a.sample(period), "---a|", expected="----|")
    await assert_marbles(lambda a: a.sample(period), "---a#", expected="----#")
    ticks = Flow.interval(1).take(6).sample(period)
    assert await timed(ticks) == [(2, 2), (4, 4)]


async def test_ticks_that_a_slow_consumer_misses_are_skipped():
    await assert_marbles(
        lambda a: a.sample(2), "abcdefghi-|", expected="--c---g---|", pause=3
    )
    await assert_marbles(
        lambda a, b: a.sample(b),
        "abcdefghi-|",
        "--1-2-3-4-5-6",
        expected="--c---g---|",
        pause=3,
    )


async def test_sample_does_not_drift():
    got = await timed(Flow.interval(0.1).sample(0.7).take(100))

    assert got[-1][0] == pytest.approx(70)
    assert [n for _, n in got] == [7 * k for k in range(1, 101)]


async def test_a_flow_of_ticks_may_end_and_its_error_is_raised():
    await assert_marbles(
        lambda a, b: a.sample(b),
        "abc-d-|",
        "--1|",
        expected="--c---|",
        collected=["^-----!", "^--!"],
    )
    await assert_marbles(
        lambda a, b: a.sample(b),
        "abc-d-|",
        "--1#",
        expected="--c#",
        collected=["^--!", "^--!"],
    )


async def test_the_ticks_are_closed_when_the_source_ends_or_the_consumer_stops():
    await assert_marbles(
        lambda a, b: a.sample(b),
        "ab-|",
        "--1---2",
        expected="--b|",
        collected=["^--!", "^--!"],
    )
    await assert_marbles(
        lambda a, b: a.sample(b),
        "ab---",
        "--1---2",
        expected="--(b!)",
        collected=["^-!", "^-!"],
    )


# ----------------------------------------------------------------------------- delay


async def test_delay_shifts_items_and_keeps_what_lies_between_them():
    await assert_marbles(
        lambda a: a.delay(3), "ab--c|", expected="---ab--(c|)", collected="^----!"
    )


async def test_an_error_follows_the_delayed_items():
    await assert_marbles(lambda a: a.delay(3), "ab#", expected="---a(b#)")


async def test_the_end_itself_is_not_delayed():
    await assert_marbles(lambda a: a.delay(2), "a-----|", expected="--a---|")


async def test_a_delay_of_more_items_than_fit_lets_upstream_wait():
    # Two are on their way: c is pulled when a has left.
    await assert_marbles(
        lambda a: a.delay(4, capacity=2), "abc|", expected="----ab--(c|)"
    )


async def test_a_slow_consumer_gets_delayed_items_as_they_are_due():
    await assert_marbles(
        lambda a: a.delay(2), "abc-----d|", expected="--a--b--c--d--|", pause=3
    )


async def test_the_wait_of_a_delay_ends_when_the_consumer_stops():
    await assert_marbles(
        lambda a: a.delay(4), "ab-c", expected="----(a!)", collected="^---!"
    )
    await assert_marbles(lambda a: a.delay(4), "ab-c", expected="--!", collected="^-!")


# ----------------------------------------------------------------------- delay_start


async def test_delay_start_waits_once_before_the_source_starts():
    await assert_marbles(
        lambda a: a.delay_start(3), "a-b|", expected="---a-b|", collected="---^--!"
    )


async def test_a_delayed_start_can_be_cancelled():
    source = Source(1)
    with anyio.move_on_after(1):
        await Flow(source.generator).delay_start(3).to_list()

    assert source.opened == 0


# ------------------------------------------------------------------------------ pace


async def test_pace_spreads_items_evenly_and_drops_none():
    await assert_marbles(lambda a: a.pace(1, 2), "abc----d|", expected="a-b-c--d|")
    got = await timed(Flow(range(5)).pace(4, 2))

    assert got == [(0, 0), (0.5, 1), (1, 2), (1.5, 3), (2, 4)]


async def test_pace_has_no_bursts_after_a_pause():
    await assert_marbles(
        lambda a: a.pace(1, 2), "a------(bcd)|", expected="a------b-c-(d|)"
    )
    await assert_marbles(
        lambda a: a.pace(1, 2), "abcd|", expected="a----b----c----d----|", pause=5
    )


async def test_pace_gives_items_then_the_error():
    await assert_marbles(lambda a: a.pace(1, 2), "ab#", expected="a-(b#)")


async def test_pace_does_not_drift():
    got = await timed(Flow(range(1001)).pace(3, 1))

    assert got[-1][0] == pytest.approx(1000 / 3)


# --------------------------------------------------------------------------- timeout


LATE = {"#": TimeoutError}


async def test_timeout_raises_when_an_item_takes_too_long():
    await assert_marbles(
        lambda a: a.timeout(3),
        "a-b----c|",
        expected="a-b--#",
        errors=LATE,
        collected="^----!",
    )


async def test_the_first_item_and_the_end_are_waited_for_too():
    await assert_marbles(lambda a: a.timeout(3), "----a|", expected="---#", errors=LATE)
    await assert_marbles(lambda a: a.timeout(3), "a----|", expected="a--#", errors=LATE)


async def test_what_comes_just_at_the_deadline_is_in_time():
    await assert_marbles(lambda a: a.timeout(3), "---a--b--|", expected="---a--b--|")
    assert await Flow.interval(2, delay=2).take(3).timeout(2).to_list() == [0, 1, 2]
    debounced = Flow.interval(2).take(1).concat(Flow.never()).debounce(2)
    assert await debounced.timeout(2).first() == 0


async def test_the_time_of_the_consumer_does_not_count():
    await assert_marbles(
        lambda a: a.timeout(2), "a-b-c|", expected="a----b----c----|", pause=5
    )


async def test_a_timeout_says_how_long_it_waited_and_for_what():
    with pytest.raises(
        TimeoutError, match=r"^timeout: waited 1.5 s for item 2, counted from 0$"
    ) as caught:
        await Flow.of(1, 2).concat(Flow.never()).timeout(1.5).to_list()

    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("options", [{}, {"fallback": ["x"]}])
async def test_a_timeout_error_of_the_source_is_not_taken_for_ones_own(options):
    error = TimeoutError("of the source")
    source = Flow.of(1).concat(Flow.fail(error))
    with pytest.raises(TimeoutError) as caught:
        await source.timeout(1, **options).to_list()

    assert caught.value is error


async def test_a_scope_of_the_source_that_times_out_is_not_taken_for_ones_own():
    async def polls():
        for _ in range(3):
            with anyio.move_on_after(1):
                await anyio.sleep_forever()
            yield "nothing"

    assert await Flow(polls).timeout(2).to_list() == ["nothing"] * 3


async def test_a_fallback_goes_on_when_the_source_has_been_closed():
    await assert_marbles(
        lambda a, b: a.timeout(2, fallback=b),
        "a----b|",
        "-x------y|",
        expected="a--x------y|",
        collected=["^-!", "--^--------!"],
    )


async def test_a_fallback_is_not_asked_when_nothing_is_late():
    source = Source(1, 2)
    other = Source(3)

    assert await Flow(source.generator).timeout(
        1, fallback=other.generator()
    ).to_list() == [1, 2]
    assert other.opened == 0


async def test_an_outer_cancellation_is_no_timeout():
    source = Source(hangs=True)
    with anyio.move_on_after(1) as scope:
        await Flow(source.generator).timeout(2, fallback=[1]).to_list()

    assert scope.cancelled_caught
    assert source.is_closed


async def unclean(error):
    try:
        yield 1
        await anyio.sleep_forever()
    finally:
        raise error


async def test_an_error_of_the_cleanup_is_noted_on_the_timeout():
    with pytest.raises(TimeoutError, match="for item 1") as caught:
        await Flow(lambda: unclean(Boom("late"))).timeout(1).to_list()

    assert caught.value.__notes__ == ["while closing, also raised: Boom('late')"]


async def test_an_error_of_the_cleanup_comes_instead_of_the_fallback():
    boom = Boom()
    with pytest.raises(Boom) as caught:
        await Flow(lambda: unclean(boom)).timeout(1, fallback=[2]).to_list()

    assert caught.value is boom


async def test_timeout_works_on_items_that_are_equal_to_everything():
    class Same:
        def __eq__(self, other):
            return True

        __hash__ = None

    items = [Same(), Same()]

    assert len(await Flow(items).timeout(1, fallback=[]).to_list()) == 2


# ------------------------------------------------------------------- what they share


async def test_timers_of_one_instant_go_from_the_source_down():
    # Each has a timer at 4: debounce gives 0 at 4, which is there at the tick of 4.
    source = Flow.interval(9).take(1).concat(Flow.never())
    chain = source.debounce(4).throttle(1, trailing=True).debounce(0).sample(4)

    assert await timed(chain.take(1)) == [(4, 0)]


async def test_explain_tells_which_of_them_run_tasks():
    plan = Flow.of(1).throttle(1).delay_start(2).pace(1, 1).delay(3, capacity=9)
    text = plan.timeout(1).sample(2).explain()

    assert (
        "delay(3, capacity=9)  # a seam: runs upstream in a task of its own; at most 9 items wait"
        in text
    )
    assert (
        "timeout(1)  # a seam: runs upstream in a task of its own; no item waits"
        in text
    )
    assert "in tasks of their own: 0-3, 4, 5; in the collecting task: 6" in text


# ------------------------------------------------------------ while the reader is busy


@pytest.mark.parametrize("trailing", [False, True])
@pytest.mark.parametrize("how", ["debounce", "throttle"])
async def test_an_error_that_comes_while_the_reader_is_busy_is_raised_after_it(
    how, trailing
):
    make = {
        "debounce": lambda a: a.debounce(1),
        "throttle": lambda a: a.throttle(1, trailing=trailing),
    }[how]
    first = "-" if how == "debounce" else ""

    await assert_marbles(make, "a--#", expected=f"{first}a----#", pause=5)


async def test_debounce_closes_an_item_that_waits_for_a_reader_who_leaves():
    source = Source(1, 2, 3)
    flow = Flow(source.generator).pace(1, 2).debounce(1)

    assert await flow.on_each(lambda _: anyio.sleep(5)).first() == 1
    assert source.is_closed
    assert source.pulled == 2


# ------------------------------------------------------------------- against a model


def debounced(items, end, fails, seconds):
    following = [time for time, _ in items[1:]]
    result = [
        (time + seconds, x)
        for (time, x), after in zip(items, following, strict=False)
        if after > time + seconds
    ]
    for time, x in items[-1:]:
        if time + seconds < end or not fails:
            result.append((min(time + seconds, end), x))
    return result


def throttled(items, end, fails, seconds):
    result = []
    for time, x in items:
        if not result or time >= result[-1][0] + seconds:
            result.append((time, x))
    return result


def throttled_trailing(items, end, fails, seconds):
    result, pending, closes = [], [], None
    for time, x in [*items, (end, "end")]:
        while closes is not None and closes < time:
            result += [(closes, last) for last in pending[-1:]]
            closes = closes + seconds if pending else None
            pending = []
        if x == "end":
            result += [(closes, last) for last in pending[-1:] if not fails]
        elif closes is None:
            result.append((time, x))
            closes = time + seconds
        else:
            pending.append(x)
    return result


def sampled(items, end, fails, period):
    result, tick = [], period
    while tick < end:
        new = [x for time, x in items if tick - period < time <= tick]
        # What comes at the very start is before the first tick too.
        if tick == period:
            new = [x for time, x in items if time <= tick]
        result += [(tick, x) for x in new[-1:]]
        tick += period
    return result


def delayed(items, end, fails, seconds):
    return [(time + seconds, x) for time, x in items]


def paced(items, end, fails, seconds):
    result, free = [], 0.0
    for time, x in items:
        result.append((max(time, free), x))
        free = max(time, free) + seconds
    return result


MODELS = {
    "debounce": (lambda a, s: a.debounce(s), debounced),
    "debounce(fn)": (lambda a, s: a.debounce(lambda _: s), debounced),
    "throttle": (lambda a, s: a.throttle(s), throttled),
    "throttle(trailing)": (
        lambda a, s: a.throttle(s, trailing=True),
        throttled_trailing,
    ),
    "sample": (lambda a, s: a.sample(s), sampled),
    "sample of a flow of ticks": (
        lambda a, s: a.sample(Flow.interval(s, delay=s)),
        sampled,
    ),
    "delay": (lambda a, s: a.delay(s), delayed),
    "pace": (lambda a, s: a.pace(3, 3 * s), paced),
}


@pytest.mark.parametrize(("apply", "model"), MODELS.values(), ids=MODELS)
@given(schedules, durations, st.booleans())
async def test_it_does_what_its_model_says(apply, model, schedule, seconds, fails):
    items, end = schedule
    error = Boom() if fails else None
    came, raised = await timed(apply(played(items, end, error), seconds), fails=True)

    assert came == model(items, end, fails, seconds)
    assert raised is error


@pytest.mark.parametrize("apply", TIMED.values(), ids=TIMED)
@given(schedules, st.integers(0, 5))
async def test_items_keep_their_order_for_a_slow_consumer_of_any_pace(
    apply, schedule, pause
):
    items, end = schedule
    came = await timed(apply(played(items, end)), pause=pause)
    numbers = [x for _, x in came]

    assert numbers == sorted(set(numbers))


async def test_timeout_takes_a_source_that_holds_a_task_group():
    async def source():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 100)
            yield 1
            await anyio.sleep(2)
            yield 2
            await anyio.sleep(4)

    flow = Flow(source).timeout(3, fallback=["late"])

    assert await flow.to_list() == [1, 2, "late"]
    assert await flow.take(1).to_list() == [1]
