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
from copy import deepcopy
from functools import cache, lru_cache
from inspect import getsourcelines, isasyncgenfunction, iscoroutinefunction
from pathlib import Path
from threading import Lock
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

MOST_BLOCKS = 14
"""Loops and the like in each other: Python takes 20, the last stage needs some."""

BLOCKS = (ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try)


class Stop(BaseException):
    """A `break` through several loops: raised and caught inside one fused function."""


# ----------------------------------------------------------------- what can be fused


class Text:
    """An operator as text: its syntax tree, and what a compiler must know of it."""

    __slots__ = ("blocks", "has_source", "tree", "yielded", "yields")

    def __init__(
        self, operator: Operator[..., Any], tree: ast.AsyncFunctionDef
    ) -> None:
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Yield)]
        names = {value.id if isinstance(value, ast.Name) else "" for value in values}
        own = len(names) == 1 and names.isdisjoint(operator.params)
        self.tree = tree
        self.blocks = depth(tree.body)
        """In how many blocks a stage below it stands, at most."""
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
    start, copies, blocks = 0, 1, 0
    before: Text | None = None
    for k, stage in enumerate(stages):
        text = text_of(stage)
        copies *= before.yields if before else 1
        blocks += text.blocks if text else 0
        small = copies <= MOST_COPIES and blocks <= MOST_BLOCKS
        fits = text and before and small and k - start < MOST_STAGES
        if k and not fits:
            runs.append(slice(start, k))
            start, copies, blocks = k, 1, text.blocks if text else 0
        before = text
    return (*runs, slice(start, len(stages)))


# ------------------------------------------------- the file that fused code points to

FILE = str(Path(__file__).with_name("_operators") / "<fused>")
"""A function has one file name, its operators have several files: this one is all of
them, one after another, in the cache that tracebacks and debuggers read."""

_files: dict[str, int] = {}
_lines: list[str] = []
_lock = Lock()


def shift(run: FunctionType) -> int:
    """Return how many lines of `FILE` stand before the file of `run`."""
    name = run.__code__.co_filename
    with _lock:
        if name not in _files:
            _files[name] = len(_lines)
            _lines.extend(linecache.getlines(name))
            size = sum(map(len, _lines))
            linecache.cache[FILE] = (size, None, list(_lines), FILE)
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
    if iscoroutinefunction(shape[-1][0].run) and any(shape[-1][0].callbacks):
        body = rewrite(body, remember_own)
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
    tests = [ast.parse(f"{test} = True").body[0] for test in function.tests]
    definition.body = [*tests, *guarded(body)]
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
        self.known: dict[str, Any] = {"is_coroutine": is_coroutine, "stopped": stopped}
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
        undecided = {
            f"{name}_{k}"
            for name, is_callback, is_async in zip(
                operator.params, operator.callbacks, are_async, strict=True
            )
            if is_callback and not is_async
        }
        renaming = Rename(names, lambda name: self.public(operator, name))
        body = [renaming.visit(node) for node in deepcopy(text.tree.body)]
        body = rewrite(body, lambda node: self.leave(node, k))
        if undecided:
            body = rewrite(body, lambda node: self.decide(node, undecided))
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
            text = text_of(part[0])
            assert text is not None
            copies = iter([loop.body])

            def pass_on(inner: ast.stmt) -> list[ast.stmt] | None:
                if not (
                    isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Yield)
                ):
                    return None
                body = next(copies, None) or deepcopy(loop.body)
                if text.yielded:
                    return body
                value = inner.value.value or ast.Constant(None)
                bind = ast.copy_location(ast.Assign([deepcopy(target)], value), inner)
                return [bind, *body]

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

    def decide(
        self, node: ast.stmt, callbacks: set[str], *, handled: bool = False
    ) -> list[ast.stmt] | None:
        """Have callbacks decide at their first result whether results are awaited.

        It stands in place of `await fn(...)`, which a statement evaluates first.
        """
        if isinstance(node, ast.Try) and node.handlers and not handled:
            return rewrite([node], lambda n: self.decide(n, callbacks, handled=True))
        found = first_await(node, callbacks)
        if found is None:
            return None
        awaited, name = found
        test, result = f"test_{name}", f"result_{name}"
        if test not in self.tests:
            self.tests.append(test)
        call: Any = at(awaited, f"{result} = None")
        call.value = awaited.value
        if handled:  # by the operator, which has to see what it would see nested
            handler = f"except StopIteration as {result}: raise stopped({result}, None)"
            catch: Any = at(awaited, f"try: pass\n{handler}")
            catch.body, call = [call], catch
        decision = at(
            awaited,
            f"if {test}:\n"
            f" if is_coroutine({result}):\n"
            f"  {result} = await {result}\n"
            f"  {test} = 'always'\n"
            f" elif {test} is True:\n"
            f"  {test} = False",
        )
        use: Any = Replace(awaited, ast.Name(result, ast.Load())).visit(node)
        for block in ("body", "orelse"):
            if hasattr(use, block):
                inner = getattr(use, block)
                setattr(use, block, rewrite(inner, lambda n: self.decide(n, callbacks)))
        return [call, decision, use]


