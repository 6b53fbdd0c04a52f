"""How bytes are waited for and cut into lines: of files, and of standard input."""

from __future__ import annotations

import os
import sys
from codecs import getincrementaldecoder, lookup_error
from concurrent.futures import Future
from contextlib import suppress
from errno import EBADF
from gzip import BadGzipFile, GzipFile
from stat import S_ISREG
from threading import Lock, Thread
from typing import TYPE_CHECKING, Protocol, Self, TypeVar
from zlib import error as ZlibError

from anyio import CancelScope, Event, to_thread, wait_readable

from flowpy._checks import check_count, check_type
from flowpy._errors import FlowConsumedError
from flowpy._flow import made
from flowpy._iterating import Turns
from flowpy._operator import name_of, operator
from flowpy._scheduler import current_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO

    from flowpy._flow import Flow
    from flowpy._types import Items

T = TypeVar("T")

BATCH = 65536
"""Bytes to read at once: some 800 lines, which share the cost of a hop to a thread."""

LARGEST_BATCH = 1 << 24
"""Bytes to read at once at most, however large the hint: they are held in memory."""


def lines(
    path: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    errors: str = "strict",
    hint: int = BATCH,
) -> Flow[str]:
    r"""Read a text file, line by line.

    A line ends with `\n`, `\r\n` or `\r`, which is not part of the item; the last line
    need not end with one. A regular file is read in a worker thread, many lines at a
    time; of a named pipe or a terminal each line is given as it comes.

    Args:
        path: The file; each collection opens it again.
        encoding: Name of a text encoding.
        errors: What to do with bytes that can't be decoded, as for `open`.
        hint: Bytes to read at once, about; >= 1. More than 16 MiB are not.

    Shape: n lines out, in order; nothing of an empty file. Holds the lines of one
    batch. The file is closed, in a thread, however the collection ends.

    Raises:
        TypeError: at the call, if `path` is neither a str nor an `os.PathLike`, or
            another argument is of the wrong type.
        ValueError: at the call, if `encoding` or `errors` is unknown, or `hint` < 1.
        OSError: while running, if the file can't be opened or read.
        UnicodeDecodeError: while running, after the lines before the one that can't be
            decoded, if `errors` is `"strict"`.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     print("beech", file=file)
        ...     print("ash", file=file, flush=True)
        ...     run(lines(file.name).map(str.upper).to_list)
        ['BEECH', 'ASH']

    Source: Kotlin `useLines`; line ends as `open` knows them.
    """
    check_type("path", path, str, os.PathLike)
    check_codec(encoding, errors)
    size = min(check_count("hint", hint, 1), LARGEST_BATCH)
    return made((file_lines,), ((NamedFile(path), encoding, errors, size),))


def stdin_lines(*, encoding: str = "utf-8", errors: str = "strict") -> Flow[str]:
    r"""Read standard input, line by line, each as soon as it has come.

    Lines end as in `lines`. A pipe, a terminal or a socket is waited for by the event
    loop, so that a cancellation or Ctrl-C works at once. It is read directly: what
    `sys.stdin` has read before and still holds is not seen.

    Args:
        encoding: Name of a text encoding.
        errors: What to do with bytes that can't be decoded, as for `open`.

    Shape: n lines out, in order. Holds the lines of one batch; they are lost if the
    collection stops early. Standard input is left open.

    Raises:
        TypeError: at the call, if an argument is not a str.
        ValueError: at the call, if `encoding` or `errors` is unknown.
        FlowConsumedError: while running, at the second collection: what has been read
            is gone. Another call of `stdin_lines` reads what comes after it.
        OSError: while running, if standard input is closed or can't be read.
        UnicodeDecodeError: while running, after the lines before the one that can't be
            decoded, if `errors` is `"strict"`.

    Example:
        >>> print(stdin_lines().map(str.upper))
        stdin_lines().map(str.upper)

    Source: `for line in sys.stdin`.
    """
    check_codec(encoding, errors)
    return made((file_lines,), ((StandardInput(), encoding, errors, BATCH),))


