"""Instructions for control flow: if_, while_, subflow."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastflow.workflows.fiber import SUSPENDED
from fastflow.workflows.program import Instruction
from fastflow.workflows.records import COMPLETED, RUNNING

if TYPE_CHECKING:
    from fastflow.workflows.fiber import Fiber

__all__ = ["EnterLoop", "LoopBody", "Subflow", "TestIf", "TestLoop"]

Function = Callable[..., Any]


class TestIf(Instruction):
    """Goes straight on if the predicate is true, else elsewhere."""

    __test__ = False  # pytest takes its name for that of a test
    __slots__ = ("_otherwise", "fn")

    def __init__(self, name: str, fn: Function, otherwise: int = -1) -> None:
        super().__init__(name)
        self.fn = fn
        self._otherwise = otherwise

    def retarget(self, target: int) -> None:
        """Set where to go if it is false."""
        self._otherwise = target

    def mocked(self, fn: Function) -> TestIf:
        """Return the same with another predicate."""
        return TestIf(str(self.name), fn, self._otherwise)

    def execute(self, fiber: Fiber) -> int:
        """Call the predicate; its truth is the record's output, ``last`` stays."""
        record = fiber.begin(self.name)

        def decided(value: Any) -> int:
            if fiber.stopped:
                return SUSPENDED  # the record is closed already
            record.output = bool(value)
            fiber.close(record, COMPLETED)
            return fiber.pc + 1 if record.output else self._otherwise

        return fiber.call(self.fn, decided)


class EnterLoop(Instruction):
    """Comes before a loop: opens its record, counts from zero."""

    __slots__ = ("_exit",)
    is_seen_as = "parts"

    def __init__(self, name: str, exit_: int = -1) -> None:
        super().__init__(name)
        self._exit = exit_

    @property
    def exit(self) -> int:
        """The instruction after the loop."""
        return self._exit

    def retarget(self, target: int) -> None:
        """Set the instruction after the loop."""
        self._exit = target

    def execute(self, fiber: Fiber) -> int:
        """Reset the counter of the test, which is the next instruction."""
        fiber.begin(self.name).attempts = 0
        fiber.loops[fiber.pc + 1] = 0
        return fiber.pc + 1


class TestLoop(Instruction):
    """Head of a loop: goes into the body or behind it."""

    __test__ = False
    __slots__ = ("_exit", "_most", "fn")

    def __init__(self, name: str, fn: Function, most: int) -> None:
        super().__init__(name)
        self.fn = fn
        self._most = most
        self._exit = -1

    def retarget(self, target: int) -> None:
        """Set the instruction after the loop."""
        self._exit = target

    def execute(self, fiber: Fiber) -> int:
        """Call the predicate."""
        return fiber.call(self.fn, lambda value: self._decided(fiber, bool(value)))

    def _decided(self, fiber: Fiber, more: bool) -> int:
        assert self.name is not None
        record = fiber.steps[self.name]
        count = fiber.loops[fiber.pc]
        if not more:
            fiber.complete(record, fiber.ctx.last)
            return self._exit
        if count >= self._most:
            raise RuntimeError(
                f"the loop {self.name!r} wants to go on after {count:,} iterations; "
                "if that is right, raise max_iterations="
            )
        fiber.loops[fiber.pc] = count + 1
        record.attempts = count + 1
        record.status = RUNNING
        return fiber.pc + 1


class LoopBody(Instruction):
    """Body of a loop that is a function."""

    __slots__ = ("_head", "fn")

    def __init__(self, name: str, fn: Function, head: int) -> None:
        super().__init__(name)
        self.fn = fn
        self._head = head

    def execute(self, fiber: Fiber) -> int:
        """Call it and go back to the test."""

        def again(value: Any) -> int:
            fiber.ctx.last = value
            return self._head

        return fiber.call(self.fn, again)


class Subflow(Instruction):
    """Runs another workflow as a step."""

    __slots__ = ("_payload", "_workflow")
    is_seen_as = "parts"

    def __init__(self, name: str, workflow: Any, payload: Function | None) -> None:
        super().__init__(name)
        self._workflow = workflow
        self._payload = payload

    @property
    def workflow(self) -> Any:
        """The other workflow."""
        return self._workflow

    def of(self, workflow: Any) -> Subflow:
        """Return the same of another workflow."""
        return Subflow(str(self.name), workflow, self._payload)

    def execute(self, fiber: Fiber) -> int:
        """Start the other run; its last value is the output."""
        record = fiber.begin(self.name)

        def ended(error: BaseException | None, value: Any) -> None:
            fiber.resume(lambda: complete(error, value))

        def complete(error: BaseException | None, value: Any) -> int:
            if error is not None:
                raise error
            return fiber.complete(record, value)

        def start(payload: Any) -> int:
            child = fiber.run.child(self._workflow, payload, fiber, ended)
            fiber.suspend(child)
            child.begin()
            return SUSPENDED

        if self._payload is None:
            return start(fiber.ctx.last)
        return fiber.call(self._payload, start)
