"""Marble tests of the marble kit: on both event loops, and what failures look like."""

from __future__ import annotations

import anyio
import pytest

from flowpy import Flow, flow
from flowpy.testing import (
    MarbleError,
    Timeline,
    assert_marbles,
    diagram,
    hot,
    marbles,
    record,
    run_virtual,
)
from flowpy.testing.pytest_plugin import pytest_assertrepr_compare

pytestmark = pytest.mark.anyio
BOOM = LookupError("boom")


def same(a):
    return a


@flow
async def merged(a, b):
    """Merge as plainly as can be; its owner closes it by cancellation only."""
    send, receive = anyio.create_memory_object_stream(100)
    async with anyio.create_task_group() as group:

        async def pump(source, end):
            async with end:
                async for x in source:
                    await end.send(x)

        async with send:
            for each in (a, b):
                group.start_soon(pump, each, send.clone())
        async with receive:
            async for x in receive:
                yield x


@flow
async def until(a, other):
    """Take items until another flow has one."""
    async with anyio.create_task_group() as group:

        async def watch():
            async for _ in other:
                group.cancel_scope.cancel()

        group.start_soon(watch)
        async for x in a:
            yield x
        group.cancel_scope.cancel()


# -------------------------------------------------------------------- what holds


@pytest.mark.parametrize(
    "text",
    ["a-b--|", "|", "#", "--#", "a-(bc)-(d|)", "(ab#)", "", "---", "a", "-a<1h>b|"],
)
async def test_what_is_played_is_what_is_recorded(text):
    await assert_marbles(same, text, expected=text)


async def test_values_stand_for_names_in_all_diagrams():
    await assert_marbles(
        lambda a: a.map(lambda pair: [*pair, 3]),
        "a-|",
        expected="b-|",
        values={"a": (1, 2), "b": [1, 2, 3]},
    )


async def test_values_may_be_a_function_of_the_name():
    await assert_marbles(
        lambda a: a.map(lambda x: x * 10), "1-'2'|", expected="'10'-\"20\"|", values=int
    )


async def test_a_frame_may_have_any_length():
    seen = []
    await assert_marbles(
        lambda a: a.on_each(lambda _: seen.append(anyio.current_time())),
        "a-<200ms>-b|",
        expected="a<400ms>b|",
        frame=0.1,
    )
    assert seen == pytest.approx([0, 0.5], abs=1e-5)


async def test_an_error_is_expected_as_the_very_object():
    await assert_marbles(same, "a-#", expected="a-#", errors={"#": BOOM})
    with pytest.raises(AssertionError, match="expected error LookupError"):
        await assert_marbles(
            lambda a: a.concat(Flow.fail(LookupError("boom"))),
            "a|",
            expected="a#",
            errors={"#": BOOM},
        )


async def test_a_class_of_errors_expects_any_instance():
    await assert_marbles(
        lambda a: a.map(lambda x: 1 / x),
        "1-0-|",
        expected="'1.0'-#",
        values=float,
        errors={"#": ZeroDivisionError},
    )


async def test_several_errors_have_names():
    await assert_marbles(
        lambda a: a.catch(LookupError, handler=lambda _: Flow.fail(OSError())),
        "a-x",
        expected="a-y",
        errors={"x": BOOM, "y": OSError},
    )


async def test_a_sign_that_is_no_error_is_marble_error():
    await assert_marbles(lambda a: a.catch(MarbleError), "a-#", expected="a-|")


async def test_a_break_stops_in_the_frame_of_an_item():
    await assert_marbles(same, "a-b-c|", expected="a-(b!)", collected="^-!")


async def test_a_stop_alone_cancels_a_consumer_that_waits():
    await assert_marbles(same, "a-b--c|", expected="a-b-!", collected="^---!")


async def test_an_item_of_the_frame_comes_before_the_cancellation():
    await assert_marbles(same, "a-(bc)|", expected="a-(bc!)", collected="^-!")


async def test_a_slow_consumer_gets_late_items_at_once_and_frames_do_not_move():
    await assert_marbles(
        same,
        "abc------d|",
        expected="a--b--c--d--|",
        pause=3,
        collected="^-----------!",
    )


async def test_an_early_stop_ends_a_pause():
    await assert_marbles(same, "ab|", expected="a-!", pause=5, collected="^-!")


async def test_each_collection_of_an_input_is_drawn():
    await assert_marbles(
        lambda a: a.retry(1, reset=False), "a-#", expected="a-a-#", collected="^-(!^)-!"
    )


async def test_an_input_that_is_not_collected_has_an_empty_diagram():
    await assert_marbles(
        lambda a, b: a, "a|", "b|", expected="a|", collected=["^!", ""]
    )


async def test_collections_that_do_not_matter_are_left_out():
    await assert_marbles(
        lambda a, b: a.concat(b), "a|", "b|", expected="ab|", collected=[None, "-^!"]
    )


@pytest.mark.parametrize("_", range(20))
async def test_inputs_of_the_same_frame_come_in_their_order(_):
    await assert_marbles(merged, "a-c--(fg)|", "bb-de(xy)|", expected="(ab)bcde(fgxy)|")


