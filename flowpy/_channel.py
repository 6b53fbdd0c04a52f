"""What tasks, callbacks and threads put items in, to feed one flow.

The decorator that makes such flows is in `_decorators`; the bounded channel that stages
have between their tasks is in `_crew`.
"""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from functools import partial
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flowpy import _crew
from flowpy._checks import check_optional_error
from flowpy._errors import FlowClosedError
from flowpy._scheduler import protected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

    from flowpy._crew import Crew
    from flowpy._scheduler import Gate

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

LOOK = 1.0
"""Seconds after which a thread that waits looks whether the flow has ended: a loop that
ends drops what it has been told to call."""

_PRODUCING: ContextVar[object] = ContextVar("flowpy.producing")
"""The channel that the running task belongs to, with all tasks that it has started."""


class Feed(_crew.Channel[T]):
    """The bounded channel of a crew that more than its own children put items in."""

    __slots__ = ("shut",)

    def __init__(self, crew: Crew, capacity: int) -> None:
        super().__init__(crew, capacity, crew.arrival)
        self.shut = crew.scheduler.gate()
        """Where tasks wait for its end."""

    @protected
    def close(self) -> None:
        super().close()
        self.shut.wake()

    async def free(self) -> None:
        """Wait until it is not full, or closed."""
        while len(self.items) >= self.ahead > 0:
            await self._rest(self._held)

    async def closed(self) -> None:
        """Wait until it is closed."""
        while self.ahead:
            await self._rest(self.shut)
        self.over()

    @protected
    async def _rest(self, gate: Gate) -> None:
        """Wait as one that leaves by itself when the channel is closed."""
        resting = self.crew._resting
        me = self.crew.scheduler.current_task()
        resting.add(me)
        try:
            await gate.park()
        finally:
            resting.discard(me)


