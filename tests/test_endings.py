"""What the awaitable endings of a flow mean."""

from __future__ import annotations

import builtins
import functools
import itertools
import math
import operator

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowEmptyError, FlowError

pytestmark = pytest.mark.anyio

NUMBERS = st.lists(st.integers(-3, 3))

ENDINGS = {
    "collect": lambda flow: flow.collect(),
    "to_list": lambda flow: flow.to_list(),
    "to_set": lambda flow: flow.to_set(),
    "to_dict": lambda flow: flow.to_dict(value=str),
    "to_groups": lambda flow: flow.to_groups(abs),
    "first": lambda flow: flow.first(lambda n: n > 9),
    "last": lambda flow: flow.last(),
    "single": lambda flow: flow.filter(lambda n: n > 1).single(),
    "fold": lambda flow: flow.fold(0, operator.add),
    "reduce": lambda flow: flow.reduce(operator.add),
    "count": lambda flow: flow.count(),
    "sum": lambda flow: flow.sum(),
    "min": lambda flow: flow.min(),
    "max": lambda flow: flow.max(),
    "any": lambda flow: flow.any(lambda n: n > 9),
    "all": lambda flow: flow.all(),
    "none": lambda flow: flow.none(lambda n: n > 9),
    "join": lambda flow: flow.map(str).join(),
}

CALLING = {
    "collect": lambda flow, fn: flow.collect(fn),
    "to_dict key": lambda flow, fn: flow.to_dict(fn),
    "to_dict value": lambda flow, fn: flow.to_dict(value=fn),
    "to_groups": lambda flow, fn: flow.to_groups(fn),
    "first": lambda flow, fn: flow.first(fn),
    "fold": lambda flow, fn: flow.fold(0, lambda _, n: fn(n)),
    "reduce": lambda flow, fn: flow.reduce(lambda _, n: fn(n)),
    "count": lambda flow, fn: flow.count(fn),
    "min": lambda flow, fn: flow.min(fn),
    "max": lambda flow, fn: flow.max(fn),
    "any": lambda flow, fn: flow.any(fn),
    "all": lambda flow, fn: flow.all(lambda n: not fn(n)),
    "none": lambda flow, fn: flow.none(fn),
}

OF_NOTHING = {
    "collect": (lambda flow: flow.collect(), None),
    "collect with fn": (lambda flow: flow.collect(print), None),
    "to_list": (lambda flow: flow.to_list(), []),
    "to_set": (lambda flow: flow.to_set(), set()),
    "to_dict": (lambda flow: flow.to_dict(), {}),
    "to_dict by": (lambda flow: flow.to_dict(abs), {}),
    "to_groups": (lambda flow: flow.to_groups(abs), {}),
    "first": (lambda flow: flow.first(default=9), 9),
    "first none": (lambda flow: flow.first(default=None), None),
    "first where": (lambda flow: flow.first(abs, default=9), 9),
    "last": (lambda flow: flow.last(default=9), 9),
    "single": (lambda flow: flow.single(default=9), 9),
    "fold": (lambda flow: flow.fold(9, operator.add), 9),
    "count": (lambda flow: flow.count(), 0),
    "count where": (lambda flow: flow.count(abs), 0),
    "sum": (lambda flow: flow.sum(), 0),
    "sum start": (lambda flow: flow.sum(9), 9),
    "min": (lambda flow: flow.min(default=9), 9),
    "max": (lambda flow: flow.max(abs, 9), 9),
    "any": (lambda flow: flow.any(), False),
    "all": (lambda flow: flow.all(), True),
    "none": (lambda flow: flow.none(), True),
    "join": (lambda flow: flow.join("-"), ""),
}

NEEDING = {
    "first": lambda flow: flow.first(),
    "last": lambda flow: flow.last(),
    "single": lambda flow: flow.single(),
    "reduce": lambda flow: flow.reduce(operator.add),
    "min": lambda flow: flow.min(),
    "max": lambda flow: flow.max(key=abs),
}


@pytest.mark.parametrize("end", ENDINGS.values(), ids=ENDINGS)
async def test_an_error_of_the_flow_is_raised_as_the_same_object(end):
    error = ValueError("boom")

    with pytest.raises(ValueError, match="boom") as raised:
        await end(Flow.of(1, 2).concat(Flow.fail(error)))

    assert raised.value is error


@pytest.mark.parametrize("end", CALLING.values(), ids=CALLING)
async def test_an_error_of_the_callback_is_raised_when_the_source_is_closed(end):
    error = ValueError("boom")
    closed = []

    def fails_at_two(n):
        if n == 2:
            raise error
        return 0

    source = Flow.of(1, 2, 3).on_completion(closed.append)
    with pytest.raises(ValueError, match="boom") as raised:
        await end(source, fails_at_two)

    assert raised.value is error
    assert closed == [None]


@pytest.mark.parametrize(("end", "result"), OF_NOTHING.values(), ids=OF_NOTHING)
async def test_the_result_of_nothing(end, result):
    assert await end(Flow.empty()) == result


