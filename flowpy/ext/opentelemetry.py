"""Measured flows as metrics of OpenTelemetry.

`pip install "flowpy-stream[opentelemetry]"`, and whatever exports metrics from there.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowpy._checks import check_installed, check_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider

    from flowpy import Snapshot

__all__ = ("opentelemetry_observer",)


def opentelemetry_observer(
    flow: str, *, meter_provider: MeterProvider | None = None
) -> Callable[[Snapshot], None]:
    """Make an observer for `measure` that keeps metrics of OpenTelemetry.

    They are the counters `flowpy.items` and `flowpy.errors`, and `flowpy.waiting`, which
    goes up and down: how many items a stage holds. Each has the attributes
    `flowpy.flow` and `flowpy.stage`, such as `"1 map"`, and sums up all collections
    that have an observer of the same `flow`.

    Args:
        flow: The attribute that tells flows apart: it should name a pipeline, not a
            request.
        meter_provider: What makes the instruments; left out, the global one.

    Raises:
        TypeError: at the call, if `flow` is not a string.
        ModuleNotFoundError: at the call, if opentelemetry-api is not installed.

    Example:
        >>> from flowpy.ext.opentelemetry import opentelemetry_observer
        >>> observer = opentelemetry_observer("words")
        >>> run(Flow.of("a", "b").map(str.upper).measure(observer).to_list)
        ['A', 'B']

    Source: the metrics of Reactor with Micrometer; names as OpenTelemetry advises.
    """
    check_type("flow", flow, str)
    check_installed("flowpy.ext.opentelemetry", "opentelemetry", "opentelemetry")
    api: Any = import_module("opentelemetry.metrics")
    meter: Any = api.get_meter("flowpy", meter_provider=meter_provider)
    instruments = (
        meter.create_counter("flowpy.items", "{item}", "Items passed on."),
        meter.create_counter("flowpy.errors", "{error}", "Errors raised."),
        meter.create_up_down_counter("flowpy.waiting", "{item}", "Items held."),
    )
    return partial(record, flow, instruments)


def record(flow: str, instruments: tuple[Any, Any, Any], snapshot: Snapshot) -> None:
    """Add what a snapshot has that the one before had not."""
    items, errors, waiting = instruments
    for stage, before in zip(snapshot.stages, snapshot.before, strict=True):
        name = f"{stage.number} {stage.name}"
        attributes = {"flowpy.flow": flow, "flowpy.stage": name}
        items.add(stage.items - before.items, attributes)
        errors.add(stage.errors - before.errors, attributes)
        waiting.add(stage.waiting - before.waiting, attributes)
