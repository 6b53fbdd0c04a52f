"""The command line: a chain over the lines of files or of standard input.

    python -m flowpy 'lines.map(str.upper)' names.txt

What is to run is prepared in full before anything is printed; then each item is
printed as it comes. Every way to end has its exit status and at most one line of its
own on standard error.
"""

from __future__ import annotations

import errno
import os
import reprlib
import select
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from contextlib import suppress
from importlib import import_module
from inspect import isawaitable
from stat import S_ISDIR
from typing import TYPE_CHECKING

from anyio import CancelScope

from flowpy import SKIP, Flow, __version__, flow, run
from flowpy._scheduler import backend_options, current_scheduler
from flowpy.io import lines, stdin_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILED = 1
REFUSED = 2
INTERRUPTED = 130
"""What a shell says of a command that SIGINT has ended."""

READER_GONE = 141
"""What a shell says of a command that SIGPIPE has ended."""

EXAMPLES = r"""
examples:
  number the lines with an error in them, in two log files:
    flowpy 'lines.filter(lambda line: "ERROR" in line).enumerate(1)' a.log b.log

  upper-case the first three names in what another program prints:
    some-program | flowpy --import json \
      'lines.map(json.loads).map(lambda entry: entry["name"].upper()).take(3)'

exit status: 0; 1 after an error while the flow runs; 2 if it could not start; 130 after
Ctrl-C; 141 if nobody reads the output any more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Its arguments; those of the process, if not given.

    Shape: the exit status.

    Raises:
        SystemExit: after `--help`, `--version` and wrong usage, as argparse does, and
            where the expression itself asks for it while it runs.

    Example:
        >>> main(["Flow.of(1, 2).map(lambda n: n * 10)"])
        10
        20
        0

    Source: `python -c` and `awk`.
    """
    arguments = parser()
    options = arguments.parse_intermixed_args(argv)
    if options.expression is None:
        arguments.error("EXPR is missing")
    try:
        chain = prepare(options)
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            # Not each write at once, even where Python runs unbuffered: see Output.
            reconfigure(errors="replace", write_through=False)
        run(print_items, chain, backend=options.backend)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - each becomes a status and a line
        status, line = verdict(error)
        settle_output()
        if line:
            with suppress(OSError):  # standard error may be gone too
                print(f"flowpy: {line}", file=sys.stderr)
        return status
    return 0


def parser() -> ArgumentParser:
    """Return what reads the arguments."""
    result = ArgumentParser(
        prog="flowpy",
        usage="%(prog)s [--backend B] [--import MODULE]... EXPR [FILE...]",
        description=(
            "Evaluate EXPR, a Python expression over `lines`, the flow of the lines of "
            "all FILEs,\nand print each item of the flow that it gives."
        ),
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "expression",
        metavar="EXPR",
        nargs="?",  # if it were required, argparse would say that FILE is too
        help="gives a Flow; knows `lines`, `Flow`, `flow`, `SKIP` and what is imported",
    )
    result.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="read one after another, as UTF-8; standard input if there is none or "
        "where it is -",
    )
    result.add_argument(
        "--backend",
        metavar="B",
        default="asyncio",
        help="asyncio (if not given), uvloop or trio",
    )
    result.add_argument(
        "--import",
        metavar="MODULE",
        dest="modules",
        action="append",
        default=[],
        help="make a module known to EXPR, also one in the current directory; may be "
        "given many times",
    )
    result.add_argument(
        "--version", action="version", version=f"%(prog)s {__version__}"
    )
    return result


# ------------------------------------------------------------- before anything runs


class RefusedError(Exception):
    """Why the command can't start, in one line."""


def prepare(options: Namespace) -> Flow[object]:
    """Return the flow that the arguments ask for."""
    try:
        backend_options(options.backend)
    except (ValueError, ModuleNotFoundError) as error:
        raise RefusedError(str(error)) from None
    for path in options.files:
        check_file(path)
    names = {"lines": lines_of(options.files or ["-"]), "Flow": Flow, "flow": flow}
    names |= {"SKIP": SKIP, **imported(options.modules)}
    with warnings.catch_warnings():
        # Of an ending that was not to be there, a coroutine is left.
        warnings.filterwarnings("ignore", r"coroutine .* was never awaited")
        found = evaluate(options.expression, names)
    if isinstance(found, str):
        raise RefusedError(found)
    return found


