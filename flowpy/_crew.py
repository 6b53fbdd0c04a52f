"""Background work of one stage: supervised tasks, and the channels that they fill.

A task group or cancel scope held across a `yield` breaks when another task closes the
generator (PEP 789). A crew holds none: its children belong to nobody, never raise, and
hand everything to the stage. So any task may close it, and none of them outlives it.

An operator with a crew is a generator of this form::

    async with Crew("buffer") as crew:
        channel = crew.channel(ahead)
        crew.pump(source, channel)
        while channel.items or await channel.more():
            yield channel.take()

Not here: what event loops do for it (`_scheduler`), what operators make of it.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import count
from math import ulp
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from flowpy._iterating import closing, keep_first
from flowpy._operator import Unopened, operator
from flowpy._scheduler import (
    Gate,
    Scheduler,
    Task,
    current_scheduler,
    is_for_good,
    protected,
    wait_for_all,
)

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Iterable,
    )
    from types import TracebackType

T = TypeVar("T")

_numbers = count(1)
"""One for each crew of the process: they tell its tasks from those of others."""


def task_name(what: str) -> str:
    """Return a name for a new task, as tools that list tasks show it."""
    return f"flowpy.{what}#{next(_numbers)}"


_depth: ContextVar[int] = ContextVar("flowpy.depth", default=0)
"""How many crews have the running task further up a chain than its collector."""

DEPTH = 32
"""Crews of one chain whose timers of the same instant come in a fixed order."""

STEP = 2e-9
"""Seconds between the timers of two of them: no event loop takes them for one."""


def after(instant: float, *, extra: float = 0) -> float:
    """Return when all that is due at an instant has come from further up.

    Event loops give no order to timers of the same instant. Who decides by the clock
    what came before a deadline waits this little longer, and the less the further up
    in a chain it stands: what a stage sends at its deadline is there at the same one of
    a stage below. `extra`, below 1, is for one that has no crew of its own.
    """
    steps = max(DEPTH - _depth.get(), 1) + extra
    return instant + steps * max(STEP, 16 * ulp(instant))


class Holder(Protocol):
    """What holds the items of a stage that are not yet passed on."""

    def waiting(self) -> int:
        """Return how many they are."""
        ...


class Unclaimed(Protocol):
    """Who wants to know what holds the items of a stage."""

    holder: Holder | None


unclaimed: ContextVar[Unclaimed | None] = ContextVar("flowpy.unclaimed", default=None)
"""Set by who measures a stage that is now taking its first step, else None."""


def claim(holder: Holder) -> None:
    """Tell who measures the stage that is being started, if anybody, what holds it."""
    wanted = unclaimed.get()
    if wanted is not None:
        unclaimed.set(None)
        wanted.holder = holder


class Gone(BaseException):
    """Raised by `Channel.put` when nobody wants items any more.

    It is no Exception, so that it ends what the child does; the child then just ends.
    """


class Crew:
    """The children of one stage, which live no longer than the `async with` block.

    All of them see the context variables of the task that entered the block, as they
    were then. The first error of a child closes every channel: the stage gets it once
    it has read what came before. Leaving the block closes the channels, cancels the
    children and waits until they have ended. One that stands in a full channel is not
    cancelled: it leaves by itself, and what it cleans up is not disturbed. If the stage
    itself has been cancelled, they all are.
    """

    __slots__ = (
        "_channels",
        "_children",
        "_context",
        "_ends",
        "_late",
        "_lines",
        "_resting",
        "arrival",
        "closing",
        "error",
        "name",
        "scheduler",
    )

    def __init__(self, name: str, *, holds: bool = True) -> None:
        """Begin without children. `holds`: whether what waits in it is the stage's."""
        if holds:
            claim(self)
        self.scheduler: Scheduler = current_scheduler()
        self.name: str = task_name(name)
        self.arrival: Gate = self.scheduler.gate()
        """Where the stage waits: woken by each item, end and error."""
        self.error: BaseException | None = None
        """The first error of a child, until the stage is being closed."""
        self.closing: bool = False
        self._late: BaseException | None = None
        self._context = copy_context()
        self._context.run(_depth.set, _depth.get() + 1)
        if not holds:
            self._context.run(unclaimed.set, None)
        self._ends = self.scheduler.gate()
        self._children: set[Child] = set()
        self._channels: set[Channel[Any]] = set()
        self._lines: list[Line[Any]] = []
        self._resting: set[object] = set()

    # What an operator needs:

    def channel(self, ahead: int) -> Channel[Any]:
        """Return a new channel whose producers wait while `ahead` items are in it."""
        return Channel(self, ahead, self.arrival)

    def line(self) -> Line[Any]:
        """Return a new line of channels, which are read in the order of arrival."""
        line: Line[Any] = Line(self, self.arrival)
        self._lines.append(line)
        return line

    def waiting(self) -> int:
        """Return how many items are in its channels, or in work."""
        alone = sum(channel.waiting() for channel in self._channels if not channel.line)
        return alone + sum(len(line.turns) for line in self._lines)

    def pump(self, source: AsyncIterable[T], channel: Channel[T]) -> Child:
        """Have a child iterate and close `source`, and put its items in `channel`."""
        return self.spawn(pump, source, channel, feeds=channel)

    def one_by_one(self, source: AsyncIterable[T]) -> Channel[T]:
        """Have a child iterate and close `source`; return the channel of its items.

        One is pulled at once, each other when the one before is taken: for a reader
        that looks at what is lent to it, and takes it once it is asked for more.
        """
        channel: Channel[T] = self.channel(1)
        self.pump(source, channel)
        return channel

    @protected
    def spawn(
        self,
        fn: Callable[..., Awaitable[object]],
        *args: object,
        feeds: Fed | None = None,
        needed: bool = True,
    ) -> Child:
        """Run `fn(*args)` as a child.

        `feeds` ends when the last child that feeds it has ended. What a child raises
        after it was cancelled comes out of its cleanup, and counts as any error; that
        of a child which is not `needed`, such as a call in flight, is dropped then.
        """
        child = Child(self, feeds, needed=needed)
        self._children.add(child)
        if feeds is not None:
            feeds.enter()
        call = partial(fn, *args)
        context = self._context.copy()
        try:
            child.task = self.scheduler.spawn(call, child.end, self.name, context)
        except BaseException:  # the event loop has ended
            child.end(None)
            raise
        return child

    async def stop(self, *children: Child) -> None:
        """Cancel children and wait until they have ended, their cleanup included.

        One that stands in a channel which has been closed leaves by itself.
        """
        for child in children:
            if not child.departing:
                child.cancel()
        await self.join(*children, hard=True)

    async def until(self, done: Callable[[], object]) -> None:
        """Have the stage wait until `done()`; raise the error of a child meanwhile."""
        while not done():
            self.check()
            await self.arrival.park()

    @protected
    async def rest(self, gate: Gate, done: Callable[[], object]) -> bool:
        """Have the running child wait at a gate as it would in a full channel.

        Returns False if the stage is being closed: then it is to leave by itself.
        """
        me = self.scheduler.current_task()
        self._resting.add(me)
        try:
            while not (self.closing or done()):
                await gate.park()
        finally:
            self._resting.discard(me)
        if self.closing:
            self.leave()
        return not self.closing

    @protected
    def dismiss(self, children: Iterable[Child]) -> None:
        """Cancel children, but for those that leave by themselves: see `Crew`.

        One that is being stopped already is let alone, so that its cleanup can wait.
        """
        for child in children:
            if not (child.departing or child._stopping):
                child.cancel()

    @protected
    async def join(self, *children: Child, hard: bool = False) -> None:
        """Wait until children have ended; a cancellation meanwhile cancels them."""

        def pending() -> bool:
            return not all(child.ended for child in children)

        def harden() -> None:
            if self.closing and not is_for_good():
                self.dismiss(children)  # as the close does, by which this was cancelled
            else:
                cancel(children)

        if pending():
            await wait_for_all(
                self.scheduler.cancelled, pending, self._ends, harden, hard=hard
            )

    @protected
    def fail(self, error: BaseException) -> None:
        """End the stage with `error`, after the items that came before."""
        if self.closing:
            self._late = first_of(self._late, error)
            return
        self.error = first_of(self.error, error)
        for channel in tuple(self._channels):
            channel.close()
        self.arrival.wake()

    def leave(self) -> None:
        """Say that the running child is about to end by itself."""
        me = self.scheduler.current_task()
        for child in self._children:
            if child.task is not None and child.task.key is me:
                child.leave()

    def check(self) -> None:
        """Raise the error of a child, if there is one."""
        if self.error is not None:
            raise self.error

    # What runs it:

    async def __aenter__(self) -> Self:
        return self

    @protected
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing = True
        for channel in tuple(self._channels):
            channel.close()
        children = tuple(self._children)
        hard = isinstance(error, self.scheduler.cancelled)
        if hard:
            self._cancel_all()
        else:
            self.dismiss(children)
        try:
            # One that is spawned by another meanwhile is among `_children` too.
            if children:
                await wait_for_all(
                    self.scheduler.cancelled,
                    lambda: self._children,
                    self._ends,
                    self._cancel_all,
                    hard=hard,
                )
        finally:
            late, self.error, self._late = self._late, None, None
            # Or they and the crew would keep each other alive.
            self._channels.clear()
            self._lines.clear()
            if late is not None and late is not error:
                keep_first(error, late)

    def _cancel_all(self) -> None:
        cancel(tuple(self._children))


