"""Every example in a docstring runs, on both backends, and prints what it says."""

from __future__ import annotations

import ast
import asyncio
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import anyio
import pytest
from sybil.example import SybilFailure

import flowpy
from flowpy import Flow, SharedFlow, StateFlow
from flowpy.__main__ import main
from flowpy._fusion import ENABLED
from tests.docs.written import THREADS, docstring, virtual
from tests.ext.redis_double import CoredisDouble

PACKAGE = Path(flowpy.__file__).parent
MODULES = ["flowpy", *(m.name for m in walk_packages(flowpy.__path__, "flowpy."))]
PUBLIC_MODULES = [name for name in MODULES if "._" not in name]


def docstrings(node, name):
    """Find the docstrings of a module, wherever its names are at home."""
    if text := ast.get_docstring(node):
        yield name, text
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from docstrings(child, f"{name}.{child.name}")


def examples():
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, text in docstrings(tree, module):
            if ">>> " in text:
                yield pytest.param(module, name, text, id=name)


def names_for(module):
    """Return the names that an example in a module need not import."""
    # Those of its own module last, where names of several modules are equal.
    own = [name for name in PUBLIC_MODULES if f"{module}.".startswith(f"{name}.")]
    public = {}
    for name in [*PUBLIC_MODULES, *own]:
        try:
            found = import_module(name)
        except ModuleNotFoundError:
            if name in own:
                pytest.skip(f"{name} needs an extra that is not installed")
            continue
        public |= {name: getattr(found, name) for name in getattr(found, "__all__", ())}
    given = {"anyio": anyio, "asyncio": asyncio, "main": main}
    if module.startswith("flowpy.ext.redis"):
        given["client"] = CoredisDouble()
    return given | public


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(("module", "name", "text"), list(examples()))
def test_example_prints_what_it_says(module, name, text, backend, monkeypatch):
    if name.endswith(".explain") and not ENABLED:
        pytest.skip("tells how a chain is fused")
    threads = module.startswith(("flowpy.io", "flowpy.ext."))
    runs = virtual(monkeypatch, backend, THREADS if threads else 0)
    for example in docstring(text, name, runs, names_for(module)):
        example.evaluate()


def test_examples_of_every_public_method_are_found():
    names = {case.values[1].rpartition(".")[2] for case in examples()}

    assert {method for method in dir(Flow) if not method.startswith("_")} <= names


def test_an_example_may_await_and_fails_if_it_prints_something_else(monkeypatch):
    runs = virtual(monkeypatch, "asyncio")
    text = (
        ">>> await Flow.of(1, 2).to_list()\n[1, 2]\n>>> await Flow.of(1).count()\n2\n"
    )
    right, wrong = docstring(text, "it", runs, {"Flow": Flow})
    right.evaluate()

    with pytest.raises(
        SybilFailure, match=r"it, line 3.*\n.*Expected:\n +2\nGot:\n +1"
    ):
        wrong.evaluate()


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