def check_file(path: str) -> None:
    """Check that a file can be read, without opening it: that may be noticed."""
    if path == "-":
        return
    try:
        number = 0 if os.access(path, os.R_OK) else errno.EACCES
        if S_ISDIR(os.stat(path).st_mode):
            number = errno.EISDIR
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    if number:
        raise RefusedError(f"cannot read {path}: {os.strerror(number)}")


def lines_of(paths: Sequence[str]) -> Flow[str]:
    """Return the lines of files, one file after another; `-` is standard input."""
    first, *others = (
        stdin_lines(errors="replace") if path == "-" else lines(path, errors="replace")
        for path in paths
    )
    return first.concat(*others) if others else first


def imported(modules: Sequence[str]) -> dict[str, object]:
    """Import modules, and return the names that Python's import binds for them."""
    if modules and "" not in sys.path and not sys.flags.safe_path:
        sys.path.insert(0, "")  # a console script begins without it
    names: dict[str, object] = {}
    for module in modules:
        try:
            import_module(module)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - all are its failure
            message = f"cannot import {module!r}: {describe(error)}"
            raise RefusedError(message) from None
        name = module.partition(".")[0]
        names[name] = sys.modules[name]
    return names


def evaluate(expression: str, names: dict[str, object]) -> Flow[object] | str:
    """Return the flow that an expression gives, or why it gives none."""
    # Within parentheses a chain may go over several lines.
    text = f"({expression}\n)" if "\n" in expression else expression.strip()
    try:
        value: object = eval(compile(text, "<EXPR>", "eval"), names)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - all are its failure
        return f"cannot evaluate EXPR: {describe(error)}"
    if isinstance(value, Flow):
        return value  # pyright: ignore[reportUnknownVariableType] - of Any
    if isawaitable(value):
        name = getattr(value, "__name__", type(value).__name__)
        return (
            f"EXPR must give a Flow; got an awaitable, {name}: leave that ending out, "
            "the items are printed as they come"
        )
    return f"EXPR must give a Flow; got {type(value).__name__}: {reprlib.repr(value)}"


# ------------------------------------------------------------------ while it runs


async def print_items(chain: Flow[object]) -> None:
    """Print each item as it comes."""
    scope = CancelScope()
    output = Output(scope.cancel)
    with scope:
        await chain.collect(output.show)
    if output.error is not None:
        raise output.error
    flush()


class Output:
    """Prints items, and flushes as soon as the flow waits for anything.

    So an item is seen at once, while a burst of them costs one write and not one each.
    """

    def __init__(self, stop: Callable[[], object]) -> None:
        self.error: OSError | None = None
        self._stop = stop
        self._call_soon = current_scheduler().caller()
        self._due = False

    def show(self, item: object) -> None:
        """Print an item."""
        print(item)
        if not self._due:
            self._due = True
            self._call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        try:
            flush()
        except OSError as error:
            self.error = error  # raised by the task: here it would be the loop's
            self._stop()


def flush() -> None:
    """Have everything printed that the expression itself has printed."""
    print(end="", flush=True)  # unlike a method of it, this knows no output at all


def verdict(error: BaseException) -> tuple[int, str]:
    """Return the exit status after an error, and the line that tells of it."""
    if isinstance(error, RefusedError):
        return REFUSED, one_line(str(error))
    if holds(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if holds(error, BrokenPipeError) and output_is_gone():
        return READER_GONE, ""
    return FAILED, one_line(describe(error))


def holds(error: BaseException, kind: type[BaseException]) -> bool:
    """Tell whether it is of a kind, or a task group of the user's wrapped such a one."""
    return BaseExceptionGroup("one", [error]).subgroup(kind) is not None


def output_is_gone() -> bool:
    """Tell whether the pipe that broke is standard output, and not one of the flow's."""
    if not hasattr(select, "poll"):
        return True  # Windows can't tell, and what is printed is the likeliest
    try:
        ask = select.poll()
        ask.register(sys.stdout.fileno(), 0)
        return bool(ask.poll(0))
    except (OSError, ValueError):
        return False  # no file: it can't break


def settle_output() -> None:
    """Print what is left; what can't be, is not tried again as Python exits."""
    try:
        flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def describe(error: BaseException) -> str:
    """Return the kind of an error and its message, with a hint where one is known."""
    text = str(error)
    kind = type(error).__name__
    hint = ""
    if isinstance(error, NameError) and error.name in sys.stdlib_module_names:
        hint = f" (try --import {error.name})"
    return f"{kind}: {text}{hint}" if text else kind


def one_line(text: str) -> str:
    """Return a text without its line ends."""
    return " ".join(text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
