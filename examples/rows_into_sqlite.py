"""Rows into SQLite, many in one transaction, written in a worker thread.

Shows how items become batches, by number or by time: 500 rows are written at once, and
fewer when the first of them has waited half a second (`chunked(500, within=0.5)`). A call
that may fail becomes a flow of its own, so that `retry` repeats only that call. And nothing
gets lost: the last, shorter batch is written too, and so is what came before an error of
the source, which `chunked` passes on ahead of the error.

    python examples/rows_into_sqlite.py [DATABASE] [--backend asyncio|trio]
"""

import sqlite3
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import closing

from anyio import sleep, to_thread

from flowpy import Flow, flow, run

Row = tuple[str, int, float]

TABLE = """CREATE TABLE IF NOT EXISTS measurements (
    sensor TEXT, number INTEGER, celsius REAL, PRIMARY KEY (sensor, number)
)"""
INSERT = "INSERT OR REPLACE INTO measurements VALUES (?, ?, ?)"
COUNT = "SELECT count(*) FROM measurements WHERE sensor = ?"


@flow
async def measurements(sensor: str) -> AsyncIterator[Row]:
    """Give numbered temperatures; the cellar's sensor pauses, and fails after some."""
    for number in range(1234):
        yield sensor, number, 20 + number % 7 / 10
        if sensor == "cellar" and number == 299:
            await sleep(0.75)
        if sensor == "cellar" and number == 306:
            raise ConnectionError("the sensor does not answer")


def is_locked(error: Exception) -> bool:
    """Tell whether another program is writing to the database: worth another try."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


async def save(rows: Flow[Row], database: sqlite3.Connection) -> list[int]:
    """Write the rows, up to an error if there is one; return the sizes of batches."""

    def insert(batch: list[Row]) -> list[int]:
        with database:  # one transaction: all of the batch or nothing of it
            database.executemany(INSERT, batch)
        return [len(batch)]

    def insertion(batch: list[Row]) -> Flow[int]:
        attempt = Flow(lambda: to_thread.run_sync(insert, batch))
        return attempt.retry(5, on=is_locked, backoff=0.05)

    return await (
        rows.chunked(500, within=0.5)
        .flat_map(insertion)
        .catch(ConnectionError, handler=lambda error: print(f"stopped: {error}"))
        .to_list()
    )


async def main(path: str = ":memory:") -> None:
    """Save what two sensors give."""
    # The connection serves one worker thread after another, never two at once. It
    # does not wait for a lock itself: `retry` does, without blocking a thread.
    with closing(sqlite3.connect(path, timeout=0, check_same_thread=False)) as database:
        database.execute(TABLE)
        for sensor in ("attic", "cellar"):
            sizes = await save(measurements(sensor), database)
            (count,) = database.execute(COUNT, [sensor]).fetchone()
            print(f"{sensor}: {count} rows saved in {len(sizes)} batches, {sizes}")


if __name__ == "__main__":
    parser = ArgumentParser(description="Save measurements in batches.")
    parser.add_argument("database", nargs="?", default=":memory:")
    parser.add_argument("--backend", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    run(main, options.database, backend=options.backend)
