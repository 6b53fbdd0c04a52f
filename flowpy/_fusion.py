"""The compiler: a run of operators becomes one function, on the syntax tree.

The consumer's loop over its source is replaced by the body of the operator above it,
with the loop's own body wherever that yields. So a chain costs what the loop costs that
one would write by hand, and the operators stay the only definition of what they do.
"""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Callable
from copy import deepcopy
from functools import cache, lru_cache
from inspect import getsourcelines, isasyncgenfunction, iscoroutinefunction
from textwrap import dedent
from types import FunctionType
from typing import TYPE_CHECKING, Any

from flowpy._callbacks import is_coroutine

if TYPE_CHECKING:
    from flowpy._operator import Operator

Part = tuple["Operator[..., Any]", tuple[bool, ...]]
"""A stage of a shape: the operator, and which of its callbacks are `async def`."""

MOST_STAGES = 40
"""Stages to a function: more would make a first run wait for the compiler."""

MOST_COPIES = 16
"""Copies of the last stage's body in a function: one for each `yield` above it."""


class Stop(BaseException):
    """A `break` through several loops: raised and caught inside one fused function."""


ENABLED = os.environ.get("FLOWPY_FUSION", "1") != "0"


@cache
def read(run: FunctionType) -> ast.AsyncFunctionDef | None:
    """Return the syntax tree of an operator, at its own lines; None without source."""
    if not (isasyncgenfunction(run) or iscoroutinefunction(run)):
        return None
    try:
        lines, start = getsourcelines(run)
    except (OSError, TypeError):
        return None
    tree = ast.parse(dedent("".join(lines))).body[0]
    assert isinstance(tree, ast.AsyncFunctionDef)
    return ast.increment_lineno(tree, start - 1)


@cache
def yields(run: FunctionType) -> int:
    """Return how often an operator yields, counted in its text."""
    tree = read(run)
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Yield)] if tree else []
    return max(len(found), 1)


def can_fuse(operator: Operator[..., Any]) -> bool:
    """Tell whether an operator can be part of a fused function."""
    return not operator.seam and read(operator.run) is not None


def cut(stages: tuple[Operator[..., Any], ...]) -> list[slice]:
    """Return the runs of stages that become one function each, or stand alone."""
    runs: list[slice] = []
    start, copies = 0, 1
    for k, stage in enumerate(stages):
        copies *= yields(stage.run)
        fits = can_fuse(stage) and k > start and can_fuse(stages[k - 1])
        if k and not (fits and k - start < MOST_STAGES and copies <= MOST_COPIES):
            runs.append(slice(start, k))
            start, copies = k, yields(stage.run)
    runs.append(slice(start, len(stages)))
    return runs


@lru_cache(maxsize=512)
def fuse(shape: tuple[Part, ...]) -> Callable[..., Any]:
    """Return one function for a run of stages.

    It takes the items above, if the first stage is no source, then the arguments of
    each stage; it is an async generator function, or, if the last stage is an ending, a
    coroutine function.
    """
    names = Names()
    last = len(shape) - 1
    body = instantiate(names, shape[-1], last, "")
    for k in reversed(range(last)):
        body = splice(names, shape[k], k, body)
    stages = [operator for operator, _ in shape]
    args = [f"{name}_{k}" for k, op in enumerate(stages) for name in op.params]
    if "source" in stages[0].run.__code__.co_varnames[:1]:
        args.insert(0, "source")
    tests = [ast.parse(f"{flag} = True").body[0] for flag in names.flags]
    name = "_".join(stage.run.__name__ for stage in stages)
    module = ast.parse(f"async def {name}({', '.join(args)}): pass")
    function = module.body[0]
    assert isinstance(function, ast.AsyncFunctionDef)
    function.body = [*tests, *body]
    ast.fix_missing_locations(module)
    scope: dict[str, Any] = {}
    exec(compile(module, names.filename, "exec"), names.known, scope)
    fused: Any = scope[name]
    fused.__code__ = fused.__code__.replace(
        co_name="|".join(stage.run.__name__ for stage in stages)
    )
    fused.__name__ = fused.__qualname__ = stages[-1].run.__name__
    return fused


