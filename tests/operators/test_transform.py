"""What the operators that make other items of the items mean."""

from __future__ import annotations

import itertools
import operator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import SKIP, Flow, flow

pytestmark = pytest.mark.anyio

ONE_TO_ONE = {
    "map": lambda source: source.map(str),
    "map with on_error": lambda source: source.map(str, on_error=print),
    "map_not_none": lambda source: source.map_not_none(str),
    "flat_map": lambda source: source.flat_map(lambda n: [str(n)]),
    "flatten": lambda source: source.map(lambda n: [str(n)]).flatten(),
    "enumerate": lambda source: source.enumerate().map(lambda pair: str(pair[1])),
    "running_reduce": lambda source: source.running_reduce(max).map(str),
    "on_each": lambda source: source.on_each(abs).map(str),
}

CALLING = {
    "map": lambda source, fn: source.map(fn),
    "map_not_none": lambda source, fn: source.map_not_none(fn),
    "flat_map": lambda source, fn: source.flat_map(lambda n: [fn(n)]),
    "flatten": lambda source, fn: source.map(lambda n: map(fn, [n])).flatten(),
    "scan": lambda source, fn: source.scan(0, lambda _, n: fn(n)).drop(1),
    "running_reduce": lambda source, fn: source.running_reduce(lambda _, n: fn(n)),
    "on_each": lambda source, fn: source.on_each(fn),
}


@pytest.mark.parametrize("apply", ONE_TO_ONE.values(), ids=ONE_TO_ONE)
async def test_each_item_is_replaced_in_order(apply):
    assert await apply(Flow.of(3, 5, 7)).to_list() == ["3", "5", "7"]


@pytest.mark.parametrize("apply", ONE_TO_ONE.values(), ids=ONE_TO_ONE)
async def test_of_nothing_comes_nothing(apply):
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize("apply", ONE_TO_ONE.values(), ids=ONE_TO_ONE)
async def test_an_error_from_above_comes_after_the_items_before_it(apply, outcome):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2).concat(Flow.fail(error))))

    assert items == ["1", "2"]
    assert raised is error


@pytest.mark.parametrize("apply", CALLING.values(), ids=CALLING)
async def test_an_error_of_the_callback_comes_after_the_items_before_it(apply, outcome):
    error = ValueError("boom")

    def fails_at_three(n):
        if n == 3:
            raise error
        return n

    items, raised = await outcome(apply(Flow.of(1, 2, 3, 4), fails_at_three))

    assert items == [1, 2]
    assert raised is error


@pytest.mark.parametrize("apply", CALLING.values(), ids=CALLING)
async def test_the_callback_is_not_called_for_items_nobody_asked_for(apply):
    called = []

    def remember(n):
        called.append(n)
        return n

    items = await apply(Flow.of(1, 2, 3), remember).take(2).to_list()

    assert items == [1, 2]
    assert called[-1] == 2


# ------------------------------------------------------------------------------- map


async def test_map_waits_for_one_call_before_it_makes_the_next():
    running = 0

    async def alone(n):
        nonlocal running
        running += 1
        assert running == 1
        await anyio.sleep(n)
        running -= 1
        return n, anyio.current_time()

    assert await Flow.of(3, 1, 2).map(alone).to_list() == [(3, 3), (1, 4), (2, 6)]


async def test_on_error_replaces_the_item_that_failed():
    halves = Flow.of(2, 0, 4).map(
        lambda n: 8 // n, on_error=lambda error, item: (type(error), item)
    )

    assert await halves.to_list() == [4, (ZeroDivisionError, 0), 2]


async def test_on_error_drops_the_item_for_skip_but_not_for_none():
    numbers = Flow.of("1", "x", "", "4").map(
        int, on_error=lambda error, text: SKIP if text else None
    )

    assert await numbers.to_list() == [1, None, 4]


async def test_skip_is_dropped_as_a_result_of_fn_too():
    kept = Flow.of(1, 2, 3).map(
        lambda n: SKIP if n == 2 else n, on_error=lambda error, item: None
    )

    assert await kept.to_list() == [1, 3]


