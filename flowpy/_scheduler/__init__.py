"""The shim between flowpy and its event loops: the one place that asks which runs.

Nothing outside this package imports asyncio or trio; what is the same on both comes
from anyio. Either is imported by the first task that runs on it: asyncio alone takes as
long as everything else that `import flowpy` does.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, TypeVarTuple

import anyio

from flowpy._scheduler._protocol import (
    Gate,
    Scheduler,
    Task,
    is_for_good,
    protected,
    wait_for_all,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

__all__ = [
    "Backend",
    "Gate",
    "Scheduler",
    "Task",
    "backend_options",
    "check_queue",
    "current_scheduler",
    "in_event_loop",
    "is_for_good",
    "on_asyncio",
    "protected",
    "run",
    "wait_for_all",
    "wait_future",
]

R = TypeVar("R")
Args = TypeVarTuple("Args")

Backend: TypeAlias = Literal["asyncio", "uvloop", "trio"]

_BACKENDS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
"""For each backend: the name and the options that anyio knows it by."""


@cache
def _asyncio() -> tuple[Callable[[], object], Scheduler]:
    from asyncio import get_running_loop  # noqa: PLC0415 - see above

    from flowpy._scheduler.asyncio import AsyncioScheduler  # noqa: PLC0415 - see above

    return get_running_loop, AsyncioScheduler()


@cache
def _trio_scheduler() -> Scheduler:
    from flowpy._scheduler.trio import TrioScheduler  # noqa: PLC0415 - an extra

    return TrioScheduler()


def _in_trio_task() -> bool:
    # Another thread may be importing trio right now: what is not there does not run.
    in_trio_task = getattr(sys.modules.get("trio.lowlevel"), "in_trio_task", None)
    return in_trio_task is not None and in_trio_task()


def current_scheduler() -> Scheduler:
    """Return the scheduler of the current task; RuntimeError outside of a loop."""
    if _in_trio_task():
        return _trio_scheduler()
    check_running, scheduler = _asyncio()
    check_running()
    return scheduler


async def wait_future(future: Future[R]) -> R:
    """Wait for what an executor computes.

    Its threads may outlive the event loop: then nobody is told.
    """
    scheduler = current_scheduler()
    gate = scheduler.gate()
    call = scheduler.caller()

    def tell(_: Future[R]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            call(gate.wake)

    future.add_done_callback(tell)
    try:
        while not future.done():
            await gate.park()
        return future.result()
    finally:
        del future  # or it and the error that it holds would keep each other alive


def in_event_loop() -> bool:
    """Tell whether this thread is running an event loop right now."""
    try:
        current_scheduler()
    except RuntimeError:
        return False
    return True


def on_asyncio() -> bool:
    """Tell whether the current task runs on asyncio, uvloop included."""
    return not _in_trio_task()


def check_queue(queue: object) -> None:
    """Raise RuntimeError for a queue of asyncio where another loop runs."""
    if on_asyncio():
        return
    from asyncio import Queue  # noqa: PLC0415 - see above

    if isinstance(queue, Queue):
        message = (
            "Flow.from_queue: an asyncio.Queue works on asyncio only; on trio, pass the "
            "receiving end of anyio.create_memory_object_stream() to Flow(...)"
        )
        raise RuntimeError(message)  # noqa: TRY004 - the loop is the wrong one


def backend_options(backend: str) -> tuple[str, dict[str, Any]]:
    """Return how anyio calls `backend`, an installed one.

    Raises:
        ValueError: if flowpy knows no such backend.
        ModuleNotFoundError: if it is not installed.
    """
    from importlib.util import find_spec  # noqa: PLC0415 - slow to import

    installed = [name for name in _BACKENDS if find_spec(name) is not None]
    here = ", ".join(map(repr, installed))
    if backend not in _BACKENDS:
        missing = [name for name in _BACKENDS if name not in installed]
        more = "".join(
            f'; {name!r} after: pip install "flowpy-stream[{name}]"' for name in missing
        )
        message = f"backend must be one of {here}{more}; got {backend!r}"
        raise ValueError(message)
    if backend not in installed:
        message = (
            f"backend {backend!r} is not installed: "
            f'pip install "flowpy-stream[{backend}]"; there is {here}'
        )
        raise ModuleNotFoundError(message, name=backend)
    return _BACKENDS[backend]


def run(
    fn: Callable[[*Args], Awaitable[R]],
    *args: *Args,
    backend: Backend = "asyncio",
) -> R:
    """Run an async function to its end in a new event loop and return its result.

    Args:
        fn: An async function, or a flow's bound ending, such as `flow.to_list`.
        args: What to call it with.
        backend: `"asyncio"`, `"uvloop"` or `"trio"`.

    Raises:
        ValueError: at the call, if there is no such backend.
        ModuleNotFoundError: at the call, if the backend is not installed; it says how
            to install it.
        TypeError: at the call, if `fn` is a coroutine or gives nothing to await.
        RuntimeError: at the call, inside a running event loop.

    Example:
        >>> run(Flow.of(1, 2, 3).to_list)
        [1, 2, 3]

    Source: `anyio.run`.
    """
    if iscoroutine(fn):
        fn.close()
    if not callable(fn):
        message = (
            "fn must be an async function, called with args by run: "
            f"run(main), not run(main()); got {fn!r}"
        )
        raise TypeError(message)
    name, options = backend_options(backend)

    async def main() -> R:
        result = fn(*args)
        if not isawaitable(result):
            message = f"fn must be an async function; {fn!r} returned {result!r}"
            raise TypeError(message)
        return await result

    # A thread that was started with a copy of a task's context, as by
    # `asyncio.to_thread`, has sniffio believe that it runs that task's event loop.
    sniffio = sys.modules.get("sniffio")
    if sniffio is None or in_event_loop():
        return anyio.run(main, backend=name, backend_options=options)
    token = sniffio.current_async_library_cvar.set(None)
    try:
        return anyio.run(main, backend=name, backend_options=options)
    finally:
        sniffio.current_async_library_cvar.reset(token)
