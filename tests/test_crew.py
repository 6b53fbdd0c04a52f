"""Background work: what a crew promises, whatever happens to the stage that has one."""

from __future__ import annotations

import gc
import warnings
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import Flow, flow
from flowpy._crew import Crew, Gone
from flowpy._iterating import ALSO
from tests.laws.probes import Boom, Source

pytestmark = pytest.mark.anyio

APART = {
    "buffer": lambda source: source.buffer(3),
    "buffer(0)": lambda source: source.buffer(0),
    "conflate": lambda source: source.conflate(),
    "merge": lambda source: source.merge(Flow.never()),
    "two buffers": lambda source: source.buffer(1).map(str).buffer(1),
}
"""Chains that run their source in a task of its own."""

apart = pytest.mark.parametrize("apply", APART.values(), ids=APART)


def tasks():
    return len(anyio.get_running_tasks())


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend):
    before = tasks()
    yield
    assert tasks() == before


@flow
async def ticks(events, *, cleanup=0.0, error=None):
    """Count for ever, waiting before each item; write down what happens."""
    events.append("open")
    n = 0
    try:
        while True:
            await anyio.sleep(1)
            yield n
            n += 1
    finally:
        events.append("closing")
        await anyio.sleep(cleanup)
        events.append("closed")
        if error is not None:
            raise error


# ------------------------------------------------------------------------- closing


@apart
async def test_a_source_that_is_waiting_is_closed_and_its_cleanup_can_wait(apply):
    events = []
    async with apply(ticks(events, cleanup=5)).open() as items:
        await anext(items)
        await anyio.sleep(0.5)  # the source waits for its next item

    assert events == ["open", "closing", "closed"]


@apart
async def test_a_source_that_has_items_ahead_is_closed_and_its_cleanup_can_wait(apply):
    events = []
    async with apply(ticks(events, cleanup=5)).open() as items:
        await anext(items)
        await anyio.sleep(10)

    assert events == ["open", "closing", "closed"]


@apart
async def test_cleanup_behind_a_shield_is_never_interrupted(apply):
    done = []

    async def source():
        try:
            yield 1
        finally:
            with anyio.CancelScope(shield=True):
                for _ in range(3):
                    await anyio.sleep(1)
            done.append("closed")

    for moment in (0, 0.5, 2.5):  # before its cleanup begins, and during that
        async with apply(Flow(source)).open() as items:
            await anext(items)
            if moment:
                await anyio.sleep(moment)

    assert done == ["closed"] * 3


@apart
@pytest.mark.parametrize("seconds", [0.1, 5])
async def test_cleanup_can_wait_after_work_behind_a_shield(apply, seconds):
    done = []

    async def source():
        try:
            try:
                yield 1
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(seconds)
                await anyio.sleep_forever()
            finally:
                await anyio.sleep(1)
                done.append("inner")
        finally:
            await anyio.sleep(1)
            done.append("outer")

    async with apply(Flow(source)).open() as items:
        await anext(items)
        await anyio.sleep(0.05)  # the source works behind its shield

    assert done == ["inner", "outer"]


@apart
@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_right_after_the_close_ends_the_cleanup(apply, turns):
    async def source():
        try:
            yield 1
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(100)

    async def cancel():
        for _ in range(turns):
            await checkpoint()
        scope.cancel()

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with apply(Flow(source)).open() as items:
                await anext(items)
                await anyio.sleep(0.5)
                group.start_soon(cancel)

    assert anyio.current_time() - start == pytest.approx(1)


@apart
async def test_it_may_be_opened_by_one_task_and_closed_by_another(apply):
    events = []
    stack = AsyncExitStack()
    async with anyio.create_task_group() as group:

        async def open_it():
            items = await stack.enter_async_context(apply(ticks(events)).open())
            await anext(items)

        group.start_soon(open_it)
    async with anyio.create_task_group() as group:
        group.start_soon(stack.aclose)

    assert events == ["open", "closing", "closed"]


async def test_each_item_may_be_pulled_by_a_task_of_its_own():
    seen = []
    source = Source(*range(9))
    async with Flow(source.generator).buffer(2).open() as items:

        async def pull():
            seen.append(await anext(items))

        for _ in range(3):
            async with anyio.create_task_group() as group:
                group.start_soon(pull)

    assert seen == [0, 1, 2]
    assert source.is_closed


async def test_a_source_that_yields_inside_a_task_group_works_in_a_task_of_its_own():
    async def source():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 1)
            for n in range(99):
                yield n

    async with Flow(source).buffer(2).open() as items:

        async def pull():
            pulled.append(await anext(items))

        pulled = []
        await pull()
        async with anyio.create_task_group() as group:
            group.start_soon(pull)

    assert pulled == [0, 1]


