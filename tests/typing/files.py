"""What type checkers infer for the lines of files and programs."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from flowpy import Flow
from flowpy.io import lines, process_lines, stdin_lines, tail, write_lines


def sources(path: Path) -> None:
    assert_type(lines(path, hint=10), Flow[str])
    assert_type(tail("a.log", from_end=False, poll=0.5, watch=None), Flow[str])
    assert_type(stdin_lines(), Flow[str])
    assert_type(process_lines("ls", path, check=False, env={}), Flow[str])
    assert_type(tail(path).map(len), Flow[int])


async def sinks(path: Path, names: Flow[str]) -> None:
    assert_type(await names.pipe(write_lines(path)), int)
    assert_type(await write_lines("a", append=True)(["one"]), int)
    assert_type(await Flow.of(1).map(str).pipe(write_lines(path, atomic=True)), int)


async def wrong(numbers: Flow[int]) -> None:
    await numbers.pipe(write_lines("a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    write_lines("a", True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    process_lines(["ls"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    lines(b"a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tail("a", poll="1s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
