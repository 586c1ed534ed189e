"""What has become of the branches of a fan-out: enough of them, and its value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fastflow.errors import add_note
from fastflow.run.completion import CompletionPolicy
from fastflow.workflows.records import StepRecord

__all__ = ["Outcomes", "RaceOutcomes"]


class Outcomes:
    """Values in the order of the branches, or their failures.

    What is no Exception ends the fan-out at once, whatever its policy is. Its methods
    are called in turn, by whoever holds the lock of the fan-out.

    Parameters
    ----------
    policy : CompletionPolicy
        When they are enough.
    describe : callable, optional
        Branch -> what errors call it. Without it, exceptions take the places of the
        values of failed branches.
    """

    def __init__(
        self, policy: CompletionPolicy, describe: Callable[[int], str] | None = None
    ) -> None:
        self._policy = policy
        self._describe = describe
        self._values: list[Any] = []
        self._failures: dict[int, BaseException] = {}
        self._succeeded = self._failed = 0
        # Else the fan-out itself knows when all have ended.
        self._counts = policy.min_successful is not None or policy.total < math.inf

    def opened(self) -> None:
        """Make a place for the value of one more branch."""
        self._values.append(None)

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Note an outcome; whether the others don't matter any more."""
        if error is None:
            self._values[index] = value
            if not self._counts:
                return False
            self._succeeded += 1
            return self._enough()
        self._failed += 1
        if self._describe is not None:
            add_note(error, f"in {self._describe(index)}")
        elif isinstance(error, Exception):
            self._values[index] = error
            return False
        self._failures[index] = error
        if not isinstance(error, Exception):
            self._failures = {index: error}
            return True
        return self._enough()

    def _enough(self) -> bool:
        return self._policy.decide(self._succeeded, self._failed) is not None

    def outcome(self) -> Any:
        """Return the value of the whole, or raise; once decided or all have ended."""
        failures = self._in_order()
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup(  # type: ignore[type-var]
                f"{len(failures)} of {len(self._values)} branches failed", failures
            )
        return self._values

    def _in_order(self) -> list[BaseException]:
        return [self._failures[index] for index in sorted(self._failures)]


class RaceOutcomes(Outcomes):
    """The outcome of the branch that decided.

    Raises
    ------
    ExceptionGroup
        With all failures, in the order of the branches, if none did.
    """

    def __init__(
        self,
        policy: CompletionPolicy,
        describe: Callable[[int], str],
        record: StepRecord,
    ) -> None:
        super().__init__(policy, describe)
        self._record = record

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Note the winner."""
        decided = super().closed(index, error, value)
        if decided:
            self._record.winner = index
        return decided

    def outcome(self) -> Any:
        """Return the winner's value, or raise."""
        winner = self._record.winner
        if winner is None:
            raise ExceptionGroup(  # type: ignore[type-var]
                f"all branches of {self._record.name!r} failed", self._in_order()
            )
        if winner in self._failures:
            raise self._failures[winner]
        return self._values[winner]
