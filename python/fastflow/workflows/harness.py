"""``wf.test()``: a run with mocks, virtual time and expectations."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastflow.base.timers import VirtualClock
from fastflow.errors import FlowError, TaskError, shown
from fastflow.workflows.checks import check_function
from fastflow.workflows.differences import differences, shortened
from fastflow.workflows.dispatch import Activity, CallerHome, Home, Places
from fastflow.workflows.mocks import Script, Stage, has_step, step_names
from fastflow.workflows.program import Program
from fastflow.workflows.records import COMPLETED, FAILED, SKIPPED, RunResult
from fastflow.workflows.run import Run
from fastflow.workflows.shared import Shared

__all__ = ["Harness", "StepExpectation"]


Look = Callable[[RunResult], tuple[bool, str, list[str]]]
"""Returns whether the expectation is met, what is there, and how that differs."""


@dataclass(frozen=True)
class _Check:
    """One expectation: what it is about, what is wanted, and how to see."""

    subject: str
    expected: str
    look: Look


class StepExpectation:
    """What one step is expected to do; every method returns the harness."""

    def __init__(self, harness: Harness, name: str) -> None:
        self._harness = harness
        self._name = name

    def to_succeed(self) -> Harness:
        """It completes."""
        return self._status(COMPLETED)

    def to_fail(self, error: type[BaseException] | None = None) -> Harness:
        """It fails, with an exception of this type if one is given."""
        if error is None:
            return self._status(FAILED, fails=True)
        name = self._name

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            met = _is(result.steps[name].error, error)
            return met, _describe(result, name), []

        return self._add(f"{FAILED} ({error.__name__})", look, fails=True)

    def to_be_skipped(self) -> Harness:
        """It never starts."""
        return self._status(SKIPPED)

    def to_return(self, value: Any) -> Harness:
        """It completes with an output that equals this."""
        name = self._name

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            record = result.steps[name]
            if record.status != COMPLETED:
                return False, _describe(result, name), []
            met, found, how = _compare(value, record.output)
            return met, f"output {found}", how

        return self._add(f"output {shortened(repr(value))}", look)

    def to_take_attempts(self, attempts: int) -> Harness:
        """Its function is called so many times."""
        name = self._name

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            made = result.steps[name].attempts
            return made == attempts, f"{made} attempts", []

        return self._add(f"{attempts} attempts", look)

    def _status(self, status: str, *, fails: bool = False) -> Harness:
        name = self._name

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            return result.steps[name].status == status, _describe(result, name), []

        return self._add(status, look, fails=fails)

    def _add(
        self,
        expected: str,
        look: Look,
        *,
        fails: bool = False,
    ) -> Harness:
        subject = f"step {self._name!r}"
        return self._harness._expect(_Check(subject, expected, look), fails)


class Harness:
    """A test of a workflow; made by ``wf.test()``.

    Sleeps, delays, retries and time limits pass at once, as soon as nothing else is
    going on, or nothing has come of it for `patience` (real) seconds; ``ctx.state`` and
    caches begin empty; limits on concurrency and rate don't apply.  All this holds for
    subflows, too.  Every method but `run` and `expect_step` returns the harness itself.

    A step of a subflow is called ``"pay/charge"``: the step "charge" of the workflow
    that the step "pay" runs.
    """

    def __init__(self, program: Program, shared: Shared, patience: float) -> None:
        self._program = program
        self._shared = shared
        self._patience = patience
        self._payload: Any = None
        self._mocks: dict[str, Callable[..., Any]] = {}
        self._events: list[tuple[str, Any]] = []
        self._answers: dict[str, Any] = {}
        self._checks: list[_Check] = []
        self._failure_expected = False
        self._hurried = False
        """Whether time has passed while something was going on."""

    def trigger(self, payload: Any = None) -> Harness:
        """Set the payload of the run."""
        self._payload = payload
        return self

    def mock_step(self, name: str, fn: Callable[..., Any]) -> Harness:
        """Call ``fn(ctx)`` in place of a step.

        Its options (retries, time limit, ...) stay.  A step of another kind (parallel,
        for_each, while_, subflow, wait_for_event, ...) is replaced as a whole, and the
        value of fn becomes its output; that of an if_ decides.
        """
        self._known(name)
        self._mocks[name] = check_function(f"the mock of {name!r}", fn)
        return self

    def emit(self, event: str, payload: Any = None) -> Harness:
        """Have an event there when it is waited for."""
        self._events.append((event, payload))
        return self

    def answer(self, name: str, value: Any) -> Harness:
        """Answer the human_in_the_loop of this name."""
        self._known(name)
        self._answers[name] = value
        return self

    def expect_step(self, name: str) -> StepExpectation:
        """Begin an expectation about a step."""
        if name not in self._program.names:
            self._known(name)
            raise FlowError(
                f"{name!r} is a step of a sub-flow or subflow, which may run many "
                "times; expectations are about steps of the workflow itself"
            )
        return StepExpectation(self, name)

    def expect_last(self, value: Any) -> Harness:
        """Expect the run's last value to equal this."""

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            return _compare(value, result.last)

        return self._expect(_Check("last value", shortened(repr(value)), look), False)

    def expect_failure(self, error: type[BaseException] = Exception) -> Harness:
        """Expect the run to fail, because of an exception of this type."""

        def look(result: RunResult) -> tuple[bool, str, list[str]]:
            found = f"{result.status} ({_name(_root(result.error))})"
            return _is(result.error, error), found, []

        return self._expect(_Check("run", f"{FAILED} ({error.__name__})", look), True)

    def run(self) -> RunResult:
        """Run the workflow and check all expectations.

        Returns
        -------
        RunResult
            Also if it failed, provided that a failure was expected.

        Raises
        ------
        AssertionError
            With what was expected and what was found, if an expectation is not met, if
            the run fails unexpectedly, or if it waits for what never comes.
        """
        self._hurried = False
        result = self._execute()
        unmet: list[str] = []
        count = 0
        for check in self._checks:
            met, found, how = check.look(result)
            if not met:
                unmet.append(
                    f"  {check.subject}\n  - expected: {check.expected}"
                    f"\n  + actual:   {found}"
                )
                unmet.extend(f"    {line}" for line in how)
                count += 1
        if result.error is not None and not self._failure_expected:
            unmet.append(
                f"  run\n  - expected: {COMPLETED}"
                f"\n  + actual:   {result.status} ({_name(result.error)})"
            )
            count += 1
        if unmet and self._hurried:
            unmet.append(
                "  note: sleeps and time limits have passed while something went on, "
                f"as nothing had come of it for {self._patience:g} s of real time; "
                "see test(patience=)"
            )
        if unmet:
            title = f"workflow {result.workflow!r}: {count} unmet expectation"
            title += "" if count == 1 else "s"
            raise AssertionError("\n".join([title, *unmet])) from result.error
        return result

    def _expect(self, check: _Check, fails: bool) -> Harness:
        self._checks.append(check)
        self._failure_expected = self._failure_expected or fails
        return self

    def _known(self, name: str) -> None:
        if not has_step(self._program, name):
            known = list(step_names(self._program))
            near = [each for each in known if each.endswith(f"/{name}")]
            near = near or difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise FlowError(f"the workflow has no step {name!r}{hint}")

    def _execute(self) -> RunResult:
        clock = VirtualClock()
        bell = CallerHome()
        activity = Activity(lambda: bell.post(_nothing))
        places = Places(None, activity)
        stage = Stage(clock)
        shared = stage.shared(self._shared)
        program = stage.program(self._program, Script(self._mocks, self._answers))
        # As in wf.run(): a plain function must not keep the time from passing.
        home: Home = bell if shared.timeout is None else places.own_thread()
        run = Run(shared, program, self._payload, home, places, timeout=shared.timeout)
        for event, payload in self._events:
            run.emit(event, payload)
        run.begin()
        try:
            while not run.done():
                self._serve(run, bell, activity, clock)
            while not (activity.idle and bell.empty):
                # Actions are waited for, but not what could not be stopped.
                if bell.serve(self._patience):
                    continue
                actions = shared.actions.records()
                if not actions:
                    break
                if not clock.advance_to_next():
                    raise AssertionError(
                        f"workflow {run.workflow!r} has ended, but nothing came of "
                        f"its action {actions[0].name!r} for {self._patience:g} s; "
                        "mock it, or give test(patience=) more"
                    )
        finally:
            run.cancel()
            shared.actions.cancel(clock.now())  # if it did not come to its end
        assert run._result is not None
        return run._result

    def _serve(
        self, run: Run, bell: CallerHome, activity: Activity, clock: VirtualClock
    ) -> None:
        # In this order: what goes on elsewhere posts its outcome before it ends.
        if not (activity.idle and bell.empty):
            if not bell.serve(self._patience) and clock.advance_to_next():
                self._hurried = True
            return
        if not run.done() and not clock.advance_to_next():
            waits = ", ".join(run.inbox.expected) or "something outside"
            raise AssertionError(
                f"workflow {run.workflow!r} waits for ever: {waits}; give it by "
                "emit(event, payload) or answer(step, value) before run()"
            )


