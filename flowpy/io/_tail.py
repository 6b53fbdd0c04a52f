"""Following a file that others write: what is appended, cut off and put in its place."""

from __future__ import annotations

import os
from contextlib import suppress
from errno import ESPIPE
from importlib import import_module
from importlib.util import find_spec
from stat import S_ISREG
from threading import Event as ThreadEvent
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self

from anyio import Event, move_on_after, to_thread

from flowpy._checks import check_choice, check_period, check_type
from flowpy._flow import made
from flowpy._iterating import Turns
from flowpy._operator import name_of, operator
from flowpy._scheduler import current_scheduler
from flowpy.io._lines import (
    BATCH,
    Splitter,
    check_codec,
    in_thread_for_sure,
    open_at_once,
)

if TYPE_CHECKING:
    from flowpy._flow import Flow
    from flowpy._types import Duration, Items

KNOWN = 256
"""Bytes before the place reached that are read again, to see if they still stand."""

RARELY = 1.0
"""Seconds between two looks at a file whose folder is watched: just to be sure."""


def tail(
    path: str | os.PathLike[str],
    *,
    from_end: bool = True,
    poll: Duration = 0.1,
    encoding: str = "utf-8",
    errors: str = "strict",
    watch: bool | None = None,
) -> Flow[str]:
    r"""Follow a text file that is being written, and give each line when it has ended.

    The file may be missing at first, and go through what is done to logs:

    * renamed or deleted, and another put in its place: the old one is followed until
      there is something in the new one, and read to its end before that;
    * cut off or written anew: it is read from its beginning, once the bytes before the
      place reached are no longer there. What is cut off before it was read is lost.

    Where a file ends for good like that, its last line need not be ended. A file that
    comes and goes between two looks is not seen.

    Args:
        path: The file; each collection opens it again.
        from_end: Whether to leave out the lines that have already ended in the file
            that is there when the collection starts.
        poll: Seconds between two looks at the file, > 0.
        encoding: Name of a text encoding.
        errors: What to do with bytes that can't be decoded, as for `open`.
        watch: Whether the operating system is to tell when the folder changes, by
            `watchfiles` (extra `watch`), so that lines come within about 20 ms and a
            file at rest costs next to nothing; if not given, where that is installed.

    Shape: lines out, in order, until the collection is stopped: it never ends. Holds the
    lines of one batch, and two open files at most; reads in worker threads.

    Raises:
        TypeError: at the call, if an argument is of the wrong type.
        ValueError: at the call, if `poll` is not finite and > 0, or `encoding` or
            `errors` is unknown.
        ModuleNotFoundError: at the call, if `watch` is True and `watchfiles` is not
            installed.
        OSError: while running, if the file is there and can't be read, or is no regular
            file (`lines` gives the lines of a named pipe as they come).
        UnicodeDecodeError: while running, after the lines before the one that can't be
            decoded, if `errors` is `"strict"`.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w") as file:
        ...     print("old", file=file, flush=True)
        ...
        ...     async def main():
        ...         async with tail(file.name, from_end=False).open() as items:
        ...             old = await anext(items)
        ...             print("new", file=file, flush=True)
        ...             return old, await anext(items)
        ...
        ...     run(main)
        ('old', 'new')

    Source: `tail -F`.
    """
    check_type("path", path, str, os.PathLike)
    check_type("from_end", from_end, bool)
    seconds = check_period("poll", poll)
    check_codec(encoding, errors)
    check_choice("watch", watch, True, False, None)  # noqa: FBT003 - they are choices
    installed = find_spec("watchfiles") is not None
    if watch and not installed:
        message = (
            'watch=True needs watchfiles: pip install "flowpy-stream[watch]"; without '
            "it, or with watch=False, the file is looked at each `poll` seconds"
        )
        raise ModuleNotFoundError(message, name="watchfiles")
    watched = installed if watch is None else watch
    values = (path, from_end, seconds, encoding, errors, watched)
    return made((followed_lines,), (values,))


def describe(path: str | os.PathLike[str], from_end: bool, *_: object) -> str:  # noqa: FBT001 - an operator's arguments
    """Return how a flow that follows a file reads."""
    return f"tail({name_of(path)}{'' if from_end else ', from_end=False'})"


