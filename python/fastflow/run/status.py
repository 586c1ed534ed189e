"""``Status``: the words for what has become of a task, a step, a branch or a run."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FlowStatus", "Status"]


class Status(StrEnum):
    """What has become of a task, a step, a branch, or a whole run.

    Each is a str, equal to its word, and is written like it: in a message, in JSON, in
    a file.

    Examples
    --------
    >>> Status.COMPLETED == "COMPLETED", Status("FAILED") is Status.FAILED
    (True, True)
    """

    PENDING = "PENDING"
    """It has not begun."""
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    """It never began, and never will: what it waited for did not complete, or the run
    took another way."""
    CANCELLED = "CANCELLED"
    """It was asked to stop, or the run ended before it."""

    __repr__ = str.__repr__
    __hash__ = str.__hash__

    @property
    def is_final(self) -> bool:
        """Whether it stays so."""
        return self not in (Status.PENDING, Status.RUNNING)


FlowStatus = Status
"""Its name in ``fastflow``."""
