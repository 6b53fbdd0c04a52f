"""Alerts from a log that is being written: errors in bursts, and silence.

Shows how a file is followed while it is written, rotated and cut (`tail`), how one
collection of it serves two alarms (`share`, `merge`): one that counts the errors of each
service in a sliding window and tells when the answer changes (`windowed_by_time`,
`distinct_until_changed`), and one for a program that says nothing any more, which is what
`debounce` waits for.

    python examples/log_alerts.py FILE [--limit 3] [--within 10] [--quiet 60]
    echo "2025-01-01 00:00:01 ERROR disk: full" >> FILE
"""

import re
from argparse import ArgumentParser
from collections import Counter
from functools import partial
from pathlib import Path

from flowpy import Flow, run
from flowpy.io import tail

ERROR = re.compile(r"\S+ \S+ ERROR +(?P<service>\w+): .*")


def failing_service(line: str) -> str | None:
    """Return which service a line has an error of, if it has one."""
    match = ERROR.fullmatch(line)
    return match["service"] if match else None


def bursts(lines: Flow[str], limit: int, within: float) -> Flow[str]:
    """Tell which services have so many errors in so many seconds, when that changes."""

    def alarming(services: list[str]) -> list[str]:
        return sorted(k for k, count in Counter(services).items() if count >= limit)

    return (
        lines.map_not_none(failing_service)
        .windowed_by_time(within, every=within / 10)
        .map(alarming)
        .start_with([])  # all is well before anything is known
        .distinct_until_changed()
        .drop(1)
        .map(lambda services: f"errors: {', '.join(services) or 'no more'}")
    )


def silence(lines: Flow[str], quiet: float) -> Flow[str]:
    """Tell when nothing has been written for so many seconds."""
    return lines.debounce(quiet).map(lambda line: f"silence since: {line}")


def alerts(lines: Flow[str], limit: int, within: float, quiet: float) -> Flow[str]:
    """Tell of bursts of errors and of silence."""
    shared = lines.share()
    return bursts(shared, limit, within).merge(silence(shared, quiet))


async def main(path: Path, limit: int, within: float, quiet: float) -> None:
    """Print alerts until Ctrl-C; to send them elsewhere, collect with a function."""
    lines = tail(path).on_start(lambda: print(f"following {path}", flush=True))
    await alerts(lines, limit, within, quiet).collect(partial(print, flush=True))


if __name__ == "__main__":
    parser = ArgumentParser(
        description="Print alerts from a log that is being written."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--limit", type=int, default=3, help="errors of one service")
    parser.add_argument("--within", type=float, default=10, help="seconds")
    parser.add_argument("--quiet", type=float, default=60, help="seconds of silence")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    told = (options.file, options.limit, options.within, options.quiet)
    run(main, *told, backend=options.backend)
