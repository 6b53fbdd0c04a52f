"""The compiler: a run of operators becomes one function, on the syntax tree.

The consumer's loop over its source is replaced by the body of the operator above it,
with the loop's own body wherever that yields. So a chain costs what the loop costs that
one would write by hand, and the operators stay the only definition of what they do.

Not here: what may be fused (`Operator` says the form) and how runs are joined
(`_chain`).
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
from collections.abc import Callable
from functools import cache, lru_cache
from inspect import getsourcelines, isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from types import FunctionType
from typing import Any

from flowpy._callbacks import is_coroutine
from flowpy._operator import Operator

Part = tuple[Operator[..., Any], tuple[bool, ...]]
"""A stage of a shape: the operator, and which of its arguments are async callbacks."""

ENABLED = os.environ.get("FLOWPY_FUSION", "1") != "0"
"""Whether chains are fused; `FLOWPY_FUSION=0` runs them as nested generators."""

MOST_STAGES = 30
"""Stages to a function: more would make a first run wait for the compiler."""

MOST_COPIES = 16
"""Copies of the last stage's text in a function: one for each `yield` above it."""


class Stop(BaseException):
    """A `break` through several loops: raised and caught inside one fused function."""


# ----------------------------------------------------------------- what can be fused


class Text:
    """An operator as text: its syntax tree, and what a compiler must know of it."""

    __slots__ = ("has_source", "tree", "yielded", "yields")

    def __init__(
        self, operator: Operator[..., Any], tree: ast.AsyncFunctionDef
    ) -> None:
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Yield)]
        names = {value.id if isinstance(value, ast.Name) else "" for value in values}
        own = len(names) == 1 and names.isdisjoint(operator.params)
        self.tree = tree
        self.yields = max(len(values), 1)
        self.yielded = names.pop() if own else ""
        """The variable that is all it yields: it can be that of the consumer's loop."""
        self.has_source = "source" in {arg.arg for arg in tree.args.args}


@cache
def text_of(operator: Operator[..., Any]) -> Text | None:
    """Return the text of an operator that can be fused; else None."""
    run = operator.run
    if operator.seam or not isinstance(run, FunctionType):
        return None
    if not (isasyncgenfunction(run) or iscoroutinefunction(run)):
        return None
    try:
        lines, start = getsourcelines(run)
    except OSError:  # a frozen program, or one that was typed in
        return None
    tree = ast.parse("".join(lines)).body[0]
    if not isinstance(tree, ast.AsyncFunctionDef):
        return None
    return Text(operator, ast.increment_lineno(tree, shift(run) + start - 1))


@lru_cache(maxsize=512)
def cut(stages: tuple[Operator[..., Any], ...]) -> tuple[slice, ...]:
    """Return the runs of stages that become one function each, or stand alone."""
    runs: list[slice] = []
    start, copies = 0, 1
    before: Text | None = None
    for k, stage in enumerate(stages):
        text = text_of(stage) if ENABLED else None
        copies *= before.yields if before else 1
        fits = text and before and k - start < MOST_STAGES and copies <= MOST_COPIES
        if k and not fits:
            runs.append(slice(start, k))
            start, copies = k, 1
        before = text
    return (*runs, slice(start, len(stages)))


# ------------------------------------------------- the file that fused code points to

FILE = str(Path(__file__).with_name("_operators") / "<fused>")
"""A function has one file name, its operators have several files: this one is all of
them, one after another, in the cache that tracebacks and debuggers read."""

_files: dict[str, int] = {}


def shift(run: FunctionType) -> int:
    """Return how many lines of `FILE` stand before the file of `run`."""
    name = run.__code__.co_filename
    if name not in _files:
        lines = linecache.cache[FILE][2] if FILE in linecache.cache else []
        _files[name] = len(lines)
        lines = [*lines, *linecache.getlines(name)]
        linecache.cache[FILE] = (sum(map(len, lines)), None, lines, FILE)
    return _files[name]


# ------------------------------------------------------------------------- compiling


@lru_cache(maxsize=512)
def fuse(shape: tuple[Part, ...]) -> Callable[..., Any]:
    """Return one function for a run of stages.

    It takes the items above, if the first stage is no source, then the arguments of
    each stage; it is an async generator function, or, if the last stage is an ending, a
    coroutine function.
    """
    function = Function()
    body = function.instantiate(shape[-1], len(shape) - 1)
    for k in reversed(range(len(shape) - 1)):
        body = function.splice(shape[k], k, body)
    stages = [operator for operator, _ in shape]
    args = [f"{name}_{k}" for k, stage in enumerate(stages) for name in stage.params]
    first = text_of(stages[0])
    if first is not None and first.has_source:
        args.insert(0, "source")
    module = ast.parse(f"async def fused({', '.join(args)}): pass")
    (definition,) = module.body
    assert isinstance(definition, ast.AsyncFunctionDef)
    body = rewrite(body, function.decide)
    tests = [ast.parse(f"{test} = True").body[0] for test in function.tests]
    tests += ast.parse(f"undecided = {len(tests)}").body if tests else []
    definition.body = [*tests, *body]
    ast.fix_missing_locations(module)
    scope: dict[str, Any] = {}
    exec(compile(module, FILE, "exec"), function.known, scope)
    fused: FunctionType = scope["fused"]
    names = [stage.run.__name__ for stage in stages]
    fused.__code__ = fused.__code__.replace(co_name="|".join(names))
    fused.__name__ = fused.__qualname__ = names[-1]
    return fused


