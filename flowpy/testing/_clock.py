"""Virtual clocks: time that jumps to the next timer whenever every task waits.

trio has one; asyncio's is here. What is said of one holds for the other: the clock
starts anew with each loop, moves only when no task can run, and a thread or a socket
that is waited for does not hold it back (but see `threshold`).
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import anyio
import anyio.lowlevel

from flowpy._checks import check_duration

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from _typeshed import FileDescriptorLike

R = TypeVar("R")


class _AutojumpSelector(selectors.BaseSelector):
    """Waits for nothing: where a loop would sleep until a timer, the clock jumps."""

    def __init__(self, threshold: float) -> None:
        self._real = selectors.DefaultSelector()
        self._threshold = threshold
        self.now = 0.0

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return self._real.select(timeout)  # no timer: only a real event can wake us
        ready = self._real.select(self._threshold)
        if not ready:
            # At least one ulp, or a deadline that rounding puts just ahead is asked for
            # again and again: anyio's cancel scopes re-arm until the clock has passed it.
            least = math.nextafter(self.now, math.inf)
            self.now = max(self.now + timeout, least)
        return ready

    def register(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(
        self, fileobj: FileDescriptorLike, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualClockEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time: it starts at 0 and jumps over waits.

    Args:
        threshold: Real seconds to wait for threads and sockets before the clock jumps;
            0 unless a test has some.

    Shape: an event loop for `asyncio.Runner` or `asyncio.run`. No error of its own.

    Example:
        >>> with asyncio.Runner(loop_factory=VirtualClockEventLoop) as runner:
        ...     runner.run(asyncio.sleep(3600, "an hour later"))
        ...     round(runner.get_loop().time())
        'an hour later'
        3600

    Source: `trio.testing.MockClock(autojump_threshold=...)`.
    """

    def __init__(self, threshold: float = 0) -> None:
        self._virtual = _AutojumpSelector(threshold)
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time in seconds; no error of its own."""
        now = self._virtual.now
        # asyncio fires a timer when `when < now + resolution`. The usual 1e-9 is lost in
        # rounding past 2**23 s, and the loop would spin for ever. It would also fire
        # together what marbles set apart, by less than that.
        self._clock_resolution = 4 * math.ulp(now)
        return now


def virtual_backend(
    backend: Literal["asyncio", "trio"] = "asyncio", *, threshold: float = 0
) -> tuple[str, dict[str, Any]]:
    """Return what a fixture `anyio_backend` returns, with a virtual clock of its own.

    Args:
        backend: `"asyncio"` or `"trio"`.
        threshold: Real seconds to wait for threads and sockets before the clock jumps.

    Shape: `(name, options)`, to be used once: the clock goes on where it stopped.

    Raises:
        ValueError: at the call, if there is no virtual clock for `backend`, or
            `threshold` is negative, NaN or infinite.
        ModuleNotFoundError: at the call, if trio is not installed.

    Example:
        >>> name, options = virtual_backend("asyncio")
        >>> anyio.run(anyio.sleep, 3600, backend=name, backend_options=options)

    Source: anyio's pytest plugin. (`anyio.run` heeds the options of trio since 4.13.)
    """
    wait = check_duration("threshold", threshold)
    if backend == "asyncio":
        return "asyncio", {"loop_factory": lambda: VirtualClockEventLoop(wait)}
    if backend == "trio":
        from trio.testing import MockClock  # noqa: PLC0415 - trio is an extra

        return "trio", {"clock": MockClock(autojump_threshold=wait)}
    message = f"backend must be 'asyncio' or 'trio' to be virtual; got {backend!r}"
    raise ValueError(message)


def run_virtual(
    fn: Callable[[], Awaitable[R]],
    backend: Literal["asyncio", "trio"] = "asyncio",
    *,
    threshold: float = 0,
) -> R:
    """Run an async function in virtual time, beginning at 0.

    Args:
        fn: An async function of no arguments, or a flow's bound ending.
        backend: `"asyncio"` or `"trio"`.
        threshold: Real seconds to wait for threads and sockets before the clock jumps.

    Raises:
        ValueError: at the call, if there is no virtual clock for `backend`, or
            `threshold` is negative, NaN or infinite.
        ModuleNotFoundError: at the call, if trio is not installed.
        TimeoutError: after ten years of virtual time, which pass in a moment where
            something is waited for that never comes, or, with a `threshold` of 0, that
            a thread or a socket would have given.

    Example:
        >>> run_virtual(Flow.interval(3600).take(3).to_list, "trio")
        [0, 1, 2]

    Source: flowpy's own.
    """
    name, options = virtual_backend(backend, threshold=threshold)

    async def main() -> R:
        with anyio.move_on_after(_FOREVER):
            return await fn()
        message = (
            "ten years of virtual time have passed: what is waited for never comes, or "
            "comes from a thread or a socket, for which to wait give a threshold"
        )
        raise TimeoutError(message)

    if name == "trio":
        import trio  # noqa: PLC0415 - trio is an extra

        return trio.run(main, **options)
    return anyio.run(main, backend=name, backend_options=options)


def check_virtual(name: str) -> None:
    """Check for the function `name` that the running event loop's clock is virtual."""
    native: object = anyio.lowlevel.current_token().native_token
    if isinstance(native, asyncio.AbstractEventLoop):
        virtual = isinstance(native, VirtualClockEventLoop)
    else:
        from trio.lowlevel import current_clock  # noqa: PLC0415 - trio is an extra
        from trio.testing import MockClock  # noqa: PLC0415

        virtual = isinstance(current_clock(), MockClock)
    if not virtual:
        message = (
            f"{name} needs a virtual clock: in pytest, return virtual_anyio_backend "
            "from a fixture anyio_backend; elsewhere use run_virtual"
        )
        raise RuntimeError(message)


_FOREVER = 10 * 365.25 * 86400
