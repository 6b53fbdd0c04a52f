"""What the operators that keep a beginning or an end of a flow mean."""

from __future__ import annotations

import itertools

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

ALL_PASS = {
    "take": lambda source: source.take(3),
    "take_last": lambda source: source.take_last(3),
    "drop": lambda source: source.drop(0),
    "drop_last": lambda source: source.drop_last(0),
    "take_while": lambda source: source.take_while(lambda n: n > 0),
    "take_while inclusive": lambda source: source.take_while(bool, inclusive=True),
    "drop_while": lambda source: source.drop_while(lambda n: n < 0),
}

BEFORE_AN_ERROR = {
    "take": (lambda source: source.take(4), [1, 2, 3]),
    "take_last": (lambda source: source.take_last(2), []),
    "drop": (lambda source: source.drop(2), [3]),
    "drop_last": (lambda source: source.drop_last(1), [1, 2]),
    "take_while": (lambda source: source.take_while(bool), [1, 2, 3]),
    "take_while inclusive": (
        lambda source: source.take_while(bool, inclusive=True),
        [1, 2, 3],
    ),
    "drop_while": (lambda source: source.drop_while(lambda n: n < 2), [2, 3]),
}

CALLING = {
    "take_while": lambda source, fn: source.take_while(fn),
    "take_while inclusive": lambda source, fn: source.take_while(fn, inclusive=True),
}

NUMBERS = st.lists(st.integers(-3, 3))
COUNTS = st.integers(0, 6) | st.just(10**30)


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_all_items_of_a_short_flow_pass_in_order(apply):
    assert await apply(Flow.of(3, 1, 2)).to_list() == [3, 1, 2]


@pytest.mark.parametrize("apply", ALL_PASS.values(), ids=ALL_PASS)
async def test_of_nothing_comes_nothing(apply):
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize(
    ("apply", "before"), BEFORE_AN_ERROR.values(), ids=BEFORE_AN_ERROR
)
async def test_an_error_from_above_comes_after_the_items_passed_on(
    apply, before, outcome
):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2, 3).concat(Flow.fail(error))))

    assert items == before
    assert raised is error


@pytest.mark.parametrize("apply", CALLING.values(), ids=CALLING)
async def test_an_error_of_the_predicate_comes_after_the_items_before_it(
    apply, outcome
):
    error = ValueError("boom")

    def fails_at_three(n):
        if n == 3:
            raise error
        return n

    items, raised = await outcome(apply(Flow.of(1, 2, 3, 4), fails_at_three))

    assert items == [1, 2]
    assert raised is error


# ------------------------------------------------------------ take, drop, their lasts


@given(NUMBERS, COUNTS)
async def test_take_and_drop_part_the_flow_like_a_slice(items, n):
    assert await Flow(items).take(n).to_list() == items[:n]
    assert await Flow(items).drop(n).to_list() == items[n:]


@given(NUMBERS, st.integers(0, 6))
async def test_take_last_and_drop_last_part_the_flow_like_a_slice(items, n):
    border = max(len(items) - n, 0)

    assert await Flow(items).take_last(n).to_list() == items[border:]
    assert await Flow(items).drop_last(n).to_list() == items[:border]


async def test_take_ends_without_waiting_for_one_more_item():
    assert await Flow.interval(5).take(3).to_list() == [0, 1, 2]
    assert anyio.current_time() == 10


async def test_take_passes_the_last_item_on_before_it_closes_the_source():
    seen = []
    source = Flow.of(1, 2, 3).on_completion(lambda error: seen.append("closed"))

    await (
        source.take(2)
        .on_completion(lambda error: seen.append("ended"))
        .collect(seen.append)
    )

    assert seen == [1, 2, "closed", "ended"]


async def test_an_error_behind_the_last_item_of_take_is_never_reached():
    failing = Flow.of(1, 2).concat(Flow.fail(ValueError("boom")))

    assert await failing.take(2).to_list() == [1, 2]


