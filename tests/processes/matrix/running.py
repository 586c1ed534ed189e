"""Runs a scenario's program in processes of its own, and judges how it ended.

All processes of a run have a token in their environment, by which those are found that
are left over, whoever their parent is by then. Each run has a /dev/shm of its own,
where mounts are allowed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from processes.matrix.scenario import Scenario

__all__ = ["OURS", "THEIRS", "Verdict", "can_mount", "run"]

OURS = "fastflow:ProcessExecutor"
THEIRS = "concurrent.futures:ProcessPoolExecutor"

LINGER = {OURS: 30.0, THEIRS: 5.0}  # seconds that processes may outlive the program
_STAGE = Path(__file__).parent / "stage"
_TOKEN = "FASTFLOW_MATRIX_TOKEN"
_BAD = re.compile(
    r"Fatal Python|terminate called|double free|pure virtual|resource_tracker"
    r"|Exception ignored|never awaited|AddressSanitizer|ThreadSanitizer"
)
# What a signal handler raises while the interpreter runs the callback of a weak
# reference it ignores, and says so: the standard library's containers have such
# callbacks, and its processes.
_IGNORED = re.compile(
    r"Exception ignored in: <.*>\nTraceback \(most recent call last\):\n"
    r"(?:(?:  .*\n|\n)*?  File .*alarms\.py.*, in handler\n    raise error\n\w+: ?\n+"
    r"|  File .*_?weakref(?:set)?.*\n(?:  .*\n|\n)*KeyboardInterrupt: ?\n+"
    r"|  File .<frozen importlib\._bootstrap>.*\n(?:  .*\n|\n)*KeyboardInterrupt: ?\n+)"
)


class Verdict(NamedTuple):
    """How a run ended."""

    why: str
    """What was wrong; "": nothing."""
    seconds: float
    gone: float
    """Seconds after the program's end until all its processes had ended."""
    stderr: str


class _Failed(Exception):  # noqa: N818
    pass


@cache
def can_mount() -> bool:
    """Tell whether a program can have a /dev/shm of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "-m", "mount", "--bind", folder, "/dev/shm"]
        return not subprocess.run(command, capture_output=True, check=False).returncode


def run(scenario: Scenario, pool: str) -> Verdict:
    """Run a scenario with a class of pools."""
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        return _Run(scenario, pool, Path(folder)).made()


class _Run:
    def __init__(self, scenario: Scenario, pool: str, folder: Path) -> None:
        self._scenario = scenario
        self._linger = LINGER[pool]
        self._limit = scenario.limit if pool == OURS else 20.0
        self._token = uuid.uuid4().hex
        self._out = folder / "stdout"
        self._err = folder / "stderr"
        self._shm = folder / "shm"
        self._program = folder / "program.py"
        self._marks = folder / "marks"
        for made in (self._shm, self._marks):
            made.mkdir()
        self._program.write_text(scenario.program)
        for name, text in scenario.modules.items():
            (folder / name).write_text(text)
        path = os.pathsep.join((str(_STAGE), os.environ.get("PYTHONPATH", "")))
        self._environment = {
            **os.environ,
            _TOKEN: self._token,
            "FASTFLOW_MATRIX_POOL": pool,
            "FASTFLOW_MATRIX_FOLDER": str(self._marks),
            "PYTHONPATH": path.rstrip(os.pathsep),
            "PYTHONFAULTHANDLER": "",
            # From Python 3.12 on it warns of every fork of a program with threads.
            "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
        }

    def made(self) -> Verdict:
        began = time.monotonic()
        why, ended = "", None
        with (
            self._program.open() as source,
            self._out.open("wb") as out,
            self._err.open("wb") as err,
        ):
            process = subprocess.Popen(
                self._command(),
                stdin=source if self._scenario.run == "stdin" else None,
                stdout=out,
                stderr=err,
                env=self._environment,
                cwd=self._program.parent,
                start_new_session=True,
            )
            try:
                self._stimulate(process)
                self._await_end(process)
                ended = time.monotonic()
                self._await_others()
                gone = time.monotonic() - ended
                self._judge(process.returncode)
            except _Failed as failed:
                why = str(failed)
                gone = time.monotonic() - ended if ended else float("nan")
            finally:
                self._end_all()
                process.wait()
        text = self._err.read_text(errors="replace")
        return Verdict(why, time.monotonic() - began, gone, text)

    def _command(self) -> list[str]:
        python = [sys.executable, *self._scenario.flags]
        program = {
            "file": [str(self._program)],
            "-c": ["-c", self._scenario.program],
            "stdin": ["-"],
            "-m": ["-m", "program"],
        }[self._scenario.run]
        command = [*self._scenario.before, *python, *program]
        if not can_mount():
            return command
        mount = f"mount --bind {self._shm} /dev/shm"
        if self._scenario.shm:
            mount = f"mount -t tmpfs -o {self._scenario.shm} tmpfs /dev/shm"
        return ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", *command]

    # --- while it runs ---------------------------------------------------------------

    def _stimulate(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + self._limit
        for line, action in self._scenario.stimuli:
            while line not in self._lines():
                if process.poll() is not None:
                    self._judge(process.returncode)
                    raise _Failed(f"ended before it printed {line!r}")
                if time.monotonic() > end:
                    raise _Failed(f"hangs before it printed {line!r}")
                time.sleep(0.005)
            action(process.pid)

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(self._limit)
        except subprocess.TimeoutExpired:
            raise _Failed(
                f"hangs; printed {self._lines()!r}{self._last_words()}"
            ) from None

    def _await_others(self) -> None:
        end = time.monotonic() + self._linger
        while left := self._processes():
            if time.monotonic() > end:
                raise _Failed(f"{len(left)} processes are left: {_names(left)}")
            time.sleep(0.005)

    def _processes(self) -> list[int]:
        """Return the ids of the processes of this run."""
        found = []
        token = f"{_TOKEN}={self._token}".encode()
        for entry in os.scandir("/proc"):
            if entry.name.isdecimal():
                with suppress(OSError):
                    if token in Path(entry.path, "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def _end_all(self) -> None:
        while left := self._processes():
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)

    # --- afterwards ------------------------------------------------------------------

    def _lines(self) -> list[str]:
        return self._out.read_text(errors="replace").splitlines()

    def _last_words(self) -> str:
        lines = self._err.read_text(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""

    def _judge(self, status: int) -> None:
        wanted, says = self._scenario.status, list(self._scenario.says)
        if status != wanted:
            raise _Failed(
                f"exit status {status}, wanted {wanted}{self._last_words()}; "
                f"printed {self._lines()!r}"
            )
        if self._lines() != says:
            raise _Failed(f"printed {self._lines()!r}, wanted {says!r}")
        text = _IGNORED.sub("", self._err.read_text(errors="replace"))
        if bad := _BAD.search(text):
            raise _Failed(f"stderr has {bad.group(0)!r}{self._last_words()}")
        if not self._scenario.stderr:
            if text:
                raise _Failed(f"stderr isn't empty{self._last_words()}")
        elif not re.search(self._scenario.stderr, text):
            raise _Failed(f"stderr lacks {self._scenario.stderr!r}{self._last_words()}")
        if left := [path.name for path in self._shm.iterdir()]:
            raise _Failed(f"left in /dev/shm: {left}")


def _names(pids: list[int]) -> str:
    found = []
    for pid in pids:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            found.append(b" ".join(words)[-60:].decode(errors="replace"))
    return "; ".join(found)
