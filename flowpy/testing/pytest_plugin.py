"""What flowpy gives to pytest, which finds it by itself once flowpy is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from flowpy.testing._clock import virtual_backend
from flowpy.testing._timeline import Timeline, difference, draw

_TRIO = pytest.param(
    "trio",
    marks=pytest.mark.skipif(
        find_spec("trio") is None,
        reason='trio is not installed: pip install "flowpy-stream[trio]"',
    ),
)


@pytest.fixture(params=["asyncio", _TRIO])
def virtual_anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run a test on asyncio and on trio, each on a virtual clock of its own.

    Return it from a fixture `anyio_backend`, which anyio's plugin looks for.
    """
    return virtual_backend(request.param)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Draw two timelines that should be equal one under the other."""
    if op != "==" or not (isinstance(left, Timeline) and isinstance(right, Timeline)):
        return None
    drawn = draw({"left": left, "right": right}).splitlines()
    frames = f"frames of {left.frame:g} s and of {right.frame:g} s"
    found = difference(right.events, left.events) or frames
    return [f"{left} == {right}", "", *drawn, "", f"on the left, {found}"]
