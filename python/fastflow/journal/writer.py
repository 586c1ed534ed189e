"""The one writer of a journal: group commit without a thread of its own.

Whoever needs its record committed takes the turn and writes *everything* that is queued
by then, of all executions, in one transaction; who comes meanwhile queues its record
and waits for the turn, to find it written or to write for all those behind it.  Alone,
that is one call with no hand-over to another thread, so grouping adds no
latency.  Records that nobody waits for yet (`add`) go with the next commit.

Order: records of an execution are written in the order in which they were queued, and a
frame holds a contiguous part of that order.  `add` looks at the scopes and queues under
one lock, and so does the decision that closes a scope: nothing of a closed scope is
queued after the record that closed it.

Failure: the execution whose records were not written is *broken*: its queue is dropped,
`add` and `commit` raise the reason from then on, and it stays unfinished in the
journal. Nothing that was acknowledged is lost, and nothing is acknowledged that is not
there.  What can't be written for a reason of its own, as it can't be encoded, breaks
its execution and no other of the group.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from fastflow.errors import Cancelled
from fastflow.journal.errors import JournalError, LeaseLostError
from fastflow.journal.journal import Change, End, Journal
from fastflow.journal.records import Record
from fastflow.run.scope import Scope

__all__ = ["Stream", "Writer"]


class Stream:
    """The records of one execution on their way into the journal."""

    __slots__ = ("broken", "committed", "end", "fence", "frame", "number", "on_broken",
                 "queue", "queued")  # fmt: skip

    def __init__(self, number: int, fence: int, frame: int) -> None:
        self.number = number
        self.fence = fence
        self.frame = frame
        self.queue: list[Record] = []
        self.end: End | None = None
        self.queued = 0
        """Number of the record that was queued last, from 1."""
        self.committed = 0
        """All records up to this number are in the journal."""
        self.broken: BaseException | None = None
        self.on_broken: Callable[[], object] | None = None


class Probe(Protocol):
    """Hooks for tests that crash at a commit."""

    def __call__(self, moment: str, records: list[Record]) -> None:
        """Be told of ``"before_commit"`` and ``"after_commit"``."""


class Writer:
    """Writes the records of all executions that run here."""

    def __init__(self, journal: Journal, probe: Probe | None = None) -> None:
        self._journal = journal
        self._probe = probe
        self._mutex = threading.Lock()  # for the queues; never held while writing
        self._turn = threading.Lock()  # held while writing
        self._dirty: dict[int, Stream] = {}
        self.waiting = 0
        """Records queued that nobody waits for, about: a hint when to `flush`."""

    def add(
        self,
        stream: Stream,
        record: Record,
        scope: Scope | None = None,
        closing: Scope | None = None,
    ) -> int:
        """Queue a record; return its number, for `commit`.

        Parameters
        ----------
        scope : Scope, optional
            Raise ``Cancelled`` if it is over.
        closing : Scope, optional
            Closed in the same moment.
        """
        with self._mutex:
            if stream.broken is not None:
                raise stream.broken
            around = scope  # as `over` does, which would take longer than the rest
            while around is not None:
                if around.closed:
                    raise Cancelled("what this belongs to has ended meanwhile")
                around = around.parent
            if closing is not None:
                closing.closed = True
            stream.queue.append(record)
            stream.queued += 1
            self._dirty[stream.number] = stream
            self.waiting += 1
            return stream.queued

    def commit(self, stream: Stream, number: int) -> None:
        """Return once record `number` of the stream is in the journal.

        Raises
        ------
        JournalError
            If it could not be written.
        """
        while stream.committed < number:
            if stream.broken is not None:
                raise stream.broken
            with self._turn:
                if stream.committed < number and stream.broken is None:
                    self._write()

    def finish(self, stream: Stream, end: End) -> None:
        """Write what is left of an execution, and how it ended."""
        with self._mutex:
            if stream.broken is not None:
                raise stream.broken
            stream.end = end
            stream.queued += 1
            self._dirty[stream.number] = stream
            number = stream.queued
        self.commit(stream, number)

    def flush(self) -> None:
        """Write all that is queued, of executions that are not broken."""
        if self._dirty:
            with self._turn:
                self._write()

    def abandon(self, stream: Stream, reason: BaseException) -> None:
        """Refuse all further records of an execution; forget those that are queued."""
        with self._mutex:
            first = stream.broken is None
            if first:
                stream.broken = reason
            stream.queue = []
            self._dirty.pop(stream.number, None)
        if first and stream.on_broken is not None:
            stream.on_broken()

    def _write(self) -> None:
        """Write everything that is queued.  REQUIRES: the turn."""
        with self._mutex:
            dirty, self._dirty = self._dirty, {}
            self.waiting = 0
            taken = []
            for stream in dirty.values():
                change = Change(
                    stream.number,
                    stream.fence,
                    stream.frame,
                    stream.queue,
                    stream.end,
                )
                taken.append((stream, stream.queued, change))
                stream.queue = []
        if not taken:
            return
        changes = [change for _, _, change in taken]
        try:
            if self._probe is not None:
                self._tell("before_commit", changes)
            lost = self._journal.write(changes)
        except BaseException as error:
            self._failed(dirty.values(), error)
            if isinstance(error, Exception):
                return  # whoever waits finds it in the stream
            raise
        for stream, number, change in taken:
            if change.error is not None:
                # Its own fault: the others of the group have been written.
                self._failed([stream], change.error)
                change.error = None
                continue
            if lost and change.number in lost:
                self.abandon(stream, _lost(change.number))
                continue
            stream.frame = change.frame
            stream.committed = number
        if self._probe is not None:
            try:
                self._tell("after_commit", changes)
            except BaseException as error:
                self._failed(dirty.values(), error)
                raise

    def _failed(self, streams: Iterable[Stream], error: BaseException) -> None:
        reason = error
        # Ctrl-C and the like stay what they are for everybody.
        if isinstance(error, Exception) and not isinstance(error, JournalError):
            reason = JournalError(f"the journal can't be written: {error!r}")
            reason.__cause__ = error
        for stream in streams:
            self.abandon(stream, reason)

    def _tell(self, moment: str, changes: Sequence[Change]) -> None:
        assert self._probe is not None
        for change in changes:
            self._probe(moment, change.records)


def _lost(number: int) -> LeaseLostError:
    return LeaseLostError(
        f"execution {number} was taken over by another process, which took this one "
        "for dead; what was acknowledged is safe there"
    )
