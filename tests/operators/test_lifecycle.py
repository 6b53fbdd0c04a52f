"""What the operators that watch a flow begin, end and fail mean."""

from __future__ import annotations

import logging

import anyio
import pytest

from flowpy import Flow, flow

pytestmark = pytest.mark.anyio

PASSING = {
    "on_start": lambda source: source.on_start(print),
    "on_completion": lambda source: source.on_completion(repr),
    "on_empty": lambda source: source.on_empty(print),
    "if_empty": lambda source: source.if_empty(9),
    "log": lambda source: source.log(),
}


class Stop(BaseException):
    """Not an Exception."""


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_the_items_pass_unchanged(apply):
    assert await apply(Flow.of(1, None, 2)).to_list() == [1, None, 2]


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_an_error_from_above_comes_after_the_items_before_it(apply, outcome):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2).concat(Flow.fail(error))))

    assert items == [1, 2]
    assert raised is error


# -------------------------------------------------------------------------- on_start


async def test_on_start_has_run_before_the_source_is_started():
    seen = []

    async def prepare():
        await anyio.sleep(1)
        seen.append("prepared")

    @flow
    async def source():
        seen.append("started")
        yield 1

    await source().on_start(prepare).collect()

    assert seen == ["prepared", "started"]


async def test_on_start_runs_once_for_each_collection():
    started = []
    numbers = Flow.of(1, 2).on_start(lambda: started.append(True))

    await numbers.collect()
    await numbers.collect()

    assert len(started) == 2


async def test_an_error_of_on_start_means_that_the_source_is_not_started(outcome):
    error = ValueError("boom")
    started = []

    def fails():
        raise error

    source = Flow.of(1).on_start(lambda: started.append(True))
    items, raised = await outcome(source.on_start(fails))

    assert items == []
    assert raised is error
    assert started == []


async def test_the_last_on_start_runs_first():
    seen = []

    await (
        Flow.of(1)
        .on_start(lambda: seen.append("upper"))
        .on_start(lambda: seen.append("lower"))
        .collect()
    )

    assert seen == ["lower", "upper"]


# --------------------------------------------------------------------- on_completion


async def test_on_completion_gets_none_at_the_normal_end():
    for source in (Flow.of(1, 2), Flow.empty()):
        ended = []

        await source.on_completion(ended.append).collect()

        assert ended == [None]


async def test_on_completion_gets_none_after_an_early_stop():
    for stopped in (
        lambda source: source.first(),
        lambda source: source.take(1).collect(),
        lambda source: source.take_while(lambda n: n > 9).collect(),
        lambda source: source.zip([]).collect(),
    ):
        ended = []

        await stopped(Flow.of(1, 2).on_completion(ended.append))

        assert ended == [None]


async def test_on_completion_below_the_stop_gets_none_too():
    ended = []

    await Flow.of(1, 2).take(1).on_completion(ended.append).collect()

    assert ended == [None]


@pytest.mark.parametrize("error", [ValueError("boom"), Stop()], ids=repr)
async def test_on_completion_gets_the_error_from_above(error):
    items, ended = [], []
    failing = Flow.of(1).concat(Flow.fail(error))

    with pytest.raises(type(error)) as raised:
        await failing.on_completion(ended.append).collect(items.append)

    assert raised.value is error
    assert items == [1]
    assert ended == [error]


async def test_an_error_below_is_an_early_stop_to_on_completion():
    error = ValueError("boom")
    ended = []

    def fails(n):
        raise error

    watched = Flow.of(1, 2).on_completion(ended.append)

    for failing in (watched.map(fails), watched.concat(Flow.of(3)).filter(fails)):
        with pytest.raises(ValueError, match="boom") as raised:
            await failing.collect()
        assert raised.value is error
    with pytest.raises(ValueError, match="boom") as raised:
        await watched.collect(fails)
    assert raised.value is error
    assert ended == [None, None, None]


async def test_on_completion_gets_the_cancellation_that_arrived_above():
    ended = []

    with anyio.move_on_after(1) as scope:
        await Flow.of(1).concat(Flow.never()).on_completion(ended.append).collect()

    assert scope.cancelled_caught
    assert [type(error) for error in ended] == [anyio.get_cancelled_exc_class()]


async def test_a_cancellation_that_arrived_below_is_an_early_stop_to_on_completion():
    ended = []

    with anyio.move_on_after(1) as scope:
        await Flow.of(60, 60).on_completion(ended.append).collect(anyio.sleep)

    assert scope.cancelled_caught
    assert ended == [None]


async def test_on_completion_runs_when_the_source_is_closed():
    seen = []

    @flow
    async def source():
        try:
            yield 1
            yield 2
        finally:
            await anyio.sleep(1)
            seen.append("closed")

    watched = source().on_completion(lambda error: seen.append("completed"))
    await watched.collect()
    await watched.first()

    assert seen == ["closed", "completed", "closed", "completed"]


async def test_the_upper_on_completion_runs_first():
    seen = []

    await (
        Flow.of(1)
        .on_completion(lambda error: seen.append("upper"))
        .on_completion(lambda error: seen.append("lower"))
        .first()
    )

    assert seen == ["upper", "lower"]


async def test_on_completion_may_wait_however_the_flow_ends(outcome):
    completed = []

    async def slowly(error):
        await anyio.sleep(1)
        completed.append(anyio.current_time())

    watched = Flow.of(1, 2).on_completion(slowly)

    await watched.collect()
    await watched.first()
    await outcome(Flow.fail(ValueError()).on_completion(slowly))
    assert completed == [1, 2, 3]


