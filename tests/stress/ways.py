"""The ways in which a flow is read, and stopped, and left behind.

Each is an async function of a case and a flow. It puts the items in `case.seen` and
says in `case.stopped` if they need not be all.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from tests.stress.trees import COLLECTOR, Planted, pause


class Hang(SystemExit):
    """Ends an event loop in which nothing goes on any more.

    No loop lets anything else through that a timer raises.
    """


DELAYS = (0, 0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.006, 0.01)


@dataclass(frozen=True)
class Way:
    """How a flow is read, and what may be said of it afterwards."""

    read: Callable[..., Awaitable[None]]
    backend: str = ""
    """The only one on which there is such a thing."""
    one_task: bool = True
    """Whether one task, in one cancel scope, opens, iterates and closes."""
    cancels: bool = False
    """Whether the collector is cancelled: cleanup without a shield is interrupted."""
    leaves: bool = False
    """Whether it leaves the iterator to the garbage collector."""
    in_a_cycle: bool = False
    """Whether the garbage collector finds it in a cycle."""
    shuts_down: bool = False
    """Whether it leaves the iterator to the end of the event loop."""
    weight: int = 1
    interrupts: bool = True
    """Whether Ctrl-C may be planted: no task but the collector's would see it."""

    @property
    def name(self) -> str:
        return self.read.__name__


WAYS: list[Way] = []


def way(**traits: Any) -> Callable[..., Any]:
    def register(read):
        WAYS.append(Way(read, **traits))
        return read

    return register


async def in_new_task(fn: Callable[[], Awaitable[Any]]) -> Any:
    """Run `fn` in a task of its own and return, or raise, what comes of it."""
    result, raised = None, None

    async def call():
        nonlocal result, raised
        try:
            result = await fn()
        except BaseException as error:
            if isinstance(error, Hang | anyio.get_cancelled_exc_class()):
                raise
            raised = error

    async with anyio.create_task_group() as group:
        group.start_soon(call)
    if raised is not None:
        try:
            raise raised
        finally:
            raised = None
    return result


async def read(case, items, *, until: int | None = None) -> None:
    """Read, and stop by a `break`."""
    left = until
    wait = case.any_of(None, None, 0, 0.001)
    async for item in items:
        case.seen.append(item)
        await pause(wait)
        if left is not None:
            if left == 0:
                case.stopped = True
                break
            left -= 1


async def pull(case, items) -> bool:
    """Read one item; False at the end."""
    try:
        case.seen.append(await anext(items))
    except StopAsyncIteration:
        return False
    return True


def some(case) -> int:
    return case.random.randrange(7)


def delay(case) -> float:
    return case.any_of(*DELAYS)


# ------------------------------------------------------------------------ to the end


@way(weight=3)
async def reads_all(case, flow):
    await flow.collect(case.seen.append)


@way(weight=3)
async def reads_all_slowly(case, flow):
    async with flow.open() as items:
        await read(case, items)


@way(weight=3)
async def reads_all_late(case, flow):
    async with flow.open() as items:
        if await pull(case, items):
            await anyio.sleep(0.1)  # tasks run into their bounds and their errors
            await read(case, items)


@way(one_task=False)
async def reads_each_in_a_new_task(case, flow):
    async with flow.open() as items:
        while await in_new_task(lambda: pull(case, items)):
            pass


# ---------------------------------------------------------------------- stopped early


@way()
async def breaks(case, flow):
    async with flow.open() as items:
        await read(case, items, until=some(case))


@way()
async def takes(case, flow):
    n = some(case)
    case.expected = case.expected.first(n)
    await flow.take(n).collect(case.seen.append)


@way()
async def fails_in_the_loop(case, flow):
    error = case.plant("loop")
    async with flow.open() as items:
        await read(case, items, until=some(case))
        if case.stopped:
            case.own_error = error
            raise error


@way()
async def fails_in_collect(case, flow):
    error, left = case.plant("collect"), some(case)

    async def take_in(item):
        nonlocal left
        case.seen.append(item)
        await checkpoint()
        left -= 1
        if left == 0:
            case.stopped, case.own_error = True, error
            raise error

    await flow.collect(take_in)


@way()
async def is_closed_before_the_first_pull(case, flow):
    case.stopped = True
    async with flow.open():
        await checkpoint()


@way(one_task=False)
async def is_closed_by_another_task(case, flow):
    items = aiter(flow)
    try:
        for _ in range(some(case)):
            if not await in_new_task(lambda: pull(case, items)):
                break
        else:
            case.stopped = True
    finally:
        await in_new_task(items.aclose)


@way()
async def is_closed_twice(case, flow):
    items = aiter(flow)
    try:
        await read(case, items, until=some(case))
    finally:
        await items.aclose()
        await items.aclose()


# -------------------------------------------------------------------------- cancelled


@way(cancels=True)
async def is_cancelled_in_collect(case, flow):
    with anyio.move_on_after(delay(case)) as scope:
        try:
            await flow.collect(case.seen.append)
        finally:
            case.stopped = scope.cancel_called


@way(cancels=True)
async def is_cancelled_in_the_loop(case, flow):
    with anyio.move_on_after(delay(case)) as scope:
        try:
            async with flow.open() as items:
                await read(case, items)
        finally:
            case.stopped = scope.cancel_called


