"""What the operators over several flows mean."""

from __future__ import annotations

import itertools
from functools import partial

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowConsumedError, flow
from flowpy.testing import assert_marbles
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

LISTS = st.lists(st.integers())
OTHERS = st.lists(LISTS, max_size=3)

COMBINING = {
    "concat": Flow.concat,
    "zip": Flow.zip,
    "zip strict": lambda source, *others: source.zip(*others, strict=True),
    "interleave": Flow.interleave,
}


def watched(name, seen, *items):
    """Make a flow that writes down when it is started, pulled and closed."""

    @flow
    async def source():
        seen.append(f"{name} starts")
        try:
            for item in items:
                seen.append(f"{name} gives {item}")
                yield item
        finally:
            await anyio.sleep(1)
            seen.append(f"{name} is closed")

    return source()


async def of_async(*items):
    for item in items:
        yield item


@pytest.mark.parametrize("apply", COMBINING.values(), ids=COMBINING)
async def test_the_others_may_be_flows_async_iterables_and_iterables(apply):
    expected = await apply(Flow.of(1), Flow.of(2), Flow.of(3)).to_list()

    assert await apply(Flow.of(1), of_async(2), [3]).to_list() == expected
    assert await apply(Flow.of(1), {2: "two"}, iter([3])).to_list() == expected


@pytest.mark.parametrize("apply", COMBINING.values(), ids=COMBINING)
async def test_of_flows_without_items_comes_nothing(apply):
    assert await apply(Flow.empty()).to_list() == []
    assert await apply(Flow.empty(), [], Flow.empty()).to_list() == []


@pytest.mark.parametrize("apply", COMBINING.values(), ids=COMBINING)
async def test_a_flow_may_be_combined_with_itself(apply):
    numbers = Flow.of(1, 2)

    assert (
        await apply(numbers, numbers).to_list()
        == await apply(Flow.of(1, 2), Flow.of(1, 2)).to_list()
    )


@pytest.mark.parametrize("apply", COMBINING.values(), ids=COMBINING)
async def test_a_one_shot_other_can_be_combined_once(apply, outcome):
    combined = apply(Flow.of(1, 2), (n for n in [3, 4]))

    assert len(await combined.to_list()) >= 2
    _, raised = await outcome(combined)
    assert isinstance(raised, FlowConsumedError)
    assert "one-shot generator" in str(raised)


@pytest.mark.parametrize(
    ("apply", "before"),
    [
        (Flow.concat, [1, 2, 3]),
        (Flow.zip, [(1, 3, 4)]),
        (lambda source, *others: source.zip(*others, strict=True), [(1, 3, 4)]),
        (Flow.interleave, [1, 3, 4, 2]),
    ],
    ids=COMBINING,
)
async def test_an_error_of_another_flow_comes_after_the_items_before_it(
    apply, before, outcome
):
    error = ValueError("boom")
    failing = Flow.of(3).concat(Flow.fail(error))

    items, raised = await outcome(apply(Flow.of(1, 2), failing, Flow.of(4, 5)))

    assert items == before
    assert raised is error


@pytest.mark.parametrize(
    ("apply", "before"),
    [
        (Flow.concat, [1, 2]),
        (Flow.zip, [(1, 3), (2, 4)]),
        (lambda source, *others: source.zip(*others, strict=True), [(1, 3), (2, 4)]),
        (Flow.interleave, [1, 3, 2, 4]),
        (lambda source, other: source.start_with(3, 4), [3, 4, 1, 2]),
        (lambda source, other: source.end_with(3, 4), [1, 2]),
    ],
    ids=[*COMBINING, "start_with", "end_with"],
)
async def test_an_error_from_above_comes_after_the_items_before_it(
    apply, before, outcome
):
    error = ValueError("boom")

    items, raised = await outcome(
        apply(Flow.of(1, 2).concat(Flow.fail(error)), [3, 4, 5])
    )

    assert items == before
    assert raised is error


