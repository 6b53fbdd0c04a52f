"""@channel_flow fed by threads and by callbacks of the event loop, in real time."""

from __future__ import annotations

import asyncio
from threading import Thread

import anyio
import pytest

from flowpy import FlowClosedError, _channel, channel_flow, run


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_feeds_a_flow_and_waits_where_it_is_full(backend):
    ahead = []

    @channel_flow(capacity=3)
    async def produce(channel):
        def work():
            for n in range(100):
                channel.send_from_thread(n)
                ahead.append(n)

        await anyio.to_thread.run_sync(work)

    async def main():
        async with produce().open() as items:
            first = await anext(items)
            while len(ahead) < 4:
                await anyio.sleep(0.001)
            await anyio.sleep(0.02)
            before = len(ahead)
            return first, before, [x async for x in items]

    assert run(main, backend=backend) == (0, 4, list(range(1, 100)))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_is_told_when_the_flow_has_ended(backend):
    errors = []

    @channel_flow(capacity=1)
    async def produce(channel):
        def work():
            try:
                while True:
                    channel.send_from_thread("item")
            except FlowClosedError as error:
                errors.append(error)
            try:
                channel.send_from_thread("again")
            except FlowClosedError as error:
                errors.append(error)

        thread = Thread(target=work)
        thread.start()
        await channel.wait_closed()
        await anyio.to_thread.run_sync(thread.join)

    assert run(produce().take(2).to_list, backend=backend) == ["item", "item"]
    assert len(errors) == 2


async def waits_for_room(channel):
    """Return once a thread stands before the full channel."""
    while not channel._waiting:
        await anyio.sleep(0.001)


@pytest.mark.parametrize("how", ["close", "stop"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_waits_for_room_is_told_at_once(backend, how, monkeypatch):
    monkeypatch.setattr(_channel, "LOOK", 1000)
    channels, errors = [], []

    @channel_flow(capacity=1)
    async def produce(channel):
        channels.append(channel)

        def work():
            try:
                for n in range(9):
                    channel.send_from_thread(n)
            except FlowClosedError as error:
                errors.append(error)

        thread = Thread(target=work)
        thread.start()
        await channel.wait_closed()
        await anyio.to_thread.run_sync(thread.join)

    async def main():
        async with produce().open() as items:
            first = await anext(items)
            await waits_for_room(channels[0])
            if how == "stop":
                return [first]
            channels[0].close()
            return [first, *[x async for x in items]]

    assert run(main, backend=backend) == ([0] if how == "stop" else [0, 1])
    assert len(errors) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_waits_long_goes_on_when_there_is_room(backend, monkeypatch):
    monkeypatch.setattr(_channel, "LOOK", 0.001)

    @channel_flow(capacity=1)
    async def produce(channel):
        def work():
            for n in range(4):
                channel.send_from_thread(n)

        await anyio.to_thread.run_sync(work)

    async def main():
        seen = []
        async for item in produce():
            seen.append(item)
            await anyio.sleep(0.01)
        return seen

    assert run(main, backend=backend) == [0, 1, 2, 3]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_may_close_a_flow_and_send_when_its_loop_is_gone(backend):
    channels = []

    @channel_flow
    async def produce(channel):
        channels.append(channel)
        thread = Thread(target=channel.close)
        thread.start()
        await channel.wait_closed()
        thread.join()

    assert run(produce().to_list, backend=backend) == []
    errors = []

    def late():
        channels[0].close()
        try:
            channels[0].send_from_thread(1)
        except FlowClosedError as error:
            errors.append(error)

    thread = Thread(target=late)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_a_thread_does_not_wait_for_a_loop_that_drops_its_calls(monkeypatch):
    monkeypatch.setattr(_channel, "LOOK", 0.01)
    channels = []

    @channel_flow
    async def produce(channel):
        channels.append(channel)

    run(produce().to_list)
    (channel,) = channels
    channel._call = lambda fn: None  # the loop takes it, and stops before its turn
    errors = []

    def late():
        try:
            channel.send_from_thread(1)
        except FlowClosedError as error:
            errors.append(error)

    thread = Thread(target=late)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_it_can_be_fed_by_callbacks_of_the_loop():
    @channel_flow
    async def produce(channel):
        loop = asyncio.get_running_loop()
        for n in range(3):
            loop.call_later(n / 1000, channel.try_send, n)
        loop.call_later(0.004, channel.close)
        await channel.wait_closed()

    assert run(produce().to_list) == [0, 1, 2]
