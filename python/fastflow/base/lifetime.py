"""The end of the interpreter, and the beginning of a forked child: who acts, in order.

The phases stand on each other, the first on top::

    RUNS     what users have started: runs of workflows, their actions; journals
    LOOP     the event loop, on which coroutines of runs go on
    TIMERS   limits and delays of all these
    WORKERS  the threads of the pools, on which everything runs

At the exit the interpreter calls top down: what is on top is finished while it still
has all that it needs. In a forked child, where of all threads only one is left, it
calls bottom up: what is below starts over before anything above can use it.

What a thread of ours imports it imports while `importing` is held: of a module whose
import was under way in another thread, a forked child can never have it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

__all__ = [
    "LOOP", "PHASES", "RUNS", "TIMERS", "WORKERS", "at_exit", "importing",
    "in_forked_child",
]  # fmt: skip

PHASES = RUNS, LOOP, TIMERS, WORKERS = range(4)

Action = Callable[[], object]

importing = threading.Lock()
"""Held by threads of ours that import something; a fork waits for it."""

_PATIENCE = 5.0  # seconds: the thread may wait for an import of the one that forks

_lock = threading.Lock()
_exits: dict[int, list[Action] | None] = {}
"""Actions of the phases that the interpreter knows of; None: the phase is over."""
_forks: tuple[list[Action], ...] = tuple([] for _ in PHASES)


def at_exit(phase: int, action: Action) -> None:
    """Call `action` when the interpreter ends, before it refuses to start threads.

    Raises
    ------
    RuntimeError
        If it is too late for that.
    """
    with _lock:  # modules may be imported by several threads
        # The interpreter calls in the reverse order of the registrations.
        for other in reversed(PHASES[phase:]):
            if other not in _exits:
                threading._register_atexit(_end, other)  # type: ignore[attr-defined]
                _exits[other] = []
        actions = _exits[phase]
        if actions is None:
            raise RuntimeError("the interpreter is ending")
        actions.append(action)


def _end(phase: int) -> None:
    with _lock:
        actions, _exits[phase] = _exits[phase], None
    for action in actions or ():
        action()


def in_forked_child(phase: int, action: Action) -> None:
    """Call `action` in a child that this process forks, before anything else there."""
    _forks[phase].append(action)


def _begin_anew() -> None:
    global _lock
    _lock = threading.Lock()  # whoever held it is not here
    _after_fork()
    failed: BaseException | None = None
    for actions in reversed(_forks):
        for action in actions:
            try:
                action()
            except BaseException as error:  # the others are needed none the less
                failed = failed or error
    if failed is not None:
        raise failed  # the interpreter shows it


def _before_fork() -> None:
    global _holds
    _holds = importing.acquire(timeout=_PATIENCE)


def _after_fork() -> None:
    global _holds
    if _holds:
        _holds = False
        importing.release()


_holds = False  # whether the fork that is under way has `importing`; forks exclude it

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork, after_in_child=_begin_anew
    )