@pytest.mark.parametrize(
    "apply", [Flow.zip, Flow.interleave], ids=["zip", "interleave"]
)
async def test_an_error_of_one_flow_has_closed_the_others_when_it_arrives(apply):
    seen = []
    error = ValueError("boom")
    sides = [watched("b", seen, 1, 2, 3), at(1).concat(Flow.fail(error))]

    with pytest.raises(ValueError, match="boom"):
        await apply(watched("a", seen, 1, 2, 3), *sides).collect()

    opened = {line[0] for line in seen if "starts" in line}
    assert {line[0] for line in seen if "closed" in line} == opened >= {"a", "b"}


async def test_they_are_functions_of_the_class_too():
    assert await Flow.concat([1], [2]).to_list() == [1, 2]
    assert await Flow.zip([1], [2]).to_list() == [(1, 2)]
    assert await Flow.interleave([1, 3], Flow.of(2)).to_list() == [1, 2, 3]
    assert await Flow.start_with([2], 1).to_list() == [1, 2]
    assert await Flow.end_with([1], 2).to_list() == [1, 2]


# ---------------------------------------------------------------------------- concat


@given(LISTS, OTHERS)
async def test_concat_is_chain(items, others):
    assert await Flow(items).concat(*others).to_list() == [
        *itertools.chain(items, *others)
    ]


async def test_concat_starts_a_flow_when_the_one_before_it_is_closed():
    seen = []

    await watched("a", seen, 1).concat(watched("b", seen, 2)).collect()

    assert seen == [
        *("a starts", "a gives 1", "a is closed"),
        *("b starts", "b gives 2", "b is closed"),
    ]


async def test_concat_does_not_start_what_an_early_stop_made_needless():
    seen = []

    await watched("a", seen, 1).concat(watched("b", seen, 2)).first()

    assert seen == ["a starts", "a gives 1", "a is closed"]


# -------------------------------------------------------------- start_with, end_with


@given(LISTS, LISTS)
async def test_start_with_and_end_with_add_items_at_the_ends(items, added):
    assert await Flow(items).start_with(*added).to_list() == added + items
    assert await Flow(items).end_with(*added).to_list() == items + added


async def test_start_with_gives_its_items_before_the_source_is_started():
    seen = []

    assert await watched("a", seen, 1).start_with(8, 9).take(2).to_list() == [8, 9]
    assert seen == []


async def test_end_with_gives_its_items_when_the_source_is_closed():
    seen = []

    await watched("a", seen, 1).end_with(9).collect(seen.append)

    assert seen == ["a starts", "a gives 1", 1, "a is closed", 9]


async def test_the_last_start_with_comes_first():
    assert await Flow.of(3).start_with(2).start_with(1).to_list() == [1, 2, 3]


# ------------------------------------------------------------------------------- zip


@given(LISTS, OTHERS)
async def test_zip_is_the_built_in(items, others):
    assert await Flow(items).zip(*others).to_list() == list(
        zip(items, *others, strict=False)
    )


@given(LISTS, OTHERS)
async def test_strict_zip_is_the_built_in_with_strict(items, others):
    expected, failure = [], None
    try:
        expected.extend(zip(items, *others, strict=True))
    except ValueError as error:
        failure = error

    rows, raised = [], None
    try:
        await Flow(items).zip(*others, strict=True).collect(rows.append)
    except ValueError as error:
        raised = error

    assert rows == expected
    assert type(raised) is type(failure)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (([1], [1, 2]), "zip: flow 1 is shorter than the flows before it"),
        (([1, 2], [1]), "zip: flow 2 is shorter than the flows before it"),
        (([1, 2, 3], [1, 2]), "zip: flow 1 is longer than the flows before it"),
        (([1, 2], [1, 2, 3]), "zip: flow 2 is longer than the flows before it"),
    ],
)
async def test_strict_zip_says_which_flow_has_another_length(others, message, outcome):
    _, raised = await outcome(Flow.of(1, 2).zip(*others, strict=True))

    assert isinstance(raised, ValueError)
    assert str(raised) == message


