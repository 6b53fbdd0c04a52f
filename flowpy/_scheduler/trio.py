"""The scheduler of a task that trio runs; imported once trio is running."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import (
    Abort,
    add_instrument,
    current_trio_token,
    disable_ki_protection,
    enable_ki_protection,
    remove_instrument,
    reschedule,
    spawn_system_task,
    wait_task_rescheduled,
)

from flowpy._scheduler._protocol import protect_with

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

protect_with(enable_ki_protection)


class TrioGate:
    """Tasks that wait, as trio's own primitives have them wait."""

    __slots__ = ("parked",)

    def __init__(self) -> None:
        self.parked: deque[trio.lowlevel.Task] = deque()

    @enable_ki_protection
    async def park(self) -> None:
        task = trio.lowlevel.current_task()

        def abort(_: object) -> Abort:
            self.parked.remove(task)
            return Abort.SUCCEEDED

        self.parked.append(task)
        await wait_task_rescheduled(abort)

    async def park_until(self, deadline: float) -> None:
        # A scope is how trio sets a timer; this one is left before anything is yielded.
        with trio.CancelScope(deadline=deadline):
            await self.park()

    @enable_ki_protection
    def wake(self) -> None:
        while self.parked:
            reschedule(self.parked.popleft())

    @enable_ki_protection
    def wake_one(self) -> None:
        if self.parked:
            reschedule(self.parked.popleft())


@disable_ki_protection
async def interruptible(fn: Callable[[], Awaitable[object]]) -> None:
    """Run `fn` so that Ctrl-C ends it; trio keeps it away from system tasks."""
    await fn()


class Watch(trio.abc.Instrument):
    """Sees whether a task is made to run, and tries after its steps to cancel it."""

    def __init__(self, task: TrioTask) -> None:
        self._task = task
        self.seen = False
        self.steps = 0

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.seen |= task is self._task.key

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task.key:
            self.steps += 1
            self._task.try_to_cancel(self)


class TrioTask:
    """A system task of trio, cancelled by a scope of its own.

    A scope goes on and on cancelling, until the scope inside gets a shield.
    """

    __slots__ = ("_done", "_for_good", "_inner", "_outer", "_spared", "_watched", "key")

    def __init__(
        self,
        fn: Callable[[], Awaitable[object]],
        ended: Callable[[BaseException | None], object],
        name: str,
        context: Context,
    ) -> None:
        self._outer = trio.CancelScope()
        self._inner = trio.CancelScope()
        self._done = self._for_good = self._spared = self._watched = False
        self.key = spawn_system_task(self._run, fn, ended, name=name, context=context)

    async def _run(
        self,
        fn: Callable[[], Awaitable[object]],
        ended: Callable[[BaseException | None], object],
    ) -> None:
        error: BaseException | None = None
        try:
            with self._outer, self._inner:
                await interruptible(fn)
        except trio.Cancelled:
            error = RuntimeError("flowpy: trio ended its run while this was going on")
            raise
        except BaseException as raised:  # noqa: BLE001 - `ended` gets it
            error = raised
        finally:
            self._done = True
            ended(error)
            error = None  # or it and this frame would keep each other alive

    @enable_ki_protection
    def cancel(self, *, for_good: bool) -> None:
        if for_good:
            self._for_good = True
            self._inner.shield = False
            self._outer.cancel()
        else:
            self._spared = False
            self._cancel_once()

    @enable_ki_protection
    def _cancel_once(self) -> None:
        """Cancel it, now or as soon as it waits where it has no shield of its own."""
        if not self._watched:
            self._watched = True
            watch = Watch(self)
            add_instrument(watch)
            self.try_to_cancel(watch)

    def try_to_cancel(self, watch: Watch) -> None:
        """Cancel it if it can be, and let it wait again; end the watch then."""
        if not (self._done or self._for_good or self._spared):
            watch.seen = False
            self._inner.shield = False
            self._outer.cancel()
            if watch.steps < STEPS:
                self._inner.shield = True
                if not watch.seen:
                    return
        self._watched = False
        remove_instrument(watch)

    def spare(self) -> None:
        self._spared = True


STEPS = 100
"""After so many steps a task is cancelled for good: it does not wait behind a shield, but
only lets others run, and at those points trio cancels nothing."""


class TrioScheduler:
    """Asks the running trio, at each call: it holds no state."""

    cancelled: type[BaseException] = trio.Cancelled
    gate = TrioGate
    spawn = TrioTask

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(max(seconds, 0))

    async def sleep_forever(self) -> None:
        await trio.sleep_forever()

    async def checkpoint(self) -> None:
        await trio.lowlevel.checkpoint()

    def loop(self) -> object:
        return current_trio_token()

    def caller(self) -> Callable[[Callable[[], object]], object]:
        return current_trio_token().run_sync_soon

    def current_task(self) -> object:
        return trio.lowlevel.current_task()
