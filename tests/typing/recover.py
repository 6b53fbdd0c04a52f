"""Errors and life cycle: what may follow an error, and what is run beside the items."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from functools import partial
from json import JSONDecodeError
from random import Random
from typing import NoReturn, assert_type

from flowpy import Flow, Snapshot, StageSnapshot


def catch_that_ends(numbers: Flow[int], errors: list[Exception]) -> None:
    assert_type(numbers.catch(), Flow[int])
    assert_type(numbers.catch(OSError), Flow[int])
    assert_type(numbers.catch(OSError, ValueError), Flow[int])
    assert_type(numbers.catch(handler=None), Flow[int])
    assert_type(numbers.catch(handler=print), Flow[int])
    assert_type(numbers.catch(handler=errors.append), Flow[int])
    assert_type(numbers.catch(OSError, handler=lambda e: print(e.errno)), Flow[int])
    assert_type(numbers.catch(OSError, handler=report), Flow[int])
    assert_type(numbers.catch(OSError, handler=lambda e: report(e)), Flow[int])
    assert_type(numbers.catch(OSError, handler=translate), Flow[int])
    assert_type(Flow.fail(OSError()).catch(handler=lambda e: [1]), Flow[int])


async def report(error: OSError) -> None:
    print(error.errno)


def translate(error: OSError) -> NoReturn:
    raise LookupError from error


def fallback(error: Exception) -> Flow[str]:
    return Flow.of(str(error))


async def padded(times: int, error: Exception) -> list[str]:
    return [str(error)] * times


def path_of(error: OSError) -> list[str] | None:
    return [str(error.filename)] if error.filename else None


async def fetch_fallback(error: OSError) -> list[float]:
    return [0.0]


async def fetch_flow(error: OSError) -> Flow[float] | None:
    return None


def watch(snapshot: Snapshot) -> None:
    assert_type(snapshot.stages, tuple[StageSnapshot, ...])
    assert_type(snapshot.before[0].waiting, int)


async def watch_later(snapshot: Snapshot) -> float:
    return snapshot.seconds


async def explain(error: OSError) -> AsyncIterator[str]:
    yield error.strerror or ""


def lines(error: OSError) -> Iterator[bytes]:
    yield b""


class Mirror:
    async def __call__(self, error: OSError) -> Flow[str]:
        return Flow.of("")


def catch_that_goes_on(
    numbers: Flow[int], words: Flow[str], spare: Flow[float]
) -> None:
    assert_type(numbers.catch(handler=fallback), Flow[int | str])
    assert_type(numbers.catch(OSError, handler=fallback), Flow[int | str])
    assert_type(numbers.catch(OSError, handler=path_of), Flow[int | str])
    assert_type(numbers.catch(OSError, handler=fetch_fallback), Flow[int | float])
    assert_type(numbers.catch(OSError, handler=fetch_flow), Flow[int | float])
    assert_type(numbers.catch(OSError, handler=explain), Flow[int | str])
    assert_type(numbers.catch(OSError, handler=lines), Flow[int | bytes])
    assert_type(numbers.catch(OSError, handler=Mirror()), Flow[int | str])
    assert_type(words.catch(OSError, handler=path_of), Flow[str])
    assert_type(numbers.catch(handler=partial(padded, 3)), Flow[int | str])


def catch_with_a_lambda(numbers: Flow[int], spare: Flow[float]) -> None:
    assert_type(numbers.catch(handler=lambda e: [str(e)]), Flow[int | str])
    assert_type(numbers.catch(handler=lambda e: [e]), Flow[int | Exception])
    assert_type(numbers.catch(handler=lambda e: spare), Flow[int | float])
    assert_type(numbers.catch(OSError, handler=lambda e: [e.errno]), Flow[int | None])
    assert_type(numbers.catch(OSError, handler=lambda e: spare), Flow[int | float])
    assert_type(numbers.catch(OSError, handler=lambda e: [e]), Flow[int | OSError])
    assert_type(
        numbers.catch(OSError, handler=lambda e: spare if e.errno else None),
        Flow[int | float],
    )
    assert_type(
        numbers.catch(OSError, handler=lambda e: fetch_fallback(e)), Flow[int | float]
    )
    assert_type(numbers.catch(OSError, handler=lambda e: explain(e)), Flow[int | str])
    assert_type(
        numbers.catch(JSONDecodeError, handler=lambda e: [e.lineno, e.colno]),
        Flow[int],
    )
    assert_type(
        numbers.catch(OSError, ValueError, handler=lambda e: [str(e)]), Flow[int | str]
    )


async def is_temporary(error: Exception) -> bool:
    return isinstance(error, OSError)


def retry(numbers: Flow[int]) -> None:
    assert_type(numbers.retry(), Flow[int])
    assert_type(numbers.retry(3, on=OSError, backoff=0.1), Flow[int])
    assert_type(numbers.retry(on=(OSError, ValueError)), Flow[int])
    assert_type(numbers.retry(on=lambda error: isinstance(error, OSError)), Flow[int])
    assert_type(numbers.retry(on=is_temporary), Flow[int])
    assert_type(
        numbers.retry(
            5,
            backoff=timedelta(seconds=1),
            factor=1.5,
            max_backoff=timedelta(minutes=1),
            jitter=Random(1),
            reset=False,
        ),
        Flow[int],
    )


def first_attempts(error: Exception, attempt: int) -> bool:
    return attempt < 3


async def wait_longer(error: Exception, attempt: int) -> float:
    return 0.1 * attempt


def retry_when(numbers: Flow[int]) -> None:
    assert_type(numbers.retry_when(first_attempts), Flow[int])
    assert_type(numbers.retry_when(wait_longer), Flow[int])
    assert_type(numbers.retry_when(lambda error, attempt: attempt < 3), Flow[int])
    assert_type(
        numbers.retry_when(lambda error, attempt: attempt < 3 and 0.5), Flow[int]
    )
    assert_type(
        numbers.retry_when(lambda error, attempt: timedelta(seconds=attempt)), Flow[int]
    )
    assert_type(
        numbers.retry_when(lambda error, attempt: wait_longer(error, attempt)),
        Flow[int],
    )


async def connect() -> int:
    return 1


async def disconnect(error: BaseException | None) -> None:
    print(error)


def life_cycle(numbers: Flow[int]) -> None:
    assert_type(numbers.on_start(connect), Flow[int])
    assert_type(numbers.on_start(lambda: print("start")), Flow[int])
    assert_type(numbers.on_start(lambda: connect()), Flow[int])
    assert_type(numbers.on_completion(disconnect), Flow[int])
    assert_type(numbers.on_completion(print), Flow[int])
    assert_type(numbers.on_completion(lambda error: disconnect(error)), Flow[int])
    assert_type(numbers.on_empty(connect), Flow[int])
    assert_type(numbers.on_empty(lambda: print("empty")), Flow[int])
    assert_type(numbers.if_empty(0), Flow[int])
    assert_type(numbers.if_empty(None), Flow[int | None])
    assert_type(numbers.if_empty("none", "at all"), Flow[int | str])
    assert_type(numbers.log(), Flow[int])
    assert_type(numbers.log("app.ticks", logging.DEBUG), Flow[int])
    assert_type(numbers.log(level="DEBUG"), Flow[int])
    assert_type(numbers.progress(), Flow[int])
    assert_type(numbers.progress("load", total=9), Flow[int])
    assert_type(numbers.measure(watch), Flow[int])
    assert_type(numbers.measure(watch_later), Flow[int])
    assert_type(numbers.measure(lambda snapshot: snapshot.stages[0].items), Flow[int])


def wrong(numbers: Flow[int]) -> None:
    numbers.catch(handler=path_of)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.catch(ValueError, handler=path_of)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.catch(OSError, handler=lambda e: 0)  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType, reportCallIssue]
    numbers.catch(KeyboardInterrupt)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.catch(OSError())  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    numbers.retry("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.retry(on=[OSError])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.retry(3, OSError)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.retry_when(is_temporary)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.retry_when(lambda error, attempt: "1s")  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    numbers.on_start("start")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.on_start(disconnect)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.on_completion(report)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.on_empty(abs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.progress(9)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.progress("load", 9)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    numbers.measure(abs)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    numbers.log(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
