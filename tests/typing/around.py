"""Around a flow: `run`, `pipe`, and chains long enough to lose a type on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, TypeVar, assert_type, cast

from flowpy import SKIP, Flow, flow, run

T = TypeVar("T")


async def main() -> str:
    return ""


async def both(n: int, word: str) -> tuple[int, str]:
    return n, word


async def limited(n: int, *, limit: int) -> list[int]:
    return [n] * limit


def run_functions() -> None:
    assert_type(run(main), str)
    assert_type(run(main, backend="trio"), str)
    assert_type(run(both, 1, "a", backend="uvloop"), tuple[int, str])
    assert_type(run(partial(limited, 1, limit=3)), list[int])
    assert_type(run(lambda: main()), str)


def run_endings(
    numbers: Flow[int], words: Flow[str], pairs: Flow[tuple[str, float]]
) -> None:
    assert_type(run(numbers.to_list), list[int])
    assert_type(run(words.to_set, backend="trio"), set[str])
    assert_type(run(pairs.to_dict), dict[str, float])
    assert_type(run(numbers.to_dict, str), dict[str, int])
    assert_type(run(words.to_groups, len), dict[int, list[str]])
    assert_type(run(numbers.first), int)
    assert_type(run(words.last), str)
    assert_type(run(words.single), str)
    assert_type(run(words.first, str.isdigit), str)
    assert_type(run(numbers.sum), int)
    assert_type(run(numbers.min), int)
    assert_type(run(words.max, len), str)
    assert_type(run(numbers.reduce, max), int)
    assert_type(run(words.join, ", "), str)
    assert_type(run(numbers.count), int)
    assert_type(run(numbers.any), bool)
    assert_type(run(numbers.collect, print), None)
    assert_type(run(lambda: numbers.first(lambda n: n > 3, default=None)), int | None)
    assert_type(run(lambda: numbers.fold("", lambda text, n: f"{text}{n}")), str)


def evens(numbers: Flow[int]) -> Flow[int]:
    return numbers.filter(lambda n: n % 2 == 0)


def page(source: Flow[T], number: int, *, size: int = 10) -> Flow[T]:
    return source.drop(number * size).take(size)


def labelled(source: AsyncIterable[T], label: Callable[[T], str]) -> Flow[str]:
    return Flow(source).map(label)


def size(source: Flow[object]) -> Coroutine[Any, Any, int]:
    return source.count()


@flow
async def every_nth(source: Flow[T], n: int, *, offset: int = 0) -> AsyncIterator[T]:
    async for i, x in source.enumerate(offset):
        if i % n == 0:
            yield x


@flow
async def texts(source: Flow[int]) -> AsyncIterator[str]:
    async for x in source:
        yield str(x)


@flow
async def sums(first: Flow[int], second: Flow[int]) -> AsyncIterator[int]:
    async for a, b in first.zip(second):
        yield a + b


def piped(numbers: Flow[int], flags: Flow[bool], words: Flow[str]) -> None:
    assert_type(numbers.pipe(evens), Flow[int])
    assert_type(flags.pipe(evens), Flow[int])
    assert_type(words.pipe(page, 3), Flow[str])
    assert_type(words.pipe(page, 3, size=5), Flow[str])
    assert_type(numbers.pipe(labelled, str), Flow[str])
    assert_type(numbers.pipe(lambda source: source.map(str)), Flow[str])
    assert_type(run(partial(numbers.pipe, size)), int)


def piped_through_operators(numbers: Flow[int], words: Flow[str]) -> None:
    assert_type(numbers.pipe(every_nth, 3), Flow[int])
    assert_type(words.pipe(every_nth, n=3, offset=1), Flow[str])
    assert_type(words.pipe(every_nth, 3).map(str.upper), Flow[str])
    assert_type(numbers.pipe(texts).pipe(every_nth, 2), Flow[str])
    assert_type(numbers.pipe(sums, numbers), Flow[int])
    assert_type(every_nth(words, 3), Flow[str])
    assert_type(texts(numbers), Flow[str])


def as_text(numbers: Flow[int]) -> None:
    assert_type(numbers.explain(), str)
    assert_type(numbers.explain("mermaid"), str)
    assert_type(repr(numbers), str)


class Trade(TypedDict):
    symbol: str
    price: float
    size: int


def parse(line: str) -> Trade:
    return cast("Trade", json.loads(line))


async def rate(symbol: str) -> float | None:
    return 1.0


async def log_lines(path: Path) -> AsyncIterator[str]:
    yield path.name


async def ten_stages_and_more(paths: Flow[Path]) -> None:
    trades = (
        paths.filter(Path.exists)
        .flat_map(log_lines)
        .map(str.strip)
        .filter_not(str.isspace)
        .drop(1)
        .map(parse, on_error=lambda error, line: SKIP)
        .distinct(lambda trade: trade["symbol"], max_size=1000)
        .retry(3, on=OSError)
        .catch(OSError, handler=lambda error: [])
        .on_each(print)
        .log("trades")
    )

    assert_type(trades, Flow[Trade])
    assert_type(
        await trades.map_not_none(lambda trade: rate(trade["symbol"]))
        .pairwise()
        .map(lambda pair: pair[1] - pair[0])
        .running_reduce(max)
        .chunked(10)
        .enumerate(1)
        .take_while(lambda numbered: numbered[0] < 100)
        .map(lambda numbered: (str(numbered[0]), max(numbered[1])))
        .zip(paths.map(lambda path: path.name))
        .map(lambda pair: (pair[1], pair[0]))
        .take_last(10)
        .to_dict(),
        dict[str, tuple[str, float]],
    )
    assert_type(
        await trades.chunked_by(lambda trade: trade["symbol"])
        .map(lambda run: (run[0], [trade["price"] for trade in run[1]]))
        .filter(lambda run: len(run[1]) > 1)
        .map(lambda run: (run[0], max(run[1])))
        .scan({"": 0.0}, lambda so_far, high: {**so_far, high[0]: high[1]})
        .drop(1)
        .distinct_until_changed()
        .map(lambda highs: max(highs, key=lambda symbol: highs[symbol]))
        .start_with("none")
        .windowed(3, partial=True)
        .flatten()
        .if_empty("-")
        .on_completion(print)
        .first(lambda symbol: symbol != "none", default=None),
        str | None,
    )


async def optional_all_the_way(words: Flow[str]) -> None:
    assert_type(
        await words.map(lambda word: {"a": 1}.get(word))
        .end_with(None)
        .pairwise()
        .enumerate()
        .flat_map(lambda numbered: numbered[1])
        .concat(words.map(len), [None])
        .interleave(words.map(float))
        .distinct()
        .drop_while(lambda value: value is None)
        .chunked(2)
        .last(),
        list[int | float | None],
    )
    assert_type(
        await words.map(lambda word: {"a": 1}.get(word))
        .filter_not_none()
        .map(lambda n: n.bit_length())
        .sum(),
        int,
    )


def wrong(numbers: Flow[int], words: Flow[str]) -> None:
    run(main())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run(evens)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run(both, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run(both, "a", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run(main, backend="tokio")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    run(numbers.map)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.pipe(evens)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.pipe(page)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue]
    words.pipe(page, "3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.pipe(page, 3, length=5)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue]
    words.pipe(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.explain(True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.explain("html")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    words.upper()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
