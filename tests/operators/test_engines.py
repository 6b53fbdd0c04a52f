"""map(on=...) over what others built: a process pool, loky, Dask; and workers that die.

Ray has an adapter of flowpy's own, and its tests: tests/ext/test_ray.py.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import PicklingError

import anyio
import pytest

from flowpy import SKIP, Flow, run
from tests.operators import far

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])
either_order = pytest.mark.parametrize("ordered", [True, False])


def process_pool():
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module")
def processes():
    with process_pool() as pool:
        yield pool


@pytest.fixture(scope="module")
def loky():
    module = pytest.importorskip("loky", reason="loky is not installed")
    pool = module.ProcessPoolExecutor(2)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


@contextmanager
def dask_client():
    """Connect to a cluster of Dask with two workers, which it restarts if they die."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    with silenced("distributed", "tornado"):  # what fails, and what is cancelled
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL + 1,
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


@contextmanager
def silenced(*names):
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@pytest.fixture(scope="module")
def client():
    with dask_client() as client:
        yield client


@pytest.fixture
def dask(client):
    return client.get_executor(pure=False)


@pytest.fixture(params=["processes", "loky", "dask"])
def engine(request):
    return request.getfixturevalue(request.param)


def is_busy(engine):
    """Tell whether something has been cancelled of which the engine has yet to hear."""
    client = getattr(engine, "_client", None)  # a message has to get to the scheduler
    tasks = [] if client is None else list(client.cluster.scheduler.tasks.values())
    return any(task.state in {"processing", "queued"} for task in tasks)


def lost(error):
    """Return the numbers of the items that an error says were in flight."""
    (note,) = [note for note in error.__notes__ if note.startswith("map(on=")]
    assert "broke, with these items in flight: " in note
    return [int(number) for number in re.findall(r"(\d+) \(", note)]


@both_backends
@either_order
def test_they_make_the_calls(engine, backend, ordered):
    flow = Flow(range(50)).map(far.square, on=engine, concurrency=8, ordered=ordered)
    made = run(flow.to_list, backend=backend)

    assert sorted(made) == [n * n for n in range(50)]
    assert not ordered or made == sorted(made)


@both_backends
def test_an_error_arrives_in_its_place_and_names_its_item(engine, backend, outcome):
    flow = Flow(range(20)).map(far.refuse_seven, on=engine, concurrency=4)
    items, error = run(outcome, flow, backend=backend)

    assert items == list(range(7))
    assert type(error) is far.Refused
    assert error.args == (7,)
    name = type(engine).__name__
    assert f"map(on={name}) failed for item 7 (7); the first item is 0" in (
        error.__notes__
    )


@both_backends
@either_order
def test_what_they_have_not_begun_is_dropped_from_their_queue(
    engine, backend, ordered, tmp_path
):
    async def main():
        calls = Flow(range(40)).map(lambda n: (tmp_path, n))
        begun = calls.map(far.begin, on=engine, concurrency=20, ordered=ordered)
        async with begun.open() as items:
            assert await anext(items) == 0
        while is_busy(engine):
            await anyio.sleep(0.01)
        Path(tmp_path, "go on").touch()
        # Each worker has a call that comes after all that have not been dropped.
        assert await Flow(range(8)).map(far.square, on=engine, concurrency=8).count()

    run(main, backend=backend)

    begun = {path.name for path in tmp_path.iterdir()} - {"go on"}
    # Two run, and a process pool takes some more from the queue ahead of them.
    assert 1 <= len(begun) <= 10


@both_backends
@pytest.mark.parametrize("name", ["loky", "dask"])
def test_some_run_functions_that_pickle_does_not_take(name, backend, request):
    engine = request.getfixturevalue(name)
    offset = 3
    flow = Flow(range(9)).map(lambda n: n + offset, on=engine, concurrency=3)

    assert run(flow.to_list, backend=backend) == list(range(3, 12))


