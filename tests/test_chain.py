"""How a chain reads: `repr` and `explain`."""

from __future__ import annotations

import operator
from datetime import timedelta
from functools import partial
from random import Random

import pytest

from flowpy import Flow, channel_flow, flow
from flowpy._fusion import ENABLED


@flow
async def every_nth(source, n, *, offset=0):
    async for i, x in source.enumerate():
        if i % n == offset:
            yield x


@flow
async def ticks(n, every=1):
    for number in range(n):
        yield number * every


class Broken:
    """Has no repr to speak of."""

    def __repr__(self):
        raise ValueError


@channel_flow(capacity=2)
async def counted(channel, n):
    await channel.send(n)


class Mailbox:
    async def get(self):
        return "letter"

    def __repr__(self):
        return "mailbox"


NAMES = {
    "Flow": Flow,
    "add": operator.add,
    "bool": bool,
    "counted": counted,
    "every_nth": every_nth,
    "len": len,
    "mailbox": Mailbox(),
    "print": print,
    "ticks": ticks,
}

SAME = [
    # Starting a flow
    "counted(9)",
    "counted(n=9).map(str)",
    "Flow.from_queue(mailbox)",
    "Flow.of()",
    "Flow.of(1, None, 'a')",
    "Flow.of((1, 2), [3], {'four': 4})",
    "Flow.of(int, len)",
    "Flow.empty()",
    "Flow.never()",
    "Flow.fail(OSError('down'))",
    "Flow.interval(2, delay=1)",
    "Flow.unfold(20, len)",
    "Flow(len)",
    "Flow(len, close=False)",
    "ticks(3)",
    "ticks(3, every=0.5)",
    # Transform
    "Flow.of(1).map(str)",
    "Flow.of(1).map(str.upper)",
    "Flow.of(1).map(str, on_error=print)",
    "Flow.of(1).map_not_none(len)",
    "Flow.of(1).flat_map(range)",
    "Flow.of(1).flatten()",
    "Flow.of(1).enumerate()",
    "Flow.of(1).enumerate(5)",
    "Flow.of(1).pairwise()",
    "Flow.of(1).scan(0, add)",
    "Flow.of(1).running_reduce(add)",
    "Flow.of(1).on_each(print)",
    # Select and limit
    "Flow.of(1).filter(bool)",
    "Flow.of(1).filter_not(bool)",
    "Flow.of(1).filter_not_none()",
    "Flow.of(1).filter_is_instance(int, str)",
    "Flow.of(1).distinct()",
    "Flow.of(1).distinct(len)",
    "Flow.of(1).distinct(max_size=3)",
    "Flow.of(1).distinct(len, max_size=3)",
    "Flow.of(1).distinct_until_changed()",
    "Flow.of(1).distinct_until_changed(len)",
    "Flow.of(1).distinct_until_changed(equal=add)",
    "Flow.of(1).distinct_until_changed(len, equal=add)",
    "Flow.of(1).take(2)",
    "Flow.of(1).take_last(2)",
    "Flow.of(1).drop(2)",
    "Flow.of(1).drop_last(2)",
    "Flow.of(1).take_while(bool)",
    "Flow.of(1).take_while(bool, inclusive=True)",
    "Flow.of(1).drop_while(bool)",
    # Group
    "Flow.of(1).chunked(2)",
    "Flow.of(1).chunked(2, within=3)",
    "Flow.of(1).chunked(within=3)",
    "Flow.of(1).windowed(3)",
    "Flow.of(1).windowed(3, 2)",
    "Flow.of(1).windowed(3, partial=True)",
    "Flow.of(1).windowed_by_time(3)",
    "Flow.of(1).windowed_by_time(3, every=2)",
    "Flow.of(1).chunked_by(len)",
    # Combine
    "Flow.of(1).concat(Flow.of(2), Flow.of(3).take(1))",
    "Flow.of(1).start_with(None, 0)",
    "Flow.of(1).end_with(2)",
    "Flow.of(1).zip(Flow.of(2))",
    "Flow.of(1).zip(Flow.of(2), Flow.of(3), strict=True)",
    "Flow.of(1).interleave(Flow.of(2).map(str))",
    "Flow.of(1).merge(Flow.of(2).map(str))",
    "Flow.of(1).combine(Flow.of(2).map(str))",
    "Flow.of(1).with_latest_from(Flow.of(2).map(str))",
    "Flow.of(1).race(Flow.of(2), Flow.of(3))",
    "Flow.of(1).take_until(Flow.of(2))",
    "Flow.of(1).drop_until(len)",
    "Flow.of(1).group_by(len)",
    "Flow.of(1).group_by(len, capacity=9, max_groups=3)",
    "Flow.of(1).partition(len)[1]",
    # Buffer
    "Flow.of(1).map(str, concurrency=2)",
    "Flow.of(1).map(str, concurrency=2, ordered=False)",
    "Flow.of(1).map(str, concurrency=2, on_error=print)",
    "Flow.of(1).flat_map(list, concurrency=2)",
    "Flow.of(1).flatten(concurrency=2)",
    "Flow.of(1).map_latest(str)",
    "Flow.of(1).flat_map_latest(list)",
    "Flow.of(1).flat_map_first(list)",
    "Flow.of(1).broadcast(2)[1]",
    "Flow.of(1).buffer()",
    "Flow.of(1).buffer(0)",
    "Flow.of(1).buffer(9)",
    "Flow.of(1).buffer(9, on_overflow='error')",
    "Flow.of(1).buffer(on_overflow='drop_oldest')",
    "Flow.of(1).conflate()",
    # Time
    "Flow.of(1).debounce(0.5)",
    "Flow.of(1).debounce(len)",
    "Flow.of(1).throttle(2)",
    "Flow.of(1).throttle(2, trailing=True)",
    "Flow.of(1).sample(2)",
    "Flow.of(1).sample(Flow.interval(2, delay=1))",
    "Flow.of(1).delay(2)",
    "Flow.of(1).delay(2, capacity=3)",
    "Flow.of(1).delay_start(2)",
    "Flow.of(1).pace(5, 1)",
    "Flow.of(1).timeout(2)",
    "Flow.of(1).timeout(2, fallback=Flow.of(3))",
    # Errors and life cycle
    "Flow.of(1).catch(OSError)",
    "Flow.of(1).catch(OSError, KeyError, handler=print)",
    "Flow.of(1).retry()",
    "Flow.of(1).retry(3)",
    "Flow.of(1).retry(on=OSError)",
    "Flow.of(1).retry(3, on=(OSError, KeyError))",
    "Flow.of(1).retry(3, on=len, backoff=0.5, factor=3, max_backoff=9)",
    "Flow.of(1).retry(factor=2.0, jitter=False, reset=False)",
    "Flow.of(1).retry_when(add)",
    "Flow.of(1).on_start(print)",
    "Flow.of(1).on_completion(print)",
    "Flow.of(1).on_empty(print)",
    "Flow.of(1).if_empty(None)",
    "Flow.of(1).log()",
    "Flow.of(1).log('app')",
    "Flow.of(1).log('app', 10)",
    "Flow.of(1).log(level=10)",
    "Flow.of(1).progress()",
    "Flow.of(1).progress('load')",
    "Flow.of(1).progress('load', total=9)",
    "Flow.of(1).measure(print)",
    # Hot flows
    "Flow.of(1).share()",
    "Flow.of(1).share(2)",
    "Flow.of(1).share(linger=9)",
    # Around it
    "Flow.of(1).pipe(every_nth, 3)",
    "Flow.of(1).pipe(every_nth, 3, offset=1)",
    "ticks(9).filter(bool).pipe(every_nth, n=2).map(str).chunked(2)",
]


