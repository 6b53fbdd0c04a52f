"""Operators that watch a flow begin, go on, end and fail: on_start, log, measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowpy._meter import Description, Snapshot
    from flowpy._types import Callback, Items

T = TypeVar("T")
U = TypeVar("U")


@operator(keeps_count=True)
async def on_start(source: Items[T], fn: Callback[[], object]) -> Items[T]:
    await fn()
    async with closing(source):
        async for x in source:
            yield x


@operator(seam="tells an error above it from a stop below it", keeps_count=True)
async def on_completion(
    source: Items[T], fn: Callback[[BaseException | None], object]
) -> Items[T]:
    try:
        async with closing(source):
            async for x in source:
                yield x
    except GeneratorExit:
        await fn(None)
        raise
    except BaseException as error:
        await fn(error)
        raise
    await fn(None)


@operator(keeps_count=True)
async def on_empty(source: Items[T], fn: Callback[[], object]) -> Items[T]:
    empty = True
    async with closing(source):
        async for x in source:
            empty = False
            yield x
    if empty:
        await fn()


@operator
async def if_empty(source: Items[T], items: tuple[U, ...]) -> Items[T | U]:
    empty = True
    async with closing(source):
        async for x in source:
            empty = False
            yield x
    if empty:
        for y in items:
            yield y


@operator(seam="tells an error above it from a stop below it", keeps_count=True)
async def log(source: Items[T], name: str | None, level: int) -> Items[T]:
    from logging import ERROR, getLogger  # noqa: PLC0415 - slow to import

    logger = getLogger(name or "flowpy")
    count = 0
    try:
        async with closing(source):
            async for x in source:
                logger.log(level, "item %d: %r", count, x)
                count += 1
                yield x
    except GeneratorExit:
        logger.log(level, "stopped after %d items", count)
        raise
    except Exception:
        logger.log(max(level, ERROR), "failed after %d items", count, exc_info=True)
        raise
    except BaseException as cancelled:
        logger.log(level, "cancelled after %d items: %r", count, cancelled)
        raise
    logger.log(level, "ended after %d items", count)


@operator(keeps_count=True)
async def progress(
    source: Items[T], description: str | None, total: int | None, sized: object
) -> Items[T]:
    bar = Progress(description, total, sized)
    async with bar:  # noqa: SIM117 - what can be fused is closed in a block of its own
        async with closing(source):
            async for x in source:
                bar.items += 1
                if bar.items >= bar.due:
                    await bar.look()
                yield x


@operator(
    seam="counts what each stage passes on, and tells an observer from a task",
    keeps_count=True,
)
def measure(
    reopen: Callable[[], Items[T]],
    observer: Callback[[Snapshot], object],
    description: Description,
) -> Items[T]:
    # Counters stand between the stages above once the chain is opened: see `_chain`.
    raise NotImplementedError  # pragma: no cover
