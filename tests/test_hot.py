"""What hot flows mean: SharedFlow, StateFlow and what is derived from states."""

from __future__ import annotations

import gc
import math
import warnings
import weakref
from contextvars import ContextVar

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from flowpy import Flow, FlowClosedError, FlowError, SharedFlow, StateFlow
from flowpy._broadcast import Cell, Derived
from flowpy.testing import probe
from tests.laws.probes import CALLBACK_KINDS, Boom

pytestmark = pytest.mark.anyio

POLICIES = ("suspend", "drop_oldest", "drop_latest")

END = object()


class Subscribers:
    """Tasks that collect, each into a list, and note the time if asked to."""

    def __init__(self, group):
        self.group = group
        self.scopes = []

    async def start(self, flow, pause=0, stop=math.inf):
        """Start one that takes some seconds for each item; return its list."""
        got = []

        async def read():
            with anyio.CancelScope() as scope:
                self.scopes.append(scope)
                try:
                    async with flow.open() as items:
                        async for x in items:
                            got.append(x)
                            if len(got) >= stop:
                                return
                            await anyio.sleep(pause)
                    got.append(END)
                except (Boom, FlowClosedError) as error:
                    got.append(error)

        self.group.start_soon(read)
        await anyio.sleep(0.001)
        return got


@pytest.fixture
async def subscribers(anyio_backend):
    async with anyio.create_task_group() as group:
        yield Subscribers(group)
        group.cancel_scope.cancel()


class Emits:
    """An `emit` in a task of its own, and how far it has come."""

    def __init__(self, group, flow, item):
        self.scope = anyio.CancelScope()
        self.done = False
        self.error = None
        group.start_soon(self._run, flow, item)

    async def _run(self, flow, item):
        with self.scope:
            try:
                await flow.emit(item)
            except FlowClosedError as error:
                self.error = error
            else:
                self.done = True


# ------------------------------------------------------------------- a shared flow


async def test_every_subscriber_gets_what_is_emitted_from_its_coming_on(subscribers):
    news = SharedFlow()
    await news.emit("nobody is there")
    first = await subscribers.start(news)
    await news.emit(1)
    second = await subscribers.start(news)
    await news.emit(None)
    news.close()
    await anyio.sleep(1)

    assert first == [1, None, END]
    assert second == [None, END]


@pytest.mark.parametrize("replay", [1, 3])
async def test_a_newcomer_gets_the_last_items_first(subscribers, replay):
    news = SharedFlow(replay)
    for n in range(5):
        await news.emit(n)
    got = await subscribers.start(news)
    await news.emit(5)
    await anyio.sleep(1)

    assert got == list(range(5 - replay, 6))
    assert news.replay_cache == list(range(6 - replay, 6))


async def test_without_subscribers_only_what_is_replayed_is_kept():
    news = SharedFlow(2, capacity=5)
    for n in range(100):
        await news.emit(n)

    assert news.replay_cache == [98, 99]
    assert await news.take(2).to_list() == [98, 99]


async def test_a_reset_hides_old_items_from_newcomers_only(subscribers):
    news = SharedFlow(2)
    slow = await subscribers.start(news, pause=10)
    for n in range(3):
        await news.emit(n)
    news.reset_replay_cache()
    newcomer = await subscribers.start(news)
    await news.emit(3)
    await anyio.sleep(100)

    assert slow == [0, 1, 2, 3]
    assert newcomer == [3]


@pytest.mark.parametrize("replay", [0, 2])
async def test_emit_waits_while_the_slowest_is_too_far_behind(subscribers, replay):
    news = SharedFlow(replay, capacity=2)
    fast = await subscribers.start(news)
    slow = await subscribers.start(news, pause=10)
    start = anyio.current_time()
    times = []
    for n in range(5):
        await news.emit(n)
        times.append(round(anyio.current_time() - start))
        await anyio.sleep(0.1)

    # The slow one takes 0 at once, holds two more, and takes another every ten seconds.
    assert times == [0, 0, 0, 10, 20]
    assert fast == [0, 1, 2, 3, 4]
    assert slow == [0, 1, 2]
    assert news.subscribers_lag() == [0, 2]


async def test_try_emit_says_no_where_emit_would_wait(subscribers):
    news = SharedFlow(capacity=1)
    got = await subscribers.start(news, pause=10)
    accepted = [news.try_emit(n) for n in range(3)]
    await anyio.sleep(1)
    accepted += [news.try_emit(n) for n in range(3, 6)]
    await anyio.sleep(100)

    assert accepted == [True, False, False, True, False, False]
    assert got == [0, 3]