def source_loop(node: ast.stmt) -> ast.AsyncFor | None:
    """Return the loop in `async with closing(source): async for x in source: …`."""
    if not isinstance(node, ast.AsyncWith) or len(node.body) != 1:
        return None
    loop = node.body[0]
    if isinstance(loop, ast.AsyncFor) and isinstance(loop.iter, ast.Name):
        return loop if loop.iter.id == "source" else None
    return None


def depth(body: list[ast.stmt]) -> int:
    """Return how deep the blocks of an operator stand in each other, once inlined."""
    deepest = 0
    for node in body:
        loop = source_loop(node)
        if loop is None:
            own = int(isinstance(node, BLOCKS))
            parts = [node, *getattr(node, "handlers", ())]
        else:  # nothing is left of it but a guard that catches its `break`
            own = int(any(isinstance(part, ast.Break) for part in ast.walk(loop)))
            parts = [loop]
        names = ("body", "orelse", "finalbody")
        inner = [depth(getattr(part, name, [])) for part in parts for name in names]
        deepest = max(deepest, own + max(inner))
    return deepest


def guarded(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return `body` with a handler that makes of an error what it is nested."""
    names = "(StopIteration, StopAsyncIteration)"
    guard: Any = ast.parse(
        f"own = None\ntry: pass\nexcept {names} as error: raise stopped(error, own)"
    )
    for part in ast.walk(guard):
        ast.copy_location(part, body[0])
    guard.body[1].body = body
    return list(guard.body)


def remember_own(node: ast.stmt) -> list[ast.stmt] | None:
    """Have an ending remember the StopAsyncIteration that it raises itself."""
    loop = source_loop(node)
    if loop is None:
        return None
    handler = "try: pass\nexcept StopAsyncIteration as error: own = error; raise"
    note: Any = at(loop, handler)
    note.body, loop.body = loop.body, [note]
    return [node]


def stopped(error: Exception, own: Exception | None) -> Exception:
    """Return what nested generators make of an error that would end an iteration.

    An ending is a coroutine, which lets StopAsyncIteration out: that is its `own`.
    """
    if error is own:
        return error
    if isinstance(error, StopAsyncIteration):
        made = RuntimeError("async generator raised StopAsyncIteration")
    else:
        made = RuntimeError("coroutine raised StopIteration")
        # Nested, closing would have met the error that was made of it.
        for note in error.__dict__.pop("__notes__", ()):
            made.add_note(note)
    made.__cause__ = error
    return made


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

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if node.id in self._own:
            node.id = self._own[node.id]
        elif node.id != "source":
            node.id = self._public(node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if node.name is not None:
            node.name = self._own[node.name]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.copy_location(ast.Pass(), node)
        plain = ast.copy_location(ast.Assign([node.target], node.value), node)
        return self.generic_visit(plain)


class Replace(ast.NodeTransformer):
    """Puts one expression in the place of another."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self._old = old
        self._new = new

    def visit_Await(self, node: ast.Await) -> ast.expr:
        return ast.copy_location(self._new, node) if node is self._old else node


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


def at(node: ast.AST, text: str) -> ast.stmt:
    """Return the statement in `text`, at the place of `node`."""
    statement = ast.parse(text).body[0]
    for part in ast.walk(statement):
        ast.copy_location(part, node)
    return statement