@both_backends
def test_an_item_that_cannot_be_sent_is_told(engine, backend, outcome):
    # Neither does a lambda pickle, of which some are capable nevertheless.
    fn = str if isinstance(engine, ProcessPoolExecutor) else lambda lock: str(lock)
    flow = Flow.of(threading.Lock()).map(fn, on=engine, concurrency=2)
    _, error = run(outcome, flow, backend=backend)

    assert isinstance(error, (PicklingError, TypeError))
    (note,) = [note for note in error.__notes__ if "cannot be pickled" in note]
    assert "processes: the item <unlocked _thread.lock" in note
    assert note.endswith("cannot be pickled")


def test_without_cloudpickle_it_is_pickle_that_tells(outcome, monkeypatch):
    for name in ("cloudpickle", "ray.cloudpickle"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    error = TypeError("cannot pickle something")

    class Fails(InPlace):
        def submit(self, fn, item):
            raise error

    run(outcome, Flow.of(1).map(lambda n: n, on=Fails()))

    (note,) = [note for note in error.__notes__ if "cannot be pickled" in note]
    assert "processes: fn, <function " in note


@both_backends
def test_a_function_that_cannot_be_sent_is_told(engine, backend, outcome):
    lock = threading.Lock()
    flow = Flow.of(1).map(lambda n: lock, on=engine, concurrency=2)
    _, error = run(outcome, flow, backend=backend)

    assert isinstance(error, (PicklingError, AttributeError, TypeError))
    (note,) = [note for note in error.__notes__ if "cannot be pickled" in note]
    assert "processes: fn, <function " in note


@both_backends
@pytest.mark.parametrize("name", ["processes", "loky"])
def test_a_result_that_cannot_be_sent_is_told(name, backend, outcome, request):
    engine = request.getfixturevalue(name)
    flow = Flow.of(1).map(far.a_lock, on=engine, concurrency=2)
    _, error = run(outcome, flow, backend=backend)

    assert isinstance(error, (PicklingError, TypeError))
    (note,) = [note for note in error.__notes__ if "cannot be pickled" in note]
    assert "processes: what fn gave for 1 cannot be pickled" in note


@pytest.mark.parametrize(
    ("name", "ordered", "backend"),
    [
        ("processes", True, "asyncio"),
        ("processes", False, "trio"),
        ("loky", True, "trio"),
        ("loky", False, "asyncio"),
    ],
)
def test_a_pool_that_breaks_names_what_was_in_flight(name, ordered, backend, outcome):
    if name == "loky":
        module = pytest.importorskip("loky", reason="loky is not installed")
        pool = module.ProcessPoolExecutor(2)
    else:
        pool = process_pool()
    pulled = []
    flow = (
        Flow(range(50))
        .on_each(pulled.append)
        .map(far.die_at_seven, on=pool, concurrency=4, ordered=ordered)
    )
    with pool:
        items, error = run(outcome, flow, backend=backend)
        missing = lost(error)
        begun = pulled.copy()
        again, its_error = run(outcome, flow, backend=backend)

    assert isinstance(error, BrokenExecutor)
    assert 7 in missing
    assert len(missing) <= 4
    assert set(items) | set(missing) == set(begun)
    assert not ordered or items == list(range(min(missing)))
    assert again == []
    assert lost(its_error)[0] == 0


class Breaks(Executor):
    """Gives futures to the test, which fails them."""

    def __init__(self):
        self.futures = {}

    def submit(self, fn, item):
        self.futures[item] = future = Future()
        return future

    def break_all(self):
        for future in self.futures.values():
            if not future.done():
                future.set_exception(BrokenExecutor("they died"))  # each its own


@pytest.mark.anyio
@either_order
async def test_each_error_of_a_pool_that_breaks_names_all_in_flight(ordered):
    pool = Breaks()
    errors = {}

    def handle(error, item):
        errors[item] = error
        return SKIP

    async def play():
        await anyio.sleep(1)
        pool.futures[1].set_result("one")
        await anyio.sleep(1)
        pool.break_all()
        await anyio.sleep(1)  # three others are in flight then
        pool.futures[5].set_result("five")  # it has new workers
        await anyio.sleep(1)
        pool.break_all()

    flow = Flow(range(7)).map(
        str, on=pool, concurrency=3, ordered=ordered, on_error=handle
    )
    async with anyio.create_task_group() as group:
        group.start_soon(play)
        items = await flow.to_list()

    assert items == ["one", "five"]
    first, second = [0, 2, 3], [4, 6]
    assert [lost(errors[item]) for item in first] == [first] * 3
    assert [lost(errors[item]) for item in second] == [second] * 2


@pytest.mark.anyio
async def test_a_pool_that_refuses_work_as_it_breaks_names_what_it_had(outcome):
    class Refuses(Breaks):
        def submit(self, fn, item):
            if item == 2:
                raise BrokenExecutor("no more workers")
            return super().submit(fn, item)

    pool = Refuses()
    flow = Flow(range(9)).map(str, on=pool, concurrency=4)
    async with anyio.create_task_group() as group:
        group.start_soon(finish_later, pool)
        items, error = await outcome(flow)

    assert items == ["zero"]
    assert str(error) == "they died"
    assert lost(error) == [0, 1, 2]
    # A process pool that broke fails them itself, and is confused by cancelled ones.
    assert not any(future.cancelled() for future in pool.futures.values())


async def finish_later(pool):
    await anyio.sleep(1)
    pool.futures[0].set_result("zero")
    await anyio.sleep(1)
    pool.break_all()


@pytest.mark.anyio
async def test_an_error_that_is_raised_again_names_the_newer_item():
    boom = ValueError("always the same object")
    named = []

    class Fails(Executor):
        def submit(self, fn, item):
            future = Future()
            future.set_exception(boom)
            return future

    def handle(error, item):
        named.extend(error.__notes__)
        return SKIP

    await Flow("ab").map(str, on=Fails(), on_error=handle).collect()

    assert named == [
        "map(on=Fails) failed for item 0 ('a'); the first item is 0",
        "map(on=Fails) failed for item 1 ('b'); the first item is 0",
    ]


@pytest.mark.anyio
async def test_a_large_item_is_named_in_short(outcome):
    _, error = await outcome(Flow.of("x" * 10_000).map(int, on=InPlace()))

    assert len(error.__notes__[0]) < 200


class InPlace(Executor):
    def submit(self, fn, item):
        future = Future()
        try:
            future.set_result(fn(item))
        except Exception as error:  # noqa: BLE001 - as executors do
            future.set_exception(error)
        return future


@both_backends
def test_batches_are_tried_again_on_a_fresh_pool_each_once_and_in_order(
    backend, tmp_path
):
    loky = pytest.importorskip("loky", reason="loky is not installed")
    work = partial(far.squares_but_die_once, folder=tmp_path)

    def start(batch):
        return Flow.of(batch).map(work, on=loky.get_reusable_executor(2))

    def attempt(batch):
        return Flow(partial(start, batch)).retry(3, on=BrokenExecutor).single()

    flow = Flow(range(40)).chunked(5).map(attempt, concurrency=4).flatten()
    try:
        made = run(flow.to_list, backend=backend)
    finally:
        loky.get_reusable_executor().shutdown(kill_workers=True)

    assert made == [n * n for n in range(40)]
    assert (tmp_path / "died").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.timeout(900 if NIGHTLY else 120)
@pytest.mark.parametrize("backend", ["asyncio", "trio"] if NIGHTLY else ["trio"])
def test_dask_loses_nothing_when_a_worker_is_killed(backend):
    size = 10_000 if NIGHTLY else 200
    came = []
    with dask_client() as client:  # not always does it start another worker
        victim, _ = client.run(os.getpid).values()

        def kill(item):
            came.append(item)
            if len(came) == size // 2:
                os.kill(victim, signal.SIGKILL)

        cluster = client.get_executor(pure=False)
        flow = Flow(range(size)).map(far.square, on=cluster, concurrency=100)
        run(flow.on_each(kill).collect, backend=backend)
        alive = client.run(os.getpid).values()

    assert came == [n * n for n in range(size)]
    assert victim not in alive


def test_dask_names_the_item_that_kills_its_workers(client, dask, outcome, monkeypatch):
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    flow = Flow(range(9)).map(far.die_at_seven, on=dask, concurrency=1)
    items, error = run(outcome, flow)

    assert items == list(range(7))
    assert type(error).__name__ == "KilledWorker"
    name = type(dask).__name__
    assert f"map(on={name}) failed for item 7 (7); the first item is 0" in (
        error.__notes__
    )