@pytest.mark.parametrize("name", NEEDING)
async def test_an_ending_that_needs_an_item_says_that_there_is_none(name):
    with pytest.raises(FlowEmptyError) as raised:
        await NEEDING[name](Flow.empty())

    assert str(raised.value).startswith(f"{name}: the flow gave no item")
    assert isinstance(raised.value, LookupError)
    assert isinstance(raised.value, FlowError)


async def test_an_ending_can_be_passed_to_a_task_group():
    seen = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Flow.interval(2).take(2).collect, seen.append)
        tasks.start_soon(Flow.interval(2, delay=1).take(2).collect, seen.append)

    assert seen == [0, 0, 1, 1]
    assert anyio.current_time() == 3


# --------------------------------------------------------------------------- collect


async def test_collect_awaits_the_function_before_the_next_pull():
    seen = []

    async def slowly(n):
        await anyio.sleep(1)
        seen.append(f"took {n}")

    source = Flow.of(1, 2).on_each(lambda n: seen.append(f"gave {n}"))

    assert await source.collect(slowly) is None
    assert seen == ["gave 1", "took 1", "gave 2", "took 2"]


# ------------------------------------------------- to_list, to_set, to_dict, to_groups


@given(NUMBERS)
async def test_collections_hold_the_items(items):
    assert await Flow(items).to_list() == items
    assert await Flow(items).to_set() == set(items)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers())))
async def test_to_dict_of_pairs_is_the_built_in(pairs):
    result = await Flow(pairs).to_dict()

    assert list(result.items()) == list(dict(pairs).items())


@given(NUMBERS)
async def test_to_dict_is_a_dict_of_what_key_and_value_give(items):
    squares = await Flow(items).to_dict(value=lambda n: n * n)
    by_size = await Flow(items).to_dict(abs)
    both = await Flow(items).to_dict(abs, str)

    assert list(squares.items()) == list({n: n * n for n in items}.items())
    assert list(by_size.items()) == list({abs(n): n for n in items}.items())
    assert list(both.items()) == list({abs(n): str(n) for n in items}.items())


async def test_to_dict_awaits_the_key_and_then_the_value():
    seen = []

    async def key(n):
        await anyio.sleep(1)
        seen.append(f"key {n}")
        return n

    async def value(n):
        await anyio.sleep(1)
        seen.append(f"value {n}")
        return -n

    assert await Flow.of(1, 2).to_dict(key, value) == {1: -1, 2: -2}
    assert seen == ["key 1", "value 1", "key 2", "value 2"]


@pytest.mark.parametrize(
    ("item", "kind"), [(5, TypeError), ((1, 2, 3), ValueError), ((1,), ValueError)]
)
async def test_to_dict_without_functions_needs_pairs(item, kind):
    with pytest.raises(kind, match="unpack"):
        await Flow.of(item).to_dict()


@given(NUMBERS)
async def test_to_groups_is_groupby_of_the_sorted_items(items):
    groups = await Flow(items).to_groups(abs)

    in_order = sorted(items, key=abs)
    assert groups == {
        own: list(group) for own, group in itertools.groupby(in_order, abs)
    }
    assert list(groups) == list(dict.fromkeys(map(abs, items)))


@pytest.mark.parametrize(
    "end",
    [
        lambda flow: flow.to_set(),
        lambda flow: flow.to_dict(value=len),
        lambda flow: flow.to_groups(list),
    ],
    ids=["to_set", "to_dict", "to_groups"],
)
async def test_what_cannot_be_hashed_is_an_error(end):
    with pytest.raises(TypeError, match="unhashable"):
        await end(Flow.of([]))


# --------------------------------------------------------------- first, last, single


async def test_first_pulls_one_item_and_closes_the_source_before_it_returns():
    seen = []
    source = (
        Flow.of(1, 2)
        .on_each(seen.append)
        .on_completion(lambda _: seen.append("closed"))
    )

    assert await source.first() == 1
    assert seen == [1, "closed"]


async def test_first_with_a_predicate_pulls_up_to_the_item_that_counts():
    pulled = []

    async def large(n):
        await anyio.sleep(1)
        return n > 2

    assert await Flow.of(1, 3, 5).on_each(pulled.append).first(large) == 3
    assert pulled == [1, 3]


async def test_the_default_is_not_used_when_an_item_counts():
    assert await Flow.of(None, 1).first(default=9) is None
    assert await Flow.of(1, None).last(default=9) is None
    assert await Flow.of(None).single(default=9) is None
    assert await Flow.of(1, 2).first(lambda n: n > 1, default=9) == 2


async def test_first_of_a_flow_without_an_item_that_counts_is_the_default():
    flow = Flow.of(1, 2)

    assert await flow.first(lambda n: n > 2, default=None) is None
    with pytest.raises(FlowEmptyError, match="first: the flow gave no item"):
        await flow.first(lambda n: n > 2)


async def test_last_is_the_item_before_the_end():
    assert await Flow.of(1, 2, 3).last() == 3
    assert await Flow.of(None).last() is None


async def test_single_is_the_only_item():
    only = object()

    assert await Flow.of(only).single() is only
    assert await Flow.of(None).single() is None


