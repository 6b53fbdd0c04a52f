"""README shows what its examples print, and names everything; test_pages runs them."""

from __future__ import annotations

import re
from pathlib import Path

from flowpy import Flow
from tests.docs.written import page

README = Path(__file__).parents[2] / "README.md"


def test_every_python_example_shows_its_result():
    examples = list(page(README))

    assert len(examples) >= 2
    assert all(example.parsed.printed for example in examples)


def test_readme_names_every_method():
    methods = {name for name in dir(Flow) if not name.startswith("_")}
    text = README.read_text(encoding="utf-8")

    missing = {name for name in methods if not re.search(rf"`(Flow\.)?{name}\b", text)}
    assert missing == set()