class Channel(Generic[T_contra]):
    """What a `@channel_flow` function puts its items in.

    Its methods are called by tasks and callbacks of the event loop that collects the
    flow; from other threads, only `send_from_thread` and `close`.

    Shape: the items of the flow, in the order in which they were put in. Holds at most
        the `capacity` that `channel_flow` was given.

    Example:
        >>> @channel_flow
        ... async def letters(channel):
        ...     await channel.send("a")
        ...     channel.try_send(
        ...         "b"
        ...     )  # in another thread: channel.send_from_thread("b")
        ...     channel.close()
        ...     await channel.wait_closed()
        >>> run(letters().to_list)
        ['a', 'b']

    Source: Kotlin Flow `callbackFlow` and its `ProducerScope`.
    """

    __slots__ = (
        "_call",
        "_capacity",
        "_closed",
        "_crew",
        "_ended",
        "_feed",
        "_thread",
        "_waiting",
    )

    def __init__(self, crew: Crew, capacity: int) -> None:
        self._crew = crew
        self._capacity = capacity
        self._feed: Feed[Any] = Feed(crew, capacity)
        self._closed = self._ended = False
        self._call = crew.scheduler.caller()
        self._thread = get_ident()
        self._waiting: deque[tuple[Any, Future[None]]] = deque()
        self._feed.enter()

    def __repr__(self) -> str:
        state = "open" if self._feed.ahead else "closed"
        return f"<Channel: {state}, {len(self._feed.items)} of {self._capacity} items>"

    async def send(self, item: T_contra) -> None:
        """Put an item in, once there is room for it.

        Args:
            item: Of whatever kind, None included.

        Raises:
            FlowClosedError: while running, if the channel is closed. In the function
                that feeds the flow it ends that function, and not the flow with an
                error. When the collector has stopped, that function and its tasks are
                ended in the way of a cancellation instead.
        """
        feed = self._feed
        while not feed.offer(item):
            if feed.ahead:
                await feed.free()
            elif self._closed or _PRODUCING.get(None) is not self:
                await self._crew.scheduler.checkpoint()  # or who never gives up hangs
                raise FlowClosedError(CLOSED)
            else:
                feed.over()
                raise _crew.Gone

    def try_send(self, item: T_contra) -> bool:
        """Put an item in if there is room for it; tell whether it was.

        A channel that has been closed has no room. No error of its own.

        Args:
            item: Of whatever kind, None included.
        """
        return self._feed.offer(item)

    def send_from_thread(self, item: T_contra) -> None:
        """Put an item in from another thread, which waits until there is room for it.

        Args:
            item: Of whatever kind, None included.

        Raises:
            FlowClosedError: at the call, if the flow has ended, or ends meanwhile.
            RuntimeError: at the call, in the thread of the event loop, which it would
                block for ever.
        """
        if get_ident() == self._thread:
            message = (
                "send_from_thread() would block the event loop that runs in this "
                "thread; use await channel.send(...) or channel.try_send(...)"
            )
            raise RuntimeError(message)
        from concurrent.futures import Future  # noqa: PLC0415 - slow to import

        sent: Future[None] = Future()
        try:
            self._call(partial(self._take_in, item, sent))
        except RuntimeError:  # the loop has ended
            raise FlowClosedError(CLOSED) from None
        while True:
            try:
                return sent.result(LOOK)
            except TimeoutError:
                if self._ended:
                    raise FlowClosedError(CLOSED) from None

    def close(self, error: BaseException | None = None) -> None:
        """End the flow, after the items that are in the channel; may be called again.

        Args:
            error: What the collector gets at the end, the same object.

        Raises:
            TypeError: at the call, if `error` is not an exception object.
        """
        check_optional_error("error", error)
        if get_ident() == self._thread:
            self._close(error)
            return
        try:
            self._call(partial(self._close, error))
        except RuntimeError:
            return  # the loop has ended, and the flow with it

    async def wait_closed(self) -> None:
        """Wait until the channel is closed: by `close`, or since the collector left.

        The function that feeds the flow may then clean up and return: it is cancelled
        no more, unless the collector itself is, and then where it awaits again. No
        error of its own.
        """
        await self._feed.closed()

    # For the stage:

    async def _run(self, produce: Callable[[], Awaitable[object]]) -> None:
        """Have a function feed the flow; what it sends in vain is no error."""
        _PRODUCING.set(self)
        try:
            await produce()
        except FlowClosedError:
            if not self._closed:
                raise  # of another channel
        except BaseExceptionGroup as group:
            # Not a bound method: before Python 3.13 only a function will do.
            refused, rest = group.split(lambda error: self._refused(error))  # noqa: PLW0108 - see above
            if refused is None:
                raise
            if rest is not None:
                raise rest from None
        finally:
            self._close(None)

    def _refused(self, error: BaseException) -> bool:
        if isinstance(error, FlowClosedError):
            return self._closed
        return isinstance(error, _crew.Gone)

    def _take(self) -> Any:
        """Return the first item, and let who waits for room go on."""
        item = self._feed.take()
        while self._waiting and len(self._feed.items) < self._feed.ahead:
            self._take_in(*self._waiting.popleft())
        return item

    async def _more(self) -> bool:
        """Wait until an item is there; False at the end."""
        return bool(self._feed.items) or await self._feed.more()

    @protected
    def _end(self) -> None:
        """Refuse all that threads still want to send."""
        self._ended = True
        while self._waiting:
            self._waiting.popleft()[1].set_exception(FlowClosedError(CLOSED))

    @protected
    def _take_in(self, item: Any, sent: Future[None]) -> None:
        if not self._feed.ahead:
            sent.set_exception(FlowClosedError(CLOSED))
        elif self._feed.offer(item):
            sent.set_result(None)
        else:
            self._waiting.append((item, sent))

    @protected
    def _close(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._feed.leave()
        if error is not None and self._feed.ahead:
            self._crew.fail(error)  # else nobody asks for it any more
        self._feed.close()
        while self._waiting:
            self._take_in(*self._waiting.popleft())


CLOSED = (
    "the flow of this channel has ended: its function has returned, its collector has "
    "stopped, or close() was called"
)
