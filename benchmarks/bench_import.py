"""How long does `import flowpy` take, next to `import anyio`?

    python benchmarks/bench_import.py [--rounds 31] [--check]

Each round starts a new interpreter for every line of the table, in random order, and
measures the CPU time of the whole process, the start of Python included, as a program's
user pays it. A ratio is the median of the rounds' own ratios to `import anyio`. Bytecode
is compiled beforehand, in a folder of its own, as it is after the first run of any
program.

What an event loop needs is imported when one first runs: the last lines show that.
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
from argparse import ArgumentParser
from importlib.metadata import version
from importlib.util import find_spec
from statistics import median
from tempfile import TemporaryDirectory

TARGET = 1.5
"""How many times as long as `import anyio` it may take, with `--check`."""

ANYIO = "import anyio"
FLOWPY = "import flowpy"

STATEMENTS = [
    "pass",
    ANYIO,
    FLOWPY,
    "import asyncio",
    "import flowpy.io, flowpy.web, flowpy.testing",
    "import anyio; anyio.run(anyio.sleep, 0)",
    "import flowpy; flowpy.run(flowpy.Flow.of(1).to_list)",
]
if find_spec("reactivex"):
    STATEMENTS.append("import reactivex")
if find_spec("aiostream"):
    STATEMENTS.append("import aiostream")


def cpu_time(statement: str, environment: dict[str, str]) -> float:
    """Return the CPU seconds of a new Python that runs `statement`."""
    process = subprocess.Popen([sys.executable, "-c", statement], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{statement!r} failed"
        raise RuntimeError(message)
    return usage.ru_utime + usage.ru_stime


def measure(rounds: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each statement in each round."""
    seconds: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    with TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for statement in STATEMENTS:
            cpu_time(statement, environment)
        for _ in range(rounds):
            for statement in random.sample(STATEMENTS, len(STATEMENTS)):
                seconds[statement].append(cpu_time(statement, environment))
    return seconds


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = ArgumentParser(description="Importing flowpy.")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--check", action="store_true", help="fail above the target")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, anyio {version('anyio')}\n")
    seconds = measure(options.rounds)
    ratios = {
        statement: median(a / b for a, b in zip(each, seconds[ANYIO], strict=True))
        for statement, each in seconds.items()
    }
    print(f"| process | CPU, ms | to `{ANYIO}` |\n|---|--:|--:|")
    for statement, each in seconds.items():
        cost = f"{median(each) * 1e3:.1f} | {ratios[statement]:.2f}"
        print(f"| `{statement}` | {cost} |")
    if ratios[FLOWPY] <= TARGET:
        return 0
    print(f"\nBROKEN {FLOWPY} takes {ratios[FLOWPY]:.2f} times as long, not {TARGET}")
    return int(options.check)


if __name__ == "__main__":
    sys.exit(main())
