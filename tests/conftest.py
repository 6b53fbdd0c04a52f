"""Every test marked `anyio` runs on asyncio and trio, in virtual time."""

from __future__ import annotations

import gc
import os
import signal
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from flowpy import _fusion

settings.register_profile(
    "flowpy",
    deadline=None,
    derandomize=False,
    max_examples=40,
    # `anyio_backend` is made for each test, not for each example: nothing of a flow
    # is left over from the example before, only the virtual clock goes on.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("nightly", settings.get_profile("flowpy"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "flowpy"))

pytest_plugins = ["pytester"]

_fusion.WORTH = 0
"""Compile every shape when it is first seen, or few tests would run fused chains."""


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs the tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)


NO_TRIO = find_spec("trio") is None
NEEDS_TRIO = pytest.mark.skip(reason="trio is not installed")

if NO_TRIO:
    # Random schedules compare the two backends with each other; what is written, and
    # what type checkers read, shows both.
    collect_ignore = ["docs", "stress", "test_examples.py", "test_typing_files.py"]


def pytest_collection_modifyitems(items):
    """Leave out what runs on trio where there is none."""
    for item in items if NO_TRIO else ():
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        if any(
            isinstance(each, str) and each == "trio" for each in parameters.values()
        ):
            item.add_marker(NEEDS_TRIO)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """Leave out what finds only as it runs that it needs trio."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if NO_TRIO and error.name == "trio":
            pytest.skip("trio is not installed")
        raise


@pytest.fixture(scope="module", autouse=True)
def little_garbage():
    """Take what is there out of the garbage collector's sight.

    Many tests ask it to collect, which takes half a second among so many tests.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def anyio_backend(virtual_anyio_backend):
    return virtual_anyio_backend


@pytest.fixture(scope="session")
def outcome():
    """Collect a flow and return the items that came, and the error after them."""

    async def collected(flow):
        items = []
        try:
            await flow.collect(items.append)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            return items, error
        return items, None

    return collected