@pytest.mark.parametrize(
    "apply", [Flow.take, Flow.take_last], ids=["take", "take_last"]
)
async def test_to_take_nothing_does_not_start_the_source(apply):
    started = []
    source = Flow.of(1).on_start(lambda: started.append(True))

    assert await apply(source, 0).to_list() == []
    assert started == []


async def test_drop_last_passes_an_item_on_as_soon_as_enough_came_after_it():
    arrivals = (
        Flow.interval(1).take(5).drop_last(2).map(lambda n: (n, anyio.current_time()))
    )

    assert await arrivals.to_list() == [(0, 2), (1, 3), (2, 4)]


async def test_take_last_waits_for_the_end():
    arrivals = (
        Flow.interval(1).take(5).take_last(2).map(lambda n: (n, anyio.current_time()))
    )

    assert await arrivals.to_list() == [(3, 4), (4, 4)]


# ------------------------------------------------------------- take_while, drop_while


@given(NUMBERS)
async def test_take_while_and_drop_while_are_those_of_itertools(items):
    def small(n):
        return n < 2

    taken = list(itertools.takewhile(small, items))
    dropped = list(itertools.dropwhile(small, items))

    assert await Flow(items).take_while(small).to_list() == taken
    assert await Flow(items).drop_while(small).to_list() == dropped


@given(NUMBERS)
async def test_inclusive_adds_the_refused_item(items):
    def small(n):
        return n < 2

    taken = list(itertools.takewhile(small, items))
    refused = list(itertools.dropwhile(small, items))[:1]
    flow = Flow(items).take_while(small, inclusive=True)

    assert await flow.to_list() == taken + refused


@pytest.mark.parametrize("inclusive", [False, True])
async def test_take_while_pulls_nothing_behind_the_refused_item(inclusive):
    pulled = []
    source = Flow.of(1, 9, 2).on_each(pulled.append)

    await source.take_while(lambda n: n < 5, inclusive=inclusive).collect()

    assert pulled == [1, 9]


async def test_take_while_closes_the_source_before_it_ends():
    seen = []
    source = Flow.of(1, 9).on_completion(lambda error: seen.append("closed"))
    flow = source.take_while(lambda n: n < 5)

    await flow.on_completion(lambda error: seen.append("ended")).collect()

    assert seen == ["closed", "ended"]


async def test_drop_while_does_not_ask_again_once_an_item_was_refused():
    asked = []

    def small(n):
        asked.append(n)
        return n < 5

    assert await Flow.of(1, 9, 2, 3).drop_while(small).to_list() == [9, 2, 3]
    assert asked == [1, 9]


async def test_an_error_of_the_predicate_of_drop_while_ends_the_flow(outcome):
    error = ValueError("boom")

    def fails_at_two(n):
        if n == 2:
            raise error
        return True

    items, raised = await outcome(Flow.of(1, 2, 3).drop_while(fails_at_two))

    assert items == []
    assert raised is error


async def test_the_predicate_may_be_async_and_return_whatever_has_a_truth():
    async def later(text):
        await anyio.sleep(1)
        return text

    texts = Flow.of("a", "b", "", "c")

    assert await texts.take_while(later).to_list() == ["a", "b"]
    assert await texts.take_while(later, inclusive=True).to_list() == ["a", "b", ""]
    assert await texts.drop_while(later).to_list() == ["", "c"]
    assert anyio.current_time() == 9


# ------------------------------------------------------------- take_until, drop_until