async def test_zip_ends_with_the_shortest_and_closes_the_rest_at_once():
    seen = []
    zipped = watched("a", seen, 1, 2, 3).zip(
        watched("b", seen, 1), watched("c", seen, 1, 2, 3)
    )

    await zipped.on_completion(lambda error: seen.append("ended")).collect()

    # All are asked for a second item, and none for a third.
    assert "a gives 3" not in seen
    assert "c gives 3" not in seen
    assert sorted(seen[-4:-1]) == ["a is closed", "b is closed", "c is closed"]
    assert seen[-1] == "ended"


async def test_zip_pulls_all_flows_at_once():
    start = anyio.current_time()

    assert await at(3, 7).zip(at(5, 6), at(1, 9)).to_list() == [(3, 5, 1), (7, 6, 9)]
    assert anyio.current_time() - start == pytest.approx(9)


@pytest.mark.parametrize("taken", [1, 2, 5])
async def test_zip_pulls_of_each_flow_what_a_row_needs(taken):
    sources = [Source(*range(50)) for _ in range(3)]
    async with Flow.zip(*[Flow(source.generator) for source in sources]).open() as rows:
        for n in range(taken):
            assert await anext(rows) == (n, n, n)
            await anyio.sleep(1)

            assert [source.pulled for source in sources] == [n + 1] * 3


async def test_an_error_in_a_row_is_raised_even_if_another_flow_ends_there(outcome):
    boom = Boom()
    rows, raised = await outcome(Flow.of(1).zip(Flow.of(2).concat(Flow.fail(boom))))

    assert rows == [(1, 2)]
    assert raised is boom


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a-----b--c|", "--1-2------3|"), "--'a1'---'b2'----('c3'|)"),
        (("ab|", "|"), "|"),
        (("---|", "a|"), "---|"),
        (("a|", ""), ""),  # an end is known only to who asks for more
        (("a--b|", "12-#"), "'a1'--('b2'#)"),
        (("-----a|", "--#"), "--#"),
        (("ab#", "12|"), "'a1''b2'#"),
        (("ab|", "12#"), "'a1''b2'|"),
    ],
)
async def test_zip(inputs, expected):
    await assert_marbles(lambda a, b: a.zip(b).map("".join), *inputs, expected=expected)


# ------------------------------------------------------------------------ interleave


def roundrobin(*lists):
    """Read a table of the lists row by row, without the gaps."""
    gap = object()
    rows = itertools.zip_longest(*lists, fillvalue=gap)
    return [item for row in rows for item in row if item is not gap]


@given(LISTS, OTHERS)
async def test_interleave_gives_the_items_in_rounds(items, others):
    expected = roundrobin(items, *others)

    assert await Flow(items).interleave(*others).to_list() == expected


async def test_interleave_pulls_a_flow_only_in_its_turn():
    seen = []
    flows = watched("a", seen, 1, 2).interleave(watched("b", seen, 3, 4))

    assert await flows.take(3).to_list() == [1, 3, 2]
    assert [line for line in seen if "gives" in line] == [
        *("a gives 1", "b gives 3", "a gives 2")
    ]
    assert sorted(seen[-2:]) == ["a is closed", "b is closed"]


# ----------------------------------------------------------------------------- merge


def at(*times):
    """Make a flow that gives each of these times when it comes."""

    @flow
    async def source():
        start = anyio.current_time()
        for time in times:
            await anyio.sleep(max(0, start + time - anyio.current_time()))
            yield time

    return source()


async def test_merged_items_come_as_they_arrive():
    merged = at(1, 4, 6).merge(at(2, 3, 7), at(5))

    assert await merged.to_list() == [1, 2, 3, 4, 5, 6, 7]


async def test_a_slow_reader_gets_merged_items_in_the_order_of_their_arrival():
    seen = []

    async def take(item):
        seen.append(item)
        await anyio.sleep(10)

    await at(1, 4, 6).merge(at(2, 3, 7), at(5)).collect(take)

    assert seen == [1, 2, 3, 4, 5, 6, 7]