async def produce():
    yield 1


@pytest.mark.parametrize("chain", SAME)
def test_repr_reads_like_the_chain(chain):
    assert repr(eval(chain, NAMES)) == chain


def test_every_source_and_operator_is_in_the_table():
    text = "".join(SAME)
    public = {name for name in vars(Flow) if not name.startswith("_")}

    missing = [name for name in public if f".{name}(" not in text]

    # They make no flow, or one that stands apart from its chain.
    apart = {"share_in", "state_in"}
    assert set(missing) == {"open", "iter_blocking", "launch_in"} | apart


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Flow([1, 2]), "Flow(list)"),
        (Flow("abc"), "Flow(str)"),
        (Flow(range(3)), "Flow(range)"),
        (Flow(iter([1])), "Flow(list_iterator)"),
        (Flow((n for n in "ab"), close=False), "Flow(generator, close=False)"),
        (Flow(produce), "Flow(produce)"),
        (Flow(produce()), "Flow(async_generator)"),
        (Flow(lambda: [1]), "Flow(<lambda>)"),
        (Flow(partial(range, 3)), "Flow(partial(range))"),
        (Flow(Flow.of(1)), "Flow.of(1)"),
    ],
)
def test_a_flow_around_something_names_its_kind_and_shows_no_items(made, text):
    assert repr(made) == text


def test_a_function_that_has_no_place_of_its_own_reads_by_its_bare_name():
    def double(n):
        return 2 * n

    class Scale:
        def up(self, n):
            return 10 * n

    chain = Flow.of(1).map(double).map(Scale().up).map(lambda n: n)

    assert repr(chain) == "Flow.of(1).map(double).map(Scale.up).map(<lambda>)"


def test_a_partial_reads_by_its_function():
    chain = Flow.of("ff").map(partial(int, base=16)).filter(partial(partial(bool)))

    assert repr(chain) == "Flow.of('ff').map(partial(int)).filter(partial(bool))"


