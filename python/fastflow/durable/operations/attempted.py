"""Operations that call a function, in as many attempts as are wanted.

They host the machine of `fastflow.run.attempts`: it decides, they record what it
decides and wait for it.  The first attempt of an operation that nothing is known of
needs no machine, which begins with the first failure, and goes on from the record of
the last one when the replay, or another process, comes back.
"""

from __future__ import annotations

from typing import Any

from fastflow.base import recorders
from fastflow.durable.exceptions import StepInterruptedError
from fastflow.durable.operations.operation import Operation
from fastflow.durable.operations.wait import rest_until
from fastflow.durable.runtime.failures import is_fatal, leaves_unfinished
from fastflow.journal.records import RETRYING, Record
from fastflow.run.attempts import Attempts, Do, Retry
from fastflow.run.inline import carry_out

__all__ = ["Attempted", "Outcome"]

Outcome = tuple[Any, BaseException | None]
"""A function's value and None, or None and its exception."""


class Attempted(Operation):
    """An operation that is a job: one call, with its attempts."""

    __slots__ = ()

    is_job = True
    at_most_once = False
    """Whether it is recorded that an attempt begins."""

    # For the kinds

    def retry(self) -> Retry | None:
        """Return what decides on further attempts."""
        raise NotImplementedError

    def attempt_now(self, attempt: int) -> Outcome:
        """Make an attempt, or go on waiting for it."""
        raise NotImplementedError

    def keep_retrying(self, attempts: Attempts, due: int) -> None:
        """Record that there is another attempt, and when."""
        assert attempts.error is not None
        self.context._replay.retrying(self, attempts.count, attempts.error, due)

    def succeed(self, value: Any, attempt: int) -> Any:
        """Record the value; return it as a replay sees it."""
        replay = self.context._replay
        value = replay.ended(self, attempt, value)
        if recorders.RECORDERS or replay.execution.runtime.has_subscribers:
            self.tell_ended(attempt, None)
        return value

    # The host

    def advance(self, record: Record | None) -> Any:
        """Make attempts until one succeeds or there is to be no other."""
        if record is None:  # the fast road
            value, error = self.attempt_now(1)
            if error is None:
                return self.succeed(value, 1)
            attempts = self._resumed(1, sent=True)
            action = _told(attempts, value, error)
        elif record.action == RETRYING:
            rest_until(self, record)
            attempts = self._resumed(record.attempt, sent=False)
            action = attempts.due()
        else:
            attempts = self._resumed(record.attempt, sent=True)
            action = self._found_begun(attempts)
        carry_out(attempts, action, self._call, self._rest)
        if attempts.succeeded:
            return self.succeed(attempts.value, attempts.count)
        return self._fail(attempts)

    def _resumed(self, count: int, *, sent: bool) -> Attempts:
        attempts = Attempts(self.retry())
        attempts.resume(count, sent=sent)
        return attempts

    def _found_begun(self, attempts: Attempts) -> Do:
        """Go on with an attempt of which there is no end in the journal."""
        if self.id in self.context._replay.pending:  # it is on its way
            return self._call(attempts)
        # Begun by a process that died before it could say how it ended.
        interrupted = StepInterruptedError(
            f"attempt {attempts.count} of {self.describe_now()} was interrupted; "
            "whether it took effect is not known"
        )
        return _told(attempts, None, interrupted)

    def _call(self, attempts: Attempts) -> Do:
        return _told(attempts, *self.attempt_now(attempts.count))

    def _rest(self, attempts: Attempts) -> None:
        runtime = self.context._replay.execution.runtime
        due = runtime.now_us() + round(attempts.pause * 1e6)
        self.keep_retrying(attempts, due)
        if runtime.events is not None:
            assert attempts.error is not None
            runtime.events.job_retrying(self.job_key(), attempts.count, attempts.error)
        rest_until(self, due=due)

    def _fail(self, attempts: Attempts) -> Any:
        error = attempts.error
        assert error is not None
        if leaves_unfinished(error):
            raise error
        assert isinstance(error, Exception)
        replay = self.context._replay
        try:
            return replay.ended(self, attempts.count, None, error)
        except self.error_kind:
            self.tell_ended(attempts.count, error)
            raise

    def tell_ended(self, attempt: int, error: Exception | None) -> None:
        """Tell subscribers that it is over."""
        events = self.context._replay.execution.runtime.events
        if events is not None:
            events.job_ended(self.job_key(), attempt, error)


def _told(attempts: Attempts, value: Any, error: BaseException | None) -> Do:
    """Tell the machine how the live attempt has ended."""
    if error is None:
        return attempts.returned(attempts.live, value)
    return attempts.raised(attempts.live, error, final=is_fatal(error))
