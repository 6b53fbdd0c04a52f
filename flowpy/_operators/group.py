"""Operators that put items together: in lists, chunked or windowed; in groups."""

from __future__ import annotations

from collections import deque
from itertools import count
from sys import maxsize
from typing import TYPE_CHECKING, Generic, TypeVar

from flowpy._arrivals import Arrivals, stamp
from flowpy._crew import Crew, after
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._operators.share import Group, Hub, Lane
from flowpy._types import MISSING, Callback, Items, Missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")
G = TypeVar("G")
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
        for tick in count(1):  # pragma: no branch - has no end
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
            if step >= period:
                window.clear()  # or the window at the end would show again what was in it


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


@operator(
    seam="sorts items in a task of its own",
    holds="at most {capacity} items of each group wait",
)
async def group_by(
    source: Items[T],
    key: Callback[[T], K],
    capacity: int,
    max_groups: int | None,
    flow: Callable[[K, Group[T]], G],
) -> Items[G]:
    hub: Hub[G] = Hub("group_by")
    new: Lane[G] = Lane(hub, capacity)
    groups = Groups(new, max_groups, flow)
    async with new:
        hub.start(sort, source, key, groups)
        items = new.items
        try:
            while items or await new.more():
                yield new.take()
        except GeneratorExit:
            # As after `take(2).flat_map(..., concurrency=2)`: the tasks that are to
            # collect groups may have been started, and not yet have begun.
            new.close()
            await hub.turns(groups.all_begun)
            raise


async def sort(
    source: AsyncIterator[T], key: Callback[[T], K], groups: Groups[K, T, G]
) -> None:
    """Put each item in the lane of its group."""
    new, hub = groups.new, groups.new.hub
    async for x in source:
        lane = groups.lane(await key(x))
        if lane is None or lane.gone:
            going_on = await hub.dropped()
        else:
            full = lane.put(x)
            going_on = not (full or new.full) or await hub.room((lane, new))
        if not going_on:
            break


class Groups(Generic[K, T, G]):
    """The groups of one collection; each new one is handed out through a lane."""

    __slots__ = ("_flow", "_lanes", "_most", "new")

    def __init__(
        self, new: Lane[G], most: int | None, flow: Callable[[K, Group[T]], G]
    ) -> None:
        self.new = new
        self._most = most
        self._flow = flow
        self._lanes: dict[K, Lane[T]] = {}
        """Least recently used first, if there is a limit to them."""

    def lane(self, key: K) -> Lane[T] | None:
        """Return the lane of a group, a new one if need be; None if nobody wants one."""
        lanes = self._lanes
        lane = lanes.get(key)
        if lane is None:
            if self.new.gone:
                return None
            if len(lanes) == self._most:
                lanes.pop(next(iter(lanes))).end()
            lane = lanes[key] = Lane(self.new.hub, self.new.capacity)
            self.new.put(self._flow(key, Group(self.new.hub, lane)))
        elif self._most is not None:
            lanes[key] = lanes.pop(key)
        return lane

    def all_begun(self) -> bool:
        """Tell whether no group is left that somebody may collect yet."""
        return not any(lane.awaited for lane in self._lanes.values())
