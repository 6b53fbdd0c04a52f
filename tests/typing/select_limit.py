"""Select and limit: which items pass, and what is known of them then."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Generic, TypeGuard, TypeVar, assert_type

import anyio
from typing_extensions import TypeIs

from flowpy import Flow

T = TypeVar("T")


def is_text(value: object) -> TypeIs[str]:
    return isinstance(value, str)


def is_number(value: int | str | None) -> TypeIs[int]:
    return isinstance(value, int)


def looks_like_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def is_even(n: int) -> bool:
    return n % 2 == 0


async def is_allowed(n: int) -> bool:
    return n > 0


async def is_at_most(limit: int, n: int) -> bool:
    return n <= limit


class Allowed:
    async def __call__(self, n: int) -> bool:
        return n > 0


def filter_keeps_the_type(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.filter(is_even), Flow[int])
    assert_type(numbers.filter(is_allowed), Flow[int])
    assert_type(numbers.filter(lambda n: n % 2), Flow[int])
    assert_type(numbers.filter(lambda n: is_allowed(n)), Flow[int])
    assert_type(numbers.filter(partial(is_at_most, 3)), Flow[int])
    assert_type(numbers.filter(Allowed()), Flow[int])
    assert_type(numbers.filter(bool), Flow[int])
    assert_type(words.filter(str.isdigit), Flow[str])
    assert_type(words.filter({"a"}.__contains__), Flow[str])


def filter_narrows(
    values: Flow[int | str | None], objects: Flow[object], numbers: Flow[int]
) -> None:
    assert_type(values.filter(is_text), Flow[str])
    assert_type(values.filter(is_number), Flow[int])
    assert_type(values.filter(looks_like_text), Flow[str])
    assert_type(objects.filter(is_text).map(str.upper), Flow[str])
    assert_type(numbers.filter(is_number), Flow[int])


def filter_not(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.filter_not(is_even), Flow[int])
    assert_type(numbers.filter_not(is_allowed), Flow[int])
    assert_type(numbers.filter_not(lambda n: n > 3), Flow[int])
    assert_type(words.filter_not(str.isspace), Flow[str])


def filter_not_none(
    optional: Flow[int | None], numbers: Flow[int], lists: Flow[list[str | None] | None]
) -> None:
    assert_type(optional.filter_not_none(), Flow[int])
    assert_type(numbers.filter_not_none(), Flow[int])
    assert_type(lists.filter_not_none(), Flow[list[str | None]])
    assert_type(Flow.of(1, None).filter_not_none(), Flow[int])
    assert_type(numbers.map(lambda n: n or None).filter_not_none(), Flow[int])


def filter_is_instance(objects: Flow[object], values: Flow[int | str | None]) -> None:
    assert_type(objects.filter_is_instance(int), Flow[int])
    assert_type(objects.filter_is_instance(int, str), Flow[int | str])
    assert_type(
        objects.filter_is_instance(int, str, Decimal), Flow[int | str | Decimal]
    )
    assert_type(values.filter_is_instance(str).map(str.upper), Flow[str])


def distinct(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.distinct(), Flow[int])
    assert_type(words.distinct(str.casefold), Flow[str])
    assert_type(words.distinct(key=len, max_size=100), Flow[str])
    assert_type(numbers.distinct(is_allowed), Flow[int])
    assert_type(numbers.distinct(lambda n: n % 3), Flow[int])


async def same_length(a: str, b: str) -> bool:
    return len(a) == len(b)


async def fetch(n: int) -> str:
    return str(n)


def distinct_until_changed(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.distinct_until_changed(), Flow[int])
    assert_type(words.distinct_until_changed(str.casefold), Flow[str])
    assert_type(words.distinct_until_changed(key=lambda w: len(w)), Flow[str])
    assert_type(numbers.distinct_until_changed(fetch), Flow[int])
    assert_type(words.distinct_until_changed(equal=same_length), Flow[str])
    assert_type(
        numbers.distinct_until_changed(equal=lambda a, b: abs(a - b) < 2), Flow[int]
    )
    assert_type(
        numbers.distinct_until_changed(str, equal=lambda a, b: a.upper() == b.upper()),
        Flow[int],
    )
    assert_type(numbers.distinct_until_changed(fetch, equal=same_length), Flow[int])


def take_and_drop(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.take(3), Flow[int])
    assert_type(words.take_last(3), Flow[str])
    assert_type(numbers.drop(1), Flow[int])
    assert_type(words.drop_last(1), Flow[str])
    assert_type(numbers.take_while(is_even), Flow[int])
    assert_type(numbers.take_while(is_allowed, inclusive=True), Flow[int])
    assert_type(numbers.take_while(lambda n: n < 5), Flow[int])
    assert_type(words.drop_while(str.isspace), Flow[str])
    assert_type(numbers.drop_while(Allowed()), Flow[int])
    assert_type(numbers.drop_while(lambda n: is_allowed(n)), Flow[int])


def until(numbers: Flow[int], words: Flow[str], event: anyio.Event) -> None:
    assert_type(numbers.take_until(words), Flow[int])
    assert_type(numbers.take_until(event.wait), Flow[int])
    assert_type(numbers.take_until(lambda: anyio.sleep(3)), Flow[int])
    assert_type(words.drop_until(aiter(numbers)), Flow[str])
    assert_type(words.drop_until(event.wait), Flow[str])


class Selection(Generic[T]):
    """Inside generic code the item type stays the type variable."""

    def __init__(self, source: Flow[T], optional: Flow[T | None]) -> None:
        self.source = source
        self.optional = optional

    def select(self) -> None:
        assert_type(self.source.filter(lambda item: item), Flow[T])
        assert_type(self.source.distinct().take(3), Flow[T])
        assert_type(self.optional.filter_not_none(), Flow[T])


def wrong(numbers: Flow[int], words: Flow[str]) -> None:
    numbers.filter(str.isdigit)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.filter()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    words.filter_not(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.filter_is_instance("str")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.distinct(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.distinct(None, 100)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    words.distinct_until_changed(len, equal=same_length)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.take("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.take()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.take_last(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.drop(1.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.take_while(is_even)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.take_while(is_even, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.take(3).map(str.upper)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.filter(anyio.Path.exists)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.take_until(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.take_until([3])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.drop_until(anyio.sleep)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
