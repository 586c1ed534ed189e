"""The Journal protocol: what a store of durable executions has to do.

`SqliteJournal` and `MemoryJournal` are the two that exist.  All methods may be called
from any thread.  A journal knows nothing of contexts and policies: it keeps executions,
their records in order, who owns them, and messages for them.

Ownership
---------
An execution is *owned* by the process that runs it; ownership lasts as long as the
owner's lease.  Each change of owner raises the execution's ``fence`` by one, and
`write` refuses what comes with another fence than the current one.  So a process that
was thought dead and comes back can't write any more (a fencing token).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import msgspec

from fastflow.base.modules import other_name
from fastflow.errors import shortened, shown
from fastflow.journal.errors import (
    DurableExecutionsError,
    ExecutionConflictError,
    JournalError,
)
from fastflow.journal.inputs import same_input
from fastflow.journal.records import BlobRef, Failure, Record
from fastflow.journal.statuses import ExecutionStatus

__all__ = [
    "ABANDONED",
    "ANSWER",
    "EXPIRED",
    "HEARTBEAT",
    "OUTCOMES",
    "RUNNING",
    "Change",
    "End",
    "Entry",
    "Journal",
    "Message",
    "Summary",
    "check_same",
    "journal_errors",
    "may_claim",
]

RUNNING = ExecutionStatus.RUNNING
"""Status of an execution without an end; others: SUCCEEDED, FAILED, CANCELLED."""
ANSWER = "callback"
"""Kind of a message that completes a callback."""
EXPIRED = "expired"
"""Kind of a message that says that a callback's limit has passed."""
HEARTBEAT = "heartbeat"
OUTCOMES = frozenset((ANSWER, EXPIRED))
ABANDONED = -1
"""Owner of an execution that nobody runs."""


class Entry(NamedTuple):
    """An execution as the journal knows it.  Times: microseconds since 1970."""

    number: int
    name: str
    function: str
    status: str
    input: bytes
    result: bytes | None
    error: Failure | None
    """Why it failed; of an unfinished one, why it was given up last, if known."""
    created: int
    updated: int
    owner: int
    fence: int
    frames: int
    """How many frames it has."""
    owned: bool
    """Whether the owner's lease holds."""


class Summary(NamedTuple):
    """An execution without its values, for lists.  Times: microseconds since 1970."""

    number: int
    name: str
    function: str
    status: str
    created: int
    updated: int
    owned: bool
    """Whether the owner's lease holds."""


class End(NamedTuple):
    """How an execution ended."""

    status: str
    result: bytes | None
    error: Failure | None
    at: int


class Change(msgspec.Struct):
    """What is to be written for one execution, in one transaction with all others."""

    number: int
    fence: int
    frame: int
    """Number of the first frame, from 0: the owner counts."""
    records: list[Record] = msgspec.field(default_factory=list)
    end: End | None = None
    error: Exception | None = None
    """Why nothing of it could be written, if the fault is its own; set by `write`."""


class Message(NamedTuple):
    """Something for an execution, from whoever does not own it."""

    number: int
    """Of the message, growing."""
    execution: int
    kind: str
    """``"cancel"``, `ANSWER`, `EXPIRED` or `HEARTBEAT`."""
    operation: bytes
    payload: bytes | None
    error: Failure | None
    at: int


class Journal(Protocol):
    """Keeps executions.  See the module for the rules."""

    def enter(self, lease: float) -> int:
        """Register this process as an owner; leases last `lease` seconds."""

    def renew(self, owner: int) -> bool:
        """Let the owner's lease last from now on; False if it was taken away."""

    def leave(self, owner: int) -> None:
        """Give up all that this owner has."""

    def begin(self, name: str, function: str, data: bytes, owner: int) -> Entry:
        """Make an execution, or take over the one of that name.

        A finished one is returned as it is.  One that `owner` has already gets a new
        fence: whether it is running is for the owner to know.

        Raises
        ------
        ExecutionInProgress
            If another owner's lease holds.
        ExecutionConflictError
            If it has another function or input.
        """

    def claim(self, number: int, owner: int) -> Entry | None:
        """Take over an unfinished execution; None if it has ended or another has it."""

    def release(self, number: int, fence: int, reason: Failure | None = None) -> None:
        """Own an unfinished execution no longer; it can be claimed at once.

        A reason is kept as its `Entry.error`, until another one or the end.
        """

    def write(self, changes: Sequence[Change]) -> list[int]:
        """Write changes; when this returns, they are there to stay, all of them.

        Returns the numbers of the executions whose fence did not match; nothing was
        written for them.  `Change.records` may be changed: large payloads become
        `BlobRef`.  What can't be written, as it can't be encoded, harms no other
        execution: `Change.error` says so.
        """

    def frames(self, number: int) -> Iterable[list[Record]]:
        """Return the frames of an execution in the order of their writing."""

    def newest(self, number: int, before: int) -> Iterable[list[Record]]:
        """Return the frames before the one of that number, the newest first."""

    def blob(self, ref: BlobRef) -> bytes:
        """Return a large payload."""

    def find(self, name: str) -> Entry | None:
        """Return the execution of that name."""

    def entries(self, status: str | None = None) -> list[Entry]:
        """Return all executions with their values, oldest first."""

    def summaries(self, status: str | None = None) -> Iterable[Summary]:
        """Return all executions, oldest first, without reading their values."""

    def below(self, name: str) -> list[str]:
        """Return the names of unfinished executions that begin with `name` and a /."""

    def post(
        self,
        execution: int,
        kind: str,
        operation: bytes = b"",
        payload: bytes | None = None,
        error: Failure | None = None,
    ) -> bool:
        """Leave a message for whoever runs an execution, now or later.

        Returns False, and leaves none, if it is about an operation (a callback) that
        has one of the `OUTCOMES` already, or whose execution has ended.
        """

    def messages(self, execution: int | None, after: int) -> list[Message]:
        """Return messages of one or of all executions with higher numbers.

        One that is not as it was written is left out and reported.
        """

    def delete(self, numbers: Iterable[int]) -> int:
        """Remove finished executions; return how many there were."""

    def close(self) -> None:
        """Close the store."""


@contextmanager
def journal_errors() -> Iterator[None]:
    """Let what a journal raises of its own be a JournalError: it is no program's."""
    try:
        yield
    except (DurableExecutionsError, MemoryError):
        raise
    except Exception as error:
        raise JournalError(f"the journal can't be used: {shown(error)}") from error


def may_claim(entry: Entry, owner: int) -> bool:
    """Whether an owner may take over an execution."""
    return entry.status == RUNNING and (not entry.owned or entry.owner == owner)


def check_same(entry: Entry, function: str, data: bytes) -> None:
    """Raise ExecutionConflictError if an execution is of something else."""
    same_function = entry.function == function or function == other_name(entry.function)
    for what, same, there, here in (
        ("function", same_function, entry.function, function),
        ("input", same_input(entry.input, data), entry.input, data),
    ):
        if not same:
            raise ExecutionConflictError(
                f"execution {entry.name!r} exists with another {what}: "
                f"{_short(there)}, not {_short(here)}; give this one another name",
            )


def _short(value: str | bytes) -> str:
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return shortened(text, 80)
