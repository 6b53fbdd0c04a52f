"""Hot flows and threads: who may call what, and who is woken by it.

These tests run on real clocks, but wait for nothing except each other.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
from anyio.to_thread import run_sync

from flowpy import FlowClosedError, SharedFlow, StateFlow, run

pytestmark = pytest.mark.timeout(60)

every_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])

LONG = 30
"""Seconds after which a test has failed."""


def collecting(flow, backend, pool):
    """Collect a flow in a loop of a thread of its own; return the future list."""
    ready = threading.Event()
    before = flow.subscribers.value

    async def main():
        with anyio.fail_after(LONG):
            async with anyio.create_task_group() as group:
                got = []
                group.start_soon(flow.collect, got.append)
                await flow.subscribers.first(lambda n: n > before)
                ready.set()
            return got

    future = pool.submit(run, main, backend=backend)
    assert ready.wait(LONG)
    return future


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


@every_backend
def test_an_item_from_a_thread_wakes_a_subscriber_that_sleeps(backend, pool):
    news = SharedFlow()
    got = collecting(news, backend, pool)

    assert news.try_emit(1)
    assert news.try_emit(2)
    news.close()
    assert got.result(LONG) == [1, 2]


@every_backend
def test_a_value_from_a_thread_wakes_a_subscriber_that_sleeps(backend, pool):
    state = StateFlow("first")
    got = collecting(state.map_state(str.upper), backend, pool)
    state.value = "last"
    state.close()

    assert got.result(LONG)[-1] == "LAST"
    assert state.value == "last"


@every_backend
def test_a_thread_waits_for_room_and_loses_nothing(backend, pool):
    news = SharedFlow(capacity=3)
    got = collecting(news, backend, pool)

    def emit(name):
        for n in range(300):
            news.emit_from_thread((name, n))

    for each in [pool.submit(emit, name) for name in "abcd"]:
        each.result(LONG)
    news.close()
    items = got.result(LONG)

    assert len(items) == 1200
    for name in "abcd":
        assert [n for who, n in items if who == name] == list(range(300))


@every_backend
def test_without_capacity_a_thread_waits_until_its_item_is_taken(backend, pool):
    news = SharedFlow(capacity=0)
    got = collecting(news, backend, pool)
    for n in range(50):
        news.emit_from_thread(n)
    news.close()

    assert got.result(LONG) == list(range(50))


def test_subscribers_of_several_event_loops_get_every_item(pool):
    pytest.importorskip("trio")
    news = SharedFlow(capacity=5)
    lists = [collecting(news, backend, pool) for backend in ("asyncio", "trio") * 2]

    async def emit():
        with anyio.fail_after(LONG):
            for n in range(500):
                await news.emit(n)
        news.close()

    run(emit)

    assert [each.result(LONG) for each in lists] == [list(range(500))] * 4


def test_updates_from_several_threads_are_all_made(pool):
    state = StateFlow(0)

    def count():
        for _ in range(2000):
            state.update(lambda n: n + 1)

    for each in [pool.submit(count) for _ in range(4)]:
        each.result(LONG)

    assert state.value == 8000


@every_backend
def test_a_thread_that_waits_is_told_of_the_close(backend, pool):
    news = SharedFlow(capacity=1)

    async def main():
        async with news.open() as items:

            async def read():
                await anext(items)

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await news.subscribers.first(lambda n: n == 1)
                await news.emit("taken")
            await news.emit("waits")
            waiting = pool.submit(news.emit_from_thread, "too late")
            while not news._core.waiting:
                await anyio.sleep(0)
            news.close()
            return waiting, [x async for x in items]

    waiting, rest = run(main, backend=backend)

    with pytest.raises(FlowClosedError):
        waiting.result(LONG)
    assert rest == ["waits"]


@every_backend
def test_a_thread_that_would_stop_an_event_loop_is_refused(backend):
    async def main():
        with pytest.raises(RuntimeError, match="await emit"):
            SharedFlow().emit_from_thread(1)

    run(main, backend=backend)


@every_backend
def test_emit_can_be_used_while_other_threads_do(backend, pool):
    news = SharedFlow(capacity=2)
    got = collecting(news, backend, pool)

    async def main():
        with anyio.fail_after(LONG):
            async with anyio.create_task_group() as group:
                group.start_soon(run_sync, emit_many, "thread")
                for n in range(200):
                    await news.emit(("task", n))
        news.close()

    def emit_many(name):
        for n in range(200):
            news.emit_from_thread((name, n))

    run(main, backend=backend)
    items = got.result(LONG)

    for name in ("thread", "task"):
        assert [n for who, n in items if who == name] == list(range(200))


def test_a_loop_that_has_ended_disturbs_nobody():
    news = SharedFlow(capacity=2, on_overflow="drop_oldest")
    loop = asyncio.new_event_loop()

    async def read(items):
        return await anext(items)

    async def begin():
        task = asyncio.create_task(read(news._open()))
        await asyncio.sleep(0)
        return task

    # What no `asyncio.run` does: its tasks are left as they are.
    task = loop.run_until_complete(begin())
    loop.close()
    accepted = [news.try_emit(1)]
    thread = threading.Thread(target=lambda: accepted.append(news.try_emit(2)))
    thread.start()
    thread.join()

    assert accepted == [True, True]
    task._log_destroy_pending = False
