"""Build the site: copies the pages, writes the reference, puts all in a navigation.

    python -m docs.build            build/site, and fails at a warning
    python -m docs.build --serve    shows it at http://localhost:8000

The reference is made of the docstrings: of `Flow` by the sections of `_flow.py`, of every
other public module by its `__all__`. The page of benchmarks is `benchmarks/README.md`. The
navigation is made of the files: a new page or
module appears by itself.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass, isfunction, signature, unwrap
from itertools import chain
from pathlib import Path
from pkgutil import walk_packages
from types import FunctionType
from typing import TYPE_CHECKING, Any

import flowpy
from docs.docstrings import details, markdown, summary
from flowpy import Flow, _flow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

ROOT = Path(__file__).parents[1]
BUILT = ROOT / "build"
PAGES = BUILT / "docs"
SECTIONS = re.compile(r"^    # -{8,} (.+)$", re.MULTILINE)
SELF = re.compile(r"^(self|cls)(, |$)")
COPIED = (".css", ".md", ".png", ".svg")

FIRST = (
    ("Home", "index.md"),
    ("Tutorial", "tutorial.md"),
    ("How to", "how-to"),
    ("Marble pictures", "marbles.md"),
    ("Explanation", "explanation"),
    ("Reference", "reference"),
    ("Coming from", "coming-from"),
    ("Benchmarks", "benchmarks.md"),
)
"""The navigation: a page, or a folder whose pages follow; what is not there is left out."""

ORDER = (
    # how-to
    "errors-and-retries",
    "time",
    "concurrency-and-back-pressure",
    "hot-flows",
    "cancellation-and-clean-up",
    "testing",
    "swapping-event-loops",
    "web",
    "files",
    "many-machines",
    "writing-an-operator",
    "performance-and-fusion",
    # explanation
    "laws",
    "no-task-group-across-yield",
    "fusion",
    # coming-from
    "kotlin-flow",
    "rxjs",
    "aiostream",
    "itertools-asyncstdlib",
    "go-channels",
)
"""Names of pages in their order within a folder; what is not named comes after them."""


# ------------------------------------------------------------------------- reference


def methods_by_section() -> dict[str, list[str]]:
    """Return the public methods of `Flow`, by the sections that `_flow.py` has."""
    text = parsed(_flow.__file__)[0]
    marks = [(text.count("\n", 0, m.start()), m[1]) for m in SECTIONS.finditer(text)]
    found: dict[str, list[str]] = {title: [] for _, title in marks}
    for function in written(_flow.__file__, "Flow"):
        if not function.name.startswith("_"):
            title = [title for line, title in marks if line < function.lineno][-1]
            found[title].append(function.name)
    for name in chain.from_iterable(map(vars, Flow.__mro__[1:])):
        if not name.startswith("_"):
            found["around it" if name == "explain" else "ending a flow"].append(name)
    # Overloads have the same name.
    return {title: list(dict.fromkeys(names)) for title, names in found.items()}


@cache
def parsed(path: str) -> tuple[str, ast.Module]:
    """Return the text of a file, and what Python reads in it."""
    text = Path(path).read_text(encoding="utf-8")
    return text, ast.parse(text)


def written(
    path: str, owner: str = ""
) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Find the functions of a file, or the methods of one of its classes."""
    body = parsed(path)[1].body
    if owner:
        classes = (node for node in body if isinstance(node, ast.ClassDef))
        body = next(node.body for node in classes if node.name == owner)
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def typed(function: FunctionType) -> str:
    """Return the signatures that type checkers see: the overloads, if there are some."""
    function = unwrap(function)
    owner, _, name = function.__qualname__.rpartition(".")
    nodes = [n for n in written(function.__code__.co_filename, owner) if n.name == name]
    stubs = [n for n in nodes if "overload" in map(ast.unparse, n.decorator_list)]
    return "\n".join(map(stub, stubs or nodes))


def stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return a signature with its types, without a `self` that has none."""
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    plain = ast.unparse(node.args)
    arguments = re.sub(r"(?<=[\w\])])=(?=\S)", " = ", plain)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return wrapped(f"{start} {node.name}", SELF.sub("", arguments), returns)


def wrapped(name: str, arguments: str, returns: str = "") -> str:
    """Return a signature, on several lines if it is long."""
    if len(line := f"{name}({arguments}){returns}") <= 80:
        return line
    parts, depth, start = [], 0, 0
    for k, sign in enumerate(arguments):
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parts.append(arguments[start:k].strip())
            start = k + 1
    parts.append(arguments[start:].strip())
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def called(value: Any, shown: str) -> str:
    """Return how something is called: names and defaults, without types."""
    function = value.__init__ if isclass(value) else unwrap(value)
    if is_dataclass(value) or not isfunction(function):
        return wrapped(shown, str(signature(value))[1:-1])
    owner, _, name = function.__qualname__.rpartition(".")
    nodes = written(function.__code__.co_filename, owner)
    *_, node = (node for node in nodes if node.name == name)
    arguments = deepcopy(node.args)
    for part in ast.walk(arguments):
        if isinstance(part, ast.arg):
            part.annotation = None
    text = SELF.sub("", ast.unparse(arguments)).replace("=MISSING", "=…")
    return wrapped(shown, text)


def pictures_of(name: str) -> str:
    """Return the marble pictures of an operator: of what it does, then of variants."""
    folder = PAGES / "marbles"
    found = [*folder.glob(f"{name}.svg"), *sorted(folder.glob(f"{name}-*.svg"))]
    shown = (f"![{path.stem} in marbles](../marbles/{path.name})" for path in found)
    return "\n\n".join(shown)


def entry(name: str, value: Any, owner: type | None = None) -> str:
    """Return the part of a page that is about a function, a class, or a member of one."""
    full = f"{owner.__name__}.{name}" if owner else name
    of_flow = owner is None or owner is Flow
    parts = [f"## {name} {{ #{name} }}" if of_flow else f"### {name} {{ #{full} }}"]
    static = isinstance(value, classmethod | staticmethod)
    function = value.__func__ if static else value
    if isclass(function) and issubclass(function, BaseException):
        bases = ", ".join(f"`{base.__name__}`" for base in function.__bases__)
        parts.append(f"A kind of {bases}.")
    elif full in GIVEN or getattr(function, "_is_protocol", False):
        pass  # nobody calls it
    elif callable(function):
        shown = f".{name}" if owner and not static else full
        parts.append(f"```python\n{called(function, shown)}\n```")
    parts.append(markdown(function.__doc__ or "", pictures=pictures_of(name)))
    if isfunction(function):
        parts.append(details("Types", f"```python\n{typed(function)}\n```"))
    return "\n\n".join(parts)


def of_class(name: str, kind: type) -> str:
    """Return the part of a page that is about a class and what it adds to a flow."""
    parts = [entry(name, kind)]
    for base in kind.__mro__:
        if base in Flow.__mro__ or not base.__module__.startswith("flowpy"):
            continue
        for member, value in vars(base).items():
            if isinstance(value, MEMBERS) and not member.startswith("_"):
                parts.append(entry(member, value, kind))
    return "\n\n".join(parts)


GIVEN = {"Channel", "Job", "Probe"}
"""Classes whose objects users get and do not make."""

MEMBERS = (FunctionType, classmethod, staticmethod, property)


def overview(rows: Iterable[tuple[str, str]]) -> str:
    """Return a table without a head."""
    lines = [f"| {link} | {text} |" for link, text in rows]
    return "\n".join(["|   |   |", "|---|---|", *lines])


def public_modules() -> Iterator[ModuleType]:
    """Find the public modules beside `flowpy` itself that say what is public in them."""
    for found in walk_packages(flowpy.__path__, "flowpy."):
        spec = find_spec(found.name)
        if "._" in found.name or spec is None or spec.origin is None:
            continue
        if "__all__" in parsed(spec.origin)[0]:  # else it is not for users to import
            yield import_module(found.name)


HOT = ("SharedFlow", "StateFlow", "while_subscribed")


def reference() -> dict[str, str]:
    """Return the pages of the reference by their names, in the order of navigation."""
    rows = [("[`Flow`](flow.md)", summary(Flow.__doc__))]
    of_flow: dict[str, str] = {}
    flow_rows: list[tuple[str, str]] = []
    for title, names in methods_by_section().items():
        page = f"flow-{title.replace(' ', '-')}.md"
        entries = [entry(name, vars(owner_of(name))[name], Flow) for name in names]
        of_flow[page] = "\n\n".join([f"# Flow: {title}", *entries])
        flow_rows += [(f"**[{title}]({page})**", ""), *listed(page, Flow, names)]
    errors = [name for name in flowpy.__all__ if name.endswith("Error")]
    others = set(flowpy.__all__) - {*HOT, *errors, "Flow"}
    beside: dict[str, str] = {}
    for page, title, names in (
        ("hot-flows.md", "Hot flows", HOT),
        ("functions.md", "Functions and helpers", sorted(others, key=str.lower)),
        ("errors.md", "Errors", errors),
    ):
        beside[page] = module_page(f"# {title}", flowpy, names)
        rows += [(f"**[{title}]({page})**", ""), *listed(page, flowpy, names)]
    for module in public_modules():
        name = module.__name__
        page = f"{name.replace('.', '-')}.md"
        heading = f"# {name}\n\n{markdown(module.__doc__ or '')}"
        beside[page] = module_page(heading, module, module.__all__)
        rows += [(f"**[{name}]({page})**", summary(module.__doc__))]
        rows += listed(page, module, module.__all__)
    flow_page = [entry("Flow", Flow), "## Methods", overview(flow_rows)]
    return {
        "index.md": "\n\n".join(["# Reference", INTRODUCTION, overview(rows)]),
        "flow.md": "\n\n".join(["# Flow", *flow_page]),
        **of_flow,
        **beside,
    }


INTRODUCTION = """\
Made of the docstrings. Durations are seconds or a `timedelta`. Every `fn`, `predicate` and
`key` may be plain or `async def`. `Raises` says when: *at the call*, where the chain is
written, or *while running*. Examples use `run`, which you import from `flowpy`; the tests
run them all, on asyncio and on trio."""


def owner_of(name: str) -> type:
    """Return which base of `Flow` has a method."""
    return next(base for base in Flow.__mro__ if name in vars(base))


def only(value: object) -> str:
    """Return what is said of a value that stands for itself."""
    return f"`{value!r}`, the only `{type(value).__name__}`."


def module_page(heading: str, module: ModuleType, names: Iterable[str]) -> str:
    """Return the page of some names of a module."""
    parts = [heading]
    for name in names:
        value = getattr(module, name)
        if isclass(value):
            parts.append(of_class(name, value))
        elif isfunction(value):
            parts.append(entry(name, value))
        else:
            parts.append(f"## {name} {{ #{name} }}\n\n{only(value)}")
    return "\n\n".join(parts)


def listed(page: str, owner: object, names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Return the rows of an overview of some names of a page."""
    for name in names:
        value = getattr(owner, name)
        text = summary(value.__doc__) if callable(value) else only(value)
        yield f"[`{name}`]({page}#{name})", text


