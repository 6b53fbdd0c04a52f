"""One collection for many: share, and what feeds hot flows from a task group.

What the many read from stands in `_broadcast`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
)

from flowpy._broadcast import Broadcast, Cell, Listener, Reader, Watch
from flowpy._crew import Crew
from flowpy._errors import FlowClosedError, FlowEmptyError
from flowpy._iterating import closing
from flowpy._operator import operator
from flowpy._scheduler import current_scheduler, protected

if TYPE_CHECKING:
    from flowpy._crew import Child
    from flowpy._types import Items

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

AHEAD = 64
"""How many items what is shared may be ahead of the slowest, at least."""


@operator(
    seam="collects everything above it once for all who listen",
    holds="at most 64 items wait for the slowest, or as many as it replays",
)
async def share(
    reopen: Callable[[], Items[T]], replay: int, linger: float, sharing: Sharing[T]
) -> Items[T]:
    run = sharing.run(reopen)
    with Reader(run.broadcast) as reader:
        # Only now: with an eager task factory, upstream begins at once.
        async with run:
            while reader.node.next is not None or await reader.more():
                yield reader.take()


class Sharing(Generic[T]):
    """The runs of a shared flow, one at a time in each event loop."""

    __slots__ = ("_linger", "_replay", "_runs")

    def __init__(self, replay: int, linger: float) -> None:
        self._replay = replay
        self._linger = linger
        self._runs: dict[object, Run[T]] = {}

    def run(self, reopen: Callable[[], Items[T]]) -> Run[T]:
        """Return the current run, or a new one if that is over."""
        loop = current_scheduler().loop()
        before = self._runs.get(loop)
        if before is not None and not before.over:
            return before
        broadcast: Broadcast[T] = Broadcast(self._replay, AHEAD)
        run = Run(broadcast, self._linger, reopen, before, self._forget)
        self._runs[loop] = run
        return run

    def _forget(self, ended: Run[T]) -> None:
        """Let go of a run, and of the event loop that it knows.

        One that has not had its turn leaves the next to wait for the one before it.
        """
        for loop, run in tuple(self._runs.items()):
            if run is ended:
                del self._runs[loop]
                if (before := ended.waits_for()) is not None:
                    self._runs[loop] = before


class Run(Generic[T]):
    """One collection of upstream, and those who listen to it.

    A run that is over takes nobody in: whoever comes then begins the next one, and
    nothing that still happens to this one reaches those of that.

    The last listener closes upstream and waits for that, as the crew of any stage
    does. If upstream is to linger, a second child does so in its time; nobody can wait
    for that one, but the event loop ends it, like all tasks.
    """

    __slots__ = (
        "_before",
        "_begun",
        "_crew",
        "_ended",
        "_forget",
        "_gate",
        "_linger",
        "_listeners",
        "_reopen",
        "broadcast",
        "over",
    )

    def __init__(
        self,
        broadcast: Broadcast[T],
        linger: float,
        reopen: Callable[[], Items[T]],
        before: Run[T] | None,
        forget: Callable[[Run[T]], None],
    ) -> None:
        self.broadcast = broadcast
        self.over = False
        self._linger = linger
        self._reopen = reopen
        self._before = before
        self._forget = forget
        self._crew = Crew("share", holds=False)
        self._gate = self._crew.scheduler.gate()
        self._listeners = 0
        self._ended = False
        self._begun = False

    async def __aenter__(self) -> Self:
        self._listeners += 1
        if not self._begun:
            self._begun = True  # already: upstream may itself begin to listen at once
            pump = self._crew.spawn(self._collect, feeds=self)
            if self._linger:
                self._crew.spawn(self._keep, pump)
        self._gate.wake()
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._listeners -= 1
        self._gate.wake()
        if not (self._listeners or self._linger):
            self.over = True
            await self._crew.__aexit__(*raised)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - three

    async def _collect(self) -> None:
        while (before := self.waits_for()) is not None:
            await before._gate.park()  # upstream is not collected twice at a time
        async with closing(self._reopen()) as source:
            async for x in source:
                await self.broadcast.put(x)

    def waits_for(self) -> Run[T] | None:
        """Return the run before this one that still collects, or closes upstream."""
        while self._before is not None and self._before._ended:
            self._before = self._before._before
        return self._before

    async def _keep(self, pump: Child) -> None:
        """End upstream when nobody has listened for long enough."""
        scheduler = self._crew.scheduler
        deadline: float | None = None
        while not self.over:
            if self._listeners:
                deadline = None
                await self._gate.park()
            elif deadline is None:
                deadline = scheduler.now() + self._linger
            elif scheduler.now() < deadline:
                await self._gate.park_until(deadline)
            else:
                self.over = True
                await self._crew.stop(pump)

    def enter(self) -> None:
        """Count the child that collects."""

    @protected
    def leave(self) -> None:
        """Take note that upstream has ended, and how."""
        self.over = self._ended = True
        self._forget(self)
        error = self._crew.error
        self.broadcast.close(error)
        self._gate.wake()
        # One that was never raised tells that trio has ended its run.
        failed = isinstance(error, Exception) and error.__traceback__ is not None
        if failed and not self._listeners:
            from logging import getLogger  # noqa: PLC0415 - slow to import

            getLogger("flowpy").warning(
                "share: upstream failed while nobody listened to it", exc_info=error
            )


# ------------------------------------------------------------------ in a task group


class WhileSubscribed(NamedTuple):
    """When upstream is collected: see `while_subscribed`."""

    stop_after: float
    forget_after: float | None


Started = Literal["eagerly", "lazily"] | WhileSubscribed


class Sink(Protocol[T_contra]):
    """A hot flow that upstream is put into."""

    async def put(self, item: T_contra, /) -> None:
        """Put an item in."""
        ...

    def close(self, error: BaseException | None = None) -> None:
        """End it."""
        ...


Collect = Callable[[], AsyncIterator[T]]
"""A function that starts a collection of upstream."""


async def feed(
    sink: Sink[Any], fn: Callable[..., Awaitable[None]], *args: object
) -> None:
    """Run what puts items into a hot flow, and end that as this ends."""
    try:
        await fn(sink, *args)
    except Exception as error:  # noqa: BLE001 - those who listen get it
        sink.close(error)
    except BaseException as error:
        sink.close(closing_error(error))
        raise
    else:
        sink.close()


def closing_error(error: BaseException) -> BaseException:
    """Return what those who listen are told when the one who feeds them is stopped."""
    return stopped() if isinstance(error, current_scheduler().cancelled) else error


def stopped() -> FlowClosedError:
    """Return what those who listen are told when their task group was cancelled."""
    message = "the task group that shares this flow was cancelled before its end"
    return FlowClosedError(message)


def stop(sink: Sink[Any], _: object) -> None:
    """End a hot flow whose task has ended, if it has not done so itself."""
    sink.close(stopped())


async def pour(sink: Sink[T], collect: Collect[T]) -> None:
    """Put all items of one collection in."""
    async with closing(collect()) as source:
        async for x in source:
            await sink.put(x)


async def pour_lazily(sink: Sink[T], collect: Collect[T], count: Cell[int]) -> None:
    """Put all items of one collection in, once somebody listens."""
    await Watch(count).until(lambda: count.value)
    await pour(sink, collect)


async def pour_while_subscribed(
    sink: Sink[T],
    collect: Collect[T],
    count: Cell[int],
    started: WhileSubscribed,
    forget: Callable[[], object],
    what: str,
) -> None:
    """Collect anew whenever the first listener comes, until upstream ends by itself."""
    watch = Watch(count)
    while True:
        await watch.until(lambda: count.value)
        async with Crew(what) as crew:
            child = crew.spawn(pour, sink, collect, feeds=Bell(watch))
            if await ended_by_itself(child, watch, count, started.stop_after):
                crew.check()
                return
        if started.forget_after is not None and not await watch.until(
            lambda: count.value, started.forget_after
        ):
            forget()


async def ended_by_itself(
    child: Child, watch: Watch, count: Cell[int], seconds: float
) -> bool:
    """Wait until a child has ended, or nobody has listened for some seconds."""
    while True:
        await watch.until(lambda: child.ended or not count.value)
        if child.ended:
            return True
        if not await watch.until(lambda: child.ended or count.value, seconds):
            return False


class Bell:
    """Rings when a child has ended."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def enter(self) -> None:
        """Count the child."""

    def leave(self) -> None:
        """Tell that it has ended."""
        self._watch.wake()


class FirstValue(Generic[T]):
    """A state that begins with the first item that is put into it."""

    def __init__(self) -> None:
        self._listener = Listener()
        self._cell: Cell[T] | None = None
        self._error: BaseException | None = None

    async def put(self, item: T) -> None:
        if self._cell is not None:
            await self._cell.put(item)
            return
        self._cell = Cell(item)
        self._listener.wake()

    def close(self, error: BaseException | None = None) -> None:
        if self._cell is not None:
            self._cell.close(error)
            return
        message = "state_in: the flow ended before its first item"
        self._error = error or FlowEmptyError(message)
        self._listener.wake()

    async def cell(self) -> Cell[T]:
        """Wait for the first item, and return the state that it began."""
        while self._cell is None:
            if self._error is not None:
                raise self._error
            await self._listener.park()
        return self._cell
