"""Operators that keep a beginning or an end of a flow: take, drop and their kin."""

from __future__ import annotations

from collections import deque
from sys import maxsize
from typing import TYPE_CHECKING, TypeVar

from flowpy._iterating import closing
from flowpy._operator import operator

if TYPE_CHECKING:
    from flowpy._types import Callback, Items

T = TypeVar("T")


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
