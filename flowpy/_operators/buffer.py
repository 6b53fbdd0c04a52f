"""Operators that let upstream run ahead: buffer and conflate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from flowpy._crew import Channel, Crew
from flowpy._errors import BufferOverflowError
from flowpy._iterating import SLICE, closing
from flowpy._operator import operator

if TYPE_CHECKING:
    from flowpy._types import Items

T = TypeVar("T")

Overflow: TypeAlias = Literal["suspend", "drop_oldest", "drop_latest", "error"]
"""What happens to an item that comes for a full buffer."""


@operator(
    seam="runs upstream in a task of its own",
    holds="at most {capacity} items wait",
    keeps_count=True,
)
async def buffer(source: Items[T], capacity: int) -> Items[T]:
    async with Crew("buffer") as crew:
        channel: Channel[T] = crew.channel(capacity + 1)
        crew.pump(source, channel)
        items, parked = channel.items, channel.parked
        while items or await channel.more():
            x = items.popleft()
            if parked:
                channel.release()
            yield x


@operator(
    method="buffer",
    seam="runs upstream in a task of its own",
    holds="at most {capacity} items wait",
)
async def buffer_or_drop(
    source: Items[T], capacity: int, on_overflow: Overflow
) -> Items[T]:
    async with Crew("buffer") as crew:
        channel: Channel[T] = crew.channel(capacity)
        crew.spawn(never_waiting, source, channel, on_overflow, feeds=channel)
        items = channel.items
        while items or await channel.more():
            yield items.popleft()


@operator(seam="runs upstream in a task of its own", holds="at most 1 item waits")
async def conflate(source: Items[T]) -> Items[T]:
    async with Crew("conflate") as crew:
        channel: Channel[T] = crew.channel(1)
        crew.spawn(never_waiting, source, channel, "drop_oldest", feeds=channel)
        items = channel.items
        while items or await channel.more():
            yield items.popleft()


async def never_waiting(
    source: Items[T], channel: Channel[T], on_overflow: Overflow
) -> None:
    """Put the items of a source in a channel, and never wait for room."""
    dropped = 0
    items = channel.items
    async with closing(source):
        if channel.over():
            return
        async for x in source:
            if channel.offer(x):
                continue
            if channel.over():
                return
            if on_overflow == "error":
                message = (
                    f"buffer: an item came while {len(items)} others waited; let it be "
                    "larger, or give it another on_overflow"
                )
                raise BufferOverflowError(message)
            if on_overflow == "drop_oldest":
                items.popleft()
                items.append(x)
            dropped += 1
            if dropped % SLICE == 0:
                # A source that never waits would keep even its reader from running.
                await channel.crew.scheduler.checkpoint()
