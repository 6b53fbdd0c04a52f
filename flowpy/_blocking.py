"""Iterating a flow from plain code: an event loop in a thread, an item at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import AbstractAsyncContextManager, suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

import anyio

from flowpy._iterating import keep_first
from flowpy._scheduler import (
    Backend,
    backend_options,
    current_scheduler,
    in_event_loop,
    run,
)
from flowpy._types import MISSING, Missing

T = TypeVar("T")

Opener = Callable[[], AbstractAsyncContextManager[AsyncIterator[T]]]


def iterate_blocking(
    open_items: Opener[T], backend: Backend
) -> Generator[T, None, None]:
    """Check that this thread may wait, and return the iterator."""
    backend_options(backend)
    if in_event_loop():
        message = "iter_blocking() would block the running event loop; use async for"
        raise RuntimeError(message)
    return _iterate(open_items, backend)


def _iterate(open_items: Opener[T], backend: Backend) -> Generator[T, None, None]:
    feed = _Feed(open_items)
    thread = Thread(
        target=copy_context().run,
        args=(feed.serve, backend),
        name="flowpy.iter_blocking",
        daemon=True,  # or an iterator that was never closed would keep the program
    )
    try:
        thread.start()
        while (item := feed.ask()) is not MISSING:
            yield item
    except BaseException as error:
        feed.stop()
        # It can't be joined if Ctrl-C came before it began, or if it is the one that
        # collects the iterator as garbage. Then it ends by itself.
        with suppress(RuntimeError):
            thread.join()
        try:
            feed.check()
        except BaseException as late:  # noqa: BLE001 - noted or raised
            keep_first(error, late)
        raise
    thread.join()


class _Feed(Generic[T]):
    """Hands items to the thread that asks, one at a time, from that of the loop.

    Either the caller waits for an answer or the loop for a question, never both, so
    the two threads share these attributes without a lock.
    """

    def __init__(self, open_items: Opener[T]) -> None:
        self._open_items = open_items
        self._answers: SimpleQueue[T | Missing] = SimpleQueue()
        self._error: BaseException | None = None
        self._ready = Event()
        self._pulling = self._stopping = False
        self._call: Callable[[Callable[[], object]], object] = lambda _: None
        self._question: anyio.Event
        self._scope: anyio.CancelScope

    # In the thread of the caller:

    def ask(self) -> T | Missing:
        """Return the next item, or MISSING at the end; raise what the flow raised."""
        self._ready.wait()
        self._wake(lambda: self._question.set())  # noqa: PLW0108 - looked up there
        answer = self._wait()
        self.check()
        return answer

    def _wait(self) -> T | Missing:
        # Ctrl-C that comes just as the wait begins does not interrupt it: CPython runs
        # signal handlers between two steps of Python code. So there is a next step.
        while True:
            with suppress(Empty):
                return self._answers.get(timeout=1)

    def stop(self) -> None:
        """Have the flow closed: cancelled only if the caller left while it pulled."""
        self._stopping = True
        self._wake(
            lambda: self._scope.cancel() if self._pulling else self._question.set()
        )

    def check(self) -> None:
        """Raise the error with which the flow ended, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _wake(self, fn: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended by itself
            self._call(fn)

    # In the thread of the loop:

    def serve(self, backend: Backend) -> None:
        """Run the loop to its end, which is the last answer."""
        try:
            run(self._answer, backend=backend)
        except BaseException as error:  # noqa: BLE001 - raised by the other thread
            self._error = error
        self._answers.put(MISSING)
        self._ready.set()  # even if the loop never began

    async def _answer(self) -> None:
        self._call = current_scheduler().caller()
        self._question = anyio.Event()
        with anyio.CancelScope() as self._scope:
            self._ready.set()
            async with self._open_items() as items:
                while not self._stopping:
                    await self._question.wait()
                    if self._stopping:
                        return
                    self._question = anyio.Event()
                    self._pulling = True
                    item = await anext(items, MISSING)
                    self._pulling = False
                    if item is MISSING:
                        return
                    self._answers.put(item)
