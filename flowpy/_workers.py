"""Workers of one stage: children of a crew that each handle one item at a time.

They are started as they are needed, and go on with the next item: a task for each item
would cost twice as much. What makes a stage of them stands in `_operators`.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowpy._crew import Channel, Child, Crew, Gone, Line, fill_in_line
from flowpy._iterating import (
    check_inner,
    closing,
    is_async_iterable,
    keep_first,
    read_in_turns,
)
from flowpy._scheduler import protected

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import AsyncIterator, Callable, Coroutine

    from flowpy._types import FlowLike

T = TypeVar("T")
U = TypeVar("U")

AHEAD = 16
"""Items that each of several inner flows may be ahead, as with `merge`."""


class Worker:
    """A child that takes one item after another."""

    __slots__ = ("child", "idle", "job")

    def __init__(self) -> None:
        self.child: Child | None = None
        self.idle = False
        self.job: object = None
        """The call that it makes, where calls have an order."""


class Workers(Channel[T]):
    """The items of a source on their way to at most `size` workers.

    An item is pulled only when a worker is free for it, and while fewer than `most` of
    those that were pulled have not been passed on.
    """

    __slots__ = ("_free", "_wake_one", "busy", "finished", "most", "pending", "size")
    __slots__ += ("feeder", "workers")

    def __init__(self, crew: Crew, size: int, most: float = inf) -> None:
        free = crew.scheduler.gate()
        super().__init__(crew, 1, free)
        self._free = free
        self._wake_one = free.wake_one
        self.size = size
        self.most = most
        self.busy = 0
        """How many items workers have or are about to get."""
        self.pending = 0
        """How many were pulled and not yet passed on, where that is bounded."""
        self.finished = False
        """Whether workers that are free may leave."""
        self.workers: list[Worker] = []
        self.feeder: Child | None = None

    # What a kind of workers defines:

    def hire(self, worker: Worker) -> Child:
        """Start a worker."""
        raise NotImplementedError

    # The child that iterates the source:

    async def feed(self, source: AsyncIterator[T]) -> None:
        """Iterate and close the source, and hand its items to the workers."""
        try:
            async with closing(source):
                if self.over():
                    return  # before the first step
                async for x in source:
                    if not self.ahead:
                        self.over()
                        return
                    self.hand(x)
                    if (
                        self.busy >= self.size or self.pending >= self.most
                    ) and not await self.room():
                        return
        finally:
            self.finished = True
            self._free.wake()

    def hand(self, x: Any) -> None:
        """Give an item to a worker that is free, or to a new one."""
        self.busy += 1
        self.items.append(x)
        if self._free.parked:
            self._wake_one()
        elif len(self.workers) < self.size:
            worker = Worker()
            self.workers.append(worker)
            worker.child = self.hire(worker)

    def is_full(self) -> bool:
        return (self.busy >= self.size or self.pending >= self.most) and self.ahead > 0

    def release(self) -> None:
        if self.busy < self.size and self.pending < self.most:
            self._held.wake()

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
    """

    __slots__ = ("call", "done", "error", "results", "stopped")

    done: deque[Any]

    def __init__(
        self, crew: Crew, size: int, call: Callable[[T], Coroutine[Any, Any, U]]
    ) -> None:
        super().__init__(crew, size, 2 * size)
        self.call = call
        self.results: Channel[Any] = crew.channel(1)
        self.done = self.results.items
        self.error: Exception | None = None
        """What to raise at the end of the line."""
        self.stopped = False
        """Whether a call has failed, so that the line ends here."""

    def start(self, source: AsyncIterator[T]) -> None:
        """Have a child iterate the source."""
        self.feeder = self.crew.spawn(self.feed, source, feeds=self.results)

    def hire(self, worker: Worker) -> Child:
        return self.crew.spawn(self.work, worker, feeds=self.results, needed=False)

    async def feed(self, source: AsyncIterator[T]) -> None:
        try:
            await super().feed(source)
        except Exception as error:
            # Calls for the items before it go on: it comes after their results.
            if self.error is not None:
                keep_first(self.error, error)
            elif self.ahead:
                self.error = error
            else:
                raise

    def hand(self, x: Any) -> None:
        self.pending += 1
        super().hand(x)

    async def work(self, worker: Worker) -> None:
        """Make one call after another."""
        todo, done, arrival = self.items, self.done, self.results.arrival
        awaited, held = arrival.parked, self.parked
        call, free = self.call, self._free
        while True:
            while not todo:
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
            if held:
                self.release()

    @protected
    def fail(self, worker: Worker, error: Exception) -> bool:
        """End the line with the error of a call; False if nobody asks for it."""
        if self.crew.closing:
            return False
        self.line_ends_with(error)
        if not self.stopped:
            self.stop({each for each in self.workers if each is not worker})
        return True

    def line_ends_with(self, error: Exception) -> None:
        """Let a call's error be the last of the line, unless another call's is."""
        if self.error is None:
            self.error = error
        elif self.stopped:
            if error is not self.error:
                keep_first(self.error, error)
        else:  # of the source, which was ahead
            if error is not self.error:
                keep_first(error, self.error)
            self.error = error

    def stop(self, workers: set[Worker]) -> None:
        """Pull no more, and cancel the calls of some workers."""
        self.stopped = True
        self.close()
        self.results.arrival.wake()
        children = [worker.child for worker in workers if not worker.idle]
        self.crew.dismiss(child for child in (self.feeder, *children) if child)

    async def more(self, until: float | None = None) -> bool:
        while not self.is_ready():
            self.crew.check()
            if self.error is not None and self.stopped and not self.done:
                raise self.error
            if self.results.ended:
                if self.error is not None:
                    raise self.error
                return False
            await self.results.arrival.park()
        return True

    def is_ready(self) -> bool:
        """Tell whether the next result is there."""
        return bool(self.done)


