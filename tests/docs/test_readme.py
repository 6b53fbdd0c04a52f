"""README's examples print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flowpy import Flow

README = Path(__file__).parents[2] / "README.md"
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
EXAMPLES = EXAMPLE.findall(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_example_prints_what_readme_says(code, printed, capsys):
    exec(compile(code, "README.md", "exec"), {})

    assert capsys.readouterr().out == printed


def test_every_python_example_shows_its_result():
    text = README.read_text(encoding="utf-8")

    assert text.count("```python\n") == len(EXAMPLES) >= 2


def test_readme_names_every_method():
    methods = {name for name in dir(Flow) if not name.startswith("_")}
    text = README.read_text(encoding="utf-8")

    missing = {name for name in methods if not re.search(rf"`(Flow\.)?{name}\b", text)}
    assert missing == set()
