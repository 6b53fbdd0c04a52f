"""Lines of files, of standard input and of processes, as flows; and flows into files.

Here bytes are waited for, decoded and cut into lines, in batches. What may be done with
a line afterwards is Flow's business.
"""

from __future__ import annotations

from flowpy.io._lines import lines, stdin_lines
from flowpy.io._process import process_lines
from flowpy.io._tail import tail
from flowpy.io._write import write_lines

__all__ = ("lines", "process_lines", "stdin_lines", "tail", "write_lines")

for _public in (lines, process_lines, stdin_lines, tail, write_lines):
    _public.__module__ = "flowpy.io"  # where users find them
