"""Random chains that write down all they do, made anew from a seed for each mode.

Stages that run tasks are not among them: what these do at one instant has no order.

A seed decides everything: the source, the stages, the callbacks, what fails and when,
how the flow is ended. `observe` runs the chain of a seed and returns what it did.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from functools import partial
from random import Random
from zlib import crc32

from anyio.lowlevel import checkpoint

from flowpy import Flow, flow
from flowpy._types import SKIP

LOGGER = "flowpy.fuzz"

MOST_EVENTS = 2000


class Boom(Exception):
    """A fault that was planted."""


class TooLong(Exception):
    """Ends a chain that would fill the log."""


class Later(Coroutine):
    """A coroutine that may be dropped without a warning, since it has no frame."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        return iter(self)

    def __iter__(self):
        return self

    def __next__(self):
        raise StopIteration(self.value)

    def send(self, value):
        raise StopIteration(self.value)

    def throw(self, *error):
        raise error[0]

    def close(self):
        pass

    def __repr__(self):
        return f"Later({self.value!r})"


class Letters(str):
    """Text that is iterated in a way of its own."""

    __slots__ = ()

    def __new__(cls, number):
        return super().__new__(cls, "x" * (number % 4))

    def __iter__(self):
        return iter([len(self)])


class Indexed:
    """An iterable of the old kind."""

    def __getitem__(self, k):
        return "abc"[k]

    def __repr__(self):
        return "Indexed()"


class Restarting:
    """An async iterator without aclose, which begins anew when it is asked for one."""

    def __init__(self, size):
        self.size = size

    def __aiter__(self):
        self.number = 0
        return self

    async def __anext__(self):
        if self.number == self.size:
            raise StopAsyncIteration
        if self.number % 3 == 2:
            await checkpoint()
        self.number += 1
        return self.number

    def __repr__(self):
        return f"Restarting({self.size})"


def number(item):
    """Return a small number for any item."""
    if isinstance(item, int):
        return item
    return crc32(repr(item).encode()) % 50


def plain(call, name, r):
    return call


def waiting(call, name, r):
    calls = 0

    async def waits(*args):
        nonlocal calls
        calls += 1
        result = call(*args)
        if calls % 3 == 1:
            await checkpoint()
        return result

    return waits


def lambda_of_coroutine(call, name, r):
    waits = waiting(call, name, r)
    return lambda *args: waits(*args)


def wavering(call, name, r):
    """Return a callback that gives a coroutine at some calls only."""
    turns = r.choice([{1, 3}, {2, 3}, {1, 2, 5}])
    calls = 0

    def wavers(*args):
        nonlocal calls
        calls += 1
        result = call(*args)
        return Later(result) if calls in turns else result

    return wavers


def partial_of_coroutine_function(call, name, r):
    async def bound(_, *args):
        return call(*args)

    return partial(bound, None)


def bound_method(call, name, r):
    class Owner:
        def method(self, *args):
            return call(*args)

        async def waits(self, *args):
            return call(*args)

    return r.choice([Owner().method, Owner().waits])


def async_call(call, name, r):
    waits = waiting(call, name, r)

    class Callable:
        async def __call__(self, *args):
            return await waits(*args)

        def __repr__(self):
            return name

    return Callable()


KINDS = [
    *[plain] * 3,
    *[waiting] * 2,
    lambda_of_coroutine,
    wavering,
    partial_of_coroutine_function,
    bound_method,
    async_call,
]
"""Kinds of callbacks, the frequent ones more than once."""