@given(LISTS, OTHERS)
async def test_merge_gives_all_items_and_keeps_the_order_of_each_flow(first, others):
    flows = [
        Flow(items).map(lambda item, k=k: (k, item))
        for k, items in enumerate([first, *others])
    ]
    merged = await Flow.merge(*flows).to_list()

    for k, items in enumerate([first, *others]):
        assert [item for number, item in merged if number == k] == items


@pytest.mark.parametrize("taken", [1, 8, 40])
async def test_each_merged_flow_is_pulled_16_items_ahead(taken):
    pulled = {"a": 0, "b": 0}
    seen = {"a": 0, "b": 0}

    async def numbers(name):
        for _ in range(1000):
            pulled[name] += 1
            yield name

    merged = Flow(lambda: numbers("a")).merge(Flow(lambda: numbers("b")))
    async with merged.open() as items:
        for _ in range(taken):
            seen[await anext(items)] += 1
            await anyio.sleep(1)

        assert pulled == {name: seen[name] + 16 for name in "ab"}


async def test_a_flow_that_never_waits_does_not_starve_the_others():
    async def busy():
        while True:
            yield "busy"

    merged = Flow(busy).merge(at(0).map(str), ["plain"])
    items = await merged.take(100).to_list()

    assert {"0", "plain"} < set(items)


async def test_merged_flows_end_when_all_have_ended():
    start = anyio.current_time()

    assert await at(1).merge(at(3), Flow.empty()).to_list() == [1, 3]
    assert anyio.current_time() - start == pytest.approx(3)


async def test_when_one_merged_flow_fails_the_others_are_closed_before_it_is_raised():
    seen = []
    boom = OSError("down")

    @flow
    async def failing():
        yield "before"
        await anyio.sleep(2)
        raise boom

    merged = failing().merge(at(1, 9), watched("other", seen, 1, 2, 3))
    items = []
    with pytest.raises(OSError, match="down") as caught:
        await merged.collect(items.append)

    assert caught.value is boom
    assert not hasattr(boom, "__notes__")
    assert sorted(map(str, items)) == ["1", "1", "2", "3", "before"]
    assert seen[-1] == "other is closed"


async def test_interleave_starts_a_flow_in_its_first_turn():
    seen = []

    assert await Flow.of(1, 2).interleave(watched("b", seen, 3)).first() == 1
    assert seen == []


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a-b----c|", "1---2--3|"), "(a1)-b-2--(c3)|"),
        (("|", "ab|"), "ab|"),
        (("ab|", "----#"), "a---#"),
        (("", "ab|"), ""),
        (("(ab)--#", "1--2--|"), "(a1b)--(2#)"),
    ],
)
async def test_interleave(inputs, expected):
    await assert_marbles(Flow.interleave, *inputs, expected=expected)


# ---------------------------------------------------------------------------- combine


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a---b-----|", "--1---2|"), "--'a1'-'b1'-'b2'---|"),
        (("ab|", "|"), "--|"),
        (("ab|", "-----|"), "-----|"),
        (("ab|", ""), ""),
        (("a--c|", "--1|"), "--'a1''c1'|"),
        (("(ab)|", "1--2|"), "('b1')--'b2'|"),
        (("a-b|", "1-2|"), "'a1'-('b1''b2')|"),
        (("a---#", "-1|"), "-'a1'--#"),
        (("#", "-1|"), "#"),
        (("---a|", "-#"), "-#"),
    ],
)
async def test_combine(inputs, expected):
    await assert_marbles(
        lambda a, b: a.combine(b).map("".join), *inputs, expected=expected
    )


async def test_a_slow_reader_of_combine_gets_a_tuple_for_each_arrival():
    await assert_marbles(
        lambda a, b: a.combine(b).map("".join),
        "abc|",
        "1|",
        expected="'a1'--'b1'--'c1'--|",
        pause=3,
    )


