"""Every public name is documented: arguments, shape, errors, an example, its source.

That the examples run and print what they say is tested in test_docstrings.py.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from enum import Enum
from inspect import cleandoc, isclass, signature
from pydoc import plain, render_doc
from typing import get_origin

import pytest

import flowpy
from flowpy import Flow, GroupedFlow, io, testing, web
from flowpy.ext import opentelemetry, prometheus, ray, redis

MODULES = [flowpy, io, testing, web, opentelemetry, prometheus, ray, redis]
OF_FLOW = {name for name in dir(Flow) if not name.startswith("_")}


def is_error(value):
    return isclass(value) and issubclass(value, BaseException)


def callables():
    """Give what users call: functions, classes, methods; each with its class or None."""
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if is_error(value) or not callable(value) or is_type_only(value):
                continue
            yield f"{module.__name__}.{name}", value, None
            if isclass(value):
                yield from methods(module, value)


def is_type_only(value):
    return bool(get_origin(value)) or (isclass(value) and issubclass(value, Enum))


def methods(module, kind):
    """Give the methods of a class, once where `Flow` has them too."""
    for name in dir(kind):
        value = getattr(kind, name)
        home = getattr(value, "__module__", None) or ""
        inherited = kind is not Flow and issubclass(kind, Flow) and name in OF_FLOW
        if name.startswith("_") or not home.startswith("flowpy") or inherited:
            continue
        if callable(value):
            yield f"{module.__name__}.{kind.__name__}.{name}", value, kind


CALLABLES = [pytest.param(*each[1:], id=each[0]) for each in callables()]

MADE_BY_FLOWPY = {
    flowpy.Channel,
    flowpy.Job,
    flowpy.Snapshot,
    flowpy.StageSnapshot,
    redis.Entry,
    redis.Message,
    testing.Probe,
}
"""Classes that users do not call."""

PROTOCOLS = {redis.Client, web.WebSocket}
"""What is wanted of objects from elsewhere: nothing to call or to run."""

ELSEWHERE = {ray.RayExecutor}
"""What needs a cluster: its examples are blocks that are not run."""


def text_of(value):
    return cleandoc(value.__doc__)


def section(text, name):
    """Return what stands under a heading of a docstring."""
    found = re.search(rf"^{name}:(.*(?:\n(?: .*)?)*)", text, re.MULTILINE)
    return found[1] if found else ""


def parameters(value):
    if is_dataclass(value):
        return {each.name for each in fields(value) if each.init}
    return signature(value).parameters.keys() - {"self"}


@pytest.mark.parametrize(("value", "owner"), CALLABLES)
def test_every_argument_is_explained(value, owner):
    arguments = section(text_of(value), "Args")
    explained = set(re.findall(r"^ {4}(\w+): \S", arguments, re.MULTILINE))

    if value not in MADE_BY_FLOWPY | PROTOCOLS and owner not in PROTOCOLS:
        assert explained == parameters(value)


@pytest.mark.parametrize(("value", "owner"), CALLABLES)
def test_its_errors_are_named_or_it_says_that_there_are_none(value, owner):
    text = text_of(value)
    raised = re.findall(r"^ {4}([A-Z]\w+): .", section(text, "Raises"), re.MULTILINE)
    none = re.search(
        r"no\s+error\s+(of\s+its\s+own|comes\s+of\s+it)", text, re.IGNORECASE
    )

    if owner not in PROTOCOLS and not (isclass(value) and not section(text, "Args")):
        assert bool(raised) != bool(none)


@pytest.mark.parametrize(("value", "owner"), CALLABLES)
def test_an_example_shows_it_and_its_source_is_named(value, owner):
    texts = [text_of(each) for each in (value, owner) if each is not None]
    examples = [section(text, "Example") for text in texts]
    shown = {name for each in examples for name in re.findall(r"\w+", each)}

    assert any(section(text, "Source").strip() for text in texts)
    if not {value, owner} & (PROTOCOLS | ELSEWHERE):
        assert any(">>> " in example for example in examples)
        assert value.__name__ in shown or value in {*MADE_BY_FLOWPY, GroupedFlow}


@pytest.mark.parametrize(
    ("value", "owner"), [case for case in CALLABLES if case.values[1] is Flow]
)
def test_a_method_of_flow_says_what_comes_in_and_out(value, owner):
    text = text_of(value)

    assert section(text, "Shape") or "Nothing is run" in text or "Return `fn(" in text


def test_help_of_the_package_lists_what_it_has():
    text = plain(render_doc(flowpy))

    assert "flowpy: streams of items that arrive over time" in text
    for name in flowpy.__all__:
        assert re.search(rf"\b{name}\b", text), name


def test_help_of_a_method_shows_its_signature_and_its_meaning():
    text = plain(render_doc(Flow.chunked))

    assert (
        "chunked(self, size: 'int | None' = None, *, within: 'Duration | None' = None) "
        "-> 'Flow[list[T_co]]'" in text
    )
    assert "Collect items into lists of `size`" in text
    assert "    size: Items to a list, >= 1." in text
    assert "chunked(2)            --x---y--(z|)" in text
    assert ">>> run(Flow(range(5)).chunked(2).to_list)" in text


def test_help_of_a_class_tells_of_its_own_methods_only():
    text = plain(render_doc(flowpy.Channel))

    assert "What a `@channel_flow` function puts its items in." in text
    assert {"send", "try_send", "close"} <= set(
        re.findall(r"^ \|  (?:async )?(\w+)\(", text, re.MULTILINE)
    )
    assert "_take" not in text