async def test_a_slow_subscriber_misses_the_oldest_and_slows_nobody(subscribers):
    news = SharedFlow(capacity=2, on_overflow="drop_oldest")
    fast = await subscribers.start(news)
    slow = await subscribers.start(news, pause=9.4)
    stuck = await subscribers.start(news, pause=math.inf)
    start = anyio.current_time()
    for n in range(20):
        await news.emit(n)
        await anyio.sleep(1)
    took = anyio.current_time() - start
    lags = news.subscribers_lag()
    news.close()
    await anyio.sleep(100)

    assert took == pytest.approx(20)
    assert lags == [0, 2, 2]
    assert fast == [*range(20), END]
    assert slow == [0, 8, 17, 18, 19, END]
    assert stuck == [0]


async def test_with_drop_latest_all_miss_what_comes_while_one_is_behind(subscribers):
    news = SharedFlow(replay=1, capacity=2, on_overflow="drop_latest")
    fast = await subscribers.start(news)
    slow = await subscribers.start(news, pause=9.4)
    for n in range(20):
        assert news.try_emit(n)
        await anyio.sleep(1)

    assert fast == [0, 1, 2, 10, 19]
    assert news.replay_cache == [19]
    await anyio.sleep(100)
    assert slow == fast


async def test_without_capacity_emit_returns_when_all_have_taken_the_item(subscribers):
    news = SharedFlow(capacity=0)
    await subscribers.start(news)
    slow = await subscribers.start(news, pause=10)
    start = anyio.current_time()
    times = []
    for n in range(3):
        assert not news.try_emit(-1)
        await news.emit(n)
        assert slow[-1] == n
        times.append(round(anyio.current_time() - start))

    assert times == [0, 10, 20]
    assert slow == [0, 1, 2]


async def test_without_capacity_and_subscribers_nothing_waits():
    news = SharedFlow(capacity=0)
    await news.emit(1)

    assert news.try_emit(2)
    assert news.replay_cache == []


@pytest.mark.parametrize("capacity", [0, 1])
async def test_those_who_wait_go_on_in_their_order(subscribers, capacity):
    news = SharedFlow(capacity=capacity)
    got = await subscribers.start(news, pause=10)
    emits = [Emits(subscribers.group, news, "first")]
    await anyio.sleep(0.1)
    for item in "abc":
        emits.append(Emits(subscribers.group, news, item))
        await anyio.sleep(0.1)
    done = [emit.done for emit in emits]
    await anyio.sleep(100)

    assert done == [True, capacity == 1, False, False]
    assert got == ["first", "a", "b", "c"]
    assert all(emit.done for emit in emits)


@pytest.mark.parametrize("capacity", [0, 1])
async def test_a_cancelled_emit_takes_its_item_back(subscribers, capacity):
    news = SharedFlow(capacity=capacity)
    got = await subscribers.start(news, pause=10)
    emits = []
    for item in "abcde":
        emits.append(Emits(subscribers.group, news, item))
        await anyio.sleep(0.1)
    emits[1 + capacity].scope.cancel()  # the first that waits
    emits[4].scope.cancel()  # the last one
    await anyio.sleep(100)

    assert got == (["a", "b", "d"] if capacity else ["a", "c", "d"])
    assert [emit.done for emit in emits].count(True) == 3


async def test_an_item_that_is_taken_back_stays_with_those_who_have_it(subscribers):
    news = SharedFlow(capacity=0)
    fast = await subscribers.start(news)
    slow = await subscribers.start(news, pause=10)
    emits = []
    for item in "abc":
        emits.append(Emits(subscribers.group, news, item))
        await anyio.sleep(0.1)
    emits[1].scope.cancel()
    await anyio.sleep(100)

    assert fast == ["a", "b", "c"]
    assert slow == ["a", "c"]


@pytest.mark.parametrize("capacity", [0, 1])
async def test_when_the_slowest_leaves_those_who_wait_go_on(subscribers, capacity):
    news = SharedFlow(capacity=capacity)
    fast = await subscribers.start(news)
    await subscribers.start(news, pause=math.inf)
    emits = [Emits(subscribers.group, news, n) for n in range(4)]
    await anyio.sleep(1)
    before = sorted(fast)
    subscribers.scopes[-1].cancel()
    await anyio.sleep(1)

    assert len(before) == 2
    assert sorted(fast) == [0, 1, 2, 3]
    assert all(emit.done for emit in emits)
    assert news.subscribers.value == 1


@pytest.mark.parametrize("kind", [None, Boom])
async def test_a_close_is_told_after_what_was_not_read(subscribers, kind):
    error = kind and kind()
    news = SharedFlow(replay=1)
    slow = await subscribers.start(news, pause=10)
    idle = await subscribers.start(news)
    for n in range(3):
        await news.emit(n)
    news.close(error)
    news.close(KeyError("the first end counts"))
    newcomer = await subscribers.start(news)
    await anyio.sleep(100)

    end = error or END
    assert slow == [0, 1, 2, end]
    assert idle == [0, 1, 2, end]
    assert newcomer == [2, end]
    assert news.subscribers.value == 0


