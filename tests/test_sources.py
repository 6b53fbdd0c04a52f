"""Where items come from: what `Flow(...)` takes, and the sources that flowpy makes."""

from __future__ import annotations

import enum
import queue
import threading
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from importlib.util import find_spec
from itertools import count

import anyio
import pytest

from flowpy import Flow, FlowConsumedError, FlowError, flow

pytestmark = pytest.mark.anyio


async def of_async(*items):
    for item in items:
        yield item


async def later(*items):
    await anyio.sleep(1)
    return list(items)


class AsyncRows:
    """An async iterable that can be read again."""

    def __aiter__(self):
        return of_async(1, 2)


class AsyncCounter:
    """An async iterator that has nothing to close."""

    def __init__(self):
        self.number = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        self.number += 1
        if self.number > 2:
            raise StopAsyncIteration
        return self.number


class Sequence:
    """An iterable of the old kind."""

    def __getitem__(self, index):
        return [1, 2][index]


class Maker:
    """An object that can be called."""

    def __call__(self):
        return [1, 2]


class AsyncMaker:
    """An object that can be called and awaited."""

    async def __call__(self):
        return [1, 2]


class Colour(enum.IntEnum):
    """A class that is an iterable itself."""

    RED = 1
    BLUE = 2


RESTARTABLE = {
    "list": [1, 2],
    "tuple": (1, 2),
    "range": range(1, 3),
    "dict": {1: "one", 2: "two"},
    "dict view": {"one": 1, "two": 2}.values(),
    "bytes": b"\1\2",
    "enumeration": Colour,
    "__getitem__": Sequence(),
    "async iterable": AsyncRows(),
    "flow": Flow.of(1, 2),
    "function to list": lambda: [1, 2],
    "function to iterator": lambda: iter([1, 2]),
    "function to generator": lambda: (n for n in (1, 2)),
    "function to flow": lambda: Flow.of(1, 2),
    "function to async iterable": AsyncRows,
    "function to async iterator": AsyncCounter,
    "async generator function": partial(of_async, 1, 2),
    "async function to list": partial(later, 1, 2),
    "lambda to coroutine": lambda: later(1, 2),
    "object with __call__": Maker(),
    "object with async __call__": AsyncMaker(),
}

ONE_SHOT = {
    "list_iterator": lambda: iter([1, 2]),
    "generator": lambda: (n for n in (1, 2)),
    "map": lambda: map(int, "12"),
    "count": lambda: count(1),
    "async_generator": lambda: of_async(1, 2),
    "AsyncCounter": AsyncCounter,
}


# ------------------------------------------------------------------------- Flow(...)


@pytest.mark.parametrize("source", RESTARTABLE.values(), ids=RESTARTABLE)
async def test_a_flow_around_what_can_be_read_again_starts_again(source):
    numbers = Flow(source)

    assert await numbers.to_list() == [1, 2]
    assert await numbers.first() == 1
    assert await numbers.to_list() == [1, 2]


async def test_a_flow_of_text_gives_its_letters():
    assert await Flow("abc").to_list() == ["a", "b", "c"]


async def test_a_class_that_is_called_gives_its_instances_items():
    assert await Flow(list).to_list() == []


async def test_a_list_is_read_when_the_flow_is_collected():
    items = [1]
    numbers = Flow(items)
    items.append(2)

    assert await numbers.to_list() == [1, 2]


async def test_a_function_is_called_at_each_collection_and_not_before():
    calls = []

    def source():
        calls.append(len(calls))
        return calls

    numbers = Flow(source)
    assert calls == []
    assert await numbers.to_list() == [0]
    assert await numbers.to_list() == [0, 1]


@pytest.mark.parametrize("source", [None, 3, object()], ids=["None", "int", "object"])
async def test_what_can_be_neither_iterated_nor_called_is_refused(source):
    with pytest.raises(TypeError, match="source must be an async iterable") as raised:
        Flow(source)

    assert repr(source) in str(raised.value)


@pytest.mark.parametrize("result", [None, 3, of_async], ids=["none", "int", "function"])
async def test_a_function_must_give_what_can_be_iterated(result, outcome):
    items, raised = await outcome(Flow(lambda: result))

    assert items == []
    assert isinstance(raised, TypeError)
    assert repr(result) in str(raised)


async def test_an_error_of_the_function_is_raised(outcome):
    error = ValueError("boom")

    def fails():
        raise error

    items, raised = await outcome(Flow(fails))

    assert items == []
    assert raised is error


