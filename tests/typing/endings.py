"""Ending a flow: what awaiting an ending gives, and what a loop over a flow sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any, Generic, Literal, TypeVar, assert_type

from flowpy import Flow, run

T = TypeVar("T")


async def fetch(n: int) -> str:
    return str(n)


async def price(n: int) -> float:
    return n * 0.5


async def is_allowed(n: int) -> bool:
    return n > 0


def the_latest(numbers: Flow[int]) -> None:
    assert_type(run(numbers.collect_latest, print), None)
    assert_type(run(numbers.collect_latest, fetch), None)


def is_even(n: int) -> bool:
    return n % 2 == 0


class Fetch:
    async def __call__(self, n: int) -> str:
        return str(n)


async def collected(
    numbers: Flow[int], words: Flow[str], optional: Flow[int | None]
) -> None:
    assert_type(await numbers.collect(), None)
    assert_type(await numbers.collect(print), None)
    assert_type(await numbers.collect(fetch), None)
    assert_type(await numbers.collect(lambda n: fetch(n)), None)
    assert_type(await numbers.to_list(), list[int])
    assert_type(await optional.to_list(), list[int | None])
    assert_type(await words.to_set(), set[str])


def not_awaited(numbers: Flow[int]) -> Coroutine[Any, Any, list[int]]:
    return assert_type(numbers.to_list(), Coroutine[Any, Any, list[int]])


async def to_dict(
    numbers: Flow[int], words: Flow[str], pairs: Flow[tuple[str, float]]
) -> None:
    assert_type(await pairs.to_dict(), dict[str, float])
    assert_type(await words.enumerate().to_dict(), dict[int, str])
    assert_type(await words.zip(numbers).to_dict(), dict[str, int])
    assert_type(await numbers.to_dict(str), dict[str, int])
    assert_type(await numbers.to_dict(fetch), dict[str, int])
    assert_type(await numbers.to_dict(lambda n: str(n)), dict[str, int])
    assert_type(await numbers.to_dict(lambda n: fetch(n)), dict[str, int])
    assert_type(await numbers.to_dict(key=Fetch()), dict[str, int])
    assert_type(await words.to_dict(value=len), dict[str, int])
    assert_type(await numbers.to_dict(value=price), dict[int, float])
    assert_type(await numbers.to_dict(None, value=lambda n: n / 2), dict[int, float])
    assert_type(await numbers.to_dict(str, price), dict[str, float])
    assert_type(await numbers.to_dict(fetch, price), dict[str, float])
    assert_type(await numbers.to_dict(fetch, lambda n: n / 2), dict[str, float])
    assert_type(await numbers.to_dict(lambda n: str(n), lambda n: -n), dict[str, int])
    assert_type(
        await numbers.to_dict(lambda n: fetch(n), lambda n: price(n)), dict[str, float]
    )


async def to_groups(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(await words.to_groups(len), dict[int, list[str]])
    assert_type(await numbers.to_groups(fetch), dict[str, list[int]])
    assert_type(await numbers.to_groups(lambda n: n > 0), dict[bool, list[int]])
    assert_type(await numbers.to_groups(lambda n: fetch(n)), dict[str, list[int]])


async def one_item(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(await numbers.first(), int)
    assert_type(await numbers.first(is_even), int)
    assert_type(await numbers.first(is_allowed), int)
    assert_type(await numbers.first(lambda n: is_allowed(n)), int)
    assert_type(await numbers.first(default=0), int)
    assert_type(await numbers.first(default=None), int | None)
    assert_type(await numbers.first(lambda n: n > 3, default="none"), int | str)
    assert_type(await words.last(), str)
    assert_type(await words.last(default=None), str | None)
    assert_type(await words.single(), str)
    assert_type(await words.single(default=None), str | None)


async def append(words: list[str], n: int) -> list[str]:
    return [*words, str(n)]


async def later(a: int, b: int) -> int:
    return max(a, b)


async def folded(
    numbers: Flow[int], words: Flow[str], start: tuple[int, int], none: int | None
) -> None:
    assert_type(await numbers.fold(0, lambda total, n: total + n), int)
    assert_type(await numbers.fold("", lambda text, n: f"{text}{n}"), str)
    assert_type(await numbers.fold([""], append), list[str])
    assert_type(await numbers.fold([""], lambda texts, n: append(texts, n)), list[str])
    assert_type(
        await numbers.fold(start, lambda so_far, n: (so_far[0] + n, so_far[1] + 1)),
        tuple[int, int],
    )
    assert_type(
        await words.fold(Counter[str](), lambda counts, w: counts + Counter([w])),
        Counter[str],
    )
    assert_type(await numbers.fold(none, lambda best, n: max(best or n, n)), int | None)
    assert_type(await numbers.reduce(max), int)
    assert_type(await numbers.reduce(later), int)
    assert_type(await numbers.reduce(lambda a, b: a * b), int)
    assert_type(await numbers.reduce(lambda a, b: later(a, b)), int)
    assert_type(await words.reduce(lambda a, b: a + b), str)


async def summed(
    numbers: Flow[int],
    flags: Flow[bool],
    prices: Flow[float],
    amounts: Flow[Decimal],
    parts: Flow[Fraction],
    waits: Flow[timedelta],
) -> None:
    assert_type(await numbers.sum(), int)
    assert_type(await flags.sum(), int)
    assert_type(await numbers.sum(10), int)
    assert_type(await numbers.sum(start=0.5), int | float)
    # As of Python's `sum`, the result for no item is the integer 0.
    assert_type(await prices.sum(), float | Literal[0])
    assert_type(await amounts.sum(), Decimal | Literal[0])
    assert_type(await parts.sum(), Fraction | Literal[0])
    assert_type(await prices.sum(0.0), float)
    assert_type(await amounts.sum(Decimal(0)), Decimal)
    assert_type(await waits.sum(timedelta()), timedelta)


async def smallest_and_largest(
    numbers: Flow[int],
    words: Flow[str],
    days: Flow[date],
    pairs: Flow[tuple[str, int]],
    waves: Flow[complex],
) -> None:
    assert_type(await numbers.min(), int)
    assert_type(await words.max(), str)
    assert_type(await days.min(), date)
    assert_type(await pairs.max(), tuple[str, int])
    assert_type(await numbers.min(default=None), int | None)
    assert_type(await words.max(default=""), str)
    assert_type(await words.min(len), str)
    assert_type(await waves.max(key=abs), complex)
    assert_type(await numbers.min(fetch), int)
    assert_type(await pairs.max(lambda pair: pair[1]), tuple[str, int])
    assert_type(await numbers.min(key=lambda n: fetch(n)), int)
    assert_type(await words.max(len, None), str | None)
    assert_type(await waves.min(key=abs, default=None), complex | None)


async def told(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(await numbers.count(), int)
    assert_type(await numbers.count(is_even), int)
    assert_type(await numbers.count(is_allowed), int)
    assert_type(await numbers.any(), bool)
    assert_type(await numbers.any(lambda n: n > 3), bool)
    assert_type(await numbers.all(is_even), bool)
    assert_type(await words.all(str.isdigit), bool)
    assert_type(await numbers.none(is_allowed), bool)
    assert_type(await numbers.none(lambda n: is_allowed(n)), bool)
    assert_type(await words.join(), str)
    assert_type(await numbers.map(str).join(", "), str)


async def iterated(numbers: Flow[int], optional: Flow[str | None]) -> None:
    assert_type(
        numbers.open(), AbstractAsyncContextManager[AsyncGenerator[int, None], None]
    )
    assert_type(aiter(numbers), AsyncGenerator[int, None])
    assert_type([x async for x in numbers], list[int])
    async for x in optional:
        assert_type(x, str | None)
    async for i, x in optional.enumerate():
        assert_type((i, x), tuple[int, str | None])
    async with numbers.open() as items:
        assert_type(items, AsyncGenerator[int, None])
        assert_type(await anext(items), int)
        assert_type(await anext(items, None), int | None)
        async for n in items:
            assert_type(n, int)


def iterated_from_plain_code(numbers: Flow[int]) -> None:
    assert_type(numbers.iter_blocking(), Generator[int, None, None])
    assert_type(list(numbers.iter_blocking(backend="trio")), list[int])
    for n in numbers.iter_blocking():
        assert_type(n, int)


class Ending(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T], key: Callable[[T], str]) -> None:
        self.source = source
        self.key = key

    async def end(self) -> None:
        assert_type(await self.source.to_list(), list[T])
        assert_type(await self.source.first(default=None), T | None)
        assert_type(await self.source.to_dict(self.key), dict[str, T])
        assert_type(await self.source.max(partial(self.key)), T)


async def wrong(numbers: Flow[int], words: Flow[str]) -> list[str]:
    await words.collect(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await numbers.to_dict()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.to_dict(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await numbers.to_groups()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.first(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await numbers.first(None, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.last(is_even)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.single(None)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.fold(0, append)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await words.reduce(later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await words.count(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await numbers.sum(1, 2)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await numbers.max(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await words.any(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await words.all(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await words.none(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await numbers.join()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    await words.join(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.iter_blocking(backend="tokio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    list(numbers)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await anext(numbers)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    async with numbers:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    return await numbers.to_list()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
