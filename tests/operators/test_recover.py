"""What the operators that go on after an error mean."""

from __future__ import annotations

import math
from datetime import timedelta
from random import Random

import anyio
import pytest

from flowpy import Flow, FlowConsumedError, flow

pytestmark = pytest.mark.anyio

PASSING = {
    "catch": lambda source: source.catch(),
    "retry": lambda source: source.retry(),
    "retry_when": lambda source: source.retry_when(lambda error, attempt: True),
}


class Attempts:
    """A source of which each collection gives the next list, and then its error."""

    def __init__(self, *attempts):
        self.flow = Flow(self._attempt)
        self.starts = []
        self._attempts = list(attempts)

    async def _attempt(self):
        self.starts.append(anyio.current_time())
        *items, last = self._attempts.pop(0)
        if isinstance(last, Exception):
            return Flow(items).concat(Flow.fail(last))
        return [*items, last]


def failing(times):
    """Make as many errors, none like the other."""
    return [ConnectionError(number) for number in range(times)]


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_a_flow_that_does_not_fail_passes(apply):
    assert await apply(Flow.of(1, None, 2)).to_list() == [1, None, 2]
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_an_error_from_below_is_not_handled(apply, outcome):
    error = ValueError("boom")
    started = []

    def fails(n):
        raise error

    source = Flow.of(1, 2).on_start(lambda: started.append(True))
    items, raised = await outcome(apply(source).on_each(fails))

    assert items == []
    assert raised is error
    assert started == [True]


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_an_error_of_the_collector_is_not_handled(apply):
    error = ValueError("boom")

    def fails(n):
        raise error

    with pytest.raises(ValueError, match="boom") as raised:
        await apply(Flow.of(1, 2)).collect(fails)

    assert raised.value is error


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_a_cancellation_is_not_handled(apply):
    started = []
    source = Flow.never().on_start(lambda: started.append(True))

    with anyio.move_on_after(1) as scope:
        await apply(source).collect()

    assert scope.cancelled_caught
    assert started == [True]


@pytest.mark.parametrize("apply", PASSING.values(), ids=PASSING)
async def test_what_is_no_exception_but_a_base_exception_is_not_handled(apply):
    class Stop(BaseException):
        pass

    stop = Stop()

    with pytest.raises(Stop) as raised:
        await apply(Flow.fail(stop)).collect()

    assert raised.value is stop


# ----------------------------------------------------------------------------- catch


