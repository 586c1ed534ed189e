"""Who owns an execution, and whether that process still lives.

A lease is measured on the machine's monotonic clock, which all processes share and no
clock step touches; it means nothing after a reboot, which the boot id tells.  A process
that was killed is seen at once by its number and start time, where both can be looked
up, so nobody has to wait for its lease to run out.  Where they can't (other systems
than Linux, another container), the lease alone decides.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["Process", "lease_end", "lives", "this_process"]


class Process(NamedTuple):
    """What tells a process from all others, ``""`` and 0 where it can't be known."""

    boot: str
    space: str
    """The process-number namespace."""
    pid: int
    start: int
    """In clock ticks since the boot."""


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _start(pid: int) -> int:
    """Return when a process began, 0 if there is none that lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()  # a program's name may contain anything
    return 0 if fields[0] in "ZX" else int(fields[19])


def this_process() -> Process:
    """Return what tells this process from others."""
    pid = os.getpid()
    return Process(_boot(), _space(), pid, _start(pid))


def lease_end(seconds: float) -> int:
    """Return the end of a lease that begins now, in monotonic microseconds."""
    return (time.monotonic_ns() // 1000) + round(seconds * 1e6)


def lives(process: Process, until: int) -> bool:
    """Whether a process still owns what it owned, given the end of its lease."""
    here = this_process()
    if process.boot != here.boot:
        return False
    known = process.start and process.space and process.space == here.space
    if known and _start(process.pid) != process.start:
        return False
    return until > time.monotonic_ns() // 1000
