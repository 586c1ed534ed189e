"""Puts programs together: verbs become a flat, immutable list of instructions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastflow.errors import FlowError
from fastflow.workflows.fiber import Fiber, Instruction, Loop, Program

__all__ = ["Assembler", "Finish", "Instruction", "Jump", "Loop", "Program"]


class Jump(Instruction):
    """Goes on somewhere else."""

    __slots__ = ("_target",)

    def __init__(self, target: int = -1) -> None:
        super().__init__(None)
        self._target = target

    def execute(self, fiber: Fiber) -> int:  # noqa: ARG002
        """Return the target."""
        return self._target

    def retarget(self, target: int) -> None:
        """Set the target."""
        self._target = target


class Finish(Instruction):
    """Ends the fiber."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None)

    def execute(self, fiber: Fiber) -> int:
        """Tell whoever waits for the fiber."""
        return fiber.finish()


class _Block:
    """An open if_, the body of a loop, or the whole program."""

    def __init__(self, name: str | None, start: int) -> None:
        self.name = name
        self.unguarded = start  # from here on, no on_error of this block applies
        self.test: Instruction | None = None  # goes on at the next elif_, else_, end_if
        self.exits: list[Jump] = []
        self.has_else = False
        self.is_loop = False


class Assembler:
    """Puts a program together, one instruction after the other.

    An on_error gets the exceptions of what comes before it in its block, unless an
    earlier one gets them already; hence the innermost one comes first.
    """

    def __init__(self) -> None:
        self._code: list[Instruction] = []
        self._handlers: list[int | None] = []
        self._names: set[str] = set()
        self._counts: dict[str, int] = {}
        self._loops: list[Loop] = []
        self._blocks = [_Block(None, 0)]

    @property
    def here(self) -> int:
        """Number of the next instruction."""
        return len(self._code)

    def claim(self, name: str) -> str:
        """Take a name for a step."""
        self._names.add(self.check_unused(name))
        return name

    def check_unused(self, name: str) -> str:
        """Return the name, if no step has it."""
        if name in self._names:
            raise FlowError(
                f"there is a step {name!r} already; names of steps must differ, in the "
                "branches of an if_, too"
            )
        return name

    def unused_name(self, kind: str) -> str:
        """Return the first of ``kind-1``, ``kind-2``, ... that no step has."""
        count = self._counts.get(kind, 1)
        while f"{kind}-{count}" in self._names:
            count += 1
        self._counts[kind] = count
        return f"{kind}-{count}"

    def emit(self, instruction: Instruction) -> int:
        """Add an instruction and return its number."""
        self._code.append(instruction)
        self._handlers.append(None)
        return len(self._code) - 1

    def emit_handler(self, instruction: Instruction) -> None:
        """Add an on_error instruction."""
        at = self.emit(instruction)
        block = self._blocks[-1]
        for guarded in range(block.unguarded, at):
            if self._handlers[guarded] is None:
                self._handlers[guarded] = at
        block.unguarded = at

    def open_if(self, test: Instruction) -> None:
        """Begin an if_; `test` jumps when it is false."""
        self.emit(test)
        block = _Block(test.name, self.here)
        block.test = test
        self._blocks.append(block)

    def next_branch(self, verb: str, test: Instruction | None) -> None:
        """End a branch of the innermost if_ and begin the next; None for else_."""
        block = self.inner_if(verb)
        if block.has_else:
            raise FlowError(f"{verb}() after else_() in the if_ {block.name!r}")
        exit_ = Jump()
        self.emit(exit_)
        block.exits.append(exit_)
        assert block.test is not None
        block.test.retarget(self.here)
        block.test = test
        if test is None:
            block.has_else = True
        else:
            self.emit(test)
        block.unguarded = self.here

    def close_if(self) -> None:
        """End the innermost if_."""
        block = self.inner_if("end_if")
        self._blocks.pop()
        if block.test is not None:
            block.test.retarget(self.here)
        for exit_ in block.exits:
            exit_.retarget(self.here)

    def inner_if(self, verb: str) -> _Block:
        """Return the innermost open if_."""
        block = self._blocks[-1]
        if block.name is None or block.is_loop:
            raise FlowError(f"{verb}() without an open if_()")
        return block

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """Take back what the block has added, if it raises."""
        size, loops, depth = self.here, len(self._loops), len(self._blocks)
        counts = self._counts.copy()
        try:
            yield
        except BaseException:
            self._names -= {str(each.name) for each in self._code[size:]}
            self._counts = counts
            del self._code[size:], self._handlers[size:]
            del self._loops[loops:], self._blocks[depth:]
            raise

    def open_body(self, name: str) -> None:
        """Begin the body of a loop, a block of its own."""
        block = _Block(name, self.here)
        block.is_loop = True
        self._blocks.append(block)

    def close_body(self, name: str) -> None:
        """End the body of a loop."""
        block = self._blocks[-1]
        if not block.is_loop:
            raise FlowError(
                f"the if_ {block.name!r} in the body of {name!r} has no end_if()"
            )
        self._blocks.pop()

    def note_loop(self, name: str, start: int) -> None:
        """Note that the instructions from `start` on are a loop."""
        self._loops.append(Loop(name, range(start, self.here)))

    def program(self) -> Program:
        """Return the program so far; more can be added and another one made."""
        if len(self._blocks) > 1:
            raise FlowError(f"the if_ {self._blocks[-1].name!r} has no end_if()")
        code = (*self._code, Finish())
        handlers = (*self._handlers, None)
        return Program(code, handlers, frozenset(self._names), tuple(self._loops))