async def test_an_error_of_the_iterable_comes_after_the_items_before_it(outcome):
    error = ValueError("boom")

    def numbers():
        yield from (1, 2)
        raise error

    async def numbers_async():
        yield 1
        yield 2
        raise error

    for source in (numbers, numbers_async, numbers(), numbers_async()):
        items, raised = await outcome(Flow(source))

        assert items == [1, 2]
        assert raised is error


async def test_a_receive_stream_is_a_source_and_is_closed_at_the_end():
    send, receive = anyio.create_memory_object_stream(8)
    for n in range(3):
        send.send_nowait(n)

    assert await Flow(receive).take(2).to_list() == [0, 1]
    with pytest.raises(anyio.BrokenResourceError):
        send.send_nowait(3)
    send.close()


async def test_a_file_gives_its_lines_and_is_closed_at_the_end(tmp_path):
    path = tmp_path / "lines"
    path.write_text("a\nb\n")
    file = path.open()

    assert await Flow(file).map(str.strip).first() == "a"
    assert file.closed


# ----------------------------------------------------------------------- close=False


async def test_close_false_leaves_a_generator_open_for_another_reader():
    def numbers():
        try:
            yield from (1, 2, 3)
        finally:
            seen.append("closed")

    seen = []
    generator = numbers()

    assert await Flow(generator, close=False).take(2).to_list() == [1, 2]
    assert seen == []
    assert await Flow(generator).to_list() == [3]
    assert seen == ["closed"]


async def test_close_false_leaves_an_async_generator_open_for_another_reader():
    generator = of_async(1, 2, 3)

    assert await Flow(generator, close=False).first() == 1
    assert await anext(generator) == 2
    assert await Flow(generator).to_list() == [3]


