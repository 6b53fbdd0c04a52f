"""The compiler: a run of operators becomes one function, on the syntax tree.

The consumer's loop over its source is replaced by the body of the operator above it,
with the loop's own body wherever that yields. So a chain costs what the loop costs that
one would write by hand, and the operators stay the only definition of what they do.

Not here: what form an operator has to have (`Operator`), what is fused and when
(`_fusion`), and how the functions are joined (`_chain`).
"""

from __future__ import annotations

import ast
import builtins
import linecache
import os
import tokenize
from collections import Counter
from collections.abc import Callable, Collection
from dis import get_instructions
from functools import cache, partial
from inspect import iscoroutinefunction
from threading import RLock
from time import sleep
from types import CodeType, FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from flowpy._callbacks import is_coroutine

if TYPE_CHECKING:
    from flowpy._operator import Operator, Stages

R = TypeVar("R")

LOOPS = (ast.For, ast.AsyncFor, ast.While)
BLOCKS = (*LOOPS, ast.With, ast.AsyncWith, ast.Try)


class Stop(BaseException):
    """A `break` through several loops: raised and caught inside one fused function."""


# ----------------------------------------------------------------- what can be fused


class Text:
    """An operator as text: its syntax tree, and what a compiler must know of it."""

    __slots__ = (
        "blocks",
        "calls",
        "has_source",
        "multiplies",
        "tree",
        "yielded",
        "yields",
    )

    def __init__(
        self, operator: Operator[..., Any], tree: ast.AsyncFunctionDef
    ) -> None:
        values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Yield)]
        names = {value.id if isinstance(value, ast.Name) else "" for value in values}
        own = len(names) == 1 and names.isdisjoint(operator.params)
        callbacks = {
            name
            for name, is_callback in zip(
                operator.params, operator.callbacks, strict=True
            )
            if is_callback
        }
        self.calls = {
            node.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.Await) and called(node) in callbacks
        }
        """The lines that call a user's function."""
        self.tree = tree
        self.yields = max(len(values), 1)
        self.blocks = depth(tree.body)
        """How many blocks it puts around what is done with an item."""
        self.yielded = names.pop() if own else ""
        """The variable that is all it yields: it can be that of the consumer's loop."""
        loops = [n for n in ast.walk(tree) if isinstance(n, LOOPS)]
        self.multiplies = any(
            isinstance(node, ast.While) or ast.unparse(node.iter) != "source"
            for node in loops
        )
        """Whether it may give many items for one."""
        self.has_source = "source" in {arg.arg for arg in tree.args.args}


def depth(body: list[ast.stmt]) -> int:
    """Return how many blocks are nested in `body`; a loop over the source is none."""
    return max(map(depth_of, body), default=0)


def depth_of(node: ast.stmt) -> int:
    loop = source_loop(node)
    if loop is not None:
        leaves = any(isinstance(inner, ast.Break) for inner in ast.walk(loop))
        return leaves + depth(loop.body)
    inner = [
        statement for part, name in blocks_of(node) for statement in getattr(part, name)
    ]
    # One that handles errors gets another around what it guards: see Rename.
    handles = isinstance(node, ast.Try) and bool(node.handlers)
    return isinstance(node, BLOCKS) + handles + depth(inner)


@cache
def text_of(operator: Operator[..., Any]) -> Text | None:
    """Return the text of an operator that can be fused; else None."""
    run = operator.run
    if operator.seam or not isinstance(run, FunctionType):
        return None
    tree = tree_of(run)
    return Text(operator, tree) if tree else None


# ------------------------------------------------- the file that fused code points to

FILE = os.path.join(os.path.dirname(__file__), "_operators", "<fused>")
"""A function has one file name, its operators have several files: this one is all of
them, one after another, in the cache that tracebacks and debuggers read."""

_files: dict[str, dict[int, tuple[ast.AsyncFunctionDef, CodeType]]] = {}
"""The async functions in each file, as trees and compiled, by the lines they begin in."""

