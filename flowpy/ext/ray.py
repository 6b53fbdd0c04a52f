"""Calls on a cluster of Ray: `flow.map(fn, on=RayExecutor(), concurrency=100)`.

Needs Ray, `pip install "flowpy-stream[ray]"`, of which nothing is imported before an
executor is made. What a flow does with an executor stands at `Flow.map`.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from contextlib import suppress
from functools import partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, cast

from flowpy._checks import check_installed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("RayExecutor",)

P = ParamSpec("P")
R = TypeVar("R")


class ObjectRef(Protocol):
    """What Ray gives for a task: it stands for the result."""

    def future(self) -> Future[Any]:
        """Return a future that a thread of Ray sets."""
        ...


class RemoteFunction(Protocol):
    """A function that runs in tasks of Ray."""

    def options(self, **ray_options: object) -> RemoteFunction:
        """Return it with options."""
        ...

    def remote(self, *args: object, **kwargs: object) -> ObjectRef:
        """Start a task."""
        ...


class Exceptions(Protocol):
    """Ray's exceptions."""

    @property
    def RayTaskError(self) -> type[Exception]:
        """Stands for an error that a task raised, which is its `cause`."""
        ...


class Ray(Protocol):
    """The module, as far as it is used here."""

    @property
    def exceptions(self) -> Exceptions:
        """Its module of exceptions."""
        ...

    def is_initialized(self) -> bool:
        """Tell whether there is a cluster to send tasks to."""
        ...

    def remote(self, fn: Callable[..., object], /) -> RemoteFunction:
        """Make a remote function."""
        ...

    def cancel(self, ref: ObjectRef) -> None:
        """Drop a task from the queue, or interrupt it."""
        ...


class RayExecutor(Executor):
    """Runs calls as tasks of the cluster that `ray.init()` has started or joined.

    ::

        ray.init()
        with RayExecutor(num_cpus=0.5, max_retries=5) as cluster:
            run(Flow(paths).map(resize, on=cluster, concurrency=100).collect)

    Work that is cancelled, as by a flow that stops early, is cancelled in Ray too: what
    waits in its queue is dropped, what runs meets a KeyboardInterrupt. A task whose
    worker dies is tried again, 3 times unless `max_retries` says otherwise; then the
    call fails with `ray.exceptions.WorkerCrashedError`, on which the flow notes which
    item that was. An error of `fn` arrives as what it was raised as. An item that is an `ObjectRef`
    reaches `fn` as the object that it stands for.

    Args:
        ray_options: Options of Ray for each task, such as `num_cpus`, `num_gpus`,
            `memory`, `resources`, `max_retries`, `retry_exceptions`, `runtime_env`.

    Raises:
        ModuleNotFoundError: at the call, if Ray is not installed.
        RuntimeError: at the call, if `ray.init()` has not been called.
        ValueError: (or TypeError) at the call, if Ray knows no such option.

    Source: `concurrent.futures.Executor`; Ray's `remote` and `options`.
    """

    def __init__(self, **ray_options: object) -> None:
        check_installed("RayExecutor", "ray", "ray")
        self._ray = cast("Ray", import_module("ray"))
        if not self._ray.is_initialized():
            message = "RayExecutor needs a cluster: call ray.init() first"
            raise RuntimeError(message)
        self._options = ray_options
        self._remote(str)  # Ray checks the options
        self._made: dict[int, tuple[object, RemoteFunction]] = {}
        """Remote functions by the id of what they call, which lives as long as they."""
        self._pending: set[Future[Any]] = set()
        self._closed = False
        self._lock = Lock()

    def submit(
        self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[R]:
        """Start a task that calls `fn`; what it gives is what the future gives.

        Args:
            fn: What a worker calls; it is sent there pickled.
            args: Its arguments.
            kwargs: Its arguments, by name.

        Raises:
            RuntimeError: at the call, after `shutdown`.
        """
        with self._lock:
            if self._closed:
                message = "cannot schedule new futures after shutdown"
                raise RuntimeError(message)
            if id(fn) not in self._made:
                if len(self._made) == KEPT:
                    self._made.clear()
                self._made[id(fn)] = fn, self._remote(fn)
            _, remote = self._made[id(fn)]
            ref = remote.remote(*args, **kwargs)
            future: Future[R] = Future()
            self._pending.add(future)
        future.add_done_callback(partial(self._forget, ref))
        ref.future().add_done_callback(partial(self._settle, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - as its base class has it
        """Take no more calls; the cluster goes on. No error of its own.

        Args:
            wait: Whether to return when all calls have ended.
            cancel_futures: Whether to cancel those that have not.
        """
        with self._lock:
            self._closed = True
            pending = list(self._pending)
        if cancel_futures:
            for future in pending:
                future.cancel()
        if wait:
            wait_for(pending)

    def _remote(self, fn: Callable[..., object]) -> RemoteFunction:
        def call(*args: object, **kwargs: object) -> object:
            return fn(*args, **kwargs)  # Ray refuses builtins, and generators are items

        name = getattr(fn, "__name__", type(fn).__name__)
        return self._ray.remote(call).options(**{"name": name} | self._options)

    def _settle(self, future: Future[Any], done: Future[Any]) -> None:
        error = done.exception()
        if isinstance(error, self._ray.exceptions.RayTaskError):
            error = original(error)
        with suppress(InvalidStateError):  # it has been cancelled
            if error is None:
                future.set_result(done.result())
            else:
                future.set_exception(error)

    def _forget(self, ref: ObjectRef, future: Future[Any]) -> None:
        with self._lock:
            self._pending.discard(future)
        if future.cancelled():
            future.set_running_or_notify_cancel()  # who waits for it is told so
            self._ray.cancel(ref)


class RemoteTraceback(Exception):
    """The cause of an error that comes from a worker: where it was raised there."""


def original(error: Exception) -> BaseException:
    """Return what a task raised: Ray's own error is of a type made of two."""
    cause: object = getattr(error, "cause", None)
    if not isinstance(cause, BaseException):
        return error
    cause.__cause__ = RemoteTraceback(str(error))
    return cause


KEPT = 64
"""How many functions are kept ready: Ray sends each to a worker once, not with each call."""
