"""Fused and nested: random chains do the same in both modes, step by step."""

from __future__ import annotations

import os
from contextlib import contextmanager

import pytest

from flowpy import _chain, _fusion
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


# ----------------------------------------------------- the comparison can fail


@pytest.fixture
def compiled_anew(fused):
    """Forget all compiled functions, before and after a fault in the compiler."""
    _fusion.fuse.cache_clear()
    yield
    _fusion.fuse.cache_clear()


def breaks_stay(self, node, k):
    return None


def flags_stay(self, node, callbacks):
    changed = DECIDE(self, node, callbacks)
    if changed is not None:
        changed[1].body[0].body[0:1] = []  # the result is not awaited
    return changed


DECIDE = _fusion.Function.decide


def test_a_break_that_stops_nothing_is_found(compiled_anew, monkeypatch):
    monkeypatch.setattr(_fusion.Function, "leave", breaks_stay)

    assert "seed" in check("asyncio", range(BLOCK))
