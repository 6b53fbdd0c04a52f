"""Print what the tests need, from pyproject.toml, a requirement a line.

    python .ci/requirements.py [--oldest] [--without NAME ...]

`--oldest` pins what flowpy itself runs on, and pytest, which it has a plugin for, to the
oldest version that is allowed. The others, tools of the tests, want newer ones.
"""

from __future__ import annotations

import re
import tomllib
from argparse import ArgumentParser
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
TOOLS = {
    "build",
    "coverage",
    "import-linter",
    "mypy",
    "pre-commit",
    "pyright",
    "ruff",
    "twine",
    "zensical",
}
"""What checks and builds; the tests do not import it."""


RUNS_ON = {
    "anyio",
    "hypothesis",
    "pytest",
    "pytest-asyncio",
    "pytest-timeout",
    "trio",
    "typing-extensions",
    "uvloop",
    "watchfiles",
}


def requirements() -> dict[str, str]:
    """Return what is needed, by its name, without flowpy itself."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    own = next(each for each in extras["dev"] if each.startswith(project["name"]))
    names = [*re.findall(r"\w+(?=[,\]])", own), "dev"]  # flowpy-stream[trio,watch]
    lists = [extras[name] for name in names]
    found: dict[str, str] = {}
    for requirement in [*project["dependencies"], *(r for each in lists for r in each)]:
        name = re.split(r"[\[><=; ]", requirement)[0]
        if name not in {*TOOLS, project["name"]}:
            found[name] = requirement
    return found


def main() -> None:
    """Print them."""
    parser = ArgumentParser(description="What the tests need.")
    parser.add_argument("--oldest", action="store_true")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args()
    for name, requirement in requirements().items():
        if name not in options.without:
            pinned = options.oldest and name in RUNS_ON
            print(requirement.replace(">=", "==") if pinned else requirement)


if __name__ == "__main__":
    main()
