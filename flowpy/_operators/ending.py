"""What awaitable endings do with the items: one loop each, and a result.

They keep the form of an operator, so that a chain and its ending can become one
function; that is why they stand here and not in `_terminals`, which documents them.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

from flowpy._crew import Channel, Crew
from flowpy._errors import FlowEmptyError
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._operators.latest import switch
from flowpy._types import MISSING, Callback, Items, Missing
from flowpy._workers import called

T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@operator
async def collect(source: Items[object]) -> None:
    async with closing(source):
        async for _ in source:
            pass


@operator(method="collect")
async def collect_with(source: Items[T], fn: Callback[[T], object]) -> None:
    async with closing(source):
        async for x in source:
            await fn(x)


@operator(seam="makes each call in a task of its own")
async def collect_latest(source: Items[T], fn: Callback[[T], object]) -> None:
    async with Crew("collect_latest") as crew:
        channel: Channel[None] = crew.channel(1)

        async def run(x: T) -> None:
            await called(crew, fn, x)

        crew.spawn(switch, source, crew, run, channel, feeds=channel)
        await channel.more()


@operator
async def to_list(source: Items[T]) -> list[T]:
    items: list[T] = []
    async with closing(source):
        async for x in source:
            items.append(x)
    return items


@operator
async def to_set(source: Items[T]) -> set[T]:
    items: set[T] = set()
    async with closing(source):
        async for x in source:
            items.add(x)
    return items


@operator
async def to_dict(source: Items[tuple[K, V]]) -> dict[K, V]:
    result: dict[K, V] = {}
    async with closing(source):
        async for x in source:
            own, y = x
            result[own] = y
    return result


@operator(method="to_dict")
async def to_dict_by(
    source: Items[T], key: Callback[[T], K], value: Callback[[T], V]
) -> dict[K, V]:
    result: dict[K, V] = {}
    async with closing(source):
        async for x in source:
            own = await key(x)
            y = await value(x)
            result[own] = y
    return result


@operator
async def to_groups(source: Items[T], key: Callback[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    async with closing(source):
        async for x in source:
            own = await key(x)
            if own in groups:
                groups[own].append(x)
            else:
                groups[own] = [x]
    return groups


@operator
async def first(source: Items[T], default: U | Missing) -> T | U:
    async with closing(source):
        async for x in source:
            return x
    return check_default("first", default)


@operator(method="first")
async def first_where(
    source: Items[T], predicate: Callback[[T], object], default: U | Missing
) -> T | U:
    async with closing(source):
        async for x in source:
            if await predicate(x):
                return x
    return check_default("first", default)


@operator
async def last(source: Items[T], default: U | Missing) -> T | U:
    found: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            found = x
    return check_default("last", default) if found is MISSING else found


@operator
async def single(source: Items[T], default: U | Missing) -> T | U:
    found: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if found is not MISSING:
                message = f"single: the flow has a second item, {x!r}"
                raise ValueError(message)
            found = x
    return check_default("single", default) if found is MISSING else found


@operator
async def fold(source: Items[T], initial: U, fn: Callback[[U, T], U]) -> U:
    async with closing(source):
        async for x in source:
            initial = await fn(initial, x)
    return initial


@operator
async def reduce(source: Items[T], fn: Callback[[T, T], T]) -> T:
    total: T | Missing = MISSING
    async with closing(source):
        async for x in source:
            if total is MISSING:
                total = x
            else:
                total = await fn(total, x)
    return check_default("reduce", MISSING) if total is MISSING else total


@operator
async def count(source: Items[object]) -> int:
    number = 0
    async with closing(source):
        async for _ in source:
            number += 1
    return number


@operator(method="count")
async def count_where(source: Items[T], predicate: Callback[[T], object]) -> int:
    number = 0
    async with closing(source):
        async for x in source:
            if await predicate(x):
                number += 1
    return number


@operator
async def sum(source: Items[Any], start: Any) -> Any:
    async with closing(source):
        async for x in source:
            start = start + x  # not +=, which would change a list the caller passed
    return start


@operator
async def min(source: Items[T], key: Callback[[T], Any], default: U | Missing) -> T | U:
    best: T | Missing = MISSING
    lowest: Any = None
    async with closing(source):
        async for x in source:
            own = await key(x)
            if best is MISSING or own < lowest:
                best, lowest = x, own
    return check_default("min", default) if best is MISSING else best


@operator
async def max(source: Items[T], key: Callback[[T], Any], default: U | Missing) -> T | U:
    best: T | Missing = MISSING
    highest: Any = None
    async with closing(source):
        async for x in source:
            own = await key(x)
            if best is MISSING or own > highest:
                best, highest = x, own
    return check_default("max", default) if best is MISSING else best


@operator
async def any(source: Items[T], predicate: Callback[[T], object]) -> bool:
    async with closing(source):
        async for x in source:
            if await predicate(x):
                return True
    return False


@operator
async def all(source: Items[T], predicate: Callback[[T], object]) -> bool:
    async with closing(source):
        async for x in source:
            if not await predicate(x):
                return False
    return True


@operator
async def none(source: Items[T], predicate: Callback[[T], object]) -> bool:
    async with closing(source):
        async for x in source:
            if await predicate(x):
                return False
    return True


@operator
async def join(source: Items[str], separator: str) -> str:
    parts: list[str] = []
    async with closing(source):
        async for x in source:
            parts.append(x)
    return separator.join(parts)


def check_default(name: str, default: U | Missing) -> U:
    """Return `default`, the result of an ending that found no item."""
    if default is MISSING:
        message = f"{name}: the flow gave no item that counts, and there is no default"
        raise FlowEmptyError(message)
    return default
