"""Starting a flow: what `Flow(...)`, `@flow` and the sources give."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
)
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import BinaryIO, Generic, Never, TextIO, TypeVar, assert_type

from anyio.streams.memory import MemoryObjectReceiveStream

from flowpy import Channel, Flow, channel_flow, flow

T = TypeVar("T")


async def produce() -> AsyncIterator[int]:
    yield 1


async def produce_generator() -> AsyncGenerator[int, None]:
    yield 1


def count() -> Iterator[int]:
    yield 1


async def fetch_list() -> list[int]:
    return [1]


async def fetch_flow() -> Flow[int]:
    return Flow.of(1)


async def fetch_pages(name: str) -> list[str]:
    return [name]


def list_or_flow() -> list[int] | Flow[int]:
    return [1]


class Fetch:
    async def __call__(self) -> list[str]:
        return [""]


class Rows:
    def __iter__(self) -> Iterator[bytes]:
        return iter([b""])


class Ticker:
    def __aiter__(self) -> AsyncIterator[float]:
        return aiter(Flow.of(1.5))


def around_iterables(
    words: list[str],
    numbers: set[int],
    pair: tuple[int, int],
    prices: dict[str, float],
    lazy: Iterable[int],
    iterator: Iterator[bool],
) -> None:
    assert_type(Flow(words), Flow[str])
    assert_type(Flow([1, 2]), Flow[int])
    assert_type(Flow(numbers), Flow[int])
    assert_type(Flow(pair), Flow[int])
    assert_type(Flow(range(3)), Flow[int])
    assert_type(Flow("abc"), Flow[str])
    assert_type(Flow(b"abc"), Flow[int])
    assert_type(Flow(prices), Flow[str])
    assert_type(Flow(prices.items()), Flow[tuple[str, float]])
    assert_type(Flow(n * 0.5 for n in numbers), Flow[float])
    assert_type(Flow(count()), Flow[int])
    assert_type(Flow(lazy), Flow[int])
    assert_type(Flow(iterator, close=False), Flow[bool])
    assert_type(Flow(Rows()), Flow[bytes])
    assert_type(Flow[float]([]), Flow[float])


def around_async_iterables(
    source: AsyncIterable[str],
    either: AsyncIterable[int] | Iterable[int],
    stream: MemoryObjectReceiveStream[bytes],
) -> None:
    assert_type(Flow(source), Flow[str])
    assert_type(Flow(either), Flow[int])
    assert_type(Flow(produce()), Flow[int])
    assert_type(Flow(produce_generator()), Flow[int])
    assert_type(Flow(Ticker()), Flow[float])
    assert_type(Flow(Flow.of("a")), Flow[str])
    assert_type(Flow(stream, close=False), Flow[bytes])


def around_files(text: TextIO, binary: BinaryIO, path: Path) -> None:
    assert_type(Flow(text), Flow[str])
    assert_type(Flow(binary), Flow[bytes])
    assert_type(Flow(path.open(encoding="utf-8")), Flow[str])
    assert_type(Flow(path.iterdir), Flow[Path])


def around_functions(prices: dict[str, float], queue: asyncio.Queue[str]) -> None:
    assert_type(Flow(produce), Flow[int])
    assert_type(Flow(produce_generator), Flow[int])
    assert_type(Flow(count), Flow[int])
    assert_type(Flow(fetch_list), Flow[int])
    assert_type(Flow(fetch_flow), Flow[int])
    assert_type(Flow(list_or_flow), Flow[int])
    assert_type(Flow(Fetch()), Flow[str])
    assert_type(Flow(Rows), Flow[bytes])
    assert_type(Flow(prices.values), Flow[float])
    assert_type(Flow(partial(range, 3)), Flow[int])
    assert_type(Flow(partial(fetch_pages, "a")), Flow[str])
    assert_type(Flow(lambda: [1.5]), Flow[float])
    assert_type(Flow(lambda: produce()), Flow[int])
    assert_type(Flow(lambda: fetch_list()), Flow[int])
    assert_type(Flow(lambda: Flow.of("a")), Flow[str])
    assert_type(Flow(lambda: iter(queue.get_nowait, "end")), Flow[str])


def of_given_items(words: list[str], optional: int | None) -> None:
    assert_type(Flow.of(1), Flow[int])
    assert_type(Flow.of(1, 2, 3, 4), Flow[int])
    assert_type(Flow.of(1, "a"), Flow[int | str])
    assert_type(Flow.of(1, None), Flow[int | None])
    assert_type(Flow.of(1, "a", None), Flow[int | str | None])
    assert_type(Flow.of(*words), Flow[str])
    assert_type(Flow.of(optional), Flow[int | None])
    assert_type(Flow.of(), Flow[Never])


def made_sources() -> None:
    assert_type(Flow.empty(), Flow[Never])
    assert_type(Flow.never(), Flow[Never])
    assert_type(Flow.fail(OSError("down")), Flow[Never])
    assert_type(Flow.interval(0.5), Flow[int])
    assert_type(Flow.interval(timedelta(hours=1), delay=timedelta(0)), Flow[int])


def next_page(cursor: int) -> tuple[str, int] | None:
    return (str(cursor), cursor + 1) if cursor < 3 else None


async def fetch_page(cursor: int) -> tuple[str, int] | None:
    return next_page(cursor)


def fibonacci(pair: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    return pair[0], (pair[1], sum(pair))


def unfolded() -> None:
    assert_type(Flow.unfold(0, next_page), Flow[str])
    assert_type(Flow.unfold(0, fetch_page), Flow[str])
    assert_type(Flow.unfold(0, lambda n: fetch_page(n)), Flow[str])
    assert_type(Flow.unfold(9, lambda n: (n, n // 2) if n else None), Flow[int])
    assert_type(Flow.unfold((0, 1), fibonacci), Flow[int])


@flow
async def ticks(n: int, every: float = 1.0) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@flow
async def rows(path: Path) -> AsyncGenerator[dict[str, str], None]:
    yield {"path": str(path)}


@flow
async def repeated(item: T, *, times: int) -> AsyncIterator[T]:
    for _ in range(times):
        yield item


class Repository(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item

    @flow
    async def items(self, limit: int) -> AsyncIterator[T]:
        yield self.item

    @staticmethod
    @flow
    async def names() -> AsyncIterator[str]:
        yield ""


def decorated() -> None:
    assert_type(ticks(3), Flow[int])
    assert_type(ticks(3, every=0.5), Flow[int])
    assert_type(rows(Path()), Flow[dict[str, str]])
    assert_type(repeated("a", times=3), Flow[str])
    assert_type(Repository(1.5).items(3), Flow[float])
    assert_type(Repository.names(), Flow[str])


def wide(items: Flow[object]) -> None:
    assert_type(items.take(1), Flow[object])


def mixed(items: Flow[int | str]) -> None:
    assert_type(items.take(1), Flow[int | str])


def is_covariant(flags: Flow[bool], numbers: Flow[int]) -> Flow[int]:
    wide(numbers)
    mixed(numbers)
    mixed(Flow.empty())
    mixed(Flow.of(1, "a").concat(flags))
    return flags


def wrong(numbers: Flow[int], path: Path) -> Flow[bool]:
    Flow(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flow(path)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flow(fetch_page)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flow([1], False)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Flow.fail(OSError)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flow.interval("1s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Flow.unfold(0, str)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    flow(count)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    flow(fetch_list)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ticks("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ticks()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return numbers  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


@channel_flow
async def fed(channel: Channel[int], name: str, *, times: int = 1) -> None:
    await channel.send(1)
    assert_type(channel.try_send(2), bool)
    assert_type(channel.send_from_thread(3), None)
    channel.close(OSError())
    assert_type(await channel.wait_closed(), None)
    await channel.send("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - no int


@channel_flow(capacity=3)
async def fed_slowly(channel: Channel[str]) -> int:
    await channel.send("")
    return 1


def fed_by_tasks() -> None:
    assert_type(fed("a"), Flow[int])
    assert_type(fed("a", times=2).map(str), Flow[str])
    assert_type(fed_slowly(), Flow[str])
    fed()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - no name
    fed(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - no text


def from_queues(queue: asyncio.Queue[str], numbers: asyncio.PriorityQueue[int]) -> None:
    assert_type(Flow.from_queue(queue), Flow[str])
    assert_type(Flow.from_queue(numbers), Flow[int])
    Flow.from_queue([1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - no queue
