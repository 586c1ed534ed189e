"""Ctrl-C while a worker starts: it must not reach code that is not ready for it.

A terminal sends it to the program and all its workers. multiprocessing gives a new
process Python's own handler, which raises in the middle of an import, or ends the
process. So SIGINT is kept from it until `worker_main` has set a handler that knows what
to do: blocked from the beginning, where the process inherits that (fork, spawn); or
else ignored as soon as it reads what it is to do (`Name`), before it imports the
script. What was blocked comes afterwards, and is ignored then.
"""

from __future__ import annotations

import contextlib
import operator
import signal
import threading
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import get_spawning_popen
from typing import Any

__all__ = ["Name", "blocked", "unblock"]

_can_block = hasattr(signal, "pthread_sigmask")
_before_fork: list[set[Any]] = []  # what a forked process is to have blocked


class Name(str):
    """The name of a process, which ignores SIGINT as soon as it gets that.

    Others that are told the name (a manager, say) get a plain one.
    """

    __slots__ = ()

    def __reduce__(self) -> Any:
        if get_spawning_popen() is None:
            return str, (str(self),)
        # Functions of the standard library only: nothing else is imported by then.
        return operator.getitem, ((str(self), _Ignored()), 0)


class _Ignored:
    def __reduce__(self) -> Any:
        return signal.signal, (signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def blocked(method: str) -> Iterator[None]:
    """Block signals in this thread, and in the process that is started meanwhile.

    If it is forked in the main thread, all signals: what multiprocessing and others do
    around a fork must not be cut off by a handler.
    """
    if not _can_block:
        yield
        return
    # These are other people's, too, and must not inherit it. (The latter has a mask of
    # its own besides, which it takes back.)
    if method == "forkserver":
        forkserver.ensure_running()
    if method != "fork":
        resource_tracker.ensure_running()
    main = threading.current_thread() is threading.main_thread()
    all_of_them = method == "fork" and main
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    _before_fork[:] = [before] if method == "fork" else []
    try:
        signal.pthread_sigmask(
            signal.SIG_BLOCK,
            signal.valid_signals() if all_of_them else {signal.SIGINT},
        )
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock() -> None:
    """Let signals come, in a worker whose handler is set."""
    if _before_fork:
        signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.pop())
    elif _can_block:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
