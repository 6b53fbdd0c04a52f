"""The reference has all that is public; docstrings become Markdown."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

import flowpy
from docs.build import FIRST, benchmarks, public_modules, reference
from docs.docstrings import markdown
from flowpy import Flow

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages():
    return reference()


def names_on(pages, prefix):
    return [
        name
        for page, text in pages.items()
        if page.startswith(prefix)
        for name in re.findall(r"^##+ .* \{ #(\S+) \}$", text, re.MULTILINE)
    ]


def test_every_method_of_flow_has_its_place_in_the_reference(pages):
    methods = [name for name in dir(Flow) if not name.startswith("_")]

    assert sorted(names_on(pages, "flow-")) == sorted(methods)


def test_every_public_name_has_its_place_in_the_reference(pages):
    beside = ("flow.md", "functions.md", "errors.md", "hot-flows.md")
    found = [name for page in beside for name in names_on(pages, page)]

    assert set(flowpy.__all__) <= set(found)


def test_every_public_module_has_its_page_in_the_reference(pages):
    modules = list(public_modules())

    assert {"flowpy.io", "flowpy.testing", "flowpy.web"} <= {
        m.__name__ for m in modules
    }
    for module in modules:
        page = f"{module.__name__.replace('.', '-')}.md"
        assert set(module.__all__) <= set(names_on(pages, page)), page


def test_every_page_has_its_place_in_the_navigation():
    places = {name for _, name in FIRST}
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md")]

    assert [page for page in pages if page.parts[0] not in places] == []


def test_links_of_the_benchmarks_lead_to_what_is_on_the_site():
    text = benchmarks()
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {f"#{heading.lower().replace(' ', '-')}" for heading in headings}
    files = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.*")}

    assert "bench_chains.svg" in targets
    assert [t for t in targets if t not in anchors | files and ":" not in t] == []


def test_a_signature_shows_names_and_defaults_and_the_types_apart(pages):
    _, _, text = pages["flow-transform.md"].partition("## flat_map {")

    assert "```python\n.flat_map(fn, *, concurrency=1)\n```" in text
    assert "\n        concurrency: int = 1,\n    ) -> Flow[U]\n" in text


def test_a_docstring_becomes_markdown():
    text = markdown(
        """Do this
        and that.

        ::

            source  a-b|

            it      a-b|

        Args:
            fn: Plain, or
                async.
            *rest: More.

        Shape: n items in,
            n out.

        More of it::

            it(1)

        Example:
            >>> 1
            1

            Then:

            >>> 2
            2

        Source: x.
        """
    )
    expected = """\
        Do this
        and that.

        ```text
        source  a-b|

        it      a-b|
        ```

        **Arguments**

        - `fn`: Plain, or async.
        - `*rest`: More.

        **Shape:** n items in, n out.

        More of it:

        ```python
        it(1)
        ```

        **Example**

        ```pycon
        >>> 1
        1
        ```

        Then:

        ```pycon
        >>> 2
        2
        ```

        **Source:** x."""

    assert text == dedent(expected)


def test_a_table_of_a_docstring_becomes_one_of_markdown():
    text = markdown(
        """====== =====
        `a|b`  first
        `c`    second,
               longer
        ====== =====
        """
    )

    assert text.splitlines() == [
        "|   |   |",
        "|---|---|",
        "| `a\\|b` | first |",
        "| `c` | second, longer |",
    ]


def test_pictures_stand_below_the_first_marbles():
    text = "It.\n\n::\n\n    a-|\n\nMore.\n\nSource: x.\n"

    assert markdown(text, pictures="PICTURE").split("\n\n") == [
        "It.",
        "```text\na-|\n```",
        "More.",
        "PICTURE",
        "**Source:** x.",
    ]
    assert markdown("It.", pictures="PICTURE") == "It.\n\nPICTURE"
