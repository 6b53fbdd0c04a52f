"""What a stage tells while its items pass: at regular times, and once at the end.

A task of its own does it while the source waits. A source that never waits keeps that
from running: then it is done at an item, for which each item costs one comparison.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Self

from flowpy._crew import Crew, after
from flowpy._iterating import keep_first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

EARLY = 1e-3
"""The part of an interval by which a timer may be early and count as in time: floats
round."""

LATE = 1.5
"""Intervals after which it is told at an item."""


class Reporter:
    """Tells what has passed, as what inherits from it says how.

    ::

        async with reporter:
            async with closing(source):
                async for x in source:
                    count += 1
                    if count >= reporter.due:
                        await reporter.look()
                    yield x
    """

    __slots__ = (
        "_crew",
        "_every",
        "_looked",
        "_name",
        "_now",
        "_started",
        "_step",
        "_telling",
        "_told",
        "due",
    )

    _crew: Crew
    _looked: float
    _now: Callable[[], float]
    _started: float
    _told: float

    def __init__(self, name: str, every: float) -> None:
        self._name = name
        self._every = every
        self._telling = False
        self.due = self._step = 1
        """How many items are a reason to look at the clock."""

    async def tell(self, *, ended: bool) -> None:
        """Tell what has passed so far; `ended`: for the last time."""
        raise NotImplementedError  # pragma: no cover - abstract

    def passed(self) -> int:
        """Return how many items have passed."""
        raise NotImplementedError  # pragma: no cover - abstract

    def seconds(self) -> float:
        """Return how long the collection has been going on."""
        return self._now() - self._started

    async def __aenter__(self) -> Self:
        crew = self._crew = Crew(self._name, holds=False)
        self._now = crew.scheduler.now
        self._started = self._looked = self._told = self._now()
        crew.spawn(self._tell_regularly, crew.scheduler.sleep, needed=False)
        return self

    async def look(self) -> None:
        """See, at an item that is due, whether it has failed, or is late."""
        self._crew.check()
        now = self._now()
        since, self._looked = now - self._looked, now
        if since < self._every / 4:
            self._step *= 2
        elif since > self._every / 2:
            self._step = max(self._step // 2, 1)
        self.due = self.passed() + self._step
        if now - self._told > self._every * LATE and not self._telling:
            await self._tell()

    async def _tell_regularly(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        every = self._every
        while True:
            intervals = floor(self.seconds() / every + EARLY)
            # What comes at the same instant is counted.
            due = after(self._started + (intervals + 1) * every)
            await sleep(due - self._now())
            if not self._telling:  # at an item
                await self._tell()

    async def _tell(self, *, ended: bool = False) -> None:
        self._told = self._now()
        self._telling = True
        try:
            await self.tell(ended=ended)
        except BaseException:
            self.due = 0  # the next item finds the error
            raise
        finally:
            self._telling = False

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failure = self._crew.error
        try:
            try:
                await self._crew.__aexit__(kind, error, traceback)
            finally:
                await self._end(error or failure)
            if (
                failure is not None
                and failure is not error
                and (error is None or isinstance(error, Exception))
            ):
                keep_first(error, failure)
        finally:
            del failure  # or it and this frame would keep each other alive

    async def _end(self, error: BaseException | None) -> None:
        try:
            await self._tell(ended=True)
        except Exception as late:  # noqa: BLE001 - noted or raised
            if late is not error:
                keep_first(error, late)
