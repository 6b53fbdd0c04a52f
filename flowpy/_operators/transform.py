"""Operators that make other items of the items: map, flat_map, scan and their kin."""

from __future__ import annotations

from sys import maxsize
from typing import Any, TypeVar

from flowpy._crew import Crew
from flowpy._iterating import (
    COLLECTIONS,
    Turns,
    check_inner,
    closing,
    is_async_iterable,
)
from flowpy._operator import operator
from flowpy._types import MISSING, SKIP, Callback, FlowLike, Items, Missing, Skip
from flowpy._workers import Calls, Flows, OrderedCalls

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")


@operator(keeps_count=True)
async def map(source: Items[T], fn: Callback[[T], U]) -> Items[U]:
    async with closing(source):
        async for x in source:
            yield await fn(x)


@operator(method="map")
async def map_or_else(
    source: Items[T],
    fn: Callback[[T], U],
    on_error: Callback[[Exception, T], V | Skip],
) -> Items[U | V]:
    async with closing(source):
        async for x in source:
            y: U | V | Skip
            try:
                y = await fn(x)
            except Exception as error:  # noqa: BLE001 - the user handles it
                y = await on_error(error, x)
            if y is not SKIP:
                yield y


@operator(
    method="map",
    seam="makes calls in tasks of its own",
    holds="at most twice {concurrency} items are pulled and not yet passed on",
    keeps_count=True,
)
def map_concurrent(
    source: Items[T], fn: Callback[[T], U], concurrency: int, ordered: bool
) -> Items[U]:
    return results(source, fn, concurrency, ordered, MISSING)


@operator(
    method="map",
    seam="makes calls in tasks of its own",
    holds="at most twice {concurrency} items are pulled and not yet passed on",
)
def map_concurrent_or_else(
    source: Items[T],
    fn: Callback[[T], U],
    on_error: Callback[[Exception, T], V | Skip],
    concurrency: int,
    ordered: bool,
) -> Items[U | V]:
    async def call(x: T) -> U | V | Skip:
        try:
            return await fn(x)
        except Exception as error:  # noqa: BLE001 - the user handles it
            return await on_error(error, x)

    made: Items[Any] = results(source, call, concurrency, ordered, SKIP)
    return made


async def results(
    source: Items[T],
    fn: Callback[[T], U],
    concurrency: int,
    ordered: bool,
    dropped: object,
) -> Items[U]:
    """Give what concurrent calls return, but for `dropped`."""
    async with Crew("map") as crew:
        if ordered:
            calls = OrderedCalls(crew, concurrency, fn)
            calls.start(source)
            line, waiting = calls.in_order, calls.parked
            while (line and line[0]) or await calls.more():
                [y] = line.popleft()
                calls.pending -= 1
                if waiting:
                    calls.release()
                if y is not dropped:
                    yield y
        else:
            pool = Calls(crew, concurrency, fn)
            pool.start(source)
            done, parked = pool.done, pool.parked
            while done or await pool.more():
                y = done.popleft()
                pool.pending -= 1
                if parked:
                    pool.release()
                if y is not dropped:
                    yield y


@operator
async def map_not_none(source: Items[T], fn: Callback[[T], U | None]) -> Items[U]:
    async with closing(source):
        async for x in source:
            y = await fn(x)
            if y is not None:
                yield y


@operator
async def flat_map(  # noqa: C901 - one loop for each kind of what `fn` gives
    source: Items[T], fn: Callback[[T], FlowLike[U]]
) -> Items[U]:
    turns: Turns[Any] = Turns(())
    room = 0
    async with closing(source):
        async for x in source:
            inner: Any = await fn(x)
            try:
                count = len(inner) if type(inner) in COLLECTIONS else maxsize
            except OverflowError:  # a long range
                count = maxsize
            room -= count
            if room < 0 and count <= turns.size:
                if turns.over():
                    await turns.let_others_run()
                room = turns.size - count
            if room >= 0:
                # At the pace of the last one in slices, this one fits into one slice:
                # what closing, slicing and the clock cost is spared.
                for y in inner:
                    yield y
            elif is_async_iterable(inner):
                async with closing(aiter(inner)) as items:
                    async for y in items:
                        yield y
            else:
                with Turns(check_inner(inner)) as turns:
                    for part in turns:
                        for y in part:
                            yield y
                        if turns.over():
                            await turns.let_others_run()


@operator(
    method="flat_map",
    seam="reads inner flows in tasks of its own",
    holds="at most 16 items of each of {concurrency} wait",
)
async def flat_map_concurrent(
    source: Items[T], fn: Callback[[T], FlowLike[U]], concurrency: int
) -> Items[U]:
    async with Crew("flat_map") as crew:
        flows = Flows(crew, concurrency, fn)
        flows.start(source)
        line = flows.queue
        turns = line.turns
        while turns or await line.more():
            yield turns.popleft().take()


flatten = operator(method="flatten")(flat_map.run)
flatten_concurrent = operator(
    method="flatten",
    seam=flat_map_concurrent.seam,
    holds=flat_map_concurrent.holds,
)(flat_map_concurrent.run)
"""They get the function that gives back its argument."""


@operator(keeps_count=True)
async def enumerate(source: Items[T], start: int) -> Items[tuple[int, T]]:
    async with closing(source):
        async for x in source:
            yield start, x
            start += 1


@operator
async def pairwise(source: Items[T]) -> Items[tuple[T, T]]:
    last: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if last is not MISSING:
                yield last, x
            last = x


@operator
async def scan(source: Items[T], initial: U, fn: Callback[[U, T], U]) -> Items[U]:
    total = initial
    yield total
    async with closing(source):
        async for x in source:
            total = await fn(total, x)
            yield total


@operator(keeps_count=True)
async def running_reduce(source: Items[T], fn: Callback[[T, T], T]) -> Items[T]:
    total: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if total is MISSING:
                total = x
            else:
                total = await fn(total, x)
            yield total


@operator(keeps_count=True)
async def on_each(source: Items[T], fn: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            await fn(x)
            yield x
