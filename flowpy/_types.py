"""The names that signatures are written in: type variables, aliases, sentinels.

No behaviour lives here, and nothing here imports another module of flowpy.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Coroutine,
    Iterable,
)
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
)

if TYPE_CHECKING:
    from datetime import timedelta

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")

Items: TypeAlias = AsyncGenerator[T, None]
"""What a stage reads and gives: an async generator, so that it can be closed."""

Ending: TypeAlias = Coroutine[Any, Any, T]
"""What an ending returns: collection starts when it is awaited."""

Callback: TypeAlias = Callable[P, Coroutine[Any, Any, T]]
"""A function to await. Operators see every function that a user passed as one: what is
annotated with it there is adapted when a collection starts (`_callbacks`).
"""

Result: TypeAlias = T | Coroutine[Any, Any, T]
"""What a function returns that may be async.

Only for a `T` that no coroutine fits, or that another argument settles. Elsewhere type
checkers would take the coroutine for the `T`: there an overload for `Callback` comes
first, then one for plain functions.
"""

Duration: TypeAlias = "float | timedelta"
"""A number of seconds, or a timedelta."""

FlowLike: TypeAlias = AsyncIterable[T] | Iterable[T]
"""What stands beside a flow in `concat`, `zip` and their like; flows are included."""


class Gettable(Protocol[T_co]):
    """A queue such as `asyncio.Queue`."""

    async def get(self) -> T_co:
        """Wait for an item, remove and return it."""
        ...


class StartsTasks(Protocol):
    """A task group of anyio, or a nursery of trio."""

    def start_soon(self, fn: Callable[[], Coroutine[Any, Any, None]], /) -> object:
        """Run a function in a task of the group."""
        ...


class CreatesTasks(Protocol):
    """A task group of asyncio."""

    def create_task(self, coro: Coroutine[Any, Any, None], /) -> Any:
        """Run a coroutine in a task of the group, and return that task."""
        ...


AnyTaskGroup: TypeAlias = StartsTasks | CreatesTasks


class _Missing(Enum):
    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


# Not a Literal of one member, next to which mypy would make a Literal of any 0.
class Skip(Enum):
    """The type of `SKIP`, for the annotation of a function that may return it."""

    SKIP = "SKIP"

    def __repr__(self) -> str:
        return "SKIP"


Missing: TypeAlias = Literal[_Missing.MISSING]
MISSING: Final = _Missing.MISSING
"""The default that means "not given", where None is a value like any other."""

INFO: Final = 20
"""`logging.INFO`, for signatures: whoever does not log need not import logging."""

SKIP: Final = Skip.SKIP
"""What `map(on_error=...)` returns to drop the item that failed."""
