"""Where in a program an operation stands: numbering, scope and replay.

Operations need to know this of the context that they are called on, and nothing else of
it: `fastflow.durable.context.DurableContext` is a position with the operations as
methods.
"""

from __future__ import annotations

import logging
from typing import Self

from fastflow.durable.exceptions import NonDeterministicExecutionError
from fastflow.durable.runtime.replay import Replay
from fastflow.journal.identity import ROOT, child_id

__all__ = ["Position"]

_DEEPEST = 5  # virtual child contexts within each other that are looked into
_CODE_CHANGED = (
    "an execution must meet the operations it met before, in the same order; let the "
    "code that began it finish it, or give the changed function another name"
)


class Position:
    """What the operations of one function of the user's have in common.

    Parameters
    ----------
    replay : Replay
        What runs the function.
    key : bytes
        Of the operation that it is the function of; ids are made from it.
    reported_parent : bytes
        What its operations are shown under.
    parent : Position, optional
        That of the function around it.
    place : tuple, optional
        Where it is in that one: number of the operation, and index of the branch.
    """

    __slots__ = (
        "_count",
        "_id",
        "_logger",
        "_parent",
        "_place",
        "_replay",
        "_reported_parent",
        "_scope",
    )  # fmt: skip

    def __init__(
        self,
        replay: Replay,
        key: bytes = ROOT,
        reported_parent: bytes = ROOT,
        parent: Self | None = None,
        place: tuple[int, int | None] | None = None,
    ) -> None:
        self._replay = replay
        self._id = key
        self._reported_parent = reported_parent
        self._scope = replay.scope
        self._count = 0
        self._parent = parent
        self._place = place
        self._logger: logging.Logger | None = None

    @property
    def plain_logger(self) -> logging.Logger | None:
        """What ``set_logger`` was given here or in a position around this one."""
        position: Position | None = self
        while position is not None:
            if position._logger is not None:
                return position._logger
            position = position._parent
        return None

    def _was_here(self) -> bool:
        """Whether the next operation had begun before this pass did; or it is over."""
        replay = self._replay
        if replay.leaving:  # `finally` blocks of a function that will run again
            return True
        key = child_id(self._id, self._count + 1)
        for _ in range(_DEEPEST):
            if key in replay.pending or replay.find(key) is not None:
                return True
            key = child_id(key, 1)  # a virtual child context has no record itself
        return False

    def _child(self, key: bytes, reported_parent: bytes) -> Self:
        """Return the position of the function of an operation here."""
        place = (self._count, None)
        return type(self)(self._replay, key, reported_parent, self, place)

    def _branch(
        self, replay: Replay, key: bytes, reported: bytes, number: int, index: int
    ) -> Self:
        """Return the position of a branch, which has a replay of its own."""
        return type(self)(replay, key, reported, self, (number, index))

    def _fan(self) -> str | None:
        """Return the id of the outermost batch that this is in a branch of."""
        found, position = None, self
        while position._parent is not None:
            around = position._parent
            if position._place is not None and position._place[1] is not None:
                found = child_id(around._id, position._place[0]).hex()
            position = around
        return found

    def _position(self) -> str:
        """Return where the current operation is, as in ``2[3].1``."""
        parts = [str(self._count)]
        position: Position | None = self
        while position is not None:
            if position._place is not None:
                number, index = position._place
                parts.append(f"{number}." if index is None else f"{number}[{index}].")
            position = position._parent
        return "".join(reversed(parts))

    def _check_leftover(self) -> None:
        """Raise if the function did more before than it did now."""
        loaded = self._replay.execution.loaded
        if not loaded:
            return
        key = child_id(self._id, self._count + 1)
        record = loaded.get(key)
        if record is None:
            return
        self._count += 1
        error = self._non_deterministic(
            recorded=f"{record.subtype} {record.name!r}",
            current="the end of the function",
            operation_id=key,
        )
        self._replay.execution.abort(error)
        raise error

    def _non_deterministic(
        self, *, recorded: str, current: str, operation_id: bytes
    ) -> NonDeterministicExecutionError:
        """Return the error for a program that is not the one that was recorded."""
        position = self._position()
        execution = self._replay.execution
        return NonDeterministicExecutionError(
            f"execution {execution.name!r} of {execution.function} met another "
            f"operation than before at position {position}\n"
            f"  recorded: {recorded}\n"
            f"  current:  {current}\n"
            f"{_CODE_CHANGED}",
            step_id=operation_id.hex(),
            position=position,
            recorded=recorded,
            current=current,
        )
