"""Operators that let one call or inner flow run at a time: map_latest and its kin.

It runs in a task of its own, the source in another: so a new item can end the one
before, or be dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flowpy._crew import Channel, Child, Crew, Gone
from flowpy._iterating import SLICE, closing
from flowpy._operator import operator
from flowpy._workers import AHEAD, called, inner_flow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flowpy._types import Callback, FlowLike, Items

T = TypeVar("T")
U = TypeVar("U")

WAITING = 64
"""Items that may wait for a slow reader: what was emitted is delivered."""


@operator(seam="makes each call in a task of its own", holds="at most 64 results wait")
async def map_latest(source: Items[T], fn: Callback[[T], U]) -> Items[U]:
    async with Crew("map_latest") as crew:
        channel: Channel[U] = crew.channel(WAITING)

        async def run(x: T) -> None:
            await add(channel, await called(crew, fn, x))

        crew.spawn(switch, source, crew, run, channel, feeds=channel)
        while channel.items or await channel.more():
            yield channel.take()


@operator(
    seam="reads each inner flow in a task of its own", holds="at most 64 items wait"
)
async def flat_map_latest(source: Items[T], fn: Callback[[T], FlowLike[U]]) -> Items[U]:
    async with Crew("flat_map_latest") as crew:
        channel: Channel[U] = crew.channel(WAITING)

        async def run(x: T) -> None:
            await read(crew, fn, x, channel)

        crew.spawn(switch, source, crew, run, channel, feeds=channel)
        while channel.items or await channel.more():
            yield channel.take()


@operator(
    seam="reads each inner flow in a task of its own", holds="at most 16 items wait"
)
async def flat_map_first(source: Items[T], fn: Callback[[T], FlowLike[U]]) -> Items[U]:
    async with Crew("flat_map_first") as crew:
        channel: Channel[U] = crew.channel(AHEAD)

        async def run(x: T) -> None:
            await read(crew, fn, x, channel)

        crew.spawn(exhaust, source, crew, run, channel, feeds=channel)
        while channel.items or await channel.more():
            yield channel.take()


async def switch(
    source: AsyncIterator[T],
    crew: Crew,
    run: Callback[[T], None],
    channel: Channel[U],
) -> None:
    """Run a child for each item, when the one before was cancelled and has ended."""
    running: Child | None = None
    async with closing(source):
        if channel.over():
            return  # before the first step
        async for x in source:
            if running is not None:
                await crew.stop(running)
            if channel.over():
                return
            running = crew.spawn(run, x, feeds=channel)


async def exhaust(
    source: AsyncIterator[T],
    crew: Crew,
    run: Callback[[T], None],
    channel: Channel[U],
) -> None:
    """Run a child for an item; drop those that come before it has ended."""
    running: Child | None = None
    begun = False
    waiting = crew.scheduler.gate()
    dropped = 0

    async def begin(x: T) -> None:
        nonlocal begun
        begun = True
        waiting.wake()
        await run(x)

    async with closing(source):
        if channel.over():
            return  # before the first step
        async for x in source:
            if channel.over():
                return
            if running is None or running.ended:
                begun = False
                running = crew.spawn(begin, x, feeds=channel)
                # Until it waits for something: one that never does ends before the next
                # item is pulled, so a source that never waits either loses none.
                while not begun and not running.ended:
                    await waiting.park()
                continue
            dropped += 1
            if dropped % SLICE == 0:
                # A source that never waits would keep even that child from running.
                await crew.scheduler.checkpoint()


async def read(
    crew: Crew, fn: Callback[[T], FlowLike[U]], item: T, channel: Channel[U]
) -> None:
    """Put the items of an inner flow in a channel, each when there is room."""
    async with closing(await inner_flow(crew, fn, item)) as inner:
        async for y in inner:
            await add(channel, y)


async def add(channel: Channel[U], item: U) -> None:
    """Put an item in a channel when there is room.

    `Channel.put` waits afterwards: each child that is cancelled there would leave an
    item more than fit in. Raises `Gone` if nobody wants items any more.
    """
    if len(channel.items) >= channel.ahead and not await channel.room():
        raise Gone
    channel.items.append(item)
    channel.arrival.wake()
