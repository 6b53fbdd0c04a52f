"""What type checkers infer for the executors of other libraries."""

from __future__ import annotations

from concurrent.futures import Future
from typing import assert_type

from flowpy import Flow
from flowpy.ext.ray import RayExecutor


def ray(words: Flow[str]) -> None:
    with RayExecutor(num_cpus=0.5, max_retries=5) as cluster:
        assert_type(cluster, RayExecutor)
        assert_type(cluster.submit(len, "a"), Future[int])
        assert_type(words.map(len, on=cluster, concurrency=9), Flow[int])


def wrong(cluster: RayExecutor) -> None:
    RayExecutor("num_cpus")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    cluster.submit(len, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
