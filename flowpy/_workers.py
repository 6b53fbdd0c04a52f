"""Workers of one stage: children of a crew that each handle one item at a time.

They are started as they are needed, and go on with the next item: a task for each item
would cost twice as much. What makes a stage of them stands in `_operators`.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from flowpy._callbacks import bare
from flowpy._crew import Channel, Child, Crew, Gone, Line, pump
from flowpy._iterating import (
    check_inner,
    closing,
    is_async_iterable,
    keep_first,
    read_in_turns,
    size_of,
)
from flowpy._operator import Unopened
from flowpy._scheduler import protected

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Coroutine,
        Iterator,
    )

    from flowpy._types import FlowLike

T = TypeVar("T")
U = TypeVar("U")

AHEAD = 16
"""Items that each of several inner flows may be ahead, as with `merge`."""


Slot = list[Any]
"""The place of a call in an ordered line: empty until the result is there."""


class Worker:
    """A child that takes one item after another."""

    __slots__ = ("child", "idle", "slot")

    def __init__(self) -> None:
        self.child: Child | None = None
        self.idle = False
        self.slot: Slot | None = None
        """That of the call which it makes, where calls have an order."""


class Workers(Channel[T]):
    """The items of a source on their way to at most `size` workers.

    An item is pulled only when a worker is free for it, and while fewer than `most` of
    those that were pulled have not been passed on.
    """

    __slots__ = (
        "busy",
        "finished",
        "most",
        "pending",
        "size",
        "slots",
        "workers",
    )

    items: deque[Any]
    pending: int

    def __init__(self, crew: Crew, size: int, most: float = inf) -> None:
        # Its reader waits where workers do that are free.
        super().__init__(crew, 1, crew.scheduler.gate())
        self.size = size
        self.most = most
        self.busy = 0
        """How many items workers have or are about to get."""
        self.pending = 0
        """How many were pulled and, where that is bounded, not yet passed on."""
        self.slots: deque[Slot] | None = None
        """Those of all calls that were not yet passed on, where the order counts; then
        each item comes with its own."""
        self.finished = False
        """Whether workers that are free may leave."""
        self.workers: list[Worker] = []

    def hire(self, worker: Worker) -> Child:
        """Start a worker; each kind of workers has its own."""
        raise NotImplementedError  # pragma: no cover - abstract

    async def feed(self, source: AsyncIterator[T]) -> None:
        """Iterate and close the source, and hand its items to the workers."""
        give, free, size, most = self.items.append, self.arrival, self.size, self.most
        waiting, wake_one, slots = free.parked, free.wake_one, self.slots
        try:
            async with closing(source):
                if self.over():
                    return  # before the first step
                async for x in source:
                    if not self.ahead:
                        self.over()
                        return
                    self.busy += 1
                    self.pending += 1
                    if slots is None:
                        give(x)
                    else:
                        slots.append([])
                        give((x, slots[-1]))
                    if waiting:
                        wake_one()
                    elif len(self.workers) < size:
                        self.add_worker()
                    if (
                        self.busy >= size or self.pending >= most
                    ) and not await self.room():
                        return
        finally:
            self.finished = True
            self.arrival.wake()

    def add_worker(self) -> None:
        """Start one more worker."""
        worker = Worker()
        self.workers.append(worker)
        worker.child = self.hire(worker)

    def is_full(self) -> bool:
        return (self.busy >= self.size or self.pending >= self.most) and self.ahead > 0

    def waiting(self) -> int:
        return self.busy

    def release(self) -> None:
        if self.busy < self.size and self.pending < self.most:
            self._held.wake_one()

    @protected
    def close(self) -> None:
        self.finished = True
        self.items.clear()
        super().close()
        for worker in self.workers:
            if worker.idle and worker.child is not None:
                worker.child.leave()


class Calls(Workers[T], Generic[T, U]):
    """Calls of a function for the items of a source, at most `size` at once.

    Their results are read in the order in which the calls end. At most `2 * size` items
    have been pulled and not yet passed on.

    A child pulls the items, since a source may hold what only one task can leave. Those
    of a collection, for which no code of a user runs, workers take themselves: that
    saves each of them one of two turns.
    """

    __slots__ = (
        "call",
        "cancelled",
        "done",
        "error",
        "feeder",
        "left",
        "note",
        "results",
        "stopped",
    )

    def __init__(
        self, crew: Crew, size: int, call: Callable[[T], Coroutine[Any, Any, U]]
    ) -> None:
        super().__init__(crew, size, 2 * size)
        self.call, self.note = bare(call)
        self.results: Channel[U] = crew.channel(1)
        self.done = self.results.items
        self.feeder: Child | None = None
        self.left: Iterator[T] | None = None
        """What is left of a collection, if the source is one."""
        self.error: Exception | None = None
        """What to raise at the end of the line."""
        self.stopped = False
        """Whether a call has failed, so that the line ends here."""
        self.cancelled: list[Child] = []
        """Those that were cancelled then: what their cleanup raises is noted."""

    def start(self, source: AsyncIterator[T]) -> None:
        """Have a child iterate the source, unless that is a collection."""
        items = source._collection() if isinstance(source, Unopened) else None
        if items is None or size_of(items) < self.size:
            self.feeder = self.crew.spawn(self.feed, source, feeds=self.results)
            return
        self._held, self.parked = self.arrival, self.arrival.parked
        self.left = iter(items)
        self.results.enter()  # or they would end if the first worker did at once
        for _ in range(self.size):
            self.add_worker()
        self.results.leave()

    def pull(self) -> bool:
        """Have a worker take an item of a collection; False if it is to wait."""
        if self.left is None or self.pending >= self.most:
            return False
        try:
            for x in self.left:  # written out as in `feed`: it is done for each item
                self.busy += 1
                self.pending += 1
                if self.slots is None:
                    self.items.append(x)
                else:
                    self.slots.append([])
                    self.items.append((x, self.slots[-1]))
                return True
        except RuntimeError as error:  # a dict or set that has been changed
            self.line_ends_with(error)
        self.left = None
        self.finished = True
        self.arrival.wake()
        return False

    def hire(self, worker: Worker) -> Child:
        return self.crew.spawn(self.work, worker, feeds=self.results, needed=False)

    def waiting(self) -> int:
        return self.pending - len(self.done)  # those are in a channel of their own

    async def feed(self, source: AsyncIterator[T]) -> None:
        try:
            await super().feed(source)
        except Exception as error:
            # Calls for the items before it go on: it comes after their results.
            if self.error is None and not self.ahead:
                raise
            self.line_ends_with(error)

    async def work(self, worker: Worker) -> None:
        """Make one call after another."""
        todo, done, arrival = self.items, self.done, self.results.arrival
        awaited, held = arrival.parked, self.parked
        call, free = self.call, self.arrival
        while True:
            while not (todo or self.pull()):
                if self.finished:
                    return
                worker.idle = True
                await free.park()
                worker.idle = False
            try:
                y = await call(todo.popleft())
            except Exception as error:
                if not self.fail(worker, error):
                    raise
                return
            self.busy -= 1
            done.append(y)
            if awaited:
                arrival.wake()
            if held and self.pending < self.most:
                self.release()

    @protected
    def fail(self, worker: Worker, error: Exception) -> bool:
        """End the line with the error of a call; False if nobody asks for it."""
        if self.crew.closing:
            return False
        self.note(error)
        if self.stopped:
            self.line_ends_with(error)
        else:
            self.line_ends_before(error)
            self.stop({each for each in self.workers if each is not worker})
        return True

    def line_ends_with(self, error: Exception) -> None:
        """Let the line end with an error, unless it does so already."""
        if self.error is None:
            self.error = error
        elif error is not self.error:
            keep_first(self.error, error)

    def line_ends_before(self, error: Exception) -> None:
        """Let the line end with an error, which comes before where it was to end."""
        if self.error is not None and error is not self.error:
            keep_first(error, self.error)
        self.error = error

    @protected
    def close(self) -> None:
        self.left = None
        super().close()

    def stop(self, workers: set[Worker]) -> None:
        """Pull no more, and cancel the calls of some workers."""
        self.stopped = True
        self.close()
        self.results.arrival.wake()
        children = [worker.child for worker in workers if not worker.idle]
        self.cancelled += [child for child in (self.feeder, *children) if child]
        self.crew.dismiss(self.cancelled)

    async def more(self, until: float | None = None) -> bool:
        while not self.is_ready():
            self.crew.check()
            if self.results.ended or (self.stopped and self.is_over()):
                await self.crew.join(*self.cancelled)
                return self.end()
            await self.results.arrival.park()
        return True

    def end(self) -> Literal[False]:
        """Raise the error at the end of the line, if there is one."""
        error, self.error = self.error, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # or it and this frame would keep each other alive
        return False

    def is_ready(self) -> bool:
        """Tell whether the next result is there."""
        return bool(self.done)

    def is_over(self) -> bool:
        """Tell whether nothing is left of a line that has been stopped."""
        return not self.done


class OrderedCalls(Calls[T, U]):
    """The same, with results in the order of the items."""

    __slots__ = ("in_order",)

    def __init__(
        self, crew: Crew, size: int, call: Callable[[T], Coroutine[Any, Any, U]]
    ) -> None:
        super().__init__(crew, size, call)
        self.in_order: deque[Slot] = deque()
        self.slots = self.in_order

    async def work(self, worker: Worker) -> None:
        todo, in_order, arrival = self.items, self.in_order, self.results.arrival
        awaited, held = arrival.parked, self.parked
        call, free = self.call, self.arrival
        while True:
            while not (todo or self.pull()):
                if self.finished:
                    return
                worker.idle = True
                await free.park()
                worker.idle = False
            x, slot = todo.popleft()
            worker.slot = slot
            try:
                slot.append(await call(x))
            except Exception as error:
                if not self.fail(worker, error):
                    raise
                return
            self.busy -= 1
            if awaited and in_order and in_order[0] is slot:
                arrival.wake()
            if held and self.pending < self.most:
                self.release()

    @protected
    def fail(self, worker: Worker, error: Exception) -> bool:
        if self.crew.closing:
            return False
        self.note(error)
        if any(slot is worker.slot for slot in self.in_order):
            dropped: set[int] = set()
            while (last := self.in_order.pop()) is not worker.slot:
                dropped.add(id(last))
            self.line_ends_before(error)
            self.stop({each for each in self.workers if id(each.slot) in dropped})
        else:  # behind the end of the line
            self.line_ends_with(error)
        return True

    def is_ready(self) -> bool:
        return bool(self.in_order) and bool(self.in_order[0])

    def is_over(self) -> bool:
        return not self.in_order


class Flows(Workers[T], Generic[T, U]):
    """Inner flows, at most `size` at once: their items stand in one line.

    Each worker waits while `AHEAD` items of its inner flows have not been taken.
    """

    __slots__ = ("call", "queue")

    def __init__(
        self,
        crew: Crew,
        size: int,
        call: Callable[[T], Coroutine[Any, Any, FlowLike[U]]],
    ) -> None:
        super().__init__(crew, size)
        self.call = call
        self.queue: Line[U] = crew.line()

    def start(self, source: AsyncIterator[T]) -> None:
        """Have a child iterate the source."""
        self.crew.spawn(self.feed, source, feeds=self.queue)

    def hire(self, worker: Worker) -> Child:
        channel = self.queue.channel(AHEAD)
        return self.crew.spawn(self.work, worker, channel, feeds=channel)

    async def work(self, worker: Worker, channel: Channel[U]) -> None:
        """Read one inner flow after another."""
        todo, free = self.items, self.arrival
        while True:
            while not todo:
                if self.finished:
                    return
                worker.idle = True
                await free.park()
                worker.idle = False
            inner = await inner_flow(self.crew, self.call, todo.popleft())
            await pump(inner, channel)
            if channel.over():
                return
            self.busy -= 1
            if self.parked:
                self.release()


async def called(crew: Crew, fn: Callable[[T], Coroutine[Any, Any, U]], item: T) -> U:
    """Call a function that nobody asks for once the stage is being closed.

    Raises `Gone` if it failed then.
    """
    try:
        return await fn(item)
    except Exception:
        if crew.closing:
            raise Gone from None
        raise


async def inner_flow(
    crew: Crew, fn: Callable[[T], Coroutine[Any, Any, FlowLike[U]]], item: T
) -> AsyncIterator[U]:
    """Return a fresh iterator over what a function gives for an item."""
    inner: Any = await called(crew, fn, item)
    if is_async_iterable(inner):
        return aiter(inner)
    return read_in_turns(check_inner(inner))
