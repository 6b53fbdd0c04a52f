"""What broke once, or nearly did: behaviour at the edges, found by attacking it."""

from __future__ import annotations

import gc
import signal
import sys
import threading
import weakref
from contextlib import aclosing, suppress
from contextvars import copy_context
from datetime import timedelta
from importlib.util import find_spec, module_from_spec

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import SKIP, Flow, flow, run
from flowpy.testing import run_virtual
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio


async def with_task_group():
    """A source that yields inside a task group, as users will in spite of PEP 789."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        for number in range(100):
            yield number


@pytest.mark.parametrize("combine", [Flow.zip, Flow.interleave, Flow.race])
async def test_all_sides_are_closed_and_each_in_the_task_that_opened_it(combine):
    closed = []

    async def source(name):
        task = anyio.get_current_task().id
        try:
            while True:
                yield name
        finally:
            closed.append((name, task == anyio.get_current_task().id))

    sides = [Flow(source(name)) for name in "abc"]
    taken = 1 if combine is Flow.zip else 3
    await combine(*sides).take(taken).collect()

    assert sorted(closed) == [("a", True), ("b", True), ("c", True)]


@pytest.mark.parametrize(
    "combine", [Flow.zip, Flow.interleave, Flow.concat, Flow.combine]
)
async def test_sources_that_hold_task_groups_can_be_combined_and_stopped(combine):
    flow = Flow(with_task_group)

    assert len(await combine(flow, flow, flow).take(3).to_list()) == 3


@pytest.mark.parametrize(
    "group",
    [
        ExceptionGroup("cleanup", [ValueError()]),
        BaseExceptionGroup("cleanup", [ValueError(), KeyboardInterrupt()]),
    ],
    ids=["ExceptionGroup", "BaseExceptionGroup"],
)
async def test_a_group_raised_by_cleanup_arrives_as_the_same_object(group):
    async def source():
        try:
            yield 1
        finally:
            raise group

    with pytest.raises(BaseExceptionGroup) as caught:
        await Flow(source).first()

    assert caught.value is group


def fail(x):
    raise Boom(x)


class Resource:
    """A source that knows how many of its iterations are open."""

    def __init__(self):
        self.opened = self.open = self.most = 0

    async def generator(self):
        self.opened += 1
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for number in range(3):
                await checkpoint()
                yield number
        finally:
            with anyio.CancelScope(shield=True):
                await checkpoint()
            self.open -= 1


@flow
async def heads(source, n):
    for _ in range(n):
        async for x in source:
            yield x
            break


@flow
async def last_of_heads(source, n):
    for _ in range(n):
        async for x in source.map(str):
            last = x
            break
    yield last


async def test_what_an_operator_breaks_out_of_is_closed_with_the_next_item():
    resource = Resource()
    async with heads(Flow(resource.generator), 100).open() as items:
        for _ in range(50):
            await anext(items)

            assert resource.open == 1
    assert resource.opened == resource.most * 50
    assert resource.open == 0


async def test_what_an_operator_breaks_out_of_is_closed_before_it_iterates_again():
    resource = Resource()
    item = await last_of_heads(Flow(resource.generator), 100).first()

    assert item == "0"
    assert (resource.opened, resource.most, resource.open) == (100, 1, 0)


@flow
async def children_take_the_first(source, n):
    firsts = []

    async def take():
        firsts.append(await anext(aiter(source)))

    async with anyio.create_task_group() as group:
        for _ in range(n):
            group.start_soon(take)
    yield firsts


async def test_an_operator_may_iterate_in_tasks_of_its_own():
    resource = Resource()
    firsts = await children_take_the_first(Flow(resource.generator), 5).first()

    assert firsts == [0] * 5
    assert resource.open == 0


@flow
async def product(source, *others, last):
    async for x in source:
        for other in others:
            async for y in other:
                async for z in last:
                    yield x, y, z


class Station:
    @flow
    async def method(self, source):
        async for x in source:
            yield x

    @classmethod
    @flow
    async def class_method(cls, source):
        async for x in source:
            yield x


@pytest.mark.parametrize(
    "operator",
    [
        lambda source: product(source, source, source, last=source),
        lambda source: product(Flow.of(1), Flow.of(2), last=source),
        lambda source: source.pipe(Station().method),
        lambda source: source.pipe(Station.class_method),
        lambda source: heads(source=source, n=3),
    ],
    ids=["several", "by keyword only", "method", "class method", "first by keyword"],
)
async def test_every_flow_given_to_a_flow_function_is_closed_at_an_early_stop(operator):
    resource = Resource()
    await operator(Flow(resource.generator)).first()

    assert resource.opened > 0
    assert resource.open == 0


@flow
async def self_description(source, other):
    yield repr(source.map(str))
    yield other.explain()


async def test_a_flow_describes_itself_inside_of_an_operator():
    flow = self_description(Flow.of(1), Flow.of(2).take(1))
    inside, plan = await flow.to_list()

    assert inside == "source.map(str)"
    assert plan.startswith("0 Flow.of(2)\n1   .take(1)\n")


async def failing_cleanup(before_it_waits=lambda: None):
    try:
        yield 1
        before_it_waits()
        await anyio.sleep_forever()
    finally:
        raise Boom("cleanup")


def own_threads():
    return [t for t in threading.enumerate() if t.name == "flowpy.iter_blocking"]


every_backend = pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])


@every_backend
def test_ctrl_c_passes_iter_blocking_even_where_the_cleanup_fails(backend):
    main = threading.get_ident()

    def press_ctrl_c():
        signal.pthread_kill(main, signal.SIGINT)

    items = Flow(lambda: failing_cleanup(press_ctrl_c)).iter_blocking(backend=backend)
    next(items)

    with pytest.raises(KeyboardInterrupt) as caught:
        next(items)

    assert "Boom('cleanup')" in caught.value.__notes__[0]
    assert not own_threads()


@every_backend
def test_iter_blocking_keeps_the_error_thrown_into_it(backend):
    items = Flow(failing_cleanup).iter_blocking(backend=backend)
    next(items)
    error = Boom("body")

    with pytest.raises(Boom) as caught:
        items.throw(error)

    assert caught.value is error
    assert "Boom('cleanup')" in error.__notes__[0]


@every_backend
def test_iter_blocking_may_be_collected_as_garbage_in_its_own_thread(backend):
    may_collect, collected = threading.Event(), threading.Event()

    async def collect():
        while not may_collect.is_set():
            await checkpoint()
        gc.collect()
        collected.set()

    async def source():
        async with anyio.create_task_group() as group:
            group.start_soon(collect)
            while True:
                yield 1

    gc.disable()
    try:
        cycle = [Flow(source).iter_blocking(backend=backend)]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        may_collect.set()

        assert collected.wait(10)
        for thread in own_threads():
            thread.join(10)
        assert not own_threads()
    finally:
        gc.enable()


@every_backend
def test_run_and_iter_blocking_work_in_a_thread_with_the_context_of_a_task(backend):
    flow = Flow.of(1, 2)
    results = []

    def in_thread():
        results.append(run(flow.to_list, backend=backend))
        results.append(list(flow.iter_blocking(backend=backend)))

    async def main():
        thread = threading.Thread(target=copy_context().run, args=(in_thread,))
        thread.start()
        thread.join()

    run(main, backend=backend)

    assert results == [[1, 2], [1, 2]]


class InterruptedAfterStart(threading.Thread):
    def start(self):
        super().start()
        raise KeyboardInterrupt


class InterruptedBeforeStart(threading.Thread):
    def start(self):
        raise KeyboardInterrupt

    def join(self, timeout=None):
        super().start()
        super().join(timeout)


@every_backend
@pytest.mark.parametrize("thread", [InterruptedAfterStart, InterruptedBeforeStart])
def test_ctrl_c_while_iter_blocking_starts_leaves_no_thread(
    thread, backend, monkeypatch
):
    monkeypatch.setattr("flowpy._blocking.Thread", thread)

    with pytest.raises(KeyboardInterrupt):
        next(Flow.of(1).iter_blocking(backend=backend))

    assert not own_threads()


@pytest.mark.parametrize("backoff", [0, 0.0, timedelta(0)], ids=repr)
async def test_retry_without_backoff_never_waits(backoff):
    attempts = iter(range(1500))

    def source():
        if next(attempts) < 1400:
            raise Boom
        return [anyio.current_time()]

    flow = Flow(source).retry(backoff=backoff)
    start = anyio.current_time()

    assert await flow.to_list() == [start]


@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["huge", "-huge"])
async def test_a_duration_too_long_for_a_float_is_refused_at_the_call(number):
    with pytest.raises(ValueError, match=r"^period must be finite .*; got -?1000"):
        Flow.interval(number)


async def test_counts_may_be_larger_than_any_size():
    flow = Flow.of(1, 2)
    huge = 10**30

    assert await flow.take_last(huge).to_list() == [1, 2]
    assert await flow.take(huge).to_list() == [1, 2]
    assert await flow.drop_last(huge).to_list() == []
    assert await flow.windowed(huge, huge, partial=True).to_list() == [[1, 2]]


class NoRepr:
    def __repr__(self):
        raise Boom


class NoAttributes:
    def __getattr__(self, name):
        raise Boom


class array:
    pass


@pytest.mark.parametrize(
    "value",
    [NoRepr(), NoAttributes(), array(), 10**5000],
    ids=lambda v: type(v).__name__,
)
async def test_repr_and_explain_survive_any_value(value):
    flow = Flow.of(value).start_with(value).scan(value, max)

    assert type(value).__name__ in repr(flow)
    assert repr(flow).startswith("Flow.of(")
    assert "start_with" in flow.explain()


async def test_repr_is_short_for_many_values():
    assert len(repr(Flow.of(*range(10**6)))) < 100
    assert repr(Flow.of(1).concat(*[[2]] * 10**4)).count("Flow(list)") == 20
    assert repr(Flow.of(1).start_with(*range(99))).endswith(", 19, ...)")


async def test_repr_of_a_flow_that_holds_itself_ends():
    items = []
    flow = Flow.of(items, items)
    items += [flow, flow]

    assert repr(flow) == "Flow.of([Flow(...), Flow(...)], [Flow(...), Flow(...)])"


async def test_items_that_become_slow_keep_the_loop_for_one_slice_at_most(monkeypatch):
    now = 0.0
    monkeypatch.setattr("flowpy._iterating.monotonic", lambda: now)
    between_turns = [0]

    async def take_turns():
        while True:
            await checkpoint()
            between_turns.append(0)

    def slow_from_1000_on(x):
        nonlocal now
        if x >= 1000:
            now += 0.005
            between_turns[-1] += 1
        return x

    async with anyio.create_task_group() as group:
        group.start_soon(take_turns)
        await Flow(range(1500)).map(slow_from_1000_on).collect()
        group.cancel_scope.cancel()
    first, *others = [items for items in between_turns if items]

    assert first <= 256
    assert max(others) <= 2  # trio shuffles whose turn it is


@pytest.mark.parametrize(
    "operator",
    [
        lambda flow: flow.chunked(5),
        lambda flow: flow.chunked_by(str),
        lambda flow: flow.retry(2, reset=False),
        lambda flow: flow.retry_when(lambda error, attempt: attempt < 2),
        lambda flow: flow.catch(KeyError).on_completion(repr),
        lambda flow: flow.map(fail, on_error=lambda error, x: SKIP),
        lambda flow: flow.zip(flow).interleave(flow).concat(flow),
    ],
    ids=["chunked", "chunked_by", "retry", "retry_when", "catch", "map", "zip"],
)
async def test_an_error_that_has_been_handled_keeps_nothing_alive(operator):
    held = []

    async def source():
        resource = Resource()
        held.append(weakref.ref(resource))
        yield 1
        raise Boom

    gc.disable()
    try:
        await operator(Flow(source)).catch().collect()

        assert held
        assert not any(reference() for reference in held)
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b, c: a.zip(b, c),
        lambda a, b, c: a.interleave(b, c).drop(2),
        lambda a, b, c: a.flat_map(lambda _: b.flat_map(lambda _: c)),
    ],
    ids=["zip", "interleave", "flat_map"],
)
async def test_the_first_error_carries_a_note_of_every_later_one(combine):
    def source(name):
        async def items():
            try:
                yield name
            finally:
                raise Boom(name)

        return Flow(items)

    flow = combine(source("a"), source("b"), source("c")).map(fail)

    with pytest.raises(Boom) as caught:
        await flow.collect()

    notes = [note.partition("also raised: ")[2] for note in caught.value.__notes__]
    assert notes.count("") == 1  # the stage that failed
    # Flows with a task of their own are closed at the same time, in no order.
    assert sorted(filter(None, notes)) == ["Boom('a')", "Boom('b')", "Boom('c')"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_run_virtual_says_why_it_timed_out(backend):
    with pytest.raises(TimeoutError, match=r"ten years .* thread .* threshold"):
        run_virtual(Flow.never().to_list, backend)


@pytest.mark.parametrize("name", ["trio", "trio.lowlevel"])
def test_flows_run_on_asyncio_while_another_thread_imports_trio(name, monkeypatch):
    not_yet_executed = module_from_spec(find_spec(name))
    for module in ("trio", "trio.lowlevel"):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, not_yet_executed)

    assert run(Flow.fail(Boom()).retry(3).catch().to_list) == []


async def test_repr_of_flows_nested_too_deep_is_cut():
    flow = Flow.of(1)
    for _ in range(2000):
        flow = Flow.of(0).concat(flow)

    assert repr(flow).startswith("Flow.of(0).concat(Flow.of(0).concat(")
    assert "<flowpy.Flow object at" in repr(flow)


@flow
async def wrapped(source):
    async for x in Flow(source):
        yield x


async def test_a_flow_made_of_the_source_of_an_operator_is_closed_with_it():
    resource = Resource()
    await Flow(resource.generator).pipe(wrapped).take(2).collect()

    assert resource.opened == 1
    assert resource.open == 0


@flow
async def read_by_hand(source):
    items = aiter(source)
    yield await items.asend(None)
    await items.aclose()
    async with aclosing(aiter(source)) as items:
        async for x in items:
            yield x
            break
    items = aiter(source)
    yield await anext(items)
    with suppress(Boom):
        await items.athrow(Boom())


async def test_an_iterator_inside_of_an_operator_is_an_async_generator_like_any_other():
    resource = Resource()
    items = await read_by_hand(Flow(resource.generator)).to_list()

    assert items == [0, 0, 0]
    assert (resource.opened, resource.open) == (3, 0)


@flow
async def halves(source):
    yield source.map(str)
    yield source


async def test_flows_that_an_operator_has_made_outlive_it():
    resource = Resource()
    first, second = await halves(Flow(resource.generator)).to_list()

    assert await first.to_list() == ["0", "1", "2"]
    async with second.open() as items:
        assert await anext(items) == 0
    assert (resource.opened, resource.open) == (2, 0)


@flow
async def head_and_all(source):
    async for x in source:
        yield x
        break
    async for x in source:
        yield x


async def test_an_operator_may_read_its_source_again_to_the_end():
    resource = Resource()
    items = await Flow(Flow(resource.generator)).pipe(head_and_all).to_list()

    assert items == [0, 0, 1, 2]
    assert (resource.opened, resource.most, resource.open) == (2, 1, 0)
