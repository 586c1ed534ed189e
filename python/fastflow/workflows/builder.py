"""``workflow()``: write down steps, then run them."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from typing import Any

from fastflow.base import aio
from fastflow.base.durations import Time, limit_of, seconds_of
from fastflow.base.options import check_limit
from fastflow.base.progress import Monitor, Progress
from fastflow.base.timers import Clock, system_clock
from fastflow.errors import FlowError
from fastflow.workflows.checks import (
    check_function,
    check_name,
    option,
    verb,
)
from fastflow.workflows.dispatch import CallerHome, Home, OwnThread, Places
from fastflow.workflows.harness import Harness
from fastflow.workflows.limits import parse_rate
from fastflow.workflows.program import Assembler, Program
from fastflow.workflows.records import RunResult
from fastflow.workflows.run import Run
from fastflow.workflows.shared import Shared
from fastflow.workflows.shutdown import finish_at_exit
from fastflow.workflows.state import State
from fastflow.workflows.verbs import Verbs

__all__ = ["Workflow", "workflow"]


class Workflow(Verbs):
    """Steps, and what their runs have in common; made by `workflow`.

    Runs may overlap.  A run executes the steps that were there when it began.

    Attributes
    ----------
    name, description : str
        As given.
    """

    def __init__(
        self,
        name: str,
        shared: Shared,
        description: str | None = None,
    ) -> None:
        super().__init__(Assembler())
        self.name = name
        self.description = description
        self.shared = shared
        self._program: Program | None = None
        self._program_size = -1

    def program(self) -> Program:
        """Return the compiled steps.

        Raises
        ------
        FlowError
            If an if_ is open.
        """
        program, size = self._program, self._assembler.here
        if program is None or self._program_size != size:
            program = self._assembler.program()
            self._program, self._program_size = program, size
        return program

    @property
    def state(self) -> State:
        """What ``ctx.state`` is in the runs."""
        return self.shared.state

    @property
    def global_state(self) -> State:
        """What ``ctx.global_state`` is in the runs."""
        return self.shared.global_state

    @property
    def runs(self) -> list[Run]:
        """The runs that have not ended."""
        return self.shared.runs

    def run(
        self,
        payload: Any = None,
        *,
        timeout: Time | None = None,
        executor: cf.Executor | str | None = None,
        progress: Progress = None,
    ) -> RunResult:
        """Run the steps, the plain ones on this thread, and wait for the end.

        With a time limit, the plain ones are called on a thread of the run's own, so
        that the limit holds while one of them goes on.

        Parameters
        ----------
        payload
            What the functions find as ``ctx.payload``, the same object.
        timeout : time, optional
            For this run, waiting for admission included; the workflow's own holds, too.
        executor : concurrent.futures.Executor or str, optional
            For the functions of parallel, race, for_each and batch that are not async,
            and for steps with a time limit and actions.  Default:
            ``default_executor()``.
        progress : bool or callable, optional
            True shows a bar on a terminal; a callable gets (started steps, all steps).
            What it raises is logged.

        Raises
        ------
        TaskError
            If a step failed; its exception is the ``__cause__``, what did finish is
            the ``.result``.
        TaskTimeout
            If the time was up; what did finish is the ``.result``.
        concurrent.futures.CancelledError
            If the run was cancelled.
        RuntimeError
            If called from a coroutine on the runtime's event loop.
        """
        if aio.is_loop_thread():
            raise RuntimeError(
                "run() would block the event loop that async steps need; use start(), "
                "or asyncio.to_thread(wf.run, ...)"
            )
        places = Places(executor)
        limit = self._limit(timeout)
        # A run with a limit must be able to end while one of its functions goes on.
        home = CallerHome() if limit is None else places.own_thread()
        run = self._run(payload, limit, home, places)
        steps = self.program().names
        counted = _Started(run)
        try:
            with Monitor(progress, counted, len(steps), self.name):
                run.begin()
                if isinstance(home, CallerHome):
                    home.serve_run()
                else:
                    run.wait()
        except BaseException:  # Ctrl-C
            run.cancel()
            if isinstance(home, CallerHome):
                home.serve_rest()
            raise
        if isinstance(home, OwnThread) and home.error is not None:
            raise home.error
        return run.outcome()

    def start(
        self,
        payload: Any = None,
        *,
        timeout: Time | None = None,
        executor: cf.Executor | str | None = None,
    ) -> Run:
        """Start a run in the background and return it; the parameters are `run`'s.

        Its steps are executed on threads of the executor, if it has any, else of
        ``default_executor()``.
        """
        places = Places(executor)
        run = self._run(payload, self._limit(timeout), places.pool_home(), places)
        finish_at_exit(run)
        run.begin()
        return run

    def _limit(self, timeout: Any) -> float | None:
        """Return the time limit of a run, the workflow's own included."""
        if timeout is None:
            return self.shared.timeout
        limits = (self.shared.timeout, option(limit_of, "timeout", timeout))
        return min((limit for limit in limits if limit is not None), default=None)

    def _run(
        self, payload: Any, limit: float | None, home: Home, places: Places
    ) -> Run:
        program = self.program()
        return Run(self.shared, program, payload, home, places, timeout=limit)

    def emit(self, event: str, payload: Any = None) -> int:
        """Deliver an event to every run that goes on; return how many there are."""
        runs = self.runs
        for run in runs:
            run.emit(event, payload)
        return len(runs)

    def resume(self, token: str, value: Any = None) -> None:
        """Answer ``human_in_the_loop`` in whichever run waits for this token.

        Raises
        ------
        LookupError
            If none does.
        """
        for run in self.runs:
            if run.inbox.resume(token, value):
                return
        raise LookupError(
            f"no run of {self.name!r} waits for an answer to the token {token!r}: it "
            "is unknown, was used already, or its time was up"
        )

    def test(self, patience: Time = 1.0) -> Harness:
        """Return a test run with mocks and expectations.

        Time passes when nothing is going on.  A function that does go on, but from
        which nothing comes for `patience` (seconds, or a text such as ``"50ms"``), is
        taken for one that waits: then time passes, too, and its time limit is up.
        """
        seconds = option(seconds_of, "patience", patience)
        return Harness(self.program(), self.shared, seconds)

    def close(self, timeout: Time | None = None) -> list[str]:
        """Wait for all runs and background actions.

        Returns
        -------
        list of str
            What has not ended after `timeout`; empty if all has.  It goes on.
        """
        return self.shared.wait(option(limit_of, "timeout", timeout))

    def __enter__(self) -> Workflow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<workflow {self.name!r}, {self._assembler.here} instructions>"


