"""Every test marked `anyio` runs on asyncio and trio, in virtual time."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]


@pytest.fixture
def anyio_backend(virtual_anyio_backend):
    return virtual_anyio_backend