async def test_close_false_leaves_a_receive_stream_open_after_an_error(outcome):
    send, receive = anyio.create_memory_object_stream(8)
    with send, receive:
        send.send_nowait(0)
        send.send_nowait(1)

        _, raised = await outcome(Flow(receive, close=False).map(lambda n: 1 // n))

        assert isinstance(raised, ZeroDivisionError)
        assert receive.receive_nowait() == 1


async def test_close_false_leaves_open_what_a_function_gives():
    generators = []

    def source():
        generators.append(of_async(1, 2))
        return generators[-1]

    numbers = Flow(source, close=False)

    assert await numbers.first() == 1
    assert await numbers.first() == 1
    assert [await anext(generator) for generator in generators] == [2, 2]
    for generator in generators:
        await generator.aclose()


# ----------------------------------------------------------------- FlowConsumedError


@pytest.mark.parametrize("kind", ONE_SHOT)
async def test_a_one_shot_iterator_can_be_collected_once(kind):
    numbers = Flow(ONE_SHOT[kind]())

    assert await numbers.take(2).to_list() == [1, 2]
    for _ in range(2):
        with pytest.raises(FlowConsumedError) as raised:
            await numbers.to_list()
        assert str(raised.value) == (
            f"this flow wraps a one-shot {kind}, which can be collected once; pass "
            "what it was made from, or a function that makes a new one each time: "
            "Flow(lambda: ...)"
        )


async def test_flow_consumed_error_is_a_flow_error_and_a_runtime_error():
    assert issubclass(FlowConsumedError, FlowError)
    assert issubclass(FlowConsumedError, RuntimeError)


@pytest.mark.parametrize("close", [True, False])
async def test_chains_that_begin_with_the_same_one_shot_flow_share_its_one_time(
    close, outcome
):
    numbers = Flow(iter([1, 2, 3]), close=close)
    doubled, text = numbers.map(lambda n: 2 * n), numbers.map(str)

    assert await doubled.first() == 2
    items, raised = await outcome(text)
    assert items == []
    assert isinstance(raised, FlowConsumedError)


async def test_a_flow_around_a_one_shot_flow_is_the_same_flow(outcome):
    numbers = Flow(iter([1, 2]))

    assert await Flow(numbers).to_list() == [1, 2]
    _, raised = await outcome(numbers)
    assert isinstance(raised, FlowConsumedError)


async def test_building_a_chain_does_not_use_up_a_one_shot_flow():
    numbers = Flow(iter([1, 2]))

    chain = numbers.map(str)
    assert repr(chain)
    assert chain.explain()
    chain.to_list().close()
    assert await chain.to_list() == ["1", "2"]


# ---------------------------------------------------------- of, empty, never, fail


async def test_of_gives_its_arguments():
    assert await Flow.of(1, None, [2]).to_list() == [1, None, [2]]
    assert await Flow.of().to_list() == []


async def test_empty_ends_at_once():
    assert await Flow.empty().to_list() == []
    assert anyio.current_time() == 0


async def test_never_waits_until_it_is_cancelled():
    with anyio.move_on_after(3600) as scope:
        await Flow.never().collect()

    assert scope.cancelled_caught
    assert anyio.current_time() == 3600


async def test_fail_raises_the_same_object_at_each_collection(outcome):
    error = ValueError("boom")
    failing = Flow.fail(error)

    lengths = []
    for _ in range(3):
        items, raised = await outcome(failing)
        assert items == []
        assert raised is error
        traceback = raised.__traceback__
        lengths.append(0)
        while traceback:
            lengths[-1] += 1
            traceback = traceback.tb_next

    assert len(set(lengths)) == 1  # frames of earlier collections don't pile up


@pytest.mark.parametrize("error", [ValueError, "boom", None], ids=repr)
async def test_fail_needs_an_exception_object(error):
    with pytest.raises(TypeError, match="error must be an exception object") as raised:
        Flow.fail(error)

    assert repr(error) in str(raised.value)


# -------------------------------------------------------------------------- interval


async def arrivals(ticks):
    return await ticks.map(lambda n: (n, anyio.current_time())).to_list()


async def test_interval_counts_from_now_on():
    assert await arrivals(Flow.interval(2).take(3)) == [(0, 0), (1, 2), (2, 4)]


async def test_interval_begins_after_the_delay():
    ticks = Flow.interval(timedelta(minutes=1), delay=timedelta(seconds=5))

    assert await arrivals(ticks.take(3)) == [(0, 5), (1, 65), (2, 125)]


async def test_the_grid_of_interval_begins_anew_with_each_collection():
    ticks = Flow.interval(2, delay=1).take(2)

    assert await arrivals(ticks) == [(0, 1), (1, 3)]
    assert await arrivals(ticks) == [(0, 4), (1, 6)]


async def test_interval_does_not_drift():
    async def work(n):
        await anyio.sleep(0.03)

    await Flow.interval(0.1).on_each(work).take(2001).collect()

    assert anyio.current_time() == pytest.approx(200.03, abs=1e-6)


async def test_ticks_missed_by_a_slow_consumer_are_skipped():
    seen = []

    async def work(n):
        seen.append((n, anyio.current_time()))
        await anyio.sleep(5 if n == 1 else 0)

    await Flow.interval(2).take(5).collect(work)

    # It comes back at 7: the ticks at 4 and 6 are over.
    assert seen == [(0, 0), (1, 2), (4, 8), (5, 10), (6, 12)]


@pytest.mark.parametrize("period", [0.1, 0.3, 1, 1 / 3, 7])
async def test_a_tick_that_is_due_right_now_is_not_skipped(period):
    seen = []

    async def work(n):
        seen.append(n)
        await anyio.sleep(period)

    await Flow.interval(period).take(1000).collect(work)

    assert seen == list(range(1000))
    assert anyio.current_time() == pytest.approx(1000 * period)


async def test_a_tick_that_is_due_right_now_comes_right_now():
    seen = []

    async def work(n):
        seen.append((n, anyio.current_time()))
        await anyio.sleep(6)

    await Flow.interval(2).take(3).collect(work)

    assert seen == [(0, 0), (3, 6), (6, 12)]


# ---------------------------------------------------------------------------- unfold


def countdown(n):
    return (n, n - 1) if n else None


async def test_unfold_makes_items_from_a_state_until_there_is_none():
    numbers = Flow.unfold(3, countdown)

    assert await numbers.to_list() == [3, 2, 1]
    assert await numbers.to_list() == [3, 2, 1]
    assert await Flow.unfold(0, countdown).to_list() == []


async def test_unfold_awaits_an_async_function():
    async def page(token):
        await anyio.sleep(1)
        return ([f"row {token}"], token + 1) if token < 2 else None

    pages = Flow.unfold(0, page)

    assert await pages.flatten().to_list() == ["row 0", "row 1"]
    assert anyio.current_time() == 3


async def test_the_state_and_the_item_of_unfold_may_be_none():
    states = []

    def step(state):
        states.append(state)
        return (None, None) if len(states) < 3 else None

    assert await Flow.unfold("seed", step).to_list() == [None, None]
    assert states == ["seed", None, None]


async def test_unfold_calls_once_a_pull():
    called = []

    def step(n):
        called.append(n)
        return n, n + 1

    assert await Flow.unfold(0, step).take(3).to_list() == [0, 1, 2]
    assert called == [0, 1, 2]


async def test_an_error_of_unfold_comes_after_the_items_before_it(outcome):
    error = ValueError("boom")

    def step(n):
        if n == 2:
            raise error
        return n, n + 1

    items, raised = await outcome(Flow.unfold(0, step))

    assert items == [0, 1]
    assert raised is error


@pytest.mark.parametrize("result", [3, (1,), (1, 2, 3), "ab", [1, 2], False], ids=repr)
async def test_what_unfold_gets_must_be_a_pair_or_none(result, outcome):
    items, raised = await outcome(Flow.unfold(0, lambda state: result))

    assert items == []
    assert isinstance(raised, TypeError)
    assert str(raised) == (
        f"unfold: fn must return (item, next_state) or None; got {result!r}"
    )


async def test_an_endless_unfold_can_be_cancelled():
    async def cancel(scope):
        await anyio.lowlevel.checkpoint()
        scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel, tasks.cancel_scope)
        await Flow.unfold(0, lambda n: (n, n + 1)).collect()

    assert tasks.cancel_scope.cancelled_caught


# ---------------------------------------------------------------------- @flow sources


@flow
async def ticks(n, every=1, *, first=0):
    """Give n numbers."""
    for number in range(first, first + n):
        await anyio.sleep(every)
        yield number


class Sensor:
    def __init__(self, *values):
        self.values = values

    @flow
    async def read(self, times):
        for _ in range(times):
            for value in self.values:
                yield value


async def test_a_decorated_function_makes_flows_that_start_again():
    numbers = ticks(2)

    assert await numbers.to_list() == [0, 1]
    assert await numbers.to_list() == [0, 1]
    assert anyio.current_time() == 4


async def test_a_decorated_function_takes_its_arguments_as_before():
    assert await ticks(2, every=5, first=7).to_list() == [7, 8]
    assert anyio.current_time() == 10


async def test_a_method_can_be_decorated():
    assert await Sensor(1, 2).read(2).to_list() == [1, 2, 1, 2]


async def test_a_decorated_function_keeps_its_name_and_documentation():
    assert ticks.__name__ == "ticks"
    assert ticks.__doc__ == "Give n numbers."


async def test_arguments_that_do_not_fit_are_an_error_when_the_flow_is_made():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'n'"):
        ticks()
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        ticks(1, size=2)
    with pytest.raises(TypeError, match="positional argument"):
        Flow.of(1).pipe(ticks, 1, 2, 3)


async def test_only_an_async_generator_function_can_be_decorated():
    def plain():
        yield 1

    for fn in (later, plain, 3):
        with pytest.raises(TypeError, match="async def with yield") as raised:
            flow(fn)

        assert repr(fn) in str(raised.value)


async def test_an_early_stop_runs_the_finally_of_a_decorated_function():
    seen = []

    @flow
    async def source():
        try:
            yield 1
            yield 2
        finally:
            await anyio.sleep(1)
            seen.append("closed")

    assert await source().first() == 1
    assert seen == ["closed"]


async def test_an_error_of_a_decorated_function_comes_after_its_items(outcome):
    error = ValueError("boom")

    @flow
    async def source():
        yield 1
        raise error

    items, raised = await outcome(source())

    assert items == [1]
    assert raised is error


# -------------------------------------------------------------------- @flow operators


@flow
async def every_nth(source, n, *, offset=0):
    async for i, x in source.enumerate():
        if i % n == offset:
            yield x


async def test_a_decorated_function_whose_first_argument_is_a_flow_is_an_operator():
    numbers = Flow(range(7))

    assert await numbers.pipe(every_nth, 3).to_list() == [0, 3, 6]
    assert await numbers.pipe(every_nth, n=3, offset=1).to_list() == [1, 4]
    assert await every_nth(numbers, 3).map(str).to_list() == ["0", "3", "6"]


async def test_an_operator_of_your_own_starts_again_with_each_collection():
    thirds = Flow(range(7)).pipe(every_nth, 3)

    assert await thirds.to_list() == [0, 3, 6]
    assert await thirds.to_list() == [0, 3, 6]


async def test_pipe_takes_any_function():
    def halves(numbers, digits=0):
        return numbers.map(lambda n: round(n / 2, digits))

    assert await Flow.of(1, 2).pipe(halves, digits=1).to_list() == [0.5, 1]
    assert await Flow.of(1, 2).pipe(Flow.sum) == 3


def closing_source(seen):
    @flow
    async def source():
        try:
            for number in count():
                yield number
        finally:
            await anyio.sleep(1)
            seen.append("source")

    return source()


@flow
async def bare(source, seen):
    try:
        async for x in source:
            yield x
    finally:
        await anyio.sleep(1)
        seen.append("operator")


@flow
async def derived(source, seen):
    try:
        async for x in source.map(lambda n: n).filter(lambda n: n >= 0).pairwise():
            yield x[0]
    finally:
        await anyio.sleep(1)
        seen.append("operator")


@flow
async def left(source, seen):
    try:
        async for x in source:
            yield x
            break
        async for x in source.drop(1):
            yield x
            break
    finally:
        await anyio.sleep(1)
        seen.append("operator")


@pytest.mark.parametrize("own", [bare, derived], ids=["bare", "derived"])
async def test_what_an_operator_of_your_own_iterates_is_closed_at_an_early_stop(own):
    seen = []

    assert await closing_source(seen).pipe(own, seen).take(2).to_list() == [0, 1]
    assert seen == ["operator", "source"]


@pytest.mark.parametrize("own", [bare, derived], ids=["bare", "derived"])
async def test_it_is_an_operator_too_when_it_gets_its_flow_by_name(own):
    seen = []

    assert await own(seen=seen, source=closing_source(seen)).first() == 0
    assert seen == ["operator", "source"]


async def test_what_it_has_left_by_break_is_closed_before_it_has_ended():
    seen = []

    assert await closing_source(seen).pipe(left, seen).to_list() == [0, 1]
    assert seen == ["source", "operator", "source"]


@pytest.mark.parametrize("own", [bare, derived], ids=["bare", "derived"])
async def test_what_it_iterates_is_closed_at_an_error_below(own, outcome):
    seen = []
    error = ValueError("boom")

    def fails(n):
        raise error

    _, raised = await outcome(closing_source(seen).pipe(own, seen).on_each(fails))

    assert raised is error
    assert seen == ["operator", "source"]


@pytest.mark.parametrize("own", [bare, derived], ids=["bare", "derived"])
async def test_what_it_iterates_is_closed_at_a_cancellation(own):
    seen = []

    source = Flow(count()).on_completion(lambda error: seen.append("source"))

    with anyio.move_on_after(1) as scope:
        await source.pipe(own, []).collect(lambda n: anyio.sleep_forever())

    assert scope.cancelled_caught
    assert seen == ["source"]


async def test_an_operator_may_collect_its_flow_more_than_once():
    @flow
    async def shares(source):
        total = await source.sum()
        async for n in source:
            yield n / total

    assert await Flow.of(1, 3).pipe(shares).to_list() == [0.25, 0.75]


async def test_an_operator_may_handle_errors_from_above(outcome):
    error = ValueError("boom")

    @flow
    async def told(source):
        try:
            async for x in source:
                yield x
        except ValueError as caught:
            yield caught

    failing = Flow.of(1).concat(Flow.fail(error))

    assert await failing.pipe(told).to_list() == [1, error]
    items, raised = await outcome(failing.pipe(every_nth, 1))
    assert items == [1]
    assert raised is error


async def test_a_one_shot_flow_is_used_up_by_an_operator_that_reads_it_twice(outcome):
    @flow
    async def twice(source):
        for _ in range(2):
            async for x in source:
                yield x

    items, raised = await outcome(Flow(iter([1, 2])).pipe(twice))

    assert items == [1, 2]
    assert isinstance(raised, FlowConsumedError)


# ---------------------------------------------------------------------- iter_blocking

NEEDS_UVLOOP = pytest.mark.skipif(
    find_spec("uvloop") is None, reason="uvloop is not installed"
)

on_each_backend = pytest.mark.parametrize(
    "backend", ["asyncio", pytest.param("uvloop", marks=NEEDS_UVLOOP), "trio"]
)


@on_each_backend
def test_plain_code_can_iterate_a_flow(backend):
    async def fetch(n):
        await anyio.lowlevel.checkpoint()
        return n * n

    squares = Flow(range(4)).map(fetch)

    assert list(squares.iter_blocking(backend=backend)) == [0, 1, 4, 9]
    assert list(squares.iter_blocking(backend=backend)) == [0, 1, 4, 9]
    assert list(Flow.empty().iter_blocking(backend=backend)) == []


def test_plain_code_iterates_on_asyncio_by_default():
    @flow
    async def name():
        yield type(anyio.lowlevel.current_token().native_token).__module__

    assert next(name().iter_blocking()).startswith("asyncio")


@on_each_backend
def test_none_and_exceptions_are_items_in_plain_code_too(backend):
    items = [None, ValueError("item"), StopIteration]

    assert list(Flow(items).iter_blocking(backend=backend)) == items


@on_each_backend
def test_an_early_break_has_closed_the_flow_before_the_next_line(backend):
    seen = []

    @flow
    async def source():
        try:
            for number in count():
                seen.append(number)
                yield number
        finally:
            await anyio.lowlevel.checkpoint()
            seen.append("closed")

    for number in source().iter_blocking(backend=backend):
        if number == 1:
            break

    assert seen == [0, 1, "closed"]


@on_each_backend
def test_an_error_comes_after_the_items_before_it_in_plain_code(backend):
    error = ValueError("boom")
    items = Flow.of(1, 2).concat(Flow.fail(error)).iter_blocking(backend=backend)

    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="boom") as raised:
        next(items)
    assert raised.value is error


