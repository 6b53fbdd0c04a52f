"""The compiler: what fusing must not change, and what it must not cost."""

from __future__ import annotations

import pytest

from flowpy import Flow, _chain

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
    error = ValueError()
    chain = Flow(fails_late("outer")).flat_map(lambda _: fails_late("inner")())

    with pytest.raises(ValueError, match="") as raised:
        await chain.map(raises(error)).to_list()

    assert raised.value is error
    assert error.__notes__ == [
        "while closing, also raised: OSError('inner')",
        "while closing, also raised: OSError('outer')",
    ]