@pytest.mark.parametrize("options", [{}, {"default": 9}], ids=str)
async def test_single_raises_as_soon_as_a_second_item_comes(options):
    pulled = []

    with pytest.raises(ValueError, match=r"single: .* second item, 'b'"):
        await Flow.of("a", "b", "c").on_each(pulled.append).single(**options)

    assert pulled == ["a", "b"]


async def test_single_sees_a_second_item_that_is_none():
    with pytest.raises(ValueError, match="second item, None"):
        await Flow.of(None, None).single()


# ---------------------------------------------------------------------- fold, reduce


@given(NUMBERS, st.integers())
async def test_fold_and_reduce_are_that_of_functools(items, initial):
    for fn in (operator.add, operator.sub, max):
        folded = await Flow(items).fold(initial, fn)
        reduced = await Flow([initial, *items]).reduce(fn)

        assert folded == reduced == functools.reduce(fn, items, initial)


async def test_reduce_of_one_item_is_that_item():
    only = object()

    assert await Flow.of(only).reduce(operator.add) is only


async def test_reduce_takes_none_for_an_item():
    assert await Flow.of(None, 1).reduce(lambda total, n: (total, n)) == (None, 1)
    assert await Flow.of(1, 2, 3).reduce(lambda total, n: None) is None


async def test_fold_awaits_an_async_function_and_may_change_the_type():
    async def later(text, n):
        await anyio.sleep(1)
        return f"{text}{n}"

    assert await Flow.of(1, 2).fold("", later) == "12"
    assert anyio.current_time() == 2


# ----------------------------------------------------------------- count, sum, min, max


@given(NUMBERS)
async def test_count_counts_what_the_predicate_accepts(items):
    assert await Flow(items).count() == len(items)
    assert await Flow(items).count(lambda n: n % 2) == len([n for n in items if n % 2])


@given(NUMBERS, st.integers())
async def test_sum_is_the_built_in(items, start):
    assert await Flow(items).sum() == sum(items)
    assert await Flow(items).sum(start) == sum(items, start)


async def test_sum_adds_whatever_can_be_added_and_does_not_change_the_start():
    start = [0]

    assert await Flow.of([1], [2, 3]).sum(start) == [0, 1, 2, 3]
    assert start == [0]


@given(NUMBERS, st.sampled_from([None, abs, str, lambda n: n % 2]))
async def test_min_and_max_are_the_built_in_and_the_first_of_equals_wins(items, key):
    numbered = list(enumerate(items))

    def own(pair):
        return key(pair[1]) if key else pair[1]

    for name in ("min", "max"):
        built_in = getattr(builtins, name)
        end = getattr(Flow(numbered), name)

        assert await end(own, default=9) == built_in(numbered, key=own, default=9)
        assert await getattr(Flow(items), name)(default=9) == built_in(items, default=9)


async def test_min_and_max_treat_nan_as_the_built_in_does():
    for items in ([math.nan, 1.0], [1.0, math.nan], [2.0, math.nan, 1.0]):
        assert repr(await Flow(items).min()) == repr(min(items))
        assert repr(await Flow(items).max()) == repr(max(items))


async def test_the_key_is_called_once_for_each_item():
    called = []

    async def key(n):
        await anyio.sleep(1)
        called.append(n)
        return -n

    assert await Flow.of(1, 3, 2).max(key) == 1
    assert called == [1, 3, 2]


@pytest.mark.parametrize("name", ["sum", "min", "max"])
async def test_what_cannot_be_added_or_compared_is_an_error(name):
    with pytest.raises(TypeError, match=r"not supported|unsupported"):
        await getattr(Flow.of(1, "a"), name)()


# -------------------------------------------------------------------- any, all, none


@given(NUMBERS)
async def test_any_all_and_none_are_the_built_ins(items):
    assert await Flow(items).any() is any(items)
    assert await Flow(items).all() is all(items)
    assert await Flow(items).none() is not any(items)
    assert await Flow(items).any(lambda n: n > 1) is any(n > 1 for n in items)
    assert await Flow(items).all(lambda n: n > 1) is all(n > 1 for n in items)
    assert await Flow(items).none(lambda n: n > 1) is not any(n > 1 for n in items)


@pytest.mark.parametrize(
    ("end", "result"),
    [
        (lambda flow, large: flow.any(large), True),
        (lambda flow, large: flow.none(large), False),
        (lambda flow, large: flow.all(lambda n: n < 2), False),
    ],
    ids=["any", "none", "all"],
)
async def test_they_stop_at_the_item_that_decides(end, result):
    pulled = []

    async def large(n):
        await anyio.sleep(1)
        return n > 1

    assert await end(Flow.of(1, 2, 3).on_each(pulled.append), large) is result
    assert pulled == [1, 2]


# ------------------------------------------------------------------------------ join


@given(st.lists(st.text()), st.text())
async def test_join_is_that_of_str(items, separator):
    assert await Flow(items).join() == "".join(items)
    assert await Flow(items).join(separator) == separator.join(items)


async def test_join_takes_text_only():
    with pytest.raises(TypeError, match="expected str instance, int found"):
        await Flow.of("a", 1).join()
