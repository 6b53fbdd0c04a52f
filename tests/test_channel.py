"""@channel_flow: tasks, callbacks and threads feed one flow."""

from __future__ import annotations

from contextvars import ContextVar

import anyio
import pytest

from flowpy import Flow, FlowClosedError, channel_flow
from flowpy._iterating import ALSO
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def no_task_is_left(anyio_backend):
    before = len(anyio.get_running_tasks())
    yield
    assert len(anyio.get_running_tasks()) == before


@channel_flow
async def counting(channel, n, *, step=1):
    for i in range(n):
        await channel.send(i * step)


async def error_of(made):
    try:
        await made.collect()
    except BaseException as error:  # noqa: BLE001 - the test looks at it
        return error
    return None


# ------------------------------------------------------------------- how it is made


async def test_it_gives_what_the_function_sends_and_can_be_collected_again():
    made = counting(3, step=2)

    assert await made.to_list() == [0, 2, 4]
    assert await made.map(str).to_list() == ["0", "2", "4"]


async def test_nothing_runs_before_the_collection():
    calls = []

    @channel_flow
    async def produce(channel):
        calls.append("called")

    made = produce()
    assert calls == []
    assert await made.to_list() == []
    assert calls == ["called"]


async def test_it_reads_like_the_call_that_made_it():
    assert repr(counting(3, step=2).map(str)) == "counting(3, step=2).map(str)"


async def test_its_plan_tells_the_task_and_the_buffer():
    @channel_flow(capacity=7)
    async def produce(channel):
        pass

    alone = produce().explain()
    above = produce().map(str).buffer(2).explain()

    assert "runs its function in a task of its own; at most 7 items wait" in alone
    assert alone.endswith(
        "in tasks of their own: 0; in the collecting task: none; buffers: 0"
    )
    assert above.endswith(
        "in tasks of their own: 0, 1; in the collecting task: 2; buffers: 0, 2"
    )


async def test_the_function_keeps_its_name_and_documentation():
    assert counting.__name__ == "counting"


def plain_function(channel):
    pass


async def generator_function(channel):
    yield 1


@pytest.mark.parametrize("wrong", [plain_function, generator_function, 3, print])
async def test_what_is_no_async_function_is_refused(wrong):
    with pytest.raises(TypeError, match="@channel_flow needs an async function"):
        channel_flow(wrong)


@pytest.mark.parametrize("capacity", [0, -1])
async def test_a_capacity_below_1_is_refused(capacity):
    with pytest.raises(ValueError, match="capacity"):
        channel_flow(capacity=capacity)


async def test_arguments_that_do_not_fit_are_refused_when_the_flow_is_made():
    with pytest.raises(TypeError, match="missing"):
        counting()


# ------------------------------------------------------------------------- sending


@pytest.mark.parametrize("capacity", [1, 3])
async def test_at_most_capacity_items_wait(capacity):
    sent = []

    @channel_flow(capacity=capacity)
    async def produce(channel):
        for i in range(9):
            await channel.send(i)
            sent.append(i)

    async with produce().open() as items:
        first = await anext(items)
        await anyio.sleep(1)

        assert first == 0
        assert len(sent) == capacity + 1
        assert [x async for x in items] == list(range(1, 9))


async def test_try_send_tells_whether_there_was_room():
    answers = []

    @channel_flow(capacity=2)
    async def produce(channel):
        answers.extend(channel.try_send(i) for i in range(4))
        answers.append(repr(channel))

    assert await produce().to_list() == [0, 1]
    assert answers == [True, True, False, False, "<Channel: open, 2 of 2 items>"]


async def test_many_tasks_feed_one_flow():
    @channel_flow(capacity=1)
    async def produce(channel):
        async def feed(name):
            for n in range(3):
                await channel.send((name, n))

        async with anyio.create_task_group() as group:
            for name in "abc":
                group.start_soon(feed, name)

    items = await produce().to_list()
    assert sorted(items) == [(name, n) for name in "abc" for n in range(3)]


