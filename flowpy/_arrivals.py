"""What the timed operators read: channels that know when an item came, or keep the last.

Not here: the crew and the channel itself (`_crew`), what the operators mean
(`_operators/time.py` and `group.py`).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, TypeVar

from flowpy._checks import check_duration
from flowpy._crew import Channel, Crew, after
from flowpy._iterating import SLICE, closing

if TYPE_CHECKING:
    from flowpy._types import Callback, Duration, Items

T = TypeVar("T")


class Arrivals(Channel[tuple[float, T]]):
    """Items with the time at which each was pulled."""

    __slots__ = ("over_at", "wanted")

    def __init__(self, crew: Crew, ahead: int) -> None:
        super().__init__(crew, ahead, crew.arrival)
        self.over_at = inf
        """When the source was closed, after its end or an error."""
        self.wanted = 1
        """How many items have to be there for the stage to be woken."""

    def take_until(self, instant: float, most: int) -> list[tuple[float, T]]:
        """Return the first items, at most so many, of those that came by an instant."""
        taken: list[tuple[float, T]] = []
        items = self.items
        while items and len(taken) < most and items[0][0] <= instant:
            taken.append(items.popleft())
        if self.parked:
            self.release()
        return taken

    async def gather(self, enough: int, until: float) -> bool:
        """Wait for `enough` items, or as many as it holds; return whether there are any.

        Leaves off at a time, at the end and at an error, which it does not raise.
        """
        items, crew, now = self.items, self.crew, self.crew.scheduler.now
        self.wanted = min(enough, self.ahead)
        while (
            len(items) < self.wanted
            and not self.ended
            and crew.error is None
            and now() < until
        ):
            await self.arrival.park_until(until)
        self.wanted = 1
        return bool(items)


async def stamp(source: Items[T], arrivals: Arrivals[T]) -> None:
    """Put the items of a source in line, each with the time at which it came."""
    items, now = arrivals.items, arrivals.crew.scheduler.now
    try:
        async with closing(source):
            if arrivals.over():
                return  # before the first step
            async for x in source:
                items.append((now(), x))
                if len(items) >= arrivals.wanted:
                    arrivals.arrival.wake()
                if len(items) >= arrivals.ahead and not await arrivals.full():
                    return
    finally:
        arrivals.over_at = now()


class Newest(Channel[T]):
    """One item: the newest. As the stage wants it, the next one waits or replaces it."""

    __slots__ = ("armed", "due")

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew, 1, crew.arrival)
        self.due = inf
        """When the item is to be passed on, where that depends on the item."""
        self.armed = inf
        """Until when the stage sleeps, if nobody wakes it."""

    def hold(self) -> None:
        """Let upstream wait until the item has been taken."""
        if self.ahead:  # it is not closed
            self.ahead = 1

    def replace(self) -> None:
        """Let upstream go on, and newer items take the place of the one that waits."""
        if self.ahead:
            self.ahead = 2
            self.release()

    def put_newest(self, item: T) -> None:
        """Put an item in the place of the one that waits."""
        if self.items:
            self.items[0] = item
        else:
            self.items.append(item)

    async def lasts(self, until: float) -> bool:
        """Wait until a time; return False if the end comes before it.

        Raises the error of a child, if that comes before it.
        """
        now = self.crew.scheduler.now
        while now() < until:
            self.crew.check()
            if self.ended:
                return False
            await self.arrival.park_until(until)
        return True

    async def quiet(self) -> bool:
        """Wait until the item is due, or the source ends; return whether there is one.

        Raises the error of a child, if that comes before it.
        """
        items, crew, arrival = self.items, self.crew, self.arrival
        now = crew.scheduler.now
        while True:
            until = self.due if items else inf
            if abs(until) < inf:
                until = after(until)
            if now() >= until:
                return True
            crew.check()
            if self.ended:
                return bool(items)
            self.armed = until
            if until < inf:
                await arrival.park_until(until)
            else:
                await arrival.park()


async def keep_newest(source: Items[T], newest: Newest[T]) -> None:
    """Keep the newest item of a source."""
    items, replaced = newest.items, 0
    async with closing(source):
        if newest.over():
            return
        async for x in source:
            if items:
                items[0] = x
                replaced += 1
            else:
                items.append(x)
                newest.arrival.wake()
            if len(items) >= newest.ahead and not await newest.full():
                return
            if replaced == SLICE:
                # A source that never waits would keep even its reader from running.
                replaced = 0
                await newest.crew.scheduler.checkpoint()


async def keep_until_quiet(
    source: Items[T],
    newest: Newest[T],
    seconds: Callback[[T], Duration] | float,
) -> None:
    """Keep the newest item of a source, and when it is due."""
    items, scheduler, count = newest.items, newest.crew.scheduler, 0
    now = scheduler.now
    async with closing(source):
        if newest.over():
            return  # before the first step
        async for x in source:
            newest.due = inf
            newest.put_newest(x)
            # While the stage is busy the item waits: its time has not begun.
            if len(items) >= newest.ahead and not await newest.full():
                return
            came = now()
            wait = (
                check_duration("seconds", await seconds(x))
                if callable(seconds)
                else seconds
            )
            newest.due = came + wait if wait else -inf
            if newest.due < newest.armed:
                newest.arrival.wake()
            if not wait:
                newest.hold()
                if not await newest.full():
                    return
            count += 1
            if count == SLICE:
                count = 0
                await scheduler.checkpoint()
