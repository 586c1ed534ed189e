"""A run: from its admission to its result."""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from fastflow import _core
from fastflow.base import aio, recorders
from fastflow.base.durations import Time, wait_of
from fastflow.base.interrupts import ENDS_PROGRAM, wait_until
from fastflow.base.timers import Clock, Timer
from fastflow.errors import Cancelled, TaskError, TaskTimeout, task_error
from fastflow.pool.dispatch import after_limit
from fastflow.run.events import LISTENING, Events, JobKey, RunAbout
from fastflow.run.job_spans import JobSpans, joined
from fastflow.run.scope import Scope
from fastflow.workflows.actions import Actions
from fastflow.workflows.context import Context
from fastflow.workflows.dispatch import Home, Places
from fastflow.workflows.fiber import Fiber, fiber_of
from fastflow.workflows.hooks import HookCall
from fastflow.workflows.inbox import Inbox
from fastflow.workflows.jobs import Done, StepJob
from fastflow.workflows.options import CallOptions
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
from fastflow.workflows.shared import Shared

__all__ = ["Run"]

_PLAIN = CallOptions()

_HOOK_TIME = 1.0
"""Seconds that a hook has at least, once the run's time is up."""

_Outcome = tuple[BaseException | None, Any]


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
        shared: Shared,
        program: Program,
        payload: Any,
        home: Home,
        places: Places,
        *,
        timeout: float | None = None,
        clock: Clock | None = None,
        inbox: Inbox | None = None,
        token: Scope | None = None,
        done: Done | None = None,
        actions: Actions | None = None,
        shares_home: bool = False,
        parent: int = 0,
    ) -> None:
        self.id = f"{shared.name}-{os.urandom(6).hex()}"
        self.workflow = shared.name
        self.events = LISTENING.get()
        self.spans: JobSpans | None = None
        if recorders.RECORDERS:
            number = recorders.begin_run(shared.name, "workflow", parent)
            self.spans = JobSpans(number, item=_item)
        self.status = PENDING
        self.steps = Steps(program.names)
        self.places = places
        self.clock = clock or shared.clock
        self.since = self.clock.now()
        self.started = time.time()
        self.inbox = inbox or Inbox()
        outer = () if actions is None else (actions,)
        self.actions = Actions(shared.actions, *outer)
        self._shared = shared
        self._home = home
        self._shares_home = shares_home
        self._timeout = timeout
        self._context = _core.task_context()
        self.apart = _core.ContextPerCall().run
        self._notify = done
        ctx = Context(
            self, payload, self.steps, shared.state, shared.global_state, Scope(token)
        )
        # It refers to the run; dropped at the end, so that the run is freed at once.
        self._fiber: Fiber | None = fiber_of(self, program, home, ctx, self._ended)
        self._lock = threading.Lock()
        self._decided: _Outcome | None = None
        self._hook: HookCall | None = None  # from then on until the delivery
        self._entered = False  # completely: what delivers it lets it leave, too
        self._delivered = False  # before that
        self._admitted = False
        self._timer: Timer | None = None
        self._told = False  # everybody who waited for the result
        self._waited_for: threading.Event | None = None
        self._result: RunResult | None = None
        self._error: BaseException | None = None

    @property
    def label(self) -> str:
        """The run in messages."""
        return f"run {self.id}"

    def begin(self) -> None:
        """Start as soon as the workflow's limits allow, unless it has been stopped."""
        with self._lock:
            if self._decided is not None:
                return  # what it is a part of was stopped before
        self._shared.enter(self)
        if self.events is not None:
            self.events.run_started(self.id, RunAbout("workflow", self.workflow))
        try:
            if self._timeout is not None:
                timer = self.clock.call_later(self._timeout, self._expired)
                with self._lock:
                    self._timer = timer
            if self._shared.gate is None:
                self._go()
            else:
                self._shared.gate.enter(self._go)
        finally:
            with self._lock:
                self._entered = True
                delivered, late = self._delivered, self._timer
            if delivered:  # stopped from outside meanwhile
                if late is not None:
                    late.cancel()
                self._shared.leave(self, self._admitted, self._go)

    def _leave(self) -> None:
        """Leave, unless the run has not entered completely; then `begin` sees to it."""
        with self._lock:
            entered = self._entered
            self._delivered = not entered
        if entered:
            self._shared.leave(self, self._admitted, self._go)

    def _go(self) -> None:
        with self._lock:
            self._admitted = self._entered = True
            fiber = self._fiber
            if self._decided is not None or fiber is None:
                return
            self.status = RUNNING
        self._home.post(fiber.advance)

    # What comes from outside.

    def emit(self, event: str, payload: Any = None) -> None:
        """Deliver an event to ``wait_for_event``; it is kept until then."""
        self.inbox.emit(event, payload)

    def resume(self, token: str, value: Any = None) -> None:
        """Answer ``human_in_the_loop``.

        Raises
        ------
        LookupError
            If nothing waits for this token: answered already, timed out, or unknown.
        """
        if self.done() or not self.inbox.resume(token, value):
            raise LookupError(
                f"{self.label} does not wait for an answer to the token {token!r}: it "
                "is unknown, was used already, or its time was up"
            )

    @property
    def pauses(self) -> dict[str, str]:
        """Names of the steps that wait for an answer, by token."""
        return self.inbox.pauses

    def cancel(self) -> bool:
        """Stop the run; False if it had ended already.

        Nothing starts from now on; coroutines are cancelled; functions on threads see
        it in ``ctx.cancelled``.  A hook that goes on after the end of the steps is
        stopped likewise, and what became of the run stays as it is.
        """
        return self._abort(Cancelled(f"{self.label} was cancelled"))

    def done(self) -> bool:
        """Whether it has ended."""
        return self._result is not None

    def result(self, timeout: Time | None = None) -> RunResult:
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
            If it has not ended after `timeout`; it goes on.
        """
        seconds = wait_of(timeout)
        if not self.wait(seconds):
            raise TimeoutError(
                f"{self.label} has not ended within {seconds:g} s; it goes on"
            )
        return self.outcome()

    def wait(self, timeout: Time | None = None) -> bool:
        """Wait for the end; False if it has not come after `timeout`."""
        seconds = wait_of(timeout)
        with self._lock:
            if self._told:
                return True
            if self._waited_for is None:
                self._waited_for = threading.Event()
            ended = self._waited_for
        if aio.is_loop_thread():
            raise RuntimeError(
                "result() would block the event loop that async steps need; wait in "
                "another thread: asyncio.to_thread(run.result)"
            )
        return wait_until(ended.wait, seconds)

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

    # How it ends: the outcome is decided once, then the hook is called, if there is
    # one, then the result is delivered.

    def _ended(self, error: BaseException | None, value: Any) -> None:
        if self._decide(error, value) is None:
            return
        hook = self._hook
        if hook is None:
            self._deliver()
        else:
            hook.make()

    def _expired(self) -> None:
        with after_limit():
            self._abort(
                TaskTimeout(f"{self.label} did not finish within {self._timeout:g} s")
            )

    def _abort(self, error: BaseException) -> bool:
        fiber = self._decide(error, None, stop=True)
        hook = self._hook
        if fiber is not None:
            fiber.cancel()
            self.actions.cancel(self.clock.now())
        if hook is None:
            self._deliver()
        elif fiber is None:
            hook.stop()
        else:
            # A function of the user: not for the thread that aborts, and no thread of
            # the run may be free.  The run's time is up, so the hook has its own.
            seconds = max(self._timeout or 0.0, _HOOK_TIME)
            hook.make_apart(self._context, self.clock, seconds)
        return fiber is not None

    def _decide(
        self, error: BaseException | None, value: Any, *, stop: bool = False
    ) -> Fiber | None:
        """Return the fiber if this is the outcome, None if there was one already."""
        with self._lock:
            fiber = self._fiber
            if self._decided is not None or fiber is None:
                return None
            self._decided = (error, value)
            if stop:
                fiber.stop()  # now: another one that aborts may deliver first
            fn = self._shared.hook(error)
            if fn is not None:
                # That the run was stopped doesn't mean that its hook is to stop.
                ctx = fiber.ctx.branch(Scope())
                ctx.error = error
                if fiber.origin is not None and fiber.origin[0] is error:
                    ctx.failed_step = fiber.origin[1]
                self._hook = HookCall(
                    fn, ctx, self.label, self.places, self._home, self._deliver
                )
            return fiber

    def _deliver(self) -> None:
        """Publish the result and tell everybody; only the first call does anything."""
        with self._lock:
            fiber, self._fiber = self._fiber, None
            timer, self._timer = self._timer, None
            self._hook = None
        if fiber is None:
            return
        last = None
        try:
            if timer is not None:
                timer.cancel()
            last = self._publish(fiber)
        except BaseException as error:  # Ctrl-C, at this very point
            self._home.error = error
            last = self._publish(fiber)
            raise
        finally:
            self._tell(last)

    def _tell(self, last: Any) -> None:
        """Leave, and tell everybody who waits."""
        try:
            self._leave()
        finally:
            if self._notify is not None:
                self._notify(self._error, last)
            with self._lock:
                self._told = True
                ended = self._waited_for
            if ended is not None:
                ended.set()
            if not self._shares_home:
                self._home.run_ended()

    def _publish(self, fiber: Fiber) -> Any:
        assert self._decided is not None
        error, last = self._decided
        status = COMPLETED
        if error is not None:
            last = fiber.ctx.last
            status = CANCELLED if isinstance(error, Cancelled) else FAILED
        now = self.clock.now()
        if fiber.stopped:
            if self.job_events is not None:
                self._tell_stopped(error)
            # Functions that can't be stopped may still change the records they have.
            self.steps = self.steps.closed(CANCELLED, now, self.actions.records())
        self.steps.finish()
        explained = self._explain(fiber, error)
        result = RunResult(
            self.id, self.workflow, status, last, self.steps, now - self.since,
            explained, self.started, recorders.newest() if self.spans else None,
        )  # fmt: skip
        if isinstance(explained, TaskError | TaskTimeout):
            explained.result = result
        self._error = explained
        with self._lock:
            self.status = status
            self._result = result
        if self.events is not None:
            self.events.run_ended(self.id, explained)
        if self.spans is not None:
            recorders.end_run(self.spans.run, explained)
        return last

    def _tell_stopped(self, error: BaseException | None) -> None:
        """Tell who listens of the steps that nobody waits for any more."""
        for name in self.steps:
            record = self.steps[name]
            if record.status == RUNNING:
                self.tell_ended(record, error)

    def _explain(
        self, fiber: Fiber, error: BaseException | None
    ) -> BaseException | None:
        """Wrap what a step has raised, so that it says which step it was."""
        origin = fiber.origin
        if isinstance(error, (Cancelled, *ENDS_PROGRAM)):
            return error
        if error is None or origin is None or origin[0] is not error:
            return error
        name = origin[1]
        return task_error(f"step {name!r} of workflow {self.workflow!r}", error, name)

    # What its fibers need.

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
    ) -> StepJob:
        """Return a call that belongs to this run."""
        return StepJob(
            name, fn, ctx, args, done,
            places=self.places, clock=self.clock, options=options, home=home,
            context=context or _core.task_context(),
        )  # fmt: skip

    @property
    def job_events(self) -> Events | None:
        """What is told of jobs: whoever listens, and whoever records."""
        return joined(self.events, self.spans)

    def tell_started(self, record: StepRecord, seen_as: str) -> None:
        """Tell who listens that a step begins."""
        if self.events is not None:
            self.events.job_started(self.key(record), 1)
        if self.spans is not None and seen_as == "wait":
            self.spans.wait_began(self.key(record))
        elif self.spans is not None and seen_as == "call":
            self.spans.job_started(self.key(record), 1, 0.0)

    def tell_ended(self, record: StepRecord, error: BaseException | None) -> None:
        """Tell who listens that a step has ended."""
        if self.events is not None:
            self.events.job_ended(self.key(record), record.attempts, error)
        if self.spans is not None:
            self.spans.job_ended(self.key(record), record.attempts, 0.0, error)

    def key(self, record: StepRecord) -> JobKey:
        """Return what a step is called in events; one in a loop ends many times."""
        return JobKey(self.id, record.name, record.name)

    def child(self, workflow: Any, payload: Any, fiber: Fiber, done: Done) -> Run:
        """Return a run of another workflow as a part of this one."""
        shared: Shared = workflow.shared
        # With a time limit, it must be able to end while one of its functions goes on.
        apart = shared.timeout is not None and fiber.home.one_thread
        home = self.places.own_thread() if apart else fiber.home
        return Run(
            shared, workflow.program(), payload, home, self.places,
            timeout=shared.timeout, clock=self.clock, inbox=self.inbox,
            token=fiber.ctx._token, done=done, actions=self.actions,
            shares_home=not apart, parent=self.spans.run if self.spans else 0,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<run {self.id} {self.status}>"


def _item(key: JobKey) -> int:
    """Return which item of a fan a call is, or -1."""
    _, found, index = key.id.rpartition("\0")
    return int(index) if found else -1
