"""When a fan-out is complete: one frozen policy, asked after each outcome.

First-failure, settle and race are policies with other numbers, and so is what users of
durable batches write down as a ``CompletionConfig``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

__all__ = ["CompletionPolicy", "CompletionReason"]


class CompletionReason(Enum):
    """Why a batch was complete."""

    ALL_COMPLETED = "ALL_COMPLETED"
    MIN_SUCCESSFUL_REACHED = "MIN_SUCCESSFUL_REACHED"
    FAILURE_TOLERANCE_EXCEEDED = "FAILURE_TOLERANCE_EXCEEDED"
    CUSTOM_COMPLETION_SUCCEEDED = "CUSTOM_COMPLETION_SUCCEEDED"
    CUSTOM_COMPLETION_FAILED = "CUSTOM_COMPLETION_FAILED"


@dataclass(frozen=True, slots=True)
class CompletionPolicy:
    """The rules of one fan-out.

    Parameters
    ----------
    total : float
        Branches; infinite if that is not known before.
    min_successful : int, optional
        So many successes are enough.
    tolerated_failure_count : int, optional
        More failures are too many.
    tolerated_failure_percentage : float, optional
        A higher share of all branches is too much.

    Notes
    -----
    With no rule at all, one failure is too many.
    """

    total: float = math.inf
    min_successful: int | None = None
    tolerated_failure_count: int | None = None
    tolerated_failure_percentage: float | None = None

    @classmethod
    def fail_fast(cls) -> CompletionPolicy:
        """The first failure ends it."""
        return cls()

    @classmethod
    def settle(cls) -> CompletionPolicy:
        """All come to their ends."""
        return cls(tolerated_failure_percentage=100)

    @classmethod
    def first_successful(cls) -> CompletionPolicy:
        """One success is enough; failures don't matter."""
        return cls(min_successful=1)

    @classmethod
    def first(cls) -> CompletionPolicy:
        """One outcome is enough, of whichever kind."""
        return cls(total=1)

    def tolerance_exceeded(self, failed: int) -> bool:
        """Whether so many failures are too many."""
        count, share = self.tolerated_failure_count, self.tolerated_failure_percentage
        if count is None and share is None and self.min_successful is None:
            return failed > 0
        if count is not None and failed > count:
            return True
        # Not failed / total * 100: that is 7.000000000000001 for 7 of 100.
        return share is not None and failed * 100 > share * self.total

    def decide(self, succeeded: int, failed: int) -> CompletionReason | None:
        """Return why the fan-out is complete, or None if it is not."""
        if failed and self.tolerance_exceeded(failed):
            return CompletionReason.FAILURE_TOLERANCE_EXCEEDED
        if succeeded + failed >= self.total:
            return CompletionReason.ALL_COMPLETED
        if self.min_successful is not None and succeeded >= self.min_successful:
            return CompletionReason.MIN_SUCCESSFUL_REACHED
        return None
