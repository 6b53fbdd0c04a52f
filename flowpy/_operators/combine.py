"""Operators over several flows: concat, merge, zip and their kin.

The other flows come as async iterables that can be collected again.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar

from flowpy._crew import Crew, Line, pump
from flowpy._iterating import SLICE, closing
from flowpy._operator import operator
from flowpy._types import MISSING, Items

if TYPE_CHECKING:
    from collections.abc import Collection

    from flowpy._crew import Channel, Child

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
        sources: list[AsyncIterable[T | U]] = [source, *others]
        for items in sources:
            crew.pump(items, line.channel(AHEAD))
        turns = line.turns
        while turns or await line.more():
            channel = turns.popleft()
            x = channel.items.popleft()
            if channel.parked:
                channel.release()
            yield x


@operator(
    seam="pulls its flows in turn, each in a task of its own",
    holds="at most 1 item of each waits",
)
async def interleave(source: Items[T], others: Others[U]) -> Items[T | U]:
    async with Crew("interleave") as crew:
        sides: list[Channel[T | U]] = []
        sources: list[AsyncIterable[T | U]] = [source, *others]
        for items in sources:
            side = crew.one_by_one(items)
            if await side.more():
                yield side.lend()
                sides.append(side)
        while sides:
            for side in tuple(sides):
                side.take()
                if await side.more():
                    yield side.lend()
                else:
                    sides.remove(side)


@operator(
    seam="pulls its flows together, each in a task of its own",
    holds="at most 1 item of each waits",
)
async def zip(
    source: Items[T],
    others: Others[Any],
    strict: bool,
) -> Items[tuple[Any, ...]]:
    row_is_there = each_or_none_has_one if strict else each_has_one
    async with Crew("zip") as crew:
        sides = [crew.one_by_one(items) for items in [source, *others]]
        while await row_is_there(crew, sides):
            yield tuple([side.lend() for side in sides])
            for side in sides:
                side.take()


async def each_has_one(crew: Crew, sides: list[Channel[Any]]) -> bool:
    """Wait until each side has given an item; False as soon as one has ended."""
    while missing := [side for side in sides if not side.items]:
        crew.check()
        if any(side.ended for side in missing):
            return False
        await crew.arrival.park()
    return True


async def each_or_none_has_one(crew: Crew, sides: list[Channel[Any]]) -> bool:
    """Wait until each side has given an item or ended; raise if some did the other.

    They are compared in their order, so that it is the same one that is named,
    whichever was faster.
    """
    first = sides[0]
    for number, side in enumerate(sides):
        while not side.items:
            crew.check()
            if side.ended:
                break
            await crew.arrival.park()
        if bool(side.items) != bool(first.items):
            other = "longer" if side.items else "shorter"
            message = f"zip: flow {number} is {other} than the flows before it"
            raise ValueError(message)
    return bool(first.items)


@operator(
    seam="runs each flow in a task of its own", holds="at most 16 items of each wait"
)
async def combine(source: Items[T], others: Others[Any]) -> Items[tuple[Any, ...]]:
    async with Crew("combine") as crew:
        line: Line[Any] = crew.line()
        sources: list[AsyncIterable[Any]] = [source, *others]
        for items in sources:
            crew.pump(items, line.channel(AHEAD))
        latest: list[Any] = [MISSING] * len(sources)
        silent = len(sources)
        turns = line.turns
        while turns or await line.more():
            channel = turns.popleft()
            k = channel.index
            silent -= latest[k] is MISSING
            latest[k] = channel.take()
            if not silent:
                yield tuple(latest)


@operator(
    seam="runs each flow in a task of its own", holds="the newest item of each waits"
)
async def with_latest_from(
    source: Items[T], others: Others[Any]
) -> Items[tuple[Any, ...]]:
    async with Crew("with_latest_from") as crew:
        latest: list[Any] = [MISSING] * len(others)
        for k, other in enumerate(others):
            crew.spawn(keep_newest, aiter(other), latest, k, crew)
        await crew.scheduler.checkpoint()  # what is there at once comes first
        side = crew.one_by_one(source)
        while await side.more():
            x = side.lend()
            if not any(y is MISSING for y in latest):
                yield (x, *latest)
            del x  # not held while the next one is awaited
            side.take()


async def keep_newest(
    source: AsyncIterator[T], latest: list[T], k: int, crew: Crew
) -> None:
    """Iterate and close a source, and keep its newest item in `latest[k]`."""
    came = 0
    async with closing(source):
        async for x in source:
            latest[k] = x
            came += 1
            if came % SLICE == 0:
                # A source that never waits would keep even the reader from running.
                await crew.scheduler.checkpoint()


@operator(
    seam="runs each flow in a task of its own", holds="at most 1 item of each waits"
)
async def race(source: Items[T], others: Others[U]) -> Items[T | U]:
    failed: dict[Channel[T | U], Exception] = {}
    winner: Channel[T | U] | None = None

    async def run(items: AsyncIterable[T | U], side: Channel[T | U]) -> None:
        try:
            await pump(items, side)
        except Exception as error:
            if winner is not None or not side.ahead:
                raise
            failed[side] = error

    async with Crew("race") as crew:
        runners: dict[Channel[T | U], Child] = {}
        for items in [source, *others]:
            side: Channel[T | U] = crew.channel(1)
            runners[side] = crew.spawn(run, items, side, feeds=side)
        winner = await first_to_emit(crew, runners, failed)
        failed.clear()  # or an error and the frames it passed hold each other
        if winner is None:
            return
        losers = [side for side in runners if side is not winner]
        for side in losers:
            side.close()
        await crew.stop(*[runners.pop(side) for side in losers])
        crew.check()  # what their cleanup raised
        while await winner.more():
            yield winner.lend()
            winner.take()


async def first_to_emit(
    crew: Crew,
    sides: Collection[Channel[T]],
    failed: dict[Channel[T], Exception],
) -> Channel[T] | None:
    """Return the first side to emit; None when all have ended without an item.

    Raises what a side failed with before. Of what happens at one and the same instant
    that counts which is of the first of them in their order.
    """
    while True:
        for side in sides:
            if side.items:
                return side
            if side in failed:
                crew.fail(failed.pop(side))
                for error in failed.values():
                    crew.fail(error)
                failed.clear()
                crew.check()
        crew.check()
        if all(side.ended for side in sides):
            return None
        await crew.arrival.park()