def check_codec(encoding: str, errors: str) -> None:
    """Check that bytes can be decoded by an encoding and an error handler so named."""
    check_type("encoding", encoding, str)
    check_type("errors", errors, str)
    try:
        " ".encode(encoding)  # unlike a look-up, this refuses "hex" and its like
        getincrementaldecoder(encoding)
    except (LookupError, ValueError):
        message = f"encoding must be the name of a text encoding; got {encoding!r}"
        raise ValueError(message) from None
    try:
        lookup_error(errors)
    except (LookupError, ValueError):
        message = f"errors must be 'strict', 'replace' or the like; got {errors!r}"
        raise ValueError(message) from None


class Origin(Protocol):
    """What can be opened to be read."""

    def open(self) -> Readable:
        """Return the file, to be read in batches."""
        ...


class Readable(Protocol):
    """An open file: one without a buffer, or one that decompresses another."""

    def fileno(self) -> int: ...
    def read(self, size: int, /) -> bytes | None: ...
    def close(self) -> None: ...


class NamedFile:
    """A file that is opened anew by each collection."""

    __slots__ = ("_path",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path

    def open(self) -> Readable:
        return open(self._path, "rb", buffering=0, opener=open_at_once)

    def __repr__(self) -> str:
        return f"lines({name_of(self._path)})"


class CompressedFile(NamedFile):
    """A regular file that gzip has compressed."""

    __slots__ = ()

    def open(self) -> Readable:
        return Unzipped(self._path, "rb")


class Unzipped(GzipFile):
    """What is in a file that gzip has compressed; its errors say the file's name."""

    def read(self, size: int | None = -1) -> bytes:
        try:
            # Not as much as was asked for, but what there is before an error.
            return super().read1(-1 if size is None else size)
        except (BadGzipFile, EOFError, ZlibError) as error:
            message = f"{self.name}: {error}"
            raise BadGzipFile(message) from error


def open_at_once(path: str, flags: int) -> int:
    """Open a file; do not wait until somebody opens the other end of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


class StandardInput:
    """The standard input of this process, which one collection can read."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken = False

    def open(self) -> FileIO:
        if self._taken:
            message = (
                "standard input can be read once; keep its items, or share one "
                "collection of them"
            )
            raise FlowConsumedError(message)
        self._taken = True
        if sys.stdin is None:
            raise OSError(EBADF, "standard input is closed")
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)

    def __repr__(self) -> str:
        return "stdin_lines()"


def describe(origin: Origin, *_: object) -> str:
    """Return how a flow of lines reads."""
    return repr(origin)


@operator(show=describe)
async def file_lines(
    origin: Origin, encoding: str, errors: str, size: int
) -> Items[str]:
    splitter = Splitter(encoding, errors)
    async with Reader(origin, splitter, size) as reader:
        await reader.open()
        while not splitter.ended:
            with Turns(await reader.batch()) as turns:
                for part in turns:
                    for line in part:
                        yield line
                    if turns.over():
                        await turns.let_others_run()
        splitter.check()


