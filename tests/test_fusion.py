"""The compiler: what fusing must not change, and what it must not cost."""

from __future__ import annotations

import ast
import gc
import inspect
import io
import linecache
import os
import subprocess
import sys
import threading
import traceback
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from flowpy import Flow, _chain, _compiler, _fusion, flow
from flowpy._operator import Operator
from flowpy._operators import ending, transform
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["fused", "nested"])
def mode(request, monkeypatch):
    """Run a test in both modes, whatever the environment asks for."""
    monkeypatch.setattr(_chain, "ENABLED", request.param == "fused")
    return request.param


def raises(error):
    def fn(*args):
        raise error

    return fn


def raises_async(error):
    async def fn(*args):
        raise error

    return fn


# ------------------------------------------- errors that end an iteration in Python

ENDS = {
    "map": lambda fn: Flow(range(3)).map(fn).to_list(),
    "map, among others": lambda fn: Flow(range(3)).map(str).filter(fn).take(2).count(),
    "map, below a seam": lambda fn: Flow(range(3)).catch(OSError).map(fn).to_list(),
    "on_start": lambda fn: Flow(range(3)).on_start(fn).to_list(),
    "a function source": lambda fn: Flow(lambda: fn()).map(str).to_list(),
    "unfold": lambda fn: Flow.unfold(0, fn).to_list(),
}

RAISED = {
    StopIteration: "coroutine raised StopIteration",
    StopAsyncIteration: "async generator raised StopAsyncIteration",
}


@pytest.mark.parametrize("kind", [raises, raises_async], ids=["plain", "async"])
@pytest.mark.parametrize("stop", RAISED)
@pytest.mark.parametrize("case", ENDS)
async def test_a_callback_of_a_stage_cannot_end_the_flow(mode, case, stop, kind):
    error = stop()

    with pytest.raises(RuntimeError) as raised:
        await ENDS[case](kind(error))

    assert str(raised.value) == RAISED[stop]
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("kind", [raises, raises_async], ids=["plain", "async"])
async def test_an_ending_passes_on_what_its_own_callback_raises(mode, kind):
    stop = StopAsyncIteration()

    with pytest.raises(StopAsyncIteration) as raised:
        await Flow(range(3)).map(str).take(2).collect(kind(stop))

    assert raised.value is stop

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        await Flow(range(3)).map(str).take(2).collect(kind(StopIteration()))


async def test_what_an_ending_raises_passes_operators_that_hold_errors_back(mode):
    stop = StopAsyncIteration()

    with pytest.raises(StopAsyncIteration) as raised:
        await Flow(range(3)).chunked(2).map(str).any(raises(stop))

    assert raised.value is stop


class Raising:
    """An item whose own methods fail."""

    def __init__(self, error):
        self.error = error

    def fail(self, *_):
        raise self.error

    __add__ = __radd__ = __hash__ = __lt__ = __gt__ = fail


@pytest.mark.parametrize("end", ["sum", "to_set", "min", "max"])
async def test_an_ending_passes_on_what_an_item_raises(mode, end):
    stop = StopAsyncIteration()

    with pytest.raises(StopAsyncIteration) as raised:
        await getattr(Flow.of(Raising(stop), 1).map(lambda x: x), end)()

    assert raised.value is stop

    with pytest.raises(RuntimeError, match="coroutine raised StopIteration"):
        await getattr(Flow.of(Raising(StopIteration()), 1), end)()


@pytest.mark.parametrize("stop", [StopIteration(), StopAsyncIteration()], ids=repr)
async def test_an_item_cannot_end_the_flow(mode, stop):
    with pytest.raises(RuntimeError) as raised:
        await Flow.of(Raising(stop)).distinct().to_list()

    assert str(raised.value) == f"async generator raised {type(stop).__name__}"
    assert raised.value.__cause__ is stop


@pytest.mark.parametrize("kind", [raises, raises_async], ids=["plain", "async"])
async def test_generator_exit_from_a_callback_is_an_error_like_another(mode, kind):
    error = GeneratorExit()
    log = []

    async def source():
        try:
            yield 1
        finally:
            log.append("closed")

    with pytest.raises(GeneratorExit) as raised:
        await Flow(source).map(str).map(kind(error)).filter(len).to_list()

    assert raised.value is error
    assert log == ["closed"]


@pytest.mark.parametrize("kind", [raises, raises_async], ids=["plain", "async"])
async def test_a_handler_sees_a_stop_as_it_does_nested(mode, kind):
    seen = []

    def on_error(error, item):
        seen.append(repr(error))
        return item

    for stop in RAISED:
        await Flow.of(1).map(kind(stop()), on_error=on_error).to_list()

    assert seen == [
        "RuntimeError('coroutine raised StopIteration')",
        "StopAsyncIteration()",
    ]