@pytest.mark.parametrize("_", range(20))
async def test_an_input_comes_before_a_timer_that_is_due_in_its_frame(_):
    await assert_marbles(
        lambda a: merged(Flow.interval(5, delay=5).take(1), a),
        "-a---b|",
        expected="-a---(bt)|",
        values={"t": 0},
    )


@pytest.mark.parametrize("_", range(20))
async def test_flows_that_are_made_in_callbacks_keep_their_order(_):
    await assert_marbles(
        lambda a, b: merged(a, b.flat_map(lambda _: marbles("-yz|"))),
        "a-b-|",
        "a-b-|",
        expected="ay(bz)-yz|",
    )


@pytest.mark.parametrize("_", range(20))
async def test_an_item_comes_before_the_notice_that_stops_in_its_frame(_):
    await assert_marbles(
        until, "a-b-c-d|", "----x|", expected="a-b-(c|)", collected=["^---!", "^---!"]
    )


async def test_hot_items_are_missed_before_a_collection():
    await assert_marbles(
        lambda a, b: a.concat(b), "a--|", hot("xyz123|"), expected="a--123|"
    )


async def test_a_hot_flow_that_is_over_still_ends_and_fails():
    over, failed = hot("a|"), hot("ab#")
    await anyio.sleep(5)

    assert await over.to_list() == []
    with pytest.raises(MarbleError):
        await failed.to_list()


def test_a_hot_flow_made_outside_of_an_event_loop_begins_when_it_is_first_used():
    numbers = hot("1-2|")

    async def main():
        await anyio.sleep(10)
        first = await record(numbers)
        return first, await record(numbers)

    assert run_virtual(main) == (diagram("1-2|"), diagram("|"))


async def test_hot_items_that_were_not_pulled_in_time_are_kept():
    await assert_marbles(same, hot("abc|"), expected="a-b-c-|", pause=2)


async def test_inputs_may_be_any_flows():
    await assert_marbles(
        lambda a, b: a.zip(b).map("".join),
        "a-b|",
        Flow.of("x", "y"),
        expected="'ax'-('by'|)",
        collected=["^-!", None],
    )


async def test_a_diagram_that_is_known_to_a_flow_is_found_behind_operators():
    await assert_marbles(same, hot("abc|").drop(1), expected="-bc|", collected=["^--!"])


async def test_a_flow_that_was_collected_before_is_watched_anew():
    numbers = marbles("a|")
    await numbers.to_list()

    await assert_marbles(same, numbers, expected="a|", collected="^!")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_from_plain_code_with_run_virtual(backend):
    run_virtual(lambda: assert_marbles(same, "a|", expected="a|"), backend)


# ------------------------------------------------------------ what failures look like


async def failure(*args, **options):
    with pytest.raises(AssertionError) as caught:
        await assert_marbles(*args, **options)
    return str(caught.value)


async def test_a_failure_draws_the_diagrams_in_line():
    text = await failure(
        lambda a, b: a.concat(b), "a-(bc)|", "d--e|", expected="a-(bc)-d--e|"
    )

    assert text == (
        "expected item 'd' in frame 4; got item 'd' in frame 3\n"
        "input 1   a-(bc)|\n"
        "input 2   d--   e|\n"
        "expected  a-(bc)-d--e|\n"
        "got       a-(bc)d--e|"
    )


async def test_a_failure_tells_apart_what_is_drawn_alike():
    text = await failure(lambda a: a.map(int), "1|", expected="1|")

    assert text == (
        "expected item '1' in frame 0; got item 1 in frame 0\n"
        "input 1   1|\n"
        "expected  1|\n"
        "got       1|"
    )


async def test_a_failure_draws_items_by_their_names():
    text = await failure(
        lambda a: a.concat(Flow.of("x", 12, "#")),
        "x-|",
        expected="x-|",
        values={"x": 1.5},
    )

    assert text == (
        "expected the end in frame 2; got item 'x' in frame 2\n"
        "input 1   x-|\n"
        "expected  x-|\n"
        "got       x-(\"'x'\"'12''#'|)"
    )


async def test_a_failure_draws_the_collections_that_were_otherwise():
    text = await failure(
        lambda a, b: a.take(1).concat(b),
        "a-b|",
        "c-|",
        expected="(ac)-|",
        collected=["^--!", "^-!"],
    )

    assert text == (
        "input 1 was collected otherwise: "
        "expected the stop in frame 3; got the stop in frame 0\n"
        "input 1      a   -b|\n"
        "input 2      c   -|\n"
        "expected     (ac)-|\n"
        "got          (ac)-|\n"
        "collected 1  ^   --!\n"
        "got 1        (^!)"
    )


async def test_a_failure_says_what_is_missing_and_what_is_too_much():
    assert "expected the end in frame 1; got nothing more" in await failure(
        same, "a", expected="a|"
    )
    assert "expected nothing more; got the end in frame 1" in await failure(
        same, "a|", expected="a"
    )
    assert "expected any MarbleError in frame 1; got the end in frame 1" in (
        await failure(same, "a|", expected="a#")
    )


