"""Fused and nested: random chains do the same in both modes, step by step."""

from __future__ import annotations

import ast
import os
from collections import Counter
from contextlib import contextmanager

import pytest

from flowpy import _chain, _compiler, _fusion
from flowpy._compiler import Function
from flowpy._operators import transform
from flowpy.testing import run_virtual
from tests.fuzz.chains import differences

BLOCK = 100
"""Chains to a test."""

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
BLOCKS = range(200 if NIGHTLY else 5)


@contextmanager
def nested():
    """Open chains as nested generators, whatever the environment asks for."""
    before, _chain.ENABLED = _chain.ENABLED, False
    try:
        yield
    finally:
        _chain.ENABLED = before


@pytest.fixture
def fused(monkeypatch):
    """Open chains fused, whatever the environment asks for."""
    monkeypatch.setattr(_chain, "ENABLED", True)


def check(backend, seeds):
    async def compare():
        return await differences(seeds, nested)

    return run_virtual(compare, backend)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_random_chain_does_the_same_fused_and_nested(fused, block):
    assert check("asyncio", range(block * BLOCK, (block + 1) * BLOCK)) is None


@pytest.mark.parametrize("block", BLOCKS[::10] if NIGHTLY else BLOCKS[:1])
def test_a_random_chain_does_the_same_fused_and_nested_on_trio(fused, block):
    size = BLOCK if NIGHTLY else BLOCK // 2

    assert check("trio", range(block * BLOCK, block * BLOCK + size)) is None


# ------------------------------------------------- what a broken compiler would do


def break_goes_on(monkeypatch):
    at = _compiler.at
    changed = {"raise stop": "pass"}
    monkeypatch.setattr(
        _compiler, "at", lambda node, text: at(node, changed.get(text[:10], text))
    )


def flag_never_switches(monkeypatch):
    decide = Function.decide

    def forgetful(self, node):
        changed = decide(self, node)
        if changed is not None:
            changed[1].body[0].orelse = []  # `elif test is True: test = False`
        return changed

    monkeypatch.setattr(Function, "decide", forgetful)


def wrong_variable_is_shared(monkeypatch):
    text = _compiler.text_of(transform.enumerate)
    monkeypatch.setattr(text, "yielded", "x")


def ends_are_not_converted(monkeypatch):
    def unguarded(body, *_):
        return ast.copy_location(ast.If(ast.Constant(True), body, []), body[0])

    monkeypatch.setattr(_compiler, "guarded", unguarded)


def values_are_used_too_late(monkeypatch):
    monkeypatch.setattr(_compiler, "takes", lambda node, name, value: True)


def variables_are_lost(monkeypatch):
    monkeypatch.setattr(_compiler, "read_in", lambda body: Counter())


def calls_are_taken_for_plain_too_soon(monkeypatch):
    at = _compiler.at
    monkeypatch.setattr(
        _compiler,
        "at",
        lambda node, text: at(node, text.replace("if undecided", "if 0")),
    )


@pytest.mark.parametrize(
    "plant",
    [
        values_are_used_too_late,
        variables_are_lost,
        calls_are_taken_for_plain_too_soon,
        break_goes_on,
        flag_never_switches,
        wrong_variable_is_shared,
        ends_are_not_converted,
    ],
)
def test_a_fault_in_the_compiler_is_found(fused, monkeypatch, plant):
    plant(monkeypatch)
    _fusion.shape_of.cache_clear()
    try:
        found = check("asyncio", range(5 * BLOCK))
    finally:
        _fusion.shape_of.cache_clear()

    assert found is not None