@way(cancels=True)
async def is_cancelled_before_it_begins(case, flow):
    case.stopped = True
    with anyio.CancelScope() as scope:
        scope.cancel()
        await flow.collect(case.seen.append)


@way(cancels=True)
async def is_cancelled_while_it_closes(case, flow):
    case.stopped = True
    with anyio.CancelScope() as scope:
        async with flow.open() as items:
            await read(case, items, until=some(case))
            scope.deadline = anyio.current_time() + delay(case)


@way(cancels=True, one_task=False)
async def has_its_pulls_cancelled(case, flow):
    case.stopped = True
    async with flow.open() as items:
        for _ in range(some(case)):
            with anyio.move_on_after(delay(case)):
                await pull(case, items)


@way(cancels=True)
async def is_cancelled_by_a_failing_sibling(case, flow):
    case.stopped = True
    error = Planted("sibling")

    async def fail():
        await anyio.sleep(delay(case))
        raise error

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await flow.collect(case.seen.append)
    except BaseExceptionGroup as raised:
        _, rest = raised.split(lambda each: each is error)
        if rest is not None:
            raise alone(rest) from None


def alone(error: BaseException) -> BaseException:
    """Return the only error in groups that the sibling's task group has made."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


async def cancel_natively(case, flow, *again):
    async def collect():
        async with flow.open() as items:
            await read(case, items)

    task = asyncio.create_task(collect())
    for seconds in (delay(case), *again):
        await asyncio.sleep(seconds)
        case.stopped |= not task.done()
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        if not case.stopped:
            raise


@way(backend="asyncio", cancels=True, interrupts=False)
async def is_cancelled_natively(case, flow):
    await cancel_natively(case, flow)


@way(backend="asyncio", cancels=True, interrupts=False)
async def is_cancelled_natively_twice(case, flow):
    await cancel_natively(case, flow, case.any_of(0, 0, 0.001, 0.002))


@way(backend="asyncio", cancels=True)
async def is_timed_out_natively(case, flow):
    try:
        async with asyncio.timeout(delay(case)) as timeout:
            try:
                await flow.collect(case.seen.append)
            finally:
                # Timers may fire early by what rounding takes away.
                now = asyncio.get_running_loop().time() + 1e-9
                case.stopped = timeout.when() <= now
    except TimeoutError:
        pass
    assert asyncio.current_task().cancelling() == 0


@way(cancels=True, one_task=False, interrupts=False)
async def is_launched_and_cancelled(case, flow):
    try:
        async with anyio.create_task_group() as group:
            job = flow.on_each(case.seen.append).launch_in(group)
            with anyio.move_on_after(delay(case)) as scope:
                await job.wait()
            case.stopped = scope.cancelled_caught
            job.cancel()
            await job.wait()
    except BaseExceptionGroup as group:
        raise alone(group) from None


# ------------------------------------------------------------------------ left behind


@way(one_task=False, leaves=True, interrupts=False)
async def breaks_out_of_a_bare_loop(case, flow):
    await read(case, flow, until=some(case))


@way(one_task=False, leaves=True, interrupts=False)
async def fails_in_a_bare_loop(case, flow):
    error, left = case.plant("loop"), some(case)
    async for item in flow:
        case.seen.append(item)
        left -= 1
        if left < 0:
            case.stopped, case.own_error = True, error
            raise error


@way(one_task=False, leaves=True, interrupts=False)
async def drops_the_iterator(case, flow):
    items = aiter(flow)
    for _ in range(some(case)):
        if not await pull(case, items):
            break
    else:
        case.stopped = True


@way(one_task=False, leaves=True, in_a_cycle=True, interrupts=False)
async def drops_the_iterator_in_a_cycle(case, flow):
    cycle = [aiter(flow)]
    cycle.append(cycle)
    for _ in range(some(case)):
        if not await pull(case, cycle[0]):
            break
    else:
        case.stopped = True
    await anyio.sleep(delay(case))
    del cycle
    gc.collect()


@way(one_task=False, leaves=True, cancels=True, interrupts=False)
async def is_cancelled_in_a_bare_loop(case, flow):
    with anyio.move_on_after(delay(case)) as scope:
        try:
            await read(case, flow)
        finally:
            case.stopped = scope.cancel_called


@way(one_task=False, shuts_down=True, cancels=True, interrupts=False)
async def is_half_read_when_the_loop_ends(case, flow):
    case.stopped = True
    case.kept = aiter(flow)
    for _ in range(some(case)):
        if not await pull(case, case.kept):
            break


async def collected(case, way: Way, flow) -> BaseException | None:
    """Read a flow in a way; return what it raised, which keeps no iterator alive."""
    COLLECTOR.set(case)
    try:
        await way.read(case, flow)
    except BaseException as error:
        if isinstance(error, Hang):
            raise
        return without_frames(error)
    return None


def without_frames(error: BaseException | None) -> BaseException | None:
    """Drop the tracebacks of an error and of those before it, but not itself."""
    at = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        at.__traceback__ = None
        at = at.__cause__ or at.__context__
    return error


EAGER = sys.version_info >= (3, 12)
"""Whether asyncio has eager tasks."""