async def test_on_completion_may_wait_under_a_shield_after_a_cancellation():
    completed = []

    async def slowly(error):
        with anyio.CancelScope(shield=True):
            await anyio.sleep(1)
            completed.append(anyio.current_time())

    with anyio.move_on_after(5):
        await Flow.never().on_completion(slowly).collect()

    assert completed == [6]


async def test_an_error_of_on_completion_is_raised_at_the_end(outcome):
    error = ValueError("boom")

    def fails(_):
        raise error

    items, raised = await outcome(Flow.of(1, 2).on_completion(fails))

    assert items == [1, 2]
    assert raised is error


async def test_an_error_of_on_completion_is_raised_after_an_early_stop():
    error = ValueError("boom")

    def fails(_):
        raise error

    with pytest.raises(ValueError, match="boom") as raised:
        await Flow.of(1, 2).on_completion(fails).first()

    assert raised.value is error


async def test_an_error_of_on_completion_has_the_one_from_above_as_context(outcome):
    first, second = ValueError("first"), KeyError("second")

    def fails(_):
        raise second

    items, raised = await outcome(
        Flow.of(1).concat(Flow.fail(first)).on_completion(fails)
    )

    assert items == [1]
    assert raised is second
    assert raised.__context__ is first


async def test_an_error_of_on_completion_is_noted_on_the_one_from_below(outcome):
    first, second = ValueError("first"), KeyError("second")

    def fails_first(_):
        raise first

    def fails_second(_):
        raise second

    _, raised = await outcome(
        Flow.of(1).on_completion(fails_second).on_each(fails_first)
    )

    assert raised is first
    assert sorted(raised.__notes__) == [
        "in stage 2 of Flow.of(1).on_completion(fails_second).on_each(fails_first)",
        "while closing, also raised: KeyError('second')",
    ]


# ---------------------------------------------------------------- on_empty, if_empty


async def test_on_empty_and_if_empty_act_on_a_flow_without_items():
    seen = []

    async def nothing():
        await anyio.sleep(1)
        seen.append("nothing")

    for empty in (Flow.empty(), Flow([]), Flow.of(1).filter(lambda n: n > 1)):
        assert await empty.on_empty(nothing).to_list() == []
        assert await empty.if_empty(8, 9).to_list() == [8, 9]
    assert seen == ["nothing"] * 3


async def test_if_empty_may_give_nothing():
    assert await Flow.empty().if_empty().to_list() == []
    assert await Flow.empty().if_empty(None).to_list() == [None]


@pytest.mark.parametrize("source", [Flow.of(None), Flow.of(0, 0)], ids=repr)
async def test_a_flow_with_an_item_is_not_empty(source):
    seen = []

    items = await source.on_empty(lambda: seen.append("nothing")).if_empty(9).to_list()

    assert 9 not in items
    assert seen == []


async def test_a_flow_that_failed_or_was_cancelled_is_not_empty(outcome):
    seen = []
    error = ValueError("boom")

    def watched(source):
        return source.on_empty(lambda: seen.append("nothing")).if_empty(9)

    items, raised = await outcome(watched(Flow.fail(error)))
    assert items == []
    assert raised is error
    with anyio.move_on_after(1):
        await watched(Flow.never()).collect(seen.append)
    assert seen == []


async def test_an_error_of_on_empty_ends_the_flow(outcome):
    error = ValueError("boom")

    def fails():
        raise error

    items, raised = await outcome(Flow.empty().on_empty(fails))

    assert items == []
    assert raised is error


# ------------------------------------------------------------------------------- log


@pytest.fixture
def records(caplog):
    caplog.set_level(1)
    return lambda: [
        (record.name, record.levelno, record.getMessage())
        for record in caplog.records
        if record.name != "asyncio"
    ]


async def test_log_writes_each_item_and_the_end(records):
    await Flow.of("a", None).log().collect()

    assert records() == [
        ("flowpy", logging.INFO, "item 0: 'a'"),
        ("flowpy", logging.INFO, "item 1: None"),
        ("flowpy", logging.INFO, "ended after 2 items"),
    ]


@pytest.mark.parametrize("level", ["DEBUG", logging.DEBUG, 10], ids=repr)
async def test_log_takes_the_name_of_the_logger_and_a_level(level, records):
    await Flow.empty().log("app.ticks", level).collect()

    assert records() == [("app.ticks", logging.DEBUG, "ended after 0 items")]


async def test_log_writes_an_item_before_it_is_passed_on(records):
    await Flow.of(1).log().collect(lambda n: logging.getLogger("below").info("item"))

    assert [name for name, _, _ in records()] == ["flowpy", "below", "flowpy"]


@pytest.mark.parametrize(
    ("level", "written"),
    [("INFO", logging.ERROR), ("CRITICAL", logging.CRITICAL)],
)
async def test_log_writes_an_error_with_its_traceback(
    level, written, records, caplog, outcome
):
    error = ValueError("boom")

    await outcome(Flow.of(1).concat(Flow.fail(error)).log(level=level))

    assert records()[1:] == [("flowpy", written, "failed after 1 items")]
    assert caplog.records[-1].exc_info[1] is error


async def test_log_writes_an_early_stop(records):
    await Flow.of(1, 2).log().first()

    assert records()[1:] == [("flowpy", logging.INFO, "stopped after 1 items")]


async def test_an_error_below_is_an_early_stop_to_log(records, outcome):
    def fails(n):
        raise ValueError

    await outcome(Flow.of(1, 2).log().on_each(fails))

    assert records()[1:] == [("flowpy", logging.INFO, "stopped after 1 items")]


async def test_log_writes_a_cancellation(records):
    with anyio.move_on_after(1):
        await Flow.of(1).concat(Flow.never()).log("app").collect()

    (name, level, message) = records()[-1]
    assert (name, level) == ("app", logging.INFO)
    assert message.startswith("cancelled after 1 items: Cancelled")
