"""flowpy.ext.ray: an executor over Ray's tasks.

Each test runs over a double, which does what Ray's documentation says of the five calls
that are used, and over Ray itself where it is installed.
"""

from __future__ import annotations

import logging
import sys
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from flowpy import Flow, run
from flowpy.ext.ray import KEPT, RayExecutor, RemoteTraceback
from tests.operators import far

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

OPTIONS = {"max_retries", "name", "num_cpus"}


class Double(ModuleType):
    """Two workers, which are threads, and what comes to them went through pickle."""

    def __init__(self):
        super().__init__("ray")
        self.__spec__ = ModuleSpec("ray", None)  # else it does not count as installed
        self.cloudpickle = pytest.importorskip(
            "cloudpickle", reason="cloudpickle is not installed"
        )
        self.exceptions = SimpleNamespace(RayTaskError=RayTaskError)
        self.workers = ThreadPoolExecutor(2)
        self.started = True
        self.made = []
        self.options = []

    def is_initialized(self):
        return self.started

    def remote(self, fn):
        if type(fn) is not type(far.square):
            raise TypeError("The @ray.remote decorator must be applied to a function")
        self.made.append(fn)
        return RemoteFunction(self, fn)

    def cancel(self, ref):
        ref.task.cancel()


class RemoteFunction:
    def __init__(self, ray, fn, options=None):
        self.ray = ray
        self.fn = fn
        self.given = options

    def options(self, **options):
        if not options.keys() <= OPTIONS:
            raise ValueError(f"Invalid option keyword in {options}")
        return RemoteFunction(self.ray, self.fn, options)

    def remote(self, *args, **kwargs):
        dumps, loads = self.ray.cloudpickle.dumps, self.ray.cloudpickle.loads
        try:
            sent = dumps((self.fn, args, kwargs))
        except Exception as error:
            raise TypeError("Could not serialize the argument") from error

        def task():
            fn, given, by_name = loads(sent)
            return loads(dumps(fn(*given, **by_name)))

        self.ray.options.append(self.given)
        return ObjectRef(self.ray.workers.submit(task))


class RayTaskError(Exception):
    def __init__(self, cause):
        super().__init__("a traceback in another process")
        self.cause = cause


class ObjectRef:
    """Its future is another one than that of the task, and cancels nothing."""

    def __init__(self, task):
        self.task = task

    def future(self):
        future = Future()

        def settle(task):
            if future.done():
                return
            if task.cancelled():
                future.set_exception(RuntimeError("TaskCancelledError"))
            elif task.exception() is not None:
                future.set_exception(RayTaskError(task.exception()))
            else:
                future.set_result(task.result())

        self.task.add_done_callback(settle)
        return future


@pytest.fixture
def double(monkeypatch):
    module = Double()
    monkeypatch.setitem(sys.modules, "ray", module)
    yield module
    module.workers.shutdown()


@pytest.fixture(scope="module")
def real():
    """Start Ray, with two workers."""
    ray = pytest.importorskip(
        "ray", reason="Ray is not installed: pip install 'flowpy-stream[ray]'"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # or it writes a token into the home
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            _node_ip_address="127.0.0.1",
        )
        yield ray
        ray.shutdown()


@pytest.fixture(params=["double", "real"])
def ray(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def cluster(ray):
    with RayExecutor(max_retries=0) as executor:
        yield executor


@both_backends
@pytest.mark.parametrize("ordered", [True, False])
def test_it_makes_the_calls(cluster, backend, ordered):
    flow = Flow(range(50)).map(far.square, on=cluster, concurrency=8, ordered=ordered)
    made = run(flow.to_list, backend=backend)

    assert sorted(made) == [n * n for n in range(50)]
    assert not ordered or made == sorted(made)


@both_backends
def test_an_error_is_what_was_raised_and_names_its_item(cluster, backend, outcome):
    flow = Flow(range(20)).map(far.refuse_seven, on=cluster, concurrency=4)
    items, error = run(outcome, flow, backend=backend)

    assert items == list(range(7))
    assert type(error) is far.Refused
    assert error.args == (7,)
    assert type(error.__cause__) is RemoteTraceback
    assert "map(on=RayExecutor) failed for item 7 (7); the first item is 0" in (
        error.__notes__
    )


def test_whatever_can_be_called_may_be_sent(cluster):
    add = partial(pow, 2)
    functions = [str, len, add, "a-b".split, lambda x: [x, x]]
    arguments = [5, "four", 3, "-", "x"]
    futures = map(cluster.submit, functions, arguments)

    assert [future.result(30) for future in futures] == [
        *("5", 4, 8, ["a", "b"]),
        ["x", "x"],
    ]
    assert cluster.submit(dict, a=1).result(30) == {"a": 1}


@both_backends
def test_what_it_has_not_begun_is_dropped(cluster, backend, tmp_path):
    async def main():
        calls = Flow(range(40)).map(lambda n: (tmp_path, n))
        async with calls.map(far.begin, on=cluster, concurrency=20).open() as items:
            assert await anext(items) == 0
        Path(tmp_path, "go on").touch()
        assert await Flow(range(8)).map(far.square, on=cluster, concurrency=8).count()

    run(main, backend=backend)

    begun = {path.name for path in tmp_path.iterdir()} - {"go on"}
    assert 1 <= len(begun) <= 10


LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("fn", "item", "named"),
    [
        (lambda n: LOCK, 1, "fn, <function"),
        (str, LOCK, "the item <unlocked"),
        (far.a_lock, 1, "what fn gave for 1"),
    ],
    ids=["function", "item", "result"],
)
def test_what_cannot_be_sent_is_told(cluster, fn, item, named, outcome):
    _, error = run(outcome, Flow.of(item).map(fn, on=cluster))

    assert isinstance(error, TypeError)
    (note,) = [note for note in error.__notes__ if "cannot be pickled" in note]
    assert f"processes: {named}" in note