async def test_catch_ends_the_flow_at_an_error_from_above():
    flow = Flow.of(1, 0, 2).map(lambda n: 2 // n)

    assert await flow.catch().to_list() == [2]


async def test_catch_takes_the_given_types_and_their_subclasses_only(outcome):
    error = KeyError("boom")
    failing = Flow.of(1).concat(Flow.fail(error))

    assert await failing.catch(KeyError).to_list() == [1]
    assert await failing.catch(OSError, LookupError).to_list() == [1]
    items, raised = await outcome(failing.catch(OSError, ValueError))
    assert items == [1]
    assert raised is error


async def of_async(*items):
    for item in items:
        yield item


@pytest.mark.parametrize(
    "fallback",
    [
        lambda: [8, 9],
        lambda: (8, 9),
        lambda: iter([8, 9]),
        lambda: Flow.of(8, 9),
        lambda: of_async(8, 9),
    ],
    ids=["list", "tuple", "iterator", "flow", "async generator"],
)
async def test_catch_goes_on_with_what_the_handler_gives(fallback):
    failing = Flow.of(1).concat(Flow.fail(ValueError("boom")))

    async def later(error):
        await anyio.sleep(1)
        return fallback()

    caught = failing.catch(handler=lambda error: fallback())

    assert await caught.to_list() == [1, 8, 9]
    assert await failing.catch(handler=later).to_list() == [1, 8, 9]


@pytest.mark.parametrize("given", [None, 0, False, 1.5, list], ids=repr)
async def test_anything_else_that_the_handler_gives_ends_the_flow(given):
    failing = Flow.of(1).concat(Flow.fail(ValueError("boom")))

    assert await failing.catch(handler=lambda error: given).to_list() == [1]


async def test_the_handler_gets_the_error_when_the_source_is_closed():
    seen = []
    error = ValueError("boom")

    @flow
    async def source():
        try:
            yield 1
            raise error
        finally:
            await anyio.sleep(1)
            seen.append("closed")

    await source().catch(handler=seen.append).collect(seen.append)

    assert seen == [1, "closed", error]


async def test_the_handler_is_not_called_for_other_types(outcome):
    handled = []
    error = ValueError("boom")

    _, raised = await outcome(Flow.fail(error).catch(OSError, handler=handled.append))

    assert raised is error
    assert handled == []


async def test_an_error_of_the_handler_is_raised_with_the_caught_one_as_context(
    outcome,
):
    first, second = ValueError("first"), KeyError("second")

    def handler(error):
        raise second

    items, raised = await outcome(Flow.fail(first).catch(handler=handler))

    assert items == []
    assert raised is second
    assert raised.__context__ is first


async def test_an_error_of_the_fallback_is_not_caught_but_further_down_it_is(outcome):
    first, second = ValueError("first"), KeyError("second")
    caught = Flow.fail(first).catch(
        handler=lambda error: Flow.of(1).concat(Flow.fail(second))
    )

    items, raised = await outcome(caught)

    assert items == [1]
    assert raised is second
    assert await caught.catch(KeyError, handler=lambda error: [2]).to_list() == [1, 2]


async def test_an_early_stop_closes_the_fallback():
    closed = []

    def fallback(error):
        return Flow.of(1, 2).on_completion(closed.append)

    assert await Flow.fail(ValueError()).catch(handler=fallback).first() == 1
    assert closed == [None]


# ----------------------------------------------------------------------------- retry


async def test_retry_collects_again_and_does_not_take_back_what_was_passed_on():
    source = Attempts([1, 2, OSError()], [1, OSError()], [1, 2, 3])

    assert await source.flow.retry().to_list() == [1, 2, 1, 1, 2, 3]
    assert source.starts == [0, 0, 0]


async def test_retry_gives_up_after_so_many_times_with_the_last_error(outcome):
    errors = failing(3)
    source = Attempts(*([error] for error in errors))

    items, raised = await outcome(source.flow.retry(2))

    assert items == []
    assert raised is errors[2]
    assert len(source.starts) == 3


async def test_retry_no_times_lets_the_first_error_pass(outcome):
    error = OSError()
    source = Attempts([1, error])

    items, raised = await outcome(source.flow.retry(0))

    assert items == [1]
    assert raised is error


async def test_retry_collects_only_what_is_above_it():
    below = []
    source = Attempts([1, OSError()], [2])

    await source.flow.retry().on_start(lambda: below.append("start")).collect()

    assert below == ["start"]


async def test_retry_starts_the_operators_above_it_anew():
    source = Attempts([5, 6, OSError()], [5, 6, 7])

    numbered = source.flow.enumerate().retry()

    assert await numbered.to_list() == [(0, 5), (1, 6), (0, 5), (1, 6), (2, 7)]


async def test_a_retry_above_another_is_used_up_anew_in_each_of_its_attempts():
    source = Attempts(*([error] for error in failing(5)), ["done"])

    assert await source.flow.retry(1).retry(2).to_list() == ["done"]
    assert len(source.starts) == 6


async def test_the_failed_attempt_is_closed_before_the_wait():
    seen = []
    source = Attempts([OSError()], [1])
    watched = source.flow.on_completion(
        lambda error: seen.append((type(error), anyio.current_time()))
    )

    await watched.retry(backoff=2, jitter=False).collect()

    assert seen == [(OSError, 0), (type(None), 2)]
    assert source.starts == [0, 2]


@pytest.mark.parametrize(
    ("on", "retried"),
    [
        (OSError, True),
        (ConnectionError, True),
        (ValueError, False),
        ((ValueError, OSError), True),
        ((ValueError, KeyError), False),
        (lambda error: "busy" in str(error), True),
        (lambda error: "gone" in str(error), False),
        (lambda error: "", False),
    ],
    ids=[
        *("a class above", "the class", "another class"),
        *("a tuple with it", "a tuple without it"),
        *("a predicate", "a predicate that refuses", "a predicate with a false result"),
    ],
)
async def test_on_tells_which_errors_are_retried(on, retried, outcome):
    error = ConnectionError("busy")
    source = Attempts([error], [1])

    items, raised = await outcome(source.flow.retry(on=on))

    assert items == ([1] if retried else [])
    assert raised is (None if retried else error)


async def test_on_may_be_an_async_predicate(outcome):
    busy, gone = OSError("busy"), OSError("gone")

    async def is_busy(error):
        await anyio.sleep(1)
        return error is busy

    source = Attempts([busy], [busy], [gone])
    items, raised = await outcome(source.flow.retry(on=is_busy))

    assert items == []
    assert raised is gone
    assert anyio.current_time() == 3


async def test_the_predicate_is_not_asked_once_the_times_are_used_up(outcome):
    asked = []
    errors = failing(2)

    def remember(error):
        asked.append(error)
        return True

    source = Attempts(*([error] for error in errors))
    _, raised = await outcome(source.flow.retry(1, on=remember))

    assert raised is errors[1]
    assert asked == errors[:1]


async def test_an_error_of_the_predicate_is_raised_with_the_first_as_context(outcome):
    first, second = OSError("first"), KeyError("second")

    def fails(error):
        raise second

    _, raised = await outcome(Attempts([first]).flow.retry(on=fails))

    assert raised is second
    assert raised.__context__ is first


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({"backoff": 1}, [0, 1, 3, 7, 15, 31]),
        (
            {"backoff": timedelta(minutes=1), "max_backoff": 1000},
            [0, 60, 180, 420, 900, 1860],
        ),
        ({"backoff": 1, "factor": 1}, [0, 1, 2, 3, 4, 5]),
        ({"backoff": 1, "factor": 3}, [0, 1, 4, 13, 40, 100]),
        ({"backoff": 8, "factor": 0.5}, [0, 8, 12, 14, 15, 15.5]),
        ({"backoff": 2, "factor": 0}, [0, 2, 2, 2, 2, 2]),
        ({"backoff": 1, "max_backoff": 3}, [0, 1, 3, 6, 9, 12]),
        ({"backoff": 5, "max_backoff": timedelta(seconds=2)}, [0, 2, 4, 6, 8, 10]),
        ({"max_backoff": 9}, [0, 0, 0, 0, 0, 0]),
    ],
    ids=str,
)
async def test_retry_waits_backoff_times_factor_to_the_number_of_the_attempt(
    options, starts
):
    source = Attempts(*([error] for error in failing(5)), ["done"])

    await source.flow.retry(jitter=False, **options).collect()

    assert source.starts == starts