@on_each_backend
def test_an_error_while_closing_is_raised_by_close(backend):
    error = ValueError("boom")

    def fails(_):
        raise error

    items = Flow.of(1, 2).on_completion(fails).iter_blocking(backend=backend)

    assert next(items) == 1
    with pytest.raises(ValueError, match="boom") as raised:
        items.close()
    assert raised.value is error


@on_each_backend
def test_an_error_of_the_plain_loop_closes_the_flow(backend):
    ended = []

    def loop():
        source = Flow.of(1, 2).on_completion(ended.append)
        for item in source.iter_blocking(backend=backend):
            1 // (item - 1)

    with pytest.raises(ZeroDivisionError):
        loop()

    assert ended == [None]


def test_nothing_runs_before_the_first_item_is_asked_for():
    started = []
    before = threading.active_count()
    items = Flow.of(1).on_start(lambda: started.append(True)).iter_blocking()

    assert threading.active_count() == before
    items.close()
    assert started == []


def test_plain_code_pulls_what_it_asks_for_and_no_more():
    pulled = []
    items = Flow(count()).on_each(pulled.append).iter_blocking()

    assert next(items) == 0
    assert next(items) == 1
    items.close()
    assert pulled == [0, 1]


@on_each_backend
def test_the_context_variables_of_plain_code_are_visible(backend):
    user = ContextVar("user", default="nobody")
    user.set("ada")

    @flow
    async def source():
        yield user.get()

    names = source().map(lambda name: (name, user.get()))

    assert list(names.iter_blocking(backend=backend)) == [("ada", "ada")]