async def test_it_is_opened_iterated_and_closed_in_one_task():
    seen = set()

    def here():
        seen.add(anyio.get_current_task().id)

    @flow
    async def source():
        here()
        try:
            for n in range(9):
                yield n
                here()
                await checkpoint()
        finally:
            await checkpoint()
            here()

    await source().buffer(1).take(3).to_list()

    assert len(seen) == 1
    assert anyio.get_current_task().id not in seen


async def test_a_task_bears_the_name_of_its_operator_and_a_number():
    names = []

    async def source():
        names.append(anyio.get_current_task().name)
        yield 1

    for _ in range(2):
        await Flow(source).buffer().merge().to_list()

    kinds, numbers = zip(*(name.split("#") for name in names), strict=True)
    assert kinds == ("flowpy.buffer", "flowpy.buffer")
    assert int(numbers[0]) < int(numbers[1])


@pytest.mark.parametrize("ticks_before", range(8))
@apart
async def test_a_source_is_closed_whenever_the_reader_is_cancelled(apply, ticks_before):
    source = Source(*range(99), hangs=True)
    async with anyio.create_task_group() as group:
        group.start_soon(apply(Flow(source.generator)).collect)
        for _ in range(ticks_before):
            await checkpoint()
        group.cancel_scope.cancel()

    assert source.is_closed


@apart
async def test_a_deadline_during_the_close_ends_the_cleanup(apply):
    events = []
    start = anyio.current_time()
    with anyio.move_on_after(2) as scope:
        async with apply(ticks(events, cleanup=1000)).open() as items:
            await anext(items)

    assert scope.cancelled_caught
    assert events == ["open", "closing"]
    assert anyio.current_time() - start == pytest.approx(2)


@apart
async def test_a_cancelled_reader_ends_the_cleanup_of_a_source_that_has_items_ahead(
    apply,
):
    events = []
    start = anyio.current_time()
    with anyio.move_on_after(9):
        async with apply(ticks(events, cleanup=1000)).open() as items:
            await anext(items)
            await anyio.sleep_forever()

    assert events == ["open", "closing"]
    assert anyio.current_time() - start == pytest.approx(9)


@apart
async def test_a_cancelled_reader_cancels_the_tasks_and_waits_for_them(apply):
    events = []
    with anyio.move_on_after(2.5) as scope:
        await apply(ticks(events)).collect()

    assert scope.cancelled_caught
    assert events[:2] == ["open", "closing"]


async def test_an_iterator_dropped_in_a_cycle_may_be_collected_by_another_thread():
    source = Source(*range(9))
    before = tasks()
    items = aiter(Flow(source.generator).buffer(2))
    await anext(items)
    cycle = [items]
    cycle.append(cycle)
    del items, cycle
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # trio's, of the iterator
        await anyio.to_thread.run_sync(gc.collect)
        for _ in range(20):
            await checkpoint()

    assert source.is_closed
    assert tasks() == before


# -------------------------------------------------------------------------- errors


@flow
async def failing(error, *, after=0.0, cleanup=None):
    try:
        await anyio.sleep(after)
        raise error
        yield
    finally:
        if cleanup is not None:
            raise cleanup


async def error_of(made):
    try:
        await made.collect()
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        return error
    return None


async def test_the_first_of_two_errors_wins_and_the_other_is_noted():
    first, second = Boom("first"), Boom("second")

    async def late():
        try:
            await anyio.sleep_forever()
            yield
        finally:
            raise second

    merged = failing(first, after=1).merge(Flow(late))
    error = await error_of(merged)

    assert error is first
    assert error.__notes__ == [f"{ALSO}{second!r}"]


async def test_two_errors_at_once_are_one_and_a_note():
    errors = [Boom("a"), Boom("b")]
    error = await error_of(
        failing(errors[0], after=1).merge(failing(errors[1], after=1))
    )

    assert error in errors
    (other,) = set(errors) - {error}
    assert error.__notes__ == [f"{ALSO}{other!r}"]


async def test_one_error_object_that_two_flows_raise_has_no_note():
    boom = Boom()
    error = await error_of(Flow.fail(boom).merge(Flow.fail(boom)))

    assert error is boom
    assert not hasattr(boom, "__notes__")


async def test_an_error_passes_three_stages_with_tasks_as_the_same_object():
    boom = Boom()
    chain = failing(boom, after=1).buffer().merge(Flow.never()).conflate().buffer(0)

    assert await error_of(chain) is boom


async def test_an_error_that_was_on_its_way_when_the_reader_stopped_is_dropped():
    source = Source(1, 2, error=Boom())  # its cleanup waits

    assert await Flow(source.generator).buffer().take(1).to_list() == [1]
    assert source.failed