async def test_an_item_that_came_through_begins_the_backoff_anew():
    source = Attempts(
        [OSError()], [OSError()], [1, 2, OSError()], [OSError()], ["done"]
    )

    items = await source.flow.retry(2, backoff=1, jitter=False).to_list()

    assert items == [1, 2, "done"]
    assert source.starts == [0, 1, 3, 4, 6]


async def test_without_reset_items_change_neither_the_backoff_nor_the_count(outcome):
    errors = failing(4)
    source = Attempts(*([n, error] for n, error in enumerate(errors)))
    kept = source.flow.retry(3, backoff=1, jitter=False, reset=False)

    items, raised = await outcome(kept)

    assert items == [0, 1, 2, 3]
    assert raised is errors[3]
    assert source.starts == [0, 1, 3, 7]


async def test_each_collection_counts_anew():
    source = Attempts([OSError()], [1], [OSError()], [2])
    retried = source.flow.retry(1, backoff=1, jitter=False)

    assert await retried.to_list() == [1]
    assert await retried.to_list() == [2]
    assert source.starts == [0, 1, 1, 2]


async def waits_of(**options):
    source = Attempts(*([error] for error in failing(20)), ["done"])
    await source.flow.retry(**options).collect()
    starts = source.starts
    return [starts[k + 1] - starts[k] for k in range(20)]


@pytest.mark.parametrize("jitter", [True, Random(7)], ids=["true", "seeded"])
async def test_jitter_shortens_each_wait_by_up_to_a_half(jitter):
    waits = await waits_of(backoff=10, factor=1, jitter=jitter)

    assert all(5 <= wait <= 10 for wait in waits)
    assert len(set(waits)) > 1


async def test_jitter_is_on_by_default():
    waits = await waits_of(backoff=10, factor=1)

    assert len(set(waits)) > 1


async def test_jitter_of_equally_seeded_randoms_is_the_same():
    same, again, other = Random(7), Random(7), Random(8)

    waits = await waits_of(backoff=10, jitter=same)

    assert await waits_of(backoff=10, jitter=again) == pytest.approx(waits)
    assert await waits_of(backoff=10, jitter=other) != pytest.approx(waits)


