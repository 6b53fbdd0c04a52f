"""The table of the laws knows every operator, and every operator keeps its form."""

from __future__ import annotations

import ast
import inspect
import textwrap
from importlib import import_module
from pkgutil import iter_modules

import pytest

import flowpy._operators
from flowpy import Flow, _sources
from flowpy._chain import Chain
from flowpy._operator import Operator
from tests.laws.table import CASES

ROOMS = [
    import_module(f"flowpy._operators.{room.name}")
    for room in iter_modules(flowpy._operators.__path__)
]
OPERATORS = [
    pytest.param(value, id=f"{room.__name__.rpartition('.')[2]}.{name}")
    for room in [*ROOMS, _sources]
    for name, value in vars(room).items()
    if isinstance(value, Operator)
]

AROUND = {
    "explain",
    "iter_blocking",
    "launch_in",
    "open",
    *("of", "from_queue", "empty", "never", "fail", "interval", "unfold"),
    *("share_in", "state_in"),
}
"""Public methods that are no operators: how flows start, and what stands around them;
and those that need a task group, for which flows are not cold."""


def test_the_table_is_complete(monkeypatch):
    used = set()

    def end(self, ending, *values):
        used.update(self._stages, [ending])
        return self._open().aclose()

    monkeypatch.setattr(Chain, "_end", end)
    for case in CASES:
        made = case.apply(Flow.empty(), lambda fn: fn)
        if isinstance(made, Flow):
            used.update(made._stages)
        else:
            made.close()
    defined = {
        value
        for room in ROOMS
        for value in vars(room).values()
        if isinstance(value, Operator)
    }

    assert {operator.run.__qualname__ for operator in defined - used} == set()


def test_every_public_method_is_in_the_table():
    methods = {name for name in dir(Flow) if not name.startswith("_")}
    named = {case.name.partition("(")[0].partition(" ")[0] for case in CASES}

    assert methods - AROUND == named


def test_every_case_has_a_name_of_its_own():
    names = [case.name for case in CASES]

    assert len(names) == len(set(names))


def read(operator):
    """Return the syntax tree of an operator's function."""
    text = textwrap.dedent(inspect.getsource(operator.run))
    return ast.parse(text).body[0]


def nodes(tree, *kinds):
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def is_source_loop(node):
    return isinstance(node, ast.AsyncFor) and ast.unparse(node.iter) == "source"


FUSIBLE = [
    param
    for param in OPERATORS
    if not param.values[0].seam
    and next(iter(inspect.signature(param.values[0].run).parameters), "") == "source"
]


@pytest.mark.parametrize("operator", FUSIBLE)
def test_the_source_is_consumed_by_one_loop_inside_closing(operator):
    tree = read(operator)
    loops = [node for node in nodes(tree, ast.AsyncFor) if is_source_loop(node)]
    closings = [
        node
        for node in nodes(tree, ast.AsyncWith)
        if [ast.unparse(item) for item in node.items] == ["closing(source)"]
    ]
    uses = [n for n in nodes(tree, ast.Name) if n.id == "source"]

    assert len(loops) == len(closings) == 1
    assert closings[0].body == loops
    assert len(uses) == 2  # closed and iterated, nothing else
    assert isinstance(loops[0].target, ast.Name)
    assert not nodes(loops[0], ast.Continue)


@pytest.mark.parametrize("operator", FUSIBLE)
def test_the_loop_alone_sets_its_variable(operator):
    tree = read(operator)
    (loop,) = (node for node in nodes(tree, ast.AsyncFor) if is_source_loop(node))
    name = loop.target.id
    inside = set(ast.walk(loop))
    uses = [node for node in nodes(tree, ast.Name) if node.id == name]

    assert all(node in inside for node in uses)
    assert [n for n in uses if isinstance(n.ctx, ast.Store)] == [loop.target]


@pytest.mark.parametrize("operator", FUSIBLE)
def test_it_yields_in_statements_and_only_endings_return(operator):
    tree = read(operator)
    yields = nodes(tree, ast.Yield)
    statements = [node.value for node in nodes(tree, ast.Expr)]

    assert all(node in statements for node in yields)
    assert not (yields and nodes(tree, ast.Return))
    assert not nodes(tree, ast.YieldFrom, ast.Lambda, ast.FunctionDef)


GUARDED = {"chunked", "chunked_by"}
"""They hold no item at their yield, and their `except` passes on what came then."""


@pytest.mark.parametrize("operator", FUSIBLE)
def test_no_yield_stands_where_an_except_could_see_errors_from_below(operator):
    tree = read(operator)
    guards = [node for node in nodes(tree, ast.Try) if node.handlers]
    inside = [
        y for guard in guards for part in guard.body for y in nodes(part, ast.Yield)
    ]

    assert bool(inside) == (operator.run.__name__ in GUARDED)


@pytest.mark.parametrize("operator", OPERATORS)
def test_callbacks_come_last_but_for_defaults_and_are_awaited_first(operator):
    tree = read(operator)
    names = {
        name
        for name, is_callback in zip(operator.params, operator.callbacks, strict=True)
        if is_callback
    }
    calls = [n for n in nodes(tree, ast.Call) if ast.unparse(n.func) in names]
    awaited = [node.value for node in nodes(tree, ast.Await)]

    assert all(call in awaited for call in calls)


def test_a_seam_says_why():
    reasons = {p.values[0].seam for p in OPERATORS if p not in FUSIBLE}

    assert all(reason == "" or len(reason.split()) > 3 for reason in reasons)