async def test_an_endless_flow_is_given_up_soon():
    text = await failure(lambda: Flow.interval(1).map(str), expected="0|")

    assert text.splitlines()[-1] == "got       0123456789('10'!)"


async def test_a_long_silence_is_drawn_as_a_number_in_all_diagrams():
    text = await failure(same, "a<1h>b|", expected="a<1h>c|")

    assert text.splitlines()[1:] == [
        "input 1   a<3600>b|",
        "expected  a<3600>c|",
        "got       a<3600>b|",
    ]


async def test_what_comes_between_two_frames_is_refused():
    text = await failure(lambda: Flow.interval(1, delay=0.5).take(1), expected="-0|")

    assert text == (
        "between two frames, after 0.500 of them: item 0; "
        "choose a frame of which all times are multiples"
    )


async def test_an_error_of_closing_comes_after_the_stop():
    def fail(_):
        raise BOOM

    assert "got       a(b!#)" in await failure(
        lambda a: a.on_completion(fail), "ab|", expected="a(b!)"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"expected": "^a"},
            "expected must be items, then .*; got the start in frame 0",
        ),
        (
            {"expected": "a!b"},
            "expected must be items, then .*; got the stop in frame 1",
        ),
        ({"expected": "a", "collected": ["", ""]}, "collected must be 1 diagrams, as"),
        ({"expected": "a", "frame": 0}, "frame must be longer than 0; got 0"),
        (
            {"expected": "a", "pause": -1},
            "pause must be finite and not negative; got -1",
        ),
        ({"expected": "(a"}, "diagram '.a', position 0: this group is not closed"),
    ],
)
async def test_wrong_arguments_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        await assert_marbles(same, "a", **given)


async def test_a_source_that_starts_or_stops_is_refused():
    for make in (marbles, hot):
        with pytest.raises(ValueError, match="a source neither starts nor stops; got"):
            make("a!")


async def test_collections_of_other_flows_are_refused():
    with pytest.raises(
        ValueError, match="must be None for inputs that play no diagram"
    ):
        await assert_marbles(same, Flow.of(1), expected="1", collected="^!")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_real_clock_is_refused(backend):
    async def main():
        await assert_marbles(same, "a|", expected="a|")

    with pytest.raises(RuntimeError, match="assert_marbles needs a virtual clock"):
        anyio.run(main, backend=backend)


# -------------------------------------------------------------------- recording


async def test_a_record_can_be_compared_with_a_diagram():
    got = await record(Flow.of("a", "b"))

    assert got == diagram("(ab|)")
    assert str(got) == "(ab|)"


async def test_a_record_names_what_it_knows():
    flow = Flow.of(1, True, 2, "#").concat(Flow.fail(BOOM))
    got = await record(flow, values={"a": 1}, errors={"x": LookupError})

    assert str(got) == "(a'True'2'#'x)"


async def test_a_record_is_ended_by_until():
    got = await record(Flow.interval(2), until=4)

    assert got == diagram("0-1-(2!)", values=int)
    assert str(got) == "0-1-(2!)"


async def test_a_record_of_a_flow_that_ends_shows_no_stop():
    assert await record(marbles("a|"), until=100) == diagram("a|")


async def test_a_record_of_silence_has_no_end():
    assert await record(Flow.never()) == Timeline(())


async def test_a_record_may_have_a_slow_consumer():
    assert str(await record(marbles("ab|"), pause=2)) == "a-b-|"


async def test_a_record_refuses_wrong_arguments():
    with pytest.raises(ValueError, match="until must be >= 0; got -1"):
        await record(Flow.empty(), until=-1)


def test_the_hook_of_pytest_is_for_equality_of_timelines_only():
    one, other = diagram("a|"), diagram("ab|")

    assert pytest_assertrepr_compare("==", one, other) == [
        "a| == ab|",
        "",
        "left   a|",
        "right  ab|",
        "",
        "on the left, expected item 'b' in frame 1; got the end in frame 1",
    ]
    assert pytest_assertrepr_compare("!=", one, one) is None
    assert pytest_assertrepr_compare("==", one, "a|") is None


def test_pytest_draws_timelines_that_differ(pytester):
    pytester.makepyfile(
        """
        from flowpy.testing import diagram

        def test_events():
            assert diagram("a-(bc)|") == diagram("a--b|")

        def test_frames():
            assert diagram("a|") == diagram("a|", frame=2)

        def test_others():
            assert diagram("a|") == "a|"

        def test_other_comparisons():
            assert diagram("a|") != diagram("a|")
        """
    )
    result = pytester.runpytest_subprocess("-q")

    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "E       AssertionError: assert a-(bc)| == a--b|",
            "E         left   a-(bc)|",
            "E         right  a--   b|",
            "E         on the left, expected item 'b' in frame 3; got item 'b' in frame 2",
            "E         on the left, frames of 1 s and of 2 s",
        ]
    )
