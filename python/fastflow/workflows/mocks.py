"""A program for a test: with other functions, and nothing shared with real runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fastflow.base.timers import Clock
from fastflow.workflows.branches import (
    EnterLoop,
    LoopBody,
    Subflow,
    TestIf,
    TestLoop,
)
from fastflow.workflows.cache import StepCache
from fastflow.workflows.fans import ForEach
from fastflow.workflows.program import Instruction, Program
from fastflow.workflows.shared import Shared
from fastflow.workflows.state import State
from fastflow.workflows.steps import Action, GuardedStep, OnError, Step
from fastflow.workflows.waits import Ask

if TYPE_CHECKING:
    from fastflow.workflows.fiber import Fiber

__all__ = ["Script", "Stage", "has_step", "step_names"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Script:
    """What a test says about steps, by name.

    Those of a subflow are written after its own name: ``"pay/charge"``.
    """

    mocks: Mapping[str, Function]
    answers: Mapping[str, Any]

    def inside(self, subflow: str) -> Script:
        """Return what it says about the steps of a subflow."""
        return Script(_inside(self.mocks, subflow), _inside(self.answers, subflow))


def _inside(said: Mapping[str, Any], subflow: str) -> dict[str, Any]:
    prefix = subflow + "/"
    return {
        name.removeprefix(prefix): value
        for name, value in said.items()
        if name.startswith(prefix)
    }


def has_step(program: Program, name: str) -> bool:
    """Whether there is such a step, in sub-flows and subflows, too."""
    if name in program.all_names():
        return True
    return any(
        name.startswith(f"{subflow.name}/")
        and has_step(
            subflow.workflow.program(), name.removeprefix(f"{subflow.name}/")
        )
        for subflow in _subflows(program)
    )  # fmt: skip


def step_names(program: Program, inside: tuple[Any, ...] = ()) -> Iterator[str]:
    """Yield the names of all steps; of a workflow that contains itself, once."""
    yield from program.all_names()
    for subflow in _subflows(program):
        workflow = subflow.workflow
        if workflow not in inside:
            for name in step_names(workflow.program(), (*inside, workflow)):
                yield f"{subflow.name}/{name}"


def _subflows(program: Program) -> Iterator[Subflow]:
    for instruction in program.code:
        if isinstance(instruction, Subflow):
            yield instruction
        elif instruction.sub_program is not None:
            yield from _subflows(instruction.sub_program)


class Stage:
    """What the runs of one test have in common, in place of the real things.

    State and caches begin empty, and there are no limits on concurrency and rate; hooks
    and time limits are the real ones.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._global_state = State(clock)
        self._services: dict[Shared, Shared] = {}
        self._caches: dict[StepCache, StepCache] = {}

    def shared(self, real: Shared) -> Shared:
        """Return the stand-in for what the runs of a workflow share."""
        with self._lock:  # subflows may begin in many threads
            if real not in self._services:
                self._services[real] = Shared(
                    real.name,
                    self._clock,
                    timeout=real.timeout,
                    on_success=real.on_success,
                    on_failure=real.on_failure,
                    global_state=self._global_state,
                )
            return self._services[real]

    def program(self, real: Program, script: Script) -> Program:
        """Return the program with what the script says."""
        code = tuple(self._instruction(each, script) for each in real.code)
        return replace(real, code=code)

    def _instruction(self, instruction: Instruction, script: Script) -> Instruction:
        name = instruction.name
        if name is not None and name in script.mocks:
            return self._mocked(instruction, name, script.mocks[name])
        if isinstance(instruction, GuardedStep):
            return self._guarded(instruction, instruction.fn)
        if isinstance(instruction, ForEach):
            return instruction.with_body(lambda body: self.program(body, script))
        if isinstance(instruction, Subflow):
            inner = script.inside(str(name))
            return instruction.of(_StandIn(instruction.workflow, inner, self))
        if isinstance(instruction, Ask) and str(name) in script.answers:
            return instruction.answered(script.answers[str(name)])
        return instruction

    def _mocked(self, instruction: Instruction, name: str, fn: Function) -> Instruction:
        if isinstance(instruction, GuardedStep):
            return self._guarded(instruction, fn)
        if isinstance(instruction, TestLoop | LoopBody):
            return instruction
        if isinstance(instruction, EnterLoop):
            return _Detour(name, fn, instruction.exit)
        if isinstance(instruction, TestIf):
            return instruction.mocked(fn)
        if isinstance(instruction, Action | OnError):
            return type(instruction)(name, fn)
        return Step(name, fn)

    def _guarded(self, instruction: GuardedStep, fn: Function) -> GuardedStep:
        options = instruction.options
        if options.cache is not None:
            cache = self._caches.setdefault(options.cache, options.cache.empty_copy())
            options = replace(options, cache=cache)
        return GuardedStep(str(instruction.name), fn, options)


class _StandIn:
    """The workflow of a subflow, on a stage.

    Its program is made when it's needed, as a workflow may contain itself.
    """

    def __init__(self, real: Any, script: Script, stage: Stage) -> None:
        self._real = real
        self._script = script
        self._stage = stage
        self._program: Program | None = None

    @property
    def shared(self) -> Shared:
        return self._stage.shared(self._real.shared)

    def program(self) -> Program:
        if self._program is None:
            self._program = self._stage.program(self._real.program(), self._script)
        return self._program


class _Detour(Instruction):
    """Calls a function in place of a loop."""

    __slots__ = ("_exit", "_fn")

    def __init__(self, name: str, fn: Function, exit_: int) -> None:
        super().__init__(name)
        self._fn = fn
        self._exit = exit_

    def execute(self, fiber: Fiber) -> int:
        """Call it and go behind the loop."""
        record = fiber.begin(self.name)

        def finish(value: Any) -> int:
            fiber.complete(record, value)
            return self._exit

        return fiber.call(self._fn, finish)
