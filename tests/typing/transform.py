"""Transform: what a function makes of each item."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from functools import partial
from operator import add
from pathlib import Path
from typing import Generic, TypeVar, assert_type

import anyio

from flowpy import SKIP, Flow

T = TypeVar("T")


def text(n: int) -> str:
    return str(n)


async def fetch(n: int) -> str:
    return str(n)


def scaled(by: float, n: int) -> float:
    return n * by


async def fetch_scaled(by: float, n: int) -> float:
    return n * by


class Text:
    def __call__(self, n: int) -> str:
        return str(n)


class Fetch:
    async def __call__(self, n: int) -> str:
        return str(n)


class Client:
    async def get(self, n: int) -> bytes:
        return b""


def text_or_number(n: int) -> str | float:
    return n * 0.5


def map_takes_every_callback(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.map(text), Flow[str])
    assert_type(numbers.map(fetch), Flow[str])
    assert_type(numbers.map(lambda n: n + 1), Flow[int])
    assert_type(numbers.map(lambda n: fetch(n)), Flow[str])
    assert_type(numbers.map(partial(scaled, 2.0)), Flow[float])
    assert_type(numbers.map(partial(fetch_scaled, 2.0)), Flow[float])
    assert_type(numbers.map(Text()), Flow[str])
    assert_type(numbers.map(Fetch()), Flow[str])
    assert_type(numbers.map(Client().get), Flow[bytes])
    assert_type(numbers.map(str), Flow[str])
    assert_type(words.map(str.upper), Flow[str])
    assert_type(words.map(int), Flow[int])
    assert_type(words.map(Path), Flow[Path])


def map_keeps_what_the_function_gives(numbers: Flow[int]) -> None:
    assert_type(numbers.map(text_or_number), Flow[str | float])
    assert_type(numbers.map(lambda n: (n, str(n))), Flow[tuple[int, str]])
    assert_type(numbers.map(lambda n: {"n": n}), Flow[dict[str, int]])
    assert_type(numbers.map(lambda n: [n]).map(lambda ns: ns[0]), Flow[int])
    assert_type(numbers.map(lambda n: None), Flow[None])
    assert_type(numbers.map(print), Flow[None])
    assert_type(numbers.map(anyio.sleep), Flow[None])
    assert_type(numbers.map(lambda n: asyncio.sleep(n, "awake")), Flow[str])


def map_at_once(numbers: Flow[int], words: Flow[str], pool: Executor) -> None:
    assert_type(numbers.map(fetch, concurrency=8), Flow[str])
    assert_type(numbers.map(lambda n: fetch(n), concurrency=8), Flow[str])
    assert_type(numbers.map(lambda n: n + 1, concurrency=2, ordered=False), Flow[int])
    assert_type(words.map(int, on=pool, concurrency=4), Flow[int])
    assert_type(words.map(lambda word: [word], on=pool), Flow[list[str]])
    assert_type(
        words.map(int, on=pool, concurrency=2, on_error=lambda error, item: SKIP),
        Flow[int],
    )
    assert_type(
        numbers.map(fetch, concurrency=2, on_error=lambda error, item: None),
        Flow[str | None],
    )
    assert_type(numbers.flat_map(follow, concurrency=3), Flow[str])
    assert_type(numbers.flat_map(lambda n: fetch_flow(n), concurrency=3), Flow[str])
    assert_type(numbers.chunked(3).flatten(concurrency=2), Flow[int])


def the_latest(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.map_latest(fetch), Flow[str])
    assert_type(numbers.map_latest(lambda n: fetch(n)), Flow[str])
    assert_type(numbers.map_latest(lambda n: n / 2), Flow[float])
    assert_type(words.map_latest(int), Flow[int])
    assert_type(numbers.flat_map_latest(follow), Flow[str])
    assert_type(numbers.flat_map_latest(lambda n: [n]), Flow[int])
    assert_type(numbers.flat_map_latest(lambda n: fetch_flow(n)), Flow[str])
    assert_type(numbers.flat_map_first(follow), Flow[str])
    assert_type(words.flat_map_first(lambda word: Flow.of(word)), Flow[str])


def zero(error: Exception, item: str) -> float:
    return 0.0


async def ask(error: Exception, item: str) -> float:
    return 0.0


def fallback(value: float, error: Exception, item: str) -> float:
    return value


def give_up(error: OSError, item: str) -> int:
    return 0


def map_on_error(words: Flow[str], numbers: Flow[int]) -> None:
    assert_type(words.map(int, on_error=None), Flow[int])
    assert_type(words.map(int, on_error=lambda error, item: SKIP), Flow[int])
    assert_type(words.map(int, on_error=lambda error, item: None), Flow[int | None])
    assert_type(words.map(int, on_error=lambda error, item: item), Flow[int | str])
    assert_type(words.map(int, on_error=lambda error, item: -1), Flow[int])
    assert_type(
        words.map(int, on_error=lambda error, item: 0 if item else SKIP), Flow[int]
    )
    assert_type(
        words.map(int, on_error=lambda error, item: SKIP if item else 0.5),
        Flow[int | float],
    )
    assert_type(words.map(int, on_error=zero), Flow[int | float])
    assert_type(words.map(int, on_error=ask), Flow[int | float])
    assert_type(words.map(int, on_error=partial(fallback, 0.0)), Flow[int | float])
    assert_type(numbers.map(fetch, on_error=lambda error, item: SKIP), Flow[str])
    assert_type(numbers.map(fetch, on_error=lambda error, item: item), Flow[str | int])
    assert_type(
        numbers.map(lambda n: fetch(n), on_error=lambda error, item: SKIP), Flow[str]
    )


async def find(n: int) -> Path | None:
    return None


async def lines(path: Path) -> AsyncIterator[str]:
    yield ""


def map_not_none(numbers: Flow[int], prices: dict[int, float]) -> None:
    assert_type(numbers.map_not_none(prices.get), Flow[float])
    assert_type(numbers.map_not_none(lambda n: prices.get(n)), Flow[float])
    assert_type(numbers.map_not_none(lambda n: str(n) if n else None), Flow[str])
    assert_type(numbers.map_not_none(find), Flow[Path])
    assert_type(numbers.map_not_none(lambda n: find(n)), Flow[Path])
    assert_type(numbers.map_not_none(fetch), Flow[str])


def repeat(n: int) -> Iterator[str]:
    yield str(n)


async def follow(n: int) -> AsyncIterator[str]:
    yield str(n)


async def fetch_list(n: int) -> list[str]:
    return [str(n)]


async def fetch_flow(n: int) -> Flow[str]:
    return Flow.of(str(n))


async def fetch_part(size: int, n: int) -> list[str]:
    return [str(n)] * size


def list_or_flow(n: int) -> list[int] | Flow[int]:
    return [n]


class FetchList:
    async def __call__(self, n: int) -> list[str]:
        return [str(n)]


def flat_map_takes_every_callback(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.flat_map(range), Flow[int])
    assert_type(numbers.flat_map(repeat), Flow[str])
    assert_type(numbers.flat_map(follow), Flow[str])
    assert_type(numbers.flat_map(fetch_list), Flow[str])
    assert_type(numbers.flat_map(fetch_flow), Flow[str])
    assert_type(numbers.flat_map(list_or_flow), Flow[int])
    assert_type(numbers.flat_map(partial(fetch_part, 3)), Flow[str])
    assert_type(numbers.flat_map(FetchList()), Flow[str])
    assert_type(numbers.flat_map(lambda n: [n, n]), Flow[int])
    assert_type(numbers.flat_map(lambda n: [n] if n else []), Flow[int])
    assert_type(numbers.flat_map(lambda n: (str(i) for i in range(n))), Flow[str])
    assert_type(numbers.flat_map(lambda n: Flow.of(n).map(str)), Flow[str])
    assert_type(numbers.flat_map(lambda n: follow(n)), Flow[str])
    assert_type(numbers.flat_map(lambda n: fetch_list(n)), Flow[str])
    assert_type(numbers.flat_map(lambda n: fetch_flow(n)), Flow[str])
    assert_type(words.flat_map(str.split), Flow[str])
    assert_type(words.map(Path).flat_map(Path.iterdir), Flow[Path])


def flatten(
    numbers: Flow[int],
    lists: Flow[list[int]],
    pairs: Flow[tuple[int, int]],
    flows: Flow[Flow[str]],
    sets: Flow[frozenset[bytes]],
    words: Flow[str],
    either: Flow[list[int] | Flow[int]],
) -> None:
    assert_type(lists.flatten(), Flow[int])
    assert_type(pairs.flatten(), Flow[int])
    assert_type(flows.flatten(), Flow[str])
    assert_type(sets.flatten(), Flow[bytes])
    assert_type(words.flatten(), Flow[str])
    assert_type(either.flatten(), Flow[int])
    assert_type(numbers.map(lambda n: [n]).flatten(), Flow[int])
    assert_type(numbers.map(lambda n: Flow.of(str(n))).flatten(), Flow[str])
    assert_type(numbers.map(follow).flatten(), Flow[str])
    assert_type(numbers.chunked(3).flatten(), Flow[int])


async def append(words: list[str], n: int) -> list[str]:
    return [*words, str(n)]


async def later(a: int, b: int) -> int:
    return max(a, b)


def with_state(numbers: Flow[int], words: Flow[str], start: tuple[int, int]) -> None:
    assert_type(numbers.enumerate(), Flow[tuple[int, int]])
    assert_type(words.enumerate(start=1), Flow[tuple[int, str]])
    assert_type(words.pairwise(), Flow[tuple[str, str]])
    assert_type(numbers.scan(0, add), Flow[int])
    assert_type(numbers.scan("", lambda so_far, n: f"{so_far}{n}"), Flow[str])
    assert_type(numbers.scan(0.0, lambda so_far, n: so_far + n), Flow[float])
    assert_type(numbers.scan([""], append), Flow[list[str]])
    assert_type(
        numbers.scan([""], lambda so_far, n: append(so_far, n)), Flow[list[str]]
    )
    assert_type(
        numbers.scan(start, lambda so_far, n: (so_far[0] + n, so_far[1] + 1)),
        Flow[tuple[int, int]],
    )
    assert_type(numbers.running_reduce(max), Flow[int])
    assert_type(numbers.running_reduce(lambda a, b: a * b), Flow[int])
    assert_type(numbers.running_reduce(later), Flow[int])
    assert_type(numbers.running_reduce(lambda a, b: later(a, b)), Flow[int])


def on_each(numbers: Flow[int]) -> None:
    assert_type(numbers.on_each(print), Flow[int])
    assert_type(numbers.on_each(fetch), Flow[int])
    assert_type(numbers.on_each(lambda n: fetch(n)), Flow[int])
    assert_type(numbers.on_each(anyio.sleep), Flow[int])
    assert_type(numbers.on_each([0].append), Flow[int])


def cut(text: str, n: int) -> list[str]:
    return [text[:n]]


class Pipeline(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T]) -> None:
        self.source = source

    def transform(self) -> None:
        assert_type(self.source.map(lambda item: item), Flow[T])
        assert_type(self.source.map(lambda item: [item]).flatten(), Flow[T])
        assert_type(self.source.enumerate(), Flow[tuple[int, T]])
        assert_type(self.source.pairwise().map(lambda pair: pair[0]), Flow[T])


def wrong(numbers: Flow[int], words: Flow[str]) -> None:
    numbers.map(str.upper)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.map(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.map(int, on_error=give_up)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.map(int, on_error=SKIP)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.map(fetch, concurrency="2")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.map(int, on=print)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.map_latest(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.flat_map_latest(text_or_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.flat_map_first(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.map_not_none(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.flat_map(text_or_number)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.flatten()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    numbers.enumerate("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.pairwise(2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.scan("", cut)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.scan(0, lambda a, b: str(b))  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    words.running_reduce(later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.on_each(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
