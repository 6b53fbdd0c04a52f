"""Flows into files: lines are written as they come, many at a time where they can be."""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EINVAL
from secrets import token_hex
from stat import S_IMODE, S_ISREG
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Self

from anyio import to_thread

from flowpy._checks import check_type
from flowpy._crew import Crew
from flowpy._flow import as_flow
from flowpy.io._lines import check_codec, in_thread_for_sure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from flowpy._crew import Channel
    from flowpy._types import FlowLike

AHEAD = 1024
"""Lines that may wait while others are being written; they share a hop to a thread."""


def write_lines(
    path: str | os.PathLike[str],
    *,
    append: bool = False,
    atomic: bool = False,
    encoding: str = "utf-8",
    errors: str = "strict",
) -> Callable[[FlowLike[str]], Coroutine[Any, Any, int]]:
    r"""Write the items of a flow to a text file, a line each: `flow.pipe(write_lines(path))`.

    Each item is written with a `\n` behind it, in a worker thread, as soon as the one
    before is through; of a fast flow many items are written at once. The flow runs in a
    task of its own.

    Args:
        path: The file; made if it is not there. What is in it is overwritten.
        append: Whether to write behind what is in it instead.
        atomic: Whether the file is to change at once, when all is well: the lines are
            written to another file in the same folder, which takes its place, on disk,
            after the last one. After an error or a cancellation the file is as it was.
        encoding: Name of a text encoding.
        errors: What to do with characters that can't be encoded, as for `open`.

    Shape: a function of a flow; awaited, what it returns is the number of lines. Holds
    2048 items at most. The file is closed, in a thread, however the collection ends;
    but for `atomic`, what came before an error is in it.

    Raises:
        TypeError: at the call, if an argument is of the wrong type; while running, if an
            item is not a str.
        ValueError: at the call, if `encoding` or `errors` is unknown, or both `append`
            and `atomic` are given.
        OSError: while running, if the file can't be written; if it is `atomic` and what
            is there is no regular file.
        UnicodeEncodeError: while running, if `errors` is `"strict"` and an item can't be
            encoded.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sink = write_lines(f"{folder}/trees", atomic=True)
        ...     print(run(Flow.of("ash", "elm").pipe, sink))
        ...     run(lines(f"{folder}/trees").to_list)
        2
        ['ash', 'elm']

    Source: Okio's `sink` and Python's `writelines`; `atomic` as in git.
    """
    check_type("path", path, str, os.PathLike)
    check_type("append", append, bool)
    check_type("atomic", atomic, bool)
    check_codec(encoding, errors)
    if append and atomic:
        message = "append and atomic exclude each other; got both"
        raise ValueError(message)

    async def write(flow: FlowLike[str]) -> int:
        source = as_flow(flow)
        count = 0
        async with Writer(
            path, encoding, errors, append=append, atomic=atomic
        ) as writer:
            await writer.open()
            async with Crew("write_lines") as crew:
                channel: Channel[str] = crew.channel(AHEAD)
                crew.pump(source._open(), channel)
                while channel.items or await channel.more():
                    batch = channel.take_all()
                    await writer.write(batch)
                    count += len(batch)
            await writer.finish()
        return count

    return write


class Writer:
    """A file that is written in worker threads, or another that is to take its place."""

    __slots__ = (
        "_atomic",
        "_closed",
        "_codec",
        "_file",
        "_lock",
        "_mode",
        "_path",
        "_temporary",
    )

    def __init__(
        self,
        path: str | os.PathLike[str],
        encoding: str,
        errors: str,
        *,
        append: bool,
        atomic: bool,
    ) -> None:
        self._path = os.fspath(path)
        self._codec = encoding, errors
        self._mode = "a" if append else "w"
        self._atomic = atomic
        self._temporary: str | None = None
        self._file: IO[str] | None = None
        # A task that asyncio cancels does not wait for its thread: see `Reader`.
        self._lock = Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await in_thread_for_sure(self._close)

    async def open(self) -> None:
        """Open the file; inside of the block, so that it is closed in any case."""
        await to_thread.run_sync(self._open)

    async def write(self, batch: list[str]) -> None:
        """Write lines, and have others see them."""
        await to_thread.run_sync(self._write, batch)

    async def finish(self) -> None:
        """Close the file, and let it take its place."""
        await to_thread.run_sync(self._finish)

    def _open(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self._atomic:
                self._open_temporary()
            else:
                self._file = self._text(self._path, self._mode)

    def _open_temporary(self) -> None:
        self._path = os.path.realpath(self._path)  # or it would replace a link to it
        try:
            mode = os.stat(self._path).st_mode
        except FileNotFoundError:
            mode = None
        if mode is not None and not S_ISREG(mode):
            message = "only a regular file can be replaced"
            raise OSError(EINVAL, message, self._path)
        name = f".flowpy-{token_hex(8)}.tmp"
        self._temporary = os.path.join(os.path.dirname(self._path), name)
        self._file = self._text(self._temporary, "x")
        if mode is not None:
            os.chmod(self._temporary, S_IMODE(mode))

    def _text(self, path: str, mode: str) -> IO[str]:
        encoding, errors = self._codec
        return open(path, mode, encoding=encoding, errors=errors, newline="\n")

    def _write(self, batch: list[str]) -> None:
        with self._lock:
            file = self._file
            if file is None:
                return
            # One by one, so that those before one that can't be written are.
            for line in batch:
                if not isinstance(line, str):
                    message = f"write_lines takes items of type str; got {line!r}"
                    raise TypeError(message)
                file.write(line + "\n")
            file.flush()

    def _finish(self) -> None:
        with self._lock:
            file = self._file
            if file is None:
                return
            if self._temporary is not None:
                file.flush()
                os.fsync(file.fileno())
            file.close()
            if self._temporary is not None:
                os.replace(self._temporary, self._path)
                self._temporary = None
                sync_folder(os.path.dirname(self._path))

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            file, self._file = self._file, None
            # What fails here has failed before: that error is on its way.
            if file is not None:
                with suppress(OSError):
                    file.close()
            if self._temporary is not None:
                with suppress(OSError):
                    os.unlink(self._temporary)


def sync_folder(path: str) -> None:
    """Have a new name in a folder written to disk, where the system can do that."""
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
