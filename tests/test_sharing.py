"""What it means to collect once for many: share, share_in, state_in."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import sys
import weakref
from contextvars import ContextVar
from datetime import timedelta

import anyio
import pytest

from flowpy import (
    Flow,
    FlowClosedError,
    FlowConsumedError,
    FlowEmptyError,
    SharedFlow,
    StateFlow,
    flow,
    while_subscribed,
)
from flowpy._scheduler import current_scheduler
from flowpy.testing import assert_marbles, probe, run_virtual
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

END = object()


@pytest.fixture
async def group(anyio_backend):
    before = len(anyio.get_running_tasks())
    async with anyio.create_task_group() as group:
        yield group
        group.cancel_scope.cancel()
    assert len(anyio.get_running_tasks()) == before


class Upstream:
    """A flow that counts 0, 1, 2 … each second, and notes when it runs."""

    def __init__(self, ends=math.inf, error=None, cleanup=0):
        self.start = anyio.current_time()
        self.log = []
        self.ends, self.error, self.cleanup = ends, error, cleanup

    def note(self, what):
        self.log.append((what, round(anyio.current_time() - self.start, 3)))

    async def _run(self):
        self.note("open")
        try:
            n = 0
            while n < self.ends:
                yield n
                n += 1
                await anyio.sleep(1)
            if self.error:
                raise self.error
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(self.cleanup)
            self.note("closed")

    @property
    def flow(self):
        return Flow(self._run)


def collect(group, source, stop=math.inf, pause=0):
    """Collect in a task; return the list of what came, with END or the error."""
    got = []

    async def read():
        try:
            async with source.open() as items:
                async for x in items:
                    got.append(x)
                    if len(got) >= stop:
                        return
                    await anyio.sleep(pause)
            got.append(END)
        except (Boom, FlowClosedError, FlowConsumedError) as error:
            got.append(error)

    group.start_soon(read)
    return got


def at(group, seconds, fn, *args):
    """Call something in some seconds."""

    async def later():
        await anyio.sleep(seconds)
        fn(*args)

    group.start_soon(later)


# -------------------------------------------------------------------------- share


async def test_one_collection_serves_all_who_listen(group):
    up = Upstream()
    shared = up.flow.share()
    first = collect(group, shared, stop=5)
    await anyio.sleep(1.5)
    second = collect(group, shared.map(str), stop=2)
    await anyio.sleep(9)

    assert first == [0, 1, 2, 3, 4]
    assert second == ["2", "3"]
    assert up.log == [("open", 0), ("closed", 4)]


async def test_upstream_runs_from_the_first_to_the_last_listener():
    def twice(source):
        shared = source.share()
        return shared.take(1).merge(shared)

    await assert_marbles(
        twice, "a-b--c-|", expected="(aa)-b--c-|", collected=["^------!"]
    )


async def test_a_newcomer_gets_what_is_replayed(group):
    shared = Upstream().flow.share(2)
    collect(group, shared)
    await anyio.sleep(3.5)
    second = collect(group, shared, stop=4)
    await anyio.sleep(5)

    assert second == [2, 3, 4, 5]


@pytest.mark.parametrize("kind", [None, Boom])
async def test_the_end_reaches_all_and_who_comes_after_it_starts_anew(group, kind):
    error = kind and kind()
    up = Upstream(ends=2, error=error)
    shared = up.flow.share(1)
    fast = collect(group, shared)
    slow = collect(group, shared, pause=10)
    await anyio.sleep(5)
    third = collect(group, shared)
    await anyio.sleep(50)

    end = error or END
    assert fast == slow == third == [0, 1, end]
    assert up.log == [("open", 0), ("closed", 2), ("open", 5), ("closed", 7)]


async def test_the_last_one_waits_until_upstream_is_closed():
    up = Upstream(cleanup=3)
    start = anyio.current_time()
    assert await up.flow.share().take(2).to_list() == [0, 1]

    assert anyio.current_time() - start == pytest.approx(4)
    assert up.log == [("open", 0), ("closed", 4)]


async def test_upstream_is_not_collected_again_before_it_is_closed(group):
    up = Upstream(cleanup=3)
    shared = up.flow.share()
    first = collect(group, shared, stop=1)
    await anyio.sleep(1)
    second = collect(group, shared, stop=2)
    await anyio.sleep(10)

    assert first == [0]
    assert second == [0, 1]
    assert up.log == [("open", 0), ("closed", 3), ("open", 3), ("closed", 7)]


async def test_one_who_leaves_before_the_turn_of_a_new_collection_starts_none(group):
    up = Upstream(cleanup=3)
    shared = up.flow.share()
    collect(group, shared, stop=1)
    await anyio.sleep(1)
    with anyio.move_on_after(1):
        await shared.to_list()
    await anyio.sleep(10)

    assert up.log == [("open", 0), ("closed", 3)]


async def test_one_who_leaves_before_its_turn_lets_nobody_pass(group):
    up = Upstream(cleanup=5)
    shared = up.flow.share()
    collect(group, shared, stop=1)
    await anyio.sleep(1)
    for _ in range(2):
        with anyio.move_on_after(1):
            await shared.to_list()
        await anyio.sleep(0.1)
    last = collect(group, shared, stop=1)
    await anyio.sleep(20)

    assert last == [0]
    assert up.log == [("open", 0), ("closed", 5), ("open", 5), ("closed", 10)]


async def test_an_error_of_a_run_that_closes_does_not_reach_the_next(group):
    boom = Boom()
    runs = []

    @flow
    async def failing_at_the_end():
        runs.append(None)
        try:
            yield len(runs)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
            if len(runs) == 1:
                raise boom

    shared = failing_at_the_end().share()

    async def leave():
        with pytest.raises(Boom) as caught:
            await shared.first()
        assert caught.value is boom

    group.start_soon(leave)
    await anyio.sleep(1)
    second = collect(group, shared)
    await anyio.sleep(10)

    assert second == [2]


async def test_the_slowest_sets_the_pace(group):
    source = Source(*range(500))
    shared = Flow(source.generator).share()
    async with probe(shared) as p:
        slow = collect(group, shared, pause=math.inf)
        await anyio.sleep(1)
        for _ in range(65):
            await p.next_item()
        await p.expect_no_events(10)

        assert slow == [0]
        assert source.pulled == 66


async def test_sharing_sees_the_context_of_the_first():
    variable = ContextVar("variable", default="unset")
    shared = Flow.of(1).map(lambda _: variable.get()).share()
    variable.set("first")

    assert await shared.to_list() == ["first"]


async def test_a_source_that_can_be_read_once_is_refused_the_second_time():
    shared = Flow(iter([1, 2])).share()

    assert await shared.to_list() == [1, 2]
    with pytest.raises(FlowConsumedError):
        await shared.to_list()


@pytest.mark.parametrize("linger", [5, timedelta(seconds=5)])
async def test_with_linger_upstream_goes_on_for_a_while(group, linger):
    up = Upstream()
    shared = up.flow.share(linger=linger)
    start = anyio.current_time()
    assert await shared.take(2).to_list() == [0, 1]
    took = anyio.current_time() - start
    await anyio.sleep(2.5)
    second = await shared.take(2).to_list()
    await anyio.sleep(4.9)
    before = list(up.log)
    await anyio.sleep(10)
    third = await shared.first()

    assert took == pytest.approx(1)  # nobody waits for the end of upstream
    assert second == [4, 5]
    assert before == [("open", 0)]
    assert up.log[:2] == [("open", 0), ("closed", 10)]
    assert third == 0
    await anyio.sleep(10)


async def test_what_was_replayed_is_there_while_upstream_lingers():
    shared = Upstream().flow.share(1, linger=5)
    await shared.take(2).to_list()
    await anyio.sleep(2.5)

    assert await shared.first() == 3
    await anyio.sleep(10)


async def test_an_upstream_that_ends_while_it_lingers_is_started_anew():
    up = Upstream(ends=2)
    shared = up.flow.share(linger=100)
    tasks = len(anyio.get_running_tasks())
    first = await shared.take(1).to_list()
    await anyio.sleep(10)

    assert first == [0]
    assert len(anyio.get_running_tasks()) == tasks
    assert await shared.to_list() == [0, 1]
    assert up.log == [("open", 0), ("closed", 2), ("open", 10), ("closed", 12)]


async def test_an_error_that_nobody_hears_is_logged(caplog):
    boom = Boom()
    shared = Upstream(ends=2, error=boom).flow.share(linger=100)
    with caplog.at_level(logging.WARNING, "flowpy"):
        assert await shared.first() == 0
        await anyio.sleep(10)

    assert [record.exc_info[1] for record in caplog.records] == [boom]
    with pytest.raises(Boom):
        await shared.to_list()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_an_upstream_that_begins_at_once_loses_nothing():
    shared = Flow.of(1, 2).share(linger=1)

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await shared.to_list()

    assert run_virtual(main) == [1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
@pytest.mark.parametrize("linger", [0, 1])
def test_an_upstream_that_listens_to_itself_at_once_is_collected_once(linger):
    opened = 0

    async def upstream():
        nonlocal opened
        opened += 1
        assert opened == 1
        echo = asyncio.create_task(shared.take(2).to_list())
        yield 1
        yield 2
        yield await echo

    shared = Flow(upstream).share(linger=linger)

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await shared.to_list()

    assert run_virtual(main) == [1, 2, [1, 2]]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_shared_flow_keeps_nothing_of_an_event_loop_that_has_ended(backend):
    shared = Flow.of(1).share()
    loops = []

    async def main():
        loops.append(weakref.ref(current_scheduler().loop()))
        await shared.to_list()

    run_virtual(main, backend)
    gc.collect()

    assert loops[0]() is None


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_event_loop_ends_what_lingers(backend, caplog):
    source = Source(1, hangs=True)
    shared = Flow(source.generator).share(linger=1000)

    for _ in range(2):
        assert run_virtual(shared.first, backend) == 1
        assert source.is_closed
    assert source.opened == 2
    assert caplog.records == []


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda f, g: f.share_in(None), TypeError, "task_group must be a task group"),
        (lambda f, g: f.share_in(g, replay=-1), ValueError, "replay must be >= 0"),
        (lambda f, g: f.share_in(g, started="now"), ValueError, "started must be"),
        (lambda f, g: f.state_in(3), TypeError, "task_group must be a task group"),
        (lambda f, g: f.state_in(3, 0), TypeError, "task_group must be a task group"),
        (lambda f, g: f.state_in(g, 0, started=None), ValueError, "started must be"),
        (
            lambda f, g: f.state_in(g, started="lazily"),
            ValueError,
            "started must be 'eagerly' without initial; got 'lazily'",
        ),
        (lambda f, g: while_subscribed(-1), ValueError, "stop_after must be"),
        (lambda f, g: while_subscribed("1"), TypeError, "stop_after must be"),
        (lambda f, g: while_subscribed(0, math.nan), ValueError, "forget_after must"),
    ],
)
async def test_a_wrong_argument_is_refused_at_the_call(group, call, error, match):
    with pytest.raises(error, match=match):
        call(Flow.of(1), group)


# ----------------------------------------------------------------- in a task group


async def test_eagerly_starts_at_once_and_never_again(group):
    up = Upstream(ends=4)
    shared = up.flow.share_in(group, replay=1)
    first = collect(group, shared, stop=1)
    await anyio.sleep(1.5)
    second = collect(group, shared)
    await anyio.sleep(10)

    assert isinstance(shared, SharedFlow)
    assert first == [0]  # who comes before the task has begun misses nothing
    assert second == [1, 2, 3, END]
    assert await shared.to_list() == [3]
    assert up.log == [("open", 0), ("closed", 4)]


async def test_lazily_starts_with_the_first_and_never_stops(group):
    up = Upstream()
    shared = up.flow.share_in(group, started="lazily")
    await anyio.sleep(5)
    assert await shared.take(2).to_list() == [0, 1]
    await anyio.sleep(3.5)

    assert await shared.first() == 5
    assert up.log == [("open", 5)]


async def test_while_subscribed_starts_and_stops_with_those_who_listen(group):
    up = Upstream()
    shared = up.flow.share_in(group, started=while_subscribed(), replay=1)
    await anyio.sleep(5)
    at(group, 0.5, lambda: collect(group, shared, stop=3))
    assert await shared.take(2).to_list() == [0, 1]
    await anyio.sleep(4)
    second = await shared.take(2).to_list()
    await anyio.sleep(1)

    # The one that came later got 0 from the replay, 1 and 2.
    assert up.log == [("open", 5), ("closed", 7), ("open", 10), ("closed", 10)]
    # What was replayed is not forgotten.
    assert second == [2, 0]


async def test_it_stops_exactly_after_its_time(group):
    up = Upstream()
    started = while_subscribed(stop_after=5)
    shared = up.flow.share_in(group, started=started)
    await shared.first()  # until 0
    await anyio.sleep(4.9)
    await shared.first()  # until 5
    await anyio.sleep(4.9)
    early = list(up.log)
    await anyio.sleep(20.1)  # at 30
    third = await shared.take(2).to_list()  # until 31
    await anyio.sleep(100)

    assert early == [("open", 0)]
    assert up.log == [("open", 0), ("closed", 10), ("open", 30), ("closed", 36)]
    assert third == [0, 1]


@pytest.mark.parametrize(
    ("forget_after", "expected"),
    [
        (None, {0: [1], 4.9: [1], 5.1: [1], 100: [1]}),
        (0, {0: [1], 1.9: [1], 2.1: []}),
        (3, {0: [1], 4.9: [1], 5.1: [], 100: []}),
    ],
)
async def test_what_is_replayed_is_forgotten_after_its_time(
    group, forget_after, expected
):
    started = while_subscribed(2, forget_after)
    source = Flow.of(1).concat(Flow.never())
    shared = source.share_in(group, started=started, replay=1)
    found = {}
    await shared.first()
    start = anyio.current_time()
    for seconds in expected:
        await anyio.sleep(start + seconds - anyio.current_time())
        found[seconds] = shared.replay_cache

    assert found == expected


async def test_one_who_comes_in_time_keeps_what_is_replayed(group):
    started = while_subscribed(1, 3)
    shared = Upstream().flow.share_in(group, started=started, replay=1)
    await shared.first()
    await anyio.sleep(3)

    assert await shared.take(2).to_list() == [1, 0]


@pytest.mark.parametrize("kind", [None, Boom])
@pytest.mark.parametrize("started", ["eagerly", "lazily", while_subscribed(5)])
async def test_upstreams_end_reaches_those_who_listen_and_who_come_later(
    group, started, kind
):
    error = kind and kind()
    up = Upstream(ends=3, error=error)
    shared = up.flow.share_in(group, started=started, replay=1)
    first = collect(group, shared)
    await anyio.sleep(10)
    second = collect(group, shared)
    await anyio.sleep(10)

    end = error or END
    assert first == [0, 1, 2, end]
    assert second == [2, end]
    assert up.log == [("open", 0), ("closed", 3)]


async def test_an_upstream_that_ends_while_nobody_listens_has_ended(group):
    up = Upstream(ends=2)
    shared = up.flow.share_in(group, started=while_subscribed(100))
    await shared.first()
    await anyio.sleep(10)

    assert await shared.to_list() == []
    assert up.log == [("open", 0), ("closed", 2)]


async def test_an_error_of_upstreams_cleanup_is_told(group):
    boom = Boom()

    @flow
    async def failing_at_the_end():
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            raise boom

    shared = failing_at_the_end().share_in(group, started=while_subscribed())
    assert await shared.first() == 1
    await anyio.sleep(1)

    with pytest.raises(Boom) as caught:
        await shared.to_list()
    assert caught.value is boom


@pytest.mark.parametrize("started", ["eagerly", "lazily", while_subscribed(5)])
async def test_those_who_listen_are_told_when_the_task_group_is_cancelled(
    group, started
):
    up = Upstream()
    async with anyio.create_task_group() as own:
        shared = up.flow.share_in(own, started=started, replay=1)
        got = collect(group, shared)
        await anyio.sleep(1.5)
        own.cancel_scope.cancel()
    await anyio.sleep(1)

    assert got[:2] == [0, 1]
    assert isinstance(got[2], FlowClosedError)
    assert "the task group" in str(got[2])
    assert up.log == [("open", 0), ("closed", 1.5)]


class Stop(BaseException):
    """What no handler of errors may stop."""


async def test_what_is_no_error_goes_on_to_the_task_group_too():
    got = []
    stop = Stop()

    async def share():
        async with anyio.create_task_group() as own:
            shared = Flow.fail(stop).share_in(own, started="lazily")
            with anyio.CancelScope(shield=True):
                try:
                    await shared.collect()
                except Stop as error:
                    got.append(error)

    with pytest.raises(BaseExceptionGroup) as caught:
        await share()

    assert got == [stop]
    assert caught.value.exceptions == (stop,)


async def test_nobody_else_may_emit_to_what_is_shared(group):
    shared = Flow.never().share_in(group)
    for call in (shared.try_emit, shared.emit_from_thread, lambda _: shared.close()):
        with pytest.raises(AttributeError, match="fed by share_in"):
            call(1)
    with pytest.raises(AttributeError, match="fed by share_in"):
        await shared.on_subscription(print).emit(1)

    assert repr(shared) == "Flow.never().share_in(...)"


async def test_share_in_waits_for_the_slowest(group):
    source = Source(*range(500))
    shared = Flow(source.generator).share_in(group, started="lazily")
    slow = collect(group, shared, pause=math.inf)
    await anyio.sleep(1)

    assert slow == [0]
    assert source.pulled == 66
    assert shared.subscribers_lag() == [64]


def test_a_task_group_of_asyncio_will_do():
    async def main():
        async with asyncio.TaskGroup() as group:
            shared = Flow.of(1, 2).share_in(group, replay=2)
            state = await Flow.of(1, 2).state_in(group)
            await asyncio.sleep(1)
        with pytest.raises(RuntimeError):
            Flow.of(1).share_in(group)
        return await shared.to_list(), state.value

    assert run_virtual(main) == ([1, 2], 2)


def test_those_who_listen_are_told_when_a_task_was_cancelled_before_it_began():
    async def main():
        async with asyncio.TaskGroup() as group:
            shared = Flow.of(1).share_in(group)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        with pytest.raises(FlowClosedError, match="task group"):
            await shared.to_list()

    run_virtual(main)


def test_a_nursery_of_trio_will_do():
    trio = pytest.importorskip("trio")

    async def main():
        async with trio.open_nursery() as nursery:
            shared = Flow.of(1, 2).share_in(nursery, replay=2)
            state = await Flow.of(1, 2).state_in(nursery)
            await trio.sleep(1)
        return await shared.to_list(), state.value

    assert run_virtual(main, "trio") == ([1, 2], 2)


# ------------------------------------------------------------------ as a state


async def test_a_state_is_there_at_once_with_an_initial_value(group):
    up = Upstream(ends=3)
    state = up.flow.map(lambda n: n * 10).state_in(group, None)
    got = collect(group, state)
    first = state.value
    await anyio.sleep(1.5)
    second = state.value
    await anyio.sleep(10)

    assert isinstance(state, StateFlow)
    assert (first, second, state.value) == (None, 10, 20)
    assert got in ([None, 0, 10, 20, END], [0, 10, 20, END])
    with pytest.raises(AttributeError, match="comes from state_in"):
        state.value = 3


async def test_a_state_is_awaited_without_an_initial_value(group):
    start = anyio.current_time()
    state = await Flow.interval(1, delay=5).state_in(group)
    waited = anyio.current_time() - start
    first = state.value
    await anyio.sleep(2.5)

    assert waited == pytest.approx(5)
    assert (first, state.value) == (0, 2)
    assert repr(state) == "Flow.interval(1, delay=5).state_in(...)"


async def test_a_state_without_a_first_item_is_an_error(group):
    with pytest.raises(FlowEmptyError, match="state_in: the flow ended before"):
        await Flow.empty().state_in(group)
    boom = Boom()
    with pytest.raises(Boom) as caught:
        await Flow.fail(boom).state_in(group)

    assert caught.value is boom


@pytest.mark.parametrize("kind", [None, Boom])
async def test_a_state_ends_as_upstream_does(group, kind):
    error = kind and kind()
    state = await Upstream(ends=2, error=error).flow.state_in(group)
    got = collect(group, state)
    await anyio.sleep(10)
    later = collect(group, state)
    await anyio.sleep(1)

    assert got == [0, 1, error or END]
    assert later == [1, error or END]
    assert state.value == 1


async def test_a_state_starts_lazily(group):
    up = Upstream()
    state = up.flow.state_in(group, -1, started="lazily")
    await anyio.sleep(5)
    before = state.value

    assert await state.take(2).to_list() == [-1, 0]
    assert before == -1
    assert up.log == [("open", 5)]


async def test_a_state_returns_to_its_initial_value(group):
    started = while_subscribed(stop_after=2, forget_after=3)
    state = Flow.of(7).concat(Flow.never()).state_in(group, 0, started=started)
    got = await state.take(2).to_list()
    values = []
    for seconds in (1.9, 3.0, 0.2):  # at 1.9, 4.9, 5.1
        await anyio.sleep(seconds)
        values.append(state.value)

    assert got == [0, 7]
    assert values == [7, 7, 0]


async def test_who_collects_a_derived_state_keeps_upstream_running(group):
    up = Upstream()
    state = up.flow.state_in(group, -1, started=while_subscribed())
    text = state.map_state(str)
    got = collect(group, text, stop=3)
    await anyio.sleep(10)

    assert got == ["-1", "0", "1"]
    assert up.log == [("open", 0), ("closed", 1)]
    assert text.value == "1"


@pytest.mark.parametrize("form", ["share_in", "state_in", "awaited"])
async def test_an_upstream_that_never_waits_lets_others_run(group, form):
    @flow
    async def endless():
        while True:
            yield form

    if form == "share_in":
        endless().share_in(group)
    elif form == "state_in":
        endless().state_in(group, 0)
    else:
        await endless().state_in(group)
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
