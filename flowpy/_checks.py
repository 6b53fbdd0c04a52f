"""Checks of arguments, made when an operator is applied.

Each names the parameter, says what was expected and what came, and returns the value
in the form that operators use.
"""

from __future__ import annotations

import math
from operator import index
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flowpy._types import Duration

F = TypeVar("F")


def check_callable(name: str, value: F) -> F:
    """Return `value` if it can be called."""
    if not callable(value):
        message = f"{name} must be callable; got {value!r}"
        raise TypeError(message)
    return value


def check_optional_callable(name: str, value: F) -> F:
    """Return `value` if it is None or can be called."""
    return value if value is None else check_callable(name, value)


def check_count(name: str, value: int, minimum: int | None = 0) -> int:
    """Return `value` as an int that is at least `minimum`, if there is one."""
    try:
        number = index(value)
    except TypeError:
        message = f"{name} must be an integer; got {value!r}"
        raise TypeError(message) from None
    if minimum is not None and number < minimum:
        message = f"{name} must be >= {minimum}; got {value!r}"
        raise ValueError(message)
    return number


def check_optional_count(name: str, value: int | None, minimum: int = 0) -> int | None:
    """Return `value` if it is None, or as an int that is at least `minimum`."""
    return None if value is None else check_count(name, value, minimum)


def check_number(name: str, value: float, kind: str = "a number") -> float:
    """Return `value` if it is a finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{name} must be {kind}; got {value!r}"
        raise TypeError(message)
    try:
        fits = math.isfinite(value) and value >= 0
    except OverflowError:  # an int that no float can hold
        fits = False
    if not fits:
        message = f"{name} must be finite and not negative; got {value!r}"
        raise ValueError(message)
    return value


def check_duration(name: str, value: Duration) -> float:
    """Return `value` in seconds: finite and not negative."""
    if not isinstance(value, (int, float)):
        from datetime import timedelta  # noqa: PLC0415 - slow to import

        if isinstance(value, timedelta):
            value = value.total_seconds()
    return check_number(name, value, "seconds or a timedelta")


def check_period(name: str, value: Duration) -> float:
    """Return `value` in seconds: finite and longer than nothing."""
    seconds = check_duration(name, value)
    if seconds == 0:
        message = f"{name} must be longer than 0; got {value!r}"
        raise ValueError(message)
    return seconds


def check_type(name: str, value: object, *types: type) -> None:
    """Check that `value` is an instance of one of `types`."""
    if not isinstance(value, types):
        expected = " or ".join(each.__name__ for each in types)
        message = f"{name} must be {expected}; got {value!r}"
        raise TypeError(message)


def check_choice(name: str, value: object, *choices: object) -> None:
    """Check that `value` is one of `choices`."""
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        message = f"{name} must be one of {expected}; got {value!r}"
        raise ValueError(message)


def check_level(name: str, value: int | str) -> int:
    """Return the number of a logging level, given by number or name."""
    check_type(name, value, int, str)
    from logging import getLevelNamesMapping  # noqa: PLC0415 - slow to import

    known = getLevelNamesMapping()
    if isinstance(value, str) and value not in known:
        message = f"{name} must be a number or one of {', '.join(known)}"
        raise ValueError(f"{message}; got {value!r}")
    return known[value] if isinstance(value, str) else value


def check_optional_error(name: str, value: BaseException | None) -> None:
    """Check that `value` is an exception object or None."""
    given: object = value
    if given is not None and not isinstance(given, BaseException):
        message = f"{name} must be an exception object or None; got {given!r}"
        raise TypeError(message)


def check_error_types(
    name: str, types: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Check that each of `types` is a subclass of Exception.

    Cancellation, KeyboardInterrupt and GeneratorExit are no such errors: whoever
    swallowed them would leave the event loop with a task that can't be stopped.
    """
    given: tuple[object, ...] = types if isinstance(types, tuple) else (types,)
    for each in given:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            message = f"{name} must be subclasses of Exception; got {each!r}"
            raise TypeError(message)


def check_installed(what: str, module: str, extra: str) -> None:
    """Raise ModuleNotFoundError, which says what to install, if `module` is missing."""
    from importlib.util import find_spec  # noqa: PLC0415 - slow to import

    if find_spec(module) is None:
        message = f'{what} needs {module}: pip install "flowpy-stream[{extra}]"'
        raise ModuleNotFoundError(message, name=module)
