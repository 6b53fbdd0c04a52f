"""What the operators that let some items pass mean."""

from __future__ import annotations

import itertools
import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow

pytestmark = pytest.mark.anyio

ALL_PASS = {
    "filter": lambda source: source.filter(lambda n: n > 0),
    "filter_not": lambda source: source.filter_not(lambda n: n < 0),
    "filter_not_none": lambda source: source.filter_not_none(),
    "filter_is_instance": lambda source: source.filter_is_instance(int),
    "distinct": lambda source: source.distinct(),
    "distinct with key": lambda source: source.distinct(str),
    "distinct with max_size": lambda source: source.distinct(max_size=1),
    "distinct_until_changed": lambda source: source.distinct_until_changed(),
    "distinct_until_changed with key": lambda source: source.distinct_until_changed(
        str
    ),
}

CALLING = {
    "filter": lambda source, fn: source.filter(fn),
    "filter_not": lambda source, fn: source.filter_not(lambda n: not fn(n)),
    "distinct": lambda source, fn: source.distinct(fn),
    "distinct with max_size": lambda source, fn: source.distinct(fn, max_size=1),
    "distinct_until_changed": lambda source, fn: source.distinct_until_changed(fn),
    "distinct_until_changed with equal": lambda source, fn: (
        source.distinct_until_changed(equal=lambda old, new: not fn(new))
    ),
}

KEYS = st.sampled_from([None, bool, abs, str, lambda n: n % 3])
NUMBERS = st.lists(st.integers(-4, 4))


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_what_is_accepted_passes_in_order(apply):
    assert await apply(Flow.of(3, 1, 2)).to_list() == [3, 1, 2]


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_of_nothing_comes_nothing(apply):
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_an_error_from_above_comes_after_the_items_before_it(apply, outcome):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2).concat(Flow.fail(error))))

    assert items == [1, 2]
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


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_nothing_is_pulled_to_look_for_items_nobody_asked_for(apply):
    pulled = []

    items = await apply(Flow.of(1, 2, 3).on_each(pulled.append)).take(2).to_list()

    assert items == pulled == [1, 2]


# --------------------------------------------------------------- filter, filter_not


@given(NUMBERS)
async def test_filter_and_filter_not_share_the_items_between_them(items):
    def odd(n):
        return n % 2

    assert await Flow(items).filter(odd).to_list() == [n for n in items if odd(n)]
    assert await Flow(items).filter_not(odd).to_list() == [
        n for n in items if not odd(n)
    ]


async def test_a_predicate_may_return_whatever_has_a_truth():
    items = ["", "a", "0"]

    assert await Flow(items).filter(str).to_list() == ["a", "0"]
    assert await Flow(items).filter_not(str).to_list() == [""]


async def test_an_async_predicate_is_awaited_item_by_item():
    async def later(n):
        await anyio.sleep(1)
        return n % 2

    assert await Flow(range(4)).filter(later).to_list() == [1, 3]
    assert await Flow(range(4)).filter_not(later).to_list() == [0, 2]
    assert anyio.current_time() == 8


# ----------------------------------------------- filter_not_none, filter_is_instance


async def test_filter_not_none_keeps_what_is_only_false():
    items = [None, 0, "", None, [], False]

    assert await Flow(items).filter_not_none().to_list() == [0, "", [], False]


async def test_filter_is_instance_keeps_instances_of_any_type_and_of_subclasses():
    items = [1, "a", True, None, 2.5]

    assert await Flow(items).filter_is_instance(int).to_list() == [1, True]
    assert await Flow(items).filter_is_instance(str, float).to_list() == ["a", 2.5]
    assert await Flow(items).filter_is_instance(type(None)).to_list() == [None]


# -------------------------------------------------------------------------- distinct


