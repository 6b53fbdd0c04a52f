"""What flowpy asks of an event loop."""

from __future__ import annotations

from contextlib import nullcontext
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable
    from contextvars import Context

F = TypeVar("F", bound="Callable[..., Any]")


class Gate(Protocol):
    """A place where tasks wait until somebody wakes them.

    It keeps no signal for those who come later: look whether there is need to wait,
    park, and look again, with no `await` between looking and parking.
    """

    parked: deque[Any]
    """Not empty while a task waits here; for `if gate.parked: gate.wake()`."""

    def park(self) -> Awaitable[None]:
        """Wait until woken, or cancelled."""
        ...

    def park_until(self, deadline: float) -> Awaitable[None]:
        """Wait until woken, or until the clock of `Scheduler.now` shows `deadline`."""
        ...

    def wake(self) -> None:
        """Let all who wait go on."""
        ...

    def wake_one(self) -> None:
        """Let the one go on who has waited longest, if there is one."""
        ...


class Task(Protocol):
    """A background task."""

    @property
    def key(self) -> object:
        """What `Scheduler.current_task` returns inside of it."""
        ...

    def cancel(self, *, for_good: bool) -> None:
        """Interrupt what it waits for; one that has not begun still begins.

        Its cleanup can wait, unless it is cancelled `for_good`. What stands in a scope
        with a shield, of anyio or trio, is let alone.
        """
        ...

    def spare(self) -> None:
        """Cancel it no more, unless for good: it is about to end by itself."""
        ...


class Scheduler(Protocol):
    """The event loop that runs the current task."""

    @property
    def cancelled(self) -> type[BaseException]:
        """What a cancelled task is told by."""
        ...

    def now(self) -> float:
        """Return the loop's clock in seconds; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; at least let other tasks run once."""
        ...

    async def sleep_forever(self) -> None:
        """Wait until cancelled."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run once; be cancelled here if that is due."""
        ...

    def loop(self) -> object:
        """Return an object that stands for the running event loop."""
        ...

    def caller(self) -> Callable[[Callable[[], object]], object]:
        """Return a function that has the loop call something, from any thread."""
        ...

    def gate(self) -> Gate:
        """Return a new place to wait."""
        ...

    def current_task(self) -> object:
        """Return an object that stands for the running task."""
        ...

    def spawn(
        self,
        fn: Callable[[], Awaitable[object]],
        ended: Callable[[BaseException | None], object],
        name: str,
        context: Context,
    ) -> Task:
        """Run `fn` in a task of its own, which belongs to nobody and never raises.

        `ended` is called once, whatever happens to the task, with what `fn` raised; it
        may be called before `spawn` returns. A cancellation that `Task.cancel` asked
        for may be told as None.
        """
        ...


_PROTECTED: list[Callable[..., Any]] = []


def protected(fn: F) -> F:
    """Have Ctrl-C wait while `fn` runs, on trio.

    What must not be torn apart is marked with it, since whatever a user's function does
    in a background task may be interrupted at any line. The mark costs nothing.
    """
    _PROTECTED.append(fn)
    return fn


def protect_with(mark: Callable[[Callable[..., Any]], object]) -> None:
    """Mark what is protected, once the event loop that knows such marks is imported."""
    for fn in _PROTECTED:
        mark(fn)


def is_for_good() -> bool:
    """Tell whether a scope has cancelled the running task, as they do: for good."""
    return anyio.current_effective_deadline() == -inf


@protected
async def wait_for_all(
    cancelled: type[BaseException],
    pending: Callable[[], object],
    gate: Gate,
    harden: Callable[[], object],
    *,
    hard: bool,
) -> None:
    """Wait until nothing is pending, which `gate` tells; never leave before.

    Each cancellation meanwhile, told by an error of the kind `cancelled`, calls
    `harden`, and is raised at the end. One by a scope of anyio or trio comes once. It
    is `hard` from the beginning if the caller has been cancelled already.
    """
    error: BaseException | None = None
    shield = hard and is_for_good()
    try:
        while pending():
            try:
                # Entered and left within this call, against scopes, which cancel again
                # and again; `asyncio.Task.cancel` still gets through.
                with anyio.CancelScope(shield=True) if shield else nullcontext():
                    await gate.park()
            except cancelled as raised:
                error = raised
                shield = is_for_good()
                harden()
        if error is not None:
            raise error
    finally:
        error = None  # or it and this frame would keep each other alive
