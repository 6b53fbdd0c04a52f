"""What the operators that make lists of neighbouring items mean."""

from __future__ import annotations

import itertools
import math

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow

pytestmark = pytest.mark.anyio

BEFORE_AN_ERROR = {
    "chunked, one begun": (lambda source: source.chunked(2), [[1, 2], [3]]),
    "chunked, none begun": (lambda source: source.chunked(3), [[1, 2, 3]]),
    "windowed": (lambda source: source.windowed(2), [[1, 2], [2, 3]]),
    "windowed partial": (
        lambda source: source.windowed(2, 2, partial=True),
        [[1, 2]],
    ),
    "chunked_by": (
        lambda source: source.chunked_by(lambda n: n > 1),
        [(False, [1]), (True, [2, 3])],
    ),
}

EMPTY = {
    "chunked": lambda source: source.chunked(2),
    "windowed": lambda source: source.windowed(2),
    "windowed partial": lambda source: source.windowed(2, partial=True),
    "chunked_by": lambda source: source.chunked_by(abs),
}

NUMBERS = st.lists(st.integers(-3, 3))


@pytest.mark.parametrize("apply", EMPTY.values(), ids=EMPTY)
async def test_of_nothing_comes_no_list(apply):
    assert await apply(Flow.empty()).to_list() == []


@pytest.mark.parametrize(
    ("apply", "before"), BEFORE_AN_ERROR.values(), ids=BEFORE_AN_ERROR
)
async def test_an_error_from_above_comes_after_the_lists_before_it(
    apply, before, outcome
):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.of(1, 2, 3).concat(Flow.fail(error))))

    assert items == before
    assert raised is error


@pytest.mark.parametrize("apply", EMPTY.values(), ids=EMPTY)
async def test_of_an_error_alone_comes_no_list(apply, outcome):
    error = ValueError("boom")

    items, raised = await outcome(apply(Flow.fail(error)))

    assert items == []
    assert raised is error


@pytest.mark.parametrize(
    "apply",
    [lambda source: source.chunked(2), lambda source: source.chunked_by(abs)],
    ids=["chunked", "chunked_by"],
)
async def test_a_cancellation_above_brings_no_list_of_what_had_arrived(apply):
    lists = []

    with anyio.move_on_after(1) as scope:
        await apply(Flow.of(1).concat(Flow.never())).collect(lists.append)

    assert scope.cancelled_caught
    assert lists == []


@pytest.mark.parametrize(
    ("apply", "needed"),
    [
        (lambda source: source.chunked(2), [0, 1]),
        (lambda source: source.windowed(2), [0, 1]),
        (lambda source: source.windowed(2, 3, partial=True), [0, 1]),
        # A run is over when the next one begins.
        (lambda source: source.chunked_by(lambda n: n // 2), [0, 1, 2]),
    ],
    ids=["chunked", "windowed", "windowed partial", "chunked_by"],
)
async def test_a_list_comes_as_soon_as_it_is_known_to_be_full(apply, needed):
    pulled = []

    await apply(Flow(range(9)).on_each(pulled.append)).first()

    assert pulled == needed


@pytest.mark.parametrize(
    "apply",
    [
        lambda source: source.chunked(2),
        lambda source: source.windowed(2),
        lambda source: source.windowed(3, partial=True),
        lambda source: source.chunked_by(bool).map(lambda run: run[1]),
    ],
    ids=["chunked", "windowed", "windowed partial", "chunked_by"],
)
async def test_a_list_that_is_changed_downstream_does_not_change_another(apply):
    source = Flow(range(5))

    cleared = apply(source).map(lambda items: (items.copy(), items.clear())[0])

    assert await cleared.to_list() == await apply(source).to_list()


# --------------------------------------------------------------------------- chunked


@given(NUMBERS, st.integers(1, 6))
async def test_chunked_is_a_row_of_slices(items, size):
    slices = [items[k : k + size] for k in range(0, len(items), size)]

    assert await Flow(items).chunked(size).to_list() == slices


async def test_what_is_raised_below_does_not_bring_the_chunk_that_was_begun(outcome):
    error = ValueError("boom")

    def fails(chunk):
        raise error

    items, raised = await outcome(Flow.of(1, 2, 3).chunked(2).on_each(fails))

    assert items == []
    assert raised is error


async def test_an_error_comes_only_when_the_list_before_it_has_been_taken():
    error = ValueError("boom")
    failing = Flow.of(1).concat(Flow.fail(error))

    assert await failing.chunked(2).first() == [1]
    assert await failing.chunked_by(abs).first() == (1, [1])


# -------------------------------------------------------------------------- windowed


def windows(items, size, step, partial):
    """Say what windows are, without a thought for speed."""
    cut = [items[start : start + size] for start in range(0, len(items), step)]
    return [window for window in cut if partial or len(window) == size]


@given(NUMBERS, st.integers(1, 6), st.integers(1, 6), st.booleans())
async def test_windowed_gives_a_window_every_step_items(items, size, step, partial):
    flow = Flow(items).windowed(size, step, partial=partial)

    assert await flow.to_list() == windows(items, size, step, partial)


@given(NUMBERS, st.integers(1, 6))
async def test_windowed_moves_by_one_and_gives_only_full_windows_by_default(
    items, size
):
    assert await Flow(items).windowed(size).to_list() == windows(items, size, 1, False)


# ------------------------------------------------------------------------ chunked_by


@given(NUMBERS, st.sampled_from([abs, bool, str, lambda n: n // 2]))
async def test_chunked_by_is_groupby(items, key):
    groups = [(own, list(run)) for own, run in itertools.groupby(items, key)]

    assert await Flow(items).chunked_by(key).to_list() == groups


async def test_chunked_by_gives_the_key_of_the_item_before_the_next_run():
    runs = Flow.of(1, 1.0, True, 2).chunked_by(lambda n: n)

    assert await runs.to_list() == [(1, [1, 1.0, True]), (2, [2])]


async def test_an_error_of_the_key_comes_after_the_run_before_it(outcome):
    error = ValueError("boom")

    async def fails_at_three(n):
        await anyio.sleep(1)
        if n == 3:
            raise error
        return n // 2

    items, raised = await outcome(Flow.of(0, 1, 2, 3, 4).chunked_by(fails_at_three))

    assert items == [(0, [0, 1]), (1, [2])]
    assert raised is error


async def test_chunked_by_takes_every_nan_for_a_key_of_its_own():
    nan = math.nan

    runs = await Flow.of(1.0, nan, nan, 1.0, 1.0).chunked_by(lambda x: x).to_list()

    assert [len(run) for _, run in runs] == [1, 1, 1, 2]
