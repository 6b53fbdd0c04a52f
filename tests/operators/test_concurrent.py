"""Concurrent calls and inner flows: bounds, order, errors, context, early stops."""

from __future__ import annotations

import random
from contextvars import ContextVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import SKIP, Flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

either_order = pytest.mark.parametrize("ordered", [True, False])


def call(seconds):
    """Return a function that takes some seconds, by item."""

    async def wait(item):
        await anyio.sleep(seconds[item])
        return item.upper()

    return wait


class Calls:
    """A function that takes a second, and knows how many calls of it run."""

    def __init__(self, seconds=lambda item: 1):
        self.seconds = seconds
        self.running = self.most = self.started = self.ended = 0

    async def __call__(self, item):
        self.started += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await anyio.sleep(self.seconds(item))
            self.ended += 1
            return item
        finally:
            self.running -= 1


# -------------------------------------------------------------------- map(concurrency)


COLLECTION_OF_TEN = [
    list(range(10)),
    tuple(range(10)),
    range(10),
    dict.fromkeys(range(10)),
]


@either_order
@pytest.mark.parametrize(
    "items", COLLECTION_OF_TEN, ids=lambda items: type(items).__name__
)
async def test_a_collection_is_called_with_item_by_item(items, ordered):
    calls = Calls(lambda item: item % 3)
    results = await Flow(items).map(calls, concurrency=4, ordered=ordered).to_list()

    assert sorted(results) == list(items)
    assert results == list(items) or not ordered
    assert calls.most == 4


@either_order
async def test_no_more_of_a_collection_is_begun_than_twice_the_calls_at_once(ordered):
    calls = Calls(lambda item: 0)
    begun = []
    async with Flow(range(100)).map(calls, concurrency=4, ordered=ordered).open() as it:
        for _ in range(20):
            await anext(it)
            await anyio.sleep(1)
            begun.append(calls.started)

    assert begun == list(range(9, 29))


@either_order
@pytest.mark.parametrize("wait", [anyio.sleep, None])
async def test_an_error_stops_the_calls_for_a_collection(ordered, wait):
    seen = []

    async def fn(item):
        if wait is not None:
            await wait(item)
        seen.append(item)
        if item == 3:
            raise Boom
        return item

    items, error = [], None
    try:
        flow = Flow(range(100)).map(fn, concurrency=2, ordered=ordered)
        await flow.collect(items.append)
    except Boom as raised:
        error = raised

    assert items == [0, 1, 2]
    assert seen == [0, 1, 2, 3]
    assert isinstance(error, Boom)


@either_order
async def test_what_is_appended_to_a_list_meanwhile_is_called_with_too(ordered):
    todo = [3, 3]

    async def visit(n):
        await anyio.sleep(1)
        todo.extend([n - 1] * n)
        return n

    found = await Flow(todo).map(visit, concurrency=2, ordered=ordered).to_list()

    assert sorted(found) == [*[0] * 12, *[1] * 12, *[2] * 6, 3, 3]


@either_order
async def test_a_dict_that_changes_meanwhile_is_an_error_after_the_results(ordered):
    ages = {"ann": 3, "bob": 5, "cid": 8}
    seen = []

    async def age(name):
        await anyio.sleep(ages[name])
        ages["dan"] = 1
        return ages[name]

    flow = Flow(ages).map(age, concurrency=2, ordered=ordered)
    with pytest.raises(RuntimeError, match="changed size") as raised:
        await flow.collect(seen.append)

    assert seen == [3, 5]
    assert not hasattr(raised.value, "__notes__")  # as if each worker had met it


async def test_results_come_in_the_order_of_the_items():
    await assert_marbles(
        lambda a: a.map(call({"a": 5, "b": 1, "c": 1}), concurrency=3),
        "abc-----|",
        expected="-----(ABC)--|",
    )


