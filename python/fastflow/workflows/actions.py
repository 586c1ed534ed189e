"""Background actions that have not ended; of one run or of a whole workflow."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fastflow.workflows.records import CANCELLED, StepRecord

if TYPE_CHECKING:
    from fastflow.workflows.jobs import StepJob

__all__ = ["Actions"]


class Actions:
    """The open actions of one place, which the `outer` places count as theirs, too."""

    def __init__(self, *outer: Actions) -> None:
        self._changed = threading.Condition()
        self._open: dict[StepJob, tuple[StepRecord, Actions]] = {}
        self._outer = outer

    def add(self, call: StepJob, record: StepRecord) -> None:
        """Note one that starts."""
        self._add(call, record, self)

    def _add(self, call: StepJob, record: StepRecord, home: Actions) -> None:
        with self._changed:
            self._open[call] = (record, home)
        for outer in self._outer:
            outer._add(call, record, home)

    def remove(self, call: StepJob) -> None:
        """Note one that has ended, where it was added."""
        with self._changed:
            self._open.pop(call, None)
            self._changed.notify_all()
        for outer in self._outer:
            outer.remove(call)

    def wait(self, timeout: float | None) -> list[str]:
        """Wait until all have ended; return the names of those that have not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout)
        return [record.name for record in self.records()]

    def cancel(self, now: float) -> None:
        """Cancel them, here and wherever they are counted."""
        with self._changed:
            still_open = list(self._open.items())
        for call, (record, home) in still_open:
            call.cancel()
            record.close(CANCELLED, None, now)
            home.remove(call)

    def records(self) -> list[StepRecord]:
        """Return the records of those that have not ended."""
        with self._changed:
            return [record for record, _ in self._open.values()]