async def test_none_is_an_item_like_any_other():
    @channel_flow
    async def produce(channel):
        await channel.send(None)

    assert await produce().to_list() == [None]


async def test_send_from_thread_is_refused_in_the_thread_of_the_loop():
    @channel_flow
    async def produce(channel):
        channel.send_from_thread(1)

    with pytest.raises(RuntimeError, match="would block the event loop"):
        await produce().to_list()


# -------------------------------------------------------------------------- closing


async def test_close_ends_the_flow_after_what_has_been_sent():
    @channel_flow
    async def produce(channel):
        await channel.send(1)
        await channel.send(2)
        channel.close()
        channel.close(Boom())  # too late to count
        await anyio.sleep_forever()

    assert await produce().to_list() == [1, 2]


async def test_close_with_an_error_raises_that_object_after_what_has_been_sent():
    boom = Boom()
    seen = []

    @channel_flow
    async def produce(channel):
        await channel.send(1)
        channel.close(boom)
        await anyio.sleep_forever()

    assert await error_of(produce().on_each(seen.append)) is boom
    assert seen == [1]


async def test_close_with_an_error_is_too_late_when_the_collector_has_stopped():
    @channel_flow
    async def produce(channel):
        await channel.send(1)
        await channel.wait_closed()
        channel.close(Boom())

    assert await produce().take(1).to_list() == [1]


async def test_close_refuses_what_is_no_exception_object():
    @channel_flow
    async def produce(channel):
        channel.close(Boom)

    with pytest.raises(TypeError, match="error must be an exception object or None"):
        await produce().to_list()


async def test_an_error_of_the_function_is_raised_after_what_it_has_sent():
    boom = Boom()
    seen = []

    @channel_flow
    async def produce(channel):
        await channel.send(1)
        raise boom

    assert await error_of(produce().on_each(seen.append)) is boom
    assert seen == [1]


async def test_who_waits_for_the_close_cleans_up_and_is_not_cancelled():
    events = []

    @channel_flow
    async def produce(channel):
        channel.try_send(1)
        channel.try_send(2)
        await channel.wait_closed()
        await anyio.sleep(1)
        events.append("cleaned up")

    assert await produce().take(1).to_list() == [1]
    assert events == ["cleaned up"]

    async with produce().open() as items:
        await anext(items)
    assert events == ["cleaned up"] * 2


async def test_a_callback_closes_and_the_function_cleans_up_before_the_end():
    events = []

    @channel_flow
    async def produce(channel):
        async with anyio.create_task_group() as group:

            async def callback():
                await channel.send(1)
                await anyio.sleep(1)
                channel.close()

            group.start_soon(callback)
            await channel.wait_closed()
            await anyio.sleep(1)
            events.append("unsubscribed")

    assert await produce().to_list() == [1]
    assert events == ["unsubscribed"]


async def test_a_collector_that_stops_cancels_the_function_and_waits_for_it():
    events = []

    @channel_flow
    async def produce(channel):
        try:
            await channel.send(1)
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            events.append("cancelled")
            raise
        finally:
            await anyio.sleep(1)
            events.append("closed")

    assert await produce().take(1).to_list() == [1]
    assert events == ["cancelled", "closed"]


async def test_a_collector_that_stops_ends_a_function_that_waits_for_room():
    events = []

    @channel_flow(capacity=1)
    async def produce(channel):
        n = 0
        try:
            while True:
                try:
                    await channel.send(n)
                except Exception:  # noqa: BLE001 - who goes on whatever happens
                    continue
                n += 1
        finally:
            await anyio.sleep(1)
            events.append("closed")

    async with produce().open() as items:
        assert [await anext(items), await anext(items)] == [0, 1]
        await anyio.sleep(1)
    assert events == ["closed"]


