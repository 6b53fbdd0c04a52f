"""What `import flowpy` shows, and what it loads."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import get_origin

import pytest

MODULES = [
    "flowpy",
    "flowpy.ext.opentelemetry",
    "flowpy.ext.prometheus",
    "flowpy.ext.ray",
    "flowpy.ext.redis",
    "flowpy.io",
    "flowpy.testing",
    "flowpy.web",
]


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_documented(name):
    module = import_module(name)
    silent = {each for each in module.__all__ if not getattr(module, each).__doc__}

    assert silent - {"SKIP"} == set()  # whose type is documented


def test_nothing_public_is_left_out():
    flowpy = import_module("flowpy")
    modules = type(flowpy)
    found = {
        name
        for name, value in vars(flowpy).items()
        if not name.startswith("_") and not isinstance(value, modules)
    }

    assert found - {"annotations"} == set(flowpy.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_say_that_they_live_where_they_are_imported_from(name):
    module = import_module(name)
    values = {each: getattr(module, each) for each in module.__all__}
    homes = {each: value.__module__ for each, value in values.items()}
    # An alias such as `dict[str, bytes]` is at home where its type is.
    own = {home for each, home in homes.items() if not get_origin(values[each])}

    assert own == {name}


def test_importing_flowpy_loads_no_extra():
    code = """
import sys
import flowpy, flowpy.io, flowpy.testing, flowpy.web
import flowpy.ext.opentelemetry, flowpy.ext.prometheus, flowpy.ext.ray, flowpy.ext.redis
extras = {"fastapi", "numpy", "pytest", "starlette", "trio", "uvicorn", "uvloop", "watchfiles"}
extras |= {"coredis", "opentelemetry", "prometheus_client", "ray", "redis", "tqdm"}
print(sorted(extras & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_importing_flowpy_loads_no_event_loop_and_no_compiler():
    code = """
import sys
import anyio
before = {*sys.modules}
import flowpy
late = {
    "asyncio", "concurrent.futures", "datetime", "logging", "pickle", "random", "trio",
    "typing_extensions", "flowpy._blocking", "flowpy._compiler",
}
print(sorted(late & ({*sys.modules} - before)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_help_of_flowpy_names_every_public_module():
    text = import_module("flowpy").__doc__

    assert [name for name in MODULES[1:] if f"`{name}`" not in text] == []


def test_help_reads_like_the_documentation(capsys):
    import_module("pydoc").help("flowpy.Flow.chunked")

    assert "Collect items into lists of `size`" in capsys.readouterr().out