async def test_unordered_results_come_as_the_calls_end():
    await assert_marbles(
        lambda a: a.map(call({"a": 5, "b": 1, "c": 2}), concurrency=3, ordered=False),
        "abc-----|",
        expected="--B-CA--|",
    )


@either_order
async def test_a_flow_without_items_gives_none_and_ends(ordered):
    await assert_marbles(
        lambda a: a.map(str, concurrency=3, ordered=ordered), "--|", expected="--|"
    )
    await assert_marbles(
        lambda a: a.map(str, concurrency=3, ordered=ordered), "", expected=""
    )


@either_order
async def test_the_source_error_comes_after_the_results_of_the_items_before_it(ordered):
    await assert_marbles(
        lambda a: a.map(call({"a": 3, "b": 3}), concurrency=3, ordered=ordered),
        "ab#",
        expected="---A(B#)",
    )


async def test_an_error_of_a_call_comes_in_its_place():
    seen = []

    async def work(item):
        try:
            await anyio.sleep({"a": 4, "b": 1, "c": 9}[item])
        except BaseException:
            seen.append(f"{item} was cancelled at {anyio.current_time():.0f}")
            raise
        if item == "b":
            raise Boom
        return item

    await assert_marbles(
        lambda a: a.map(work, concurrency=3),
        "abc---------|",
        expected="----(a#)",
        errors={"#": Boom},
        collected=["^-!"],
    )
    assert seen == ["c was cancelled at 2"]


async def test_an_unordered_error_cancels_the_other_calls_at_once():
    seen = []

    async def work(item):
        try:
            await anyio.sleep({"a": 4, "b": 1, "c": 9}[item])
        finally:
            seen.append(f"{item} ended at {anyio.current_time():.0f}")
        if item == "b":
            raise Boom
        return item

    await assert_marbles(
        lambda a: a.map(work, concurrency=3, ordered=False),
        "abc---------|",
        expected="--#",
        errors={"#": Boom},
        collected=["^-!"],
    )
    assert sorted(seen) == ["a ended at 2", "b ended at 2", "c ended at 2"]


async def test_of_two_calls_that_fail_the_first_in_line_wins_and_has_a_note():
    first, second = Boom("first"), Boom("second")

    async def work(item):
        await anyio.sleep(3 - item)
        raise (first, second)[item]

    with pytest.raises(Boom) as caught:
        await Flow.of(0, 1).map(work, concurrency=2).collect()

    assert caught.value is first
    assert any("second" in note for note in first.__notes__)
    assert any("in stage 1 of Flow.of(0, 1).map(" in note for note in first.__notes__)


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_a_cancelled_call_raises_is_noted_on_the_error(ordered):
    first, late = Boom("first"), Boom("late")

    async def work(item):
        if item == 0:
            await anyio.sleep(1)
            raise first
        try:
            await anyio.sleep_forever()
        finally:
            raise late

    with pytest.raises(Boom) as caught:
        await Flow.of(0, 1).map(work, concurrency=2, ordered=ordered).collect()

    assert caught.value is first
    assert any("late" in note for note in first.__notes__)


@pytest.mark.parametrize("ordered", [True, False])
async def test_what_a_call_raises_that_nobody_waits_for_is_dropped(ordered):
    ended = []

    async def work(item):
        if item == 0:
            await anyio.sleep(1)
            return item
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(item)
            raise Boom

    flow = Flow.of(0, 1).map(work, concurrency=2, ordered=ordered)

    assert await flow.first() == 0
    assert ended == [1]


async def test_the_first_error_wins_where_there_is_no_order():
    first, second = Boom("first"), Boom("second")

    async def work(item):
        await anyio.sleep(3 - item)
        raise (first, second)[item]

    with pytest.raises(Boom) as caught:
        await Flow.of(0, 1).map(work, concurrency=2, ordered=False).collect()

    assert caught.value is second


@either_order
async def test_no_more_calls_run_than_concurrency_says(ordered):
    calls = Calls(lambda item: item % 3)
    made = await Flow(range(40)).map(calls, concurrency=4, ordered=ordered).to_list()

    assert sorted(made) == list(range(40))
    assert calls.most == 4