class Fed(Protocol):
    """What children feed: it counts them, and ends with the last."""

    def enter(self) -> None:
        """Count a child that feeds it."""
        ...

    def leave(self) -> None:
        """Count one that has ended, whose error the crew knows already."""
        ...


class Child:
    """A background task of a crew."""

    __slots__ = ("_crew", "_feeds", "_needed", "_stopping", "ended", "leaving", "task")

    def __init__(self, crew: Crew, feeds: Fed | None, *, needed: bool) -> None:
        self._crew = crew
        self._feeds = feeds
        self._needed = needed
        self._stopping = False
        self.task: Task | None = None
        self.ended: bool = False
        self.leaving: bool = False

    @property
    def key(self) -> object:
        """What the scheduler calls its task."""
        return self.task and self.task.key

    @property
    def resting(self) -> bool:
        """Whether it stands in a full channel, or the like."""
        return self.key in self._crew._resting

    @property
    def departing(self) -> bool:
        """Whether it ends by itself, since it stands where nobody wants items."""
        feeds = self._feeds
        closed = self._crew.closing or (isinstance(feeds, Channel) and not feeds.ahead)
        return self.leaving or (closed and self.resting)

    def cancel(self, *, for_good: bool = False) -> None:
        """Cancel it, without waiting for its end.

        What it awaits is interrupted once, so that its cleanup can wait; `for_good`,
        that too is interrupted where it has no shield.
        """
        if not self.ended and self.task is not None:
            self._stopping = True
            self.task.cancel(for_good=for_good)

    def leave(self) -> None:
        """Take note that it is about to end by itself."""
        self.leaving = True
        if self.task is not None:  # pragma: no branch - not yet: only with eager tasks
            self.task.spare()

    @protected
    def end(self, error: BaseException | None) -> None:
        """Take note that it has ended, and what it raised."""
        crew = self._crew
        self.ended = True
        crew._children.discard(self)
        if error is not None and self._counts(error):
            crew.fail(error)
        if self._feeds is not None:
            self._feeds.leave()
        crew._ends.wake()

    def _counts(self, error: BaseException) -> bool:
        """Tell whether anybody wants to hear of an error.

        Once the child was stopped only that of its cleanup counts: it was raised while
        the child left by itself, or while the cancellation was being handled. Any other
        had been on its way before, and is of work that nobody asks for any more.
        """
        crew = self._crew
        cancelled = crew.scheduler.cancelled
        if isinstance(error, Gone):
            return False
        if not (self._stopping or crew.closing):
            return True
        if isinstance(error, cancelled):
            return False
        if not isinstance(error, Exception):
            return True
        return self._needed and (self.leaving or came_after(error, cancelled))


