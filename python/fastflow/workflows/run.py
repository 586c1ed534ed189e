"""A run: from its admission to its result."""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import logging
import os
import threading
from collections.abc import Callable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from fastflow import _core, aio
from fastflow.errors import Cancelled, TaskError, TaskTimeout
from fastflow.timers import Clock, Timer
from fastflow.workflows.calls import Call, Done
from fastflow.workflows.context import Context, Token
from fastflow.workflows.line import Line
from fastflow.workflows.mailbox import Mailbox
from fastflow.workflows.options import CallOptions
from fastflow.workflows.places import Home, Places
from fastflow.workflows.program import Program
from fastflow.workflows.records import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    RunResult,
    StepRecord,
    Steps,
)

if TYPE_CHECKING:
    from fastflow.workflows.service import Service

__all__ = ["Actions", "Run"]

_LOGGER = logging.getLogger("fastflow")
_PLAIN = CallOptions()


class Actions:
    """Background actions that have not ended; of one run or of a whole workflow."""

    def __init__(self, outer: Actions | None = None) -> None:
        self._changed = threading.Condition()
        self._open: dict[Call, StepRecord] = {}
        self._outer = outer

    def add(self, call: Call, record: StepRecord) -> None:
        """Note one that starts."""
        with self._changed:
            self._open[call] = record
        if self._outer is not None:
            self._outer.add(call, record)

    def remove(self, call: Call, record: StepRecord) -> None:
        """Note one that has ended."""
        with self._changed:
            self._open.pop(call, None)
            self._changed.notify_all()
        if self._outer is not None:
            self._outer.remove(call, record)

    def wait(self, timeout: float | None) -> list[str]:
        """Wait until all have ended; return the names of those that have not."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout)
            return [record.name for record in self._open.values()]

    def cancel(self, now: float) -> None:
        """Cancel them."""
        with self._changed:
            still_open = list(self._open.items())
        for call, record in still_open:
            call.cancel()
            record.close(CANCELLED, None, now)
            self.remove(call, record)

    def records(self) -> list[StepRecord]:
        """Return the records of those that have not ended."""
        with self._changed:
            return list(self._open.values())


class Run:
    """One execution of a workflow; ``wf.start()`` returns it.

    All methods are thread-safe.

    Attributes
    ----------
    id : str
        Unique name of the run.
    workflow : str
        Name of the workflow.
    steps : Mapping of str to StepRecord
        As far as it has come.
    """

    def __init__(
        self,
        service: Service,
        program: Program,
        payload: Any,
        home: Home,
        places: Places,
        *,
        timeout: float | None = None,
        clock: Clock | None = None,
        mailbox: Mailbox | None = None,
        token: Token | None = None,
        done: Done | None = None,
    ) -> None:
        self.id = f"{service.name}-{os.urandom(6).hex()}"
        self.workflow = service.name
        self.status = PENDING
        self.steps = Steps(program.names)
        self.places = places
        self.clock = clock or service.clock
        self.mailbox = mailbox or Mailbox()
        self.actions = Actions(service.actions)
        self._service = service
        self._home = home
        self._timeout = timeout
        self._notify = done
        self._ctx = Context(
            self, payload, self.steps, service.state, service.global_state, Token(token)
        )
        self._line = Line(self, program, home, self._ctx, self._ended)
        self._lock = threading.Lock()
        self._over = False
        self._admitted = False
        self._timer: Timer | None = None
        self._since = self.clock.now()
        self._outcome: cf.Future[RunResult] | None = None
        self._result: RunResult | None = None
        self._error: BaseException | None = None

    @property
    def label(self) -> str:
        """The run in messages."""
        return f"run {self.id}"

    def begin(self) -> None:
        """Start as soon as the workflow's limits allow."""
        self._service.enter(self)
        if self._timeout is not None:
            timer = self.clock.call_later(self._timeout, self._expired)
            with self._lock:
                self._timer = timer
        if self._service.gate is None:
            self._go()
        else:
            self._service.gate.enter(self._go)

    def _go(self) -> None:
        with self._lock:
            self._admitted = True
            if self._over:
                return
            self.status = RUNNING
            line = self._line
        self._home.post(line.advance)

    # What comes from outside.

    def emit(self, event: str, payload: Any = None) -> None:
        """Deliver an event to ``wait_for_event``; it is kept until then."""
        self.mailbox.emit(event, payload)

    def resume(self, token: str, value: Any = None) -> None:
        """Answer ``human_in_the_loop``.

        Raises
        ------
        LookupError
            If nothing waits for this token: answered already, timed out, or unknown.
        """
        if self.done() or not self.mailbox.resume(token, value):
            raise LookupError(
                f"{self.label} does not wait for an answer to the token {token!r}: it "
                "is unknown, was used already, or its time was up"
            )

    @property
    def pauses(self) -> dict[str, str]:
        """Names of the steps that wait for an answer, by token."""
        return self.mailbox.pauses

    def cancel(self) -> bool:
        """Stop the run; False if it had ended already.

        Nothing starts from now on; coroutines are cancelled; functions on threads see
        it in ``ctx.cancelled``.
        """
        return self._abort(Cancelled(f"{self.label} was cancelled"))

    def done(self) -> bool:
        """Whether it has ended."""
        return self._result is not None

    def result(self, timeout: float | None = None) -> RunResult:
        """Wait for the end, and return the same as ``wf.run()`` does.

        Raises
        ------
        TaskError
            If a step failed; its exception is the ``__cause__``, what did finish is
            the ``.result``.
        TaskTimeout
            If the run's own time was up.
        concurrent.futures.CancelledError
            If it was cancelled.
        TimeoutError
            If it has not ended after `timeout` seconds; it goes on.
        """
        with self._lock:
            if self._result is None and self._outcome is None:
                self._outcome = cf.Future()
            outcome = self._outcome
        if outcome is not None and aio.is_loop_thread():
            raise RuntimeError(
                "result() would block the event loop that async steps need; wait in "
                "another thread: asyncio.to_thread(run.result)"
            )
        try:
            if outcome is not None:
                # On a worker, others may take this one's place meanwhile.
                with _core.Blocking():
                    outcome.result(timeout)
        except TimeoutError:
            raise TimeoutError(
                f"{self.label} has not ended within {timeout:g} s; it goes on"
            ) from None
        return self.outcome()

    def outcome(self) -> RunResult:
        """Return the result, or raise why there is none; the run must have ended."""
        result, error = self._result, self._error
        assert result is not None
        if error is None:
            return result
        if isinstance(error, Cancelled):
            raise cf.CancelledError(str(error) or f"{self.label} was cancelled")
        if isinstance(error, TaskError):
            raise error from error.__cause__
        raise error

    # How it ends.

    def _ended(self, error: BaseException | None, value: Any) -> None:
        if self._finish_first():
            self._call_hook(error, value)

    def _expired(self) -> None:
        self._abort(
            TaskTimeout(f"{self.label} did not finish within {self._timeout:g} s")
        )

    def _abort(self, error: BaseException) -> bool:
        if not self._finish_first():
            return False
        self._line.cancel()
        self.actions.cancel(self.clock.now())
        # The hook is a function of the user: not for the thread that aborts.
        self._home.post(self._call_hook, error, None)
        return True

    def _finish_first(self) -> bool:
        with self._lock:
            first = not self._over
            self._over = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return first

    def _call_hook(self, error: BaseException | None, value: Any) -> None:
        service, ctx = self._service, self._ctx
        hook = service.on_success if error is None else service.on_failure
        if hook is None or not isinstance(error, Exception | None):
            self._deliver(error, value)
            return
        ctx.error = error
        origin = self._line.origin
        if origin is not None and origin[0] is error:
            ctx.failed_step = origin[1]
        try:
            returned = hook(ctx)
            if type(returned) is CoroutineType:
                self.places.run_coroutine(
                    lambda future: self._hook_ended(future, error, value), returned
                )
                return
        except Exception:
            _LOGGER.exception("a hook of %s failed", self.label)
        self._deliver(error, value)

    def _hook_ended(
        self, future: cf.Future[Any], error: BaseException | None, value: Any
    ) -> None:
        if not future.cancelled() and future.exception() is not None:
            _LOGGER.error(
                "a hook of %s failed", self.label, exc_info=future.exception()
            )
        self._home.post(self._deliver, error, value)

    def _deliver(self, error: BaseException | None, value: Any) -> None:
        if error is None:
            status = COMPLETED
        else:
            status = CANCELLED if isinstance(error, Cancelled) else FAILED
            value = self._ctx.last
        if self._line.failed or self._line.stopped:
            self._close_records(CANCELLED if self._line.stopped else FAILED)
        self.steps.finish()
        duration = self.clock.now() - self._since
        shown = self._explain(error)
        result = RunResult(
            self.id, self.workflow, status, value, self.steps, duration, shown
        )
        if isinstance(shown, TaskError | TaskTimeout):
            shown.result = result
        self._error = shown
        with self._lock:
            self.status = status
            self._result = result
            outcome = self._outcome
        del self._line, self._ctx  # they refer to the run; it's freed at once
        self._service.leave(self, self._admitted, self._go)
        if self._notify is not None:
            self._notify(shown, value)
        if outcome is not None:
            outcome.set_result(result)

    def _close_records(self, status: str) -> None:
        background = {id(record) for record in self.actions.records()}
        now = self.clock.now()
        for name in self.steps:
            record = self.steps[name]
            if record.status == RUNNING and id(record) not in background:
                record.close(status, None, now)

    def _explain(self, error: BaseException | None) -> BaseException | None:
        """Wrap what a step has raised, so that it says which step it was."""
        origin = self._line.origin
        if not isinstance(error, Exception) or origin is None or origin[0] is not error:
            return error
        name = origin[1]
        wrapped = TaskError(
            f"step {name!r} of workflow {self.workflow!r} failed: "
            f"{type(error).__name__}: {error}",
            name,
        )
        wrapped.__cause__ = error
        return wrapped

    # What its lines need.

    def make_call(
        self,
        name: str,
        fn: Callable[..., Any],
        ctx: Context,
        args: tuple[Any, ...],
        done: Done,
        options: CallOptions = _PLAIN,
        home: Home | None = None,
        context: contextvars.Context | None = None,
    ) -> Call:
        """Return a call that belongs to this run."""
        return Call(
            name, fn, ctx, args, done,
            places=self.places, clock=self.clock, options=options, home=home,
            context=context or contextvars.copy_context(),
        )  # fmt: skip

    def child(self, workflow: Any, payload: Any, line: Line, done: Done) -> _Child:
        """Return a run of another workflow as a part of this one."""
        service: Service = workflow.service
        return _Child(
            service, workflow.program(), payload, line.home, self.places,
            timeout=service.timeout, clock=self.clock, mailbox=self.mailbox,
            token=line.ctx._token, done=done,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<run {self.id} {self.status}>"


class _Child(Run):
    """A run inside of another one; it is an operation that the outer line waits for."""

    def cancel(self) -> bool:
        """Stop; nobody is told, as the outer line does not wait any more."""
        self._notify = None
        return super().cancel()
