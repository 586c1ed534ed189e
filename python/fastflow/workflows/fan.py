"""Many branches at a time: the operation behind parallel, race, for_each and batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from fastflow.errors import TaskTimeout
from fastflow.timers import Timer
from fastflow.workflows.calls import Done
from fastflow.workflows.records import StepRecord

if TYPE_CHECKING:
    from fastflow.workflows.line import Line

__all__ = ["AllSettled", "AllSucceeded", "Branch", "Fan", "FirstOf", "Policy"]

#: Branches in flight where no max_concurrency is given: enough for any pool and many
#: sockets, and a million items don't become a million objects.
WINDOW = 10_000


class Branch(Protocol):
    """A part of a run that ends with ``done(error, value)``, unless cancelled."""

    def start(self) -> None:
        """Begin."""

    def cancel(self) -> None:
        """Stop; ``done`` won't be called."""


Make = Callable[[int, Any, Done], Branch]


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
        error.add_note(f"in {self._describe(index)}")
        self._error = error
        return True

    def outcome(self) -> list[Any]:
        """Return the values, or raise the failure."""
        if self._error is not None:
            raise self._error
        return self._values


class AllSettled:
    """Values in order, with exceptions in the places of failed branches."""

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._signal: BaseException | None = None

    def opened(self) -> None:
        """Make a place for the value."""
        self._values.append(None)

    def closed(self, index: int, error: BaseException | None, value: Any) -> bool:
        """Keep either; what is no Exception ends it all."""
        if error is not None and not isinstance(error, Exception):
            self._signal = error
            return True
        self._values[index] = value if error is None else error
        return False

    def outcome(self) -> list[Any]:
        """Return values and exceptions."""
        if self._signal is not None:
            raise self._signal
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
            error.add_note(f"in {self._describe(index)}")
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


class Fan:
    """Starts branches as the limit allows, and resumes the line when it's decided.

    Branches are made from items one after another, in order; each time one ends there
    is room for the next.  Outcomes may come from any thread.

    Parameters
    ----------
    line : Line
        Resumed with ``finish(value)``.
    items : iterator
        What the branches are made of; may be endless if the limit is given.
    make : callable
        ``make(index, item, done)`` returns a branch.
    policy : Policy
        Decides.
    limit : int
        Branches at a time.
    finish : callable
        ``finish(value)`` returns the line's next instruction.
    """

    def __init__(
        self,
        line: Line,
        items: Iterator[Any],
        make: Make,
        policy: Policy,
        limit: int | None,
        finish: Callable[[Any], int],
    ) -> None:
        self._line = line
        self._items = items
        self._make = make
        self._policy = policy
        self._limit = limit or WINDOW
        self._finish = finish
        self._lock = threading.Lock()
        self._branches: dict[int, Branch] = {}
        self._started = 0
        self._running = 0
        self._admitting = False
        self._exhausted = False
        self._over = False
        self._timer: Timer | None = None

    def start(self, timeout: float | None, what: str) -> None:
        """Begin; the line must be suspended already."""
        if timeout is not None:
            error = TaskTimeout(f"{what} did not finish within {timeout:g} s")
            timer = self._line.run.clock.call_later(timeout, self._fail, error)
            with self._lock:
                self._timer = timer
        self._admit()

    def cancel(self) -> None:
        """Cancel the branches; the line won't be resumed."""
        if self._end():
            self._clean_up()

    def _admit(self) -> None:
        """Start branches while there is room.  One thread at a time does this."""
        with self._lock:
            if self._admitting:
                return
            self._admitting = True
        while True:
            with self._lock:
                if self._over or self._exhausted or self._running >= self._limit:
                    self._admitting = False
                    return
                self._running += 1
            try:
                item = next(self._items)
            except StopIteration:
                self._ended()
                return
            except BaseException as error:
                self._fail(error)
                return
            self._open(item)

    def _open(self, item: Any) -> None:
        index = self._started
        self._started += 1
        with self._lock:
            self._policy.opened()
        try:
            branch = self._make(
                index, item, lambda error, value: self._closed(index, error, value)
            )
        except BaseException as error:
            self._fail(error)
            return
        with self._lock:
            self._branches[index] = branch
        branch.start()
        if self._over:
            branch.cancel()  # decided while it was being made

    def _ended(self) -> None:
        """Note that there are no more items."""
        with self._lock:
            self._running -= 1
            self._exhausted = True
            self._admitting = False
            all_done = self._running == 0
        if all_done:
            self._decide()

    def _closed(self, index: int, error: BaseException | None, value: Any) -> None:
        with self._lock:
            if self._over:
                return
            self._branches.pop(index, None)
            self._running -= 1
            enough = self._policy.closed(index, error, value)
            enough = enough or (self._exhausted and self._running == 0)
        if enough:
            self._decide()
        else:
            self._admit()

    def _end(self) -> bool:
        """Whether this is the call that ends it."""
        with self._lock:
            first = not self._over
            self._over = True
            return first

    def _clean_up(self) -> None:
        with self._lock:
            timer, self._timer = self._timer, None
            branches = list(self._branches.values())
            self._branches.clear()
        if timer is not None:
            timer.cancel()
        for branch in branches:
            branch.cancel()

    def _decide(self) -> None:
        if self._end():
            self._clean_up()
            finish, outcome = self._finish, self._policy.outcome
            self._line.resume(lambda: finish(outcome()))

    def _fail(self, error: BaseException) -> None:
        if self._end():
            self._clean_up()

            def fail() -> int:
                raise error

            self._line.resume(fail)