@operator(show=describe)
async def followed_lines(
    path: str | os.PathLike[str],
    from_end: bool,  # noqa: FBT001 - an operator
    poll: float,
    encoding: str,
    errors: str,
    watched: bool,  # noqa: FBT001 - an operator
) -> Items[str]:
    followed = Followed(path, encoding, errors, from_end=from_end)
    async with Bell(poll, path, watched=watched) as bell, followed:
        while not followed.ended:
            with Turns(await followed.batch(bell)) as turns:
                for part in turns:
                    for line in part:
                        yield line
                    if turns.over():
                        await turns.let_others_run()
        followed.check()


# ------------------------------------------------------------------ what there is to read


class Growing:
    """An open file that others write; how far it has been read."""

    __slots__ = ("_file", "_known", "_position", "identity")

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = open(path, "rb", buffering=0, opener=open_at_once)  # noqa: SIM115 - closed by `close`
        status = os.fstat(self._file.fileno())
        if not S_ISREG(status.st_mode):
            self._file.close()
            message = "only a regular file can be followed"
            raise OSError(ESPIPE, message, os.fspath(path))
        self.identity = identity_of(status)
        self._position = 0
        self._known = b""

    def read(self, size: int = BATCH) -> bytes | None:
        """Return what comes next; None if what came before is no longer there.

        Then it begins anew. The size of the file alone would not tell that it was cut
        and has grown past the place reached since.
        """
        known = self._known
        self._file.seek(self._position - len(known))
        data = self._file.read(len(known) + size)
        if not data.startswith(known):
            self._position = 0
            self._known = b""
            return None
        self._position += len(data) - len(known)
        self._known = data[-KNOWN:]
        return data[len(known) :]

    def size(self) -> int:
        """Return how many bytes there are."""
        return os.fstat(self._file.fileno()).st_size

    def skip_lines(self, end: int) -> int:
        r"""Go to the last byte before `end` that ends a line; return the bytes to `end`.

        That byte is read again, for a `\n` belongs to the `\r` that came before it. What
        is before it is known, as if it had been read.
        """
        start = end
        while start > 0:
            stop, start = start, max(start - BATCH, 0)
            self._file.seek(start)
            data = self._file.read(stop - start)
            found = max(data.rfind(b"\n"), data.rfind(b"\r"))
            if found >= 0:
                start += found
                break
        self._position = start
        self._file.seek(max(start - KNOWN, 0))
        self._known = self._file.read(min(start, KNOWN))
        return end - start

    def close(self) -> None:
        self._file.close()


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from others, as long as it is open."""
    return status.st_dev, status.st_ino


class Followed:
    """What has come of the file of a name, and of the one that takes its place."""

    __slots__ = (
        "_closed",
        "_codec",
        "_file",
        "_from_end",
        "_lock",
        "_next",
        "_old",
        "_path",
        "_splitter",
    )

    def __init__(
        self,
        path: str | os.PathLike[str],
        encoding: str,
        errors: str,
        *,
        from_end: bool,
    ) -> None:
        self._path = path
        self._codec = encoding, errors
        self._splitter = Splitter(encoding, errors)
        self._from_end = from_end
        self._file: Growing | None = None
        self._next: Growing | None = None
        self._old = 0  # bytes to come that were there at the start: their lines are not
        # A task that asyncio cancels does not wait for its thread: see `Reader`.
        self._lock = Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await in_thread_for_sure(self._close)

    @property
    def ended(self) -> bool:
        """Whether something came that can't be decoded."""
        return self._splitter.ended

    def check(self) -> None:
        """Raise the error that made an end of it."""
        self._splitter.check()

    async def batch(self, bell: Bell) -> list[str]:
        """Wait until something has come, and return the lines that end in it."""
        while True:
            bell.listen()
            found = await to_thread.run_sync(self._step)
            if found is not None:
                return found
            await bell.rung()

    def _step(self) -> list[str] | None:
        """Return the lines that end in what comes next; None if there is nothing."""
        with self._lock:
            if self._closed:
                return []
            if self._file is None:
                self._file = self._begin()
            if self._file is None:
                return None
            return self._skip(self._file) if self._old else self._read(self._file)

    def _begin(self) -> Growing | None:
        """Open the file, if it is there."""
        file = opened(self._path)
        if file is not None and self._from_end:
            self._old = file.size()
            if "\n".encode(self._codec[0]) == b"\n":
                self._old = file.skip_lines(self._old)
            # In other encodings that byte may be anything: they are read from the start.
        self._from_end = False  # a file that comes later is new
        return file

    def _skip(self, file: Growing) -> list[str]:
        """Read what was there at the start, for an unfinished line is to be whole."""
        data = file.read(min(self._old, BATCH))
        if data:
            self._old -= len(data)
            self._splitter.feed(data)
        else:  # it has been cut meanwhile
            self._old = 0
            self._splitter = Splitter(*self._codec)
        return []

    def _read(self, file: Growing) -> list[str] | None:
        # To look first makes sure that all is read which was written before the other
        # file had anything in it.
        successor = self._successor(file)
        data = file.read()
        if data:
            return self._splitter.feed(data)
        if data is None:
            return self._finish()
        if successor is None:
            return None
        file.close()
        self._file, self._next = successor, None
        return self._finish()

    def _successor(self, file: Growing) -> Growing | None:
        """Return the file that was put in its place, once there is something in that.

        Whoever writes may have the old one open for a while after that, but then
        nothing is in the new one.
        """
        if self._next is not None and self._next.size():
            return self._next
        try:
            there = identity_of(os.stat(self._path))
        except FileNotFoundError:
            return None
        if there == (self._next or file).identity:
            return None
        if self._next is not None:
            self._next.close()
        self._next = opened(self._path)
        if self._next is None:
            return None
        if self._next.identity == file.identity:  # it is back in its place
            self._next.close()
            self._next = None
            return None
        return self._next if self._next.size() else None

    def _finish(self) -> list[str]:
        """Return the last line of what has ended, if one is left, and begin anew."""
        found = self._splitter.feed(b"")
        if self._splitter.error is None:
            self._splitter = Splitter(*self._codec)
        return found

    def _close(self) -> None:
        with self._lock:
            self._closed = True
            for file in (self._file, self._next):
                if file is not None:
                    file.close()