def came_after(error: BaseException, kind: type[BaseException]) -> bool:
    """Tell whether an error was raised while one of `kind` was being handled."""
    seen: set[int] = set()
    earlier = error.__context__
    while earlier is not None and id(earlier) not in seen:
        if isinstance(earlier, kind):
            return True
        seen.add(id(earlier))
        earlier = earlier.__context__
    return False


def cancel(children: Collection[Child]) -> None:
    """Cancel children as the running task has been cancelled.

    A scope of anyio or trio does it for good, `asyncio.Task.cancel` once.
    """
    for_good = is_for_good()
    for child in children:
        child.cancel(for_good=for_good)


class Queue(Generic[T]):
    """What a stage reads: one channel, or several in line."""

    __slots__ = ("_feeders", "_queue", "arrival", "crew")

    _queue: deque[Any]

    def __init__(self, crew: Crew, arrival: Gate) -> None:
        self.crew: Crew = crew
        self.arrival: Gate = arrival
        self._feeders = 0

    @property
    def ended(self) -> bool:
        """Whether no child feeds it any more; items may still wait in it."""
        return not self._feeders

    async def more(self, until: float | None = None) -> bool:
        """Wait until an item is there.

        Returns False at the end, or when the clock of `crew.scheduler.now` shows
        `until`. Raises the error of a child, after the items that came before it.
        """
        queue = self._queue
        crew = self.crew
        while not queue:
            if crew.error is not None:
                raise crew.error
            if not self._feeders:
                return False
            if until is None:
                await self.arrival.park()
            elif crew.scheduler.now() >= until:
                return False
            else:
                await self.arrival.park_until(until)
        return True

    def enter(self) -> None:
        """Count a child that feeds it."""
        self._feeders += 1

    @protected
    def leave(self) -> None:
        """Count one that has ended."""
        self._feeders -= 1
        if not self._feeders:
            self.arrival.wake()


