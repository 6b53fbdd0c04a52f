"""Operators over several flows: concat, merge, zip and their kin.

The other flows come as async iterables that can be collected again.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from flowpy._crew import Crew, Line
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._types import MISSING, Items

T = TypeVar("T")
U = TypeVar("U")

Others = tuple[AsyncIterable[T], ...]

AHEAD = 16
"""Items that each of several flows may be ahead: enough to make switches rare."""


@operator
async def concat(source: Items[T], others: Others[U]) -> Items[T | U]:
    async with closing(source):
        async for x in source:
            yield x
    for other in others:
        async with closing(aiter(other)) as items:
            async for y in items:
                yield y


@operator
async def start_with(source: Items[T], items: tuple[U, ...]) -> Items[T | U]:
    for y in items:
        yield y
    async with closing(source):
        async for x in source:
            yield x


@operator
async def end_with(source: Items[T], items: tuple[U, ...]) -> Items[T | U]:
    async with closing(source):
        async for x in source:
            yield x
    for y in items:
        yield y


@operator(
    seam="runs each flow in a task of its own", holds="at most 16 items of each wait"
)
async def merge(source: Items[T], others: Others[U]) -> Items[T | U]:
    async with Crew("merge") as crew:
        line: Line[T | U] = crew.line()
        sources: list[AsyncIterator[T | U]] = [source, *map(aiter, others)]
        for items in sources:
            crew.pump(items, line.channel(AHEAD))
        turns = line.turns
        while turns or await line.more():
            channel = turns.popleft()
            x = channel.items.popleft()
            if channel.parked:
                channel.release()
            yield x


@operator(seam="pulls its flows in turn")
async def interleave(source: Items[T], others: Others[U]) -> Items[T | U]:
    async with AsyncExitStack() as stack:
        sides: list[AsyncIterator[T | U]] = [source, *map(aiter, others)]
        for side in sides:
            await stack.enter_async_context(closing(side))
        while sides:
            for side in tuple(sides):
                x = await anext(side, MISSING)
                if x is MISSING:
                    sides.remove(side)
                else:
                    yield x


@operator(seam="closes its flows in the reverse order of opening")
async def zip(
    source: Items[T],
    others: Others[Any],
    strict: bool,
) -> Items[tuple[Any, ...]]:
    short = 0
    # In that order, since a task group around the yield of a source demands it.
    async with closing(source), AsyncExitStack() as stack:
        sides = [await stack.enter_async_context(closing(aiter(o))) for o in others]
        async for x in source:
            row: list[Any] = [x]
            for side in sides:
                y = await anext(side, MISSING)
                if y is MISSING:
                    break
                row.append(y)
            if len(row) <= len(sides):
                short = len(row)
                break
            yield tuple(row)
        if strict:
            await check_lengths(short, sides)


async def check_lengths(short: int, sides: list[AsyncIterator[Any]]) -> None:
    """Raise if one flow of a strict zip is longer than another.

    Flow `short`, counted from 0, ended after those before it had given an item; if it
    is 0, no other may give one.
    """
    if short:
        message = f"zip: flow {short} is shorter than the flows before it"
        raise ValueError(message)
    for number, side in enumerate(sides, 1):
        if await anext(side, MISSING) is not MISSING:
            message = f"zip: flow {number} is longer than the flows before it"
            raise ValueError(message)
