"""map(on=...): calls that threads and other processes make."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import (
    CancelledError,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from pickle import PicklingError

import anyio
import pytest

from flowpy import SKIP, Flow, run
from flowpy._scheduler import wait_future
from flowpy.testing import run_virtual
from tests.laws.probes import Boom

either_order = pytest.mark.parametrize("ordered", [True, False])


@pytest.fixture(params=["asyncio", "trio"])
def go(request):
    """Run something in virtual time that waits for threads."""
    return lambda fn: run_virtual(fn, request.param, threshold=5)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        yield pool


class ByHand(ThreadPoolExecutor):
    """Gives futures to the test, which runs them."""

    def __init__(self):
        super().__init__(1)
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.futures.append((future, lambda: fn(*args, **kwargs)))
        return future


def square(n):
    return n * n


def fail(n):
    raise Boom(n)


def die(n):
    os._exit(3)


@either_order
def test_threads_make_the_calls(go, threads, ordered):
    barrier = threading.Barrier(3)
    names = set()

    def work(n):
        barrier.wait(10)  # three run at once, or this fails
        names.add(threading.current_thread().name)
        return n

    flow = Flow(range(9)).map(work, concurrency=3, on=threads, ordered=ordered)
    made = go(flow.to_list)

    assert sorted(made) == list(range(9))
    assert not ordered or made == list(range(9))
    assert threading.current_thread().name not in names


def test_one_call_at_a_time_is_the_default(go, threads):
    running = most = 0
    lock = threading.Lock()

    def work(n):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        with lock:
            running -= 1
        return n

    assert go(Flow(range(20)).map(work, on=threads).to_list) == list(range(20))
    assert most == 1


def test_processes_make_the_calls(go, processes):
    flow = Flow(range(20)).map(square, concurrency=4, on=processes)

    assert go(flow.to_list) == [n * n for n in range(20)]


def test_an_exception_crosses_unchanged(go, threads, processes):
    boom = Boom()

    def work(n):
        raise boom

    async def main():
        with pytest.raises(Boom) as caught:
            await Flow.of(1).map(work, concurrency=2, on=threads).collect()
        assert caught.value is boom
        with pytest.raises(Boom) as caught:
            await Flow.of(7).map(fail, concurrency=2, on=processes).collect()
        assert caught.value.args == (7,)

    go(main)


def test_errors_can_be_replaced(go, threads):
    flow = Flow.of("1", "x", "3").map(
        int, concurrency=2, on=threads, on_error=lambda error, item: SKIP
    )
    in_turn = Flow.of("1", "x").map(int, on=threads, on_error=lambda error, item: item)

    assert go(flow.to_list) == [1, 3]
    assert go(in_turn.to_list) == [1, "x"]


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    ("fn", "item", "named"),
    [
        (lambda n: n, 1, "fn, <function"),
        (square, threading.Lock(), "the item <unlocked"),
        (threading.Semaphore, 1, "what fn gave for 1"),
    ],
    ids=["function", "item", "result"],
)
def test_what_does_not_pickle_is_told(go, processes, fn, item, named, concurrency):
    flow = Flow.of(item).map(fn, concurrency=concurrency, on=processes)
    with pytest.raises((PicklingError, AttributeError, TypeError)) as caught:
        go(flow.collect)

    notes = [note for note in caught.value.__notes__ if "cannot be pickled" in note]
    assert len(notes) == 1
    assert named in notes[0]


def test_an_error_that_takes_no_notes_is_raised_as_it_is(go, threads):
    class Frozen(Exception):
        __notes__ = ()

    error = Frozen()

    def fail(item):
        raise error

    with pytest.raises(Frozen) as raised:
        go(Flow([1, 2]).map(fail, on=threads, concurrency=2).to_list)

    assert raised.value is error
    assert error.__notes__ == ()


def test_errors_that_have_nothing_to_do_with_pickling_have_no_such_note(go, threads):
    with pytest.raises(TypeError) as caught:
        go(Flow.of(None).map(len, on=threads).collect)

    assert not any("pickle" in note for note in caught.value.__notes__)


def test_a_pool_that_broke_ends_the_flow(go):
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        flow = Flow(range(9)).map(die, concurrency=3, on=pool)
        with pytest.raises(BrokenProcessPool):
            go(flow.collect)
        with pytest.raises(BrokenProcessPool):
            go(flow.collect)


def test_an_executor_that_was_shut_down_ends_the_flow(go):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    with pytest.raises(RuntimeError, match="after shutdown"):
        go(Flow.of(1).map(str, concurrency=2, on=pool).collect)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_each_collection_numbers_its_items_from_0(go, threads, concurrency):
    async def numbers():  # of unknown length: one function from the first collection on
        for n in (1, 2, 0, 3):
            yield n

    flow = Flow(numbers).map(lambda n: 1 / n, on=threads, concurrency=concurrency)
    notes = []
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as raised:
            go(flow.to_list)
        notes.append(raised.value.__notes__[0])

    assert [note.partition(";")[0] for note in notes] == [
        "map(on=ThreadPoolExecutor) failed for item 2 (0)"
    ] * 2


@either_order
def test_work_that_nobody_asks_for_is_dropped_from_the_queue(go, ordered):
    pool = ByHand()

    async def main():
        flow = Flow(range(9)).map(str, concurrency=3, on=pool, ordered=ordered)
        async with flow.open() as items:
            pool.threads = threading.Thread(target=answer)
            pool.threads.start()
            assert await anext(items) == "0"

    def answer():
        while len(pool.futures) < 3:
            pass
        future, work = pool.futures[0]
        future.set_running_or_notify_cancel()
        future.set_result(work())

    go(main)
    pool.threads.join()

    assert len(pool.futures) in {3, 4}
    assert all(future.cancelled() for future, _ in pool.futures[1:])


def test_futures_that_somebody_else_cancels_end_the_flow(go):
    pool = ByHand()

    async def main():
        made = Flow.of(1).map(str, concurrency=2, on=pool).on_start(cancel)
        with pytest.raises(CancelledError):
            await made.collect()

    def cancel():
        threading.Thread(target=cancel_first).start()

    def cancel_first():
        while not pool.futures:
            pass
        pool.futures[0][0].cancel()

    go(main)


def test_threads_see_the_context_variables(go, threads):
    variable = ContextVar("variable", default="unset")

    async def main():
        variable.set("collecting")
        looks = [
            Flow.of(1).map(lambda _: variable.get(), on=threads),
            Flow.of(1).map(lambda _: variable.get(), on=threads, concurrency=2),
        ]
        return [await look.single() for look in looks]

    assert go(main) == ["collecting"] * 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_that_outlives_the_event_loop_is_not_disturbed(backend, caplog):
    go_on = threading.Event()
    seen = []

    def work(n):
        go_on.wait(10)
        seen.append(n)
        return n

    async def main():
        async with Flow.of(1).map(work, on=pool, concurrency=2).open() as items:
            with anyio.move_on_after(0.05):
                await anext(items)

    with ThreadPoolExecutor(1) as pool:
        run(main, backend=backend)
        go_on.set()

    assert seen == [1]
    assert caplog.records == []


@pytest.mark.parametrize(
    "fn", [asyncio.sleep, lambda n: asyncio.sleep(0)], ids=["async def", "lambda"]
)
def test_an_async_function_is_refused(go, threads, fn):
    with pytest.raises(TypeError, match="fn must be a plain function"):
        go(Flow.of(1).map(fn, on=threads, concurrency=2).collect)


def test_an_async_function_is_refused_at_the_call(threads):
    with pytest.raises(TypeError, match="fn must be a plain function"):
        Flow.of(1).map(asyncio.sleep, on=threads)


def test_a_future_that_is_done_is_not_waited_for(go):
    future = Future()
    future.set_result(3)

    assert go(lambda: wait_future(future)) == 3


def test_the_chain_names_function_and_executor(threads):
    flow = Flow.of(1).map(square, concurrency=2, on=threads)

    assert repr(flow) == (
        "Flow.of(1).map(square, concurrency=2, on=ThreadPoolExecutor)"
    )
    assert repr(Flow.of(1).map(square, on=threads)).endswith(
        ".map(square, on=ThreadPoolExecutor)"
    )


def test_loky_runs_functions_that_only_it_can_pickle(go):
    loky = pytest.importorskip("loky", reason="an extra")
    pool = loky.ProcessPoolExecutor(1)
    try:
        flow = Flow(range(4)).map(lambda n: n + 1, concurrency=2, on=pool)
        assert go(flow.to_list) == [1, 2, 3, 4]
    finally:
        pool.shutdown(kill_workers=True)
