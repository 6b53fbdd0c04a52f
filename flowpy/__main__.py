"""The command line: a chain over the lines of files or of standard input.

    python -m flowpy 'lines.map(str.upper)' names.txt

What is to run is prepared in full before anything is printed; then each item is
printed as it comes. Every way to end has its exit status and at most one line of its
own on standard error.
"""

from __future__ import annotations

import errno
import json
import os
import reprlib
import select
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from contextlib import suppress
from importlib import import_module
from inspect import isawaitable
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from anyio import CancelScope

from flowpy import SKIP, Flow, __version__, flow, run
from flowpy._flow import made
from flowpy._scheduler import backend_options, current_scheduler
from flowpy.io import lines, stdin_lines, tail
from flowpy.io._lines import BATCH, CompressedFile, file_lines

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

  the same of an archive of JSON, one value a line, and as JSON:
    flowpy --json 'lines.map(lambda entry: entry["name"].upper()).take(3)' log.gz

  wait for errors in two logs that are being written, and rotated:
    flowpy --follow 'lines.filter(lambda line: "ERROR" in line)' a.log b.log

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
    if options.from_start and not options.follow:
        arguments.error("--from-start needs --follow")
    try:
        chain = prepare(options)
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            # Not each write at once, even where Python runs unbuffered: see Output.
            reconfigure(errors="replace", write_through=False)
        run(print_items, chain, options.json, backend=options.backend)
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
        usage="%(prog)s [--backend B] [--import MODULE]... [--json]\n"
        "              [--follow [--from-start]] EXPR [FILE...]",
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
        help="read one after another, as UTF-8, unzipped if its name ends with .gz; "
        "standard input if there is none or where it is -",
    )
    result.add_argument(
        "--follow",
        action="store_true",
        help="wait for the lines that are appended to the FILEs from now on, as they "
        "come; a FILE may be missing, rotated and cut meanwhile",
    )
    result.add_argument(
        "--from-start",
        action="store_true",
        help="with --follow: begin with the lines that are there already",
    )
    result.add_argument(
        "--json",
        action="store_true",
        help="`lines` are the values of lines of JSON, blank ones left out; items are "
        "printed as JSON, one a line",
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
    names = {"lines": lines_of(options), "Flow": Flow, "flow": flow}
    names |= {"SKIP": SKIP, **imported(options.modules)}
    with warnings.catch_warnings():
        # Of an ending that was not to be there, a coroutine is left.
        warnings.filterwarnings("ignore", r"coroutine .* was never awaited")
        found = evaluate(options.expression, names)
    if isinstance(found, str):
        raise RefusedError(found)
    return found


def lines_of(options: Namespace) -> Flow[object]:
    """Return the lines of all files, or the values in them."""
    first, *others = (one_file(path, options) for path in options.files or ["-"])
    if not others:
        return first
    return first.merge(*others) if options.follow else first.concat(*others)


def one_file(path: str, options: Namespace) -> Flow[object]:
    """Return the lines of a file, or the values in them; `-` is standard input."""
    found, place = raw_lines(path, follow=options.follow, old=options.from_start)
    if not options.json:
        return found
    numbered = found.enumerate(1).filter(lambda pair: not is_blank(pair[1]))
    return numbered.map(lambda pair: parse(pair[1], f"line {pair[0]} {place}"))


def raw_lines(path: str, *, follow: bool, old: bool) -> tuple[Flow[str], str]:
    """Return the lines of a file, and where they are, to be told with their number."""
    if path == "-":
        return stdin_lines(errors="replace"), "of standard input"
    regular = check_file(path, may_be_missing=follow)
    if regular and path.endswith(".gz"):
        if follow:
            message = f"cannot follow {path}: it is compressed"
            raise RefusedError(message)
        values = (CompressedFile(path), "utf-8", "replace", BATCH)
        return made((file_lines,), (values,)), f"of {path}"
    if regular and follow:
        found = tail(path, from_end=not old, errors="replace")
        return found, f"that has come in {path}"
    # What is no regular file, such as a named pipe, gives its lines as they come.
    return lines(path, errors="replace"), f"of {path}"


def is_blank(line: str) -> bool:
    """Tell whether there is nothing in a line."""
    return not line or line.isspace()


def parse(line: str, place: str) -> object:
    """Return the value that a line of JSON stands for."""
    try:
        # Programs of Windows begin a file with a mark.
        return json.loads(line.removeprefix("\ufeff"), parse_constant=refuse)
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    message = f"{place} is not JSON: {reason}"
    raise ValueError(message)


def refuse(name: str) -> None:
    """Refuse a number that only Python takes for JSON."""
    message = f"{name} stands for no value"
    raise ValueError(message)


def check_file(path: str, *, may_be_missing: bool) -> bool:
    """Check that a file can be read, without opening it: that may be noticed.

    Return whether it is a regular file, or will be.
    """
    try:
        number = 0 if os.access(path, os.R_OK) else errno.EACCES
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        if may_be_missing:
            return True
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    if S_ISDIR(mode):
        number = errno.EISDIR
    if number:
        raise RefusedError(f"cannot read {path}: {os.strerror(number)}")
    return S_ISREG(mode)


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


async def print_items(chain: Flow[object], as_json: bool) -> None:  # noqa: FBT001 - `run` takes no names
    """Print each item as it comes."""
    scope = CancelScope()
    output = Output(scope.cancel, to_json if as_json else None)
    with scope:
        await chain.collect(output.show)
    if output.error is not None:
        raise output.error
    flush()


class Output:
    """Prints items, and flushes as soon as the flow waits for anything.

    So an item is seen at once, while a burst of them costs one write and not one each.
    """

    def __init__(
        self, stop: Callable[[], object], written: Callable[[object], str] | None
    ) -> None:
        self.error: OSError | None = None
        self._written = written
        self._stop = stop
        self._call_soon = current_scheduler().caller()
        self._due = False

    def show(self, item: object) -> None:
        """Print an item."""
        print(item if self._written is None else self._written(item))
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


def to_json(item: object) -> str:
    """Return an item as one line of JSON."""
    return json.dumps(item, ensure_ascii=False, allow_nan=False)


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
