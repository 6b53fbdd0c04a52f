"""What is written prints the same on a machine that is busy."""

from __future__ import annotations

import pytest

from flowpy import _iterating


@pytest.fixture(autouse=True)
def turns_do_not_end(monkeypatch):
    """Read the few items of an example in one turn, an endless one in several."""
    monkeypatch.setattr(_iterating, "TURN", 0.1)
