"""Random flows under random faults: nothing is left behind, lost or invented.

A schedule that fails says how it can be run again. The long form, 10,000 schedules for
each backend: `HYPOTHESIS_PROFILE=nightly pytest tests/stress`.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.stress.planted import PLANTED
from tests.stress.schedules import failures

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"

BLOCK = 125
"""Schedules to a test."""

BLOCKS = range(80 if NIGHTLY else 4)


def check(backend, seeds):
    """Return the first schedule that fails, as text, or an empty one."""
    return next(map(str, failures(seeds, backend)), "")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("block", BLOCKS)
def test_random_flows_leave_nothing_behind_under_random_faults(backend, block):
    assert check(backend, range(block * BLOCK, (block + 1) * BLOCK)) == ""


@pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed")
@pytest.mark.parametrize("block", BLOCKS if NIGHTLY else BLOCKS[:1])
def test_random_flows_leave_nothing_behind_on_uvloop(block):
    size = BLOCK if NIGHTLY else BLOCK // 2  # in real time

    assert check("uvloop", range(block * BLOCK, block * BLOCK + size)) == ""


# What a broken crew leaves behind may come to light at any later time.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(monkeypatch, backend, plant):
    plant(monkeypatch)

    assert check(backend, range(16 * BLOCK)) != ""