async def test_an_early_stop_closes_all_that_is_combined():
    await assert_marbles(
        lambda a, b: a.combine(b).map("".join),
        "a-b-c|",
        "1----|",
        expected="'a1'-('b1'!)",
        collected=["^-!", "^-!"],
    )


@pytest.mark.parametrize("taken", [1, 8, 40])
async def test_each_combined_flow_is_pulled_16_items_ahead(taken):
    a, b = Source(*range(200)), Source(*range(200))
    combined = Flow(a.generator).combine(Flow(b.generator))
    async with combined.open() as items:
        for _ in range(taken):
            row = await anext(items)
            await anyio.sleep(1)

        assert (a.pulled, b.pulled) == (row[0] + 17, row[1] + 17)


async def test_combine_tells_none_from_nothing():
    assert await Flow.of(None).combine([None]).to_list() == [(None, None)]
    assert await Flow.of(1, 2).combine().to_list() == [(1,), (2,)]


# ------------------------------------------------------------------- with_latest_from


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("a--b---c|", "-1---2----"), "---'b1'---'c2'|"),
        (("a-b|", "|"), "---|"),
        (("a-b|", ""), "---|"),
        (("|", "1"), "|"),
        (("--a-b|", "1|"), "--'a1'-'b1'|"),
        (("---a|", "1-#"), "--#"),
        (("-a-#", "1----|"), "-'a1'-#"),
        (("-a-b|", "1--2|"), "-'a1'-'b1'|"),  # this flow comes first in that frame
        (("a", "1-|"), ""),
    ],
)
async def test_with_latest_from(inputs, expected):
    await assert_marbles(
        lambda a, b: a.with_latest_from(b).map("".join), *inputs, expected=expected
    )


async def test_a_slow_reader_gets_the_latest_as_of_its_pull():
    await assert_marbles(
        lambda a, b: a.with_latest_from(b).map("".join),
        "-abc|",
        "1--23-5-----|",
        expected="-'a1'--'b3'--'c5'--|",
        pause=3,
    )


async def test_with_latest_from_closes_the_others_at_its_end():
    await assert_marbles(
        lambda a, b, c: a.with_latest_from(b, c).map("".join),
        "-a-b|",
        "1----------",
        "x-y--------",
        expected="-'a1x'-'b1y'|",
        collected=["^---!", "^---!", "^---!"],
    )


async def test_with_latest_from_pulls_its_flow_one_at_a_time():
    source = Source(*range(9))
    async with Flow(source.generator).with_latest_from([0]).open() as items:
        for n in range(4):
            await anext(items)
            await anyio.sleep(1)

            assert source.pulled == n + 1
    assert source.is_closed


async def test_an_other_that_never_waits_lets_the_reader_run():
    async def endless():
        while True:
            yield "x"

    source = Flow.of(0, 1).on_each(lambda _: checkpoint())

    assert await source.with_latest_from(Flow(endless)).to_list() == [
        *((0, "x"), (1, "x"))
    ]


# ------------------------------------------------------------------------------- race


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("----a-b|", "-1--2---3|"), "-1--2---3|"),
        (("a-b|", "1-2|"), "a-b|"),
        (("|", "--1|"), "--1|"),
        (("--|", "-|"), "--|"),
        (("|", ""), ""),
        (("---a|", "-#"), "-#"),
        (("-a--b|", "--#"), "-a--b|"),
        (("-a--#", "--1|"), "-a--#"),
        (("-a|", "-#"), "-a|"),
        (("-#", "-1|"), "-#"),
    ],
)
async def test_race(inputs, expected):
    await assert_marbles(Flow.race, *inputs, expected=expected)


async def test_the_losers_of_a_race_are_closed_before_its_first_item_comes():
    seen = []
    flow = at(5).race(watched("slow", seen).concat(at(6)), at(1, 2))

    async def take(item):
        seen.append(item)

    await flow.collect(take)

    assert seen == ["slow starts", "slow is closed", 1, 2]


