"""The laws, each over every operator and ending of the table."""

from __future__ import annotations

import math
from contextlib import suppress
from contextvars import ContextVar
from itertools import count

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import BufferOverflowError, Flow, FlowConsumedError, _iterating
from tests.laws.probes import CALLBACK_KINDS, SOURCE_KINDS, Boom, Source, plain
from tests.laws.table import CASES, OPERATORS

pytestmark = pytest.mark.anyio

every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_operator = pytest.mark.parametrize("case", OPERATORS, ids=str)
every_source = pytest.mark.parametrize("kind", SOURCE_KINDS)

ITEMS = (1, 2, 3, 4)


def with_calls(*when):
    return [case for case in CASES if case.calls in when]


async def result_of(made):
    """Collect what a case made: its items, or the ending's result."""
    if isinstance(made, Flow):
        return await made.to_list()
    return await made


async def outcome_of(made):
    """Return the result, or the class of the error if it is one that a case expects."""
    try:
        return await result_of(made)
    except (LookupError, TypeError) as error:
        return LookupError if isinstance(error, LookupError) else type(error)


@pytest.fixture(autouse=True)
def turns_do_not_end(monkeypatch):
    """Read the few items of a case in one turn, also on a machine that is busy."""
    monkeypatch.setattr(_iterating, "TURN", 60)


@pytest.fixture
def turns_end(turns_do_not_end, monkeypatch):
    monkeypatch.setattr(_iterating, "TURN", 0.001)


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend):
    before = len(anyio.get_running_tasks())
    yield
    assert len(anyio.get_running_tasks()) == before


@every_case
@every_source
async def test_gives_what_the_table_says_at_every_collection(case, kind):
    source = Source(*ITEMS)
    above = SOURCE_KINDS[kind](source)
    made = case.apply(above, plain)
    before = source.opened
    results = [await result_of(made)]
    results.append(await result_of(case.apply(above, plain)))
    if isinstance(made, Flow) and not case.once:
        results.append(await made.to_list())

    assert before == 0  # building ran nothing
    assert results == [case.gives] * len(results)
    assert source.is_closed


@every_case
async def test_gives_what_the_table_says_for_no_item(case):
    source = Source()
    outcome = await outcome_of(case.apply(Flow(source.generator), plain))

    assert outcome == case.empty
    assert source.is_closed


@every_case
async def test_none_is_an_item_like_any_other(case):
    source = Source(None, None)
    outcome = await outcome_of(case.apply(Flow(source.generator), plain))

    assert outcome == case.nones
    assert source.is_closed


@pytest.mark.parametrize("case", [c for c in OPERATORS if not c.ahead], ids=str)
async def test_pulls_no_more_than_its_first_item_needs(case):
    source = Source(*ITEMS)
    async with case.apply(Flow(source.generator), plain).open() as items:
        await anext(items, None)
        pulled = source.pulled
        await anyio.sleep(10)

        assert pulled == source.pulled == case.first_pulls
    assert source.is_closed


BOUNDED = [case for case in OPERATORS if 0 < case.ahead < math.inf]


@pytest.mark.parametrize("taken", [1, 5])
@pytest.mark.parametrize("case", BOUNDED, ids=str)
async def test_its_tasks_pull_no_more_than_their_bound(case, taken):
    source = Source(*range(200))
    async with case.apply(Flow(source.generator), plain).open() as items:
        for _ in range(taken):
            with suppress(BufferOverflowError):
                await anext(items, None)
        await anyio.sleep(10)

        assert source.pulled - case.first_pulls - taken + 1 <= case.ahead
    assert source.is_closed


@every_operator
@every_source
async def test_closes_its_source_when_the_reader_stops_early(case, kind):
    source = Source(*ITEMS)
    async with case.apply(SOURCE_KINDS[kind](source), plain).open() as items:
        async for _ in items:
            break
        still_opened = source.opened

    assert source.is_closed
    assert source.opened == still_opened


@every_operator
async def test_closes_its_source_when_the_reader_fails(case):
    source = Source(*ITEMS)
    boom = Boom()

    async def read():
        async with case.apply(Flow(source.generator), plain).open() as items:
            await anext(items, None)
            raise boom

    with pytest.raises(Boom) as caught:
        await read()

    assert caught.value is boom
    assert source.is_closed


@every_operator
async def test_never_opens_a_source_that_nobody_pulled(case):
    source = Source(*ITEMS)
    async with case.apply(Flow(source.generator), plain).open():
        pass

    assert source.opened == 0


@every_case
@every_source
async def test_an_error_of_the_source_arrives_as_the_same_object(case, kind):
    boom = Boom()
    source = Source(1, error=boom)
    made = case.apply(SOURCE_KINDS[kind](source), plain)
    caught = None
    try:
        await result_of(made)
    except Boom as error:
        caught = error

    # Those that need no more than the first item have stopped before the error.
    assert caught is (boom if source.failed and not case.recovers else None)
    assert source.is_closed


@pytest.mark.parametrize("case", with_calls("on items", "at start", "at end"), ids=str)
async def test_an_error_of_a_callback_arrives_as_the_same_object(case):
    source = Source(*ITEMS)
    boom = Boom()

    def failing(fn):
        def fail(*args):
            raise boom

        return fail

    with pytest.raises(Boom) as caught:
        await result_of(case.apply(Flow(source.generator), failing))

    assert caught.value is boom
    assert source.is_closed