# ------------------------------------------------------------------------- clean-up


def fails_late(name):
    async def source():
        try:
            yield 1
            yield 2
        finally:
            raise OSError(name)

    return source


async def test_all_that_fails_while_closing_is_noted_on_the_first_error(mode):
    error = Boom()
    chain = Flow(fails_late("outer")).flat_map(lambda _: fails_late("inner")())

    with pytest.raises(Boom) as raised:
        await chain.map(raises(error)).to_list()

    assert raised.value is error
    assert [note for note in error.__notes__ if "closing" in note] == [
        "while closing, also raised: OSError('inner')",
        "while closing, also raised: OSError('outer')",
    ]


# ------------------------------------------------------------------------- sources


class Restarting:
    """An async iterator that begins anew whenever it is asked for an iterator."""

    def __aiter__(self):
        self.number = 0
        return self

    async def __anext__(self):
        if self.number == 4:
            raise StopAsyncIteration
        self.number += 1
        return self.number


@pytest.mark.parametrize("make", [Restarting, lambda: Restarting])
async def test_an_iterator_that_can_begin_anew_is_read_once(mode, make):
    assert await Flow(make()).map(lambda x: x * 2).to_list() == [2, 4, 6, 8]


# -------------------------------------------------------------------- long chains

STAGES = {
    "take": lambda flow: flow.take(5),
    "take_while": lambda flow: flow.take_while(lambda x: x < 9),
    "flat_map": lambda flow: flow.flat_map(lambda x: [x]),
    "map, with a handler": lambda flow: flow.map(int, on_error=lambda e, x: x),
    "chunked": lambda flow: flow.chunked(1).map(lambda chunk: chunk[0]),
    "concat": lambda flow: flow.concat([]),
    "map": lambda flow: flow.map(lambda x: x),
    "filter": lambda flow: flow.filter(lambda x: x < 5),
    "scan": lambda flow: flow.scan(0, lambda total, x: x).drop(1),
    "retry": lambda flow: flow.retry(1),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_chain_of_forty_stages_of_a_kind_gives_what_it_should(mode, stage):
    """Python nests 20 blocks at most in a function."""
    chain = Flow(range(5))
    for _ in range(40):
        chain = STAGES[stage](chain)

    assert await chain.to_list() == [0, 1, 2, 3, 4]


async def test_a_chain_of_two_hundred_stages_of_all_kinds_gives_what_it_should(mode):
    chain = Flow(range(5))
    for k in range(200):
        chain = [*STAGES.values()][k % len(STAGES)](chain)

    assert await chain.to_list() == [0, 1, 2, 3, 4]
    assert await chain.take(2).count() == 2


async def test_a_chain_of_many_maps_gives_what_it_should(monkeypatch):
    """Fused: a thousand generators in each other are more than Python's stack takes."""
    monkeypatch.setattr(_chain, "ENABLED", True)
    chain = Flow(range(3))
    for _ in range(1000):
        chain = chain.map(lambda x: x + 1)

    assert await chain.to_list() == [1000, 1001, 1002]


# ---------------------------------------------------------------------- one and many


async def test_an_operator_may_stand_in_a_chain_many_times(mode):
    def add(n):
        return lambda x: x + n

    chain = Flow(range(4)).map(add(1)).take(3).map(add(10)).take(2).map(add(100))

    assert await chain.to_list() == [111, 112]


async def test_a_flow_can_be_collected_inside_its_own_callback(mode):
    depth = 0

    async def fn(x):
        nonlocal depth
        if x == 1 and depth < 3:
            depth += 1
            return await chain.to_list()
        return x

    chain = Flow(range(5)).map(fn).take(2)

    assert await chain.to_list() == [0, [0, [0, [0, 1]]]]


async def test_a_flow_function_can_be_recursive(mode):
    @flow
    async def leaves(tree):
        if isinstance(tree, list):
            async with Flow(tree).flat_map(leaves).open() as found:
                async for leaf in found:
                    yield leaf
        else:
            yield tree

    assert await leaves([1, [2, [3, 4]], [[5]]]).to_list() == [1, 2, 3, 4, 5]
    assert await leaves([1, [2, [3, 4]], [[5]]]).take(3).to_list() == [1, 2, 3]


async def test_names_of_a_user_meet_none_of_the_compiler(mode):
    def x_1(source):
        return source + 1

    def result_fn_1(test_fn_1, stop_0):
        return test_fn_1 + stop_0

    def is_coroutine(x):
        return x % 2

    def stopped(x):
        return x < 7

    chain = Flow(range(5)).map(x_1).scan(0, result_fn_1).filter(is_coroutine)

    assert await chain.take_while(stopped).to_list() == [1, 3]


@pytest.mark.parametrize("count", range(8))
async def test_a_chain_can_be_closed_at_any_point(mode, count):
    log = []

    async def source():
        try:
            for i in range(4):
                yield i
        finally:
            await anyio.lowlevel.checkpoint()
            log.append("closed")

    items = aiter(Flow(source).map(str).flat_map(lambda x: [x, x]).take(7))
    pulled = [await anext(items) for _ in range(count)]
    await items.aclose()

    assert pulled == ["0", "0", "1", "1", "2", "2", "3"][:count]
    assert log == ["closed"] * (count > 0)


# -------------------------------------------------------------- caches and threads


async def test_callbacks_are_not_kept_and_compile_nothing(monkeypatch):
    monkeypatch.setattr(_chain, "ENABLED", True)

    async def collect():
        fn = lambda x: x + 1  # noqa: E731 - a new object each time
        await Flow([1]).map(fn).filter(fn).to_list()
        return weakref.ref(fn)

    await collect()
    before = _fusion.shape_of.cache_info().currsize, _fusion.cut.cache_info().currsize
    kept = [await collect() for _ in range(5000)]
    gc.collect()

    assert not [ref for ref in kept if ref() is not None]
    now = _fusion.shape_of.cache_info().currsize, _fusion.cut.cache_info().currsize
    assert now == before


async def test_the_caches_of_shapes_are_bounded(monkeypatch):
    monkeypatch.setattr(_chain, "ENABLED", True)
    stages = [transform.map, transform.pairwise, transform.enumerate]
    for k in range(600):
        values = [str, *[None] * 9]
        chain = Flow([1])
        for power in range(6):
            stage = stages[k // 3**power % 3]
            chain = chain._then(stage, *values[: len(stage.params)])
        chain._open()

    assert _fusion.shape_of.cache_info().maxsize
    assert (
        _fusion.shape_of.cache_info().currsize <= _fusion.shape_of.cache_info().maxsize
    )
    assert _fusion.cut.cache_info().currsize <= _fusion.cut.cache_info().maxsize


def clear():
    _fusion.shape_of.cache_clear()
    _fusion.cut.cache_clear()
    _chain.runs_to_open.cache_clear()
    _compiler.text_of.cache_clear()


@pytest.fixture
def forgotten():
    """Begin with nothing compiled and no source text read."""
    clear()
    yield
    clear()


@pytest.fixture
def frugal(forgotten, monkeypatch):
    """Compile only what is worth it, as programs do."""
    monkeypatch.setattr(_chain, "ENABLED", True)
    monkeypatch.setattr(_fusion, "WORTH", 1000)


def compiled(flow):
    return [
        _fusion.shape_of(run.stages, 0).function is not None
        for run in _fusion.cut((*flow._stages, ending.to_list), fused=True)
        if run.fusible
    ]


async def test_a_shape_is_compiled_once_it_was_collected_for_enough_items(frugal):
    flow = Flow(range(90)).map(str).filter(bool)

    for _ in range(9):
        assert len(await flow.to_list()) == 90
        assert compiled(flow) == [False]
    assert len(await flow.to_list()) == 90
    assert compiled(flow) == [True]


LONG = {
    "a long collection": lambda: Flow(range(1000)).map(str),
    "a very long one": lambda: Flow(range(10**30)).map(str).take(3),
    "an iterator": lambda: Flow(iter("abc")).map(str),
    "an async generator": lambda: Flow(fails_late("late")).map(str).take(1).catch(),
    "items that are multiplied": lambda: Flow.of("ab").flat_map(str),
    "another flow follows": lambda: Flow.of(1).concat(Flow.of(2)),
}


@pytest.mark.parametrize("make", LONG.values(), ids=LONG)
async def test_what_may_be_long_is_compiled_at_once(frugal, make):
    await make().to_list()

    assert set(compiled(make())) == {True}


def test_threads_can_compile_at_once(forgotten, monkeypatch):
    monkeypatch.setattr(_chain, "ENABLED", True)
    monkeypatch.setattr(_compiler, "_files", {})
    monkeypatch.setattr(_compiler, "_lines", [])
    monkeypatch.setitem(linecache.cache, _compiler.FILE, (0, None, [], _compiler.FILE))
    results = []
    ready = threading.Barrier(8)

    async def collect(own):
        chain = Flow(range(20)).map(lambda x: x + 1).take(9)
        for k in range(own % 4):
            chain = chain.chunked(2).flatten().filter(lambda x: x > 0).drop(k)
        return await chain.map(lambda x: x * 10).fold(0, lambda a, b: a + b)

    def work(number):
        ready.wait()
        for k in range(6):
            results.append((anyio.run(collect, number + k), (number + k) % 4))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 48
    assert {(own, total) for total, own in results} == {
        (own, sum(range(10, 100, 10)) - lost)
        for own, lost in {0: 0, 1: 0, 2: 10, 3: 60}.items()
    }
    found = [tree for file in _compiler._files.values() for tree, _ in file.values()]
    texts = ["".join(_compiler._lines[n.lineno - 1 : n.end_lineno]) for n in found]
    assert len(found) > 20
    assert all(
        text.startswith(f"async def {node.name}(") and ast.unparse(ast.parse(text))
        for node, text in zip(found, texts, strict=True)
    )


def test_a_thread_that_gets_in_the_way_of_the_compiler_is_waited_for():
    tries = iter([SystemError, SystemError])

    def parse(text):
        for error in tries:
            raise error("AST constructor recursion depth mismatch")
        return text

    assert _compiler.again(parse, "text") == "text"


def test_an_error_of_the_interpreter_is_raised_in_the_end():
    def parse():
        raise SystemError("another one")

    with pytest.raises(SystemError, match="another one"):
        _compiler.again(parse)


# ------------------------------------------------------------------- without text


def raise_os_error(name):
    raise OSError(name)


LOADERS = {
    "none": None,
    "one that cannot read": SimpleNamespace(),
    "one without the text": SimpleNamespace(get_source=lambda name: None),
    "one that fails": SimpleNamespace(get_source=raise_os_error),
}


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
async def test_operators_without_source_text_run_nested(forgotten, monkeypatch, loader):
    monkeypatch.setattr(_chain, "ENABLED", True)
    monkeypatch.setattr(_compiler, "_files", {})
    monkeypatch.setattr(_compiler.tokenize, "open", raise_os_error)
    for stage in Flow(range(9)).map(str).take(3)._stages:
        monkeypatch.setitem(stage.run.__globals__, "__loader__", loader)
    monkeypatch.setitem(ending.__dict__, "__loader__", loader)
    before = _fusion.shape_of.cache_info().currsize

    assert await Flow(range(9)).map(str).take(3).to_list() == ["0", "1", "2"]
    assert _fusion.shape_of.cache_info().currsize == before


async def test_operators_in_a_zip_file_are_fused(forgotten, monkeypatch):
    text = Path(transform.__file__).read_text(encoding="utf-8")
    loader = SimpleNamespace(get_source={transform.__name__: text}.get)
    monkeypatch.setattr(_compiler, "_files", {})
    monkeypatch.setattr(_compiler.tokenize, "open", raise_os_error)
    monkeypatch.setitem(transform.__dict__, "__loader__", loader)
    monkeypatch.setitem(ending.__dict__, "__loader__", None)

    assert _compiler.text_of(transform.map) is not None
    assert _compiler.text_of(ending.to_list) is None


CHANGED = {
    "another text": lambda text: text.replace("yield await fn(x)", "yield await fn(1)"),
    "another name": lambda text: text.replace("await fn", "await gn"),
    "more lines": lambda text: "#\n" + text,
    "no text of Python": lambda text: text[:-99] + "(",
    "fewer lines": lambda text: text.replace("\n\n", "\n"),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
async def test_operators_whose_file_was_replaced_run_as_they_were_imported(
    forgotten, monkeypatch, change
):
    text = change(Path(transform.__file__).read_text(encoding="utf-8"))
    monkeypatch.setattr(_chain, "ENABLED", True)
    monkeypatch.setattr(_compiler, "_files", {})
    monkeypatch.setattr(_compiler.tokenize, "open", lambda _: io.StringIO(text))

    assert await Flow.of(1, 2).map(str).map(int).to_list() == [1, 2]
    assert _compiler.text_of(transform.map) is None


async def test_an_operator_that_was_made_with_exec_runs_nested(mode):
    scope = {"closing": transform.closing}
    exec(
        "async def double(source):\n"
        " async with closing(source):\n"
        "  async for x in source:\n"
        "   yield 2 * x",
        scope,
    )
    double = Operator(scope["double"])
    chain = Flow(range(3)).map(str).map(int)._then(double).map(str)

    assert await chain.to_list() == ["0", "2", "4"]


PROGRAM = """
from flowpy import Flow, run, _fusion
chain = Flow(range(20)).map(lambda x: x + 1).filter(lambda x: x % 3).take(4)
print(run(chain.to_list), _fusion.shape_of.cache_info().currsize)
"""


@pytest.mark.parametrize(
    ("options", "switch", "compiled"),
    [([], "1", 1), (["-OO"], "1", 1), ([], "0", 0)],
    ids=["fused", "without docstrings and asserts", "nested"],
)
def test_a_program_gives_the_same_however_it_is_started(options, switch, compiled):
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM],
        env={
            **os.environ,
            "FLOWPY_FUSION": switch,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )

    assert done.stdout == f"[1, 2, 4, 5] {compiled}\n"


# ----------------------------------------------------------------------- tracebacks


@pytest.mark.parametrize("kind", [raises, raises_async], ids=["plain", "async"])
async def test_a_traceback_shows_the_line_of_the_operator(monkeypatch, kind):
    monkeypatch.setattr(_chain, "ENABLED", True)
    chain = Flow(range(3)).filter(lambda x: True).map(kind(Boom())).take(2).map(str)

    with pytest.raises(Boom) as raised:
        await chain.to_list()

    package = Path(inspect.getfile(_fusion)).parent
    frames = traceback.extract_tb(raised.value.__traceback__)
    own = [frame for frame in frames if package in Path(frame.filename).parents]
    assert 1 <= len(own) <= 2
    assert Path(own[-1].filename).parent.name == "_operators"
    assert own[-1].line == "yield await fn(x)"


# -------------------------------------------------------------------------- notes


class Broken(Exception):
    """An error of a callback."""


def broken(error):
    def fail(_):
        raise error

    return fail


@pytest.mark.parametrize(
    ("chain", "note"),
    [
        (lambda fail: Flow.of(1).map(fail), "stage 1 of Flow.of(1).map(fail)"),
        (
            lambda fail: Flow.of(1).map(str).map(fail).map(str),
            "stage 2 of Flow.of(1).map(str).map(fail).map(str)",
        ),
        (
            lambda fail: Flow.of(1).filter(bool).filter(fail).filter(bool),
            "stage 2 of Flow.of(1).filter(bool).filter(fail).filter(bool)",
        ),
        (
            lambda fail: Flow.of(1).retry(0).map(str).map(fail),
            "stage 3 of Flow.of(1).retry(0).map(str).map(fail)",
        ),
        (
            lambda fail: Flow.of(1).chunked_by(fail),
            "stage 1 of Flow.of(1).chunked_by(fail)",
        ),
    ],
)
async def test_an_error_of_a_callback_says_in_which_stage(mode, chain, note):
    error = Broken()

    with pytest.raises(Broken):
        await chain(broken(error)).to_list()
    assert error.__notes__ == [f"in {note}"]


@pytest.mark.parametrize("stage", range(3))
@pytest.mark.parametrize("late", [1, 2, 9])
@pytest.mark.parametrize("end", ["to_list", "count", "last"])
async def test_an_error_says_in_which_of_many_alike(mode, stage, late, end):
    """Python 3.13 loads a function in one step with what comes before it."""
    error = Broken()

    def fail(x):
        if x == late:
            raise error
        return x

    chain = Flow(range(20))
    for k in range(3):
        chain = chain.map(fail if k == stage else int)

    with pytest.raises(Broken):
        await getattr(chain, end)()
    assert error.__notes__ == [f"in stage {stage + 1} of {chain!r}"]


async def test_an_error_of_an_endings_callback_says_so_once(mode):
    error = Broken()
    chain = Flow.of(1).map(str)

    for _ in range(2):
        with pytest.raises(Broken):
            await chain.collect(broken(error))
    assert error.__notes__ == ["in the ending of Flow.of(1).map(str)"]


@dataclass(frozen=True)
class Frozen(Exception):
    """An error that takes no notes."""


async def test_an_error_that_takes_no_notes_goes_on_as_it_is(mode):
    error = Frozen()

    with pytest.raises(Frozen) as raised:
        await Flow(fails_late("late")).map(broken(error)).to_list()
    assert raised.value is error


async def test_an_error_of_the_source_is_not_blamed_on_a_stage(mode):
    error = Broken()

    with pytest.raises(Broken):
        await Flow.fail(error).map(str).map(str).to_list()
    assert not hasattr(error, "__notes__")


def test_names_that_two_modules_use_for_different_things_do_not_collide():
    def operator_of(module):
        return SimpleNamespace(run=SimpleNamespace(__globals__=module))

    function = _compiler.Function(set())
    names = [
        function.public(operator_of({"helper": helper}), "helper")
        for helper in ("one", "other", "one")
    ]

    assert [function.known[name] for name in names] == ["one", "other", "one"]