class Channel(Queue[T]):
    """Items on their way from children to whoever reads them.

    A child puts an item in, and then waits while `ahead` items are there, its own
    included. So that is how many of its items may have been pulled that nobody took;
    with n children in one channel it is `ahead` + n - 1.
    """

    __slots__ = ("_held", "ahead", "index", "items", "line", "parked")

    def __init__(
        self, crew: Crew, ahead: int, arrival: Gate, line: Line[T] | None = None
    ) -> None:
        super().__init__(crew, arrival)
        self.items: deque[T] = deque()
        self._queue = self.items
        self.ahead: int = ahead
        """How many items make its producers wait; 0 once it is closed."""
        self.line: Line[T] | None = line
        self.index: int = 0
        """Which in its line it is, from 0."""
        self._held = crew.scheduler.gate()
        self.parked: deque[Any] = self._held.parked
        """Not empty while producers wait; for `if channel.parked: channel.release()`."""
        if crew.closing or crew.error is not None:
            self.ahead = 0
        crew._channels.add(self)

    # Its producers:

    async def put(self, item: T) -> None:
        """Put an item in, and wait while the channel is full.

        Raises `Gone` if nobody wants items any more.
        """
        self.items.append(item)
        if self.line is not None:
            self.line.turns.append(self)
        if self.arrival.parked:
            self.arrival.wake()
        if len(self.items) >= self.ahead and not await self.full():
            raise Gone

    def offer(self, item: T) -> bool:
        """Put an item in if fewer than `ahead` are there; else return False."""
        if len(self.items) >= self.ahead:
            return False
        self.items.append(item)
        if self.line is not None:
            self.line.turns.append(self)
        self.arrival.wake()
        return True

    def over(self) -> bool:
        """Tell a child whether it is to leave, since nobody wants items any more."""
        if self.ahead:
            return False
        self.crew.leave()
        return True

    async def full(self) -> bool:
        """Wait for room, right after an item has made the channel full.

        Returns False if nobody wants items any more. If that was so before, the item
        is taken back: or it would come before an error that was raised before it.
        """
        if self.ahead:
            return await self.room()
        self.items.pop()
        if self.line is not None:
            self.line.turns.pop()
        return not self.over()

    @protected
    async def room(self) -> bool:
        """Wait until it is not full; False if it is closed."""
        resting = self.crew._resting
        me = self.crew.scheduler.current_task()
        resting.add(me)
        try:
            while self.is_full():
                await self._held.park()
        finally:
            resting.discard(me)
        return not self.over()

    def waiting(self) -> int:
        """Return how many items are in it."""
        return len(self.items)

    def is_full(self) -> bool:
        """Tell whether its producers have to wait; one that is closed is not full."""
        return len(self.items) >= self.ahead > 0

    # Its reader:

    def take(self) -> T:
        """Return the first item, and let producers go on."""
        item = self.items.popleft()
        if self.parked:
            self.release()
        return item

    def take_all(self) -> list[T]:
        """Return all items, and let producers go on."""
        items = list(self.items)
        self.items.clear()
        if self.parked:
            self.release()
        return items

    def lend(self) -> T:
        """Return the first item, whose place stays taken until `take`."""
        items: deque[Any] = self.items
        item: T = items[0]
        items[0] = None
        return item

    def release(self) -> None:
        """Let producers go on if there is room."""
        if len(self.items) < self.ahead:
            self._held.wake()

    @protected
    def close(self) -> None:
        """Let no further item in; producers that wait leave by themselves."""
        self.ahead = 0
        self._held.wake()
        self.arrival.wake()

    # The children that feed it:

    def enter(self) -> None:
        super().enter()
        if self.line is not None:
            self.line.enter()

    def leave(self) -> None:
        super().leave()
        if self.line is not None:
            self.crew._channels.discard(self)
            self.line.leave()


