"""Operators that keep a beginning or an end of a flow: take, drop and their kin."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from inspect import isawaitable
from sys import maxsize
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from flowpy._crew import Channel, Crew
from flowpy._iterating import closing, is_async_iterable
from flowpy._operator import operator

if TYPE_CHECKING:
    from flowpy._types import Callback, Items

T = TypeVar("T")

Signal: TypeAlias = AsyncIterable[object] | Callable[[], Awaitable[object]]
"""What `take_until` and `drop_until` wait for."""


@operator
async def take(source: Items[T], n: int) -> Items[T]:
    if n > 0:
        async with closing(source):
            async for x in source:
                yield x
                n -= 1
                if n == 0:
                    break


@operator
async def take_last(source: Items[T], n: int) -> Items[T]:
    if n > 0:
        last: deque[T] = deque(maxlen=min(n, maxsize))
        async with closing(source):
            async for x in source:
                last.append(x)
        while last:
            yield last.popleft()


@operator
async def drop(source: Items[T], n: int) -> Items[T]:
    async with closing(source):
        async for x in source:
            if n > 0:
                n -= 1
            else:
                yield x


@operator
async def drop_last(source: Items[T], n: int) -> Items[T]:
    held: deque[T] = deque()
    async with closing(source):
        async for x in source:
            held.append(x)
            if len(held) > n:
                yield held.popleft()


@operator
async def take_while(source: Items[T], predicate: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            if await predicate(x):
                yield x
            else:
                break


@operator(method="take_while", inclusive=True)
async def take_through(source: Items[T], predicate: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            going_on = await predicate(x)
            yield x
            if not going_on:
                break


@operator
async def drop_while(source: Items[T], predicate: Callback[[T], object]) -> Items[T]:
    dropping = True
    async with closing(source):
        async for x in source:
            if dropping:
                dropping = bool(await predicate(x))
            if not dropping:
                yield x


@operator(
    seam="runs both flows in tasks of their own", holds="at most 1 item of each waits"
)
async def take_until(source: Items[T], other: Signal) -> Items[T]:
    async with Crew("take_until") as crew:
        side: Channel[T] = crew.channel(1)
        # What comes after it is closed is not let in; what came before is passed on.
        crew.spawn(watch, other, side.close)
        await crew.scheduler.checkpoint()  # if it emits at once, that comes first
        crew.pump(source, side)
        while True:
            await crew.until(lambda: side.items or side.ended or not side.ahead)
            if not side.items:
                break
            yield side.lend()
            side.take()
        crew.check()


@operator(
    seam="runs both flows in tasks of their own", holds="at most 1 item of each waits"
)
async def drop_until(source: Items[T], other: Signal) -> Items[T]:
    dropping = True
    early = False

    def emit() -> None:
        nonlocal dropping, early
        dropping, early = False, bool(side.items)

    async with Crew("drop_until") as crew:
        side: Channel[T] = crew.channel(1)
        crew.spawn(watch, other, emit)
        await crew.scheduler.checkpoint()  # if it emits at once, that comes first
        crew.pump(source, side)
        while await side.more():
            if not (dropping or early):
                yield side.lend()
            early = False
            side.take()


async def watch(other: Signal, emit: Callable[[], object]) -> None:
    """Wait for the first item of a flow, or for an async function to return."""
    result: object = other() if callable(other) else other
    if is_async_iterable(result):
        async with closing(aiter(result)) as items:
            async for _ in items:
                emit()  # not only once they are closed
                break
    elif isawaitable(result):
        await result
        emit()
    else:
        message = f"other must be a flow or an async function; it returned {result!r}"
        raise TypeError(message)