@apart
async def test_an_error_of_cleanup_alone_is_raised(apply):
    boom = Boom()

    assert await error_of(apply(ticks([], error=boom)).take(1)) is boom


async def test_an_error_is_not_overtaken_for_ever_by_a_busy_flow():
    boom = Boom()

    async def busy():
        while True:
            yield "item"

    seen = []
    merged = Flow(busy).merge(failing(boom)).on_each(seen.append)

    assert await error_of(merged.on_each(lambda _: checkpoint())) is boom
    assert len(seen) < 100


async def test_a_group_that_the_source_raised_stays_as_it_is():
    group = ExceptionGroup("two", [Boom(), Boom()])

    assert await error_of(failing(group).buffer()) is group


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_what_is_no_exception_comes_through_as_well(kind):
    error = kind("out")

    def fail(item):
        raise error

    assert await error_of(Flow([1]).map(fail).buffer()) is error


async def test_nothing_of_a_crew_is_left_for_the_garbage_collector():
    def fail():
        yield 1
        raise Boom

    def alive():
        return [each for each in gc.get_objects() if isinstance(each, Crew | Boom)]

    gc.collect()
    gc.disable()
    try:
        before = alive()  # of other tests
        with pytest.raises(Boom):
            await Flow(fail).buffer().conflate().merge([1]).collect()
        left = [each for each in alive() if not any(each is old for old in before)]
    finally:
        gc.enable()

    assert left == []


# ------------------------------------------------------------------------- context


async def test_tasks_see_the_context_of_the_first_pull_and_keep_theirs():
    variable = ContextVar("variable", default="unset")
    seen = []

    async def source():
        for n in range(3):
            seen.append(variable.get())
            yield n

    made = Flow(source).buffer(0)
    variable.set("first pull")
    async for _ in made.on_each(lambda _: variable.set("later")):
        await checkpoint()

    assert seen == ["first pull"] * 3
    assert variable.get() == "later"


# -------------------------------------------------------------- what operators use


async def test_a_child_that_is_stopped_has_ended_with_its_cleanup():
    events = []

    async def work():
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(1)
            events.append("ended")

    async with Crew("test") as crew:
        child = crew.spawn(work)
        await checkpoint()
        await crew.stop(child)
        events.append("stopped")

        assert child.ended
    assert events == ["ended", "stopped"]


async def test_a_child_that_is_being_stopped_is_not_cancelled_again_by_the_close():
    events = []

    async def work():
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(1)
            events.append("ended")

    async with Crew("test") as crew:
        child = crew.spawn(work)
        await checkpoint()
        child.cancel()
        await anyio.sleep(0.5)

    assert events == ["ended"]


async def test_a_child_that_another_one_stops_is_not_cancelled_again_by_the_close():
    events = []

    async def work():
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(1)
            events.append("ended")

    async with Crew("test") as crew:
        child = crew.spawn(work)
        crew.spawn(crew.stop, child)
        await anyio.sleep(0.5)

    assert events == ["ended"]


async def test_the_error_of_a_child_that_nobody_needs_is_dropped_at_the_close():
    async def call():
        try:
            await anyio.sleep_forever()
        finally:
            raise Boom

    async with Crew("test") as crew:
        crew.spawn(call, needed=False)
        await checkpoint()

    assert crew.error is None


async def test_to_wait_for_an_item_ends_at_the_deadline():
    async with Crew("test") as crew:
        channel = crew.channel(1)
        now = crew.scheduler.now

        async def produce():
            await anyio.sleep(3)
            await channel.put("item")

        crew.spawn(produce, feeds=channel)
        start = now()
        early = await channel.more(until=start + 2)
        first = now() - start
        there = await channel.more(until=start + 9)
        second = now() - start
        item = channel.take()
        end = await channel.more(until=start + 9)

    assert (early, there, item, end) == (False, True, "item", False)
    assert (first, second) == (pytest.approx(2), pytest.approx(3))
    assert channel.ended


async def test_nobody_can_put_items_in_a_closed_channel():
    async with Crew("test") as crew:
        channel = crew.channel(1)
        channel.close()
        with pytest.raises(Gone):
            await channel.put(1)

        assert not channel.offer(1)
        assert not channel.items


async def test_offer_takes_no_more_than_fit():
    async with Crew("test") as crew:
        line = crew.line()
        channel = line.channel(2)

        assert [channel.offer(n) for n in range(4)] == [True, True, False, False]
        assert line.turns.popleft().take() == 0
        assert channel.offer(4)


async def test_producers_that_share_a_channel_all_go_on_when_there_is_room():
    async with Crew("test") as crew:
        channel = crew.channel(1)

        async def produce(name):
            for n in range(3):
                await channel.put((name, n))

        for name in "abc":
            crew.spawn(produce, name, feeds=channel)
        seen = []
        while channel.items or await channel.more():
            seen.append(channel.take())
            await checkpoint()

    assert sorted(seen) == [(name, n) for name in "abc" for n in range(3)]


