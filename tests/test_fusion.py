"""The compiler: what fusing must not change, and what it must not cost."""

from __future__ import annotations

import pytest

from flowpy import Flow, _chain
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