@pytest.mark.parametrize(
    ("inputs", "expected", "collected"),
    [
        (("a--b--c--d|", "-----x"), "a--b-|", ["^----!", "^----!"]),
        (("a--b|", "|"), "a--b|", ["^---!", "(^!)"]),
        (("a--b|", "-----x"), "a--b|", ["^---!", "^---!"]),
        (("", "---x"), "---|", ["^--!", "^--!"]),
        (("|", "x"), "|", None),
        (("ab-c|", "---x"), "ab-(c|)", None),  # the first input comes first there
        (("ab-c|", "---#"), "ab-(c#)", None),
        (("a---|", "-#"), "a#", ["^!", "^!"]),
        (("a-#", "---x"), "a-#", ["^-!", "^-!"]),
        (("a--b", "-x------x"), "a|", None),
    ],
)
async def test_take_until(inputs, expected, collected):
    await assert_marbles(
        Flow.take_until, *inputs, expected=expected, collected=collected
    )


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a--b--c--d|", "-----x"), "------c--d|"),
        (("a--b|", "|"), "----|"),
        (("a--b|", "-----x"), "----|"),
        (("|", "x"), "|"),
        (("ab-c-d|", "---x"), "-----d|"),  # the first input comes first there
        (("a---|", "-#"), "-#"),
        (("a-#", "---x"), "--#"),
        (("a-b-#", "-x"), "--b-#"),
        (("", ""), ""),
    ],
)
async def test_drop_until(inputs, expected):
    await assert_marbles(Flow.drop_until, *inputs, expected=expected)


async def test_a_slow_reader_gets_no_item_that_comes_after_the_other_emits():
    await assert_marbles(Flow.take_until, "abcd|", "----x", expected="a--b--|", pause=3)


async def test_an_early_stop_closes_both_flows():
    for apply in (Flow.take_until, Flow.drop_until):
        await assert_marbles(
            apply,
            "-a-b-c",
            "x" if apply is Flow.drop_until else "",
            expected="-a-(b!)",
            collected=["^--!", "(^!)" if apply is Flow.drop_until else "^--!"],
        )


@pytest.mark.parametrize("apply", [Flow.take_until, Flow.drop_until])
async def test_the_other_may_be_an_async_function(apply):
    async def later():
        await anyio.sleep(2.5)

    event = anyio.Event()
    source = Flow.interval(1).take(5)
    setting = source.on_each(lambda n: n == 2 and event.set())
    expected = {Flow.take_until: [0, 1, 2], Flow.drop_until: [3, 4]}[apply]

    assert await apply(source, later).to_list() == expected
    assert await apply(source, lambda: later()).to_list() == expected
    assert await apply(setting, event.wait).to_list() == expected


async def test_the_other_may_be_an_async_generator_function():
    async def later():
        await anyio.sleep(2.5)
        yield "go"

    assert await Flow.interval(1).take_until(later).to_list() == [0, 1, 2]
    assert await Flow.interval(1).take_until(later()).to_list() == [0, 1, 2]


@pytest.mark.parametrize("apply", [Flow.take_until, Flow.drop_until])
async def test_an_error_of_the_async_function_is_raised(apply):
    boom = Boom()

    async def failing():
        await anyio.sleep(1.5)
        raise boom

    with pytest.raises(Boom) as caught:
        await apply(Flow.interval(1), failing).collect()
    assert caught.value is boom


@pytest.mark.parametrize("apply", [Flow.take_until, Flow.drop_until])
async def test_a_function_that_is_not_async_is_refused_when_it_has_been_called(apply):
    with pytest.raises(TypeError, match=r"other must be .* it returned 3"):
        await apply(Flow.never(), lambda: 3).collect()


async def test_the_source_is_closed_as_the_other_emits():
    seen = []

    async def source():
        try:
            while True:
                yield 1
        finally:
            seen.append(anyio.current_time() - start)

    async def later():
        await anyio.sleep(2)

    async with Flow(source).take_until(later).open() as items:
        start = anyio.current_time()
        await anext(items)
        await anyio.sleep(5)

        assert seen == [pytest.approx(2)]
        assert await anext(items, None) is None


async def test_an_item_is_pulled_when_it_is_asked_for():
    source = Source(*range(9))
    async with Flow(source.generator).take_until(anyio.sleep_forever).open() as items:
        for n in range(3):
            await anext(items)
            await anyio.sleep(1)

            assert source.pulled == n + 1
    assert source.is_closed
