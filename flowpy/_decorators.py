"""Decorators that make flows and operators of a user's own functions."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import wraps
from inspect import isasyncgenfunction, signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from flowpy._chain import Operator, name_of, operator
from flowpy._flow import Flow, as_flow, made
from flowpy._iterating import closing

if TYPE_CHECKING:
    from flowpy._types import Items

P = ParamSpec("P")
T = TypeVar("T")


def flow(fn: Callable[P, AsyncIterator[T]]) -> Callable[P, Flow[T]]:
    """Make an async generator function one that returns a flow.

    Each collection calls `fn` again with the same arguments. If the first of them is
    itself a flow, `fn` is an operator: `numbers.pipe(every_nth, 3)`. What it iterates
    of that flow is closed when it ends, however it does.

    Args:
        fn: An async generator function.

    Shape: what `fn` yields, in order.

    Raises:
        TypeError: at the call, if `fn` is not an async generator function; when the
            flow is made, if the arguments don't fit `fn`.

    Example:
        >>> @flow
        ... async def every_nth(source, n):
        ...     async for i, x in source.enumerate():
        ...         if i % n == 0:
        ...             yield x
        >>> run(Flow(range(7)).pipe(every_nth, 3).to_list)
        [0, 3, 6]

    Source: Kotlin Flow `flow { }`.
    """
    if not isasyncgenfunction(fn):
        message = (
            "@flow needs an async generator function (async def with yield); "
            f"got {fn!r}. For any other function that gives items: Flow(fn)"
        )
        raise TypeError(message)

    first = next(iter(signature(fn).parameters.values()), None)
    name = first.name if first and first.kind is first.POSITIONAL_OR_KEYWORD else ""

    @wraps(fn)
    def make(*args: P.args, **kwargs: P.kwargs) -> Flow[T]:
        fn(*args, **kwargs)  # do they fit? What it returns has not begun to run.
        upstream = args[0] if args else kwargs.get(name)
        if isinstance(upstream, Flow):
            rest = {key: value for key, value in kwargs.items() if key != name}
            return as_flow(upstream)._then(piped, fn, args[1:], rest)
        return made((generated,), ((fn, args, kwargs),))

    return make


Arguments = tuple[object, ...]
Named = dict[str, object]
Generator = Callable[..., AsyncGenerator[Any, None]]


def describe_call(fn: Generator, args: Arguments, kwargs: Named) -> str:
    """Return a call as it would read in code."""
    named = [f"{name}={name_of(value)}" for name, value in kwargs.items()]
    return f"{name_of(fn)}({', '.join([*map(name_of, args), *named])})"


def describe_pipe(fn: Generator, args: Arguments, kwargs: Named) -> str:
    """Return the call of `pipe` that made such a stage."""
    name, rest = name_of(fn), describe_call(fn, args, kwargs).partition("(")[2]
    return f"pipe({name}{', ' if rest != ')' else ''}{rest}"


@operator(show=describe_call)
def generated(fn: Generator, args: Arguments, kwargs: Named) -> Items[Any]:
    return fn(*args, **kwargs)


@operator(seam="a function of your own", show=describe_pipe)
async def piped(
    reopen: Callable[[], Items[Any]], fn: Generator, args: Arguments, kwargs: Named
) -> Items[Any]:
    upstream = Upstream(reopen)
    async with upstream, closing(fn(upstream, *args, **kwargs)) as items:
        async for x in items:
            yield x


@operator
def above(opener: Callable[[], Items[T]]) -> Items[T]:
    return opener()


class Upstream(Flow[T]):
    """What a user's operator sees of the chain above it: a flow that is tidied up.

    A user's `async for` over it, or over a flow derived from it, leaves its iterator
    behind at an early stop; here all of them are closed before the operator has ended.
    """

    __slots__ = ("_opened",)

    _opened: list[Items[Any]]

    def __init__(self, opener: Callable[[], Items[T]]) -> None:
        self._stages, self._values = (above,), ((opener,),)
        self._opened = []

    def _then(self, stage: Operator[..., Any], *values: object) -> Flow[Any]:
        kind: type[Upstream[Any]] = Upstream
        flow = object.__new__(kind)
        flow._stages = (*self._stages, stage)
        flow._values = (*self._values, values)
        flow._opened = self._opened
        return flow

    def _open(self) -> Items[T]:
        items = super()._open()
        # Those that have run to their end keep no frame, and need no closing.
        self._opened[:] = [o for o in self._opened if getattr(o, "ag_frame", None)]
        self._opened.append(items)
        return items

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *raised: object) -> None:
        async with AsyncExitStack() as stack:
            for items in self._opened:
                stack.push_async_exit(closing(items))