@either_order
async def test_an_item_is_pulled_when_a_worker_is_free(ordered):
    source = Source(*range(100))
    calls = Calls(lambda item: 10)
    flow = Flow(source.generator).map(calls, concurrency=4, ordered=ordered)
    async with flow.open() as items:
        with anyio.move_on_after(5):
            await anext(items)
        # The first pull was cancelled, so that nothing is left of it.
        assert source.pulled == calls.started == 4
        assert source.is_closed

    async with flow.open() as items:
        await anext(items)
        await anyio.sleep(1000)

        assert source.pulled - 4 == 1 + 2 * 4


async def test_work_goes_on_past_a_slow_head():
    calls = Calls(lambda item: 100 if item == 0 else 1)
    source = Source(*range(50))
    flow = Flow(source.generator).map(calls, concurrency=3)
    async with flow.open() as items:
        assert await anext(items) == 0
        started = calls.started

        assert anyio.current_time() == pytest.approx(100, abs=0.1)
        # At most 2 * 3 had been started and not yet passed on.
        assert started in {6, 7}
        assert source.pulled == started


@either_order
async def test_a_slow_reader_holds_the_source_back(ordered):
    source = Source(*range(100))
    most = 0
    taken = 0

    async def take(item):
        nonlocal most, taken
        taken += 1
        await anyio.sleep(1)
        most = max(most, source.pulled - taken)

    flow = Flow(source.generator).map(lambda n: n, concurrency=5, ordered=ordered)
    await flow.collect(take)

    assert most == 10


@either_order
async def test_calls_in_flight_are_cancelled_when_the_reader_stops(ordered):
    async def work(item):
        if item == 0:
            return 0
        try:
            await anyio.sleep(9)
        finally:
            raise Boom  # of work that nobody asks for any more

    source = Source(*range(9))
    items = (
        await Flow(source.generator)
        .map(work, concurrency=3, ordered=ordered)
        .take(1)
        .to_list()
    )

    assert items == [0]
    assert anyio.current_time() < 9
    assert source.is_closed


@either_order
@pytest.mark.parametrize("replace", ["plain", "async"])
async def test_on_error_replaces_or_skips(ordered, replace):
    async def work(item):
        await anyio.sleep(10 - item)
        if item % 2:
            raise Boom(item)
        return item

    def plain(error, item):
        assert error.args == (item,)
        return SKIP if item == 3 else -item

    async def coroutine(error, item):
        await anyio.sleep(0.1)
        return plain(error, item)

    handler = plain if replace == "plain" else coroutine
    made = Flow(range(6)).map(work, concurrency=6, ordered=ordered, on_error=handler)
    expected = [0, -1, 2, 4, -5]

    assert await made.to_list() == (expected if ordered else [*reversed(expected)])


async def test_an_error_of_on_error_ends_the_flow():
    boom = Boom()

    async def work(item):
        await checkpoint()
        raise KeyError(item)

    def handler(error, item):
        raise boom

    with pytest.raises(Boom) as caught:
        await Flow.of(1).map(work, concurrency=2, on_error=handler).collect()

    assert caught.value is boom
    assert isinstance(boom.__context__, KeyError)


async def test_skipped_items_do_not_let_the_source_run_ahead():
    source = Source(*range(100))
    flow = Flow(source.generator).map(
        lambda n: 1 / (n % 50), concurrency=2, on_error=lambda error, item: SKIP
    )
    async with flow.open() as items:
        assert await anext(items) == 1
        await anyio.sleep(10)

        assert source.pulled == 2 + 4


@either_order
async def test_calls_see_the_context_of_the_first_pull(ordered):
    variable = ContextVar("variable", default="unset")
    seen = []

    async def look(item):
        await checkpoint()
        seen.append(variable.get())

    flow = Flow(range(20)).map(look, concurrency=2, ordered=ordered)
    variable.set("first pull")
    async with flow.open() as items:
        await anext(items)
        variable.set("later")
        async for _ in items:
            pass

    assert set(seen) == {"first pull"}