def _nothing() -> None:
    pass


def _name(error: BaseException | None) -> str:
    return "no error" if error is None else shown(error)


def _describe(result: RunResult, name: str) -> str:
    record = result.steps[name]
    if record.error is None:
        return record.status
    return f"{record.status} ({_name(_root(record.error))})"


def _compare(expected: Any, actual: Any) -> tuple[bool, str, list[str]]:
    """Whether the values are equal, the actual one in words, and how they differ."""
    if _equal(expected, actual):
        return True, "", []
    return False, shortened(repr(actual)), differences(expected, actual)


def _equal(expected: Any, actual: Any) -> bool:
    shapes = [getattr(value, "shape", None) for value in (expected, actual)]
    if shapes[0] != shapes[1]:
        return False
    same = actual == expected
    if shapes[0] is None:
        return bool(same)
    import numpy as np

    return bool(np.all(same))  # arrays say it for each element


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what is behind it if it comes from a step or subflow."""
    while error is not None:
        yield error
        error = error.__cause__ if isinstance(error, TaskError) else None


def _is(error: BaseException | None, kind: type[BaseException]) -> bool:
    return any(isinstance(each, kind) for each in _causes(error))


def _root(error: BaseException | None) -> BaseException | None:
    return list(_causes(error))[-1] if error is not None else None
