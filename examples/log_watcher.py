"""The errors in a log file: how many of each service, and when they came in bursts.

Shows how lines become records (`map_not_none` drops those that are none), how records
are collected under a key (`to_groups`), and how neighbours with the same key are
(`chunked_by`). The flow is cold: each report reads the file from its beginning.

    python examples/log_watcher.py [FILE] [--backend asyncio|trio]
"""

import re
from argparse import ArgumentParser
from pathlib import Path
from typing import NamedTuple

from flowpy import run
from flowpy.io import lines

SAMPLE = Path(__file__).parent / "data" / "shop.log"
RECORD = re.compile(
    r"(?P<minute>\S+ \d\d:\d\d)\S* (?P<level>[A-Z]+) +(?P<service>\w+): (?P<text>.*)"
)


class Record(NamedTuple):
    """One entry of the log."""

    minute: str
    level: str
    service: str
    text: str


def parse(line: str) -> Record | None:
    """Return the record that a line holds; None for a traceback or an empty line."""
    match = RECORD.fullmatch(line)
    return Record(**match.groupdict()) if match else None


async def main(path: Path = SAMPLE, burst: int = 3) -> None:
    """Report on the errors in the log at `path`."""
    records = lines(path).map_not_none(parse)
    errors = records.filter(lambda record: record.level == "ERROR")

    print(f"{await errors.count()} errors in {await records.count()} records")

    services = await errors.to_groups(lambda record: record.service)
    for service, own in sorted(services.items(), key=lambda item: -len(item[1])):
        print(f"  {len(own)} {service}, the last one: {own[-1].text}")

    print(f"Minutes with {burst} errors or more:")
    await (
        errors.chunked_by(lambda record: record.minute)
        .map(lambda group: (group[0], len(group[1])))
        .filter(lambda group: group[1] >= burst)
        .collect(lambda group: print(f"  {group[0]}: {group[1]} errors"))
    )


if __name__ == "__main__":
    parser = ArgumentParser(description="Report on the errors in a log file.")
    parser.add_argument("file", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.file, backend=options.backend)