def test_iterables_beside_a_flow_read_as_the_flows_that_they_become():
    chain = Flow.concat([1], (2,), produce())

    assert repr(chain) == "Flow(list).concat(Flow(tuple), Flow(async_generator))"


def test_durations_read_in_seconds():
    ticking = Flow.interval(timedelta(minutes=1), delay=timedelta(milliseconds=500))
    retried = ticking.retry(backoff=timedelta(seconds=2))

    assert repr(retried) == "Flow.interval(60.0, delay=0.5).retry(backoff=2.0)"


def test_a_level_reads_as_its_number():
    assert repr(Flow.of(1).log("app", "DEBUG")) == "Flow.of(1).log('app', 10)"


def test_long_arguments_are_cut_short():
    chain = Flow.of("x" * 1000).scan(list(range(1000)), max)

    assert len(repr(chain)) < 120
    assert "..." in repr(chain)


def test_an_argument_that_cannot_be_shown_does_not_break_repr_or_explain():
    chain = Flow.of(Broken()).start_with(Broken())

    assert repr(chain).startswith("Flow.of(<Broken instance at ")
    assert "start_with(<Broken instance at " in chain.explain()


def test_a_random_reads_as_an_object():
    text = repr(Flow.of(1).retry(jitter=Random(1)))

    assert text.startswith("Flow.of(1).retry(jitter=<random.Rando")


# --------------------------------------------------------------------------- explain


def lines(*text):
    return "\n".join(text)


def plan(fused, stages):
    """Return the last line: which stages share a function."""
    alone = ", ".join(map(str, range(stages)))
    functions = fused if ENABLED else alone
    return f"functions: {functions}; all in the collecting task; no buffer"


def test_explain_of_a_source_alone():
    assert Flow.of(1, 2).explain() == lines("0 Flow.of(1, 2)", plan("0", 1))


def test_explain_has_a_line_for_each_stage():
    chain = Flow(range(9)).filter(bool).map(str).chunked(2)

    assert chain.explain() == lines(
        "0 Flow(range)",
        "1   .filter(bool)",
        "2   .map(str)",
        "3   .chunked(2)",
        plan("0-3", 4),
    )


def test_explain_says_where_the_seams_are_and_why():
    chain = (
        ticks(9)
        .retry(3)
        .retry_when(len)
        .catch(OSError)
        .on_completion(print)
        .log("app")
        .pipe(every_nth, 2)
        .filter(bool)
        .take(3)
    )

    assert chain.explain() == lines(
        "0 ticks(9)",
        "1   .retry(3)  # a seam: collects everything above it again",
        "2   .retry_when(len)  # a seam: collects everything above it again",
        "3   .catch(OSError)  # a seam: handles errors from above only",
        "4   .on_completion(print)  # a seam: tells an error above it from a stop below it",
        "5   .log('app')  # a seam: tells an error above it from a stop below it",
        "6   .pipe(every_nth, 2)  # a seam: a function of your own",
        "7   .filter(bool)",
        "8   .take(3)",
        plan("0, 1, 2, 3, 4, 5, 6, 7-8", 9),
    )


def test_explain_says_what_runs_in_tasks_of_its_own_and_where_items_wait():
    chain = Flow.of(1).map(str).buffer(9).take(9).merge([2]).conflate()

    assert chain.explain().splitlines()[2:] == [
        (
            "2   .buffer(9)  # a seam: runs upstream in a task of its own; "
            "at most 9 items wait"
        ),
        "3   .take(9)",
        (
            "4   .merge(Flow(list))  # a seam: runs each flow in a task of its own; "
            "at most 16 items of each wait"
        ),
        (
            "5   .conflate()  # a seam: runs upstream in a task of its own; "
            "at most 1 item waits"
        ),
        (
            f"functions: {'0-1' if ENABLED else '0, 1'}, 2, 3, 4, 5; "
            "in tasks of their own: 0-1, 2-3, 4; in the collecting task: 5; "
            "buffers: 2, 4, 5"
        ),
    ]


def test_neither_repr_nor_explain_runs_anything():
    called = []

    def source():
        called.append("source")
        return [1]

    chain = Flow(source).on_start(lambda: called.append("on_start")).map(called.append)

    assert repr(chain) == "Flow(source).on_start(<lambda>).map(list.append)"
    assert chain.explain().startswith("0 Flow(source)\n1   .on_start(<lambda>)\n")
    assert called == []


# ----------------------------------------------------------------------------- chains


def test_an_operator_leaves_the_flow_that_it_is_applied_to_as_it_was():
    numbers = Flow.of(1)
    text = numbers.map(str)

    assert repr(numbers) == "Flow.of(1)"
    assert repr(text.take(1)) == "Flow.of(1).map(str).take(1)"
    assert repr(text.drop(1)) == "Flow.of(1).map(str).drop(1)"
    assert repr(text) == "Flow.of(1).map(str)"
