"""When a fan-out is decided, and what its value is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fastflow.errors import add_note
from fastflow.workflows.records import StepRecord

__all__ = ["AllSettled", "AllSucceeded", "FirstOf", "Policy"]


class Policy(Protocol):
    """Decides from the outcomes of the branches when it's enough; called in turn."""

    def opened(self) -> None:
        """Note that one more branch has started."""

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Note an outcome; whether the others don't matter any more."""

    def outcome(self) -> Any:
        """Return the value of the whole, or raise; once decided or all have ended."""


class AllSucceeded:
    """Values in order; the first failure ends it."""

    def __init__(self, describe: Callable[[int], str]) -> None:
        self._values: list[Any] = []
        self._error: BaseException | None = None
        self._describe = describe

    def opened(self) -> None:
        """Make a place for the value."""
        self._values.append(None)

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Keep the value, or the failure."""
        if error is None:
            self._values[index] = value
            return False
        add_note(error, f"in {self._describe(index)}")
        self._error = error
        return True

    def outcome(self) -> list[Any]:
        """Return the values, or raise the failure."""
        if self._error is not None:
            raise self._error
        return self._values


class AllSettled:
    """Values in order, with exceptions in the places of failed branches.

    Parameters
    ----------
    describe : callable, optional
        Branch -> what errors call it.  If it's given, failures are raised in the end:
        one as it is, several as an ExceptionGroup.
    """

    def __init__(self, describe: Callable[[int], str] | None = None) -> None:
        self._values: list[Any] = []
        self._failures: dict[int, Exception] = {}
        self._describe = describe
        self._signal: BaseException | None = None

    def opened(self) -> None:
        """Make a place for the value."""
        self._values.append(None)

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Keep either; what is no Exception ends it all."""
        if error is not None and not isinstance(error, Exception):
            self._signal = error
            return True
        if error is not None and self._describe is not None:
            add_note(error, f"in {self._describe(index)}")
            self._failures[index] = error
        self._values[index] = value if error is None else error
        return False

    def outcome(self) -> list[Any]:
        """Return values and exceptions, or raise."""
        if self._signal is not None:
            raise self._signal
        failures = [self._failures[index] for index in sorted(self._failures)]
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup(
                f"{len(failures)} of {len(self._values)} branches failed", failures
            )
        return self._values


class FirstOf:
    """The first success, or the first outcome of any kind.

    Raises
    ------
    ExceptionGroup
        With all failures, in the order of the branches, if none succeeds.
    """

    def __init__(
        self, record: StepRecord, describe: Callable[[int], str], settled: bool
    ) -> None:
        self._record = record
        self._describe = describe
        self._settled = settled
        self._failures: dict[int, BaseException] = {}
        self._value: Any = None

    def opened(self) -> None:
        """Nothing to note."""

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Keep the winner's value."""
        if error is not None:
            add_note(error, f"in {self._describe(index)}")
            self._failures[index] = error
        else:
            self._value = value
        if error is None or self._settled or not isinstance(error, Exception):
            self._record.winner = index
            return True
        return False

    def outcome(self) -> Any:
        """Return the winner's value, or raise."""
        winner = self._record.winner
        if winner is not None:
            if winner in self._failures:
                raise self._failures[winner]
            return self._value
        failures = [
            self._failures[index]
            for index in sorted(self._failures)
            if isinstance(self._failures[index], Exception)
        ]
        raise ExceptionGroup(f"all branches of {self._record.name!r} failed", failures)  # type: ignore[type-var]
