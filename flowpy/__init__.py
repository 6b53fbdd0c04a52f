"""flowpy: streams of items that arrive over time, on asyncio and trio alike.

>>> run(Flow(["3", "x", "4"]).filter(str.isdigit).map(int).to_list)
[3, 4]

Modules of their own, which this one does not import:

`flowpy.io`: lines of files, of standard input and of programs; flows into files.
`flowpy.web`: server-sent events, streamed responses, websockets.
`flowpy.testing`: virtual time, marble diagrams, a probe.
`flowpy.ext.ray`: an executor for `Flow.map(on=...)` that is a cluster.
`flowpy.ext.redis`: queues on Redis Streams.
`flowpy.ext.prometheus`, `flowpy.ext.opentelemetry`: observers for `Flow.measure`.
"""

from __future__ import annotations

from flowpy._channel import Channel
from flowpy._decorators import channel_flow, flow
from flowpy._errors import (
    BufferOverflowError,
    FlowClosedError,
    FlowConsumedError,
    FlowEmptyError,
    FlowError,
)
from flowpy._flow import Flow, GroupedFlow
from flowpy._hot import SharedFlow, StateFlow, while_subscribed
from flowpy._jobs import Job
from flowpy._meter import Snapshot, StageSnapshot
from flowpy._scheduler import run
from flowpy._types import SKIP, Skip

__all__ = (
    "SKIP",
    "BufferOverflowError",
    "Channel",
    "Flow",
    "FlowClosedError",
    "FlowConsumedError",
    "FlowEmptyError",
    "FlowError",
    "GroupedFlow",
    "Job",
    "SharedFlow",
    "Skip",
    "Snapshot",
    "StageSnapshot",
    "StateFlow",
    "channel_flow",
    "flow",
    "run",
    "while_subscribed",
)

__version__ = "0.1.0"

for _name in __all__:
    if _name != "SKIP":  # an object, whose type has a module
        globals()[_name].__module__ = "flowpy"  # where users find them
