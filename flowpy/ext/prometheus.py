"""Measured flows as metrics of Prometheus: `pip install "flowpy-stream[prometheus]"`."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from flowpy._checks import check_installed, check_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from flowpy import Snapshot

__all__ = ("prometheus_observer",)


def prometheus_observer(
    flow: str, *, registry: CollectorRegistry | None = None
) -> Callable[[Snapshot], None]:
    """Make an observer for `measure` that keeps metrics of Prometheus.

    ::

        flowpy_items_total{flow="orders",stage="1 map"}     items passed on
        flowpy_errors_total{flow="orders",stage="1 map"}    errors that came out of it
        flowpy_waiting_items{flow="orders",stage="2 buffer"}    items that it holds

    They are sums over all collections that have an observer of the same `flow`, those
    of other flows with that name included.

    Args:
        flow: The label that tells flows apart. Prometheus keeps a time series for each
            one that there ever was: it should name a pipeline, not a request.
        registry: Where the metrics are; left out, that of `prometheus_client`.

    Raises:
        TypeError: at the call, if `flow` is not a string.
        ModuleNotFoundError: at the call, if prometheus-client is not installed.
        ValueError: at the call, if the registry has metrics of these names already that
            this function has not made.

    Example:
        >>> from flowpy.ext.prometheus import prometheus_observer
        >>> from prometheus_client import CollectorRegistry
        >>> registry = CollectorRegistry()
        >>> observer = prometheus_observer("words", registry=registry)
        >>> run(Flow.of("a", "b").map(str.upper).measure(observer).to_list)
        ['A', 'B']
        >>> registry.get_sample_value(
        ...     "flowpy_items_total", {"flow": "words", "stage": "1 map"}
        ... )
        2.0

    Source: the metrics of Reactor with Micrometer; names as Prometheus advises.
    """
    check_type("flow", flow, str)
    check_installed("flowpy.ext.prometheus", "prometheus_client", "prometheus")
    client: Any = import_module("prometheus_client")
    with _lock:
        where = client.REGISTRY if registry is None else registry
        if where not in _metrics:
            _metrics[where] = metrics(client, where)
    return partial(record, flow, _metrics[where])


_lock = Lock()

_metrics: WeakKeyDictionary[Any, tuple[Any, Any, Any]] = WeakKeyDictionary()
"""Those of each registry, which takes a name once."""


def metrics(client: Any, registry: CollectorRegistry) -> tuple[Any, Any, Any]:
    """Return new metrics in a registry."""
    labels = ("flow", "stage")
    return (
        client.Counter("flowpy_items", "Items passed on.", labels, registry=registry),
        client.Counter("flowpy_errors", "Errors raised.", labels, registry=registry),
        client.Gauge("flowpy_waiting_items", "Items held.", labels, registry=registry),
    )


def record(flow: str, metrics: tuple[Any, Any, Any], snapshot: Snapshot) -> None:
    """Add what a snapshot has that the one before had not."""
    items, errors, waiting = metrics
    for stage, before in zip(snapshot.stages, snapshot.before, strict=True):
        labels = (flow, f"{stage.number} {stage.name}")
        items.labels(*labels).inc(stage.items - before.items)
        errors.labels(*labels).inc(stage.errors - before.errors)
        waiting.labels(*labels).inc(stage.waiting - before.waiting)