async def test_a_collector_that_stops_ends_tasks_that_wait_for_room():
    events = []

    @channel_flow(capacity=1)
    async def produce(channel):
        async def feed():
            try:
                while True:
                    await channel.send("item")
            finally:
                events.append("closed")

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(feed)

    assert await produce().take(4).to_list() == ["item"] * 4
    assert events == ["closed"] * 3


async def test_a_collector_that_is_cancelled_cancels_the_function():
    events = []

    @channel_flow
    async def produce(channel):
        await channel.wait_closed()
        events.append("unsubscribed")
        await anyio.sleep_forever()

    with anyio.move_on_after(1):
        await produce().to_list()

    assert events == ["unsubscribed"]


async def test_others_are_told_that_the_flow_has_ended():
    channels = []

    @channel_flow
    async def produce(channel):
        channels.append(channel)
        await channel.send(1)
        await anyio.sleep_forever()

    await produce().take(1).to_list()
    (channel,) = channels

    assert not channel.try_send(2)
    with pytest.raises(FlowClosedError, match="has ended"):
        await channel.send(2)
    await channel.wait_closed()
    assert repr(channel) == "<Channel: closed, 0 of 64 items>"


async def test_a_send_after_the_close_is_refused_and_ends_the_function_quietly():
    events = []

    @channel_flow
    async def produce(channel):
        await channel.send(1)
        channel.close()
        try:
            await channel.send(2)
            events.append("sent")
        finally:
            events.append("ended")

    assert await produce().to_list() == [1]
    assert events == ["ended"]


async def test_a_send_to_another_flow_that_has_ended_is_an_error():
    @channel_flow
    async def first(channel):
        channels.append(channel)

    @channel_flow
    async def second(channel):
        await channels[0].send(1)

    channels = []
    await first().to_list()
    with pytest.raises(FlowClosedError):
        await second().to_list()


async def test_of_a_group_only_what_is_no_refusal_is_raised():
    boom = Boom()

    @channel_flow
    async def produce(channel):
        async def send_in_vain():
            channel.close()
            with anyio.CancelScope(shield=True):
                await channel.send(3)

        async with anyio.create_task_group() as group:
            await channel.send(1)
            await channel.send(2)
            group.start_soon(send_in_vain)
            raise boom

    async with produce().open() as items:
        assert await anext(items) == 1
        await anyio.sleep(1)
        assert await anext(items) == 2
        with pytest.raises(ExceptionGroup) as caught:
            await anext(items)

    assert caught.value.exceptions == (boom,)


async def test_a_group_that_the_function_raised_stays_as_it_is():
    group = ExceptionGroup("two", [Boom(), Boom()])

    @channel_flow
    async def produce(channel):
        raise group

    assert await error_of(produce()) is group


async def test_an_error_of_cleanup_is_noted_on_that_of_the_collector():
    boom, late = Boom("first"), Boom("late")

    @channel_flow
    async def produce(channel):
        try:
            await channel.send(1)
            await anyio.sleep_forever()
        finally:
            raise late

    def fail(item):
        raise boom

    error = await error_of(produce().on_each(fail))
    assert error is boom
    assert f"{ALSO}{late!r}" in error.__notes__


async def test_flows_that_the_function_leaves_behind_are_closed():
    events = []

    async def source():
        try:
            while True:
                yield 1
        finally:
            events.append("closed")

    @channel_flow
    async def produce(channel, numbers):
        async for n in numbers:
            await channel.send(n)
            break

    assert await produce(Flow(source)).to_list() == [1]
    assert events == ["closed"]


async def test_the_function_sees_the_context_of_the_collector():
    variable = ContextVar("variable", default="unset")

    @channel_flow
    async def produce(channel):
        await channel.send(variable.get())

    made = produce()
    variable.set("set")

    assert await made.to_list() == ["set"]


async def test_several_collections_at_once_have_a_channel_each():
    made = counting(3)

    assert sorted(await made.merge(made).to_list()) == [0, 0, 1, 1, 2, 2]