_lines: list[str] = []
_lock = RLock()


def tree_of(run: FunctionType) -> ast.AsyncFunctionDef | None:
    """Return the syntax tree of a function, with line numbers of `FILE`.

    None where its text is missing, or is not that of the function: the file was
    replaced since it was imported, or something changed the function on its import.
    """
    own = run.__code__
    with _lock:
        if own.co_filename not in _files:
            try:
                _files[own.co_filename] = functions_in(source_of(run))
            except (SyntaxError, ValueError):  # a file that is just being replaced
                _files[own.co_filename] = {}
        tree, code = _files[own.co_filename].get(own.co_firstlineno, (None, None))
    parts = ("co_code", "co_consts", "co_names", "co_varnames")
    same = all(getattr(own, part) == getattr(code, part, None) for part in parts)
    return tree if same else None


def functions_in(source: str) -> dict[int, tuple[ast.AsyncFunctionDef, CodeType]]:
    """Add a file to those that `FILE` is; return its async functions."""
    module: ast.Module = again(ast.parse, source)
    code: CodeType = again(compile, module, FILE, "exec", dont_inherit=True)
    codes = {c.co_firstlineno: c for c in code.co_consts if isinstance(c, CodeType)}
    found = {
        min([node.lineno, *(part.lineno for part in node.decorator_list)]): node
        for node in module.body
        if isinstance(node, ast.AsyncFunctionDef)
    }
    ast.increment_lineno(module, len(_lines))
    _lines.extend(source.splitlines(keepends=True))
    size = sum(map(len, _lines))
    linecache.cache[FILE] = (size, None, list(_lines), FILE)
    return {line: (node, codes[line]) for line, node in found.items()}


def again(fn: Callable[..., R], *args: Any, **options: Any) -> R:
    """Call a function that uses `ast`, again if another thread got in its way.

    CPython counts how deep the trees are in one place for all threads, and takes what
    it finds for an error of its own (python/cpython#106905, mended in later versions).
    """
    for _ in range(100):
        try:
            return fn(*args, **options)
        except SystemError:
            sleep(0)  # another thread may go on
    return fn(*args, **options)


def source_of(run: FunctionType) -> str:
    """Return the text of the module of a function; "" where it is missing.

    Not from linecache, which other threads may be changing.
    """
    file, scope = run.__code__.co_filename, run.__globals__
    if scope.get("__file__") != file:  # it was typed in
        return ""
    try:
        with tokenize.open(file) as text:
            return text.read()
    except OSError:  # inside a zip file, or gone, or a frozen program
        loader: Any = scope.get("__loader__")
    try:
        return loader.get_source(run.__module__) or ""
    except (AttributeError, ImportError, OSError):
        return ""


# ------------------------------------------------------------------------- compiling


def fuse(stages: Stages, are_async: Collection[tuple[int, int]]) -> Callable[..., Any]:
    """Return one function for a run of stages; see `compiled`."""
    with _lock:
        return again(compiled, stages, are_async)


