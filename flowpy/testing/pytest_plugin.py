"""The pytest fixtures of flowpy, which pytest finds by itself once it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from flowpy.testing._clock import virtual_backend

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
