"""Operators that wait for the clock, or look at it: debounce, sample, timeout.

What comes at the same instant as a deadline counts as having come before it.
"""

from __future__ import annotations

from math import floor, inf
from typing import TYPE_CHECKING, TypeVar

from flowpy._arrivals import Arrivals, Newest, keep_newest, keep_until_quiet, stamp
from flowpy._crew import Channel, Crew, after
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._scheduler import current_scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from flowpy._types import Callback, Duration, Items

T = TypeVar("T")
U = TypeVar("U")

EARLY = 1e-4
"""The part of an interval by which an item may come too early and be on time: floats
round, event loops fire timers a little early, and marbles are played so."""

CATCH_UP = 0.1
"""The part of a step that `pace` makes up for, where the loop woke it late."""


@operator(seam="runs upstream in a task of its own", holds="at most 1 item waits")
async def debounce(
    source: Items[T], seconds: Callback[[T], Duration] | float
) -> Items[T]:
    async with Crew("debounce") as crew:
        newest: Newest[T] = Newest(crew)
        newest.replace()
        crew.spawn(keep_until_quiet, source, newest, seconds, feeds=newest)
        while await newest.quiet():
            x = newest.take()
            newest.hold()
            yield x
            newest.replace()


@operator
async def throttle(source: Items[T], seconds: float) -> Items[T]:
    now = current_scheduler().now
    opens = -inf
    async with closing(source):
        async for x in source:
            time = now()
            if time >= opens:
                opens = time + seconds * (1 - EARLY)
                yield x


@operator(
    method="throttle",
    seam="runs upstream in a task of its own",
    holds="at most 1 item waits",
    trailing=True,
)
async def throttle_trailing(source: Items[T], seconds: float) -> Items[T]:
    async with Crew("throttle") as crew:
        scheduler = crew.scheduler
        newest: Newest[T] = Newest(crew)
        crew.spawn(keep_newest, source, newest, feeds=newest)
        while newest.items or await newest.more():
            x = newest.take()
            closes = scheduler.now() + seconds
            newest.replace()
            yield x
            if not await newest.lasts(after(closes)):
                if not newest.items:
                    break
                await scheduler.sleep(closes - scheduler.now())
            elif not newest.items:
                newest.hold()


@operator(seam="runs upstream in a task of its own", holds="at most 1 item waits")
async def sample(source: Items[T], period: float) -> Items[T]:
    async with Crew("sample") as crew:
        now = crew.scheduler.now
        start = now()
        newest: Newest[T] = Newest(crew)
        newest.replace()
        crew.spawn(keep_newest, source, newest, feeds=newest)
        while newest.items or await newest.more():
            # The next tick that is not over. No timer is set while nothing is new.
            tick = max(floor((now() - start) / period), 1)
            while now() >= after(start + tick * period):
                tick += 1
            if not await newest.lasts(after(start + tick * period)):
                break
            yield newest.take()


@operator(
    method="sample",
    seam="runs upstream and the ticks in tasks of their own",
    holds="at most 1 item waits",
)
async def sample_by(source: Items[T], period: AsyncIterable[object]) -> Items[T]:
    async with Crew("sample") as crew:
        now = crew.scheduler.now
        newest: Newest[T] = Newest(crew)
        ticks: Newest[object] = Newest(crew)
        newest.replace()
        ticks.replace()
        crew.spawn(keep_newest, source, newest, feeds=newest)
        crew.spawn(keep_newest, aiter(period), ticks, feeds=ticks)
        while True:
            while not (ticks.items or newest.ended or crew.error):
                await crew.arrival.park()
            # What comes at the same instant as a tick comes before it, the end too.
            if not await newest.lasts(after(now())):
                break
            if newest.items:
                yield newest.take()
            ticks.items.clear()


@operator(
    seam="runs upstream in a task of its own",
    holds="at most {capacity} items wait",
    keeps_count=True,
)
async def delay(source: Items[T], seconds: float, capacity: int) -> Items[T]:
    async with Crew("delay") as crew:
        scheduler = crew.scheduler
        arrivals: Arrivals[T] = Arrivals(crew, capacity)
        crew.spawn(stamp, source, arrivals, feeds=arrivals)
        items = arrivals.items
        while items or await arrivals.more():
            wait = items[0][0] + seconds - scheduler.now()
            if wait > 0:
                await scheduler.sleep(wait)
            yield arrivals.take()[1]


@operator(keeps_count=True)
async def delay_start(source: Items[T], seconds: float) -> Items[T]:
    await current_scheduler().sleep(seconds)
    async with closing(source):
        async for x in source:
            yield x


@operator(keeps_count=True)
async def pace(source: Items[T], count: int, per: float) -> Items[T]:
    scheduler = current_scheduler()
    step = per / count
    due = -inf
    async with closing(source):
        async for x in source:
            time = scheduler.now()
            if time < due:
                await scheduler.sleep(due - time)
                # A timer that came late does not shift those that follow, but nor do
                # two items come at once after the loop stood still.
                due = max(due, scheduler.now() - step * CATCH_UP)
            else:
                due = time
            due += step
            yield x


@operator(seam="runs upstream in a task of its own", holds="no item waits")
async def timeout(
    source: Items[T], seconds: float, fallback: AsyncIterable[U] | None
) -> Items[T | U]:
    number = 0
    async with Crew("timeout") as crew:
        now = crew.scheduler.now
        channel: Channel[T] = crew.channel(1)
        crew.pump(source, channel)
        while await channel.more(after(now() + seconds, extra=0.5)):
            yield channel.items.popleft()
            channel.release()  # not before: nothing is pulled that was not asked for
            number += 1
        if channel.ended:
            return
        if fallback is None:  # pragma: no branch - CPython names another line after it
            message = f"timeout: waited {seconds:g} s for item {number}, counted from 0"
            raise TimeoutError(message)
    async with closing(aiter(fallback)) as items:
        async for y in items:
            yield y