async def test_an_error_of_on_error_ends_the_flow_with_the_first_as_its_context(
    outcome,
):
    first, second = ValueError("first"), KeyError("second")

    def fn(n):
        raise first

    async def on_error(error, item):
        raise second

    items, raised = await outcome(Flow.of(1, 2).map(fn, on_error=on_error))

    assert items == []
    assert raised is second
    assert raised.__context__ is first


async def test_on_error_does_not_get_errors_from_above(outcome):
    error = ValueError("boom")

    items, raised = await outcome(
        Flow.fail(error).map(str, on_error=lambda error, item: "replaced")
    )

    assert items == []
    assert raised is error


async def test_on_error_does_not_get_a_cancellation():
    handled = []
    waiting = Flow.of(1, 2).map(
        lambda n: anyio.sleep_forever(),
        on_error=lambda error, item: handled.append(error),
    )

    with anyio.move_on_after(1) as scope:
        await waiting.collect()

    assert scope.cancelled_caught
    assert handled == []


# ---------------------------------------------------------------------- map_not_none


async def test_map_not_none_drops_none_and_keeps_what_is_only_false():
    results = {"a": 0, "b": None, "c": "", "d": []}

    assert await Flow(results).map_not_none(results.get).to_list() == [0, "", []]


# ----------------------------------------------------------------- flat_map, flatten


async def of_async(n):
    for k in range(n):
        yield k


