"""Flows that are collected in a task of a group, and the handle that one gets of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from flowpy._crew import task_name

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from flowpy._types import AnyTaskGroup


class Job:
    """A flow that is being collected in a task of a group; `launch_in` returns it.

    What the collection raises ends the group, as with any task of it.

    Shape: one collection.

    Example:
        >>> async def main():
        ...     async with anyio.create_task_group() as group:
        ...         job = Flow.interval(1).on_each(print).launch_in(group)
        ...         await anyio.sleep(1.5)
        ...         job.cancel()
        ...         await job.wait()
        >>> run(main)
        0
        1

    Source: Kotlin's `Job`.
    """

    __slots__ = ("_ended", "_name", "_scope")

    def __init__(self, name: str) -> None:
        self._name = name
        self._scope = anyio.CancelScope()
        self._ended = anyio.Event()

    def __repr__(self) -> str:
        return f"<Job: {self._name}, {'ended' if self._ended.is_set() else 'running'}>"

    def cancel(self) -> None:
        """Cancel the collection; the group goes on. To wait for its end: `wait`.

        No error of its own.
        """
        self._scope.cancel()

    async def wait(self) -> None:
        """Wait until the collection has ended, however it does; no error of its own."""
        await self._ended.wait()

    async def _run(
        self, collect: Callable[[], Coroutine[object, object, None]]
    ) -> None:
        """Collect in the running task."""
        try:
            with self._scope:
                await collect()
        finally:
            self._ended.set()

    def _end(self, task: object) -> None:
        """Take note that its task has ended, which may not have begun."""
        self._ended.set()


def launch(
    name: str,
    collect: Callable[[], Coroutine[object, object, None]],
    task_group: AnyTaskGroup,
) -> Job:
    """Collect in a task of a group."""
    job = Job(name)

    async def run() -> None:
        await job._run(collect)

    start(task_group, run, job._end, "launch_in")
    return job


def start(
    task_group: AnyTaskGroup,
    fn: Callable[[], Coroutine[Any, Any, None]],
    ended: Callable[[object], object],
    what: str,
) -> None:
    """Run a function in a task of a group, which is named for `what` is done.

    Where it may happen that it is never begun, `ended` is called when the task ends.
    """
    check_task_group(task_group)
    group: Any = task_group
    name = task_name(what)
    if hasattr(group, "start_soon"):
        # Groups that name tasks do so by what they run; not all take another name.
        async def run() -> None:
            await fn()

        run.__module__, _, run.__qualname__ = name.partition(".")
        group.start_soon(run)
        return
    coroutine = fn()
    try:
        task = group.create_task(coroutine)
    except BaseException:
        coroutine.close()
        raise
    if hasattr(task, "set_name"):
        task.set_name(name)
    # One that asyncio cancels before its first step does not run at all.
    task.add_done_callback(ended)


def check_task_group(task_group: object) -> None:
    """Check that a task can be started in `task_group`."""
    if not (hasattr(task_group, "start_soon") or hasattr(task_group, "create_task")):
        message = (
            "task_group must be a task group of anyio or asyncio, or a nursery of trio; "
            f"got {task_group!r}"
        )
        raise TypeError(message)
