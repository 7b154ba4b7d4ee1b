"""Which process a number stands for: numbers are used again, numbers with a start time are not."""

import os
import subprocess
from pathlib import Path

__all__ = ["is_running", "start_of"]

_STATE, _START = 0, 19
"""Places of two fields of /proc/PID/stat behind the name in brackets; see proc(5)."""


def start_of(pid: int) -> str | None:
    """When a process was started, in the system's own words; None when there is no such process.

    A process that has ended and that nobody has asked about (a zombie) is none.

    Args:
        pid: number of the process.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _asked(pid)
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else fields[_START]


def is_running(pid: int, start: str) -> bool:
    """Whether the process that `start_of` was asked about still runs."""
    return start_of(pid) == start


def _asked(pid: int) -> str | None:
    """The same where there is no /proc, as on macOS."""
    asked = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    state, _, start = asked.stdout.strip().partition(" ")
    return None if not start or state.startswith("Z") else start.strip()