class Names:
    """What the names in a fused function stand for."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {"is_coroutine_": is_coroutine}
        self.flags: list[str] = []
        self.filename = "<fused>"

    def of(self, operator: Operator[..., Any], k: int) -> dict[str, str]:
        """Return new names for those in an operator: numbered if they are its own."""
        code = operator.run.__code__
        own = {*code.co_varnames, *code.co_cellvars} - {"source"}
        return {name: f"{name}_{k}" for name in own}

    def public(self, operator: Operator[..., Any], name: str) -> str:
        """Return the name by which something of the operator's module is known."""
        scope = operator.run.__globals__
        if name not in scope and not hasattr(builtins, name):
            return name
        value = scope[name] if name in scope else getattr(builtins, name)
        known = name
        while known in self.known and self.known[known] is not value:
            known += "_"
        self.known[known] = value
        return known


class Rename(ast.NodeTransformer):
    """Gives the names of an operator those they have in the fused function."""

    def __init__(self, names: Names, part: Part, k: int, shared: str, output: str):
        self.names, self.operator = names, part[0]
        self.own = names.of(part[0], k)
        if shared:
            self.own[shared] = output

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self.own:
            node.id = self.own[node.id]
        elif node.id != "source":
            node.id = self.names.public(self.operator, node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name is not None:
            node.name = self.own[node.name]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt | None:
        if node.value is None:
            return None
        plain = ast.Assign([node.target], node.value)
        return ast.copy_location(self.generic_visit(plain), node)


def is_source_block(node: ast.stmt) -> bool:
    """Tell whether it is `async with closing(source): async for x in source: …`."""
    return isinstance(node, ast.AsyncWith) and is_closing(node.items[0].context_expr)


def is_closing(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.args[0] if node.args else None, ast.Name)
        and node.args[0].id == "source"
    )


def rewrite(
    body: list[ast.stmt], change: Callable[[ast.stmt], list[ast.stmt] | None]
) -> list[ast.stmt]:
    """Return `body` with each statement that `change` gives statements for replaced."""
    result: list[ast.stmt] = []
    for node in body:
        changed = change(node)
        if changed is None:
            for block in ("body", "orelse", "finalbody"):
                if getattr(node, block, None):
                    setattr(node, block, rewrite(getattr(node, block), change))
            for handler in getattr(node, "handlers", ()):
                handler.body = rewrite(handler.body, change)
            result.append(node)
        else:
            result += changed
    return result


def shared_name(operator: Operator[..., Any]) -> str:
    """Return the variable that is all that an operator yields, if it is one."""
    tree = read(operator.run)
    values = [n.value for n in ast.walk(tree) if isinstance(n, ast.Yield)]
    names = {getattr(value, "id", "") for value in values}
    (name, *more) = names or {""}
    return name if not more and name not in operator.params else ""


def instantiate(names: Names, part: Part, k: int, output: str) -> list[ast.stmt]:
    """Return the body of an operator as stage `k` of a fused function."""
    operator, are_async = part
    tree = deepcopy(read(operator.run))
    assert tree is not None
    callbacks = {
        name: async_
        for name, is_callback, async_ in zip(
            operator.params, operator.callbacks, are_async, strict=True
        )
        if is_callback
    }
    body = rewrite(tree.body, lambda node: call_plainly(names, node, callbacks, k))
    body = rewrite(body, lambda node: leave_by_stop(names, node, k))
    renamer = Rename(names, part, k, shared_name(operator) if output else "", output)
    result = [renamer.visit(node) for node in body]
    return [node for node in rewrite_none(result)]


def rewrite_none(body: list[ast.stmt | None]) -> list[ast.stmt]:
    return [node for node in body if node is not None]


