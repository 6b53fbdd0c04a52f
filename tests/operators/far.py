"""Functions that other processes run: they import nothing but this."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path


class Refused(Exception):
    """What some of them raise."""


def square(n):
    return n * n


def refuse_seven(n):
    if n == 7:
        raise Refused(n)
    return n


def die_at_seven(n):
    """End the process; items before it are faster, those after it slower."""
    if n == 7:
        time.sleep(0.05)
        os._exit(3)
    if n > 7:
        time.sleep(0.1)
    return n


def a_lock(_):
    """Return what no process can send."""
    return threading.Lock()


def begin(call):
    """Leave a file that tells that the call has begun; all but the first wait."""
    folder, n = call
    Path(folder, str(n)).touch()
    last = time.monotonic() + 10
    while n and not Path(folder, "go on").exists() and time.monotonic() < last:
        time.sleep(0.05)
    return n


def squares_but_die_once(batch, folder):
    """Return the squares; the first process that gets item 7 ends."""
    if 7 in batch:
        try:
            Path(folder, "died").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os._exit(3)
    return [n * n for n in batch]
