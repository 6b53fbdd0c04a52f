"""The contract's tables and the real surface say the same, in both directions."""

from __future__ import annotations

import ast
import operator
import re
from collections import defaultdict
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import (
    Parameter,
    getattr_static,
    isclass,
    iscoroutinefunction,
    signature,
    unwrap,
)
from logging import INFO
from pathlib import Path
from pkgutil import walk_packages
from typing import NamedTuple

import pytest

import flowpy
from flowpy import Flow
from flowpy.__main__ import parser
from flowpy._types import MISSING

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
COMMAND = "python -m flowpy"
MODULES = [
    import_module(name)
    for name in ("flowpy", *(m.name for m in walk_packages(flowpy.__path__, "flowpy.")))
    if not (name.startswith("flowpy.ext") or "._" in name or "plugin" in name)
]
"""Those of `flowpy.ext` need packages that are not there, and are not in the contract."""

DEFAULTS = {"Exception": Exception, "INFO": INFO, "operator": operator}
"""What the page calls by a name."""


class Row(NamedTuple):
    """What a table says of one name."""

    kind: str
    owner: str
    text: str

    @property
    def name(self):
        return re.match(r"(?:await )?([-\w]+)", self.text)[1]

    @property
    def full(self):
        return f"{self.owner}.{self.name}"


def rows():
    """Read the tables: a header `kind of owner`, or `kind in module`, then calls."""
    kind = owner = None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if header := re.match(r"\| (?:([a-z ]+) )?(?:of|in) `([^`]+)` \|", line):
            kind, owner = header.groups("name")
        elif line.startswith("| "):
            for text in re.findall(r"`([^`]+)`", line.split(" | ")[0]):
                yield Row(kind, owner, text)


ROWS = list(rows())


def value_of(owner):
    """Return a module or a class, by the name that the tables call it by."""
    for module in MODULES:
        if module.__name__ == owner:
            return module
    home, _, name = owner.rpartition(".")
    return getattr(import_module(home or "flowpy"), name)


def declared(text):
    """Return the parameters that a call in a table declares."""
    arguments = ast.parse(f"async def {text.removeprefix('await ')}: ...").body[0].args
    plain = [*arguments.posonlyargs, *arguments.args]
    given = [Parameter.empty] * (len(plain) - len(arguments.defaults))
    defaults = [*given, *map(value_in, arguments.defaults)]
    for each, default in zip(plain, defaults, strict=True):
        only = each in arguments.posonlyargs
        kind = Parameter.POSITIONAL_ONLY if only else Parameter.POSITIONAL_OR_KEYWORD
        yield each.arg, kind, default
    if arguments.vararg:
        yield arguments.vararg.arg, Parameter.VAR_POSITIONAL, Parameter.empty
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        given = Parameter.empty if default is None else value_in(default)
        yield each.arg, Parameter.KEYWORD_ONLY, given
    if arguments.kwarg:
        yield arguments.kwarg.arg, Parameter.VAR_KEYWORD, Parameter.empty


def value_in(node):
    value = eval(compile(ast.Expression(node), PAGE.name, "eval"), DEFAULTS)
    return MISSING if value is ... else value


def real(value, *, bound):
    """Return the parameters of something, without `self` where it is a method."""
    parameters = list(signature(value).parameters.values())
    return [(p.name, p.kind, p.default) for p in parameters[bound:]]


MEMBERS = {"method", "ending", "static method", "attribute"}


def kind_of(owner, name):
    """Tell as what something is declared, in the words of the tables."""
    value = getattr_static(owner, name)
    if not isclass(owner):
        return "name"
    if isinstance(value, staticmethod):
        return "static method"
    if not callable(value):
        return "attribute"
    # Strings, since annotations are not evaluated.
    returned = str(signature(value).return_annotation)
    return "ending" if returned.startswith("Ending[") else "method"


NAMES = [row for row in ROWS if row.kind == "name" or row.kind in MEMBERS]


@pytest.mark.parametrize("row", [pytest.param(row, id=row.full) for row in NAMES])
def test_a_name_is_there_and_declared_as_its_row_says(row):
    owner = value_of(row.owner)
    value = getattr(owner, row.name)
    kind = kind_of(owner, row.name)

    # A table of methods has attributes, too: those are without parentheses.
    assert kind in {row.kind, "attribute"}
    assert (kind == "attribute") <= ("(" not in row.text)
    assert iscoroutinefunction(unwrap(value)) == row.text.startswith("await ")
    if "(" in row.text:
        bound = kind in {"method", "ending"}
        assert real(value, bound=bound) == list(declared(row.text))


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row.full) for row in ROWS if row.kind == "error"]
)
def test_an_error_has_the_bases_of_its_row(row):
    bases = getattr(value_of(row.owner), row.name).__bases__

    assert row.text == f"{row.name}({', '.join(base.__name__ for base in bases)})"


def options():
    """Return what the command line knows, by the names that its help shows."""
    return {
        action.option_strings[-1] if action.option_strings else action.metavar
        for action in parser()._actions
    }


def test_every_option_of_the_command_line_has_a_row():
    assert options() == {row.name for row in ROWS if row.owner == COMMAND}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_has_a_row(module):
    rows = [row for row in ROWS if row.owner == module.__name__]

    assert set(module.__all__) == {row.name for row in rows}


def members(kind):
    """Return what users see of a class, the fields of a dataclass and `Flow`'s left out."""
    own = {
        name
        for base in kind.__mro__
        if base.__module__.startswith("flowpy")
        and not (kind is not Flow and issubclass(kind, Flow) and base in Flow.__mro__)
        for name in vars(base)
        if not name.startswith("_")
    }
    named = [each.name for each in fields(kind)] if is_dataclass(kind) else []
    return own - {*named, *getattr(kind, "_fields", ())}  # those of a NamedTuple


CLASSES = {
    f"{module.__name__}.{name}".removeprefix("flowpy."): getattr(module, name)
    for module in MODULES
    for name in getattr(module, "__all__", ())
    if isclass(getattr(module, name)) and name != "Skip"  # an enum of one member
}


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_member_of_a_class_has_a_row(name):
    kind = CLASSES[name]
    owners = {name, f"flowpy.{name}"}
    named = {row.name for row in ROWS if row.owner in owners and row.kind in MEMBERS}

    assert members(kind) == named


def test_no_name_has_two_rows():
    seen = defaultdict(list)
    for row in ROWS:
        seen[row.full].append(row.text)

    assert {name: texts for name, texts in seen.items() if len(texts) > 1} == {}


def test_the_tables_were_read():
    owners = {row.owner for row in ROWS}

    assert owners >= {"Flow", "StateFlow", "flowpy", "flowpy.io", COMMAND}
    assert len(ROWS) > 180
    assert list(declared("f(a, /, *b, c=..., **d)")) == [
        ("a", Parameter.POSITIONAL_ONLY, Parameter.empty),
        ("b", Parameter.VAR_POSITIONAL, Parameter.empty),
        ("c", Parameter.KEYWORD_ONLY, MISSING),
        ("d", Parameter.VAR_KEYWORD, Parameter.empty),
    ]
