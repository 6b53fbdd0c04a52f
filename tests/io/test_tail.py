"""tail: a file is followed through whatever is done to it, and no line is lost."""

from __future__ import annotations

import asyncio
import io
import os
import random
import sys
import threading
from types import SimpleNamespace

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import run
from flowpy.io import _tail, tail
from flowpy.io._tail import Bell, Followed, Growing

pytestmark = pytest.mark.anyio

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


@pytest.fixture(autouse=True)
def without_watchfiles(monkeypatch):
    """Poll, whatever is installed; a test of watching asks for it."""
    monkeypatch.setattr(_tail, "find_spec", lambda name: None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.log"


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def follow(path, encoding="utf-8", errors="strict", *, from_end=False):
    return Followed(path, encoding, errors, from_end=from_end)


def new_lines(followed):
    """Return what comes until there is nothing more."""
    found = []
    while not followed.ended and (batch := followed._step()) is not None:
        found += batch
    return found


def python_lines(data, encoding="utf-8"):
    text = data.decode(encoding, "replace")
    return io.StringIO(text, newline=None).read().split("\n")


# ----------------------------------------------------------------------- as a flow


async def test_each_line_is_given_when_its_end_has_come(path):
    append(path, b"old\n")
    async with tail(path, from_end=False).open() as items:
        seen = [await anext(items)]
        append(path, b"one\ntw\xe2")
        seen.append(await anext(items))
        append(path, b"\x82\xac\r")
        seen.append(await anext(items))
        append(path, b"\nthree\n")
        seen.append(await anext(items))

    assert seen == ["old", "one", "tw€", "three"]


@pytest.fixture
def write_when_it_waits(path, monkeypatch):
    """Write these bytes each time when a tail has read all there is."""

    def write_when_it_waits(data):
        async def write(bell):
            append(path, data)
            await rung(bell)

        monkeypatch.setattr(Bell, "rung", write)

    rung = Bell.rung
    return write_when_it_waits


async def test_from_its_end_a_file_is_followed_from_the_unfinished_line_on(
    path, write_when_it_waits
):
    append(path, b"old\nun")
    write_when_it_waits(b"finished\n")

    assert await tail(path).take(2).to_list() == ["unfinished", "finished"]


async def test_a_file_that_is_not_there_yet_is_waited_for_and_read_from_its_start(
    path, write_when_it_waits
):
    write_when_it_waits(b"one\n")

    assert await tail(str(path)).take(2).to_list() == ["one", "one"]


async def test_waiting_for_lines_can_be_cancelled_at_once(path, monkeypatch):
    closed = []
    close = Growing.close

    def note(self):
        closed.append(threading.current_thread())
        close(self)

    monkeypatch.setattr(Growing, "close", note)
    append(path, b"one\n")
    with anyio.move_on_after(3600) as scope:
        await tail(path, poll=10**6).collect()

    assert scope.cancelled_caught
    assert len(closed) == 1
    assert closed[0] is not threading.main_thread()


async def test_each_collection_follows_anew(path):
    append(path, b"one\n")
    flow = tail(path, from_end=False)

    assert await flow.first() == await flow.first() == "one"


async def test_what_cannot_be_decoded_is_an_error_after_the_lines_before_it(path):
    append(path, b"one\nt\xffo\nthree\n")
    seen = []

    with pytest.raises(UnicodeDecodeError, match="0xff"):
        await tail(path, from_end=False).collect(seen.append)
    assert seen == ["one"]


async def test_what_is_no_regular_file_is_refused(path, tmp_path):
    os.mkfifo(path)

    with pytest.raises(OSError, match="only a regular file can be followed"):
        await tail(path).collect()
    with pytest.raises(IsADirectoryError):
        await tail(tmp_path).collect()


async def test_other_tasks_get_a_turn_within_a_batch(path, monkeypatch):
    monkeypatch.setattr("flowpy._iterating.TURN", 0)
    append(path, b"\n" * 1000)
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        flow = tail(path, from_end=False)
        async with flow.open() as items:
            await anext(items)
            tasks.start_soon(count_turns)
            for _ in range(999):
                await anext(items)
        tasks.cancel_scope.cancel()

    assert turns > 500


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_that_a_thread_still_reads_is_closed_after_that(path, monkeypatch):
    reading, go_on = threading.Event(), threading.Event()
    log = []

    class Slow(Growing):
        def read(self, size=0):
            log.append("read")
            reading.set()
            go_on.wait()
            log.append("has read")
            return super().read()

        def close(self):
            log.append("close")
            super().close()

    monkeypatch.setattr(_tail, "Growing", Slow)
    append(path, b"one\n")
    task = asyncio.create_task(tail(path, from_end=False).collect())
    await anyio.to_thread.run_sync(reading.wait)
    task.cancel()
    await anyio.lowlevel.checkpoint()
    go_on.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["read", "has read", "close"]


def test_a_thread_that_comes_too_late_opens_nothing(path):
    append(path, b"one\n")
    followed = follow(path)
    followed._close()

    assert followed._step() == []


# -------------------------------------------------------------- what is done to a file


@pytest.mark.parametrize(
    ("data", "given"),
    [
        (b"", "new"),
        (b"old\n", "new"),
        (b"old\nun", "unnew"),
        (b"un", "unnew"),
        (b"old\run", "unnew"),
        ("old\n€".encode()[:-1], "\ufffdnew"),
        (b"old\n" + b"x" * 200_000, "x" * 200_000 + "new"),
        (b"old\n" * 50_000, "new"),
    ],
)
def test_from_its_end_a_file_gives_no_line_that_had_ended(path, data, given):
    append(path, data)
    followed = follow(path, errors="replace", from_end=True)
    before = new_lines(followed)
    append(path, b"new\n")
    after = new_lines(followed)
    followed._close()

    assert (before, after) == ([], [given])


@pytest.mark.parametrize(
    ("old", "new", "given"),
    [
        (b"old\n", b"new\n", ["new"]),
        (b"o" * 300 + b"\n", b"n" * 300 + b"\n", ["n" * 300]),
        (b"old\nun", b"new\nun", ["un", "new"]),
    ],
)
def test_from_its_end_a_file_that_is_written_anew_as_long_as_it_was_is_noticed(
    path, old, new, given
):
    append(path, old)
    followed = follow(path, from_end=True)
    before = new_lines(followed)
    path.write_bytes(new)
    after = new_lines(followed)
    followed._close()

    assert (before, after) == ([], given)


@given(
    st.text(st.sampled_from("\r\naé\u0a0a\u0d0d")),
    st.text(st.sampled_from("\r\naé\u0a0a\u0d0d")),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be", "gb18030", "utf-7"]),
)
def test_from_the_end_of_any_text_come_the_lines_that_end_later(
    tmp_path_factory, old, new, encoding
):
    path = tmp_path_factory.mktemp("tail") / "some.log"
    data = (old + new).encode(encoding)
    size = len(old.encode(encoding))
    append(path, data[:size])
    followed = follow(path, encoding, from_end=True)
    before = new_lines(followed)
    append(path, data[size:])
    after = new_lines(followed)
    followed._close()
    # With the \n of a \r\n no line ends that had not ended before.
    ended = python_lines(data[:size], encoding)[:-1]

    assert before == []
    assert ended + after == python_lines(data, encoding)[:-1]


def test_a_file_that_was_there_but_lost_its_lines_meanwhile_is_read_from_its_start(
    path, monkeypatch
):
    append(path, b"old\nolder\n")
    skip_lines = Growing.skip_lines

    def cut(self, end):
        os.truncate(path, 0)
        skip_lines(self, end)
        return end

    monkeypatch.setattr(Growing, "skip_lines", cut)
    followed = follow(path, from_end=True)
    before = new_lines(followed)
    append(path, b"new\n")
    after = new_lines(followed)
    followed._close()

    assert (before, after) == ([], ["new"])


def test_what_is_written_to_the_old_file_after_it_was_renamed_is_given(path):
    with io.FileIO(path, "ab") as old:
        old.write(b"one\n")
        followed = follow(path)
        found = new_lines(followed)
        old.write(b"two\n")
        os.rename(path, f"{path}.1")
        old.write(b"three\n")
        found += new_lines(followed)
        append(path, b"")  # as logrotate does, before it tells the writer
        found += new_lines(followed)
        old.write(b"four\nunfinished")
        append(path, b"five\n")
        found += new_lines(followed)
        followed._close()

    assert found == ["one", "two", "three", "four", "unfinished", "five"]


def test_a_file_that_was_replaced_twice_while_there_was_nothing_in_it_is_passed_over(
    path,
):
    append(path, b"one\n")
    followed = follow(path)
    found = new_lines(followed)
    for k in range(3):
        os.rename(path, f"{path}.{k}")
        append(path, b"")
        found += new_lines(followed)
    append(path, b"two\n")
    found += new_lines(followed)
    followed._close()

    assert found == ["one", "two"]


def test_a_file_that_is_moved_away_and_back_is_followed_on(path):
    append(path, b"one\n")
    followed = follow(path)
    found = new_lines(followed)
    os.rename(path, f"{path}.1")
    append(path, b"")
    found += new_lines(followed)
    os.rename(f"{path}.1", path)
    found += new_lines(followed)
    append(path, b"two\n")
    found += new_lines(followed)
    followed._close()

    assert found == ["one", "two"]


def test_a_file_that_is_gone_as_soon_as_it_was_seen_is_waited_for(path, monkeypatch):
    append(path, b"one\n")
    followed = follow(path)
    found = new_lines(followed)
    os.rename(path, f"{path}.1")
    append(path, b"lost\n")
    monkeypatch.setattr(_tail, "opened", lambda path: None)
    found += new_lines(followed)
    monkeypatch.undo()
    found += new_lines(followed)
    followed._close()

    assert found == ["one", "lost"]


@pytest.mark.parametrize("new", [b"", b"n\n", b"new\n" * 100])
def test_a_file_that_is_cut_or_written_anew_is_read_from_its_start(path, new):
    append(path, b"one\ntwo\nunfinished")
    followed = follow(path)
    found = new_lines(followed)
    path.write_bytes(new)
    found += new_lines(followed)
    append(path, b"last\n")
    found += new_lines(followed)
    followed._close()
    expected = ["one", "two", "unfinished", *python_lines(new)[:-1], "last"]

    assert found == expected


def test_what_a_replaced_file_ends_with_must_be_decodable(path):
    append(path, b"one\n\xe2\x82")
    followed = follow(path)
    found = new_lines(followed)
    os.rename(path, f"{path}.1")
    append(path, b"two\n")
    found += new_lines(followed)
    followed._close()

    assert found == ["one"]
    with pytest.raises(UnicodeDecodeError):
        followed.check()


class History:
    """A log that is written and rotated, and the lines that it should give."""

    def __init__(self, path):
        self.path = path
        self.files = [[b"", False]]  # what was written to each; is it cut off?
        self.file = io.FileIO(path, "ab")
        self.followed = follow(path, errors="replace")
        self.found = []
        self.number = 0
        self.seen = True
        self.renamed = False
        self.look()

    def write(self, data):
        # No two files begin alike, or one written anew could not be told from one that
        # grew.
        if not self.files[-1][0]:
            data = bytes([65 + self.number]) + data
            self.number += 1
        self.file.write(data)
        self.files[-1][0] += data

    def look(self):
        self.found += new_lines(self.followed)
        self.seen = True

    def rename(self):
        if not (self.seen and not self.renamed):
            self.look()  # a file that comes and goes between two looks is lost
        if not self.renamed:
            os.rename(self.path, f"{self.path}.{len(self.files)}")
        self.renamed = True

    def create(self):
        append(self.path, b"")

    def go_on(self):
        if self.renamed:
            self.file.close()
            self.file = io.FileIO(self.path, "ab")
            self.files.append([b"", False])
            self.renamed = self.seen = False

    def cut(self):
        self.look()
        if not self.renamed:
            os.truncate(self.path, 0)
            self.files[-1][1] = True
            self.files.append([b"", False])

    def expected(self):
        written = [k for k, (data, _) in enumerate(self.files) if data]
        lines = []
        for k, (data, is_cut) in enumerate(self.files):
            *ended, last = python_lines(data)
            lines += ended
            if last and (is_cut or k < written[-1]):
                lines.append(last)
        return lines


@given(
    st.lists(
        st.tuples(st.just("write"), st.binary(max_size=5))
        | st.tuples(
            st.just("write"), st.sampled_from("\r\n é\n € 😀\r".encode().split())
        )
        | st.sampled_from(
            [("look",), ("rename",), ("create",), ("go_on",), ("cut",), ("look",)]
        ),
        max_size=40,
    )
)
def test_whatever_is_done_to_a_log_its_lines_are_those_that_python_reads(
    tmp_path_factory, steps
):
    history = History(tmp_path_factory.mktemp("tail") / "some.log")
    for name, *args in steps:
        getattr(history, name)(*args)
    history.look()
    history.file.close()
    history.followed._close()

    assert history.found == history.expected()


class BusyWriter:
    """A thread that writes a log, and rotates and cuts it at random."""

    def __init__(self, path, seed):
        self.path = path
        self.choose = random.Random(seed)
        self.file = io.FileIO(path, "ab")
        self.count = 0
        self.seen = []
        self.stopped = False
        self.read = threading.Semaphore(0)

    def note(self, line):
        self.seen.append(line)
        self.read.release()

    def write(self):
        for _ in range(200):
            for _ in range(self.choose.randrange(2, 5)):
                self.write_line()
            self.choose.choice([self.cut, self.rotate, self.rotate_late])()
        self.file.write(b"end\n")
        self.file.close()

    def write_line(self):
        line = f"line {self.count}\n".encode()
        cut = self.choose.randrange(len(line))
        self.file.write(line[:cut])
        self.file.write(line[cut:])
        self.count += 1

    def wait_until_read(self, count):
        while len(self.seen) < count and not self.stopped:
            self.read.acquire(timeout=1)

    def cut(self):
        # What is cut off without having been read is gone.
        self.wait_until_read(self.count)
        os.truncate(self.path, 0)

    def rotate(self):
        # What is renamed is not; but the file has to be seen before the next one comes.
        self.wait_until_read(self.count - 1)
        self.write_line()
        os.rename(self.path, f"{self.path}.1")
        self.file.close()
        self.file = io.FileIO(self.path, "ab")

    def rotate_late(self):
        self.wait_until_read(self.count - 1)
        os.rename(self.path, f"{self.path}.1")
        append(self.path, b"")
        self.write_line()
        self.file.close()
        self.file = io.FileIO(self.path, "ab")


@pytest.mark.parametrize("seed", range(10 if NIGHTLY else 1))
@pytest.mark.parametrize("watch", [False, True] if NIGHTLY else [False])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_line_is_lost_in_200_rotations_and_cuts_while_a_thread_writes(
    path, monkeypatch, backend, watch, seed
):
    if watch:
        pytest.importorskip("watchfiles", reason="watchfiles is not installed")
        monkeypatch.undo()
    writer = BusyWriter(path, seed)
    flow = tail(path, from_end=False, poll=0.0005, watch=watch).on_each(writer.note)

    async def collect():
        try:
            await flow.take_while(lambda line: line != "end").collect()
        finally:
            writer.stopped = True

    async def main():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(collect)
            await anyio.to_thread.run_sync(writer.write)

    run(main, backend=backend)

    assert writer.seen == [*(f"line {k}" for k in range(writer.count)), "end"]
    assert writer.count > 400


# ------------------------------------------------------------------------- watching


@pytest.fixture
def watchfiles(monkeypatch):
    """Put a module in the place of watchfiles, and return what it was told."""
    told = SimpleNamespace(changes=threading.Semaphore(0), ended=[], options=[])

    def watch(*paths, watch_filter, stop_event, **options):
        told.options.append((paths, options))
        yield set()
        while not stop_event.is_set():
            if told.changes.acquire(timeout=0.01):
                assert not watch_filter("modified", "some.log")
        told.ended.append(threading.current_thread())

    told.module = SimpleNamespace(watch=watch)
    monkeypatch.setattr(_tail, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "watchfiles", told.module)
    return told


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("watch", [None, True])
def test_with_watchfiles_lines_come_when_the_folder_has_changed(
    path, watchfiles, backend, watch
):
    append(path, b"one\n")

    async def main():
        flow = tail(path, from_end=False, poll=3600, watch=watch)
        async with flow.open() as items:
            seen = [await anext(items)]
            for data in (b"two\n", b"three\n"):
                append(path, data)
                watchfiles.changes.release()
                seen.append(await anext(items))
        return seen

    assert run(main, backend=backend) == ["one", "two", "three"]
    assert watchfiles.options[0][0] == (str(path.parent),)
    assert len(watchfiles.ended) == 1
    assert not watchfiles.ended[0].is_alive()


@pytest.mark.parametrize("watch", [None, False])
async def test_where_nothing_watches_the_file_is_polled(path, watchfiles, watch):
    def fails(*paths, **options):
        raise FileNotFoundError(*paths)

    watchfiles.module.watch = fails
    append(path, b"one\n")
    async with tail(path, from_end=False, watch=watch).open() as items:
        seen = [await anext(items)]
        append(path, b"two\n")
        seen.append(await anext(items))

    assert seen == ["one", "two"]


async def test_while_the_folder_is_watched_the_file_is_polled_rarely(path):
    async with Bell(0.1, path, watched=False) as bell:
        limits = [bell._limit]
        bell._ring()
        limits.append(bell._limit)
        bell._distrust()
        limits.append(bell._limit)

    assert limits == [0.1, 1.0, 0.1]


def test_the_real_watchfiles_tells_of_new_lines(path, monkeypatch):
    pytest.importorskip("watchfiles")
    monkeypatch.undo()
    append(path, b"one\n")

    async def main():
        flow = tail(path, from_end=False, poll=0.2, watch=True)
        async with flow.open() as items:
            seen = [await anext(items)]
            append(path, b"two\n")
            seen.append(await anext(items))
            os.rename(path, f"{path}.1")
            append(path, b"three\n")
            seen.append(await anext(items))
        return seen

    assert run(main) == ["one", "two", "three"]


# ------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: tail(3), TypeError, "path must be str or PathLike; got 3"),
        (lambda: tail("a", from_end=2), TypeError, "from_end must be bool; got 2"),
        (lambda: tail("a", poll=0), ValueError, "poll must be longer than 0; got 0"),
        (lambda: tail("a", poll="1"), TypeError, "poll must be seconds or a timede"),
        (lambda: tail("a", encoding="no"), ValueError, "encoding must be .*'no'"),
        (lambda: tail("a", errors="no"), ValueError, "errors must be .*'no'"),
        (lambda: tail("a", watch="yes"), ValueError, "watch must be one of True, Fal"),
        (lambda: tail("a", watch=True), ModuleNotFoundError, r"\[watch\]"),
    ],
)
def test_arguments_are_checked_at_the_call(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_flow_that_follows_a_file_reads_like_the_call_that_made_it():
    assert repr(tail("a.log").take(3)) == "tail('a.log').take(3)"
    assert repr(tail("a.log", from_end=False)) == "tail('a.log', from_end=False)"
