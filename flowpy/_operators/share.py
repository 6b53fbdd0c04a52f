"""Operators whose flows share one collection: broadcast, partition.

`Hub` is that collection: of these, and of the groups of `group_by`.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowpy._crew import Child, Crew, claim
from flowpy._errors import FlowConsumedError
from flowpy._iterating import SLICE, closing
from flowpy._operator import operator

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
    )
    from types import TracebackType

    from flowpy._scheduler import Gate
    from flowpy._types import Callback, Items

T = TypeVar("T")

TURNS = 3
"""Turns of the event loop in which a task that was started has begun its work."""


class Hub(Generic[T]):
    """One collection, read by several flows in whatever tasks.

    The first of them to be collected starts it, in a crew whose child sorts the items
    into lanes. The last one to leave waits until it has ended. So the crew is entered
    by one task, and left by another.
    """

    __slots__ = (
        "_begun",
        "_call",
        "_child",
        "_crew",
        "_cut",
        "_dropped",
        "_error",
        "_forgotten",
        "_gate",
        "lanes",
        "name",
        "over",
        "readers",
    )

    _call: Callable[[Callable[[], object]], object]
    _crew: Crew
    _gate: Gate

    def __init__(self, name: str, lanes: int = 0, capacity: int = 0) -> None:
        self.name = name
        self.over = False
        """Whether no item comes any more."""
        self.lanes = tuple(Lane[T](self, capacity) for _ in range(lanes))
        """Those for which it goes on, as long as they may be collected yet."""
        self.readers: set[Lane[Any]] = set()
        self._begun = self._cut = self._forgotten = False
        self._child: Child | None = None
        self._dropped = 0
        self._error: BaseException | None = None

    def branches(self) -> list[Branch[T]]:
        """Return a branch for each lane."""
        return [Branch(self, lane, number) for number, lane in enumerate(self.lanes)]

    # What its flows do:

    def start(
        self, fn: Callable[..., Awaitable[None]], source: Any, *args: Any
    ) -> None:
        """Run `fn(source, *args)`, which fills the lanes, unless that was done before."""
        if self._begun:
            return
        self._begun = True
        self._crew = Crew(self.name)
        self._gate = self._crew.scheduler.gate()
        self._call = self._crew.scheduler.caller()
        child = self._crew.spawn(self._run, fn, source, *args)
        self._child = child

    async def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the reader of a lane go; the last one waits until all has ended."""
        if self.readers or any(lane.awaited for lane in self.lanes):
            self.wake()
            return
        self._cut = not self.over
        self.wake()
        await self._crew.__aexit__(kind, error, traceback)

    def refuse(self) -> None:
        """Raise if it was ended for want of readers."""
        if self._cut:
            message = f"{self.name}: the flow was closed before this part was collected"
            raise FlowConsumedError(message)

    def check(self) -> None:
        """Raise the error with which the source ended."""
        if self._error is not None:
            raise self._error

    def wake(self) -> None:
        """Have the child look whether it may go on."""
        if self._begun and self._gate.parked:
            self._gate.wake()

    def drop(self) -> None:
        """Take note, in any thread, that a flow is gone that was never collected."""
        if self._begun and not self.over:
            with suppress(RuntimeError):  # the event loop is closed
                self._call(self._forget)

    def _forget(self) -> None:
        if self._crew.closing:
            return  # the last reader has stopped the child, whose cleanup may wait
        if self.readers or any(lane.awaited for lane in self.lanes):
            self.wake()
        elif self._child is not None and not self.over:
            self._forgotten = True
            self.wake()
            if not self._child.resting:
                self._crew.dismiss((self._child,))

    # What its child does:

    async def _run(
        self, fn: Callable[..., Awaitable[None]], source: AsyncIterator[Any], *args: Any
    ) -> None:
        crew = self._crew
        try:
            async with closing(source):
                await fn(source, *args)
        except BaseException as error:
            if crew.closing:
                raise
            if isinstance(error, crew.scheduler.cancelled):
                message = f"{crew.name}: the event loop ended its collection"
                self._error = RuntimeError(message)
                raise
            self._error = error
        finally:
            self.over = True
            for lane in tuple(self.readers):
                lane.wake()

    async def room(self, lanes: Iterable[Lane[Any]]) -> bool:
        """Wait until none of the lanes is full; False if nobody reads any more."""
        return await self._rest(lambda: not any(lane.full for lane in lanes))

    async def dropped(self) -> bool:
        """Wait, after an item that no lane got, until somebody waits for another.

        Returns False if nobody reads any more.
        """
        self._dropped += 1
        if self._dropped % SLICE == 0:
            # A source that never waits would keep even the readers from running.
            await self._crew.scheduler.checkpoint()
        return await self._rest(lambda: any(lane.hungry for lane in self.readers))

    async def _rest(self, done: Callable[[], bool]) -> bool:
        """Wait until something is done; False if nobody reads any more."""
        crew = self._crew
        going_on = await crew.rest(self._gate, lambda: self._forgotten or done())
        return going_on and not self._forgotten

    async def turns(self, done: Callable[[], bool]) -> None:
        """Let tasks that have just been started begin."""
        for _ in range(TURNS):
            if self.over or done():
                break
            await self._crew.scheduler.checkpoint()


