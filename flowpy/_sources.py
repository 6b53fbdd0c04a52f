"""Where items come from: what `Flow(...)` wraps, and the sources that flowpy makes.

A source is an operator with nothing above it.
"""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from flowpy._iterating import (
    Once,
    Opened,
    Turns,
    check_inner,
    closing,
    is_async_iterable,
    is_one_shot,
    is_plain_iterable,
    read_in_turns,
)
from flowpy._operator import Operator, name_of, names_of, operator
from flowpy._scheduler import check_queue, current_scheduler

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
    )

    from flowpy._types import Callback, FlowLike, Gettable, Items

T = TypeVar("T")
S = TypeVar("S")


def describe(source: object, close: bool) -> str:
    """Return how a flow around `source` reads."""
    if isinstance(source, Once):
        name = source.kind
    elif callable(source):
        name = name_of(source)
    else:
        name = type(source).__name__
    return f"Flow({name})" if close else f"Flow({name}, close=False)"


def describe_items(items: tuple[object, ...], _: object) -> str:
    """Return how a flow of given items reads."""
    return f"Flow.of({', '.join(names_of(items))})"


def source_of(
    source: Any, *, close: bool = True, name: str = "source"
) -> tuple[Operator[..., Items[Any]], tuple[object, ...]]:
    """Return the operator that reads `source`, argument `name`, and its arguments."""
    one_shot = is_one_shot(source)
    origin = Once[Any](source) if one_shot else source
    if is_async_iterable(source):
        return async_iterable, (origin, close)
    if is_plain_iterable(source):
        return iterable, (origin, close)
    if callable(source):
        return called, (source, close)
    message = (
        f"{name} must be an async iterable, an iterable or a function of no arguments "
        f"that returns one; got {source!r}"
    )
    raise TypeError(message)


iterable = operator(show=describe)(read_in_turns)


items = Operator(iterable.run, show=describe_items)
"""Items that were given one by one."""


@operator(show=describe)
async def async_iterable(origin: AsyncIterable[T], close: bool) -> Items[T]:
    iterator = aiter(origin)
    opened = Opened(iterator)
    async with closing(iterator) if close else nullcontext():
        async for x in opened:
            yield x


@operator(show=describe)
async def called(fn: Callback[[], FlowLike[T]], close: bool) -> Items[T]:
    result: Any = await fn()
    if is_async_iterable(result):
        iterator = aiter(result)
        opened = Opened(iterator)
        async with closing(iterator) if close else nullcontext():
            async for x in opened:
                yield x
    else:
        with Turns(check_inner(result), closes=close) as turns:
            for part in turns:
                for x in part:
                    yield x
                if turns.over():
                    await turns.let_others_run()


NO_ITEMS: tuple[Any, ...] = ()


@operator(show="Flow.empty()")
async def empty() -> Items[Any]:
    for x in NO_ITEMS:
        yield x  # what makes it a generator; not reached


@operator(show="Flow.never()")
async def never() -> Items[Any]:
    await current_scheduler().sleep_forever()
    yield  # what makes it a generator; not reached


@operator(show="Flow.fail({})")
async def fail(error: BaseException) -> Items[Any]:
    # Without the frames of earlier collections, which would pile up on it.
    raise error.with_traceback(None)
    yield  # what makes it a generator; not reached


@operator(show="Flow.interval({}, delay={})")
async def interval(period: float, delay: float) -> Items[int]:
    scheduler = current_scheduler()
    start = scheduler.now() + delay
    tick = 0
    while True:
        await scheduler.sleep(max(start + tick * period - scheduler.now(), 0))
        yield tick
        # The next tick that is not over; one that is due right now counts, in spite of
        # the rounding of floats.
        passed = (scheduler.now() - start) / period
        tick = max(tick + 1, math.ceil(passed - 1e-6))


@operator(show="Flow.unfold({}, {})")
async def unfold(seed: S, fn: Callback[[S], tuple[T, S] | None]) -> Items[T]:
    with Turns(repeat(None)) as turns:
        for part in turns:
            for _ in part:
                step = await fn(seed)
                if step is None:
                    turns.stop()
                    break
                x, seed = check_step(step)
                yield x
            if turns.over():
                await turns.let_others_run()


def check_step(step: tuple[T, S]) -> tuple[T, S]:
    """Return what the function of `unfold` returned, if it is a pair."""
    given: object = step
    if not (isinstance(given, tuple) and len(step) == 2):
        message = f"unfold: fn must return (item, next_state) or None; got {step!r}"
        raise TypeError(message)
    return step


@operator(show="Flow.from_queue({})")
async def queue_items(queue: Gettable[T]) -> Items[T]:
    check_queue(queue)
    with Turns(repeat(None)) as turns:
        for part in turns:
            for _ in part:
                try:
                    x = await queue.get()
                except Exception as error:
                    if not is_shut_down(error):
                        raise
                    turns.stop()
                    break
                yield x
            if turns.over():
                await turns.let_others_run()


def is_shut_down(error: Exception) -> bool:
    """Tell whether a queue says by an error that it has been shut down and is empty.

    Those of other packages have classes of their own for it, of the same name.
    """
    return any(kind.__name__.endswith("QueueShutDown") for kind in type(error).__mro__)
