"""Group: lists of items, with and without a key; flows of them."""

from __future__ import annotations

from functools import partial
from typing import assert_type

from flowpy import Flow, GroupedFlow


async def first_letter(word: str) -> str:
    return word[:1]


async def prefix(length: int, word: str) -> str:
    return word[:length]


def remainder(by: int, n: int) -> int:
    return n % by


def chunked_and_windowed(numbers: Flow[int], optional: Flow[str | None]) -> None:
    assert_type(numbers.chunked(10), Flow[list[int]])
    assert_type(optional.chunked(size=10), Flow[list[str | None]])
    assert_type(numbers.chunked(10).map(sum), Flow[int])
    assert_type(numbers.chunked(3).chunked(2), Flow[list[list[int]]])
    assert_type(numbers.windowed(3), Flow[list[int]])
    assert_type(numbers.windowed(3, 2, partial=True), Flow[list[int]])
    assert_type(numbers.windowed(3).map(lambda window: window[-1]), Flow[int])


def chunked_by(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(words.chunked_by(len), Flow[tuple[int, list[str]]])
    assert_type(words.chunked_by(first_letter), Flow[tuple[str, list[str]]])
    assert_type(words.chunked_by(lambda w: w[:1]), Flow[tuple[str, list[str]]])
    assert_type(
        words.chunked_by(lambda w: first_letter(w)), Flow[tuple[str, list[str]]]
    )
    assert_type(words.chunked_by(partial(prefix, 2)), Flow[tuple[str, list[str]]])
    assert_type(numbers.chunked_by(partial(remainder, 3)), Flow[tuple[int, list[int]]])
    assert_type(
        numbers.chunked_by(lambda n: n > 0).map(lambda run: run[1]), Flow[list[int]]
    )


def grouped(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(words.group_by(len), Flow[GroupedFlow[int, str]])
    assert_type(words.group_by(first_letter), Flow[GroupedFlow[str, str]])
    assert_type(words.group_by(lambda w: w[:1]), Flow[GroupedFlow[str, str]])
    assert_type(
        numbers.group_by(partial(remainder, 3), capacity=9, max_groups=3),
        Flow[GroupedFlow[int, int]],
    )
    assert_type(words.group_by(len).map(lambda group: group.key), Flow[int])
    assert_type(words.group_by(len).flat_map(lambda group: group), Flow[str])
    assert_type(GroupedFlow(3, words), GroupedFlow[int, str])
    assert_type(GroupedFlow("a", numbers).map(str), Flow[str])


def parted(numbers: Flow[int], words: Flow[str]) -> None:
    even, odd = numbers.partition(lambda n: n % 2 == 0)
    assert_type(even, Flow[int])
    assert_type(odd.map(str), Flow[str])
    assert_type(words.partition(str.isdigit), tuple[Flow[str], Flow[str]])
    assert_type(words.partition(first_letter), tuple[Flow[str], Flow[str]])


def wrong(numbers: Flow[int], words: Flow[str]) -> None:
    numbers.chunked("10")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.windowed(3, 2, True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.chunked_by(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.chunked(3).map(str.upper)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.group_by(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    words.group_by(len, 9)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    numbers.partition(len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
