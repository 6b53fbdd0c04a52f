"""Combine: several flows become one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Generic, TypeVar, assert_type

from flowpy import Flow, flow

T = TypeVar("T")


async def produce() -> AsyncIterator[float]:
    yield 0.5


@flow
async def ticks(n: int) -> AsyncIterator[int]:
    yield n


def one_after_another(
    numbers: Flow[int], words: Flow[str], prices: list[float], flows: list[Flow[int]]
) -> None:
    assert_type(numbers.concat(), Flow[int])
    assert_type(numbers.concat(numbers), Flow[int])
    assert_type(numbers.concat(ticks(3), range(9), numbers), Flow[int])
    assert_type(numbers.concat(words), Flow[int | str])
    assert_type(numbers.concat(prices, words), Flow[int | float | str])
    assert_type(numbers.concat(produce()), Flow[int | float])
    assert_type(numbers.concat(*flows), Flow[int])
    assert_type(Flow[int].concat(numbers, words), Flow[int | str])


def items_before_and_after(numbers: Flow[int]) -> None:
    assert_type(numbers.start_with(), Flow[int])
    assert_type(numbers.start_with(0, 1), Flow[int])
    assert_type(numbers.start_with("header"), Flow[int | str])
    assert_type(numbers.end_with(9), Flow[int])
    assert_type(numbers.end_with(None), Flow[int | None])
    assert_type(numbers.end_with(None).filter_not_none(), Flow[int])
    assert_type(Flow.empty().end_with(1), Flow[int])


def zipped(
    numbers: Flow[int],
    words: Flow[str],
    prices: list[float],
    chunks: tuple[bytes, ...],
    flags: Flow[bool],
) -> None:
    assert_type(numbers.zip(), Flow[tuple[int]])
    assert_type(numbers.zip(words), Flow[tuple[int, str]])
    assert_type(numbers.zip(words, prices), Flow[tuple[int, str, float]])
    assert_type(numbers.zip(words, prices, chunks), Flow[tuple[int, str, float, bytes]])
    assert_type(
        numbers.zip(words, prices, chunks, flags),
        Flow[tuple[int, str, float, bytes, bool]],
    )
    assert_type(
        numbers.zip(numbers, numbers, numbers, numbers, numbers),
        Flow[tuple[int, ...]],
    )
    assert_type(numbers.zip(*[words, words]), Flow[tuple[int | str, ...]])
    assert_type(words.zip(produce(), strict=True), Flow[tuple[str, float]])
    assert_type(words.zip("abc"), Flow[tuple[str, str]])
    assert_type(words.zip(numbers).map(lambda pair: pair[1]), Flow[int])
    assert_type(Flow[int].zip(numbers, words), Flow[tuple[int, str]])


def merged(numbers: Flow[int], words: Flow[str], prices: list[float]) -> None:
    assert_type(numbers.merge(), Flow[int])
    assert_type(numbers.merge(range(9), numbers), Flow[int])
    assert_type(numbers.merge(words), Flow[int | str])
    assert_type(numbers.merge(words, prices), Flow[int | str | float])
    assert_type(numbers.merge(produce()), Flow[int | float])
    assert_type(Flow[int].merge(numbers, words), Flow[int | str])


def interleaved(numbers: Flow[int], words: Flow[str], prices: list[float]) -> None:
    assert_type(numbers.interleave(range(9)), Flow[int])
    assert_type(numbers.interleave(words), Flow[int | str])
    assert_type(numbers.interleave(words, prices), Flow[int | str | float])
    assert_type(numbers.interleave(numbers, numbers, numbers), Flow[int])


def latest(
    numbers: Flow[int],
    words: Flow[str],
    prices: list[float],
    chunks: tuple[bytes, ...],
    flags: Flow[bool],
) -> None:
    assert_type(numbers.combine(), Flow[tuple[int]])
    assert_type(numbers.combine(words), Flow[tuple[int, str]])
    assert_type(numbers.combine(words, prices), Flow[tuple[int, str, float]])
    assert_type(
        numbers.combine(words, prices, chunks), Flow[tuple[int, str, float, bytes]]
    )
    assert_type(
        numbers.combine(words, prices, chunks, flags),
        Flow[tuple[int, str, float, bytes, bool]],
    )
    assert_type(numbers.combine(*[words, words]), Flow[tuple[int | str, ...]])
    assert_type(Flow[int].combine(numbers, words), Flow[tuple[int, str]])
    assert_type(numbers.with_latest_from(), Flow[tuple[int]])
    assert_type(numbers.with_latest_from(words), Flow[tuple[int, str]])
    assert_type(numbers.with_latest_from(words, prices), Flow[tuple[int, str, float]])
    assert_type(
        numbers.with_latest_from(words, prices, chunks),
        Flow[tuple[int, str, float, bytes]],
    )
    assert_type(
        numbers.with_latest_from(words, prices, chunks, flags),
        Flow[tuple[int, str, float, bytes, bool]],
    )
    assert_type(numbers.with_latest_from(*[words]), Flow[tuple[int | str, ...]])
    assert_type(words.combine(numbers).map(lambda pair: pair[1]), Flow[int])


def racing(numbers: Flow[int], words: Flow[str], prices: list[float]) -> None:
    assert_type(numbers.race(), Flow[int])
    assert_type(numbers.race(range(9), numbers, numbers), Flow[int])
    assert_type(numbers.race(words), Flow[int | str])
    assert_type(numbers.race(words, prices), Flow[int | str | float])
    assert_type(Flow[int].race(numbers, words), Flow[int | str])


class Pair(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T]) -> None:
        self.source = source

    def combine(self) -> None:
        assert_type(self.source.concat(self.source), Flow[T])
        assert_type(self.source.zip(self.source), Flow[tuple[T, T]])
        assert_type(self.source.end_with(None), Flow[T | None])


def wrong(numbers: Flow[int], words: Flow[str]) -> Flow[int]:
    numbers.concat(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.concat(produce)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.merge(produce)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.race(produce)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.combine(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.with_latest_from(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.interleave(None)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.zip(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.zip(words, strict="yes")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.start_with("a").map(abs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return numbers.concat(words)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]
