"""Every block of Python in README and on the pages runs and prints what stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.written import check_block, page, virtual

ROOT = Path(__file__).parents[2]
OPENING = re.compile(r"^ *```(.*)$", re.MULTILINE)
PAGES = [
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted(ROOT.joinpath("docs").rglob("*.md")),
]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    "path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in PAGES]
)
def test_blocks_print_what_the_page_says(path, backend, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    runs = virtual(monkeypatch, backend)
    for example in page(path):
        check_block(example, runs)


def test_a_block_is_executed_or_says_why_not():
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        openings = list(OPENING.finditer(text))[::2]  # the others close blocks
        for opening in openings:
            where = f"{path}:{text.count(chr(10), 0, opening.start()) + 1}"
            assert opening[1] in ("bash", "python", "py", "text"), where
            excused = text[: opening.start()].rstrip().endswith("-->")
            assert excused or opening[1] != "py", where


def test_a_block_that_prints_something_else_fails(monkeypatch, tmp_path):
    path = tmp_path / "wrong.md"
    path.write_text("```python\nprint(await f())\n```\n\n```text\n2\n```\n")
    (example,) = page(path)
    example.namespace["f"] = one
    runs = virtual(monkeypatch, "asyncio")

    with pytest.raises(AssertionError, match=r"wrong\.md:1 prints\n1\n"):
        check_block(example, runs)


def test_a_block_that_prints_what_is_not_shown_fails(monkeypatch, tmp_path):
    path = tmp_path / "wrong.md"
    path.write_text("```python\nprint(1)\n```\n\nIt prints:\n\n```text\n1\n```\n")
    (example,) = page(path)
    runs = virtual(monkeypatch, "asyncio")

    with pytest.raises(AssertionError, match=r"wrong\.md:1 prints\n1\n"):
        check_block(example, runs)


async def one():
    return 1