class Rows:
    """Can be read with `for` and with `async for`."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter([])

    def __aiter__(self):
        return of_async(self.n)


@pytest.mark.parametrize(
    "fn",
    [
        range,
        lambda n: Flow(range(n)),
        lambda n: (k for k in range(n)),
        lambda n: iter(range(n)),
        of_async,
        Rows,
        flow(of_async),
    ],
    ids=[
        "iterable",
        "flow",
        "generator",
        "iterator",
        "async generator",
        "both",
        "@flow",
    ],
)
async def test_flat_map_reads_whatever_can_be_iterated(fn):
    async def later(n):
        return fn(n)

    assert await Flow.of(2, 0, 3).flat_map(fn).to_list() == [0, 1, 0, 1, 2]
    assert await Flow.of(2, 0, 3).flat_map(later).to_list() == [0, 1, 0, 1, 2]
    assert await Flow.of(2, 0, 3).map(fn).flatten().to_list() == [0, 1, 0, 1, 2]


async def test_flat_map_reads_text_letter_by_letter():
    assert await Flow.of("ab", "", "c").flat_map(str).to_list() == ["a", "b", "c"]


@pytest.mark.parametrize("inner", [None, 3, of_async], ids=["none", "int", "function"])
async def test_what_cannot_be_iterated_is_named(inner, outcome):
    for flat in (
        Flow.of([1], 2).flat_map(lambda x: inner if x == 2 else x),
        Flow.of([1], inner).flatten(),
    ):
        items, raised = await outcome(flat)

        assert items == [1]
        assert isinstance(raised, TypeError)
        assert repr(inner) in str(raised)


async def test_an_inner_flow_is_closed_before_the_next_item_is_pulled():
    seen = []

    @flow
    async def inner(n):
        try:
            yield n
        finally:
            await anyio.sleep(1)
            seen.append(f"closed {n}")

    numbers = Flow.of(1, 2).on_each(lambda n: seen.append(f"pulled {n}"))
    await numbers.flat_map(inner).collect(seen.append)

    assert seen == ["pulled 1", 1, "closed 1", "pulled 2", 2, "closed 2"]


async def test_an_early_stop_closes_the_inner_flow_and_then_the_outer():
    seen = []

    def inner(n):
        try:
            yield from [n, n]
        finally:
            seen.append("inner")

    outer = Flow.of(1, 2).on_completion(lambda error: seen.append("outer"))

    assert await outer.flat_map(inner).first() == 1
    assert seen == ["inner", "outer"]


async def test_an_error_of_an_inner_flow_is_the_same_object(outcome):
    error = ValueError("boom")

    items, raised = await outcome(
        Flow.of(1, 2).flat_map(lambda n: Flow.of(n).concat(Flow.fail(error)))
    )

    assert items == [1]
    assert raised is error


async def test_an_endless_inner_iterable_can_be_cancelled():
    async def cancel(scope):
        await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel, tasks.cancel_scope)
        await Flow.of(1).flat_map(lambda n: itertools.repeat(n)).collect()

    assert tasks.cancel_scope.cancelled_caught


@given(st.lists(st.lists(st.integers())))
async def test_flat_map_and_flatten_are_chain_from_iterable(parts):
    expected = list(itertools.chain.from_iterable(parts))

    assert await Flow(parts).flat_map(iter).to_list() == expected
    assert await Flow(parts).map(Flow).flatten().to_list() == expected


# --------------------------------------------------------------- enumerate, pairwise


@given(st.lists(st.text()), st.integers())
async def test_enumerate_is_the_built_in(items, start):
    assert await Flow(items).enumerate(start).to_list() == list(enumerate(items, start))
    assert await Flow(items).enumerate().to_list() == list(enumerate(items))


@given(st.lists(st.none() | st.integers()))
async def test_pairwise_is_that_of_itertools(items):
    assert await Flow(items).pairwise().to_list() == list(itertools.pairwise(items))


async def test_pairwise_gives_the_pairs_before_an_error(outcome):
    error = ValueError("boom")

    items, raised = await outcome(Flow.of(1, 2, 3).concat(Flow.fail(error)).pairwise())

    assert items == [(1, 2), (2, 3)]
    assert raised is error


# -------------------------------------------------------------- scan, running_reduce


async def test_scan_gives_the_initial_value_before_anything_is_pulled():
    pulled = []
    totals = Flow.of(1).on_each(pulled.append).scan(10, operator.add)

    assert await totals.first() == 10
    assert pulled == []


async def test_scan_of_nothing_gives_the_initial_value():
    assert await Flow.empty().scan("a", operator.add).to_list() == ["a"]


async def test_scan_gives_what_it_had_before_an_error(outcome):
    error = ValueError("boom")

    items, raised = await outcome(
        Flow.of(1, 2).concat(Flow.fail(error)).scan(0, operator.add)
    )

    assert items == [0, 1, 3]
    assert raised is error


async def test_scan_may_change_the_type():
    texts = Flow.of(1, 2).scan("", lambda text, n: f"{text}{n}")

    assert await texts.to_list() == ["", "1", "12"]


async def test_scan_and_running_reduce_await_an_async_function():
    async def later(total, n):
        await anyio.sleep(1)
        return total + n

    assert await Flow.of(1, 2).scan(0, later).to_list() == [0, 1, 3]
    assert await Flow.of(1, 2, 3).running_reduce(later).to_list() == [1, 3, 6]
    assert anyio.current_time() == 4


async def test_running_reduce_passes_the_first_item_on_as_it_is():
    only = object()

    assert await Flow.of(only).running_reduce(operator.add).to_list() == [only]


@given(st.lists(st.integers()), st.integers())
async def test_scan_is_accumulate_with_an_initial_value(items, initial):
    for fn in (operator.add, operator.sub, max):
        expected = list(itertools.accumulate(items, fn, initial=initial))

        assert await Flow(items).scan(initial, fn).to_list() == expected


@given(st.lists(st.integers()))
async def test_running_reduce_is_accumulate(items):
    for fn in (operator.add, operator.sub, max):
        expected = list(itertools.accumulate(items, fn))

        assert await Flow(items).running_reduce(fn).to_list() == expected


# --------------------------------------------------------------------------- on_each


async def test_on_each_has_run_before_the_item_is_passed_on():
    seen = []

    async def slowly(n):
        await anyio.sleep(1)
        seen.append(f"before {n}")

    await Flow.of(1, 2).on_each(slowly).collect(seen.append)

    assert seen == ["before 1", 1, "before 2", 2]


async def test_on_each_ignores_what_the_function_returns():
    assert await Flow.of(1, 2).on_each(lambda n: None).to_list() == [1, 2]
    assert await Flow.of(1, 2).on_each(lambda n: -n).to_list() == [1, 2]


async def test_flat_map_takes_ranges_that_are_longer_than_any_collection():
    longer = [range(3), range(10**30)]

    assert await Flow(longer).flatten().take(5).to_list() == [0, 1, 2, 0, 1]
