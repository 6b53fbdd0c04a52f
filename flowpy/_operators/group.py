"""Operators that make lists of neighbouring items: chunked, windowed, chunked_by."""

from __future__ import annotations

from typing import TypeVar

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