def compiled(
    stages: Stages, are_async: Collection[tuple[int, int]]
) -> Callable[..., Any]:
    """Return one function for a run of stages.

    Callbacks that are known to be async are told by the numbers of stage and argument.
    What is returned takes a function that notes on an error in which of the stages it
    was raised; the items above, if the first stage is no source; then the arguments of
    each stage. It is an async generator function, or, if the last stage is an ending, a
    coroutine function.
    """
    undecided = {
        f"{name}_{k}"
        for k, stage in enumerate(stages)
        for j, name in enumerate(stage.params)
        if stage.callbacks[j] and (k, j) not in are_async
    }
    function = Function(undecided)
    last = len(stages) - 1
    body = function.instantiate(stages[last], last)
    for k in reversed(range(last)):
        body = function.splice(stages[k], k, body)
    args = [f"{name}_{k}" for k, stage in enumerate(stages) for name in stage.params]
    first = text_of(stages[0])
    if first is not None and first.has_source:
        args.insert(0, "source")
    function.known["annotate"] = partial(annotate, stages)
    function.known["stopped"] = partial(stopped, stages)
    module = ast.parse(
        f"async def fused({', '.join(['note', *args])}):\n"
        " try: pass\n"
        " except Exception as error: annotate(error, note); raise"
    )
    (definition,) = module.body
    assert isinstance(definition, ast.AsyncFunctionDef)
    body = rewrite(function.settle(body), function.decide)
    tests = [ast.parse(f"{test} = True").body[0] for test in function.tests]
    tests += ast.parse(f"undecided = {len(function.hot)}").body
    noted: Any = definition.body[0]
    noted.body = body
    definition.body = [*tests, guarded([noted])]
    ast.fix_missing_locations(module)
    scope: dict[str, Any] = {}
    exec(compile(module, FILE, "exec"), function.known, scope)
    fused: FunctionType = scope["fused"]
    names = [stage.run.__name__ for stage in stages]
    fused.__code__ = fused.__code__.replace(co_name="|".join(names))
    fused.__name__ = fused.__qualname__ = names[-1]
    return fused


def annotate(
    stages: Stages,
    error: Exception,
    note: Callable[..., None],
) -> None:
    """Note on an error in which stage it was raised, if a user's function raised it.

    The line tells the operator. If there are several of one kind, it was the one whose
    function was loaded last.
    """
    if isinstance(error, StopAsyncIteration):
        return  # Python makes another error of it
    trace = raised_at(error)
    found = [k for k, s in enumerate(stages) if is_call(s, trace.tb_lineno)]
    if len(found) > 1:
        names = {f"{name}_{k}": k for k in found for name in stages[k].params}
        loaded = [
            names[name]
            for step in get_instructions(trace.tb_frame.f_code)
            if step.offset <= trace.tb_lasti
            for name in step.argrepr.split(", ")  # Python 3.13 loads two at once
            if name in names
        ]
        found = loaded[-1:]
    for k in found:
        note(error, k)


def raised_at(error: Exception) -> TracebackType:
    """Return where a fused function got an error, which it may have raised again."""
    trace = error.__traceback__
    assert trace is not None
    while trace.tb_next and trace.tb_next.tb_frame is trace.tb_frame:
        trace = trace.tb_next
    return trace


def is_call(operator: Operator[..., Any], line: int) -> bool:
    """Tell whether an operator calls a user's function in a line of `FILE`."""
    text = text_of(operator)
    return text is not None and line in text.calls


def lines_of(operator: Operator[..., Any]) -> range:
    """Return the lines of an operator that was fused, in `FILE`."""
    text = text_of(operator)
    assert text is not None
    return range(text.tree.lineno, (text.tree.end_lineno or 0) + 1)