def opened(path: str | os.PathLike[str]) -> Growing | None:
    """Open a file to follow it, if it is there."""
    try:
        return Growing(path)
    except FileNotFoundError:
        return None


# --------------------------------------------------------------------- when to look again


class Bell:
    """Tells when to look at a file again: each `poll` seconds, or when it may have changed.

    For the latter a thread watches the folder of the file, and as long as it does, the
    file is otherwise looked at rarely.
    """

    __slots__ = ("_call", "_event", "_folder", "_limit", "_poll", "_stop", "_thread")

    def __init__(
        self, poll: float, path: str | os.PathLike[str], *, watched: bool
    ) -> None:
        self._poll = self._limit = poll
        self._folder = os.path.dirname(os.path.abspath(path))
        self._event = Event()
        self._stop = ThreadEvent()
        self._call = current_scheduler().caller()
        self._thread = (
            Thread(target=self._watch, name="flowpy.io.tail", daemon=True)
            if watched
            else None
        )

    async def __aenter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    async def __aexit__(self, *raised: object) -> None:
        self._stop.set()
        if self._thread is not None:
            await in_thread_for_sure(self._thread.join)

    def listen(self) -> None:
        """Forget what was, before the file is looked at."""
        self._event = Event()

    async def rung(self) -> None:
        """Wait until the file is to be looked at again."""
        with move_on_after(self._limit):
            await self._event.wait()

    # In the thread:

    def _watch(self) -> None:
        # It may fail, as the folder is not there or the system watches too many: then
        # the file is looked at each `poll` seconds. Or the event loop has ended.
        with suppress(Exception):
            for _ in import_module("watchfiles").watch(
                self._folder,
                # A change that passed the filter would be logged by watchfiles, perhaps
                # into that very file: a change for ever.
                watch_filter=self._notice,
                debounce=50,
                step=10,
                stop_event=self._stop,
                rust_timeout=int(RARELY * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            ):
                self._call(self._trust)
        with suppress(RuntimeError):
            self._call(self._distrust)

    def _notice(self, change: object, path: str) -> bool:
        self._call(self._ring)
        return False

    # In the event loop:

    def _ring(self) -> None:
        self._trust()
        self._event.set()

    def _trust(self) -> None:
        self._limit = max(self._poll, RARELY)

    def _distrust(self) -> None:
        self._limit = self._poll
        self._event.set()