class _Started:
    """Counts started steps, for the progress bar."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def done(self) -> int:
        return len(self._run.steps)


@verb
def workflow(
    name: str,
    description: str | None = None,
    *,
    timeout: Time | None = None,
    concurrency: int | None = None,
    rate_limit: Any = None,
    on_success: Callable[..., Any] | None = None,
    on_failure: Callable[..., Any] | None = None,
    clock: Clock = system_clock,
) -> Workflow:
    """Begin a workflow.

    Parameters
    ----------
    name : str
        For messages and logs.
    description : str, optional
        For people.
    timeout : time, optional
        For each run: seconds, or a text such as ``"30s"``.
    concurrency : int, optional
        Runs at a time; others wait, first come first served.
    rate_limit : str, tuple or number, optional
        Runs that may start: ``"10/s"``, ``"100/5m"``, ``(100, "5m")`` or a number per
        second.  A token bucket: so many may start at once, then as tokens come back.
    on_success, on_failure : callable, optional
        Called with ctx at the end of a run, before its result is delivered; what they
        raise is logged.  A cancelled run calls neither.  One that goes on when the
        run's time is up, or when it's cancelled, is not waited for.  An `on_failure`
        that is called because the time is up has as much time again, and at least a
        second.
    clock : Clock
        Tells the time and sets timers; for tests, see
        ``fastflow.base.timers.VirtualClock``.

    Raises
    ------
    FlowError
        If something is not as described.

    Examples
    --------
    >>> import fastflow
    >>> wf = fastflow.workflow("sums")
    >>> wf = wf.step("double", lambda ctx: 2 * ctx.payload).parallel(
    ...     [lambda ctx: ctx.last + 1, lambda ctx: ctx.last + 2])
    >>> wf.run(10).last
    [21, 22]
    """
    check_name(name)
    if description is not None and not isinstance(description, str):
        raise FlowError(f"description must be a str, not {type(description).__name__}")
    for what, hook in (("on_success", on_success), ("on_failure", on_failure)):
        if hook is not None:
            check_function(what, hook)
    shared = Shared(
        name,
        clock,
        timeout=option(limit_of, "timeout", timeout),
        concurrency=option(check_limit, "concurrency", concurrency),
        rate=None if rate_limit is None else parse_rate(rate_limit),
        on_success=on_success,
        on_failure=on_failure,
    )
    finish_at_exit(shared)
    return Workflow(name, shared, description)
