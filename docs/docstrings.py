"""Docstrings of flowpy as Markdown: sections, marbles, examples, tables."""

from __future__ import annotations

import ast
import re
from inspect import cleandoc
from textwrap import dedent, indent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECTION = re.compile(r"(Args|Attributes|Raises|Example|Shape|Source):(?: (.*))?")
ENTRY = re.compile(r"(\*{0,2}\w+): (.*)")
RULE = re.compile(r"=+(?: +=+)+")


def markdown(docstring: str, *, pictures: str = "") -> str:
    """Return a docstring as Markdown, with pictures below its first marbles."""
    parts: list[str] = []
    for title, text in sections(cleandoc(docstring)):
        parts.append(SECTIONS[title](text))
        if pictures and "```text" in parts[-1]:
            parts.append(pictures)
            pictures = ""
    return "\n\n".join([*parts, pictures]).strip()


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Cut a docstring into its sections; what belongs to none has no title."""
    title, lines = "", list[str]()
    for line in text.splitlines():
        outside = line and not line[0].isspace()
        if header := SECTION.fullmatch(line):
            yield title, "\n".join(lines)
            title, lines = header[1], [header[2]] if header[2] else []
        elif title and outside:  # a paragraph after a section
            yield title, "\n".join(lines)
            title, lines = "", [line]
        else:
            lines.append(line)
    yield title, "\n".join(lines)


def prose(text: str) -> str:
    """Show paragraphs: indented blocks as code, tables of rules as tables."""
    shown: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        if not paragraph.strip():
            continue
        if paragraph.startswith(" ") and shown and shown[-1].endswith("```"):
            # The same block goes on after an empty line.
            before = shown.pop().removesuffix("\n```")
            shown.append(f"{before}\n\n{dedent(paragraph)}\n```")
        elif paragraph.startswith(" "):
            shown.append(code(dedent(paragraph)))
        elif RULE.match(paragraph):
            shown.append(table(paragraph))
        elif paragraph.endswith("::"):
            words = paragraph.removesuffix("::").rstrip()
            shown.extend([f"{words}:"] if words else [])
        else:
            shown.append(paragraph)
    return "\n\n".join(shown)


def code(text: str) -> str:
    """Show an indented block: Python if it is that, marbles and shell as they stand."""
    try:
        ast.parse(text)
    except SyntaxError:
        return f"```text\n{text}\n```"
    return f"```python\n{text}\n```"


def table(text: str) -> str:
    """Show a table whose columns are what the rules of `=` above and below cover."""
    rule, *lines, _ = text.splitlines()
    starts = [found.start() for found in re.finditer(r"=+", rule)]
    ends = [*starts[1:], None]
    rows: list[list[str]] = []
    for line in lines:
        cells = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        if cells[0]:
            rows.append(cells)
        else:  # the line before goes on
            rows[-1] = [
                f"{a} {b}".strip() for a, b in zip(rows[-1], cells, strict=True)
            ]
    bars = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    head = "|   " * len(starts) + "|\n" + "|---" * len(starts) + "|"
    return "\n".join([head, *(f"| {row} |" for row in bars)])


def entries(heading: str) -> Callable[[str], str]:
    """Show what has a name and an explanation each: a list."""

    def shown(text: str) -> str:
        items: list[list[str]] = []
        for line in dedent(text).splitlines():
            if entry := ENTRY.fullmatch(line):
                items.append([f"- `{entry[1]}`: {entry[2]}"])
            elif items:
                items[-1].append(line.strip())
        return f"**{heading}**\n\n" + "\n".join(" ".join(item) for item in items)

    return shown


def remark(heading: str) -> Callable[[str], str]:
    """Show a section that is one paragraph."""

    def shown(text: str) -> str:
        return f"**{heading}:** {' '.join(text.split())}"

    return shown


def example(text: str) -> str:
    """Show examples with prompts, and what is said between them."""
    parts = ["**Example**"]
    for block in re.split(r"\n\s*\n", dedent(text).strip()):
        parts.append(f"```pycon\n{block}\n```" if block.startswith(">>>") else block)
    return "\n\n".join(parts)


SECTIONS: dict[str, Callable[[str], str]] = {
    "": prose,
    "Args": entries("Arguments"),
    "Attributes": entries("Attributes"),
    "Raises": entries("Raises"),
    "Example": example,
    "Shape": remark("Shape"),
    "Source": remark("Source"),
}


def summary(docstring: str | None) -> str:
    """Return the first sentence of a docstring, on one line."""
    first, *_ = cleandoc(docstring or "").split("\n\n")
    return " ".join(first.split()).replace("|", "\\|")


def details(title: str, text: str) -> str:
    """Return Markdown that is folded away under a title."""
    return f'??? info "{title}"\n\n{indent(text, "    ")}'
