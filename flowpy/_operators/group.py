"""Operators that make lists of neighbouring items: chunked, windowed, chunked_by."""

from __future__ import annotations

from collections import deque
from itertools import count
from sys import maxsize
from typing import TypeVar

from flowpy._arrivals import Arrivals, stamp
from flowpy._crew import Crew, after
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._types import MISSING, Callback, Items, Missing

T = TypeVar("T")
K = TypeVar("K")


@operator
async def chunked(source: Items[T], size: int) -> Items[list[T]]:
    chunk: list[T] = []
    failure: Exception | None = None
    try:
        async with closing(source):
            async for x in source:
                chunk.append(x)
                if len(chunk) == size:
                    full, chunk = chunk, []
                    yield full
    except Exception as error:
        if not chunk:  # always so at the yield: what is raised below passes untouched
            raise
        failure = error
    if chunk:
        yield chunk
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # or it and this frame would keep each other alive


@operator(
    method="chunked",
    seam="runs upstream in a task of its own",
    holds="at most {ahead} items wait, next to a chunk",
)
async def chunked_within(
    source: Items[T], size: int | None, within: float, ahead: int
) -> Items[list[T]]:
    most = size or maxsize
    async with Crew("chunked") as crew:
        arrivals: Arrivals[T] = Arrivals(crew, ahead)
        crew.spawn(stamp, source, arrivals, feeds=arrivals)
        items = arrivals.items
        while items or await arrivals.more():
            until = after(items[0][0] + within)
            chunk = arrivals.take_until(until, most)
            # What is left came later; an error is raised once this chunk is given.
            while (
                (missing := most - len(chunk))
                and not items
                and await arrivals.gather(missing, until)
            ):
                chunk += arrivals.take_until(until, missing)
            yield [x for _, x in chunk]


AHEAD = 1024
"""Items that may wait while a window or a chunk without a size is being used."""


@operator(
    seam="runs upstream in a task of its own",
    holds=f"at most {AHEAD} items wait, next to a window",
)
async def windowed_by_time(
    source: Items[T], period: float, every: float | None
) -> Items[list[T]]:
    step = period if every is None else every
    async with Crew("windowed_by_time") as crew:
        start = crew.scheduler.now()
        arrivals: Arrivals[T] = Arrivals(crew, AHEAD)
        crew.spawn(stamp, source, arrivals, feeds=arrivals)
        window: deque[tuple[float, T]] = deque()
        for tick in count(1):
            instant = start + tick * step
            until = after(instant)
            fresh = arrivals.take_until(until, maxsize)
            while not arrivals.items and await arrivals.gather(maxsize, until):
                fresh += arrivals.take_until(until, maxsize)
            window.extend(fresh)
            ended = not arrivals.items and arrivals.over_at < until
            if ended:
                crew.check()
                instant = arrivals.over_at
            horizon = instant - period
            # The first windows reach back to the start, and have what came just then.
            while horizon > after(start) and window and window[0][0] <= after(horizon):
                window.popleft()
            if not ended or (fresh and window):
                yield [x for _, x in window]
            if ended:
                break


@operator
async def windowed(
    source: Items[T],
    size: int,
    step: int,
    partial: bool,
) -> Items[list[T]]:
    window: list[T] = []
    skip = 0
    async with closing(source):
        async for x in source:
            if skip:
                skip -= 1
            else:
                window.append(x)
                if len(window) == size:
                    # Who gets a window may change it: the next is cut off before.
                    full, window = window, window[step:]
                    yield full
                    skip = max(step - size, 0)
    while partial and window:
        short, window = window, window[step:]
        yield short


@operator
async def chunked_by(
    source: Items[T], key: Callback[[T], K]
) -> Items[tuple[K, list[T]]]:
    run: list[T] = []
    last: K | Missing = MISSING
    failure: Exception | None = None
    try:
        async with closing(source):
            async for x in source:
                own = await key(x)
                if last is not MISSING and last != own:
                    ended, run = run, []
                    yield last, ended
                last = own
                run.append(x)
    except Exception as error:
        if not run:  # always so at the yield: what is raised below passes untouched
            raise
        failure = error
    if last is not MISSING and run:
        yield last, run
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None  # or it and this frame would keep each other alive
