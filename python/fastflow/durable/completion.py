"""When a batch is complete: one frozen policy, asked after each event.

In this order: too many failures; the predicate; all have ended; enough have succeeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fastflow.durable.exceptions import ValidationError
from fastflow.durable.runtime.failures import leaves_unfinished
from fastflow.errors import shown
from fastflow.journal.statuses import WithFlowStatus
from fastflow.run import completion
from fastflow.run.completion import CompletionReason

__all__ = [
    "BatchItemStatus",
    "CompletionDecision",
    "CompletionItemStatus",
    "CompletionOutcome",
    "CompletionPolicy",
    "CompletionReason",
    "CompletionStatus",
    "complete_batch",
    "continue_batch",
]


class BatchItemStatus(WithFlowStatus):
    """What has become of a branch, or of a whole batch."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    STARTED = "STARTED"


class CompletionOutcome(WithFlowStatus):
    """What a predicate says of the batch that it ends."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


@dataclass(frozen=True)
class CompletionDecision:
    """What a predicate returns; made by `continue_batch` and `complete_batch`."""

    complete: bool
    outcome: CompletionOutcome | None = None

    def __post_init__(self) -> None:
        if self.complete != (self.outcome is not None):
            raise ValidationError(
                "a decision to complete has an outcome, one to continue has none; use "
                "complete_batch() or continue_batch()"
            )


def continue_batch() -> CompletionDecision:
    """Let the batch go on."""
    return CompletionDecision(complete=False)


def complete_batch(
    outcome: CompletionOutcome = CompletionOutcome.SUCCEEDED,
) -> CompletionDecision:
    """End the batch, as a success or a failure."""
    return CompletionDecision(complete=True, outcome=outcome)


@dataclass(frozen=True)
class CompletionItemStatus:
    """A branch, as a predicate sees it; status None: not begun."""

    index: int
    name: str | None = None
    status: BatchItemStatus | None = None


class CompletionStatus:
    """How far a batch is, as a predicate sees it.

    Attributes
    ----------
    success_count, failure_count, completed_count, total_count : int
    items : tuple of CompletionItemStatus
        All branches in their order; made when it is asked for.
    """

    __slots__ = ("_items", "_make", "failure_count", "success_count", "total_count")

    def __init__(
        self,
        success_count: int,
        failure_count: int,
        total_count: int,
        make_items: Callable[[], tuple[CompletionItemStatus, ...]] = tuple,
    ) -> None:
        self.success_count = success_count
        self.failure_count = failure_count
        self.total_count = total_count
        self._make = make_items
        self._items: tuple[CompletionItemStatus, ...] | None = None

    @property
    def completed_count(self) -> int:
        """Branches that have ended."""
        return self.success_count + self.failure_count

    @property
    def items(self) -> tuple[CompletionItemStatus, ...]:
        """All branches in their order."""
        if self._items is None:
            self._items = self._make()
        return self._items

    def __repr__(self) -> str:
        return (
            f"CompletionStatus(success_count={self.success_count}, "
            f"failure_count={self.failure_count}, total_count={self.total_count})"
        )


class Criteria(Protocol):
    """What a `fastflow.durable.config.CompletionConfig` says."""

    @property
    def min_successful(self) -> int | None:
        """Branches that have to succeed."""

    @property
    def tolerated_failure_count(self) -> int | None:
        """Branches that may fail."""

    @property
    def tolerated_failure_percentage(self) -> float | None:
        """Of all branches, how many may fail."""

    @property
    def should_complete(self) -> Callable[[CompletionStatus], Any] | None:
        """What decides in place of all these."""


@dataclass(frozen=True, slots=True)
class CompletionPolicy(completion.CompletionPolicy):
    """The rules of one batch of `total` branches; a predicate decides alone."""

    should_complete: Callable[[CompletionStatus], Any] | None = None

    @classmethod
    def from_config(cls, total: int, config: Criteria) -> CompletionPolicy:
        """Return the rules that a configuration makes for `total` branches."""
        return cls(
            total,
            config.min_successful,
            config.tolerated_failure_count,
            config.tolerated_failure_percentage,
            config.should_complete,
        )

    def decide(
        self,
        succeeded: int,
        failed: int,
        items: Callable[[], tuple[CompletionItemStatus, ...]] = tuple,
    ) -> CompletionReason | None:
        """Return why the batch is complete, or None if it is not.

        Parameters
        ----------
        items : callable
            Makes the branches for a predicate that asks for them.

        Raises
        ------
        ValidationError
            If the predicate raises, or returns something else than a decision.
        """
        if self.should_complete is None:
            return completion.CompletionPolicy.decide(self, succeeded, failed)
        outcome = self._ask(succeeded, failed, items)
        if outcome is CompletionOutcome.FAILED:
            return CompletionReason.CUSTOM_COMPLETION_FAILED
        if outcome is CompletionOutcome.SUCCEEDED:
            return CompletionReason.CUSTOM_COMPLETION_SUCCEEDED
        if succeeded + failed >= self.total:
            return CompletionReason.ALL_COMPLETED
        return None

    def _ask(
        self,
        succeeded: int,
        failed: int,
        items: Callable[[], tuple[CompletionItemStatus, ...]],
    ) -> CompletionOutcome | None:
        assert self.should_complete is not None
        status = CompletionStatus(succeeded, failed, int(self.total), items)
        try:
            decision = self.should_complete(status)
        except BaseException as error:
            if leaves_unfinished(error):
                raise
            raise ValidationError(
                f"should_complete raised {shown(error)}, asked about {status!r}"
            ) from error
        if not isinstance(decision, CompletionDecision):
            raise ValidationError(
                "should_complete must return continue_batch() or complete_batch(), not "
                f"{decision!r}"
            )
        return decision.outcome
