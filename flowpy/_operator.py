"""What a stage is: the function that defines it, and what flowpy knows of it.

How chains of them run stands in `_chain`, what each of them does in `_sources` and
`_operators`.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from inspect import Parameter, signature
from itertools import islice
from typing import Any, Generic, ParamSpec, TypeVar, overload

from flowpy._callbacks import awaiting, equals, is_fresh, itself, noting

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
Show = Callable[..., str] | str


class Operator(Generic[P, R_co]):
    """One kind of stage: the function that defines it, and what flowpy knows of it.

    The function is what runs. Its form is what a compiler needs to inline it, and a
    test reads every one for it:

    * its first parameter, `source`, is consumed by one `async for`, which stands alone
      inside `async with closing(source)`, and left by `break` or not at all; an ending
      may `return`;
    * it yields in statements, and never where an `except` could see an error that was
      raised below;
    * a parameter that is a user's function is annotated `Callback`; it is awaited, as
      the first thing that its statement does.

    One that can't have that form is a *seam* and says why. A seam whose first
    parameter is called `reopen` gets a function that collects everything above it anew;
    one with a parameter called `branch` shares the collection of what is above it.
    """

    __slots__ = (
        "callbacks",
        "fixed",
        "holds",
        "is_common",
        "keeps_count",
        "method",
        "params",
        "reopens",
        "run",
        "seam",
        "shared",
        "show",
    )

    callbacks: tuple[bool, ...]
    fixed: dict[str, object]
    holds: str
    is_common: bool
    keeps_count: bool
    method: str
    params: tuple[str, ...]
    reopens: bool
    run: Callable[P, R_co]
    seam: str
    shared: bool
    show: Show | None

    def __init__(
        self,
        run: Callable[P, R_co],
        *,
        method: str = "",
        seam: str = "",
        holds: str = "",
        show: Show | None = None,
        keeps_count: bool = False,
        fixed: Mapping[str, object] = {},
    ) -> None:
        code = run.__code__
        params = code.co_varnames[: code.co_argcount]
        self.run = run
        self.method = method or run.__name__
        self.seam = seam
        self.holds = holds
        self.show = show
        self.keeps_count = keeps_count
        self.fixed = dict(fixed)
        self.reopens = params[:1] == ("reopen",)
        self.params = params[1:] if params[:1] in {("source",), ("reopen",)} else params
        self.shared = "branch" in self.params
        # Whether what is above it is collected once for several flows.
        self.is_common = self.shared or "sharing" in self.params
        self.callbacks = tuple(
            str(run.__annotations__[name]).startswith("Callback")
            for name in self.params
        )

    def start(
        self,
        *above: object,
        values: tuple[object, ...],
        note: Callable[[Exception], None],
    ) -> R_co:
        """Run it for one collection: with callbacks that are ready to be awaited.

        An error that one of them raises is handed to `note` on its way, unless it is
        the operator that handles it.
        """
        ready: list[object] = []
        for name, value, is_callback in zip(
            self.params, values, self.callbacks, strict=True
        ):
            if not (is_callback and callable(value)):
                ready.append(value)
            elif name == "fn" and "on_error" in self.params:
                ready.append(awaiting(value))
            else:
                ready.append(noting(awaiting(value), note))
        run: Callable[..., R_co] = self.run
        return run(*above, *ready)

    def reason(self, values: tuple[object, ...]) -> str:
        """Return why it is a seam, and what it holds, with these `values`."""
        if not self.holds:
            return self.seam
        given = dict(zip(self.params, values, strict=True))
        return f"{self.seam}; {self.holds.format(**given)}"

    def describe(self, owner: type, values: tuple[object, ...]) -> str:
        """Return the call of `owner`'s method that made a stage with these `values`."""
        if isinstance(self.show, str):
            return self.show.format(*map(name_of, values))
        if self.show is not None:
            return self.show(*values)
        given = dict(zip(self.params, values, strict=True)) | self.fixed
        fn = given.get("fn")
        if is_fresh(fn):
            given |= fn.arguments()
        parameters = list(signature(getattr(owner, self.method)).parameters.values())
        args: list[str] = []
        by_name = False
        for parameter in parameters[1:]:
            name, default = parameter.name, parameter.default
            value = given.get(name, default)
            if parameter.kind is Parameter.VAR_POSITIONAL:
                args += names_of(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - a tuple
            elif is_default(value, default):
                by_name = True
            elif by_name or parameter.kind is Parameter.KEYWORD_ONLY:
                args.append(f"{name}={name_of(value)}")
            else:
                args.append(name_of(value))
        return f"{self.method}({', '.join(args)})"


Stages = tuple[Operator[..., Any], ...]
"""The stages of a chain, from its source on."""

Values = tuple[tuple[Any, ...], ...]
"""The arguments of each of them."""


class Unopened:
    """A chain that has not been opened, and can be with an ending."""

    __slots__ = ()

    def _end(self, ending: Operator[..., Any], *values: object) -> Any:
        """Collect it with an ending; see what inherits from this class."""
        raise NotImplementedError  # pragma: no cover

    def _collection(self) -> Iterable[Any] | None:
        """Return the collection whose items it gives as they stand, if it is that."""
        raise NotImplementedError  # pragma: no cover


@overload
def operator(run: Callable[P, R_co], /) -> Operator[P, R_co]: ...
@overload
def operator(
    *,
    method: str = "",
    seam: str = "",
    holds: str = "",
    show: Show | None = None,
    keeps_count: bool = False,
    **fixed: object,
) -> Callable[[Callable[P, R_co]], Operator[P, R_co]]: ...
def operator(
    run: Callable[..., Any] | None = None,
    /,
    *,
    method: str = "",
    seam: str = "",
    holds: str = "",
    show: Show | None = None,
    keeps_count: bool = False,
    **fixed: object,
) -> Any:
    """Make a function an operator.

    Args:
        run: The function.
        method: The method of Flow that it serves, if that has another name.
        seam: Why it is not in the form that can be fused, if it is not.
        holds: What waits in it, if upstream runs in a task of its own: a template for
            the names of its arguments.
        show: How its stage reads in a chain, if it serves no method: a template for
            the arguments, or a function of them.
        keeps_count: Whether it gives an item for each of its source.
        fixed: Arguments of the method for which this operator stands.
    """
    if run is None:
        return partial(
            Operator,
            method=method,
            seam=seam,
            holds=holds,
            show=show,
            keeps_count=keeps_count,
            fixed=fixed,
        )
    return Operator(run)


def is_default(value: object, default: object) -> bool:
    """Tell whether an argument says no more than leaving it out."""
    if value is default or value is itself or value is equals:
        return True
    return type(value) is type(default) and value == default


def name_of(value: object) -> str:
    """Return a short name for an argument, as it would read in code."""
    try:
        return described(value)
    except Exception:  # noqa: BLE001 - of the value's own methods, or nested too deep
        return object.__repr__(value)


def described(value: object) -> str:
    """Return the same, or raise what the value's own methods do."""
    if isinstance(value, partial):
        return f"partial({name_of(value.func)})"
    return _SHORT.repr(value)


MANY = 20
"""How many of the arguments of one call are shown."""


def names_of(values: Collection[object]) -> list[str]:
    """Return short names for arguments, the first few of many."""
    names = [name_of(value) for value in islice(values, MANY)]
    return names if len(values) <= MANY else [*names, "..."]


class _Short(reprlib.Repr):
    """Writes functions and classes by their names, also those in a tuple."""

    def repr1(self, x: object, level: int) -> str:
        name = getattr(x, "__qualname__", None)
        if isinstance(name, str):
            return name.rpartition("<locals>.")[2]
        return super().repr1(x, level)

    def repr_Flow(self, x: object, level: int) -> str:
        return repr(x)

    repr_Upstream = repr_Flow


_SHORT = _Short()
