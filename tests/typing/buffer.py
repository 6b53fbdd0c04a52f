"""Buffer: upstream runs ahead, the items keep their type."""

from __future__ import annotations

from typing import Generic, TypeVar, assert_type

from flowpy import Flow

T = TypeVar("T")


def buffered(numbers: Flow[int]) -> None:
    assert_type(numbers.buffer(), Flow[int])
    assert_type(numbers.buffer(0), Flow[int])
    assert_type(numbers.buffer(capacity=9, on_overflow="drop_latest"), Flow[int])
    assert_type(numbers.buffer(on_overflow="error").map(lambda n: [n]), Flow[list[int]])
    assert_type(numbers.conflate(), Flow[int])
    assert_type(Flow.empty().conflate().end_with("a"), Flow[str])


def shared(numbers: Flow[int]) -> None:
    assert_type(numbers.broadcast(2), tuple[Flow[int], ...])
    low, high = numbers.broadcast(2, capacity=9)
    assert_type(low.map(str), Flow[str])
    assert_type(high, Flow[int])


class Ahead(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T]) -> None:
        self.source = source

    def run(self) -> None:
        assert_type(self.source.buffer(1).conflate(), Flow[T])


def wrong(numbers: Flow[int]) -> Flow[str]:
    numbers.buffer("9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.buffer(9, "error")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.buffer(on_overflow="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.broadcast()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.broadcast(2, 9)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.conflate(2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return numbers.buffer()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
