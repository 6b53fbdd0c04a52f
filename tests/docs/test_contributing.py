"""CONTRIBUTING's list of rooms has every file of the package."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_room_is_in_the_list():
    text = ROOT.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`.+?`) \|", text.partition("## The rooms")[2], re.MULTILINE
    )
    listed = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in ROOT.joinpath("flowpy").iterdir()
    }

    assert listed == there - {"__init__.py", "__pycache__/", "py.typed"}