# ------------------------------------------------------------------------ navigation


def title_of(path: Path) -> str:
    """Return a page's first heading."""
    heading = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    if heading is None:
        message = f"{path} has no heading"
        raise SystemExit(message)
    return heading[1].replace("`", "")


def navigation(made: Iterable[str]) -> str:
    """Return the navigation as YAML: what is there of `FIRST`, and what is in it.

    Args:
        made: Names of the pages of the reference, in their order.
    """
    lines = ["nav:"]
    for title, name in FIRST:
        place = PAGES / name
        if place.is_file():
            lines.append(f"  - {title}: {name}")
        elif names := {page.name for page in place.glob("*.md")}:
            order = made if name == "reference" else (f"{stem}.md" for stem in ORDER)
            known = [page for page in order if page in names]
            lines.append(f"  - {title}:")
            for page in [*known, *sorted(names.difference(known))]:
                heading = title_of(place / page).removeprefix(f"{title} ")
                words = heading.replace('"', "'")
                lines.append(f'      - "{words}": {name}/{page}')
    return "\n".join(lines)


# ------------------------------------------------------------------------- benchmarks


def benchmarks() -> str:
    """Return the page of benchmarks, which readers of the code find beside them."""
    text = ROOT.joinpath("benchmarks", "README.md").read_text(encoding="utf-8")
    return text.replace("](../docs/", "](")


# ---------------------------------------------------------------------------- building


def write_pages() -> None:
    """Copy the pages that are written, and write those that are made."""
    shutil.rmtree(BUILT / "docs", ignore_errors=True)
    for path in sorted(ROOT.joinpath("docs").rglob("*")):
        if path.suffix in COPIED:
            copy = PAGES / path.relative_to(ROOT / "docs")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    PAGES.joinpath("benchmarks.md").write_text(benchmarks(), encoding="utf-8")
    folder = PAGES / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    pages = reference()
    for name, text in pages.items():
        folder.joinpath(name).write_text(f"{text}\n", encoding="utf-8")
    settings = ROOT.joinpath("docs", "mkdocs.yml").read_text(encoding="utf-8")
    BUILT.joinpath("mkdocs.yml").write_text(
        f"{settings}\n{navigation(pages)}\n", encoding="utf-8"
    )


def missing_pictures() -> Iterator[str]:
    """Find pictures that pages show and that are not there: zensical does not."""
    for path in sorted(PAGES.rglob("*.md")):
        for target in re.findall(
            r"!\[[^]]*\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")
        ):
            if not path.parent.joinpath(target).exists():
                yield f"{path.relative_to(PAGES)} shows {target}, which is not there"


def main(arguments: list[str]) -> int:
    """Build the site, or serve it; return an exit status."""
    write_pages()
    if problems := list(missing_pictures()):
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    command = ["serve"] if "--serve" in arguments else ["build", "--clean", "--strict"]
    settings = str(BUILT / "mkdocs.yml")
    return subprocess.call(
        [sys.executable, "-m", "zensical", *command, "--config-file", settings]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
