"""What the runs of one workflow have in common: limits, state, hooks, the books."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from fastflow.base.interrupts import ENDS_PROGRAM
from fastflow.base.timers import Clock
from fastflow.errors import Cancelled
from fastflow.workflows.actions import Actions
from fastflow.workflows.limits import Gate, Rate
from fastflow.workflows.state import State, global_state

__all__ = ["Shared"]

_NO_FAILURE = (Cancelled, *ENDS_PROGRAM)

Hook = Callable[[Any], Any]


class Member(Protocol):
    """What is known of a run that uses it."""

    @property
    def label(self) -> str:
        """What it is called in messages."""


class Shared:
    """Shared by the runs of a workflow.

    Parameters
    ----------
    name : str
        Of the workflow.
    clock : Clock
        For everything that takes time.
    timeout : float, optional
        Seconds for each run.
    concurrency, rate : optional
        Limits of `Gate`.
    on_success, on_failure : callable, optional
        Called with ctx at the end of a run.
    state, global_state : State
        What ``ctx.state`` and ``ctx.global_state`` are.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        timeout: float | None = None,
        concurrency: int | None = None,
        rate: Rate | None = None,
        on_success: Hook | None = None,
        on_failure: Hook | None = None,
        state: State | None = None,
        global_state: State = global_state,
    ) -> None:
        self.name = name
        self.clock = clock
        self.timeout = timeout
        self.on_success = on_success
        self.on_failure = on_failure
        self.state = State(clock) if state is None else state
        self.global_state = global_state
        self._limits = (concurrency, rate)
        self.start_over()

    def start_over(self) -> None:
        """Begin without runs; in a forked child they are the parent's."""
        self.gate: Gate | None = None
        if self._limits != (None, None):
            self.gate = Gate(*self._limits, self.clock)
        self.actions = Actions()
        self._changed = threading.Condition()
        self._runs: set[Member] = set()

    def enter(self, run: Member) -> None:
        """Note a run that begins."""
        with self._changed:
            self._runs.add(run)

    def leave(self, run: Member, admitted: bool, go: Callable[[], object]) -> None:
        """Note a run that has ended; the next one may come in."""
        gate = self.gate
        # One that was cancelled while it waited may be let in at this very moment; then
        # withdraw() finds nothing, and it counts as one that leaves.
        if gate is not None and (admitted or not gate.withdraw(go)):
            gate.leave()
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def hook(self, error: BaseException | None) -> Hook | None:
        """Return what is to be called at the end of a run; a cancelled one has none."""
        if error is None:
            return self.on_success
        return None if isinstance(error, _NO_FAILURE) else self.on_failure

    @property
    def runs(self) -> list[Any]:
        """The runs that have not ended."""
        with self._changed:
            return list(self._runs)

    def wait(self, timeout: float | None) -> list[str]:
        """Wait for runs and actions; return what has not ended, in words."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, timeout)
            left = [run.label for run in self._runs]
        if deadline is not None:
            timeout = max(deadline - time.monotonic(), 0.0)
        return left + [f"action {name!r}" for name in self.actions.wait(timeout)]