def test_after_a_shutdown_it_takes_nothing(ray):
    executor = RayExecutor()
    with executor:
        future = executor.submit(far.square, 3)

    assert future.result(0) == 9  # leaving the block has waited for it
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(far.square, 3)


def test_a_shutdown_can_cancel_what_is_not_done(ray, tmp_path):
    executor = RayExecutor()
    futures = [executor.submit(far.begin, (tmp_path, n)) for n in range(12)]
    assert futures[0].result(30) == 0
    executor.shutdown(cancel_futures=True)
    Path(tmp_path, "go on").touch()

    assert any(future.cancelled() for future in futures)
    assert all(future.done() for future in futures)
    with pytest.raises(CancelledError):
        futures[-1].result(0)


def test_a_shutdown_need_not_wait(ray, tmp_path):
    executor = RayExecutor()
    future = executor.submit(far.begin, (tmp_path, 1))
    executor.shutdown(wait=False)
    ended = future.done()
    Path(tmp_path, "go on").touch()

    assert not ended
    assert future.result(30) == 1


def test_who_waits_for_a_future_hears_that_it_was_cancelled(cluster, tmp_path):
    futures = [cluster.submit(far.begin, (tmp_path, n)) for n in range(1, 9)]
    threading.Thread(target=futures[-1].cancel).start()
    done, _ = wait(futures, 10, return_when="FIRST_COMPLETED")
    Path(tmp_path, "go on").touch()

    assert done == {futures[-1]}


def test_options_are_those_of_ray(ray):
    with pytest.raises(ValueError, match="Invalid option keyword"):
        RayExecutor(number_of_cpus=1)

    with RayExecutor(num_cpus=1) as executor:
        assert executor.submit(far.square, 3).result(30) == 9


def test_tasks_have_the_options_and_the_name_of_what_they_call(double):
    with RayExecutor(num_cpus=0.5) as executor:
        executor.submit(far.square, 3)
        executor.submit(partial(far.square), 3)
    with RayExecutor(name="mine") as executor:
        executor.submit(far.square, 3)

    assert double.options == [
        {"name": "square", "num_cpus": 0.5},
        {"name": "partial", "num_cpus": 0.5},
        {"name": "mine"},
    ]


def test_a_function_is_sent_once_and_few_are_kept(double):
    with RayExecutor() as executor:
        first = len(double.made)
        for n in range(5):
            executor.submit(far.square, n)
        once = len(double.made)
        for n in range(KEPT):
            executor.submit(lambda n=n: n)
        executor.submit(far.square, 5)

    assert once == first + 1
    assert len(double.made) == once + KEPT + 1
    assert len(executor._made) <= KEPT


def test_an_error_that_could_not_be_sent_stays_rays_own(double, monkeypatch, outcome):
    future = Future()
    future.set_exception(RayTaskError("what could not be sent, as text"))
    monkeypatch.setattr(ObjectRef, "future", lambda ref: future)
    with RayExecutor() as executor:
        _, error = run(outcome, Flow.of(1).map(far.square, on=executor))

    assert error is future.exception()


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(
        ModuleNotFoundError, match=r'pip install "flowpy-stream\[ray\]"'
    ):
        RayExecutor()


def test_a_ray_that_lacks_something_says_so_itself(monkeypatch, tmp_path):
    Path(tmp_path, "ray.py").write_text("import something_that_ray_needs\n")
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match="something_that_ray_needs"):
        RayExecutor()


def test_without_a_cluster_it_says_what_to_call(double):
    double.started = False

    with pytest.raises(RuntimeError, match=r"call ray\.init\(\) first"):
        RayExecutor()


@both_backends
def test_an_item_whose_worker_dies_is_named(real, cluster, backend, outcome):
    flow = Flow(range(20)).map(far.die_at_seven, on=cluster, concurrency=4)
    items, error = run(outcome, flow, backend=backend)

    assert items == list(range(7))
    assert isinstance(error, real.exceptions.WorkerCrashedError)
    assert "map(on=RayExecutor) failed for item 7 (7); the first item is 0" in (
        error.__notes__
    )


@both_backends
def test_an_item_whose_worker_dies_is_tried_again(real, backend, tmp_path):
    work = partial(far.squares_but_die_once, folder=tmp_path)
    with RayExecutor() as executor:
        batches = Flow(range(40)).chunked(5)
        flow = batches.map(work, on=executor, concurrency=4).flatten()
        made = run(flow.to_list, backend=backend)

    assert made == [n * n for n in range(40)]
    assert (tmp_path / "died").exists()