async def test_the_loser_that_waits_is_cancelled_and_its_cleanup_can_wait():
    seen = []

    async def slow():
        try:
            await anyio.sleep(99)
            yield "slow"
        finally:
            await anyio.sleep(3)
            seen.append("closed")

    start = anyio.current_time()
    first = await at(1).race(Flow(slow)).first()

    assert first == 1
    assert seen == ["closed"]
    assert anyio.current_time() - start == pytest.approx(4)


async def test_a_loser_that_has_an_item_too_is_closed_and_not_cancelled():
    events = []

    async def second():
        try:
            yield "second"
        except BaseException as error:
            events.append(type(error))
            raise
        finally:
            await anyio.sleep(1)
            events.append("closed")

    assert await Flow.of("first", "more").race(Flow(second)).to_list() == [
        *("first", "more")
    ]
    assert events == [GeneratorExit, "closed"]


async def test_of_several_at_one_instant_the_first_in_order_wins():
    boom = Boom()

    assert await Flow.of(1).race([2], Flow.fail(boom)).to_list() == [1]
    with pytest.raises(Boom) as caught:
        await Flow.fail(boom).race([2]).collect()
    assert caught.value is boom


async def test_of_several_that_fail_at_one_instant_the_error_of_the_first_is_raised():
    errors = [Boom(n) for n in range(3)]

    async def failing(error):
        await anyio.sleep(1)
        raise error
        yield

    # In which order they have their turns is not for them to say.
    for _ in range(20):
        flows = [Flow(partial(failing, error)) for error in errors]
        with pytest.raises(Boom) as caught:
            await Flow.race(*flows).collect()
        assert caught.value is errors[0]


async def test_the_error_of_a_losers_cleanup_is_raised():
    boom = Boom()

    async def failing():
        try:
            await anyio.sleep(9)
            yield 1
        finally:
            raise boom

    with pytest.raises(Boom) as caught:
        await Flow.of(1).race(Flow(failing)).collect()
    assert caught.value is boom


async def test_the_winner_is_pulled_one_item_at_a_time():
    source = Source(*range(9))
    async with Flow(source.generator).race(Flow.never()).open() as items:
        for n in range(4):
            await anext(items)
            await anyio.sleep(1)

            assert source.pulled == n + 1
    assert source.is_closed


# --------------------------------------------------------------- what holds for them all

TOGETHER = {
    "zip": Flow.zip,
    "zip strict": lambda *flows: Flow.zip(*flows, strict=True),
    "interleave": Flow.interleave,
    "merge": Flow.merge,
    "combine": Flow.combine,
    "with_latest_from": Flow.with_latest_from,
    "race": Flow.race,
    "concat": Flow.concat,
    "take_until": lambda a, b, c: a.take_until(b.filter(lambda n: n > 4)).merge(c),
    "drop_until": lambda a, b, c: a.drop_until(b).merge(c),
}
together = pytest.mark.parametrize("apply", TOGETHER.values(), ids=TOGETHER)


@flow
async def with_tasks(*times):
    """Give each of these times when it comes, from inside a task group."""
    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        for time in times:
            await anyio.sleep(max(0, start + time - anyio.current_time()))
            yield time
        group.cancel_scope.cancel()


@together
@pytest.mark.parametrize("taken", [1, 2, 99])
async def test_flows_may_have_task_groups_of_their_own(apply, taken):
    plain = apply(at(1, 4, 7), at(2, 5, 9), at(3, 6, 8)).take(taken)
    grouped = apply(with_tasks(1, 4, 7), with_tasks(2, 5, 9), with_tasks(3, 6, 8))

    assert await grouped.take(taken).to_list() == await plain.to_list()


@together
async def test_flows_with_task_groups_may_be_cancelled(apply):
    flows = apply(with_tasks(1, 40), with_tasks(2, 50), with_tasks(3, 60))
    with anyio.move_on_after(4) as scope:
        await flows.collect()

    assert scope.cancelled_caught
