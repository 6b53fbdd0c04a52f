"""Operators that make other items of the items: map, flat_map, scan and their kin."""

from __future__ import annotations

from sys import maxsize
from typing import Any, TypeVar

from flowpy._iterating import (
    COLLECTIONS,
    Turns,
    check_inner,
    closing,
    is_async_iterable,
)
from flowpy._operator import operator
from flowpy._types import MISSING, SKIP, Callback, FlowLike, Items, Missing, Skip

T = TypeVar("T")
U = TypeVar("U")
V = TypeVar("V")


@operator
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


flatten = operator(method="flatten")(flat_map.run)
"""It gets the function that gives back its argument."""


@operator
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


@operator
async def running_reduce(source: Items[T], fn: Callback[[T, T], T]) -> Items[T]:
    total: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if total is MISSING:
                total = x
            else:
                total = await fn(total, x)
            yield total


@operator
async def on_each(source: Items[T], fn: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            await fn(x)
            yield x