def leave_by_stop(names: Names, node: ast.stmt, k: int) -> list[ast.stmt] | None:
    """Make a `break` out of the loop over the source one that leaves stage `k`."""
    if not is_source_block(node):
        return None
    assert isinstance(node, ast.AsyncWith)
    (loop,) = node.body
    assert isinstance(loop, ast.AsyncFor)
    stops: list[ast.stmt] = []

    def stop(part: ast.stmt) -> list[ast.stmt] | None:
        if isinstance(part, ast.Break):
            stops.append(part)
            return [located(part, f"raise stop_{k}")]
        return [part] if isinstance(part, (ast.For, ast.While, ast.AsyncFor)) else None

    loop.body = rewrite(loop.body, stop)
    if not stops:
        return [node]
    names.known[f"stop_{k}"] = type("Stop", (Stop,), {})
    guard = located(node, f"try: pass\nexcept stop_{k}: pass")
    guard.body = [node]
    return [guard]


def call_plainly(
    names: Names, node: ast.stmt, callbacks: dict[str, bool], k: int
) -> list[ast.stmt] | None:
    """Let a callback that is not known to be async decide at its first result."""
    found = [
        (part, name)
        for part in own_expressions(node)
        for name in [called_name(part)]
        if name in callbacks and not callbacks[name]
    ]
    if not found:
        return None
    ((awaited, name),) = found
    flag, value = f"test_{k}_{name}", f"result_{k}_{name}"
    if flag not in names.flags:
        names.flags.append(flag)
    call = located(node, f"{value} = 0")
    call.value = awaited.value
    decide = located(
        node,
        f"if {flag}:\n"
        f" if is_coroutine_({value}):\n"
        f"  {value} = await {value}\n"
        f"  {flag} = 2\n"
        f" elif {flag} is True:\n"
        f"  {flag} = False",
    )

    class Use(ast.NodeTransformer):
        def visit_Await(self, part: ast.Await) -> ast.expr:
            if part is awaited:
                return ast.copy_location(ast.Name(value, ast.Load()), part)
            return part

    if isinstance(node, ast.If):
        node.test = Use().visit(node.test)
        node.body = rewrite(node.body, lambda n: call_plainly(names, n, callbacks, k))
        node.orelse = rewrite(
            node.orelse, lambda n: call_plainly(names, n, callbacks, k)
        )
        return [call, decide, node]
    return [call, decide, Use().visit(node)]


def own_expressions(node: ast.stmt) -> list[ast.AST]:
    """Return the expressions of a statement itself, not those of its blocks."""
    fields = [
        child
        for name, child in ast.iter_fields(node)
        if name not in {"body", "orelse", "finalbody", "handlers"}
    ]
    flat = [
        f for field in fields for f in (field if isinstance(field, list) else [field])
    ]
    return [n for f in flat if isinstance(f, ast.AST) for n in ast.walk(f)]


def called_name(node: ast.AST) -> str:
    """Return the name of the function that `await name(...)` calls."""
    if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
        return getattr(node.value.func, "id", "")
    return ""


def splice(
    names: Names, part: Part, k: int, consumer: list[ast.stmt]
) -> list[ast.stmt]:
    """Return the consumer with its loop replaced by operator `part`, as stage `k`."""

    def inline(node: ast.stmt) -> list[ast.stmt] | None:
        if not is_source_block(node):
            return None
        assert isinstance(node, ast.AsyncWith)
        (loop,) = node.body
        assert isinstance(loop, ast.AsyncFor)
        target = loop.target
        assert isinstance(target, ast.Name)
        shared = shared_name(part[0])
        body = instantiate(names, part, k, target.id)
        first = True

        def pass_on(inner: ast.stmt) -> list[ast.stmt] | None:
            nonlocal first
            if not (isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Yield)):
                return None
            copy = loop.body if first else deepcopy(loop.body)
            first = False
            if shared:
                return copy
            value = inner.value.value or ast.Constant(None)
            bind = ast.Assign([deepcopy(target)], value)
            return [ast.copy_location(bind, inner), *copy]

        return rewrite(body, pass_on)

    return rewrite(consumer, inline)


def located(node: ast.stmt, text: str) -> Any:
    """Return the statement in `text`, at the place of `node`."""
    statement = ast.parse(text).body[0]
    for part in ast.walk(statement):
        ast.copy_location(part, node)
    return statement