class Function:
    """A fused function while it is made: what its global names stand for, its tests."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {"is_coroutine": is_coroutine}
        self.undecided: set[str] = set()
        """Callbacks that are not known to be async."""
        self.tests: list[str] = []
        """Flags of the callbacks that have not shown yet whether they are async."""

    def instantiate(self, part: Part, k: int, output: str = "") -> list[ast.stmt]:
        """Return the body of an operator as stage `k`.

        Its names are numbered; what it yields is called `output`, if that is a variable
        of its own; a `break` out of its loop is made to leave stage `k`.
        """
        operator, are_async = part
        text = text_of(operator)
        assert text is not None
        code = operator.run.__code__
        own = {*code.co_varnames, *code.co_cellvars} - {"source"}
        names = {name: f"{name}_{k}" for name in own}
        if output and text.yielded:
            names[text.yielded] = output
        self.undecided |= {
            f"{name}_{k}"
            for name, is_callback, is_async in zip(
                operator.params, operator.callbacks, are_async, strict=True
            )
            if is_callback and not is_async
        }
        renaming = Rename(names, lambda name: self.public(operator, name))
        body = [renaming.visit(node) for node in copied(text.tree.body)]
        body = rewrite(body, lambda node: self.leave(node, k))
        if output and not text.yielded:
            body = rewrite(body, lambda node: bind(node, output))
        return body

    def public(self, operator: Operator[..., Any], name: str) -> str:
        """Return the name for what an operator's module, or Python, knows as `name`."""
        scope = operator.run.__globals__
        if name not in scope and not hasattr(builtins, name):
            return name  # of a comprehension in it
        value = scope[name] if name in scope else getattr(builtins, name)
        while self.known.setdefault(name, value) is not value:
            name += "_"
        return name

    def splice(self, part: Part, k: int, consumer: list[ast.stmt]) -> list[ast.stmt]:
        """Return the consumer with its loop replaced by an operator as stage `k`."""

        def inline(node: ast.stmt) -> list[ast.stmt] | None:
            loop = source_loop(node)
            if loop is None:
                return None
            target = loop.target
            assert isinstance(target, ast.Name)
            # The outermost loop is the one that every item goes through.
            body = loop.body if k else self.settle(loop.body)
            copies = iter([body])

            def pass_on(inner: ast.stmt) -> list[ast.stmt] | None:
                if yielded_by(inner) is None:
                    return None
                return next(copies, None) or copied(body)

            return rewrite(self.instantiate(part, k, target.id), pass_on)

        return rewrite(consumer, inline)

    def leave(self, node: ast.stmt, k: int) -> list[ast.stmt] | None:
        """Make each `break` out of the loop over the source one that leaves stage `k`."""
        loop = source_loop(node)
        if loop is None:
            return None
        breaks: list[ast.stmt] = []

        def stop(inner: ast.stmt) -> list[ast.stmt] | None:
            if isinstance(inner, ast.Break):
                breaks.append(inner)
                return [at(inner, f"raise stop_{k}")]
            return (
                [inner]
                if isinstance(inner, (ast.For, ast.While, ast.AsyncFor))
                else None
            )

        loop.body = rewrite(loop.body, stop)
        if not breaks:
            return [node]
        self.known[f"stop_{k}"] = type(f"Stop{k}", (Stop,), {})
        guard: Any = at(node, f"try: pass\nexcept stop_{k}: pass")
        guard.body = [node]
        return [guard]

    def settle(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return what is done with an item, so that decided callbacks cost nothing.

        When all have turned out to be plain, one test an item is left, which leads to
        the same statements with plain calls.
        """
        plain = copied(body)
        body = rewrite(body, self.decide)
        if not self.tests:
            return body
        calls = PlainCalls(self.undecided)
        either: Any = at(body[0], "if not undecided: pass\nelse: pass")
        either.body, either.orelse = [calls.visit(node) for node in plain], body
        return [either]

    def decide(self, node: ast.stmt) -> list[ast.stmt] | None:
        """Have callbacks decide at their first result whether results are awaited.

        It stands in place of `await fn(...)`, which a statement evaluates first.
        """
        found = first_await(node, self.undecided)
        if found is None:
            return None
        awaited, name = found
        test, result = f"test_{name}", f"result_{name}"
        own = variable_for(node, awaited)
        result = own or result
        if test not in self.tests:
            self.tests.append(test)
        call: Any = at(awaited, f"{result} = None")
        call.value = awaited.value
        decision = at(
            awaited,
            f"if {test}:\n"
            f" if is_coroutine({result}):\n"
            f"  {result} = await {result}\n"
            f"  {test} = 'always'\n"
            f" elif {test} is True:\n"
            f"  {test} = False\n"
            f"  undecided -= 1",
        )
        if own:
            return [call, decision]
        use: Any = Replace(awaited, ast.Name(result, ast.Load())).visit(node)
        for block in ("body", "orelse"):
            if hasattr(use, block):
                inner = getattr(use, block)
                setattr(use, block, rewrite(inner, self.decide))
        return [call, decision, use]


def yielded_by(node: ast.stmt) -> ast.expr | None:
    """Return what a statement yields, if that is all that it does."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
        return node.value.value or ast.Constant(None)
    return None


def variable_for(node: ast.stmt, value: ast.expr) -> str:
    """Return the variable that a statement puts a value into, if that is all."""
    if isinstance(node, ast.Assign) and node.value is value:
        (target,) = node.targets
        return target.id if isinstance(target, ast.Name) else ""
    return ""


def bind(node: ast.stmt, name: str) -> list[ast.stmt] | None:
    """Have a statement that yields put the item into a variable first."""
    value = yielded_by(node)
    if value is None:
        return None
    bound: Any = at(node, f"{name} = None")
    bound.value = value
    return [bound, at(node, f"yield {name}")]


def source_loop(node: ast.stmt) -> ast.AsyncFor | None:
    """Return the loop in `async with closing(source): async for x in source: …`."""
    if not isinstance(node, ast.AsyncWith) or len(node.body) != 1:
        return None
    loop = node.body[0]
    if isinstance(loop, ast.AsyncFor) and isinstance(loop.iter, ast.Name):
        return loop if loop.iter.id == "source" else None
    return None


def first_await(node: ast.stmt, callbacks: set[str]) -> tuple[ast.Await, str] | None:
    """Return the `await fn(...)` in a statement itself, not in its blocks."""
    fields = [getattr(node, name, None) for name in ("value", "test")]
    for part in [part for field in fields if field for part in ast.walk(field)]:
        if isinstance(part, ast.Await) and isinstance(part.value, ast.Call):
            fn = part.value.func
            if isinstance(fn, ast.Name) and fn.id in callbacks:
                return part, fn.id
    return None


class Rename(ast.NodeTransformer):
    """Gives the names in an operator those that they have in the fused function."""

    def __init__(self, own: dict[str, str], public: Callable[[str], str]) -> None:
        self._own = own
        self._public = public

    def visit_Name(self, node: ast.Name) -> ast.Name:  # noqa: N802 - see NodeVisitor
        if node.id in self._own:
            node.id = self._own[node.id]
        elif node.id != "source":
            node.id = self._public(node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:  # noqa: N802
        if node.name is not None:
            node.name = self._own[node.name]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:  # noqa: N802
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        plain = ast.copy_location(ast.Assign([node.target], node.value), node)
        return self.generic_visit(plain)


class Replace(ast.NodeTransformer):
    """Puts one expression in the place of another."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = old
        self._new = new

    def visit_Await(self, node: ast.Await) -> ast.expr:  # noqa: N802 - see NodeVisitor
        return ast.copy_location(self._new, node) if node is self._old else node


class PlainCalls(ast.NodeTransformer):
    """Takes the `await` from calls of callbacks that have turned out to be plain."""

    def __init__(self, callbacks: set[str]) -> None:
        self._callbacks = callbacks

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        call = node.value
        fn = call.func if isinstance(call, ast.Call) else None
        plain = isinstance(fn, ast.Name) and fn.id in self._callbacks
        return call if plain else node


Change = Callable[[ast.stmt], list[ast.stmt] | None]


def rewrite(body: list[ast.stmt], change: Change) -> list[ast.stmt]:
    """Return `body` with every statement that `change` gives others for replaced."""
    result: list[ast.stmt] = []
    for node in body:
        changed = change(node)
        if changed is None:
            parts = [node, *getattr(node, "handlers", ())]
            for part in parts:
                for block in ("body", "orelse", "finalbody"):
                    if getattr(part, block, None):
                        setattr(part, block, rewrite(getattr(part, block), change))
        result += [node] if changed is None else changed
    return result


def copied(part: Any) -> Any:
    """Return a copy of a part of a syntax tree, sooner than `deepcopy` does."""
    if type(part) is list:
        return list(map(copied, part))  # pyright: ignore[reportUnknownArgumentType] - nodes
    if not isinstance(part, ast.AST) or isinstance(part, ast.expr_context):
        return part
    kind = type(part)
    copy = kind.__new__(kind)  # a call would miss the fields that come next
    vars(copy).update({name: copied(value) for name, value in vars(part).items()})
    return copy


def at(node: ast.AST, text: str) -> ast.stmt:
    """Return the statement in `text`, at the place of `node`."""
    statement = ast.parse(text).body[0]
    for part in ast.walk(statement):
        ast.copy_location(part, node)
    return statement
