"""Operators that go on after an error from above: catch, retry, retry_when.

They stand on seams: an error from above is told from one below by pulling the items
one by one, outside of any `yield`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from flowpy._callbacks import awaiting
from flowpy._checks import check_duration
from flowpy._errors import FlowConsumedError
from flowpy._iterating import closing, is_async_iterable, is_plain_iterable, opened
from flowpy._operator import operator
from flowpy._scheduler import current_scheduler

if TYPE_CHECKING:
    from random import Random

    from flowpy._types import Callback, Duration, FlowLike, Items

T = TypeVar("T")

Decide = Callable[[Exception, int], Awaitable[float | None]]
"""Seconds to wait before the next attempt, or None for no further one."""


@operator(seam="handles errors from above only")
async def catch(
    source: Items[T],
    types: tuple[type[Exception], ...],
    handler: Callback[[Exception], FlowLike[T] | None] | None,
) -> Items[T]:
    fallback: object = None
    async with closing(source):
        while True:
            try:
                x = await anext(source)
            except StopAsyncIteration:
                break
            except types as error:
                fallback = await handler(error) if handler is not None else None
                break
            yield x
    if is_async_iterable(fallback) or is_plain_iterable(fallback):
        async with closing(opened(fallback)) as items:
            async for y in items:
                yield y


@operator(seam="collects everything above it again")
def retry(
    reopen: Callable[[], Items[T]],
    times: int | None,
    on: type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], object],
    backoff: float,
    factor: float,
    max_backoff: float,
    jitter: bool | Random,
    reset: bool,
) -> Items[T]:
    matches = None if isinstance(on, (type, tuple)) else awaiting(on)

    async def decide(error: Exception, attempt: int) -> float | None:
        if times is not None and attempt >= times:
            return None
        if matches is None:
            wanted = isinstance(error, on)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - no function
        else:
            wanted = await matches(error)
        if not wanted:
            return None
        try:
            wait = min(backoff * float(factor) ** attempt, max_backoff)
        except OverflowError:
            wait = max_backoff if backoff else 0
        if jitter is False:
            return wait
        from random import random  # noqa: PLC0415 - slow to import

        # Half of the wait is kept, so that attempts never come in a burst.
        return wait * (1 + (random() if jitter is True else jitter.random())) / 2

    return attempts(reopen, decide, reset=reset)


@operator(seam="collects everything above it again")
def retry_when(
    reopen: Callable[[], Items[T]],
    fn: Callback[[Exception, int], bool | Duration],
) -> Items[T]:
    async def decide(error: Exception, attempt: int) -> float | None:
        answer = await fn(error, attempt)
        if isinstance(answer, bool):
            return 0 if answer else None
        return check_duration("retry_when: what fn returns", answer)

    return attempts(reopen, decide, reset=False)


async def attempts(
    reopen: Callable[[], Items[T]], decide: Decide, *, reset: bool
) -> Items[T]:
    """Collect again after each error for which `decide` gives a wait."""
    attempt = 0
    error: Exception | None = None
    try:
        while True:
            async with closing(reopen()) as items:
                while True:
                    try:
                        x = await anext(items)
                    except StopAsyncIteration:
                        return
                    except FlowConsumedError as consumed:
                        raise consumed from error  # no attempt can heal that
                    except Exception as failure:
                        wait = await decide(failure, attempt)
                        if wait is None:
                            raise
                        error = failure
                        break
                    yield x
                    if reset:
                        attempt = 0
            attempt += 1
            await current_scheduler().sleep(wait)
    finally:
        error = None  # or it and this frame would keep each other alive