async def test_plain_functions_run_in_turn():
    seen = []

    def work(item):
        seen.append(item)
        return -item

    made = await Flow(range(20)).map(work, concurrency=7).to_list()

    assert made == [-n for n in range(20)]
    assert sorted(seen) == list(range(20))


@either_order
async def test_exceptions_that_no_except_should_see_end_it_too(ordered):
    class Exit(BaseException):
        pass

    async def work(item):
        await anyio.sleep(item)
        raise Exit

    source = Source(1, 2, 3, hangs=True)
    with pytest.raises(Exit):
        await Flow(source.generator).map(work, concurrency=4, ordered=ordered).collect()

    assert source.is_closed


@either_order
async def test_an_error_in_the_cleanup_of_the_source_is_noted_on_that_of_a_call(
    ordered,
):
    async def numbers():
        try:
            yield 1
            await anyio.sleep(9)
        finally:
            raise KeyError("cleanup")

    async def work(item):
        await anyio.sleep(1)
        raise Boom

    with pytest.raises(Boom) as caught:
        await Flow(numbers).map(work, concurrency=3, ordered=ordered).collect()

    assert any("KeyError('cleanup')" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("seed", range(150))
async def test_random_schedules_agree_with_a_plain_model(seed):  # noqa: C901 - a model of all of it
    rng = random.Random(seed)
    count = rng.randrange(0, 25)
    concurrency = rng.randrange(2, 6)
    ordered = rng.random() < 0.6
    delays = [rng.choice([None, 0, 1, 2, 5]) for _ in range(count)]
    spaces = [rng.choice([None, None, 0, 1, 3]) for _ in range(count)]
    pause = rng.choice([None, 0, 1, 4])
    fail_at = rng.choice([None, *range(count)])
    source_fails = rng.random() < 0.3
    stop_after = rng.choice([None, None, *range(1, count + 1)])
    boom, end = Boom("call"), Boom("source")
    calls = pulled = closed = 0

    async def wait(seconds):
        if seconds is not None:
            await anyio.sleep(seconds)

    async def numbers():
        nonlocal pulled, closed
        try:
            for n in range(count):
                await wait(spaces[n])
                pulled += 1
                yield n
            if source_fails:
                raise end
        finally:
            await checkpoint_shielded()
            closed += 1

    async def checkpoint_shielded():
        with anyio.CancelScope(shield=True):
            await checkpoint()

    most = 0

    async def work(n):
        nonlocal calls, most
        calls += 1
        most = max(most, calls)
        try:
            await wait(delays[n])
            if n == fail_at:
                raise boom
            return n
        finally:
            calls -= 1

    got, error = [], None
    ahead = 0
    flow = Flow(numbers).map(work, concurrency=concurrency, ordered=ordered)
    try:
        async with flow.open() as items:
            async for x in items:
                got.append(x)
                ahead = max(ahead, pulled - len(got))
                await wait(pause)
                ahead = max(ahead, pulled - len(got))
                if len(got) == stop_after:
                    break
    except Boom as raised:
        error = raised

    stopped = stop_after is not None and len(got) == stop_after
    assert calls == 0
    assert closed == 1
    assert most <= concurrency
    assert ahead <= 2 * concurrency
    assert len(set(got)) == len(got)
    if ordered:
        expected = list(range(count if fail_at is None else fail_at))
        assert got == (expected[:stop_after] if stopped else expected)
    elif fail_at is None and not stopped:
        assert sorted(got) == list(range(count))
    else:
        assert set(got) <= set(range(count)) - {fail_at}
    if stopped:
        assert error is None
    elif fail_at is not None:
        assert error is boom
    else:
        assert error is (end if source_fails else None)


# --------------------------------------------------- flat_map(concurrency), flatten


def every(seconds, *items):
    """Return a flow that gives an item each few seconds, the first at once."""
    return Flow.interval(seconds).take(len(items)).map(items.__getitem__)


async def test_inner_flows_are_merged_as_their_items_come():
    await assert_marbles(
        lambda a: a.flat_map(lambda x: every(3, x, x), concurrency=2),
        "-a-b----|",
        expected="-a-ba-b-|",
    )


async def test_an_item_is_pulled_when_an_inner_flow_has_ended():
    source = Source(*range(10))
    running = most = 0

    async def inner(n):
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            yield n
            await anyio.sleep(1)
            yield n
        finally:
            running -= 1

    made = Flow(source.generator).flat_map(inner, concurrency=3)
    async with made.open() as items:
        await anext(items)
        pulled = source.pulled
        rest = [x async for x in items]

    assert pulled == 3
    assert most == 3
    assert len(rest) == 19
    assert source.is_closed


async def test_no_inner_flow_keeps_others_from_running():
    async def endless(n):
        while True:
            yield n

    items = await Flow(range(3)).flat_map(endless, concurrency=3).take(300).to_list()

    assert {items.count(n) > 50 for n in range(3)} == {True}


async def test_each_inner_flow_is_at_most_16_items_ahead():
    pulled = 0

    async def inner(n):
        nonlocal pulled
        for i in range(100):
            pulled += 1
            yield i

    async with Flow(range(2)).flat_map(inner, concurrency=2).open() as items:
        await anext(items)
        await anyio.sleep(10)

        assert pulled in {2 * 16 + 1, 2 * 16}


async def test_short_inner_flows_do_not_run_ahead_of_a_slow_reader():
    source = Source(*range(1000))
    made = Flow(source.generator).flat_map(lambda n: [n], concurrency=2)
    async with made.open() as items:
        await anext(items)
        await anyio.sleep(100)

        assert source.pulled <= 1 + 2 * 16 + 2


@pytest.mark.parametrize("where", ["source", "function", "inner"])
async def test_the_first_error_wins_and_the_others_are_closed(where):
    boom = Boom()
    closed = []

    async def numbers():
        try:
            yield 0
            yield 1
            await anyio.sleep(1)
            if where == "source":
                raise boom
            await anyio.sleep_forever()
        finally:
            closed.append("source")

    async def inner(n):
        try:
            yield n
            if n == 1 and where == "inner":
                raise boom
            await anyio.sleep_forever()
        finally:
            closed.append(n)

    def fn(n):
        if n == 1 and where == "function":
            raise boom
        return inner(n)

    got = []
    with pytest.raises(Boom) as caught:
        await Flow(numbers).flat_map(fn, concurrency=3).collect(got.append)

    assert caught.value is boom
    assert set(closed) >= {"source", 0}
    assert 0 in got


async def test_an_inner_flow_is_opened_iterated_and_closed_in_one_task():
    tasks = set()
    by_inner = []

    async def inner(n):
        mine = {anyio.get_current_task().id}
        try:
            for _ in range(3):
                await checkpoint()
                mine.add(anyio.get_current_task().id)
                yield n
        finally:
            mine.add(anyio.get_current_task().id)
            by_inner.append(mine)
            tasks.update(mine)

    await Flow(range(6)).flat_map(inner, concurrency=3).take(10).collect()

    assert all(len(mine) == 1 for mine in by_inner)
    assert anyio.get_current_task().id not in tasks


async def test_what_cannot_be_iterated_is_refused():
    with pytest.raises(TypeError, match="got 3"):
        await Flow.of(3).flatten(concurrency=2).collect()


async def test_flatten_reads_several_at_once():
    flows = Flow.of(every(2, "a", "b"), every(2, "c", "d"))

    assert await flows.flatten(concurrency=2).map(str).to_set() == set("abcd")
    assert anyio.current_time() == pytest.approx(2, abs=2.1)


# ------------------------------------------------------------------- the newest counts


async def test_map_latest_gives_the_results_that_no_new_item_cut_short():
    await assert_marbles(
        lambda a: a.map_latest(call({"a": 1, "b": 5, "c": 2})),
        "a--b--c----|",
        expected="-A------C--|",
    )
    await assert_marbles(
        lambda a: a.map_latest(call({"a": 5})), "a-|", expected="-----(A|)"
    )
    await assert_marbles(lambda a: a.map_latest(str), "--|", expected="--|")
    await assert_marbles(lambda a: a.map_latest(str), "", expected="")


async def test_map_latest_waits_until_the_call_before_has_ended():
    seen = []

    async def work(item):
        seen.append(f"{item} starts at {anyio.current_time():g}")
        try:
            await anyio.sleep(5)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            seen.append(f"{item} ends at {anyio.current_time():g}")
        return item

    made = await Flow.interval(1).take(2).map_latest(work).to_list()

    assert made == [1]
    assert seen == [
        *("0 starts at 0", "0 ends at 3"),
        *("1 starts at 3", "1 ends at 10"),
    ]


async def test_map_latest_of_functions_that_never_wait_gives_every_result():
    assert await Flow(range(9)).map_latest(lambda n: -n).to_list() == [
        -n for n in range(9)
    ]


@pytest.mark.parametrize("apply", [Flow.map_latest, Flow.flat_map_latest])
async def test_results_wait_for_a_slow_reader_but_not_without_bound(apply):
    fn = (lambda n: n) if apply is Flow.map_latest else (lambda n: [n])
    async with apply(Flow.interval(1).take(1000), fn).open() as items:
        first = await anext(items)
        await anyio.sleep(500.5)
        waiting = [await anext(items) for _ in range(65)]

    # 64 waited; then the newest, whose place was not cut short.
    assert first == 0
    assert waiting[:64] == list(range(1, 65))
    assert waiting[64] == 500


async def test_errors_reach_the_collector_of_the_newest():
    await assert_marbles(
        lambda a: a.map_latest(call({"a": 1, "b": 5})), "a--b-#", expected="-A---#"
    )
    boom = Boom()

    async def fail(item):
        await anyio.sleep(1)
        raise boom

    source = Source(1, hangs=True)
    for made in (
        Flow(source.generator).map_latest(fail).collect(),
        Flow(source.generator).flat_map_latest(fail).collect(),
        Flow(source.generator).flat_map_first(fail).collect(),
        Flow(source.generator).collect_latest(fail),
    ):
        with pytest.raises(Boom) as caught:
            await made
        assert caught.value is boom
    assert source.is_closed


@pytest.mark.parametrize("apply", [Flow.map_latest, Flow.flat_map_latest])
async def test_the_error_of_a_call_in_flight_is_dropped_when_the_reader_stops(apply):
    async def work(item):
        if item == 0:
            return "x"
        try:
            await anyio.sleep_forever()
        finally:
            raise Boom

    items = []
    async with apply(Flow.interval(1), work).open() as results:
        items.append(await anext(results))
        await anyio.sleep(1.5)

    assert items == ["x"]


async def test_flat_map_latest_delivers_what_was_emitted_before():
    inner = {"a": every(2, "1", "2", "3"), "b": every(2, "4", "5")}
    await assert_marbles(
        lambda a: a.flat_map_latest(inner.get),
        "a--b------|",
        expected="1-24-5----|",
    )
    await assert_marbles(
        lambda a: a.flat_map_latest(inner.get),
        "a--b------|",
        expected="1---2---4---5---|",
        pause=4,
    )


async def test_flat_map_latest_of_what_never_waits_gives_everything():
    assert await Flow.of("ab", "cd").flat_map_latest(list).to_list() == [*"abcd"]


async def test_flat_map_latest_closes_the_inner_flow_before_the_next_one_starts():
    seen = []

    async def inner(n):
        seen.append(f"{n} opens")
        try:
            yield n
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(0.5)
            seen.append(f"{n} is closed")

    made = Flow.interval(1).take(3).flat_map_latest(inner)

    assert await made.take(3).to_list() == [0, 1, 2]
    assert seen == [
        *("0 opens", "0 is closed", "1 opens", "1 is closed", "2 opens", "2 is closed")
    ]


async def test_flat_map_first_drops_what_comes_while_an_inner_flow_runs():
    inner = {x: every(4, x, x.upper()) for x in "abcd"}
    await assert_marbles(
        lambda a: a.flat_map_first(inner.get),
        "a-b---c--d---|",
        expected="a---A-c---C--|",
    )
    await assert_marbles(lambda a: a.flat_map_first(inner.get), "--|", expected="--|")
    await assert_marbles(lambda a: a.flat_map_first(inner.get), "a-#", expected="a-#")


async def test_flat_map_first_of_what_never_waits_drops_nothing():
    assert await Flow.of("ab", "cd").flat_map_first(list).to_list() == [*"abcd"]


async def test_flat_map_first_lets_the_inner_flow_run_past_a_source_that_never_waits():
    async def endless():
        while True:
            yield 1

    async def inner(n):
        for i in range(3):
            await checkpoint()
            yield i

    assert await Flow(endless).flat_map_first(inner).take(5).to_list() == [
        0,
        1,
        2,
        0,
        1,
    ]


async def test_collect_latest_cuts_calls_short():
    seen = []

    async def show(item):
        await anyio.sleep({0: 5, 1: 0.5, 2: 9}[item])
        seen.append((item, anyio.current_time()))

    await Flow.interval(1).take(3).collect_latest(show)

    assert seen == [(1, 1.5), (2, 11)]


async def test_collect_latest_can_be_cancelled():
    source = Source(1, hangs=True)
    ended = []

    async def wait(item):
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(item)

    with anyio.move_on_after(1):
        await Flow(source.generator).collect_latest(wait)

    assert ended == [1]
    assert source.is_closed


# -------------------------------------------------------------------- what is told


async def test_explain_tells_tasks_and_bounds():
    plan = (
        Flow.of(1)
        .map(str, concurrency=4, ordered=False)
        .flat_map(list, concurrency=2)
        .map_latest(str)
        .explain()
    )

    assert "map(str, concurrency=4, ordered=False)  # a seam: makes calls in" in plan
    assert "at most twice 4 items are pulled and not yet passed on" in plan
    assert "at most 16 items of each of 2 wait" in plan
    assert "at most 64 results wait" in plan


async def test_a_new_item_wins_over_a_call_that_ends_at_the_same_instant():
    await assert_marbles(
        lambda a: a.map_latest(call({"a": 2, "b": 1})), "a-b--|", expected="---B-|"
    )


CONCURRENT = {
    "map": lambda source: source.map(call({}), concurrency=2),
    "map(ordered=False)": lambda s: s.map(call({}), concurrency=2, ordered=False),
    "flat_map": lambda source: source.flat_map(list, concurrency=2),
    "map_latest": lambda source: source.map_latest(list),
    "flat_map_latest": lambda source: source.flat_map_latest(list),
    "flat_map_first": lambda source: source.flat_map_first(list),
}
every_operator = pytest.mark.parametrize("apply", CONCURRENT.values(), ids=CONCURRENT)


@every_operator
async def test_a_first_pull_that_is_cancelled_at_once_leaves_nothing_open(apply):
    source = Source("a", "b")
    async with apply(Flow(source.generator)).open() as items:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anext(items)

        assert scope.cancelled_caught
        assert source.is_closed


@pytest.mark.parametrize("ordered", [True, False])
async def test_an_error_in_the_cleanup_of_a_source_is_raised_to_a_reader_that_stops(
    ordered,
):
    boom = Boom()

    async def numbers():
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            raise boom

    with pytest.raises(Boom) as caught:
        await Flow(numbers).map(str, concurrency=2, ordered=ordered).take(1).to_list()

    assert caught.value is boom