@on_each_backend
def test_ctrl_c_while_plain_code_waits_cancels_the_flow(backend, monkeypatch):
    # A real signal may come just before the lock is waited for, and be seen too late.
    class Interrupted(queue.SimpleQueue):
        def get(self, timeout):
            started.wait()
            raise KeyboardInterrupt

    monkeypatch.setattr("flowpy._blocking.SimpleQueue", Interrupted)
    started, ended = threading.Event(), []
    waiting = Flow.never().on_start(started.set).on_completion(ended.append)

    with pytest.raises(KeyboardInterrupt):
        next(waiting.iter_blocking(backend=backend))

    assert len(ended) == 1
    assert "Cancelled" in type(ended[0]).__name__


@pytest.mark.parametrize("backend", ["curio", None])
def test_an_unknown_backend_is_refused_at_the_call(backend):
    with pytest.raises(ValueError, match="backend must be one of 'asyncio'"):
        Flow.of(1).iter_blocking(backend=backend)


async def test_plain_iteration_is_refused_in_a_running_event_loop():
    with pytest.raises(RuntimeError, match="would block the running event loop"):
        Flow.of(1).iter_blocking()


async def test_plain_iteration_works_in_a_worker_thread_of_a_running_event_loop():
    def work():
        return list(Flow.of(1, 2).iter_blocking())

    assert await anyio.to_thread.run_sync(work) == [1, 2]
