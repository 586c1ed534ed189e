"""`MemoryJournal`: executions that end with the process, for tests and direct calls."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastflow.journal.errors import ExecutionInProgress
from fastflow.journal.journal import (
    ABANDONED,
    OUTCOMES,
    RUNNING,
    Change,
    Entry,
    Message,
    Summary,
    check_same,
    may_claim,
)
from fastflow.journal.records import BlobRef, Failure, Record, now_us

__all__ = ["MemoryJournal"]


@dataclass(slots=True)
class _Execution:
    entry: Entry
    frames: list[list[Record]] = field(default_factory=list)


class MemoryJournal:
    """A `Journal` in memory; several runners may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executions: dict[int, _Execution] = {}
        self._names: dict[str, int] = {}
        self._owners: set[int] = set()
        self._numbers = itertools.count(1)
        self._messages: list[Message] = []
        self._answered: set[tuple[int, bytes]] = set()  # (execution, callback)

    def enter(self, lease: float) -> int:  # noqa: ARG002  (it lives as long as we do)
        """Register an owner."""
        with self._lock:
            owner = next(self._numbers)
            self._owners.add(owner)
            return owner

    def renew(self, owner: int) -> bool:
        """Leases last."""
        return owner in self._owners

    def leave(self, owner: int) -> None:
        """Give up all that this owner has."""
        with self._lock:
            self._owners.discard(owner)

    def _look(self, number: int) -> Entry:
        found = self._executions[number]
        entry = found.entry
        owned = entry.status == RUNNING and entry.owner in self._owners
        return entry._replace(owned=owned, frames=len(found.frames))

    def begin(self, name: str, function: str, data: bytes, owner: int) -> Entry:
        """Make an execution, or take over the one of that name."""
        with self._lock:
            number = self._names.get(name)
            if number is None:
                number = self._names[name] = next(self._numbers)
                now = now_us()
                entry = Entry(
                    number, name, function, RUNNING, data, None, None, now, now,
                    owner, 1, 0, True,
                )  # fmt: skip
                self._executions[number] = _Execution(entry)
                return entry
            entry = self._look(number)
            check_same(entry, function, data)
            if entry.status != RUNNING:
                return entry
            if entry.owned and entry.owner != owner:
                raise ExecutionInProgress(f"execution {name!r} is running already")
            return self._take(entry, owner)

    def _take(self, entry: Entry, owner: int) -> Entry:
        entry = entry._replace(owner=owner, fence=entry.fence + 1, owned=True)
        self._executions[entry.number].entry = entry
        return entry

    def claim(self, number: int, owner: int) -> Entry | None:
        """Take over an unfinished execution; None if it is owned or has ended."""
        with self._lock:
            if number not in self._executions:
                return None
            entry = self._look(number)
            if not may_claim(entry, owner):
                return None
            return self._take(entry, owner)

    def release(self, number: int, fence: int, reason: Failure | None = None) -> None:
        """Own an execution no longer; it can be claimed at once."""
        with self._lock:
            found = self._executions.get(number)
            if found is None or found.entry.fence != fence:
                return
            entry = found.entry._replace(owner=ABANDONED, fence=fence + 1)
            if reason is not None and entry.status == RUNNING:
                entry = entry._replace(error=reason, updated=now_us())
            found.entry = entry

    def write(self, changes: Sequence[Change]) -> list[int]:
        """Keep changes; return the numbers of executions that are another owner's."""
        lost = []
        with self._lock:
            for change in changes:
                found = self._executions.get(change.number)
                if found is None or found.entry.fence != change.fence:
                    lost.append(change.number)
                    continue
                if change.records:
                    found.frames.append(change.records)
                    change.frame += 1
                end = change.end
                if end is not None:
                    found.entry = found.entry._replace(
                        status=end.status,
                        result=end.result,
                        error=end.error,
                        updated=end.at,
                        owner=ABANDONED,
                    )
        return lost

    def newest(self, number: int, before: int) -> Iterable[list[Record]]:
        """Return the frames before one, the newest first."""
        with self._lock:
            return self._executions[number].frames[:before][::-1]

    def frames(self, number: int) -> Iterable[list[Record]]:
        """Return the frames of an execution in the order of their writing."""
        with self._lock:
            return list(self._executions[number].frames)

    def blob(self, ref: BlobRef) -> bytes:
        """Never called: payloads of any size are kept where they are."""
        raise LookupError(ref)

    def find(self, name: str) -> Entry | None:
        """Return the execution of that name."""
        with self._lock:
            number = self._names.get(name)
            return None if number is None else self._look(number)

    def entries(self, status: str | None = None) -> list[Entry]:
        """Return all executions with their values, oldest first."""
        with self._lock:
            found = [self._look(number) for number in self._executions]
        return [e for e in found if status is None or e.status == status]

    def summaries(self, status: str | None = None) -> Iterable[Summary]:
        """Return all executions, oldest first, without reading their values."""
        return [
            Summary(*entry[:4], entry.created, entry.updated, entry.owned)
            for entry in self.entries(status)
        ]

    def below(self, name: str) -> list[str]:
        """Return the names of unfinished executions that begin with `name` and a /."""
        with self._lock:
            return [
                known
                for known, number in self._names.items()
                if known.startswith(f"{name}/")
                and self._executions[number].entry.status == RUNNING
            ]

    def post(
        self,
        execution: int,
        kind: str,
        operation: bytes = b"",
        payload: bytes | None = None,
        error: Failure | None = None,
    ) -> bool:
        """Leave a message; False if its operation has an outcome, or nobody runs it."""
        with self._lock:
            if operation:
                found = self._executions.get(execution)
                key = (execution, operation)
                if found is None or found.entry.status != RUNNING:
                    return False
                if key in self._answered:
                    return False
                if kind in OUTCOMES:
                    self._answered.add(key)
            number = len(self._messages) + 1
            self._messages.append(
                Message(number, execution, kind, operation, payload, error, now_us())
            )
            return True

    def messages(self, execution: int | None, after: int) -> list[Message]:
        """Return messages of one or of all executions with higher numbers."""
        with self._lock:
            return [
                message
                for message in self._messages[after:]
                if execution is None or message.execution == execution
            ]

    def delete(self, numbers: Iterable[int]) -> int:
        """Remove finished executions; return how many there were."""
        removed = 0
        with self._lock:
            for number in numbers:
                found = self._executions.get(number)
                if found is not None and found.entry.status != RUNNING:
                    del self._executions[number]
                    del self._names[found.entry.name]
                    removed += 1
        return removed

    def close(self) -> None:
        """Do nothing: others may share it."""
