"""What hot flows are made of: items for many readers, and cells that hold a state.

Both may be written from any thread: writers take a lock, readers none for what they
read. Each reader waits in its own event loop, and is woken there.

Not here: what users see of it (`_hot`), and who collects upstream (`_operators/hot`).
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from operator import eq
from sys import maxsize
from threading import Event, RLock, get_ident
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    Literal,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
)

from flowpy._crew import claim
from flowpy._errors import FlowClosedError
from flowpy._iterating import SLICE
from flowpy._scheduler import current_scheduler, protected

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")

Policy = Literal["suspend", "drop_oldest", "drop_latest"]
"""What becomes of an item that comes while a reader is as far behind as it may be."""


class Listener:
    """Where one task waits; any thread may wake it."""

    __slots__ = ("_call", "_gate", "_thread", "park", "park_until")

    def __init__(self) -> None:
        scheduler = current_scheduler()
        self._gate = scheduler.gate()
        self._call = scheduler.caller()
        self._thread = get_ident()
        self.park = self._gate.park
        self.park_until = self._gate.park_until

    @protected
    def wake(self) -> None:
        """Let the task go on, once it has begun to wait."""
        with suppress(RuntimeError):  # its event loop has ended
            if get_ident() == self._thread:
                self._gate.wake()
            else:
                self._call(self._gate.wake)


class Watched:
    """What readers wait for, and an end that they are told of."""

    __slots__ = (
        "_count",
        "_listeners",
        "_lock",
        "_readers",
        "_traceback",
        "closed",
        "error",
    )

    def __init__(self) -> None:
        # One that its own thread may take twice: the garbage collector may close a
        # reader at any line.
        self._lock = RLock()
        self._listeners: dict[Listener, None] = {}
        """Those who wait."""
        self._readers = 0
        self._count: Cell[int] | None = None
        self.closed = False
        self.error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def count(self) -> Cell[int]:
        """Return the state that tells how many readers there are."""
        with self._lock:
            if self._count is None:
                self._count = Cell(self._readers)
            return self._count

    @protected
    def register(self, change: int) -> None:
        """Count readers that come or go."""
        with self._lock:
            self._readers += change
            if self._count is not None:
                self._count.set(self._readers)

    @protected
    def wake(self) -> None:
        """Wake all who wait."""
        with self._lock:
            listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            listener.wake()

    @protected
    def unlisten(self, listener: Listener) -> None:
        """Wake one no more."""
        with self._lock:
            self._listeners.pop(listener, None)

    @protected
    def close(self, error: BaseException | None = None) -> None:
        """Let nothing more in; the first end counts."""
        with self._lock:
            if self.closed:
                return
            self.error = error
            self._traceback = None if error is None else error.__traceback__
            self.closed = True
        self.wake()

    def check_open(self) -> None:
        """Raise if it has been closed."""
        if self.closed:
            message = "this hot flow has been closed: it takes nothing more"
            raise FlowClosedError(message) from self.error

    def raise_error(self) -> None:
        """Raise the error that it was closed with, if it was."""
        if self.error is not None:
            # Without the frames of other readers, which would pile up on it.
            raise self.error.with_traceback(self._traceback)


# ------------------------------------------------------------------ items for many


class Node(Generic[T]):
    """The place of one item in the line; the last one is still empty."""

    __slots__ = ("item", "next", "number")

    item: T

    def __init__(self, number: int) -> None:
        self.number = number
        self.next: Node[T] | None = None
        """Set when the item is there; None again when it is dropped."""


class Emitter(Generic[T]):
    """One who waits until an item is in the line."""

    __slots__ = ("done", "item", "node", "wake")

    def __init__(self, item: T, wake: Callable[[], object]) -> None:
        self.item = item
        self.wake = wake
        self.done = False
        self.node: Node[T] | None = None
        """Where the item stands while it is handed over."""


class Broadcast(Watched, Generic[T]):
    """One line of items, in which each reader has a place of its own.

    An item is put in once, whatever the number of readers, and is let go when the last
    of them has passed it. Items and places are linked, so nothing has to be copied,
    counted or cleared for that.

    A reader may be `bound` items behind. If that is 0, items are handed over one by
    one: who emits waits until all have taken it.
    """

    __slots__ = (
        "_emitters",
        "_first",
        "_limit",
        "_oldest",
        "_policy",
        "_slowest",
        "_stragglers",
        "_tail",
        "bound",
        "offered",
        "readers",
        "replay",
        "waiting",
    )

    def __init__(self, replay: int, capacity: int, policy: Policy = "suspend") -> None:
        super().__init__()
        self.replay = replay
        self.bound = max(replay, capacity)
        self._policy = policy
        self.readers: dict[Reader[T], None] = {}
        self.waiting: deque[Emitter[T]] = deque()
        """Those who emit while a reader is too far behind: first come, first served."""
        self.offered = 0
        self._tail: Node[T] = Node(1)
        self._first = self._tail
        """Where a new reader begins."""
        self._oldest = self._tail
        """Where the oldest is dropped: nothing before it is kept. Else it is at the end,
        so that it keeps no items alive."""
        self._limit = maxsize
        """The number of the first item that has to wait; or more may be let in, if the
        slowest reader has moved since."""
        self._slowest = 0
        self._stragglers = 0
        """How many readers stood at `_slowest` when it was looked up, less those that
        have left it since; kept up to date while emitters wait."""

    # Those who emit:

    @protected
    def offer(self, item: T) -> bool:
        """Put an item in, or drop one; False if it has to wait.

        Raises:
            FlowClosedError: if it has been closed.
        """
        with self._lock:
            self.check_open()
            self.offered += 1
            if self.waiting or not (
                self._tail.number < self._limit or self._has_room()
            ):
                return self._policy == "drop_latest"
            self._append(item)
        if self._listeners:
            self.wake()
        return True

    async def put(self, item: T) -> None:
        """Put an item in, and wait for that as long as a reader is too far behind.

        One that is cancelled meanwhile takes its item back.
        """
        if self.offer(item):
            if not self.offered % SLICE:
                # One who never waits would keep all readers from running.
                await current_scheduler().checkpoint()
            return
        listener = Listener()
        emitter = self._wait_in_line(item, listener.wake)
        try:
            while not emitter.done:
                await listener.park()
        finally:
            self._take_back(emitter)
        self._check_put(emitter)

    def put_from_thread(self, item: T) -> None:
        """Do the same in a thread that runs no event loop."""
        if self.offer(item):
            return
        event = Event()
        emitter = self._wait_in_line(item, event.set)
        try:
            event.wait()
        finally:
            self._take_back(emitter)
        self._check_put(emitter)

    def _check_put(self, emitter: Emitter[T]) -> None:
        if emitter.node is None:
            self.check_open()

    @protected
    def _wait_in_line(self, item: T, wake: Callable[[], object]) -> Emitter[T]:
        emitter = Emitter(item, wake)
        with self._lock:
            self.check_open()
            self.waiting.append(emitter)
            # Now that readers can see it: one may have moved since it was told to wait.
            self._let_in()
        if self._listeners:
            self.wake()
        return emitter

    @protected
    def _take_back(self, emitter: Emitter[T]) -> None:
        """Remove one from the line, and its item from what it was handed to."""
        with self._lock:
            if emitter.done:
                return
            self.waiting.remove(emitter)
            node = emitter.node
            if node is not None and node.next is not None:
                for reader in self.readers:
                    if reader.node is node:
                        reader.node = node.next
            self._let_in()
        if self._listeners:
            self.wake()

    def _append(self, item: T) -> None:
        tail = self._tail
        number = tail.number + 1
        node: Node[T] = Node(number)
        tail.item = item
        tail.next = node  # from here on it can be read
        self._tail = node
        if number - self._first.number > self.replay:
            self._first = self._first.next or node
        if self._policy != "drop_oldest" or not self.readers:
            self._oldest = node
        elif number - self._oldest.number > self.bound:
            oldest = self._oldest
            self._oldest = oldest.next or node
            oldest.next = None

    def _has_room(self) -> bool:
        """Look up the slowest reader; return whether another item may be put in."""
        if not self.readers or self._policy == "drop_oldest":
            self._slowest = self._limit = maxsize
            return True
        numbers = [reader.node.number for reader in tuple(self.readers)]
        self._slowest = min(numbers)
        self._stragglers = numbers.count(self._slowest)
        self._limit = self._slowest + self.bound
        return self._tail.number < self._limit

    def _let_in(self) -> None:
        """Let those go on who wait, as far as there is room."""
        while self.waiting:
            emitter = self.waiting[0]
            if self.bound:
                if not (self._tail.number < self._limit or self._has_room()):
                    return
                emitter.node = self._tail
                self._append(emitter.item)
            elif not self._hand_over(emitter):
                return
            self.waiting.popleft()
            emitter.done = True
            emitter.wake()

    def _hand_over(self, emitter: Emitter[T]) -> bool:
        """Put an item in once the one before was taken; return whether this one was."""
        if emitter.node is None:
            emitter.node = self._tail
            self._append(emitter.item)
        self._has_room()
        return self._slowest > emitter.node.number

    def count_from(self, number: int) -> int:
        """Return how many items there are from one on."""
        return self._tail.number - number

    @protected
    def passed(self, number: int) -> None:
        """Take note that a reader has left the place of the slowest."""
        with self._lock:
            if self.waiting and number == self._slowest:
                self._stragglers -= 1
                if self._stragglers <= 0:
                    self._let_in()
        if self._listeners:
            self.wake()

    # Its readers:

    @property
    def slowest(self) -> int:
        """The place of the slowest reader; while emitters wait."""
        return self._slowest

    @protected
    def enter(self, reader: Reader[T]) -> None:
        """Let a reader in, to where it gets what is replayed."""
        with self._lock:
            first = self._first
            reader.node = first
            self.readers[reader] = None
            self._limit = min(self._limit, first.number + self.bound)
            if first.number < self._oldest.number:
                self._oldest = first
            self.register(1)

    @protected
    def leave(self, reader: Reader[T]) -> None:
        """Let a reader go, and those who waited for it go on."""
        with self._lock:
            self.readers.pop(reader)
            self.register(-1)
            self._limit = min(self._limit, self._tail.number)  # look it up again
            self._let_in()
            self._let_go()
        if self._listeners:
            self.wake()

    @protected
    def rest(self, reader: Reader[T]) -> bool:
        """Return whether a reader has to wait, and will be woken."""
        with self._lock:
            node = reader.node
            if node is not self._tail:
                if node.next is None:
                    reader.node = self._oldest  # what came in between is dropped
                return False
            if self.closed:
                return False
            self._listeners[reader.listener] = None
            self._let_go()
            return True

    def is_over(self, reader: Reader[T]) -> bool:
        """Return whether a reader has read all, and no more will come."""
        return self.closed and reader.node is self._tail

    def _let_go(self) -> None:
        """Keep nothing for readers, if none of them is behind."""
        if len(self._listeners) == len(self.readers):
            self._oldest = self._tail

    # What is known of it:

    def lags(self) -> list[int]:
        """Return how many items each reader is behind."""
        with self._lock:
            return [
                min(self._tail.number - reader.node.number, self.bound or 1)
                for reader in self.readers
            ]

    def replayed(self) -> list[T]:
        """Return what a new reader gets first."""
        with self._lock:
            items: list[T] = []
            node = self._first
            while node.next is not None:
                items.append(node.item)
                node = node.next
            return items

    @protected
    def forget_replayed(self) -> None:
        """Have new readers begin with what comes next."""
        with self._lock:
            self._first = self._tail

    @protected
    def close(self, error: BaseException | None = None) -> None:
        with self._lock:
            super().close(error)
            while self.waiting:
                emitter = self.waiting.popleft()
                emitter.done = True
                emitter.wake()


class Reader(Generic[T]):
    """A place in the line; `with broadcast_reader:` holds it."""

    __slots__ = ("__weakref__", "_broadcast", "listener", "node")

    node: Node[T]
    """What it reads next."""

    def __init__(self, broadcast: Broadcast[T]) -> None:
        self._broadcast = broadcast
        self.listener = Listener()

    def __enter__(self) -> Self:
        claim(self)
        self._broadcast.enter(self)
        return self

    def __exit__(self, *raised: object) -> None:
        self._broadcast.leave(self)

    def waiting(self) -> int:
        """Return how many items it has not read."""
        return self._broadcast.count_from(self.node.number)

    def take(self) -> T:
        """Return what is next, which is known to be there."""
        node = self.node
        assert node.next is not None
        self.node = node.next
        if self._broadcast.waiting:
            self._broadcast.passed(node.number)
        return node.item

    async def more(self) -> bool:
        """Wait until there is something to read; False at the end.

        Raises the error with which it was closed.
        """
        broadcast = self._broadcast
        while self.node.next is None:
            if broadcast.rest(self):
                try:
                    await self.listener.park()
                finally:
                    broadcast.unlisten(self.listener)
            elif broadcast.is_over(self):
                broadcast.raise_error()
                return False
        return True


# ---------------------------------------------------------------------------- states


class State(Protocol[T]):
    """A value that changes: a cell, or what is derived from cells."""

    @property
    def roots(self) -> tuple[Cell[Any], ...]:
        """The cells that it depends on."""
        ...

    @property
    def version(self) -> int:
        """A number that grows whenever the value may have changed."""
        ...

    def same(self, old: T, new: T, /) -> object:
        """Tell whether an old and a new value are the same."""
        ...

    def read(self) -> T:
        """Return the value as it is now."""
        ...

    def read_at(self, moment: Moment) -> T:
        """Return the value as it was at a moment."""
        ...

    def count(self) -> Cell[int]:
        """Return the state that tells how many readers there are."""
        ...

    def register(self, change: int) -> None:
        """Count readers that come or go."""
        ...


class Cell(Watched, Generic[T]):
    """A value that is set, and its version."""

    __slots__ = ("_equal", "_puts", "value", "version")

    def __init__(self, value: T, equal: Callable[[T, T], object] = eq) -> None:
        super().__init__()
        self.value = value
        self._equal = equal
        self.version = 0
        self._puts = 0

    @property
    def roots(self) -> tuple[Cell[T]]:
        return (self,)

    def same(self, old: T, new: T, /) -> object:
        return self._equal(old, new)

    def read(self) -> T:
        return self.value

    def read_at(self, moment: Moment) -> T:
        value: T = moment[self][1]
        return value

    def set(self, value: T) -> None:
        """Replace the value; nothing happens if the new one is equal."""
        while True:
            version = self.version  # before the value, which may be newer
            if self.closed:
                self.check_open()
            if self._equal(self.value, value) or self.replace(version, value):
                return

    def update(self, fn: Callable[[T], T]) -> T:
        """Replace the value by what `fn` makes of it; return what is there then."""
        while True:
            version = self.version
            old = self.value
            new = fn(old)
            self.check_open()
            if self._equal(old, new):
                return old
            if self.replace(version, new):
                return new

    def compare_and_set(self, old: T, new: T) -> bool:
        """Replace the value if it is equal to `old`."""
        while True:
            version = self.version
            value = self.value
            self.check_open()
            if not self._equal(value, old):
                return False
            if self._equal(value, new) or self.replace(version, new):
                return True

    @protected
    def replace(self, version: int, value: T) -> bool:
        """Replace the value if it has not been since that version.

        The functions of users are called outside of the lock: they may be slow, or use
        this cell.
        """
        with self._lock:
            if version != self.version or self.closed:
                return False  # look again
            self.value = value
            self.version = version + 1
        if self._listeners:
            self.wake()
        return True

    async def put(self, value: T) -> None:
        """Replace the value, in a loop that may never wait for anything else."""
        self.set(value)
        self._puts += 1
        if not self._puts % SLICE:
            await current_scheduler().checkpoint()

    @protected
    def listen(self, listener: Listener) -> None:
        """Have a listener woken by the next change, or the end."""
        with self._lock:
            self._listeners[listener] = None


Moment: TypeAlias = dict[Cell[Any], tuple[int, Any]]
"""What cells held at one and the same time, with its versions."""


class Derived(Watched, Generic[T]):
    """A value that is computed from those of other states whenever it is read."""

    __slots__ = ("_fn", "_known", "_parents", "roots")

    def __init__(self, fn: Callable[..., T], parents: tuple[State[Any], ...]) -> None:
        super().__init__()
        self._fn = fn
        self._parents = parents
        self.roots = tuple(
            dict.fromkeys(root for each in parents for root in each.roots)
        )
        self._known: tuple[int, T] | None = None
        """A version and its value."""

    @property
    def version(self) -> int:
        return sum(root.version for root in self.roots)

    def same(self, old: T, new: T, /) -> object:
        return old == new

    def read(self) -> T:
        known = self._known
        if known is not None and known[0] == self.version:
            return known[1]
        return self.read_at(self._moment())

    def read_at(self, moment: Moment) -> T:
        version = sum(moment[root][0] for root in self.roots)
        known = self._known
        if known is not None and known[0] == version:
            return known[1]  # another thread has just computed it
        value = self._fn(*[each.read_at(moment) for each in self._parents])
        self._known = (version, value)
        return value

    def _moment(self) -> Moment:
        """Look at all roots, while no other thread sets one of them."""
        while True:
            # The version before the value, which may be newer.
            moment: Moment = {root: (root.version, root.value) for root in self.roots}
            if all(root.version == moment[root][0] for root in self.roots):
                return moment


class StateReader(Generic[T]):
    """One who is told of each change; `with` counts it as a reader."""

    __slots__ = ("_listener", "_looks", "_seen", "_state")

    def __init__(self, state: State[T]) -> None:
        self._state = state
        self._listener = Listener()
        self._seen = -1
        self._looks = 0

    def __enter__(self) -> Self:
        self._register(1)
        return self

    def __exit__(self, *raised: object) -> None:
        self._register(-1)

    @protected
    def _register(self, change: int) -> None:
        for each in dict.fromkeys((self._state, *self._state.roots)):
            each.register(change)

    async def changed(self) -> bool:
        """Wait for another version than the last one; False at the end.

        Raises the error with which a state that it depends on was closed.
        """
        self._looks += 1
        if not self._looks % SLICE:
            # One who changes what he reads would never wait.
            await current_scheduler().checkpoint()
        roots = self._state.roots
        while True:
            closed = [root.closed for root in roots]  # before the version
            version = self._state.version
            if version != self._seen:
                self._seen = version
                return True
            for root in roots:
                root.raise_error()
            if all(closed):
                return False
            await self._wait(closed)

    async def _wait(self, closed: list[bool]) -> None:
        roots = self._state.roots
        try:
            for root in roots:
                root.listen(self._listener)
            # Now that writers can see it: one may have come since it was looked.
            if self._state.version == self._seen and closed == [
                root.closed for root in roots
            ]:
                await self._listener.park()
        finally:
            for root in roots:
                root.unlisten(self._listener)


class Watch:
    """Waits for what readers do, or for a time."""

    __slots__ = ("_cell", "_listener", "wake")

    def __init__(self, cell: Cell[int]) -> None:
        self._cell = cell
        self._listener = Listener()
        self.wake = self._listener.wake

    async def until(
        self, condition: Callable[[], object], seconds: float | None = None
    ) -> bool:
        """Wait until something is so, for at most some seconds; tell whether it is."""
        scheduler = current_scheduler()
        deadline = None if seconds is None else scheduler.now() + seconds
        try:
            while True:
                self._cell.listen(self._listener)
                if condition():
                    return True
                if deadline is None:
                    await self._listener.park()
                elif scheduler.now() >= deadline:
                    return False
                else:
                    await self._listener.park_until(deadline)
        finally:
            self._cell.unlisten(self._listener)
