"""What `import flowpy` shows, and what it loads."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

MODULES = [
    "flowpy",
    "flowpy.ext.opentelemetry",
    "flowpy.ext.prometheus",
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


def test_public_names_say_that_they_live_in_flowpy():
    flowpy = import_module("flowpy")
    homes = {
        name: getattr(getattr(flowpy, name), "__module__", "flowpy")
        for name in flowpy.__all__
    }

    assert set(homes.values()) == {"flowpy"}


def test_importing_flowpy_loads_no_extra():
    code = """
import sys
import flowpy, flowpy.io, flowpy.testing, flowpy.web
import flowpy.ext.opentelemetry, flowpy.ext.prometheus
extras = {"fastapi", "numpy", "pytest", "starlette", "trio", "uvicorn", "uvloop", "watchfiles"}
extras |= {"opentelemetry", "prometheus_client", "tqdm"}
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


def test_help_reads_like_the_documentation(capsys):
    import_module("pydoc").help("flowpy.Flow.chunked")

    assert "Collect items into lists of `size`" in capsys.readouterr().out
