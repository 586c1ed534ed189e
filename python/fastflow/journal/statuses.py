"""What AWS's words for the states of things mean in this package's own."""

from __future__ import annotations

from enum import Enum, StrEnum

from fastflow.run.status import Status

__all__ = ["ExecutionStatus", "WithFlowStatus", "flow_status"]

_MEANING = {
    "READY": Status.PENDING,
    "RETRY": Status.PENDING,
    "STARTED": Status.RUNNING,
    "SUCCEEDED": Status.COMPLETED,
    "TIMED_OUT": Status.FAILED,
    "STOPPED": Status.CANCELLED,
    "INTERRUPTED": Status.PENDING,
}


def flow_status(word: str) -> Status:
    """Return the `Status` that a word of AWS's, or one of our own, means.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> flow_status("SUCCEEDED"), flow_status("FAILED")
    ('COMPLETED', 'FAILED')
    """
    return _MEANING.get(word) or Status(word)


class WithFlowStatus(Enum):
    """An enumeration of states with the names that AWS gives them."""

    @property
    def flow_status(self) -> Status:
        """What it is called in flows."""
        return flow_status(self.value)


class ExecutionStatus(StrEnum):
    """States of an execution; the journal keeps all but the last one."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    INTERRUPTED = "INTERRUPTED"
    """Unfinished, and nobody runs it: it can be resumed."""

    __repr__ = str.__repr__
    __hash__ = str.__hash__

    @property
    def flow_status(self) -> Status:
        """What it is called in flows."""
        return flow_status(self)
