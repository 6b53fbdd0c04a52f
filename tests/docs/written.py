"""What is written is executed: code of pages and docstrings, in virtual time.

On pages, the `python` blocks run in their order, in one namespace for each page. A block
may `await`: then it runs in an event loop of its own, which begins at 0 seconds and whose
tasks end with it. What a block prints is what the `text` block directly after it holds;
without one it prints nothing. A comment before a block says what is special of it::

    <!-- threads -->   waits for threads, processes or sockets: the clock jumps only when
                       nothing has come from them for a while
    <!-- fused -->     prints how chains are fused: not compared where none are

`run` and `run_virtual` of flowpy run in virtual time here, and on the backend of the test
where the code names none.
"""

from __future__ import annotations

import ast
import inspect
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from doctest import Example as Prompt
from functools import partial
from io import StringIO
from itertools import zip_longest
from types import FunctionType
from typing import TYPE_CHECKING, Any

import anyio
import trio
from sybil import Document, Region
from sybil.evaluators.doctest import KEEP_TRAILING_WHITESPACE, DocTestEvaluator
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

import flowpy
from flowpy import testing
from flowpy._fusion import ENABLED
from flowpy.testing import run_virtual, virtual_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sybil import Example

THREADS = 0.1
"""Seconds in which a thread, a process or a socket has to say something."""

CODE = FencedCodeBlockLexer("python|text")
DIRECTIVE = re.compile(r"<!-- *((?:threads|fused)(?:, *(?:threads|fused))*) *-->\s*\Z")
AWAITING = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


class Runs:
    """How code of a test runs: on its backend, in virtual time.

    Args:
        backend: Where the code names none.
        threshold: Real seconds to wait for threads before the clock jumps.
    """

    def __init__(self, backend: str, threshold: float = 0) -> None:
        self.backend = backend
        self.threshold = threshold
        self.really = flowpy.run

    def run(self, fn, *args, backend=None):
        """Run as `flowpy.run` does; uvloop has no virtual clock."""
        if backend == "uvloop":
            return self.really(fn, *args, backend=backend)
        if not self.threshold:
            return run_virtual(partial(fn, *args), backend or self.backend)
        # Not `run_virtual`: it has a timer of its own, to which the clock would jump
        # where a process takes its time to start.
        name, options = virtual_backend(
            backend or self.backend, threshold=self.threshold
        )
        if name == "trio":
            return trio.run(fn, *args, **options)
        return anyio.run(fn, *args, backend=name, backend_options=options)

    def run_virtual(self, fn, backend=None, *, threshold=None):
        """Run as `run_virtual` does."""
        wait = self.threshold if threshold is None else threshold
        return run_virtual(fn, backend or self.backend, threshold=wait)

    def run_code(self, code, namespace):
        """Run code that may await something at its top level."""
        if code.co_flags & AWAITING:
            self.run(FunctionType(code, namespace))
        else:
            exec(code, namespace)


def compiled(source: str, path: str, mode: str) -> Any:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(source, path, mode, flags, dont_inherit=True)


@dataclass
class Block:
    """A block of Python of a page, and what it prints."""

    source: str
    printed: str
    words: frozenset[str]


def blocks(document: Document) -> Iterator[Region]:
    """Find the blocks of Python of a page: a parser of sybil."""
    regions = list(CODE(document))
    for region, follower in zip_longest(regions, regions[1:]):
        if region.lexemes["language"] != "python":
            continue
        printed = ""
        if follower is not None and follower.lexemes["language"] == "text":
            between = document.text[region.end : follower.start]
            printed = "" if between.strip() else follower.lexemes["source"]
        directive = DIRECTIVE.search(document.text, 0, region.start)
        words = re.split(", *", directive[1]) if directive else ()
        block = Block(region.lexemes["source"], printed, frozenset(words))
        yield Region(region.start, region.end, block)


def page(path: Path) -> Document:
    """Return a page, each of whose examples is a block of Python."""
    document = Document.parse(str(path), blocks)
    document.namespace["__name__"] = "__main__"
    return document


def check_block(example: Example, runs: Runs) -> None:
    """Run a block of a page, and compare what it prints."""
    block: Block = example.parsed
    runs.threshold = THREADS if "threads" in block.words else 0
    # As many empty lines before it that tracebacks, and who reads the source text of a
    # function, find it on the page.
    source = "\n" * example.line + block.source
    output = StringIO()
    with redirect_stdout(output):
        runs.run_code(compiled(source, example.path, "exec"), example.namespace)

    if ENABLED or "fused" not in block.words:
        printed = output.getvalue()
        where = f"{example.path}:{example.line}"
        message = (
            f"the block at {where} prints\n{printed}and should print\n{block.printed}"
        )
        assert printed == block.printed, message


class Awaiting(DocTestEvaluator):
    """Evaluates examples with prompts, which may await at their top level."""

    def __init__(self, runs: Runs) -> None:
        super().__init__(KEEP_TRAILING_WHITESPACE)
        self.runs = runs

    def __call__(self, example: Example) -> str:
        # A name of its own for each: by it Python finds the source text of functions.
        example.path = f"{example.path}, line {example.line}"
        prompt: Prompt = example.parsed
        code = compiled(prompt.source, f"<doctest {example.path}[0]>", "single")
        if code.co_flags & AWAITING:
            example.namespace["awaited"] = partial(
                self.runs.run_code, code, example.namespace
            )
            prompt.source = "awaited()\n"
        return super().__call__(example)


def docstring(text: str, name: str, runs: Runs, names: dict[str, Any]) -> Document:
    """Return a docstring, each of whose examples is one with a prompt."""
    document = Document(text, name)
    document.namespace.update(names)
    for region in DocTestStringParser(Awaiting(runs))(text, name):
        document.add(region)
    return document


def virtual(monkeypatch: Any, backend: str, threshold: float = 0) -> Runs:
    """Have `run` and `run_virtual` of flowpy run in virtual time, on `backend`."""
    runs = Runs(backend, threshold)
    functions: tuple[tuple[object, str, Callable[..., Any]], ...] = (
        (flowpy, "run", runs.run),
        (testing, "run_virtual", runs.run_virtual),
    )
    for module, name, function in functions:
        monkeypatch.setattr(module, name, function)
    return runs
