"""Helpers of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time

LIMIT = 60  # seconds after which a script counts as hanging


def figure(few: int, full: int) -> int:
    """How much a slow test does: in a usual run, and with FASTFLOW_FULL=1 (CI's)."""
    return full if os.environ.get("FASTFLOW_FULL") == "1" else few


def run_script(
    text: str, *flags: str, stimulus=None
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a fresh interpreter and return how it ended.

    `stimulus(process)` is called once the script has printed its first line.
    """
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *flags, "-c", textwrap.dedent(text)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first = ""
    if stimulus is not None:
        assert process.stdout is not None
        first = process.stdout.readline()
        stimulus(process)
    try:
        out, err = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(
            f"the script hangs; it printed {first + out!r}\n{err}"
        ) from None
    for bad in ("Fatal Python", "Segmentation", "terminate called"):
        assert bad not in err, err
    if process.returncode not in (0, -2):
        print(err, file=sys.stderr)
    return subprocess.CompletedProcess(
        process.args, process.returncode, first + out, err
    )


def outcome(call, *args):
    """Return the exception of a call, whatever it is."""
    try:
        found = call(*args)
    except BaseException as error:
        error.__traceback__ = None
        return error
    raise AssertionError(f"it returned {found!r}")


def becomes_true(condition, seconds=60):
    """Whether a condition that nobody announces comes true in time."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            return False
        pause.wait(0.001)
    return True
