"""`run`: an async function on each event loop, and what it says when it can't."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from functools import partial
from importlib.util import find_spec

import anyio
import pytest

from flowpy import Flow, run

INSTALLED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("asyncio", "uvloop", "trio")
]

on_each_backend = pytest.mark.parametrize("backend", INSTALLED)


async def loop_module():
    """Name the package of the running loop."""
    await anyio.lowlevel.checkpoint()
    token = anyio.lowlevel.current_token().native_token
    return type(token).__module__.partition(".")[0]


@on_each_backend
def test_run_runs_on_the_backend_of_that_name(backend):
    assert run(loop_module, backend=backend) == backend


def test_run_runs_on_asyncio_by_default():
    assert run(loop_module) == "asyncio"


@on_each_backend
def test_run_returns_the_very_result(backend):
    result = object()

    async def main():
        return result

    assert run(main, backend=backend) is result


@on_each_backend
def test_run_passes_its_arguments_on(backend):
    async def main(*args):
        return args

    assert run(main, 1, None, "a", backend=backend) == (1, None, "a")


@on_each_backend
def test_run_takes_the_bound_ending_of_a_flow(backend):
    numbers = Flow.of(1, 2)

    assert run(numbers.to_list, backend=backend) == [1, 2]
    assert run(numbers.first, lambda n: n > 1, backend=backend) == 2
    assert run(partial(numbers.first, default=9), backend=backend) == 1


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
@on_each_backend
def test_run_raises_the_same_exception_object(backend, kind):
    error = kind("boom")

    async def main():
        await anyio.lowlevel.checkpoint()
        raise error

    with pytest.raises(kind) as raised:
        run(main, backend=backend)

    assert raised.value is error


@on_each_backend
def test_run_shows_the_context_variables_of_the_caller(backend):
    user = ContextVar("user", default="nobody")
    user.set("ada")

    async def main():
        return user.get()

    assert run(main, backend=backend) == "ada"


@on_each_backend
def test_run_can_be_called_again(backend):
    async def main():
        await anyio.sleep(0)
        return 1

    assert [run(main, backend=backend) for _ in range(3)] == [1, 1, 1]


@pytest.mark.anyio
async def test_run_is_refused_in_a_running_event_loop():
    async def main():
        pass

    with pytest.raises(RuntimeError, match="Already running"):
        run(main)


# --------------------------------------------------------------- a wrong first argument


async def main():
    return 1


@on_each_backend
def test_a_coroutine_instead_of_the_function_is_refused_and_closed(backend):
    coroutine = main()

    with pytest.raises(TypeError) as raised:
        run(coroutine, backend=backend)

    # No warning that it was never awaited follows: warnings are errors here.
    assert coroutine.cr_frame is None
    assert "run(main), not run(main())" in str(raised.value)
    assert repr(coroutine) in str(raised.value)


def test_an_ending_that_was_called_already_is_refused_and_closed():
    with pytest.raises(TypeError, match="fn must be an async function"):
        run(Flow.of(1).to_list())


@pytest.mark.parametrize("value", [None, 3, Flow.of(1)], ids=repr)
def test_what_cannot_be_called_is_refused(value):
    with pytest.raises(TypeError, match="fn must be an async function") as raised:
        run(value)

    assert repr(value) in str(raised.value)


@pytest.mark.parametrize("result", [None, 3, Flow.of(1)], ids=repr)
@on_each_backend
def test_a_function_that_gives_nothing_to_await_is_refused(backend, result):
    def plain():
        return result

    with pytest.raises(TypeError) as raised:
        run(plain, backend=backend)

    assert str(raised.value) == (
        f"fn must be an async function; {plain!r} returned {result!r}"
    )


def test_an_async_generator_function_is_refused():
    async def numbers():
        yield 1

    with pytest.raises(TypeError, match="fn must be an async function"):
        run(numbers)


# ------------------------------------------------------------------------ wrong backends


@pytest.fixture
def installed(monkeypatch):
    """Make it look as if only these backends besides asyncio were installed."""

    def only(*names):
        for name in ("uvloop", "trio"):
            if name in names:
                pytest.importorskip(name)
            else:
                monkeypatch.setitem(sys.modules, name, None)

    return only


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (
            ["uvloop", "trio"],
            "backend must be one of 'asyncio', 'uvloop', 'trio'; got 'curio'",
        ),
        (
            ["uvloop"],
            (
                "backend must be one of 'asyncio', 'uvloop'; "
                "'trio' after: pip install \"flowpy-stream[trio]\"; got 'curio'"
            ),
        ),
        (
            [],
            (
                "backend must be one of 'asyncio'; "
                "'uvloop' after: pip install \"flowpy-stream[uvloop]\"; "
                "'trio' after: pip install \"flowpy-stream[trio]\"; got 'curio'"
            ),
        ),
    ],
    ids=["all installed", "no trio", "only asyncio"],
)
def test_an_unknown_backend_is_answered_with_what_there_is(installed, others, message):
    installed(*others)

    with pytest.raises(ValueError, match="backend") as raised:
        run(main, backend="curio")

    assert str(raised.value) == message


@pytest.mark.parametrize("backend", [None, "", "Asyncio", 3], ids=repr)
def test_what_is_no_name_of_a_backend_is_refused(backend):
    with pytest.raises(ValueError, match="backend must be one of") as raised:
        run(main, backend=backend)

    assert str(raised.value).endswith(f"got {backend!r}")


@pytest.mark.parametrize(
    ("backend", "others", "there_is"),
    [
        ("trio", ["uvloop"], "'asyncio', 'uvloop'"),
        ("trio", [], "'asyncio'"),
        ("uvloop", ["trio"], "'asyncio', 'trio'"),
        ("uvloop", [], "'asyncio'"),
    ],
)
def test_a_backend_that_is_not_installed_is_answered_with_how_to_install_it(
    installed, backend, others, there_is
):
    installed(*others)

    with pytest.raises(ModuleNotFoundError) as raised:
        run(main, backend=backend)

    assert str(raised.value) == (
        f"backend {backend!r} is not installed: "
        f'pip install "flowpy-stream[{backend}]"; there is {there_is}'
    )
    assert raised.value.name == backend


def test_asyncio_runs_where_nothing_else_is_installed(installed):
    installed()

    assert run(Flow.interval(0.001).take(2).to_list) == [0, 1]