@pytest.mark.parametrize("kind", [None, Boom])
async def test_nothing_can_be_emitted_after_a_close(kind):
    error = kind and kind()
    news = SharedFlow(replay=1)
    news.close(error)
    with pytest.raises(FlowClosedError, match="has been closed") as caught:
        await news.emit(1)
    with pytest.raises(FlowClosedError):
        news.try_emit(1)

    assert caught.value.__cause__ is error
    assert isinstance(caught.value, FlowError)
    assert news.replay_cache == []


@pytest.mark.parametrize("capacity", [0, 1])
async def test_those_who_wait_are_told_of_a_close(subscribers, capacity):
    news = SharedFlow(capacity=capacity)
    got = await subscribers.start(news, pause=10)
    emits = []
    for n in range(4):
        emits.append(Emits(subscribers.group, news, n))
        await anyio.sleep(0.1)
    news.close()
    await anyio.sleep(100)

    # Item 1 had been put in, or was being handed over.
    assert got == [0, 1, END]
    assert [emit.done for emit in emits] == [True, True, False, False]
    assert all(emit.error for emit in emits[2:])


async def test_each_subscriber_gets_the_error_without_the_frames_of_others():
    news = SharedFlow()
    error = Boom()
    news.close(error)
    depths = []
    for _ in range(3):
        with pytest.raises(Boom) as caught:
            await news.to_list()
        assert caught.value is error
        depths.append(len(caught.traceback))

    assert len(set(depths)) == 1


async def test_subscribers_are_counted_in_a_state(subscribers):
    news = SharedFlow()
    counts = await subscribers.start(news.subscribers)
    one = await subscribers.start(news, stop=1)
    await subscribers.start(news.map(str))
    value = news.subscribers.value
    await news.emit(1)
    await anyio.sleep(1)
    news.close()
    await anyio.sleep(1)

    assert one == [1]
    assert value == 2
    assert counts == [0, 1, 2, 1, 0]
    with pytest.raises(AttributeError, match="subscribers: it cannot be set"):
        news.subscribers.value = 3


async def test_a_subscription_is_over_when_its_iterator_is_closed_or_dropped():
    news = SharedFlow(replay=1)
    await news.emit(1)
    async with news.open() as items:
        await anext(items)
        inside = news.subscribers.value
    after_open = news.subscribers.value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # trio's, of the iterator
        async for _ in news:
            break
        gc.collect()
        await anyio.sleep(1)

    assert (inside, after_open, news.subscribers.value) == (1, 0, 0)


async def test_a_subscriber_may_be_closed_by_another_task(subscribers):
    news = SharedFlow(replay=1, capacity=1)
    await news.emit(1)
    items = aiter(news)
    await anext(items)

    async def close():
        await items.aclose()

    subscribers.group.start_soon(close)
    await anyio.sleep(1)

    assert news.subscribers.value == 0


async def test_on_subscription_runs_before_the_first_item_and_loses_nothing(
    subscribers,
):
    news = SharedFlow(replay=1, capacity=4)
    await news.emit("replayed")
    log = []

    async def greet():
        log.append(news.subscribers.value)
        await anyio.sleep(5)
        await news.emit("greeting")

    greeted = news.on_subscription(greet).on_subscription(lambda: log.append("second"))
    got = await subscribers.start(greeted.on_each(log.append))
    await anyio.sleep(1)
    await greeted.emit("meanwhile")
    await anyio.sleep(10)

    assert got == ["replayed", "meanwhile", "greeting"]
    assert log == [1, "second", *got]


@pytest.mark.parametrize("kind", CALLBACK_KINDS)
async def test_on_subscription_takes_callbacks_of_every_kind(kind):
    news = SharedFlow()
    fn = CALLBACK_KINDS[kind](lambda: news.try_emit(kind))

    assert await news.on_subscription(fn).first() == kind


async def test_an_error_of_on_subscription_ends_the_subscription():
    news = SharedFlow(replay=1)
    await news.emit(1)
    boom = Boom()

    def fail():
        raise boom

    with pytest.raises(Boom) as caught:
        await news.on_subscription(fail).to_list()

    assert caught.value is boom
    assert news.subscribers.value == 0


async def test_operators_work_above_and_below():
    news = SharedFlow()
    flow = (
        news.map(lambda n: n * 2)
        .filter(lambda n: n % 3)
        .buffer(5)
        .merge(news.map(str))
        .take(4)
    )
    async with probe(flow) as p:
        await p.expect_no_events(1)
        await Flow.of(1, 2).on_each(news.emit).collect()

        assert {await p.next_item() for _ in range(4)} == {2, 4, "1", "2"}
        await p.expect_end()
    assert news.subscribers.value == 0


