"""The scheduler of a task that asyncio runs, on whichever of its loops."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import cache
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

_ALIVE: set[asyncio.Task[None]] = set()
"""The background tasks: a loop keeps only weak references to what it runs."""


PARKS = 32
"""Every so often a task that parks is let go on at once: a scope of anyio does not cancel
a task whose future is done, which is so each time it looks if it is woken in each turn."""


class AsyncioGate:
    """Tasks that wait, each for a future of its own."""

    __slots__ = ("_loop", "_parks", "parked")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parks = 0
        self.parked: deque[asyncio.Future[None]] = deque()

    def park(self) -> Awaitable[None]:
        self._parks += 1
        if not self._parks % PARKS:
            return asyncio.sleep(0)
        future: asyncio.Future[None] = self._loop.create_future()
        self.parked.append(future)
        return future

    async def park_until(self, deadline: float) -> None:
        self._parks += 1
        if not self._parks % PARKS:
            await asyncio.sleep(0)
            return
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

    def wake_one(self) -> None:
        while self.parked:
            future = self.parked.popleft()
            if not future.done():
                future.set_result(None)
                return


def release(future: asyncio.Future[None]) -> None:
    """Let the task that waits for `future` go on."""
    if not future.done():  # it may have been cancelled, and not yet have noticed
        future.set_result(None)


class AsyncioTask:
    """A background task of asyncio.

    `Task.cancel` would break into cleanup that stands in a scope of anyio with a
    shield, so it is cancelled by such a scope. That one goes on and on cancelling,
    until the scope inside gets a shield.
    """

    __slots__ = ("_ended", "_for_good", "_inner", "_outer", "_spared", "_trying", "key")

    def __init__(
        self,
        fn: Callable[[], Awaitable[object]],
        ended: Callable[[BaseException | None], object],
        name: str,
        context: Context,
    ) -> None:
        scope = kind_of_scope()
        self._outer, self._inner = scope(), scope()
        self._for_good = self._spared = self._trying = False
        self._ended: Callable[[BaseException | None], object] | None = ended
        loop = asyncio.get_running_loop()
        # Not with `context=`, which not every task factory takes.
        self.key = context.run(loop.create_task, self._run(fn), name=name)
        eagerly = self.key.done()
        if not eagerly:  # pragma: no branch - eager tasks came with 3.12
            _ALIVE.add(self.key)
            self.key.add_done_callback(self._forget)

    async def _run(self, fn: Callable[[], Awaitable[object]]) -> None:
        error: BaseException | None = None
        try:
            with self._outer, self._inner:
                await fn()
        except BaseException as raised:  # noqa: BLE001 - `ended` gets it
            error = raised
        # In its last step, so whoever hears of it finds that it has ended.
        self._end(error)
        error = None  # or it and this frame would keep each other alive

    def _end(self, error: BaseException | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(error)

    def _forget(self, task: asyncio.Task[None]) -> None:
        _ALIVE.discard(task)
        # One that the loop cancelled before its first step has not run at all.
        self._end(asyncio.CancelledError())

    def cancel(self, *, for_good: bool) -> None:
        if for_good:
            self._for_good = True
            self._inner.shield = False
            self._outer.cancel()
        else:
            self._spared = False
            if not self._trying:
                self._trying = True
                self._cancel_once(LOOKS)

    def _cancel_once(self, looks: int) -> None:
        """Cancel it now if it waits, and let it wait again; else try again soon."""
        if not (self._for_good or self._spared or self.key.done()):
            before = self.key.cancelling()
            self._inner.shield = False
            self._outer.cancel()
            self._inner.shield = True
            if self.key.cancelling() == before:
                loop = asyncio.get_running_loop()
                if looks:
                    loop.call_soon(self._cancel_once, looks - 1)
                else:
                    loop.call_later(LATER, self._cancel_once, LOOKS)
                return
        self._trying = False

    def spare(self) -> None:
        self._spared = True


@cache
def kind_of_scope() -> type[anyio.CancelScope]:
    """Return anyio's class of scopes for asyncio, to find which takes it a while."""
    return type(anyio.CancelScope())


LOOKS = PARKS
"""Turns of the loop in which a task that can run will have begun to wait, or ended.
One that has not then stands behind a shield of its own."""

LATER = 0.01
"""Seconds after which it is tried again to cancel such a task. The scope would do it at
once, and again and again, so that no cleanup could wait."""


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

    def loop(self) -> object:
        return asyncio.get_running_loop()

    def caller(self) -> Callable[[Callable[[], object]], object]:
        return asyncio.get_running_loop().call_soon_threadsafe

    def current_task(self) -> object:
        return asyncio.current_task()