class Function:
    """A fused function while it is made: what its global names stand for, its tests."""

    def __init__(self, undecided: set[str]) -> None:
        self.known: dict[str, Any] = {"is_coroutine": is_coroutine}
        self.undecided = undecided
        """Callbacks that are not known to be async."""
        self.tests: list[str] = []
        """Flags of the callbacks that have not shown yet whether they are async."""
        self.loops: list[ast.AST] = []
        """The loops that every item of the source goes through."""
        self.hot: set[str] = set()
        """Callbacks, of those not known to be async, that are called there."""

    def instantiate(
        self, operator: Operator[..., Any], k: int, output: str = ""
    ) -> list[ast.stmt]:
        """Return the body of an operator as stage `k`.

        Its names are numbered; what it yields is called `output`, if that is a variable
        of its own; a `break` out of its loop is made to leave stage `k`.
        """
        text = text_of(operator)
        assert text is not None
        code = operator.run.__code__
        own = {*code.co_varnames, *code.co_cellvars} - {"source"}
        names = {name: f"{name}_{k}" for name in own}
        if output and text.yielded:
            names[text.yielded] = output
        renaming = Rename(names, lambda name: self.public(operator, name))
        body = [renaming.visit(node) for node in copied(text.tree.body)]
        body = rewrite(body, lambda node: self.leave(node, k))
        if not k:
            self.loops += [
                node for part in body for node in ast.walk(part) if is_main_loop(node)
            ]
        if output and not text.yielded:
            body = rewrite(body, lambda node: bind(node, output))
        return body

    def public(self, operator: Operator[..., Any], name: str) -> str:
        """Return the name for what an operator's module, or Python, knows as `name`."""
        scope = operator.run.__globals__
        value = scope[name] if name in scope else getattr(builtins, name)
        while self.known.setdefault(name, value) is not value:
            name += "_"
        return name

    def splice(
        self, operator: Operator[..., Any], k: int, consumer: list[ast.stmt]
    ) -> list[ast.stmt]:
        """Return the consumer with its loop replaced by an operator as stage `k`."""

        def inline(node: ast.stmt) -> list[ast.stmt] | None:
            loop = source_loop(node)
            if loop is None:
                return None
            target = loop.target
            assert isinstance(target, ast.Name)
            copies = iter([loop.body])

            def pass_on(inner: ast.stmt) -> list[ast.stmt] | None:
                if yielded_by(inner) is None:
                    return None
                return next(copies, None) or copied(loop.body)

            return rewrite(self.instantiate(operator, k, target.id), pass_on)

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
            return [inner] if isinstance(inner, LOOPS) else None

        loop.body = rewrite(loop.body, stop)
        if not breaks:
            return [node]
        self.known[f"stop_{k}"] = type(f"Stop{k}", (Stop,), {})
        guard: Any = at(node, f"try: pass\nexcept stop_{k}: pass")
        guard.body = [node]
        return [guard]

    def settle(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return the function's body with each loop that all items go through doubled.

        Once every callback in it has turned out to be plain, the items go through the
        second one, in which nothing is tested.
        """
        reads = read_in(body)
        for part in body:
            reads.subtract(
                item for node in ast.walk(part) if (item := appended(node)[0])
            )

        def double(node: ast.stmt) -> list[ast.stmt] | None:
            if node not in self.loops:
                return None
            assert isinstance(node, (ast.For, ast.AsyncFor))
            hot = self.undecided & called_in(node.body)
            same: Any = PlainCalls(hot).generic_visit(copied(node))
            plain = link([same], reads)
            if not hot:
                return plain
            self.hot |= hot
            choice: Any
            if isinstance(node, ast.For):
                choice = at(node, "if undecided: pass\nelse: pass")
                choice.body, choice.orelse = [node], plain
                return [choice]
            choice = at(node, "if not undecided: break")
            choice.body[:0] = plain
            node.body.append(choice)
            return [node]

        return rewrite(body, double)

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
            f"  undecided -= {int(name in self.hot)}",
        )
        if own:
            return [call, decision]
        use: Any = Replace(awaited, ast.Name(result, ast.Load())).visit(node)
        change_blocks(use, lambda block: rewrite(block, self.decide))
        return [call, decision, use]


def yielded_by(node: ast.stmt) -> ast.expr | None:
    """Return what a statement yields, if that is all that it does."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Yield):
        return node.value.value or ast.Constant(None)
    return None


def is_main_loop(node: ast.AST) -> bool:
    """Tell whether all that a loop of a source, or over one, does is to pass items on."""
    if not isinstance(node, (ast.For, ast.AsyncFor)):
        return False
    return ast.unparse(node.iter) == "source" or (
        isinstance(node.iter, ast.Name)
        and len(node.body) == 1
        and yielded_by(node.body[0]) is not None
    )


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
    if not isinstance(loop, ast.AsyncFor) or ast.unparse(loop.iter) != "source":
        return None
    return loop


def guarded(body: list[ast.stmt], step: str = "raise stopped(error)") -> Any:
    """Return `body` with a handler that makes of an error what it is nested."""
    names = "(StopIteration, StopAsyncIteration)"
    guard: Any = at(body[0], f"try: pass\nexcept {names} as error: {step}")
    guard.body = body
    return guard


def stopped(stages: Stages, error: Exception, *, inside: bool = False) -> Exception:
    """Return what nested generators make of an error that would end an iteration.

    No generator has let it out yet where the operator that called for it handles it
    itself, `inside`; and an ending is a coroutine, which lets StopAsyncIteration out.
    """
    line = raised_at(error).tb_lineno
    ends = iscoroutinefunction(stages[-1].run) and line in lines_of(stages[-1])
    if isinstance(error, StopAsyncIteration):
        if inside or ends:
            return error
        made = RuntimeError("async generator raised StopAsyncIteration")
    else:
        in_coroutine = ends or any(is_call(stage, line) for stage in stages)
        kind = "coroutine" if in_coroutine else "async generator"
        made = RuntimeError(f"{kind} raised StopIteration")
        # Nested, closing would have met the error that was made of it.
        for note in error.__dict__.pop("__notes__", ()):
            made.add_note(note)
    made.__cause__ = error
    return made


def first_await(node: ast.stmt, callbacks: set[str]) -> tuple[ast.Await, str] | None:
    """Return the `await fn(...)` in a statement itself, not in its blocks."""
    fields = [getattr(node, name, None) for name in ("value", "test")]
    for part in [part for field in fields if field for part in ast.walk(field)]:
        if isinstance(part, ast.Await) and called(part) in callbacks:
            return part, called(part)
    return None


def called(node: ast.Await) -> str:
    """Return the name of the function in `await fn(...)`; else nothing."""
    fn = node.value.func if isinstance(node.value, ast.Call) else None
    return fn.id if isinstance(fn, ast.Name) else ""


def called_in(body: list[ast.stmt]) -> set[str]:
    """Return what is called in `await fn(...)`, but for handlers of errors."""
    names: set[str] = set()
    parts: list[ast.AST] = [*body]
    while parts:
        node = parts.pop()
        if isinstance(node, ast.Await):
            names.add(called(node))
        if not isinstance(node, ast.ExceptHandler):
            parts += ast.iter_child_nodes(node)
    return names


def read_in(body: list[ast.stmt]) -> Counter[str]:
    """Return how often each variable is read."""
    reads: Counter[str] = Counter()
    for part in body:
        for node in ast.walk(part):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                reads[node.target.id] += 1
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                reads[node.id] += 1
    return reads


def link(body: list[ast.stmt], reads: Counter[str]) -> list[ast.stmt]:
    """Return `body` with values used where they are read, if that is once.

    So `y = fn(x)`, then `items.append(y)`, is `items.append(fn(x))`. A loop that does
    no more than append is what Python does at once: `items.extend(part)`.
    """
    result: list[ast.stmt] = []
    for node in body:
        change_blocks(node, lambda block: link(block, reads))
        item, items = appended(node)
        if isinstance(node, ast.For) and item and not reads[item]:
            whole: Any = at(node, f"{items}.extend(None)")
            whole.value.args = [node.iter]
            result.append(whole)
        elif result and (used := used_in(node, result[-1], reads)):
            result[-1:] = used
        else:
            result.append(node)
    return result


def used_in(
    node: ast.stmt, last: ast.stmt, reads: Counter[str]
) -> list[ast.stmt] | None:
    """Return two statements with what the first puts into a variable in its place."""
    if not isinstance(last, ast.Assign) or not isinstance(last.targets[0], ast.Name):
        return None
    name = last.targets[0].id
    if not reads[name]:
        return [ast.copy_location(ast.Expr(last.value), last), node]
    if reads[name] == 1 and takes(node, name, last.value):
        return [Use(name, last.value).visit(node)]
    return None


def appended(node: ast.AST) -> tuple[str, str]:
    """Return the variable of a loop that only appends it to a list, and the list."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        match node.target, node.body:
            case ast.Name(id=item), [
                ast.Expr(
                    ast.Call(
                        ast.Attribute(ast.Name(id=items), "append"),
                        [ast.Name(id=value)],
                    )
                )
            ] if value == item:
                return item, items
            case _:
                pass
    return "", ""


def takes(node: ast.stmt, name: str, value: ast.expr) -> bool:
    """Tell whether a statement can take a value in the place of a variable.

    It can if nothing that could be noticed is done before. Two calls of one line of an
    operator stay apart: the note on an error tells them by what was loaded last.
    """
    part = node.test if isinstance(node, ast.If) else getattr(node, "value", None)
    if not isinstance(part, ast.expr):
        return False
    lines, others = (
        {call.lineno for call in ast.walk(tree) if isinstance(call, ast.Call)}
        for tree in (value, part)
    )
    return lines.isdisjoint(others) and first_read(part, name) is True


def first_read(node: ast.AST, name: str) -> bool | None:
    """Tell whether a variable is read before anything is called; None: neither is."""
    if isinstance(node, ast.Name):
        return True if node.id == name else None
    if not isinstance(
        node,
        (ast.Attribute, ast.Await, ast.Call, ast.Constant, ast.Tuple, ast.expr_context),
    ):
        return False
    for part in ast.iter_child_nodes(node):
        found = first_read(part, name)
        if found is not None:
            return found
    return False if isinstance(node, (ast.Await, ast.Call)) else None


class Use(ast.NodeTransformer):
    """Puts a value in the place of a variable."""

    def __init__(self, name: str, value: ast.expr) -> None:
        self._name = name
        self._value = value

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._value if node.id == self._name else node


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
        node.name = self._own[node.name] if node.name else None
        return self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> ast.AST:
        self.generic_visit(node)
        above = any(source_loop(part) for part in node.body)
        parts = [inner for part in node.body for inner in ast.walk(part)]
        awaits = any(isinstance(part, ast.Await) for part in parts)
        if node.handlers and (above or awaits):  # they must see what they would nested
            step = (
                "annotate(error, note); raise stopped(error)"
                if above
                else "raise stopped(error, inside=True)"
            )
            node.body = [guarded(node.body, step)]
        return node

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


class PlainCalls(ast.NodeTransformer):
    """Takes the `await` from calls of callbacks that have turned out to be plain."""

    def __init__(self, callbacks: set[str]) -> None:
        self._callbacks = callbacks

    def visit_Await(self, node: ast.Await) -> ast.AST:
        self.generic_visit(node)
        return node.value if called(node) in self._callbacks else node


Change = Callable[[ast.stmt], list[ast.stmt] | None]


def rewrite(body: list[ast.stmt], change: Change) -> list[ast.stmt]:
    """Return `body` with every statement that `change` gives others for replaced."""
    result: list[ast.stmt] = []
    for node in body:
        changed = change(node)
        if changed is None:
            change_blocks(node, lambda block: rewrite(block, change))
        result += [node] if changed is None else changed
    return result


def change_blocks(
    node: ast.stmt, change: Callable[[list[ast.stmt]], list[ast.stmt]]
) -> None:
    """Replace each block of a statement by what `change` makes of it."""
    for part, name in blocks_of(node):
        setattr(part, name, change(getattr(part, name)))


def blocks_of(node: ast.stmt) -> list[tuple[ast.AST, str]]:
    """Return where the blocks of a statement stand: in which node, in which field."""
    return [
        (part, name)
        for part in (node, *getattr(node, "handlers", ()))
        for name in ("body", "orelse", "finalbody")
        if getattr(part, name, None)
    ]


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