class Line(Queue[T]):
    """Channels whose items stand in one line, in the order in which they came.

    Each of them has a bound of its own, so that no source can keep others from getting
    in line::

        while line.turns or await line.more():
            channel = line.turns.popleft()
            yield channel.index, channel.take()
    """

    __slots__ = ("_channels", "turns")

    def __init__(self, crew: Crew, arrival: Gate) -> None:
        super().__init__(crew, arrival)
        self.turns: deque[Channel[T]] = deque()
        """For each item that waits, the channel in which it is the next."""
        self._queue = self.turns
        self._channels = count()

    def channel(self, ahead: int) -> Channel[T]:
        """Return a new channel, the next of the line; its number is its `index`."""
        channel = Channel(self.crew, ahead, self.arrival, self)
        channel.index = next(self._channels)
        return channel


async def pump(source: AsyncIterable[T], channel: Channel[T]) -> None:
    """Iterate and close a source, and put its items in a channel.

    A chain that has not been opened becomes one function with what fills the channel.
    """
    line = channel.line
    if channel.over():  # before the first step
        async with closing(aiter(source)):
            return
    if isinstance(source, Unopened):
        if line is None:
            await source._end(fill, channel)
        else:
            await source._end(fill_in_line, channel, line)
    elif line is None:
        await fill.run(aiter(source), channel)
    else:
        await fill_in_line.run(aiter(source), channel, line)


@operator
async def fill(source: AsyncIterator[T], channel: Channel[T]) -> None:
    """Put the items of a source in a channel that is read by itself.

    The body of `Channel.put` is written out, here and below: a call for each item would
    cost as much as all the rest.
    """
    items, arrival = channel.items, channel.arrival
    append, awaited, wake = items.append, arrival.parked, arrival.wake
    async with closing(source):
        async for x in source:
            append(x)
            if awaited:
                wake()
            if len(items) >= channel.ahead and not await channel.full():
                return


@operator
async def fill_in_line(
    source: AsyncIterator[T], channel: Channel[T], line: Line[T]
) -> None:
    """Put the items of a source in a channel that stands in line with others."""
    items, arrival = channel.items, channel.arrival
    append, awaited, wake = items.append, arrival.parked, arrival.wake
    turn = line.turns.append
    async with closing(source):
        async for x in source:
            append(x)
            turn(channel)
            if awaited:
                wake()
            if len(items) >= channel.ahead and not await channel.full():
                return


def first_of(first: BaseException | None, late: BaseException) -> BaseException:
    """Return which of two errors goes on, the other noted on it."""
    if first is None or first is late:
        return late
    try:
        keep_first(first, late)
    except BaseException as winner:  # noqa: BLE001 - raised where it is read
        return winner
    return first
