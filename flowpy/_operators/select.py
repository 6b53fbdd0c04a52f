"""Operators that let some items pass: filter, distinct and their kin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._types import MISSING, Callback, Items, Missing

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")
K = TypeVar("K")


@operator
async def filter(source: Items[T], predicate: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            if await predicate(x):
                yield x


@operator
async def filter_not(source: Items[T], predicate: Callback[[T], object]) -> Items[T]:
    async with closing(source):
        async for x in source:
            if not await predicate(x):
                yield x


@operator
async def filter_not_none(source: Items[T | None]) -> Items[T]:
    async with closing(source):
        async for x in source:
            if x is not None:
                yield x


@operator
async def filter_is_instance(
    source: Items[Any], types: tuple[type[T], ...]
) -> Items[T]:
    async with closing(source):
        async for x in source:
            if isinstance(x, types):
                yield x


# A set finds an object that is the same without asking whether it equals itself; an
# item is only seen before if it is `==`, so what is found but not equal to itself (nan)
# passes in all three that follow.


@operator
async def distinct(source: Items[T]) -> Items[T]:
    seen: set[Hashable] = set()
    async with closing(source):
        async for x in source:
            if x not in seen:
                seen.add(x)
                yield x
            elif x != x:
                yield x


@operator(method="distinct")
async def distinct_by(source: Items[T], key: Callback[[T], Hashable]) -> Items[T]:
    seen: set[Hashable] = set()
    async with closing(source):
        async for x in source:
            own = await key(x)
            if own not in seen:
                seen.add(own)
                yield x
            elif own != own:
                yield x


@operator(method="distinct")
async def distinct_recent(
    source: Items[T], key: Callback[[T], Hashable], max_size: int
) -> Items[T]:
    recent: dict[Hashable, None] = {}  # least recently seen first
    async with closing(source):
        async for x in source:
            own = await key(x)
            known = own in recent and own == own
            recent.pop(own, None)
            recent[own] = None
            if len(recent) > max_size:
                del recent[next(iter(recent))]
            if not known:
                yield x


@operator
async def distinct_until_changed(source: Items[T]) -> Items[T]:
    last: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if last is MISSING or last != x:
                last = x
                yield x


@operator(method="distinct_until_changed")
async def distinct_until_changed_by(
    source: Items[T], key: Callback[[T], K], equal: Callback[[K, K], object]
) -> Items[T]:
    last: K | Missing = MISSING
    same: object = False
    async with closing(source):
        async for x in source:
            own = await key(x)
            if last is not MISSING:
                same = await equal(last, own)
            if not same:
                last = own
                yield x
