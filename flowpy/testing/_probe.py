"""A consumer that a test steers: what a flow does is asked for, one by one."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

import anyio

from flowpy._checks import check_duration, check_error_types, check_period

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from flowpy._flow import Flow
    from flowpy._types import Duration
    from flowpy.testing._timeline import Kind

T = TypeVar("T")
E = TypeVar("E", bound=Exception)

_MOMENT = 1e-6
"""Seconds in which, on a virtual clock, everything runs that need not wait."""

_EARLY = 1e-4
"""By which part of a time something may come earlier and still be of that time."""


class Probe(Generic[T]):
    """What `probe` gives: the events of a flow, in order, to be asked for.

    Shape: one collection; each event is asked for once.

    Example:
        >>> async def main():
        ...     flow = Flow.interval(5).take(3).map(lambda n: 6 // (1 - n))
        ...     async with probe(flow, ignore_rest=True) as p:
        ...         print(await p.next_item())
        ...         await p.expect_no_events(4)
        ...         print(repr(await p.expect_error(ArithmeticError)))
        ...     async with probe(Flow.never()) as p:
        ...         await p.stop()
        ...     async with probe(Flow.empty()) as p:
        ...         await p.expect_end()
        >>> run_virtual(main)
        6
        ZeroDivisionError('integer division or modulo by zero')

    Source: Turbine's `ReceiveTurbine`, for Kotlin Flow.
    """

    __slots__ = ("_arrived", "_ended", "_events", "_scope", "_timeout")

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._events: deque[tuple[float, Kind, Any]] = deque()
        self._arrived = anyio.Event()
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()

    async def next_item(self) -> T:
        """Return the next item.

        Raises:
            AssertionError: if the flow does something else, or nothing in time.
        """
        kind, value = await self._next("an item")
        if kind != "item":
            self._fail("an item", kind, value)
        item: T = value
        return item

    async def expect_end(self) -> None:
        """Wait for the end, next of all.

        Raises:
            AssertionError: if the flow does something else, or nothing in time.
        """
        kind, value = await self._next("the end")
        if kind != "end":
            self._fail("the end", kind, value)

    async def expect_error(self, kind: type[E]) -> E:
        """Return the error that comes next.

        Args:
            kind: What it has to be an instance of.

        Raises:
            AssertionError: if the flow does something else, or nothing in time.
            TypeError: at the await, if `kind` is no class of exceptions.
        """
        check_error_types("kind", kind)
        wanted = f"an error of type {kind.__name__}"
        came, value = await self._next(wanted)
        if came != "error" or not isinstance(value, kind):
            self._fail(wanted, came, value)
        return value

    async def expect_no_events(self, seconds: Duration = 0) -> None:
        """Check that nothing waits to be asked for, and nothing comes for a while.

        Args:
            seconds: How long; what comes just then is not counted any more. With 0,
                everything runs that can run now, for which the clock goes on by a
                millionth of a second.

        Raises:
            AssertionError: if something came.
            ValueError: at the await, if `seconds` is negative, NaN or infinite.
        """
        wait = check_duration("seconds", seconds)
        start = anyio.current_time()
        await anyio.sleep(wait or _MOMENT)
        last = start + wait * (1 - _EARLY) if wait else anyio.current_time()
        if self._events and self._events[0][0] <= last:
            time, kind, value = self._events[0]
            wanted = f"nothing for {wait:g} s" if wait else "nothing"
            after = round(max(time - start, 0), 3)
            self._fail(f"{wanted}, and after {after:g} s", kind, value)

    async def stop(self) -> None:
        """Cancel the collection and wait until the flow is closed.

        What it has given so far can still be asked for. No error of its own.
        """
        self._scope.cancel()
        await self._ended.wait()

    async def _next(self, wanted: str) -> tuple[Kind, Any]:
        with anyio.move_on_after(self._timeout):
            while not self._events:
                await self._arrived.wait()
                self._arrived = anyio.Event()
            _, kind, value = self._events.popleft()
            return kind, value
        message = f"expected {wanted}; nothing came within {self._timeout:g} s"
        raise AssertionError(message)

    def _fail(self, wanted: str, kind: Kind, value: object) -> Never:
        message = f"expected {wanted}; got {_shown(kind, value)}"
        raise AssertionError(message) from (
            value if isinstance(value, Exception) and kind == "error" else None
        )

    # ----------------------------------------------------------- what `probe` calls

    def _note(self, kind: Kind, value: object = None) -> None:
        self._events.append((anyio.current_time(), kind, value))
        self._arrived.set()

    async def _collect(self, flow: Flow[T]) -> None:
        with self._scope:
            try:
                async with flow.open() as items:
                    async for item in items:
                        self._note("item", item)
                self._note("end")
            except Exception as error:  # noqa: BLE001 - the test asks for it
                self._note("error", error)
        self._ended.set()

    def _check_consumed(self) -> None:
        if self._events:
            rest = ", ".join(_shown(kind, value) for _, kind, value in self._events)
            errors = (value for _, kind, value in self._events if kind == "error")
            message = (
                f"the probe was left before these were asked for: {rest} "
                "(ignore_rest=True leaves them out)"
            )
            raise AssertionError(message) from next(errors, None)


def _shown(kind: Kind, value: object) -> str:
    return f"the {kind}" if kind == "end" else f"{kind} {value!r}"


@asynccontextmanager
async def probe(
    flow: Flow[T],
    *,
    timeout: Duration = 60,  # noqa: ASYNC109 - for each event, not for a call
    ignore_rest: bool = False,
) -> AsyncGenerator[Probe[T], None]:
    """Collect a flow in a task of its own; what it does is asked for, one by one.

    The flow is pulled as fast as it gives; what has not been asked for waits. Leaving
    the block cancels the collection and waits until the flow is closed. What the block
    raises comes out as it is, not in a group.

    Args:
        flow: The flow.
        timeout: How long the probe waits for each event, in seconds or a timedelta of
            the event loop's clock; > 0.
        ignore_rest: Whether the block may be left with events that were not asked for.

    Shape: one collection. Holds what was not asked for, runs 1 task.

    Raises:
        AssertionError: at the end of the block, if it left events unasked for.
        ValueError: at the start of the block, if `timeout` is not longer than 0.

    Example:
        >>> async def main():
        ...     async with probe(Flow.interval(5).take(2)) as p:
        ...         assert await p.next_item() == 0
        ...         await p.expect_no_events(5)
        ...         assert await p.next_item() == 1
        ...         await p.expect_end()
        >>> run_virtual(main)

    Source: Turbine, for Kotlin Flow.
    """
    probed = Probe[T](check_period("timeout", timeout))
    raised: BaseException | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(probed._collect, flow)
        try:
            yield probed
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised again, but in no group
            raised = error
        probed._scope.cancel()
    if raised is not None:
        raise raised
    if not ignore_rest:
        probed._check_consumed()