class Call:
    """One call of an ordered line."""

    __slots__ = ("done", "value")

    def __init__(self, item: Any) -> None:
        self.value = item
        """The item, then the result."""
        self.done = False


class OrderedCalls(Calls[T, U]):
    """The same, with results in the order of the items.

    `done` holds all calls that were started and not yet passed on.
    """

    __slots__ = ()

    def hand(self, x: Any) -> None:
        call = Call(x)
        self.done.append(call)
        super().hand(call)

    async def work(self, worker: Worker) -> None:
        todo, line, arrival = self.items, self.done, self.results.arrival
        awaited, held = arrival.parked, self.parked
        fn, free = self.call, self._free
        while True:
            while not todo:
                if self.finished:
                    return
                worker.idle = True
                await free.park()
                worker.idle = False
            call: Any = todo.popleft()
            worker.job = call
            try:
                call.value = await fn(call.value)
            except Exception as error:
                if not self.fail(worker, error):
                    raise
                return
            call.done = True
            self.busy -= 1
            if awaited and line and line[0] is call:
                arrival.wake()
            if held:
                self.release()

    @protected
    def fail(self, worker: Worker, error: Exception) -> bool:
        if self.crew.closing:
            return False
        call = worker.job
        if self.stopped and call not in self.done:  # behind the end of the line
            self.line_ends_with(error)
            return True
        dropped: set[object] = set()
        while (last := self.done.pop()) is not call:
            dropped.add(last)
        self.stopped = False  # of two calls that fail, the one before counts
        self.line_ends_with(error)
        self.stop({each for each in self.workers if each.job in dropped})
        return True

    def is_ready(self) -> bool:
        return bool(self.done) and self.done[0].done


class Flows(Workers[T], Generic[T, U]):
    """Inner flows, at most `size` at once: their items stand in one line.

    Each worker waits while `AHEAD` items of its inner flows have not been taken.
    """

    __slots__ = ("call", "line")

    def __init__(
        self,
        crew: Crew,
        size: int,
        call: Callable[[T], Coroutine[Any, Any, FlowLike[U]]],
    ) -> None:
        super().__init__(crew, size)
        self.call = call
        self.line: Line[U] = crew.line()

    def start(self, source: AsyncIterator[T]) -> None:
        """Have a child iterate the source."""
        self.crew.spawn(self.feed, source, feeds=self.line)

    def hire(self, worker: Worker) -> Child:
        channel = self.line.channel(AHEAD)
        return self.crew.spawn(self.work, worker, channel, feeds=channel)

    async def work(self, worker: Worker, channel: Channel[U]) -> None:
        """Read one inner flow after another."""
        todo, free = self.items, self._free
        while True:
            while not todo:
                if self.finished:
                    return
                worker.idle = True
                await free.park()
                worker.idle = False
            inner = await inner_flow(self.crew, self.call, todo.popleft())
            async with closing(inner):
                if channel.over():
                    return
                await fill_in_line(inner, channel, self.line)
            if channel.over():
                return
            self.busy -= 1
            if self.parked:
                self.release()


async def called(
    crew: Crew, fn: Callable[[T], Coroutine[Any, Any, U]], item: T
) -> U:
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
