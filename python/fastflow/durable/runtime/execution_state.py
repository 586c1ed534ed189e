"""One execution in this process: its records, its root scope, and how it ends."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from fastflow import _core
from fastflow.base.log_ids import extra
from fastflow.durable.exceptions import JournalError
from fastflow.durable.runtime.runtime import Runtime
from fastflow.errors import add_note, text_of
from fastflow.journal.journal import (
    HEARTBEAT,
    OUTCOMES,
    RUNNING,
    End,
    Entry,
    Message,
    journal_errors,
)
from fastflow.journal.records import Failure, Record
from fastflow.journal.writer import Stream
from fastflow.pool.dispatch import Dispatch, after_limit
from fastflow.run.events import RunAbout
from fastflow.run.pauses import PAUSES
from fastflow.run.scope import Scope

__all__ = ["Execution", "Listener"]

_LOGGER = logging.getLogger("fastflow.durable")


class Listener(Protocol):
    """Who is told of messages for a callback."""

    def hear(self, message: Message) -> None:
        """Take a message."""


class Execution:
    """What all replays of one execution share.

    Parameters
    ----------
    entry : Entry
        As the journal gave it to this process, which owns it now.
    """

    def __init__(self, runtime: Runtime, entry: Entry) -> None:
        self.runtime = runtime
        self.name = entry.name
        self.function = entry.function
        self.number = entry.number
        self.input = entry.input
        self.created = entry.created
        """In microseconds since 1970."""
        self._resumed = entry.fence - 1
        self.context = _core.task_context()
        if runtime.pauses is not None:
            self.context.run(PAUSES.set, runtime.pauses)
        self.scope = Scope()
        self.stream = Stream(entry.number, entry.fence, entry.frames)
        self.stream.on_broken = self._broke
        self.add = partial(runtime.writer.add, self.stream)
        """Queue a record; returns its number for `commit`."""
        self.commit = partial(runtime.writer.commit, self.stream)
        """Return once record `number` is in the journal."""
        self.loaded: dict[bytes, Record] = {}
        """The last record of each operation, as they were when this process began."""
        self._branches: dict[bytes, list[Record]] | None = None
        self.inbox: dict[bytes, Message] = {}
        """Callback -> the message that completes it."""
        self.heard: dict[bytes, int] = {}
        """Callback -> when the last heartbeat for it was posted, in microseconds."""
        self.callbacks: dict[bytes, Listener] = {}
        """Callback -> who is to be told of messages for it."""
        self.on_stop: Callable[[], object] | None = None
        self.cancelled = False
        self.may_have_invoked = entry.fence > 1
        """Whether there may be executions that this one, or this one before, began."""
        if entry.frames:
            self._load(entry.frames)

    def _load(self, frame: int) -> None:
        """Read what is there below `frame`, but not what is below finished batches."""
        kept: list[list[Record]] = []
        while frame > 0:
            for records in self.runtime.journal.newest(self.number, frame):
                frame -= 1
                kept.append(records)
                since = [record.since for record in records if record.since]
                if since and min(since) < frame:
                    frame = min(since)
                    break
        kept.reverse()
        self.loaded = {record.id: record for frame in kept for record in frame}

    def branches_of(self, batch: bytes) -> list[Record]:
        """Return the ends of a batch's branches, in the order of their happening."""
        if self._branches is None:
            # A branch has one record, its end, so their order is that of the records.
            self._branches = defaultdict(list)
            for record in self.loaded.values():
                if record.subtype in BRANCHES:
                    self._branches[record.parent].append(record)
        return self._branches.get(batch, [])

    @property
    def replaying(self) -> bool:
        """Whether there is something to replay."""
        return bool(self.loaded)

    def payload(self, record: Record) -> bytes | None:
        """Return the payload of a record, wherever it is stored."""
        if record.blob is None:
            return record.payload
        with journal_errors():
            return self.runtime.journal.blob(record.blob)

    def deliver(self, message: Message) -> None:
        """Take a message that has come for this execution."""
        if message.kind == "cancel":
            self.cancel()
            return
        if message.kind in OUTCOMES:
            self.inbox.setdefault(message.operation, message)
        elif message.kind == HEARTBEAT:
            self.heard[message.operation] = message.at
        listener = self.callbacks.get(message.operation)
        if listener is not None:
            listener.hear(message)

    def cancel(self) -> None:
        """Let every replay end at its next operation."""
        self.cancelled = True
        self._stop()

    def interrupt(self, reason: BaseException) -> None:
        """Give up for a reason of the surroundings; keep what has been done."""
        try:
            if self.stream.broken is None and not isinstance(reason, JournalError):
                self.runtime.flush()
        except Exception as error:
            add_note(
                reason, f"what had been done could not be kept either: {text_of(error)}"
            )
        finally:
            self.abort(reason)

    def abort(self, reason: BaseException) -> None:
        """Give up: record nothing more, and leave the execution unfinished."""
        self.runtime.writer.abandon(self.stream, reason)

    @property
    def end(self) -> End | None:
        """How it ended, if that is in the journal."""
        return self.stream.end if self.stream.broken is None else None

    def _broke(self) -> None:
        self._stop()

    def _stop(self) -> None:
        self.scope.closed = True
        if self.on_stop is not None:
            self.on_stop()

    def finish(
        self, status: str, result: bytes | None = None, error: Failure | None = None
    ) -> None:
        """Record the end, and end what was invoked and isn't waited for any more."""
        assert status != RUNNING
        self.scope.closed = True
        end = End(status, result, error, self.runtime.now_us())
        self.runtime.writer.finish(self.stream, end)
        if self.may_have_invoked and self.runtime.cancel_below is not None:
            self.runtime.cancel_below(self.name)

    def tell_started(self) -> None:
        """Tell subscribers that it goes on here."""
        if self.runtime.events is not None:
            seed = f"{self.created}/{self.name}"
            about = RunAbout("durable", self.function, self._resumed, seed)
            self.runtime.events.run_started(self.name, about)

    def tell_ended(self, error: BaseException | None) -> None:
        """Tell subscribers that it is over here, or has been interrupted."""
        if self.runtime.events is not None:
            self.runtime.events.run_ended(self.name, error)

    def disown(self, name: str) -> None:
        """Cancel an invoked execution, as soon as the journal has why.

        For one that nobody waits for, as what has invoked it was decided meanwhile.  In
        this order, as otherwise a crash could make its cancellation the result.  If
        this execution itself is cancelled, its end sees to it; and if it is broken,
        there is no decision: resumed, it waits again.
        """
        if self.scope.closed or self.stream.broken is not None:
            return
        runtime, decided = self.runtime, self.stream.queued

        def cancel() -> None:
            self.commit(decided)
            assert runtime.cancel_execution is not None
            runtime.cancel_execution(name)

        self.aside(cancel, f"execution {name!r} could not be cancelled")

    def aside(self, call: Callable[[], object], failed: str) -> bool:
        """Make a call that may have to wait for the journal, on some other thread.

        Returns
        -------
        bool
            Whether it will be made.  It is not if there are no threads any more, at
            exit: then it must be one that whoever goes on with the execution makes up
            for, or that the caller makes.
        """
        scheduler = self.runtime.scheduler

        def done(dispatch: Dispatch) -> None:
            try:
                if dispatch.exception() is not None:
                    _LOGGER.warning(
                        "%s", failed, exc_info=dispatch.exception(),
                        extra=extra(self.name),
                    )  # fmt: skip
            finally:
                scheduler.leave()

        scheduler.enter()
        try:
            with after_limit():  # all threads may be busy for as long as they like
                self.runtime.calls.submit(call, done)
        except Exception:
            scheduler.leave()
            return False
        return True


BRANCHES: frozenset[Any] = frozenset(("ParallelBranch", "MapIteration", "RaceBranch"))
"""The subtypes of contexts that are branches of a batch."""
