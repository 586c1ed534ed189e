"""A program with some of its steps replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastflow.workflows.branches import EnterLoop, LoopBody, TestIf, TestLoop
from fastflow.workflows.fans import ForEach
from fastflow.workflows.program import Instruction, Program
from fastflow.workflows.steps import Action, GuardedStep, OnError, Step

if TYPE_CHECKING:
    from fastflow.workflows.line import Line

__all__ = ["replaced"]

Function = Callable[..., Any]


def replaced(program: Program, mocks: Mapping[str, Function]) -> Program:
    """Return the program with other functions, and with empty caches."""
    code = tuple(_instruction(instruction, mocks) for instruction in program.code)
    return replace(program, code=code)


def _instruction(
    instruction: Instruction, mocks: Mapping[str, Function]
) -> Instruction:
    name = instruction.name
    fn = None if name is None else mocks.get(name)
    if isinstance(instruction, GuardedStep):
        return _guarded(instruction, fn)
    if isinstance(instruction, ForEach) and fn is None:
        return instruction.with_body(lambda program: replaced(program, mocks))
    if name is None or fn is None or isinstance(instruction, TestLoop | LoopBody):
        return instruction
    if isinstance(instruction, EnterLoop):
        return _Detour(name, fn, instruction.exit)
    if isinstance(instruction, TestIf):
        return instruction.mocked(fn)
    if isinstance(instruction, Action | OnError):
        return type(instruction)(name, fn)
    return Step(name, fn)


def _guarded(instruction: GuardedStep, fn: Function | None) -> GuardedStep:
    options = instruction.options
    if options.cache is not None:
        options = replace(options, cache=options.cache.empty_copy())
    return GuardedStep(str(instruction.name), fn or instruction.fn, options)


class _Detour(Instruction):
    """Calls a function in place of a loop."""

    __slots__ = ("_exit", "_fn")

    def __init__(self, name: str, fn: Function, exit_: int) -> None:
        super().__init__(name)
        self._fn = fn
        self._exit = exit_

    def execute(self, line: Line) -> int:
        """Call it and go behind the loop."""
        assert self.name is not None
        record = line.begin(self.name)
        record.attempts = 1

        def finish(value: Any) -> int:
            line.complete(record, value)
            return self._exit

        return line.call(self._fn, finish)