class Case:
    """What a seed stands for: a flow, an ending, and the log of what they did."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.log = []
        self.opened = self.closed = 0
        self.calls = 0
        self.names = 0
        self.lists = []
        chance = self.random.random()
        self.fault_at = self.random.randrange(60) if chance < 0.4 else None
        self.fault = self.random.choice(
            [
                Boom("call"),
                Boom("call"),
                StopIteration(7),
                StopAsyncIteration(),
                GeneratorExit(),
                KeyboardInterrupt(),
            ]
        )
        self.faults = {id(self.fault): "the fault of a call"}
        self.flow = self.any_source()
        self.structure = 0
        for _ in range(self.random.choice([0, 1, 2, 3, 4, 5, 6, 8, 12, 20, 40])):
            self.flow = self.any_stage(self.flow)
        self.ending = self.any_ending()
        self.again = self.random.random() < 0.1

    # ------------------------------------------------------------- writing down

    def measured(self, snapshot):
        """Write down what each stage has passed on in the end."""
        if snapshot.ended:
            self.log.append(
                f"measured {[(s.items, s.errors) for s in snapshot.stages]}"
            )

    def note(self, *event):
        self.log.append(repr(event))
        if len(self.log) > MOST_EVENTS:
            raise TooLong

    def describe(self, error):
        """Return an error as text: which one it is, its notes and its cause."""
        if error is None:
            return None
        who = self.faults.get(id(error)) or f"{type(error).__name__}: {error}"
        notes = getattr(error, "__notes__", [])
        # Nested, the stage is noted before what failed while closing, fused after it.
        return who, tuple(sorted(notes)), self.describe(error.__cause__)

    def plain(self, value):
        """Return an argument of a callback as what can be compared."""
        return self.describe(value) if isinstance(value, BaseException) else value

    def new_fault(self, name):
        fault = Boom(name)
        self.faults[id(fault)] = name
        self.kept = [*getattr(self, "kept", []), fault]
        return fault

    def name(self, kind):
        self.names += 1
        return f"{kind} {self.names}"

    # ---------------------------------------------------------------- callbacks

    def callback(self, kind, fn):
        """Return `fn` as a callback of some kind, which notes its calls and may fail."""
        name = self.name(kind)

        def call(*args):
            self.note(name, *map(self.plain, args))
            self.calls += 1
            if self.calls == self.fault_at:
                raise self.fault
            return fn(*args)

        return self.random.choice(KINDS)(call, name, self.random)

    # ------------------------------------------------------------------ sources

    def any_source(self, size=None):
        r = self.random
        n = r.choice([0, 1, 5, 9, 30, 30]) if size is None else size
        kinds = [
            lambda: Flow(list(range(n))),
            lambda: Flow(range(n)),
            lambda: Flow.of(*range(n)),
            lambda: Flow(dict.fromkeys(range(n)).items()),
            lambda: Flow(Letters(n)),
            lambda: Flow(Indexed()),
            lambda: Flow(Restarting(n)),
            lambda: Flow(lambda: Restarting(n)),
            lambda: Flow(map(number, range(n))),
            lambda: Flow(self.changing(n)),
            lambda: Flow.interval(1, delay=n % 2).take(n),
            lambda: Flow(self.generator(n)),
            lambda: Flow(self.generator(n)),
            lambda: Flow(self.async_generator(n)),
            lambda: Flow(self.async_generator(n)),
            lambda: Flow(self.async_generator(n)),
            lambda: Flow(self.async_generator(n)()),
            lambda: Flow(self.generator(n)()),
            lambda: flow(self.async_generator(n))(),
            lambda: Flow(self.callback("source", self.any_inner_maker(n))),
            lambda: Flow.unfold(
                0, self.callback("unfold", lambda k: (k, k + 1) if k < n else None)
            ),
            Flow.empty,
            lambda: Flow.fail(self.new_fault("fail")),
        ]
        return r.choice(kinds)()

    def changing(self, n):
        """Return a list that some callbacks of the chain add to or take from."""
        self.lists.append(list(range(n)))
        return self.lists[-1]

    def change(self, kind):
        """Return a callback that changes such a list, and gives back its argument."""
        limit = self.random.choice([0, 10, 40])

        def fn(x):
            for items in self.lists:
                if len(items) < limit:
                    items.append(len(items))
                elif items:
                    items.pop()
            if isinstance(x, list) and len(x) < 5:
                x.append(0)
            return x

        return self.callback(kind, fn)

    def faults_of_source(self):
        r = self.random
        fails_at = r.randrange(12) if r.random() < 0.2 else None
        fails_late = r.random() < 0.2
        return (
            fails_at,
            self.new_fault(self.name("pull")),
            fails_late,
            self.new_fault(self.name("cleanup")),
        )

    def async_generator(self, n):
        name = self.name("async source")
        fails_at, fault, fails_late, late = self.faults_of_source()

        async def source():
            self.opened += 1
            try:
                for i in range(n):
                    if i == fails_at:
                        raise fault
                    self.note(name, "pull", i)
                    if i % 7 == 3:
                        await checkpoint()
                    yield i
            finally:
                self.log.append(f"{name} closing")
                await checkpoint()
                self.log.append(f"{name} closed")
                self.closed += 1
                if fails_late:
                    raise late

        return source

    def generator(self, n):
        name = self.name("source")
        fails_at, fault, fails_late, late = self.faults_of_source()

        def source():
            self.opened += 1
            try:
                for i in range(n):
                    if i == fails_at:
                        raise fault
                    self.note(name, "pull", i)
                    yield i
            finally:
                self.log.append(f"{name} closed")
                self.closed += 1
                if fails_late:
                    raise late

        return source

    def any_inner_maker(self, n):
        """Return a function that makes what a callback may give for many items."""
        r = self.random
        from_async = self.async_generator(n)
        from_plain = self.generator(n)
        mapped = Flow(range(n)).map(self.callback("inner map", number))
        return r.choice(
            [
                lambda *_: list(range(n)),
                lambda *_: from_async(),
                lambda *_: from_plain(),
                lambda *_: mapped,
                lambda *_: 5 if n > 5 else (),
            ]
        )

    # ------------------------------------------------------------------- stages

    def any_stage(self, above):
        names = list(STAGES)
        weights = [weight for weight, _ in STAGES.values()]
        (name,) = self.random.choices(names, weights)
        if name in NEEDS_NUMBERS:
            above = above.map(number)
        result = STAGES[name][1](self, self.random, above)
        if name in STRUCTURES:
            self.structure += 1
            if self.structure > 2 or self.random.random() < 0.6:
                result = result.map(number)
                self.structure = 0
        return result

    def any_other(self):
        """Return a flow that stands beside the chain."""
        other = self.any_source(self.random.choice([0, 1, 3, 8]))
        for _ in range(self.random.choice([0, 0, 1, 2])):
            other = self.any_stage(other)
        return other

    # ------------------------------------------------------------------ endings

    def any_ending(self):
        return self.random.choice(ENDINGS)(self, self.random)


def flat_map(case, r, above):
    makers = [case.any_inner_maker(r.choice([0, 1, 2])) for _ in range(3)]
    fn = r.choice(
        [
            lambda x: [number(x)] * (number(x) % 3),
            lambda x: (number(x) % 7,),
            lambda x: makers[number(x) % 3](),
            lambda x: makers[number(x) % 2](),
        ]
    )
    return above.flat_map(case.callback("flat_map", fn))


def flatten(case, r, above):
    odd = [
        lambda k: [k] * (k % 2 + 1),
        lambda k: (),
        lambda k: range(k % 3),
        lambda k: {k: k},
        lambda k: {k: k}.values(),
        lambda k: Letters(k),
        lambda k: (x for x in [k]),
        lambda k: map(number, [k]),
        lambda k: Flow.of(k),
        lambda k: Restarting(k % 3),
        lambda k: Indexed(),
        lambda k: [k] if k % 5 else k,
    ]
    makers = r.choices(odd, k=3)
    return above.map(lambda x: makers[number(x) % 3](number(x))).flatten()


def catch(case, r, above):
    handler = r.choice(
        [
            None,
            lambda e: None,
            lambda e: [1, 2],
            lambda e: fallback,
        ]
    )
    fallback = case.any_other()
    if handler is not None:
        handler = case.callback("handler", handler)
    return above.catch(*r.choice([(), (Boom,), (RuntimeError,)]), handler=handler)


def retry(case, r, above):
    on = r.choice([Exception, Boom, case.callback("on", lambda e: number(repr(e)) % 2)])
    return above.retry(r.randrange(3), on=on, reset=False, backoff=r.choice([0, 1]))


def retry_when(case, r, above):
    answers = r.choice([(True, False), (0.5, True, False), (False,)])
    fn = case.callback("retry_when", lambda e, k: k < len(answers) and answers[k])
    return above.retry_when(fn)


def pipe(case, r, above):
    kind = r.randrange(3)
    n = r.choice([1, 2, 4])
    name = case.name("pipe")
    step = case.callback("step", number)

    @flow
    async def operator(source, *others):
        if kind == 0:
            async for x in source.map(step):
                yield x
        elif kind == 1:
            case.note(name, "first", await source.first(default=None))
            async for x in source.take(n):
                yield x
        else:
            async for i, x in source.enumerate():
                case.note(name, i)
                if i == n:
                    break
                yield x

    return above.pipe(operator)


def map_or_else(case, r, above):
    def sometimes(x):
        if number(x) % 4 == 3:
            raise own
        return number(x) + 1

    own = case.new_fault("in map")
    replace = r.choice([lambda e, x: -1, lambda e, x: SKIP])
    on_error = case.callback("on_error", replace)
    return above.map(case.callback("map", sometimes), on_error=on_error)


def test_of(case, r, kind):
    m = r.choice([2, 3, 7, 13])
    return case.callback(kind, lambda x: number(x) % m != m - 1)


def key_of(case, r):
    m = r.choice([2, 3, 5, 50])
    return case.callback("key", lambda x: number(x) % m)


STAGES = {
    "map": (6, lambda c, r, s: s.map(c.callback("map", lambda x: number(x) * 3 % 17))),
    "map, which changes a list": (1, lambda c, r, s: s.map(c.change("change"))),
    "map, of a builtin": (1, lambda c, r, s: s.map(r.choice([repr, bool, Boom]))),
    "map_or_else": (2, map_or_else),
    "map_not_none": (
        1,
        lambda c, r, s: s.map_not_none(
            c.callback("map_not_none", lambda x: number(x) if number(x) % 3 else None)
        ),
    ),
    "flat_map": (5, flat_map),
    "flatten": (1, flatten),
    "enumerate": (1, lambda c, r, s: s.enumerate(r.randrange(3))),
    "pairwise": (1, lambda c, r, s: s.pairwise()),
    "scan": (
        2,
        lambda c, r, s: s.scan(
            1, c.callback("scan", lambda a, x: (number(a) + number(x)) % 23)
        ),
    ),
    "running_reduce": (
        2,
        lambda c, r, s: s.running_reduce(
            c.callback("reduce", lambda a, x: (number(a) + number(x)) % 23)
        ),
    ),
    "on_each": (2, lambda c, r, s: s.on_each(c.callback("on_each", lambda x: None))),
    "filter": (4, lambda c, r, s: s.filter(test_of(c, r, "filter"))),
    "filter_not": (
        1,
        lambda c, r, s: s.filter_not(c.callback("not", lambda x: number(x) % 5 == 4)),
    ),
    "filter_not_none": (1, lambda c, r, s: s.filter_not_none()),
    "filter_is_instance": (1, lambda c, r, s: s.filter_is_instance(int, tuple)),
    "distinct": (1, lambda c, r, s: s.distinct()),
    "distinct_by": (1, lambda c, r, s: s.distinct(key_of(c, r))),
    "distinct_recent": (1, lambda c, r, s: s.distinct(key_of(c, r), max_size=2)),
    "distinct_until_changed": (1, lambda c, r, s: s.distinct_until_changed()),
    "distinct_until_changed_by": (
        1,
        lambda c, r, s: s.distinct_until_changed(
            key_of(c, r), equal=c.callback("equal", lambda a, b: a == b)
        ),
    ),
    "take": (3, lambda c, r, s: s.take(r.choice([0, 1, 2, 9, 30, 30, 30]))),
    "take_last": (1, lambda c, r, s: s.take_last(r.choice([0, 2, 9]))),
    "drop": (1, lambda c, r, s: s.drop(r.choice([0, 1, 3]))),
    "drop_last": (1, lambda c, r, s: s.drop_last(r.choice([0, 1, 2]))),
    "take_while": (2, lambda c, r, s: s.take_while(test_of(c, r, "take_while"))),
    "take_through": (
        2,
        lambda c, r, s: s.take_while(test_of(c, r, "through"), inclusive=True),
    ),
    "drop_while": (
        1,
        lambda c, r, s: s.drop_while(c.callback("drop", lambda x: number(x) % 3 < 2)),
    ),
    "chunked": (2, lambda c, r, s: s.chunked(r.choice([1, 2, 3]))),
    "windowed": (
        1,
        lambda c, r, s: s.windowed(
            r.choice([1, 2, 3]), r.choice([1, 2, 4]), partial=r.random() < 0.5
        ),
    ),
    "chunked_by": (1, lambda c, r, s: s.chunked_by(key_of(c, r))),
    "throttle": (1, lambda c, r, s: s.throttle(r.choice([0, 1, 2]))),
    "pace": (1, lambda c, r, s: s.pace(r.choice([1, 3]), 1)),
    "delay_start": (1, lambda c, r, s: s.delay_start(r.choice([0, 1]))),
    "concat": (
        1,
        lambda c, r, s: s.concat(*(c.any_other() for _ in range(r.choice([1, 1, 2])))),
    ),
    "start_with": (1, lambda c, r, s: s.start_with(3, 4)),
    "end_with": (1, lambda c, r, s: s.end_with(5)),
    "catch": (2, catch),
    "retry": (1, retry),
    "retry_when": (1, retry_when),
    "on_start": (1, lambda c, r, s: s.on_start(c.callback("start", lambda: None))),
    "on_completion": (
        1,
        lambda c, r, s: s.on_completion(c.callback("completion", lambda e: None)),
    ),
    "on_empty": (1, lambda c, r, s: s.on_empty(c.callback("empty", lambda: None))),
    "if_empty": (1, lambda c, r, s: s.if_empty(7, 8)),
    "log": (1, lambda c, r, s: s.log(LOGGER)),
    "measure": (2, lambda c, r, s: s.measure(c.measured)),
    "progress": (1, lambda c, r, s: s.progress()),
    "pipe": (1, pipe),
}
"""How often each stage comes, and how it is put on a flow."""

NEEDS_NUMBERS = {"distinct"}

STRUCTURES = {"enumerate", "pairwise", "chunked", "windowed", "chunked_by"}
"""Stages whose items hold items: without an end to it their text would explode."""


async def loop(case, items, stop, fault):
    seen = 0
    async with items as opened:
        if stop == 0:
            return seen
        async for x in opened:
            case.note("out", x)
            seen += 1
            if seen == stop:
                break
            if seen == fault:
                raise case.loop_fault
    return seen


def own_loop(case, r):
    stop, fault = r.choice([None, None, 0, 1, 3, 7]), r.choice([None, None, None, 2])
    case.loop_fault = case.new_fault("in the loop")
    return lambda flow: loop(case, flow.open(), stop, fault)


def by_hand(case, r):
    count = r.choice([0, 1, 2, 5])

    async def pull(flow):
        items = aiter(flow)
        try:
            for _ in range(count):
                case.note("out", await anext(items, "end"))
        finally:
            await items.aclose()

    return pull


def ended(name, *make, **named):
    """Return an ending by its name; arguments are made from a case and its Random."""

    def any_of_it(case, r):
        args = [one(case, r) for one in make]
        kwargs = {key: one(case, r) for key, one in named.items()}
        return lambda flow: getattr(flow, name)(*args, **kwargs)

    return any_of_it


def numbers(any_of_it):
    def of_numbers(case, r):
        run = any_of_it(case, r)
        return lambda flow: run(flow.map(number))

    return of_numbers


def adds(case, r):
    return case.callback("fold", lambda a, x: (number(a) + number(x)) % 101)


def tests(case, r):
    return test_of(case, r, "ending")


def nothing(case, r):
    return "none"


ENDINGS = [
    ended("to_list"),
    ended("to_list"),
    ended("to_list"),
    own_loop,
    own_loop,
    own_loop,
    by_hand,
    numbers(ended("to_set")),
    ended("to_dict", key_of, key_of),
    ended("to_groups", key_of),
    ended("collect"),
    ended("collect", lambda c, r: c.callback("collect", lambda x: None)),
    ended("fold", lambda c, r: 0, adds),
    ended("reduce", adds),
    ended("count"),
    ended("count", tests),
    ended("first"),
    ended("first", default=nothing),
    ended("first", tests, default=nothing),
    ended("last", default=nothing),
    ended("single", default=nothing),
    ended("any", tests),
    ended("all", tests),
    ended("none", tests),
    ended("min", key_of, default=nothing),
    ended("max", key_of),
    numbers(ended("sum")),
    ended("join"),
    ended("last"),
    ended("single"),
    ended("min"),
    ended("to_dict"),
    lambda c, r: lambda flow: flow.map(repr).join(","),
    numbers(ended("any")),
]


class Writer(logging.Handler):
    """Puts what `log` says into the log of a case."""

    def __init__(self, case):
        super().__init__()
        self.case = case

    def emit(self, record):
        self.case.log.append(f"log {record.getMessage()}")


async def observe(seed):
    """Run the chain of a seed; return its name, its result and all that it did."""
    case = Case(seed)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    writer = Writer(case)
    logger.addHandler(writer)
    results = []
    try:
        for _ in range(1 + case.again):
            try:
                results.append(repr(await case.ending(case.flow)))
            except (Exception, GeneratorExit, KeyboardInterrupt) as error:  # noqa: BLE001 - compared
                results.append(repr(case.describe(error)))
    finally:
        logger.removeHandler(writer)
    return repr(case.flow), results, case.log, case.opened - case.closed


async def differences(seeds, nested):
    """Return how the two modes differ, for the first seed where they do; else None.

    `nested` is a context manager in which chains run as nested generators.
    """
    for seed in seeds:
        fused = await observe(seed)
        with nested():
            reference = await observe(seed)
        if fused != reference:
            return difference(seed, fused, reference)
    return None


def difference(seed, fused, reference):
    """Return as text where two runs of a seed part."""
    lines = [f"seed {seed}: {fused[0]}", f"fused:  {fused[1]}, left open: {fused[3]}"]
    lines.append(f"nested: {reference[1]}, left open: {reference[3]}")
    for k in range(max(len(fused[2]), len(reference[2]))):
        one, other = fused[2][k : k + 1], reference[2][k : k + 1]
        if one != other:
            lines += fused[2][max(k - 5, 0) : k]
            lines += [
                f"fused:  {fused[2][k : k + 3]}",
                f"nested: {reference[2][k : k + 3]}",
            ]
            break
    return "\n".join(lines)