@given(NUMBERS, KEYS)
async def test_distinct_is_a_dict_from_keys_to_first_items(items, key):
    first = {}
    for n in items:
        first.setdefault(key(n) if key else n, n)

    assert await Flow(items).distinct(key).to_list() == list(first.values())
    assert await Flow(items).distinct().to_list() == list(dict.fromkeys(items))


@given(NUMBERS, KEYS, st.integers(1, 4))
async def test_distinct_forgets_the_least_recently_seen_beyond_max_size(
    items, key, max_size
):
    recent = []  # the latest one last
    expected = []
    for n in items:
        own = key(n) if key else n
        if own in recent:
            recent.remove(own)
        else:
            expected.append(n)
        recent = [*recent, own][-max_size:]

    assert await Flow(items).distinct(key, max_size=max_size).to_list() == expected


async def test_seeing_an_item_again_keeps_it_from_being_forgotten():
    items = Flow("abacab").distinct(max_size=2)

    assert await items.join() == "abcb"


async def test_distinct_keeps_the_first_of_items_that_are_equal():
    items = await Flow.of(1, 1.0, True, 0, False).distinct().to_list()

    assert list(map(repr, items)) == ["1", "0"]


async def test_a_key_that_cannot_be_hashed_ends_the_flow(outcome):
    for flow in (
        Flow.of("a", []).distinct(),
        Flow.of("a", []).distinct(max_size=2),
        Flow.of("a", "b").distinct(lambda text: [] if text == "b" else text),
    ):
        items, raised = await outcome(flow)

        assert items == ["a"]
        assert isinstance(raised, TypeError)


# ------------------------------------------------------------ distinct_until_changed


@given(NUMBERS, KEYS)
async def test_distinct_until_changed_gives_the_first_of_each_group(items, key):
    expected = [next(group) for _, group in itertools.groupby(items, key)]

    assert await Flow(items).distinct_until_changed(key).to_list() == expected


async def test_an_item_is_compared_with_the_last_that_was_passed_on():
    def near(old, new):
        return abs(old - new) < 1

    steps = Flow.of(0, 0.6, 1.2, 1.8, 2.4).distinct_until_changed(equal=near)

    assert await steps.to_list() == [0, 1.2, 2.4]


async def test_equal_gets_the_old_and_the_new_one_but_not_the_first_alone():
    compared = []

    def equal(old, new):
        compared.append((old, new))
        return new == 2

    items = await Flow.of(1, 2, 3).distinct_until_changed(equal=equal).to_list()

    assert items == [1, 3]
    assert compared == [(1, 2), (1, 3)]


async def test_equal_gets_the_keys_where_there_is_a_key():
    texts = Flow.of("a", "B", "ccc").distinct_until_changed(
        len, equal=lambda old, new: old + 1 >= new
    )

    assert await texts.to_list() == ["a", "ccc"]


async def test_key_and_equal_may_be_async():
    async def key(text):
        await anyio.sleep(1)
        return text.lower()

    async def equal(old, new):
        await anyio.sleep(10)
        return old == new

    texts = Flow.of("a", "A", "b").distinct_until_changed(key, equal=equal)

    assert await texts.to_list() == ["a", "b"]
    assert anyio.current_time() == 23


# ------------------------------------------------------------------------------- nan


@pytest.mark.parametrize(
    "apply",
    [
        lambda source: source.distinct(),
        lambda source: source.distinct(lambda x: x),
        lambda source: source.distinct(max_size=4),
        lambda source: source.distinct_until_changed(),
        lambda source: source.distinct_until_changed(lambda x: x),
    ],
    ids=[
        "distinct",
        "distinct with key",
        "distinct with max_size",
        "distinct_until_changed",
        "distinct_until_changed with key",
    ],
)
async def test_nan_differs_from_nan_even_if_it_is_the_same_object(apply):
    nan = math.nan

    items = await apply(Flow.of(nan, nan, 1.0, 1.0, nan)).to_list()

    assert list(map(repr, items)) == ["nan", "nan", "1.0", "nan"]
