"""Lines that another process prints, and how that process is ended."""

from __future__ import annotations

import os
from errno import ECANCELED
from subprocess import DEVNULL, PIPE, CalledProcessError, Popen, TimeoutExpired
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self, cast

from flowpy._checks import check_duration, check_type
from flowpy._flow import made
from flowpy._iterating import Turns
from flowpy._operator import names_of, operator
from flowpy.io._lines import (
    BATCH,
    Reader,
    Splitter,
    check_codec,
    in_daemon_thread,
    in_thread_for_sure,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO

    from flowpy._flow import Flow
    from flowpy._types import Duration, Items

KEPT = 8192
"""Bytes of standard error that are kept: the last ones."""

LINGER = 0.5
"""Seconds to wait for the end of standard error, which the process may have left open
to another one."""


def process_lines(
    *command: str | os.PathLike[str],
    check: bool = True,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    grace: Duration = 5,
) -> Flow[str]:
    r"""Run a program and give the lines of its standard output, each as it comes.

    Each collection starts the program, in a worker thread and without a shell, and ends
    it: where the collection stops early, fails or is cancelled, its output is closed, it
    is asked to terminate, and killed if it has not ended within `grace` seconds. (What
    it has started itself is left to it.) Its standard input is empty. Standard error is
    read all the time, so that the program never waits for it.

    Args:
        command: The program and its arguments; found as `subprocess.run` does.
        check: Whether an exit status other than 0 is an error.
        cwd: The directory to run it in, if not the current one.
        env: Its environment variables, if not those of this process.
        encoding: Name of the text encoding of its output.
        errors: What to do with bytes that can't be decoded, as for `open`.
        grace: Seconds between asking it to terminate and killing it, finite, >= 0.

    Shape: n lines out, in order; ends when the output has ended and the program too.
    Holds the lines of one batch, and the last 8 KiB of standard error.

    Raises:
        TypeError: at the call, if an argument is of the wrong type.
        ValueError: at the call, if there is no command, `encoding` or `errors` is
            unknown, or `grace` is negative, NaN or infinite.
        FileNotFoundError: while running, if there is no such program or `cwd`.
        OSError: while running, if it can't be started.
        subprocess.CalledProcessError: while running, after the last line, if `check`
            and the exit status is not 0, with the end of standard error in its
            `.stderr` and in a note.
        UnicodeDecodeError: while running, after the lines before the one that can't be
            decoded, if `errors` is `"strict"`.

    Example:
        >>> import sys
        >>> run(
        ...     process_lines(
        ...         sys.executable, "-c", "print('ash'); print('elm')"
        ...     ).to_list
        ... )
        ['ash', 'elm']

    Source: `subprocess.run(..., check=True)`.
    """
    if not command:
        message = "command must name a program; got nothing"
        raise ValueError(message)
    for argument in command:
        check_type("command", argument, str, os.PathLike)
    check_type("check", check, bool)
    if cwd is not None:
        check_type("cwd", cwd, str, os.PathLike)
    check_codec(encoding, errors)
    seconds = check_duration("grace", grace)
    variables = None if env is None else dict(env)
    values = (command, check, cwd, variables, encoding, errors, seconds)
    return made((printed_lines,), (values,))


def describe(command: tuple[str | os.PathLike[str], ...], *_: object) -> str:
    """Return how a flow of a process's lines reads."""
    return f"process_lines({', '.join(names_of(command))})"


@operator(show=describe)
async def printed_lines(
    command: tuple[str | os.PathLike[str], ...],
    check: bool,  # noqa: FBT001 - an operator
    cwd: str | os.PathLike[str] | None,
    env: dict[str, str] | None,
    encoding: str,
    errors: str,
    grace: float,
) -> Items[str]:
    splitter = Splitter(encoding, errors)
    process = Process(command, cwd, env, grace)
    async with process, Reader(process, splitter, BATCH) as reader:
        await reader.open()
        while not splitter.ended:
            with Turns(await reader.batch()) as turns:
                for part in turns:
                    for line in part:
                        yield line
                    if turns.over():
                        await turns.let_others_run()
        splitter.check()
        await process.end(check=check)


class Process:
    """A process that is started for one collection, and ends with it."""

    __slots__ = ("_closed", "_command", "_cwd", "_env", "_grace", "_lock", "_running")

    def __init__(
        self,
        command: tuple[str | os.PathLike[str], ...],
        cwd: str | os.PathLike[str] | None,
        env: dict[str, str] | None,
        grace: float,
    ) -> None:
        self._command = command
        self._cwd = cwd
        self._env = env
        self._grace = grace
        self._running: tuple[Popen[bytes], LastBytes] | None = None
        # A task that asyncio cancels does not wait for its thread: see `Reader`.
        self._lock = Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await in_thread_for_sure(self._close)

    def open(self) -> FileIO:
        """Start it and return its standard output, to be closed by the caller."""
        with self._lock:
            if self._closed:
                raise OSError(ECANCELED, os.strerror(ECANCELED))
            process = Popen(
                self._command,
                bufsize=0,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                cwd=self._cwd,
                env=self._env,
            )
            complaints = LastBytes(cast("FileIO", process.stderr))
            complaints.start()
            self._running = process, complaints
            return cast("FileIO", process.stdout)

    async def end(self, *, check: bool) -> None:
        """Wait until it has ended by itself; raise what its exit status says."""
        status, complaints = await in_daemon_thread(self._wait)
        if not (check and status):
            return
        text = complaints.decode(errors="replace")
        error = CalledProcessError(status, list(self._command), None, text)
        if text.strip():
            error.add_note(f"its standard error ended with:\n{text.strip()}")
        raise error

    def _wait(self) -> tuple[int, bytes]:
        assert self._running is not None  # its output has been read
        process, complaints = self._running
        status = process.wait()
        complaints.join(LINGER)
        return status, complaints.kept

    def _close(self) -> None:
        """End it, if it has not ended by itself."""
        with self._lock:
            self._closed = True
            if self._running is None:
                return
            process, complaints = self._running
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(self._grace)
                except TimeoutExpired:
                    process.kill()
                    process.wait()
            complaints.join(LINGER)


class LastBytes(Thread):
    """Reads a pipe to its end, closes it, and keeps the last bytes."""

    def __init__(self, pipe: FileIO) -> None:
        super().__init__(name="flowpy.io.process_lines", daemon=True)
        self._pipe = pipe
        self.kept = b""

    def run(self) -> None:
        with self._pipe as pipe:
            while data := pipe.read(KEPT):
                self.kept = (self.kept + data)[-KEPT:]
