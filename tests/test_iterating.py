"""How flowpy iterates: closing, which error wins, and turns for others."""

from __future__ import annotations

import time

import anyio
import pytest
from anyio.lowlevel import checkpoint

from flowpy import Flow
from flowpy._iterating import TURN, Turns, closing
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio


class Late(Exception):
    """An error of a cleanup."""


def fails_while_closing(late):
    async def source():
        try:
            yield 1
            yield 2
        finally:
            await checkpoint()
            raise late

    return source


def plain_that_fails_while_closing(late):
    def source():
        try:
            yield 1
            yield 2
        finally:
            raise late

    return source


SOURCES = pytest.mark.parametrize(
    "make", [fails_while_closing, plain_that_fails_while_closing]
)


@SOURCES
async def test_the_first_error_wins_and_a_late_one_becomes_its_note(make):
    boom = Boom()

    def fail(_):
        raise boom

    with pytest.raises(Boom) as caught:
        await Flow(make(Late("late"))).filter(bool).map(fail).enumerate().to_list()

    assert caught.value is boom
    assert sorted(boom.__notes__) == [
        "in stage 2 of Flow(source).filter(bool).map(fail).enumerate()",
        "while closing, also raised: Late('late')",
    ]


@SOURCES
async def test_a_late_error_is_raised_if_it_is_the_only_one(make):
    late = Late()

    with pytest.raises(Late) as caught:
        await Flow(make(late)).map(str).take(1).to_list()
    assert caught.value is late


@SOURCES
async def test_a_late_error_is_raised_where_the_reader_just_stops(make):
    late = Late()

    with pytest.raises(Late) as caught:
        async with Flow(make(late)).map(str).open() as items:
            await anext(items)
    assert caught.value is late


async def test_a_late_error_after_a_cancellation_is_raised():
    async def source():
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            raise Late

    with pytest.raises(Late), anyio.move_on_after(1):
        await Flow(source).map(str).to_list()


async def test_keyboard_interrupt_is_not_hidden_by_a_late_error():
    interrupt = KeyboardInterrupt()

    async def read():
        async with closing(fails_while_closing(Late())()) as items:
            await anext(items)
            raise interrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        await read()
    assert caught.value is interrupt
    assert len(interrupt.__notes__) == 1


async def test_a_task_group_around_a_yield_does_not_turn_a_stop_into_a_group():
    closed = []

    async def source():
        async with anyio.create_task_group():
            try:
                yield 1
                yield 2
            finally:
                closed.append(True)

    assert await Flow(source).map(str).take(1).to_list() == ["1"]
    assert closed == [True]


async def test_the_errors_beside_a_stop_in_a_group_are_kept():
    late = Late()

    async def source():
        try:
            yield 1
        except GeneratorExit as stop:
            raise BaseExceptionGroup("mixed", [stop, late]) from None

    with pytest.raises(ExceptionGroup) as caught:
        async with closing(source()) as items:
            await anext(items)
    assert caught.value.exceptions == (late,)


async def test_an_iterator_without_aclose_is_left_alone():
    class Numbers:
        def __aiter__(self):
            return self

        async def __anext__(self):
            return 1

    assert await Flow(Numbers()).take(2).to_list() == [1, 1]


async def test_an_iterable_that_has_ended_is_not_asked_again():
    asked = 0

    class Numbers:
        def __iter__(self):
            return self

        def __next__(self):
            nonlocal asked
            asked += 1
            if asked <= 300:
                return asked
            raise StopIteration

    assert await Flow(Numbers()).count() == 300
    assert asked == 301


async def test_a_slice_pulls_nothing_ahead():
    pulled = []
    with Turns(map(pulled.append, range(1000))) as turns:
        for number, part in enumerate(turns):
            next(part)

            assert len(pulled) == number + 1
            if number == 20:
                break
            if turns.over():
                await turns.let_others_run()


async def test_slices_get_shorter_where_items_take_long():
    others = 0

    async def count_turns():
        nonlocal others
        while True:
            await checkpoint()
            others += 1

    def slow(_):
        end = time.perf_counter() + 2 * TURN
        while time.perf_counter() < end:
            pass

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await checkpoint()
        before = others
        await Flow(range(20)).map(slow).collect()
        turns = others - before
        group.cancel_scope.cancel()

    assert turns >= 19


async def test_a_fast_iterable_gives_others_a_turn_now_and_then():
    others = 0

    async def count_turns():
        nonlocal others
        while True:
            await checkpoint()
            others += 1

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await Flow(range(300_000)).filter(lambda _: False).collect()
        turns = others
        group.cancel_scope.cancel()

    assert turns > 3


async def test_many_short_collections_give_others_a_turn_now_and_then():
    others = 0

    async def count_turns():
        nonlocal others
        while True:
            await checkpoint()
            others += 1

    async def never_waits():
        for number in range(100_000):
            yield number

    async with anyio.create_task_group() as group:
        group.start_soon(count_turns)
        await Flow(never_waits).flat_map(lambda _: (1, 2, 3)).collect()
        turns = others
        group.cancel_scope.cancel()

    assert turns > 3


async def test_what_is_left_open_can_be_read_on():
    numbers = iter(range(5))
    letters = (letter for letter in "abc")

    assert await Flow(numbers, close=False).take(2).to_list() == [0, 1]
    assert list(numbers) == [2, 3, 4]
    assert await Flow(letters, close=False).first() == "a"
    assert list(letters) == ["b", "c"]


async def test_a_file_is_closed_by_its_flow(tmp_path):
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        first = await Flow(file).first()

        assert file.closed
    assert first == "one\n"