async def test_a_child_that_cannot_be_spawned_feeds_nothing():
    async with Crew("test") as crew:
        channel = crew.channel(1)

        def refuse(*args):
            raise RuntimeError("the loop has ended")

        crew.scheduler = type("Ended", (), {"spawn": staticmethod(refuse)})()
        with pytest.raises(RuntimeError, match="the loop has ended"):
            crew.spawn(anyio.sleep, 1, feeds=channel)
        crew.scheduler = Crew("other").scheduler

        assert not await channel.more()


async def test_joining_a_child_cancels_it_when_the_joiner_is_cancelled():
    async with Crew("test") as crew:
        child = crew.spawn(anyio.sleep_forever)
        with anyio.move_on_after(1) as scope:
            await crew.join(child)

        assert scope.cancelled_caught
        assert child.ended
        await crew.join(child)  # again: at once


async def test_a_stage_that_waits_by_itself_asks_for_the_error_of_a_child():
    boom = Boom()

    async def fail():
        raise boom

    async def stage():
        async with Crew("test") as crew:
            crew.check()
            crew.spawn(fail)
            await crew.arrival.park()
            crew.check()

    with pytest.raises(Boom) as caught:
        await stage()

    assert caught.value is boom


async def test_an_interrupt_in_cleanup_goes_before_an_error_that_came_first():
    interrupt = KeyboardInterrupt()

    async def late():
        try:
            await anyio.sleep_forever()
            yield
        finally:
            raise interrupt

    assert await error_of(failing(Boom(), after=1).merge(Flow(late))) is interrupt


async def test_a_channel_made_too_late_is_closed():
    async with Crew("test") as crew:
        crew.fail(Boom())
        channel = crew.line().channel(3)

        assert not channel.offer(1)
        crew.error = None


async def test_an_error_that_repeats_what_it_was_raised_from_is_weighed_once():
    first, second = Boom(), Boom()
    first.__context__, second.__context__ = second, first  # a ring, as some make it

    async def call():
        with suppress(BaseException):
            await anyio.sleep_forever()
        raise first

    async with Crew("test") as crew:
        crew.spawn(call)
        await checkpoint()

    assert crew.error is None


async def test_a_child_that_puts_items_ends_when_nobody_wants_them():
    ended = []

    async def produce(channel):
        try:
            while True:
                await channel.put("item")
        finally:
            ended.append(True)

    async with Crew("test") as crew:
        channel = crew.channel(1)
        child = crew.spawn(produce, channel, feeds=channel)
        await channel.more()
        channel.close()
        await crew.join(child)
        child.cancel()  # it has ended: nothing happens

    assert ended == [True]
    assert crew.error is None


async def test_of_two_errors_an_interrupt_wins():
    interrupt = KeyboardInterrupt()
    async with Crew("test") as crew:
        crew.fail(Boom())
        crew.fail(interrupt)

        assert crew.error is interrupt


async def test_a_line_keeps_the_order_in_which_its_channels_got_items():
    async with Crew("test") as crew:
        line = crew.line()
        first, second = line.channel(9), line.channel(9)
        for channel, item in ((first, 1), (second, 2), (second, 3), (first, 4)):
            await channel.put(item)
        seen = []
        while line.turns:
            channel = line.turns.popleft()
            seen.append((channel.index, channel.take()))

    assert seen == [(0, 1), (1, 2), (1, 3), (0, 4)]


# ---------------------------------------------- what else only a race would bring about


async def test_a_gate_wakes_one_of_those_who_wait_and_none_that_was_cancelled():
    crew = Crew("test")
    gate = crew.scheduler.gate()
    gate.wake_one()  # nobody waits
    woken = []

    async def wait(name, scope):
        with scope:
            await gate.park()
            woken.append(name)

    scopes = [anyio.CancelScope() for _ in range(3)]
    async with anyio.create_task_group() as group:
        for name, scope in enumerate(scopes):
            group.start_soon(wait, name, scope)
            await anyio.sleep(1)
        scopes[0].cancel()
        gate.wake_one()
        await anyio.sleep(1)

        assert woken == [1]
        scopes[2].cancel()
        gate.wake_one()

    assert woken == [1]


async def test_a_child_that_is_cancelled_twice_is_interrupted_once():
    events = []

    async def work():
        try:
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(1)
            events.append("cleaned up")

    async with Crew("test") as crew:
        child = crew.spawn(work)
        child.cancel()
        child.cancel()
        await crew.join(child)

    assert events == ["cleaned up"]