async def test_jitter_keeps_below_max_backoff():
    waits = await waits_of(backoff=10, max_backoff=20, jitter=Random(7))

    assert all(wait <= 20 for wait in waits)


async def test_the_wait_can_be_cancelled():
    source = Attempts([OSError()])

    with anyio.move_on_after(5) as scope:
        await source.flow.retry(backoff=60, jitter=False).collect()

    assert scope.cancelled_caught
    assert anyio.current_time() == 5


@pytest.mark.parametrize("nothing", [0, 0.0, timedelta(0)])
@pytest.mark.parametrize("factor", [2, 2.0])
async def test_retry_without_backoff_never_waits_however_often_it_tries(
    nothing, factor
):
    failing = Flow.fail(ConnectionError()).retry(1100, backoff=nothing, factor=factor)

    with pytest.raises(ConnectionError):
        await failing.collect()

    assert anyio.current_time() == 0


async def test_a_backoff_that_grows_beyond_all_numbers_stays_at_max_backoff(outcome):
    failing = Flow.fail(ConnectionError()).retry(
        1100, backoff=0.5, max_backoff=1, jitter=False
    )

    await outcome(failing)

    assert anyio.current_time() == 1099.5


@pytest.mark.parametrize(
    "apply",
    [Flow.retry, lambda source: source.retry_when(lambda error, attempt: True)],
    ids=["retry", "retry_when"],
)
async def test_a_one_shot_source_cannot_be_retried_which_is_said_with_the_cause(
    apply, outcome
):
    error = OSError("busy")

    def numbers():
        yield 1
        raise error

    items, raised = await outcome(apply(Flow(numbers())))

    assert items == [1]
    assert isinstance(raised, FlowConsumedError)
    assert "one-shot generator" in str(raised)
    assert raised.__cause__ is error


# ------------------------------------------------------------------------ retry_when


async def test_retry_when_gets_the_error_and_the_number_of_attempts_before():
    errors = failing(3)
    seen = []

    def again(error, attempt):
        seen.append((error, attempt))
        return True

    source = Attempts(*([n, error] for n, error in enumerate(errors)), ["done"])

    assert await source.flow.retry_when(again).to_list() == [0, 1, 2, "done"]
    assert seen == [(errors[0], 0), (errors[1], 1), (errors[2], 2)]


async def test_retry_when_lets_the_error_pass_at_false(outcome):
    errors = failing(3)
    source = Attempts(*([error] for error in errors))

    items, raised = await outcome(
        source.flow.retry_when(lambda error, attempt: attempt < 2)
    )

    assert items == []
    assert raised is errors[2]


async def test_retry_when_waits_for_as_long_as_it_is_told():
    answers = [True, 3, 0.5, 0, timedelta(minutes=1)]
    source = Attempts(*([error] for error in failing(5)), ["done"])

    async def decide(error, attempt):
        await anyio.sleep(100)
        return answers[attempt]

    await source.flow.retry_when(decide).collect()

    assert source.starts == [0, 100, 203, 303.5, 403.5, 563.5]


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (None, TypeError, "seconds or a timedelta; got None"),
        ("1", TypeError, "seconds or a timedelta; got '1'"),
        (-1, ValueError, "finite and not negative; got -1"),
        (math.nan, ValueError, "finite and not negative; got nan"),
        (math.inf, ValueError, "finite and not negative; got inf"),
        (timedelta(seconds=-1), ValueError, "finite and not negative; got -1.0"),
    ],
)
async def test_a_wrong_answer_to_retry_when_is_named(answer, kind, said, outcome):
    error = OSError("busy")

    _, raised = await outcome(
        Attempts([error]).flow.retry_when(lambda error, attempt: answer)
    )

    assert type(raised) is kind
    assert str(raised).startswith("retry_when: what fn returns must be")
    assert said in str(raised)
    assert raised.__context__ is error


async def test_an_error_of_the_function_is_raised_with_the_first_as_context(outcome):
    first, second = OSError("first"), KeyError("second")

    def fails(error, attempt):
        raise second

    _, raised = await outcome(Attempts([first]).flow.retry_when(fails))

    assert raised is second
    assert raised.__context__ is first
