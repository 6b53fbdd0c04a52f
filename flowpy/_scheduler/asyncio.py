"""The scheduler of a task that asyncio runs, on whichever of its loops."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

    from flowpy._scheduler._protocol import Gate

Ended = asyncio.Task[BaseException | None]

_ALIVE: set[Ended] = set()
"""The background tasks: a loop keeps only weak references to what it runs."""


class AsyncioGate:
    """Tasks that wait, each for a future of its own."""

    __slots__ = ("_loop", "parked")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.parked: deque[asyncio.Future[None]] = deque()

    def park(self) -> Awaitable[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self.parked.append(future)
        return future

    async def park_until(self, deadline: float) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self.parked.append(future)
        timer = self._loop.call_at(deadline, release, future)
        try:
            await future
        finally:
            timer.cancel()
            if future in self.parked:
                self.parked.remove(future)

    def wake(self) -> None:
        while self.parked:
            release(self.parked.popleft())


def release(future: asyncio.Future[None]) -> None:
    """Let the task that waits for `future` go on."""
    if not future.done():  # it may have been cancelled, and not yet have noticed
        future.set_result(None)


class AsyncioTask:
    """A background task of asyncio, whose result is what its function raised."""

    __slots__ = ("_ended", "_started", "_stopping", "key")

    key: Ended

    def __init__(
        self,
        fn: Callable[[], Awaitable[object]],
        ended: Callable[[BaseException | None], object],
        name: str,
        context: Context,
    ) -> None:
        self._started = self._stopping = False
        self._ended = ended
        loop = asyncio.get_running_loop()
        # Not with `context=`, which not every task factory takes.
        task = self.key = context.run(loop.create_task, self._run(fn), name=name)
        if task.done():  # it began at once: so an eager task factory has it
            self._end(task)
        else:
            _ALIVE.add(task)
            # Not at the end of the coroutine: that of a task which the loop cancels
            # before its first step never runs.
            task.add_done_callback(self._end)

    async def _run(self, fn: Callable[[], Awaitable[object]]) -> BaseException | None:
        self._started = True
        if self._stopping:
            self.cancel_current()
        try:
            await fn()
        except BaseException as error:  # noqa: BLE001 - `ended` gets it
            return error
        return None

    @staticmethod
    def cancel_current() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    def _end(self, task: Ended) -> None:
        _ALIVE.discard(task)
        self._ended(asyncio.CancelledError() if task.cancelled() else task.result())

    def cancel(self) -> None:
        self._stopping = True
        if self._started:
            self.key.cancel()


class AsyncioScheduler:
    """Asks the running loop, at each call: it holds no state."""

    cancelled: type[BaseException] = asyncio.CancelledError
    gate = AsyncioGate
    spawn = AsyncioTask

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def sleep_forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    def caller(self) -> Callable[[Callable[[], object]], object]:
        return asyncio.get_running_loop().call_soon_threadsafe

    def current_task(self) -> object:
        return asyncio.current_task()

    async def join(
        self,
        pending: Callable[[], object],
        gate: Gate,
        harden: Callable[[], object],
        *,
        hard: bool,
    ) -> None:
        cancelled: asyncio.CancelledError | None = None
        if not hard:
            try:
                while pending():
                    await gate.park()
            except asyncio.CancelledError as error:
                cancelled = error
                harden()
        # The shield, entered and left within this call, is against the scopes of anyio,
        # which cancel again and again. `Task.cancel` comes once each time: passed on.
        with anyio.CancelScope(shield=True):
            while pending():
                try:
                    await gate.park()
                except asyncio.CancelledError as error:
                    cancelled = error
                    harden()
        if cancelled is not None:
            raise cancelled
