"""Time: the items keep their type; a fallback adds its own."""

from __future__ import annotations

from datetime import timedelta
from typing import Generic, TypeVar, assert_type

from flowpy import Flow

T = TypeVar("T")


async def patience(word: str) -> float:
    return len(word) / 10


def quiet(words: Flow[str]) -> None:
    assert_type(words.debounce(0.5), Flow[str])
    assert_type(words.debounce(timedelta(seconds=1)), Flow[str])
    assert_type(words.debounce(len), Flow[str])
    assert_type(words.debounce(patience), Flow[str])
    assert_type(words.debounce(lambda word: 1 if word else 0.5), Flow[str])
    assert_type(words.debounce(lambda word: patience(word)).map(len), Flow[int])
    assert_type(words.throttle(1), Flow[str])
    assert_type(words.throttle(1, trailing=True), Flow[str])
    assert_type(words.sample(0.1), Flow[str])
    assert_type(words.sample(Flow.interval(1)), Flow[str])


def later(numbers: Flow[int]) -> None:
    assert_type(numbers.delay(1), Flow[int])
    assert_type(numbers.delay(timedelta(hours=1), capacity=9), Flow[int])
    assert_type(numbers.delay_start(1), Flow[int])
    assert_type(numbers.pace(5, per=1).map(str), Flow[str])


def in_time(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.timeout(1), Flow[int])
    assert_type(numbers.timeout(1, fallback=None), Flow[int])
    assert_type(numbers.timeout(1, fallback=numbers), Flow[int])
    assert_type(numbers.timeout(1, fallback=[0]), Flow[int])
    assert_type(numbers.timeout(1, fallback=words), Flow[int | str])


def lists(numbers: Flow[int]) -> None:
    assert_type(numbers.chunked(10, within=1), Flow[list[int]])
    assert_type(numbers.chunked(within=timedelta(seconds=1)), Flow[list[int]])
    assert_type(numbers.windowed_by_time(1), Flow[list[int]])
    assert_type(numbers.windowed_by_time(1, every=0.5).map(sum), Flow[int])


class Timed(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T]) -> None:
        self.source = source

    def run(self) -> None:
        assert_type(self.source.debounce(1).throttle(1).sample(1), Flow[T])
        assert_type(self.source.delay(1).timeout(1), Flow[T])


def wrong(numbers: Flow[int], words: Flow[str]) -> Flow[str]:
    numbers.debounce("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.debounce(str.upper)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.throttle(1, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.sample([1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.delay(1, 9)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.delay_start(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.pace(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.timeout(1, fallback=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.chunked()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    numbers.windowed_by_time(1, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return numbers.throttle(1)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
