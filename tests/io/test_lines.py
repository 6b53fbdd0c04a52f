"""flowpy.io: files and standard input become lines, and are closed."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from itertools import pairwise
from threading import Event, current_thread, get_ident

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from flowpy import FlowConsumedError, run
from flowpy.io import _lines, lines, stdin_lines
from flowpy.io._lines import (
    NamedFile,
    Reader,
    Splitter,
    in_daemon_thread,
    in_thread_for_sure,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def write(tmp_path):
    """Write bytes to a file and return its path."""

    def write(data, name="some.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.fixture
def stdin(monkeypatch):
    """Make standard input a pipe, and return what writes to it."""
    number, end = os.pipe()
    with open(number) as file, open(end, "wb", buffering=0) as writer:
        monkeypatch.setattr(sys, "stdin", file)
        yield writer


@pytest.fixture
def opened(monkeypatch):
    """Collect the files that named files open, each with the threads it was used in."""
    files = []

    class Watched(io.FileIO):
        def __init__(self, *args):
            super().__init__(*args)
            self.read_in, self.closed_in = [], []
            files.append(self)

        def read(self, size=-1):
            self.read_in.append(get_ident())
            return super().read(size)

        def close(self):
            self.closed_in.append(get_ident())
            super().close()

    monkeypatch.setattr(NamedFile, "open", lambda self: Watched(self._path))
    return files


# ------------------------------------------------------------------- cutting lines


def cut(pieces, encoding="utf-8", errors="strict"):
    splitter = Splitter(encoding, errors)
    found = [line for piece in [*pieces, b""] for line in splitter.feed(piece)]
    splitter.check()
    return found


def python_lines(text):
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


texts = st.text(
    st.sampled_from("\r\n") | st.sampled_from("aé€😀\x0b\x0c\x1c\x85\u2028\ufeff")
)


@given(
    texts,
    st.sampled_from(["utf-8", "utf-16", "utf-32-be", "shift_jisx0213", "utf-7"]),
    st.data(),
)
def test_bytes_in_any_pieces_become_the_lines_that_python_reads(text, encoding, data):
    raw = text.encode(encoding, "ignore")
    text = raw.decode(encoding)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)))))
    ends = [0, *cuts, len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(ends) if a < b]

    assert cut(pieces, encoding) == python_lines(text)


@given(st.binary(), st.data())
def test_undecodable_bytes_in_any_pieces_are_replaced_as_python_does(raw, data):
    ends = [0, *sorted(data.draw(st.lists(st.integers(0, len(raw))))), len(raw)]
    pieces = [raw[a:b] for a, b in pairwise(ends) if a < b]
    text = raw.decode(errors="replace")

    assert cut(pieces, errors="replace") == python_lines(text)


def test_a_line_is_given_as_soon_as_its_end_is_there():
    splitter = Splitter("utf-8", "strict")
    found = [splitter.feed(piece) for piece in (b"a\r", b"\nb", b"\n", b"\n", b"")]

    assert found == [["a"], [], ["b"], [""], []]


@pytest.mark.parametrize(
    ("encoding", "pieces", "before"),
    [
        ("utf-8", [b"one\ntwo\nth\xffree\nfour\n"], ["one", "two"]),
        ("utf-8", [b"one\ntwo\n\xc3", b"(\nfour\n"], ["one", "two"]),
        ("utf-8", [b"one\n\xe2\x82"], ["one"]),
        ("ascii", [b"one\n", b"two\n\xff"], ["one", "two"]),
        ("utf-16", [b"\xff\xfe1", b"\x00\n\x002\x00\n\x00\x00\xdcx"], ["1", "2"]),
        ("shift_jis", [b"one\n\x83", b"\x5c\n\x83\n"], ["one", "ソ"]),
    ],
)
def test_the_lines_before_an_undecodable_one_come_before_the_error(
    encoding, pieces, before
):
    splitter = Splitter(encoding, "strict")
    found = []
    for piece in [*pieces, b""]:
        if not splitter.ended:
            found += splitter.feed(piece)

    assert found == before
    assert splitter.ended
    with pytest.raises(UnicodeDecodeError):
        splitter.check()


# --------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo", ["one", "", "two"]),
        (b"one\r\ntwo\rthree\n\r", ["one", "two", "three", ""]),
        ("a\x0bb\x0cc\x1cd\x85e\u2028f".encode(), ["a\x0bb\x0cc\x1cd\x85e\u2028f"]),
    ],
)
async def test_lines_come_without_their_ends(write, data, expected):
    assert await lines(write(data)).to_list() == expected


@pytest.mark.parametrize("hint", [1, 3, 65536, sys.maxsize * 2])
async def test_the_hint_does_not_change_the_lines(write, hint):
    path = write("zwölf\r\nBoxkämpfer €\nend".encode())

    assert await lines(path, hint=hint).to_list() == ["zwölf", "Boxkämpfer €", "end"]


async def test_each_collection_opens_the_file_again(write):
    path = write(b"old\n")
    flow = lines(str(path))
    before = await flow.to_list()
    write(b"new\nnewer\n")

    assert before == ["old"]
    assert await flow.to_list() == ["new", "newer"]


async def test_a_missing_file_is_an_error_of_the_collection(tmp_path):
    flow = lines(tmp_path / "missing.txt")

    with pytest.raises(FileNotFoundError):
        await flow.to_list()
    with pytest.raises(IsADirectoryError):
        await lines(tmp_path).to_list()


async def test_other_encodings_and_error_handlers_are_taken(write):
    data = "süß\n".encode("latin-1")

    assert await lines(write(data), encoding="latin-1").to_list() == ["süß"]
    assert await lines(write(data), errors="replace").to_list() == ["s\ufffd\ufffd"]
    assert await lines(write(b"\xef\xbb\xbfa"), encoding="utf-8-sig").to_list() == ["a"]


async def test_what_cannot_be_decoded_is_an_error_after_the_lines_before_it(write):
    seen = []

    with pytest.raises(UnicodeDecodeError, match="0xff"):
        await lines(write(b"one\ntwo\nth\xffree\nfour\n")).collect(seen.append)
    assert seen == ["one", "two"]


async def test_many_lines_share_one_hop_to_a_worker_thread(write, opened):
    path = write(b"line\n" * 10_000)

    assert await lines(path, hint=10_000).count() == 10_000
    assert len(opened[0].read_in) == 6  # five batches, and the end
    assert get_ident() not in opened[0].read_in


async def ends(flow):
    await flow.collect()


async def stops_early(flow):
    assert await flow.first() == "line"


async def fails(flow):
    with pytest.raises(ZeroDivisionError):
        await flow.collect(lambda line: 1 / 0)


async def is_cancelled_between_lines(flow):
    with anyio.CancelScope() as scope:
        await (
            flow.on_each(lambda line: scope.cancel())
            .on_each(lambda line: anyio.sleep_forever())
            .collect()
        )
    assert scope.cancelled_caught


async def is_cancelled_before_it_begins(flow):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await flow.collect()
    assert scope.cancelled_caught


async def is_left(flow):
    async with flow.open() as items:
        async for _ in items:
            break


@pytest.mark.parametrize(
    "collection",
    [
        ends,
        stops_early,
        fails,
        is_cancelled_between_lines,
        is_cancelled_before_it_begins,
        is_left,
    ],
)
async def test_the_file_is_closed_in_a_thread_however_the_collection(
    write, opened, collection
):
    await collection(lines(write(b"line\n" * 100), hint=64))

    assert all(file.closed for file in opened)
    assert [len(file.closed_in) for file in opened] == [1] * len(opened)
    assert all(get_ident() not in file.closed_in for file in opened)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_file_that_a_thread_still_reads_is_closed_after_that(
    write, monkeypatch, times
):
    reading, go_on = Event(), Event()
    log = []

    class Slow(io.FileIO):
        def read(self, size=-1):
            log.append("read")
            reading.set()
            go_on.wait()
            log.append("has read")
            return super().read(size)

        def close(self):
            log.append("close")
            super().close()

    monkeypatch.setattr(NamedFile, "open", lambda self: Slow(self._path))
    task = asyncio.create_task(lines(write(b"line\n")).collect())
    await anyio.to_thread.run_sync(reading.wait)
    for _ in range(times):
        task.cancel()  # as asyncio.timeout and Ctrl-C do: it does not wait for threads
        await checkpoint()
        await checkpoint()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["read", "has read", "close"]


def test_a_thread_that_comes_too_late_opens_and_reads_nothing(write, opened):
    reader = Reader(NamedFile(write(b"line\n")), Splitter("utf-8", "strict"), 10)
    reader._close()
    reader._open()

    assert reader._read() == []
    assert opened == []


async def test_other_tasks_get_a_turn_within_a_batch(write, monkeypatch):
    monkeypatch.setattr("flowpy._iterating.TURN", 0)
    flow = lines(write(b"\n" * 1000))
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks, flow.open() as items:
        await anext(items)
        tasks.start_soon(count_turns)
        async for _ in items:
            pass
        tasks.cancel_scope.cancel()

    assert turns > 500  # a slice an item, where items take as long as a turn


async def test_a_named_pipe_gives_each_line_as_it_comes(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    flow = lines(path)
    end = os.open(path, os.O_RDWR)
    os.write(end, b"one\ntw")
    async with flow.open() as items:
        first = await anext(items)
        os.write(end, b"o\r\n")
        second = await anext(items)
        os.close(end)
        rest = [line async for line in items]

    assert (first, second, rest) == ("one", "two", [])


async def test_waiting_for_the_writer_of_a_named_pipe_can_be_cancelled(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with anyio.move_on_after(3600) as scope:
        await lines(path).to_list()

    assert scope.cancelled_caught


async def test_a_device_that_cannot_be_waited_for_is_read_in_a_thread():
    assert await lines(os.devnull).to_list() == []


# ------------------------------------------------------------------ standard input


async def test_standard_input_gives_each_line_as_it_comes(stdin):
    seen = []
    async with stdin_lines().open() as items:
        for data in (b"one\r", b"\ntw\xe2", b"\x82\xac\n"):
            stdin.write(data)
            if data[-1:] in b"\r\n":
                seen.append(await anext(items))
        stdin.write(b"end")
        stdin.close()
        seen += [line async for line in items]

    assert seen == ["one", "tw€", "end"]


async def test_waiting_for_standard_input_can_be_cancelled(stdin):
    with anyio.move_on_after(3600) as scope:
        await stdin_lines().to_list()

    assert scope.cancelled_caught
    assert not sys.stdin.closed
    os.fstat(sys.stdin.fileno())  # it is left open


async def test_a_regular_file_as_standard_input_is_read_in_batches(write, monkeypatch):
    with open(write(b"one\ntwo")) as file:
        monkeypatch.setattr(sys, "stdin", file)
        found = await stdin_lines().to_list()

    assert found == ["one", "two"]


async def test_standard_input_can_be_collected_once(stdin):
    flow = stdin_lines()
    stdin.close()
    await flow.collect()

    with pytest.raises(FlowConsumedError, match="once"):
        await flow.collect()
    assert await stdin_lines().to_list() == []


async def test_a_closed_standard_input_is_an_error_of_the_collection(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)

    with pytest.raises(OSError, match="standard input is closed"):
        await stdin_lines().collect()


@pytest.mark.parametrize("error", [NotImplementedError(), PermissionError()])
async def test_where_the_loop_cannot_wait_a_thread_does(stdin, monkeypatch, error):
    async def wait_readable(number):
        raise error

    monkeypatch.setattr(_lines, "wait_readable", wait_readable)
    stdin.write(b"one\n")
    stdin.write(b"two\n")
    stdin.close()

    assert await stdin_lines().to_list() == ["one", "two"]


async def test_what_another_process_was_faster_to_read_is_waited_for_again(
    stdin, monkeypatch
):
    os.set_blocking(sys.stdin.fileno(), False)
    waits = []

    async def wait_readable(number):
        waits.append(number)
        if len(waits) == 2:
            stdin.write(b"late\n")
            stdin.close()

    monkeypatch.setattr(_lines, "wait_readable", wait_readable)

    assert await stdin_lines().to_list() == ["late"]
    assert len(waits) == 3


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_standard_input_keeps_its_blocking_mode(stdin, backend):
    stdin.write(b"one\n")
    blocking = []
    flow = stdin_lines().on_each(
        lambda line: blocking.append(os.get_blocking(sys.stdin.fileno()))
    )

    assert run(flow.first, backend=backend) == "one"
    assert blocking == [True]


async def test_an_error_in_a_daemon_thread_is_raised_by_the_task():
    error = ZeroDivisionError()

    def fail():
        raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await in_daemon_thread(fail)
    assert caught.value is error


async def test_an_error_of_cleaning_up_is_raised_by_the_task():
    with pytest.raises(ZeroDivisionError):
        await in_thread_for_sure(lambda: 1 / 0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_daemon_thread_that_still_waits_is_left_behind(backend):
    started, go_on, threads = Event(), Event(), []

    def wait():
        threads.append(current_thread())
        started.set()
        go_on.wait()

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(in_daemon_thread, wait)
            await anyio.to_thread.run_sync(started.wait)
            tasks.cancel_scope.cancel()

    run(main, backend=backend)  # ends, though the thread has not
    still_waits = threads[0].is_alive()
    go_on.set()
    threads[0].join()

    assert still_waits


# ----------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: lines(3), TypeError, "path must be str or PathLike; got 3"),
        (lambda: lines(b"a"), TypeError, "path must be str or PathLike; got b'a'"),
        (lambda: lines("a", hint=0), ValueError, "hint must be >= 1; got 0"),
        (lambda: lines("a", hint=1.5), TypeError, "hint must be an integer; got 1.5"),
        (lambda: lines("a", encoding=None), TypeError, "encoding must be str; got"),
        (lambda: lines("a", encoding="hex"), ValueError, "encoding must be .*'hex'"),
        (lambda: lines("a", encoding="a\0"), ValueError, "encoding must be .*x00"),
        (lambda: stdin_lines(encoding="no"), ValueError, "encoding must be .*'no'"),
        (lambda: lines("a", errors=1), TypeError, "errors must be str; got 1"),
        (lambda: stdin_lines(errors="no"), ValueError, "errors must be .*'no'"),
    ],
)
def test_arguments_are_checked_at_the_call(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_flows_of_lines_read_like_the_calls_that_made_them():
    assert repr(lines("a.log").take(3)) == "lines('a.log').take(3)"
    assert repr(stdin_lines().map(str.upper)) == "stdin_lines().map(str.upper)"
