"""Worker processes: how they are started, what each has been given, how they end."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from multiprocessing import process as mp_process
from pathlib import Path
from typing import Any

from fastflow import _core
from fastflow.processes import place, worker_main
from fastflow.processes.buffers import Mapped
from fastflow.processes.messages import STOP
from fastflow.processes.packing import dumps, main_is_hidden
from fastflow.processes.sigint import Name, blocked
from fastflow.processes.transport import End, pair

__all__ = [
    "STOPPING",
    "Crew",
    "Worker",
    "ending_of",
    "forget_server",
    "prepare_server",
]

STOPPING = dumps((STOP,))
"""The message that ends a worker."""
_END = 2.0  # seconds that a process may need to end, whose connection is closed
_DESCRIPTOR = 10.0  # seconds that it may take to come, which was sent before


class Worker(_core.Window):
    """One process, as the program sees it.

    What it has been given is native, and under the desk's rule.
    """

    __slots__ = ("end", "killed", "mapped", "pidfd", "process")

    def __init__(self, process: Any, end: End) -> None:
        self.process = process
        self.end = end
        self.channel = end.channel
        self.mapped = Mapped(self._take, readonly=False)
        """Segments that it has made."""
        self.killed = False
        self.pidfd = -1
        with contextlib.suppress(AttributeError, OSError):
            self.pidfd = os.pidfd_open(process.pid)

    def _take(self) -> int:
        return int(self.channel.take_descriptor(_DESCRIPTOR))

    def kill(self) -> None:
        """End it at once."""
        self.killed = True
        with contextlib.suppress(Exception):
            self.process.kill()

    def close(self) -> None:
        """Let go of everything of a process that has ended, or is to end."""
        self.end.close()
        # Not when it is dropped, which may be in the main thread: multiprocessing has
        # Python code called at the end of such an object.
        process, self.process = self.process, None
        with contextlib.suppress(ValueError):
            process.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1

    def disown(self) -> None:
        """Let go of it in a forked child, where it is another process's."""
        with contextlib.suppress(OSError):
            self.end.connection.close()
        # At its end multiprocessing waits for its children, and fails.
        mp_process._children.discard(self.process)  # type: ignore[attr-defined]


class Crew:
    """Starts workers of one executor.

    Parameters
    ----------
    context
        Of multiprocessing.
    setup : Setup
    name : str
        Of the processes, before a number.
    """

    def __init__(self, context: Any, setup: worker_main.Setup, name: str) -> None:
        self.context = context
        self.is_forking = context.get_start_method(allow_none=False) == "fork"
        self._setup = setup
        self._name = name
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        # The interpreter takes it away when the script has come to its end, and there
        # may be calls then whose workers have not been started.
        self._file = getattr(sys.modules.get("__main__"), "__file__", None)

    def start(self) -> Worker:
        """Start one."""
        place.check_guard()
        worker, whole = self._start()
        if not whole:  # once more: now that the script is over, it stays so
            worker.kill()
            worker.close()
            worker, _ = self._start()
        return worker

    def _start(self) -> tuple[Worker, bool]:
        setup = self._setup._replace(log_level=logging.root.level)
        with self._lock, pair() as (end, endpoint):
            process = self.context.Process(
                target=_run_forked if self.is_forking else worker_main.run,
                args=((endpoint, setup, end) if self.is_forking else (endpoint, setup)),
                name=Name(f"{self._name}-{next(self._numbers)}"),
            )
            method = self.context.get_start_method()
            script = _Script(self._file)
            try:
                with _startable(self.context), script, blocked(method):
                    process.start()
            except BaseException:
                end.close()
                raise
        return Worker(process, end), script.whole or self.is_forking


@contextlib.contextmanager
def _startable(context: Any) -> Iterator[None]:
    """Make room for what multiprocessing can't do.

    A daemon may have children here: they end with it by themselves.
    """
    if context.get_start_method() != "fork":
        try:
            Path.cwd()
        except FileNotFoundError as error:
            raise FileNotFoundError(
                errno.ENOENT,
                "the current folder is gone, so no process can be started in it: "
                "os.chdir to another one, or use start_method='fork'",
            ) from error
    config = mp_process.current_process()._config  # type: ignore[attr-defined]
    daemon = config.pop("daemon", None)
    try:
        yield
    finally:
        if daemon is not None:
            config["daemon"] = daemon


class _Script:
    """While it is entered, workers run the script again, if they can.

    They can't if there is no such file (``python < script``).

    Parameters
    ----------
    file : str, optional
        Of the script, when the executor was made.

    Attributes
    ----------
    whole : bool
        Whether the script did not come to its end meanwhile.
    """

    def __init__(self, file: str | None) -> None:
        self.whole = True
        self._main: Any = sys.modules.get("__main__")
        self._file = file

    def __enter__(self) -> None:
        main = self._main
        self._before = before = getattr(main, "__file__", None)
        self._now = self._file if before is None else before
        if self._now is not None:
            main.__file__ = self._now
            if main_is_hidden():
                self._now = None
                main.__dict__.pop("__file__", None)

    def __exit__(self, *_: object) -> None:
        names = getattr(self._main, "__dict__", {})
        if self._now is not None and "__file__" not in names:
            self.whole = False  # the interpreter has taken it away
        elif self._before is None:
            names.pop("__file__", None)
        else:
            self._main.__file__ = self._before


def prepare_server(modules: Sequence[str]) -> None:
    """Have the server that forks workers import what they need, once for all.

    Without effect if it runs already, or if the program has said what it is to import.
    """
    server: Any = forkserver._forkserver
    before = list(server._preload_modules)
    wanted = [worker_main.__name__, *modules]
    if before == ["__main__"] or worker_main.__name__ in before:
        new = [name for name in wanted if name not in before]
        server.set_forkserver_preload([*before, *new])


def forget_server() -> None:
    """In a forked child: have another server started when one is needed.

    multiprocessing takes that of the parent for a child of this process, and fails.
    """
    server: Any = forkserver._forkserver
    alive = getattr(server, "_forkserver_alive_fd", None)
    if alive is not None:
        with contextlib.suppress(OSError):
            os.close(alive)  # the server lives as long as this is open anywhere
    for name in ("_forkserver_address", "_forkserver_alive_fd", "_forkserver_pid"):
        setattr(server, name, None)


def _run_forked(endpoint: Any, setup: worker_main.Setup, end: End) -> None:
    end.connection.close()  # the program's; see Desk.forget
    worker_main.run(endpoint, setup)


def ending_of(process: Any) -> tuple[int, str]:
    """Return how a process has ended: its exit code, and that in words."""
    process.join(_END)
    code = process.exitcode
    if code is None:  # it has closed its connection, and goes on
        process.kill()
        process.join()
        code = process.exitcode
        if code is None:  # somebody has waited for all children of the program
            return -signal.SIGKILL, "has ended"
        return int(code), "has closed its connection"
    if code < 0:
        with contextlib.suppress(ValueError):
            return code, f"was ended by {signal.Signals(-code).name}"
        return code, f"was ended by signal {-code}"
    return code, f"has exited with code {code}"
