"""Every example in a docstring runs, on both backends, and prints what it says."""

from __future__ import annotations

import asyncio
import doctest
from functools import partial
from importlib import import_module
from pkgutil import walk_packages

import anyio
import pytest

import flowpy
from flowpy import (
    SKIP,
    Flow,
    SharedFlow,
    Snapshot,
    StageSnapshot,
    StateFlow,
    channel_flow,
    flow,
    io,
    testing,
    web,
    while_subscribed,
)
from flowpy.__main__ import main
from flowpy._fusion import ENABLED
from flowpy.testing import run_virtual

MODULES = [module.name for module in walk_packages(flowpy.__path__, "flowpy.")]


def run(fn, *args, backend, threshold):
    """Run like `flowpy.run`, but in virtual time."""
    return run_virtual(partial(fn, *args), backend, threshold=threshold)


def virtual_on(backend):
    """Return `run_virtual`, which runs on `backend` if an example names none."""

    def run_on(fn, name=backend, **options):
        return run_virtual(fn, name, **options)

    return run_on


def examples(name):
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(import_module(name)) if test.examples]


CASES = [
    pytest.param(test, id=test.name) for name in MODULES for test in examples(name)
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("test", CASES)
def test_example_prints_what_it_says(test, backend):
    if test.name.endswith(".explain") and not ENABLED:
        pytest.skip("tells how a chain is fused")
    threshold = 0.1 if test.name.startswith("flowpy.io.") else 0  # those have threads
    test.globs = {
        "Flow": Flow,
        "SKIP": SKIP,
        "SharedFlow": SharedFlow,
        "Snapshot": Snapshot,
        "StageSnapshot": StageSnapshot,
        "StateFlow": StateFlow,
        "anyio": anyio,
        "asyncio": asyncio,
        "channel_flow": channel_flow,
        "flow": flow,
        "main": main,
        "run": partial(run, backend=backend, threshold=threshold),
        **{name: getattr(io, name) for name in io.__all__},
        "while_subscribed": while_subscribed,
        **{name: getattr(testing, name) for name in testing.__all__},
        **{name: getattr(web, name) for name in web.__all__},
        "run_virtual": virtual_on(backend),
    }
    printed = []
    results = doctest.DocTestRunner().run(test, out=printed.append, clear_globs=False)

    assert results.failed == 0, "".join(printed)


PUBLIC = [
    pytest.param(getattr(Flow, name), id=name)
    for name in dir(Flow)
    if not name.startswith("_")
]


@pytest.mark.parametrize("method", PUBLIC)
def test_a_public_method_documents_shape_errors_example_and_source(method):
    text = method.__doc__

    assert "Example:\n" in text
    assert ">>> " in text
    assert "Source: " in text
    assert any(word in text for word in ("Shape: ", "Nothing is run", "Return `fn("))


OF_HOT_FLOWS = [
    pytest.param(value, id=f"{kind.__name__}.{name}")
    for kind in (SharedFlow, StateFlow)
    for name, value in vars(kind).items()
    if not name.startswith("_") and not isinstance(value, property)
]


@pytest.mark.parametrize("method", OF_HOT_FLOWS)
def test_a_method_of_hot_flows_documents_example_and_source(method):
    assert "Example:\n" in method.__doc__
    assert ">>> " in method.__doc__
    assert "Source: " in method.__doc__