class Lane(Generic[T]):
    """Items on their way from a hub to one flow."""

    __slots__ = ("_gate", "begun", "capacity", "ended", "gone", "hub", "items")

    def __init__(self, hub: Hub[Any], capacity: int) -> None:
        self.items: deque[T] = deque()
        self.capacity = capacity
        self.begun = False
        """Whether it has been collected."""
        self.ended = False
        """Whether it gets no more items, though others do."""
        self.gone = False
        """Whether nobody reads it any more."""
        self.hub = hub
        self._gate: Gate | None = None

    @property
    def awaited(self) -> bool:
        """Whether nobody has collected it, but somebody may."""
        return not (self.begun or self.gone)

    @property
    def full(self) -> bool:
        """Whether the source has to wait for its reader."""
        return not self.gone and len(self.items) >= self.capacity

    @property
    def hungry(self) -> bool:
        """Whether its reader waits for an item."""
        return self._gate is not None and bool(self._gate.parked)

    # The hub's child:

    def put(self, item: T) -> bool:
        """Put an item in; return whether that made the lane full."""
        self.items.append(item)
        self.wake()
        return len(self.items) >= self.capacity

    def end(self) -> None:
        """Let it have no more items than it has."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Let its reader go on."""
        if self._gate is not None and self._gate.parked:
            self._gate.wake()

    # Its reader:

    async def __aenter__(self) -> Lane[T]:
        claim(self)
        self.hub.readers.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self.hub.readers.discard(self)
        await self.hub.leave(kind, error, traceback)

    def close(self) -> None:
        """Let nobody read it any more."""
        self.gone = True
        self.items.clear()

    def waiting(self) -> int:
        """Return how many items are in it."""
        return len(self.items)

    async def more(self) -> bool:
        """Wait until an item is there; False at the end, or raises the source's error."""
        hub = self.hub
        if self._gate is None and not hub.over:
            self._gate = hub._crew.scheduler.gate()
        while not self.items:
            if self.ended:
                return False
            if hub.over or self._gate is None:
                hub.check()
                return False
            hub.wake()  # an item that nobody wants may stand before the next
            await self._gate.park()
        return True

    def take(self) -> T:
        """Return the first item, and let the source go on."""
        item = self.items.popleft()
        if len(self.items) + 1 >= self.capacity:
            self.hub.wake()
        return item


class Branch(Generic[T]):
    """What one of the flows that share a collection has of it, to be collected once."""

    __slots__ = ("__weakref__", "_hub", "_lane", "number")

    def __init__(self, hub: Hub[Any], lane: Lane[T], number: int = 0) -> None:
        self._hub = hub
        self._lane = lane
        self.number = number

    def claim(self) -> Lane[T]:
        """Return the lane, the first time."""
        if self._lane.begun:
            message = (
                f"each flow of one {self._hub.name} can be collected once; where "
                "several are to read it, give each a flow of its own by broadcast"
            )
            raise FlowConsumedError(message)
        self._hub.refuse()
        self._lane.begun = True
        return self._lane

    def __repr__(self) -> str:
        return str(self.number)  # in the chain of its flow

    def __del__(self) -> None:
        if self._lane.awaited:
            self._lane.close()
            self._hub.drop()


class Group(Branch[T]):
    """What a group has of the collection that its items come from."""

    async def __aiter__(self) -> AsyncGenerator[T, None]:
        lane = self.claim()
        async with lane:
            items = lane.items
            while items or await lane.more():
                yield lane.take()


@operator(
    seam="shares one collection, which runs in a task of its own",
    holds="at most {capacity} items wait",
    show="broadcast({0})[{2}]",
)
async def broadcast(
    source: Items[T], n: int, capacity: int, branch: Branch[T]
) -> Items[T]:
    lane = branch.claim()
    async with lane:
        lane.hub.start(to_all, source, lane.hub)
        items = lane.items
        while items or await lane.more():
            yield lane.take()


async def to_all(source: AsyncIterator[T], hub: Hub[T]) -> None:
    """Put each item in every lane of a hub; the slowest sets the pace."""
    lanes = hub.lanes
    async for x in source:
        full, wanted = False, False
        for lane in lanes:
            if not lane.gone:
                wanted = True
                full |= lane.put(x)
        if not wanted or (full and not await hub.room(lanes)):
            break


@operator(
    seam="shares one collection, which runs in a task of its own",
    holds="at most 64 items wait",
    show="partition({0})[{1}]",
)
async def partition(
    source: Items[T], predicate: Callback[[T], object], branch: Branch[T]
) -> Items[T]:
    lane = branch.claim()
    async with lane:
        lane.hub.start(to_either, source, lane.hub, predicate)
        items = lane.items
        while items or await lane.more():
            yield lane.take()


async def to_either(
    source: AsyncIterator[T], hub: Hub[T], predicate: Callback[[T], object]
) -> None:
    """Put each item in one of the two lanes of a hub."""
    matching, rest = hub.lanes
    async for x in source:
        lane = matching if await predicate(x) else rest
        if lane.gone:
            if not await hub.dropped():
                break
        elif lane.put(x) and not await hub.room((lane,)):
            break