async def test_callbacks_see_the_context_of_their_collector(subscribers):
    variable = ContextVar("variable", default="unset")
    news = SharedFlow()
    seen = []

    async def collect(name):
        variable.set(name)
        await news.collect(lambda _: seen.append(variable.get()))

    subscribers.group.start_soon(collect, "a")
    subscribers.group.start_soon(collect, "b")
    await anyio.sleep(1)
    await news.emit(1)
    await anyio.sleep(1)

    assert sorted(seen) == ["a", "b"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("crowd", [0, 3])
async def test_one_who_emits_without_end_lets_others_run(subscribers, policy, crowd):
    news = SharedFlow(on_overflow=policy)
    lists = [await subscribers.start(news) for _ in range(crowd)]

    async def emit():
        while True:
            await news.emit("x")

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(emit)
            for _ in range(200):
                await checkpoint()
            scope.cancel()

    assert all(len(got) > 100 for got in lists)


@pytest.mark.parametrize("policy", POLICIES)
async def test_one_who_emits_what_he_reads_lets_others_run(policy):
    news = SharedFlow(replay=1, on_overflow=policy)
    await news.emit(0)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def echo():
                await news.collect(lambda n: news.try_emit(n + 1))

            group.start_soon(echo)
            for _ in range(50):
                await checkpoint()
            scope.cancel()

    assert news.replay_cache[0] > 1000


class Item:
    """Something that can be seen to be let go."""


@pytest.mark.parametrize("policy", POLICIES)
async def test_items_are_let_go_once_all_have_read_them(subscribers, policy):
    news = SharedFlow(replay=1, capacity=9, on_overflow=policy)
    seen = []
    async with anyio.create_task_group() as group:

        async def read():
            # Lets go of the item by itself.
            await news.collect(lambda item: seen.append(weakref.ref(item)))

        group.start_soon(read)
        await anyio.sleep(1)
        for _ in range(5):
            await news.emit(Item())
        await anyio.sleep(1)
        news.reset_replay_cache()
        gc.collect()

        # The last one may still be held where it was read.
        assert [ref() for ref in seen[:4]] == [None] * 4
        group.cancel_scope.cancel()


async def test_what_one_misses_is_let_go(subscribers):
    news = SharedFlow(capacity=3, on_overflow="drop_oldest")
    await subscribers.start(news, pause=math.inf)
    items = [Item() for _ in range(10)]
    refs = [weakref.ref(item) for item in items]
    await news.emit(items.pop(0))
    await anyio.sleep(1)
    while items:
        await news.emit(items.pop(0))
    await anyio.sleep(1)
    gc.collect()

    # One is read, one stands where its subscriber will go on, three wait.
    assert [ref() is None for ref in refs[2:7]] == [True] * 5
    assert all(ref() for ref in refs[7:])


async def test_an_idle_flow_drops_items_that_nobody_waits_for():
    news = SharedFlow(capacity=3, on_overflow="drop_oldest")
    item = Item()
    ref = weakref.ref(item)
    await news.emit(item)
    del item
    gc.collect()

    assert ref() is None


@pytest.mark.parametrize("policy", POLICIES)
async def test_items_that_come_while_nobody_subscribes_are_let_go(policy):
    news = SharedFlow(replay=1, capacity=3, on_overflow=policy)
    items = [Item() for _ in range(10)]
    refs = [weakref.ref(item) for item in items]
    while items:
        await news.emit(items.pop(0))
    gc.collect()

    assert [ref() is None for ref in refs] == [True] * 9 + [False]


@pytest.mark.parametrize("policy", POLICIES)
async def test_items_are_let_go_even_if_a_subscriber_is_always_busy(
    subscribers, policy
):
    news = SharedFlow(capacity=3, on_overflow=policy)
    await subscribers.start(news.map(lambda _: None), pause=1)
    refs = []
    for _ in range(20):
        item = Item()
        refs.append(weakref.ref(item))
        await news.emit(item)
        del item
        await anyio.sleep(0.9)
    gc.collect()

    # Three may wait, one stands where its subscriber goes on, one may be read.
    assert [ref() is None for ref in refs[:-5]] == [True] * 15


async def test_a_newcomer_with_replay_is_no_further_behind_than_allowed(subscribers):
    news = SharedFlow(replay=3, capacity=4, on_overflow="drop_oldest")
    await subscribers.start(news)
    for n in range(5):
        await news.emit(n)
        await anyio.sleep(0.1)
    slow = await subscribers.start(news, pause=100)
    for n in range(5, 12):
        await news.emit(n)
        await anyio.sleep(0.1)
    await anyio.sleep(1000)

    assert slow == [2, 8, 9, 10, 11]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: SharedFlow(-1), ValueError, "replay must be >= 0; got -1"),
        (lambda: SharedFlow(1.5), TypeError, "replay must be an integer"),
        (lambda: SharedFlow(capacity=-1), ValueError, "capacity must be >= 0; got -1"),
        (lambda: SharedFlow(capacity="9"), TypeError, "capacity must be an integer"),
        (lambda: SharedFlow(on_overflow="error"), ValueError, "on_overflow must be"),
        (
            lambda: SharedFlow(capacity=0, on_overflow="drop_oldest"),
            ValueError,
            "capacity must be >= 1 where on_overflow is 'drop_oldest'; got 0",
        ),
        (lambda: SharedFlow().on_subscription(3), TypeError, "fn must be callable"),
        (lambda: SharedFlow().close(ValueError), TypeError, "error must be an exc"),
        (lambda: StateFlow(0).close("late"), TypeError, "error must be an exception"),
        (lambda: StateFlow(0, equal=3), TypeError, "equal must be callable"),
        (lambda: StateFlow(0, equal=anyio.sleep), TypeError, "equal must be a plain"),
        (lambda: StateFlow(0).update(anyio.sleep), TypeError, "fn must be a plain"),
        (lambda: StateFlow(0).map_state(None), TypeError, "fn must be callable"),
        (lambda: StateFlow(0).map_state(anyio.sleep), TypeError, "fn must be a plain"),
        (lambda: StateFlow.combine_state(fn=max), TypeError, "states must be at least"),
        (lambda: StateFlow.combine_state(), TypeError, "fn must be callable"),
        (
            lambda: StateFlow.combine_state(Flow.of(1), fn=max),
            TypeError,
            "states must be StateFlow",
        ),
    ],
)
def test_a_wrong_argument_is_refused_at_the_call(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_hot_flows_read_like_what_made_them():
    def join(a, b):
        return a + b

    state = StateFlow(1)
    length = state.map_state(str)

    assert repr(SharedFlow().map(str)) == "SharedFlow().map(str)"
    assert repr(SharedFlow(2).on_subscription(print)) == (
        "SharedFlow(2).on_subscription(print)"
    )
    assert repr(state) == "StateFlow()"
    assert repr(length) == "StateFlow().map_state(str)"
    assert repr(StateFlow.combine_state(state, state, fn=join)) == (
        "StateFlow.combine_state(StateFlow(), StateFlow(), fn=test_hot_flows_read_like_"
        "what_made_them.<locals>.join)".replace(
            "test_hot_flows_read_like_what_made_them.<locals>.", ""
        )
    )
    assert repr(SharedFlow().subscribers) == "SharedFlow.subscribers"
    assert "0 StateFlow()" in state.take(1).explain()


# ----------------------------------------------------------------- against a model


class Model:
    """A shared flow as a list, in which each reader has an index."""

    def __init__(self, replay, capacity, policy):
        self.replay, self.policy = replay, policy
        self.bound = max(replay, capacity)
        self.items = []
        self.first = 0
        self.place = {}
        self.hungry = set()
        self.got = {}
        self.waiting = []
        self.status = {}
        self.closed = False

    @property
    def lags(self):
        return [len(self.items) - place for place in self.place.values()]

    @property
    def replayed(self):
        return self.items[self.first :]

    def has_room(self):
        return max(self.lags, default=-1) < self.bound

    def store(self, item):
        self.items.append(item)
        self.first = max(self.first, len(self.items) - self.replay)
        if self.policy == "drop_oldest":
            for who in self.place:
                self.place[who] = max(self.place[who], len(self.items) - self.bound)

    def settle(self):
        """Let all happen that can."""
        before = None
        while before != (before := (len(self.items), len(self.waiting), str(self.got))):
            for who in sorted(self.hungry & set(self.place)):
                if self.place[who] < len(self.items):
                    self.got[who].append(self.items[self.place[who]])
                    self.place[who] += 1
                    self.hungry.discard(who)
                elif self.closed:
                    self.got[who].append(END)
                    self.hungry.discard(who)
                    del self.place[who]
            if self.waiting:
                self.let_in()

    def let_in(self):
        number, item, handed = self.waiting[0]
        if self.bound or not self.place:
            if self.has_room():
                if not handed:
                    self.store(item)
                self.status[number] = "done"
                del self.waiting[0]
        elif not handed:
            self.store(item)
            self.waiting[0] = (number, item, True)
        elif not any(self.lags):
            self.status[number] = "done"
            del self.waiting[0]

    def emit(self, number):
        if self.closed:
            self.status[number] = "closed"
        elif not self.waiting and self.has_room():
            self.store(number)
            self.status[number] = "done"
        elif self.policy == "suspend":
            self.waiting.append((number, number, False))
            self.status[number] = "waits"
        else:
            if self.policy == "drop_oldest":
                self.store(number)
            self.status[number] = "done"

    def cancel(self, number):
        for waiting in self.waiting:
            if waiting[0] == number:
                self.waiting.remove(waiting)
                self.status[number] = "cancelled"
                if waiting[2]:
                    self.place = dict.fromkeys(self.place, len(self.items))
                return

    def close(self):
        self.closed = True
        for number, _, handed in self.waiting:
            self.status[number] = "done" if handed else "closed"
        self.waiting.clear()

    def reset(self):
        self.first = len(self.items)

    def read(self, who):
        self.hungry.add(who)

    def join(self, who):
        self.place[who] = self.first
        self.hungry.add(who)
        self.got[who] = []

    def leave(self, who):
        self.place.pop(who, None)
        self.hungry.discard(who)


class Real:
    """A shared flow, under the same moves."""

    def __init__(self, group, replay, capacity, policy):
        self.group = group
        self.flow = SharedFlow(replay, capacity=capacity, on_overflow=policy)
        self.permits = {}
        self.scopes = {}
        self.got = {}
        self.emits = {}

    def reset(self):
        self.flow.reset_replay_cache()

    def join(self, who):
        self.got[who] = []
        self.permits[who] = anyio.Semaphore(1)
        self.scopes[who] = anyio.CancelScope()
        self.group.start_soon(self._read, who)

    async def _read(self, who):
        with self.scopes[who]:
            async with self.flow.open() as items:
                while not self.got[who] or self.got[who][-1] is not END:
                    await self.permits[who].acquire()
                    self.got[who].append(await anext(items, END))

    def read(self, who):
        self.permits[who].release()

    def leave(self, who):
        self.scopes[who].cancel()

    def emit(self, number):
        self.emits[number] = Emits(self.group, self.flow, number)

    def cancel(self, number):
        self.emits[number].scope.cancel()

    def close(self):
        self.flow.close()

    @property
    def status(self):
        return {
            number: "done"
            if emit.done
            else "closed"
            if emit.error
            else "cancelled"
            if emit.scope.cancel_called
            else "waits"
            for number, emit in self.emits.items()
        }


MOVES = ["emit", "emit", "emit", "read", "read", "read", "join", "leave", "cancel"]

shapes = st.tuples(
    st.integers(0, 3), st.integers(0, 3), st.sampled_from(POLICIES)
).filter(lambda shape: shape[2] == "suspend" or max(shape[:2]))
histories = st.lists(
    st.tuples(st.sampled_from([*MOVES, "reset", "close"]), st.integers(0, 9)),
    max_size=40,
)


def moved(model, move, pick, number):
    """Return to whom a move happens, if it can."""
    there = sorted(model.place)
    who = {
        "emit": [number],
        "join": [number] if len(there) < 4 else [],
        "leave": there,
        "read": sorted(set(there) - model.hungry),
        "cancel": [each[0] for each in model.waiting],
        "close": [None] if pick < 3 else [],
        "reset": [None],
    }[move]
    return who[pick % len(who)] if who else END


@given(shapes, histories)
async def test_every_history_is_that_of_a_list(shape, history):
    model = Model(*shape)
    async with anyio.create_task_group() as group:
        real = Real(group, *shape)
        for number, (move, pick) in enumerate(history):
            who = moved(model, move, pick, number)
            if who is END:
                continue
            for side in (model, real):
                getattr(side, move)(*[] if who is None else [who])
            model.settle()
            await anyio.sleep(1)

            assert real.got == model.got
            assert real.status == model.status
            assert real.flow.replay_cache == model.replayed
            assert real.flow.subscribers_lag() == model.lags
            assert real.flow.subscribers.value == len(model.place)
        group.cancel_scope.cancel()


@given(st.lists(st.integers(0, 3) | st.sampled_from(["read", "read again"])))
async def test_a_state_is_a_conflated_shared_flow_of_what_changes(history):
    state = StateFlow(0)
    shared = SharedFlow(1, capacity=1, on_overflow="drop_oldest")
    shared.try_emit(0)
    turns = {"read": [], "read again": []}
    permits = []
    async with anyio.create_task_group() as group:

        async def read(flow, name, permit):
            async with flow.open() as items:
                async for x in items:
                    turns[name].append(x)
                    await permit.acquire()

        for name, flow in (
            ("read", state),
            ("read again", shared.distinct_until_changed()),
        ):
            permits.append(anyio.Semaphore(0))
            group.start_soon(read, flow, name, permits[-1])
        await anyio.sleep(1)
        for move in history:
            if isinstance(move, int):
                state.value = move
                await shared.emit(move)
            else:
                for permit in permits:
                    permit.release()
                if move == "read again":
                    await anyio.sleep(1)
        await anyio.sleep(1)
        group.cancel_scope.cancel()

    assert turns["read"] == turns["read again"]


# ------------------------------------------------------------------------ a state


async def test_a_subscriber_gets_the_value_at_once_and_then_what_changes(subscribers):
    state = StateFlow(1)
    got = await subscribers.start(state)
    for value in (1, 2, 2, None, 3):
        state.value = value
        await anyio.sleep(1)

    assert got == [1, 2, None, 3]
    assert state.value == 3


async def test_a_slow_subscriber_skips_values_but_gets_the_last(subscribers):
    state = StateFlow(0)
    got = await subscribers.start(state, pause=10)
    for value in range(1, 25):
        state.value = value
        await anyio.sleep(1)
    await anyio.sleep(100)

    assert got == [0, 10, 20, 24]


async def test_a_value_that_came_back_is_no_change_for_who_missed_the_other(
    subscribers,
):
    state = StateFlow("a")
    got = await subscribers.start(state)
    state.value = "b"
    state.value = "a"
    await anyio.sleep(1)

    assert got == ["a"]


async def test_setting_an_equal_value_does_nothing():
    old = [1]
    state = StateFlow(old)
    state.value = [1]
    swapped = state.compare_and_set([1], [1])

    assert swapped
    assert state.value is old


async def test_nan_is_another_value_each_time_it_is_set(subscribers):
    state = StateFlow(math.nan)
    got = await subscribers.start(state)
    for _ in range(2):
        state.value = math.nan
        await anyio.sleep(1)

    assert len(got) == 3


async def test_equality_can_be_given(subscribers):
    state = StateFlow(1.0, equal=lambda old, new: abs(old - new) < 0.5)
    got = await subscribers.start(state)
    for value in (1.2, 1.4, 1.6, 1.9, 3.0):
        state.value = value
        await anyio.sleep(1)

    assert got == [1.0, 1.6, 3.0]
    assert state.compare_and_set(3.3, 5.0)
    assert state.value == 5.0


async def test_update_and_compare_and_set():
    state = StateFlow(1)

    assert state.update(lambda n: n + 1) == 2
    assert state.update(lambda n: n) == 2
    assert not state.compare_and_set(1, 5)
    assert state.compare_and_set(2, 5)
    assert state.value == 5


async def test_update_calls_its_function_again_if_the_value_was_set_meanwhile():
    state = StateFlow(1)
    calls = []

    def add_ten(n):
        calls.append(n)
        if len(calls) == 1:
            state.value = 5  # as another thread might
        return n + 10

    assert state.update(add_ten) == 15
    assert calls == [1, 5]


async def test_a_value_that_is_set_while_values_are_compared_is_seen():
    calls = []

    def equal(old, new):
        calls.append((old, new))
        if len(calls) in {1, 4}:
            state.value = calls  # as another thread might
        return old == new

    state = StateFlow(0, equal=equal)
    state.value = 1
    assert state.value == 1
    calls.clear()
    calls.extend([None, None])

    assert state.compare_and_set(1, 2) is False or state.value == 2


@pytest.mark.parametrize("kind", [None, Boom])
async def test_a_closed_state_keeps_its_value_and_tells_the_end(subscribers, kind):
    error = kind and kind()
    state = StateFlow(1)
    there = await subscribers.start(state)
    slow = await subscribers.start(state, pause=10)
    state.value = 2
    state.close(error)
    newcomer = await subscribers.start(state)
    await anyio.sleep(100)

    end = error or END
    assert (there, slow, newcomer) == ([1, 2, end], [1, 2, end], [2, end])
    assert state.value == 2
    for change in (
        lambda: setattr(state, "value", 3),
        lambda: state.update(lambda n: n + 1),
        lambda: state.compare_and_set(2, 3),
    ):
        with pytest.raises(FlowClosedError):
            change()


async def test_a_state_counts_its_subscribers(subscribers):
    state = StateFlow(1)
    before = state.subscribers.value
    await subscribers.start(state)
    await subscribers.start(state.map_state(str))

    assert before == 0
    assert state.subscribers.value == 2
    assert state.subscribers.subscribers.value == 0


async def test_a_value_that_is_set_just_before_a_subscriber_waits_is_seen(
    subscribers, monkeypatch
):
    state = StateFlow(0)
    listen = Cell.listen

    def set_first(cell, listener):
        state.value = 1  # as another thread might
        listen(cell, listener)

    monkeypatch.setattr(Cell, "listen", set_first)
    got = await subscribers.start(state)

    assert got == [0, 1]


async def test_one_who_sets_what_he_reads_lets_others_run():
    state = StateFlow(0)

    def count_up(n):
        state.value = n + 1

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(state.collect, count_up)
            for _ in range(50):
                await checkpoint()
            scope.cancel()

    assert state.value > 1000


# ------------------------------------------------------------------ derived states


async def test_a_derived_state_is_never_stale():
    width, height = StateFlow(2), StateFlow(3)
    area = StateFlow.combine_state(width, height, fn=lambda w, h: w * h)
    text = area.map_state(lambda a: f"{a} m2")
    seen = [text.value]
    width.value = 10
    seen.append(text.value)
    height.update(lambda h: h + 1)
    seen.append(text.value)

    assert seen == ["6 m2", "30 m2", "40 m2"]


async def test_a_derived_state_is_computed_once_for_each_value(subscribers):
    calls = []

    def square(n):
        calls.append(n)
        return n * n

    state = StateFlow(1)
    squared = state.map_state(square)
    assert calls == []
    got = [await subscribers.start(squared) for _ in range(3)]
    assert squared.value == 1
    state.value = 2
    await anyio.sleep(1)

    assert calls == [1, 2]
    assert got == [[1, 4]] * 3


async def test_a_derived_state_pushes_what_differs(subscribers):
    state = StateFlow(1)
    odd = state.map_state(lambda n: n % 2)
    got = await subscribers.start(odd)
    for value in (3, 5, 4, 2, 7):
        state.value = value
        await anyio.sleep(1)

    assert got == [1, 0, 1]


async def test_a_derived_state_is_made_of_values_that_existed_together(subscribers):
    state = StateFlow(0)
    pair = StateFlow.combine_state(
        state, state.map_state(str), lambda n, text: (n, text)
    )
    got = await subscribers.start(pair)
    for value in range(5):
        state.value = value
        await anyio.sleep(1)

    assert got == [(n, str(n)) for n in range(5)]


async def test_a_derived_state_mixes_no_values_that_are_set_while_it_is_computed():
    left, right = StateFlow(0), StateFlow(0)

    def slow(n):
        if n == 0:  # as another thread may do it just now
            left.value = 1
            right.value = 1
        return n

    pair = StateFlow.combine_state(left.map_state(slow), right, lambda *both: both)

    assert [pair.value, pair.value] == [(0, 0), (1, 1)]


async def test_a_derived_state_runs_no_task(subscribers):
    state = StateFlow(0)
    doubled = state.map_state(lambda n: n * 2)
    before = len(anyio.get_running_tasks())
    items = aiter(doubled)
    await anext(items)
    during = len(anyio.get_running_tasks())
    await items.aclose()

    assert before == during
    assert (state.subscribers.value, doubled.subscribers.value) == (0, 0)


async def test_those_who_collect_a_derived_state_count_for_each_state_once(
    subscribers,
):
    state = StateFlow(0)
    text = state.map_state(str)
    pair = StateFlow.combine_state(state, text, fn=lambda *both: both)
    await subscribers.start(pair)

    assert state.subscribers.value == 1
    assert pair.subscribers.value == 1
    assert text.subscribers.value == 0


async def test_a_derived_state_ends_when_all_have_ended(subscribers):
    a, b = StateFlow(1), StateFlow(2)
    got = await subscribers.start(StateFlow.combine_state(a, b, fn=lambda *both: both))
    a.close()
    b.value = 3
    await anyio.sleep(1)
    before = list(got)
    b.close()
    await anyio.sleep(1)

    assert before == [(1, 2), (1, 3)]
    assert got == [*before, END]


async def test_a_derived_state_fails_with_the_first_that_does(subscribers):
    a, b = StateFlow(1), StateFlow(2)
    pair = StateFlow.combine_state(a, b, fn=lambda *both: both)
    got = await subscribers.start(pair)
    boom = Boom()
    a.value = 5
    a.close(boom)
    await anyio.sleep(1)

    assert got == [(1, 2), (5, 2), boom]
    assert pair.value == (5, 2)


async def test_an_error_of_its_function_comes_to_who_asks():
    state = StateFlow(0)
    inverse = state.map_state(lambda n: 1 / n)
    with pytest.raises(ZeroDivisionError):
        _ = inverse.value
    with pytest.raises(ZeroDivisionError):
        await inverse.first()
    state.value = 4

    assert inverse.value == 0.25
    assert await inverse.first() == 0.25


@pytest.mark.parametrize(
    "change",
    [
        lambda state: setattr(state, "value", 1),
        lambda state: state.update(lambda n: n),
        lambda state: state.compare_and_set(0, 1),
        lambda state: state.close(),
    ],
)
def test_a_derived_state_cannot_be_set(change):
    with pytest.raises(AttributeError, match="comes from map_state: it cannot be set"):
        change(StateFlow(0).map_state(abs))


def test_a_derived_state_looks_again_where_a_thread_sets_a_root_meanwhile():
    other = Cell(1)

    class Watched(Cell):
        """Has another thread set the other root just after this one was read."""

        asked = False

        def __hash__(self):
            return id(self)

        def __getattribute__(self, name):
            if name == "value" and not type(self).asked:
                type(self).asked = True
                other.set(2)
            return super().__getattribute__(name)

    total = Derived(lambda a, b: (a, b), (other, Watched(10)))

    assert total.read() == (2, 10)


def test_a_derived_state_that_another_thread_has_just_computed_is_not_computed_again():
    calls = []
    root = Cell(1)
    double = Derived(lambda n: calls.append(n) or 2 * n, (root,))
    moment = double._moment()

    assert double.read_at(moment) == double.read_at(moment) == 2
    assert calls == [1]
