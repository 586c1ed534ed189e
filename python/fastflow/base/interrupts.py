"""Waits that Ctrl-C ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fastflow import _core

__all__ = ["ENDS_PROGRAM", "wait_until"]

ENDS_PROGRAM = (KeyboardInterrupt, SystemExit)
"""What nobody reports, retries or handles: it ends the run, and comes out as itself."""

_SLICE = 0.1  # seconds


def wait_until(wait: Callable[[float | None], bool], timeout: float | None) -> bool:
    """Call ``wait(seconds)`` until it returns True or `timeout` seconds are over.

    A signal that comes just before a thread falls asleep does not wake it, so the main
    thread, which handles signals, sleeps for short times only. Workers of a pool tell
    it that they block.

    Returns
    -------
    bool
        What ``wait`` has returned last.
    """
    with _core.Blocking():
        if threading.current_thread() is not threading.main_thread():
            return wait(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE if deadline is None else deadline - time.monotonic()
            if wait(max(min(left, _SLICE), 0.0)):
                return True
            if left <= 0:
                return False