class Splitter:
    r"""Cuts bytes that come in pieces of any size into decoded lines.

    A line is given as soon as its end is there. So `\r` ends one at once, and a `\n`
    right behind it, be it a piece later, belongs to the same end.
    """

    __slots__ = ("_after_return", "_decoder", "_unfinished", "ended", "error")

    def __init__(self, encoding: str, errors: str) -> None:
        self._decoder = getincrementaldecoder(encoding)(errors)
        self._unfinished: list[str] = []
        self._after_return = False
        self.error: UnicodeDecodeError | None = None
        """Why no more can be decoded; to be raised once the lines before are through."""
        self.ended = False

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that end in `data`; without data, the last one."""
        text = self._decode(data)
        if self._after_return and text:
            text = text.removeprefix("\n")
            self._after_return = False
        if "\r" in text:
            self._after_return = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        # Not str.splitlines, which takes form feeds and others for line ends too.
        found = text.split("\n")
        self._unfinished.append(found[0])
        if len(found) > 1:
            found[0] = "".join(self._unfinished)
            self._unfinished = [found[-1]]
        found.pop()
        if not data and self.error is None:
            self.ended = True
            last = "".join(self._unfinished)
            if last:
                found.append(last)
        return found

    def check(self) -> None:
        """Raise the error that made an end of it, now that its lines are through."""
        if self.error is not None:
            raise self.error

    def _decode(self, data: bytes) -> str:
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(data, not data)
        except UnicodeDecodeError as error:
            self.error = error
            self.ended = True
            # What came before the error is good; its start counts the bytes that the
            # decoder had kept of the pieces before.
            self._decoder.setstate(state)
            return self._decoder.decode(data[: max(error.start - len(state[0]), 0)])


class Reader:
    """Reads a file by the means that suits it, until its splitter has ended.

    A regular file is always ready: a worker thread reads it and cuts the lines. Any
    other is waited for by the event loop; where that can't be, by a thread of its own.
    """

    __slots__ = (
        "_closed",
        "_file",
        "_lock",
        "_number",
        "_origin",
        "_pollable",
        "_regular",
        "_size",
        "_splitter",
    )

    def __init__(self, origin: Origin, splitter: Splitter, size: int) -> None:
        self._origin = origin
        self._splitter = splitter
        self._size = size
        self._file: Readable | None = None
        self._number = -1
        self._regular = False
        self._pollable = sys.platform != "win32"
        # A task that asyncio cancels does not wait for its thread. The lock keeps the
        # file open until that has come back, `_closed` keeps it from opening one then.
        self._lock = Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        if self._file is None or getattr(self._file, "closefd", True):
            await in_thread_for_sure(self._close)

    async def open(self) -> None:
        """Open the file; inside of the block, so that it is closed in any case."""
        await to_thread.run_sync(self._open)

    async def batch(self) -> list[str]:
        """Wait for bytes and return the lines that end in them, which may be none."""
        if self._regular:
            return await to_thread.run_sync(self._read)
        if self._pollable:
            try:
                await self._arrival()
            except (OSError, NotImplementedError):
                self._pollable = False  # such as /dev/null
            else:
                return self._read()
        return await in_daemon_thread(self._read)

    async def _arrival(self) -> None:
        blocking = os.get_blocking(self._number)
        try:
            await wait_readable(self._number)
        finally:
            # uvloop makes what it waits for non-blocking, and so also for the other
            # processes that share it: the shell, and whoever writes to the terminal.
            os.set_blocking(self._number, blocking)

    def _open(self) -> None:
        with self._lock:
            if not self._closed:
                self._file = self._origin.open()
                self._number = self._file.fileno()
                self._regular = S_ISREG(os.fstat(self._number).st_mode)

    def _read(self) -> list[str]:
        with self._lock:
            data = self._file.read(self._size) if self._file is not None else None
        # None: closed, or not ready after all, as another process was faster to read.
        return self._splitter.feed(data) if data is not None else []

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
            self._file = None


async def in_daemon_thread(fn: Callable[[], T]) -> T:
    """Call a function that may block for ever; when cancelled, leave it behind.

    A thread of anyio's would keep the program from ending meanwhile.
    """
    result, done = started(fn, daemon=True)
    await done.wait()
    return result.result()


async def in_thread_for_sure(fn: Callable[[], T]) -> T:
    """Call a function that cleans up, and wait for its end, whatever happens.

    `asyncio.Task.cancel` knows no shield: it could keep a thread of anyio's from being
    started at all. Here it is raised at the end.
    """
    result, done = started(fn, daemon=False)
    cancelled: BaseException | None = None
    with CancelScope(shield=True):
        while not done.is_set():
            try:
                await done.wait()
            except current_scheduler().cancelled as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled
    return result.result()


def started(fn: Callable[[], T], *, daemon: bool) -> tuple[Future[T], Event]:
    """Call a function in a thread of its own; return its result, and what tells of it."""
    result: Future[T] = Future()
    done = Event()
    call = current_scheduler().caller()

    def work() -> None:
        try:
            result.set_result(fn())
        except BaseException as error:  # noqa: BLE001 - raised by the task
            result.set_exception(error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            call(done.set)

    Thread(target=work, name="flowpy.io", daemon=daemon).start()
    return result, done
