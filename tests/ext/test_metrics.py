"""What the observers for metrics keep, with the real libraries."""

from __future__ import annotations

import anyio
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, Counter, generate_latest

from flowpy import Flow
from flowpy.ext.opentelemetry import opentelemetry_observer
from flowpy.ext.prometheus import prometheus_observer
from tests.laws.probes import Boom

pytestmark = pytest.mark.anyio


def fails_for_two(n):
    if n == 2:
        raise Boom
    return n


def slow(items):
    return Flow(items).buffer(9).on_each(lambda _: anyio.sleep(0.5))


# -------------------------------------------------------------------------- Prometheus


def sample(registry, name, **labels):
    return registry.get_sample_value(f"flowpy_{name}", labels)


async def test_prometheus_counts_the_items_of_each_stage():
    registry = CollectorRegistry()
    measured = Flow(range(9)).filter(lambda n: n % 2).map(str)

    await measured.measure(prometheus_observer("odd", registry=registry)).collect()

    text = generate_latest(registry).decode()
    assert 'flowpy_items_total{flow="odd",stage="0 Flow"} 9.0' in text
    assert 'flowpy_items_total{flow="odd",stage="1 filter"} 4.0' in text
    assert 'flowpy_items_total{flow="odd",stage="2 map"} 4.0' in text


async def test_prometheus_counts_errors_where_they_come_out():
    registry = CollectorRegistry()
    measured = Flow([1, 2]).map(fails_for_two).catch()

    await measured.measure(prometheus_observer("f", registry=registry)).collect()

    errors = [
        sample(registry, "errors_total", flow="f", stage=stage)
        for stage in ("0 Flow", "1 map", "2 catch")
    ]
    assert errors == [0, 1, 0]


async def test_prometheus_shows_what_waits_while_it_does():
    registry = CollectorRegistry()
    observer = prometheus_observer("slow", registry=registry)
    seen = []

    def look(_):
        seen.append(sample(registry, "waiting_items", flow="slow", stage="1 buffer"))

    await slow(range(4)).measure(observer).collect(look)

    assert seen == [3, 2, 1, 0]
    assert sample(registry, "waiting_items", flow="slow", stage="1 buffer") == 0


async def test_prometheus_sums_up_collections_at_once_and_one_after_another():
    registry = CollectorRegistry()
    for _ in range(2):
        measured = slow(range(3)).measure(prometheus_observer("f", registry=registry))
        async with anyio.create_task_group() as group:
            group.start_soon(measured.collect)
            group.start_soon(measured.first)

    assert sample(registry, "items_total", flow="f", stage="2 on_each") == 8
    assert sample(registry, "waiting_items", flow="f", stage="1 buffer") == 0


async def test_prometheus_has_one_set_of_metrics_for_each_registry():
    first, second = CollectorRegistry(), CollectorRegistry()
    for registry in (first, second, first):
        observer = prometheus_observer("f", registry=registry)
        await Flow([1]).measure(observer).collect()

    assert sample(first, "items_total", flow="f", stage="0 Flow") == 2
    assert sample(second, "items_total", flow="f", stage="0 Flow") == 1


def test_a_name_that_prometheus_knows_as_another_metric_is_refused():
    registry = CollectorRegistry()
    Counter("flowpy_items", "Something else.", registry=registry)

    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_observer("f", registry=registry)


# ----------------------------------------------------------------------- OpenTelemetry


def points(reader):
    """Return all that has been counted: instrument, flow, stage, value."""
    data = reader.get_metrics_data()
    return {
        (metric.name, *point.attributes.values()): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


@pytest.fixture
def telemetry():
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    yield reader, provider
    provider.shutdown()


async def test_opentelemetry_counts_items_errors_and_what_waits(telemetry):
    reader, provider = telemetry
    observer = opentelemetry_observer("f", meter_provider=provider)
    measured = slow([1, 2]).map(fails_for_two).catch().measure(observer)
    waiting = []

    def look(_):
        waiting.append(points(reader)["flowpy.waiting", "f", "1 buffer"])

    await measured.collect(look)

    found = points(reader)
    stages = ("0 Flow", "1 buffer", "2 on_each", "3 map", "4 catch")
    assert [found["flowpy.items", "f", stage] for stage in stages] == [2, 2, 2, 1, 1]
    assert [found["flowpy.errors", "f", stage] for stage in stages] == [0, 0, 0, 1, 0]
    assert {found["flowpy.waiting", "f", stage] for stage in stages} == {0}
    assert waiting == [1]


async def test_opentelemetry_sums_up_collections_with_the_same_name(telemetry):
    reader, provider = telemetry
    for _ in range(2):
        observer = opentelemetry_observer("f", meter_provider=provider)
        await Flow(range(3)).measure(observer).collect()

    assert points(reader)["flowpy.items", "f", "0 Flow"] == 6


async def test_without_a_provider_opentelemetry_counts_nothing_and_nothing_fails():
    assert await Flow([1]).measure(opentelemetry_observer("f")).to_list() == [1]


# -------------------------------------------------------------------------------- both


@pytest.mark.parametrize(
    ("make", "extra"),
    [
        (prometheus_observer, r"flowpy-stream\[prometheus\]"),
        (opentelemetry_observer, r"flowpy-stream\[opentelemetry\]"),
    ],
    ids=["prometheus", "opentelemetry"],
)
def test_the_call_says_what_is_wrong_and_what_to_install(make, extra, monkeypatch):
    with pytest.raises(TypeError, match="flow must be str; got 3"):
        make(3)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=extra):
        make("f")