@pytest.mark.parametrize("case", with_calls("on error", "if empty"), ids=str)
async def test_an_error_of_a_callback_called_late_arrives_as_the_same_object(case):
    boom = Boom()
    source = Source(error=KeyError() if case.calls == "on error" else None)

    def failing(fn):
        def fail(*args):
            raise boom

        return fail

    with pytest.raises(Boom) as caught:
        await result_of(case.apply(Flow(source.generator), failing))

    assert caught.value is boom
    assert source.is_closed


@every_case
async def test_cancellation_closes_the_source_before_control_returns(case):
    source = Source(*ITEMS, hangs=True)
    with anyio.move_on_after(1):
        await result_of(case.apply(Flow(source.generator), plain))

    assert source.is_closed


@pytest.mark.usefixtures("turns_end")
@every_case
async def test_an_endless_plain_iterable_can_be_cancelled(case):
    done = anyio.Event()
    turns = 0

    async def collect():
        with scope, suppress(BufferOverflowError):
            await outcome_of(case.apply(Flow(count).map(lambda _: 1), plain))
        done.set()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(collect)
        for _ in range(5):
            await checkpoint()
        scope.cancel()
        while not done.is_set():
            turns += 1
            await checkpoint()

    assert turns < 100  # of the event loop


@every_case
async def test_a_collector_that_was_cancelled_before_leaves_nothing(case):
    source = Source(*ITEMS)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await outcome_of(case.apply(Flow(source.generator), plain))

    assert source.is_closed


@pytest.mark.parametrize("case", [c for c in CASES if c.calls != "no"], ids=str)
@pytest.mark.parametrize("kind", CALLBACK_KINDS)
async def test_takes_callbacks_of_every_kind(case, kind):
    above = {
        "on error": Flow.fail(KeyError()).start_with(*ITEMS),
        "if empty": Flow.empty(),
    }.get(case.calls, Flow(ITEMS))
    calls = []

    def recorded(convert):
        def wrap(fn):
            def call(*args):
                calls.append(convert)
                return fn(*args)

            return convert(call)

        return wrap

    outcomes = [
        await outcome_of(case.apply(above, recorded(convert)))
        for convert in (plain, CALLBACK_KINDS[kind])
    ]

    assert outcomes[0] == outcomes[1]
    assert calls.count(CALLBACK_KINDS[kind]) > 0


@pytest.mark.parametrize("case", with_calls("on items", "at start"), ids=str)
async def test_callbacks_see_the_context_of_the_collecting_task(case):
    variable = ContextVar("variable", default="unset")
    seen = set()

    def looking(fn):
        def look(*args):
            seen.add(variable.get())
            return fn(*args)

        return look

    made = case.apply(Flow(ITEMS), looking)
    variable.set("collecting")
    await result_of(made)

    assert seen == {"collecting"}


@pytest.mark.parametrize("case", [c for c in OPERATORS if not c.once], ids=str)
async def test_two_collections_at_once_know_nothing_of_each_other(case):
    made = case.apply(Flow(ITEMS), plain)
    results = []

    async def collect():
        results.append([x async for x in made.on_each(lambda _: checkpoint())])

    async with anyio.create_task_group() as group:
        group.start_soon(collect)
        group.start_soon(collect)

    assert results == [case.gives, case.gives]


ONE_SHOT = [
    case
    for case in OPERATORS
    # One collects its source twice at once, one never starts it, two catch the error.
    if case.name not in {"zip(strict)", "take(0)"} and not (case.recovers or case.once)
]


@pytest.mark.parametrize("case", ONE_SHOT, ids=str)
@every_source
async def test_a_one_shot_source_is_refused_at_the_second_collection(case, kind):
    made = case.apply(Flow(aiter(SOURCE_KINDS[kind](Source(*ITEMS)))), plain)
    first = await made.to_list()

    with pytest.raises(FlowConsumedError, match="one-shot async_generator"):
        await made.to_list()
    assert first == case.gives


@every_case
async def test_closing_twice_or_after_the_end_does_nothing(case):
    source = Source(*ITEMS)
    made = case.apply(Flow(source.generator), plain)
    if case.ends:
        made.close()
    else:
        items = aiter(made)
        await anext(items, None)
        await items.aclose()
        await items.aclose()

    assert source.is_closed


@every_case
async def test_repr_and_explain_run_nothing(case):
    source = Source(*ITEMS)
    made = case.apply(Flow(source.generator), plain)
    if isinstance(made, Flow):
        text, plan = repr(made), made.explain()

        assert f".{case.name.partition('(')[0].partition(' ')[0]}(" in text
        assert "flow" in plan.lower()
    else:
        made.close()
    assert source.opened == 0


WRONG_CALLS = [
    pytest.param(call, error, parameter, id=f"{case.name} {number}")
    for case in CASES
    for number, (call, error, parameter) in enumerate(case.bad)
]


@pytest.mark.parametrize(("call", "error", "parameter"), WRONG_CALLS)
async def test_a_wrong_argument_is_refused_at_the_call(call, error, parameter):
    with pytest.raises(error, match=rf"\b{parameter}\b.*; got "):
        call(Flow(ITEMS))
