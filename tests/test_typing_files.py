"""The files in tests/typing are read by type checkers; here they are counted.

An `assert_type` that got lost would make no checker fail, and a method without one
could lose its type unseen.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from flowpy import Flow

FILES = sorted(Path(__file__).parent.joinpath("typing").glob("*.py"))
FOR_MYPY = re.compile(r"# type: ignore\[[a-z, -]+\]")
FOR_PYRIGHT = re.compile(r"# pyright: ignore\[\w[\w, ]*\]")
PUBLIC = sorted(name for name in dir(Flow) if not name.startswith("_"))


def negatives(file):
    """Return the lines of misuse: those that mypy has to reject, and pyright too."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if FOR_MYPY.search(line)]


def assertions(file):
    """Return the calls of `assert_type`."""
    return [
        node
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "assert_type"
    ]


def methods_in(code):
    """Return the names that stand behind a dot."""
    return {node.attr for node in ast.walk(code) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_for_type_checkers_can_be_imported(file):
    spec = spec_from_file_location(f"typing_of_{file.stem}", file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.__doc__


def test_there_are_at_least_100_assertions():
    assert sum(len(assertions(file)) for file in FILES) >= 100


def test_there_are_at_least_15_negatives():
    assert sum(len(negatives(file)) for file in FILES) >= 15


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_both_checkers_reject_every_negative(file):
    text = file.read_text(encoding="utf-8")

    assert all(FOR_PYRIGHT.search(line) for line in negatives(file))
    # None of another form, which the other tests would not see.
    assert len(negatives(file)) == text.count("type: ignore")
    assert len(negatives(file)) == text.count("pyright: ignore")


@cache
def known_methods():
    """Return the names of what is called in any assertion or negative."""
    asserted = {
        name
        for file in FILES
        for call in assertions(file)
        for name in methods_in(call.args[0])
    }
    refused = {
        name
        for file in FILES
        for line in negatives(file)
        for name in re.findall(r"\.(\w+)\(", line.partition("#")[0])
    }
    return asserted | refused


@pytest.mark.parametrize("method", PUBLIC)
def test_every_public_method_of_flow_has_an_assertion_or_a_negative(method):
    assert method in known_methods()
