"""Batches: ``parallel``, ``map`` and ``race``.

`Batch` is the coordinator of one of them.  It owns the state of the branches; replays
only send it events through its queue, one at a time, so there is no lock here.  Two
numbers are shared with the scheduler, each written by one side only: how many branches
may have begun (`_allowed`, written here) and how many have (`_begun`, written while the
scheduler asks for the next replay).

After each event the completion policy decides.  The decision is recorded together with
the results, in the same moment in which the scope of the branches is closed, so nothing
of theirs can follow it.  When a process dies before that, the branches that had ended
are counted again in the order of their ends, which leads to the same decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from fastflow.base.serial_queue import SerialQueue
from fastflow.base.timers import Timer
from fastflow.durable.completion import CompletionPolicy
from fastflow.durable.config import (
    BatchItemStatus,
    CompletionItemStatus,
    NestingType,
    ParallelConfig,
    to_seconds,
)
from fastflow.durable.exceptions import (
    ChildContextError,
    SuspendExecution,
)
from fastflow.durable.operations.operation import Operation
from fastflow.durable.results import BatchItem, BatchResult, CompletionReason
from fastflow.durable.runtime.failures import (
    as_error_object,
    leaves_unfinished,
    to_failure,
)
from fastflow.durable.runtime.replay import Pending, Replay, finish_call
from fastflow.errors import Cancelled, TaskTimeout
from fastflow.journal.identity import branch_id
from fastflow.journal.payloads import dump, load, through
from fastflow.journal.records import BEGUN, FAILED, SUCCEEDED, Failure, Record
from fastflow.journal.serdes import SerDesContext, decode
from fastflow.pool.dispatch import after_limit
from fastflow.run.scope import Scope

if TYPE_CHECKING:
    from fastflow.durable.operations.position import Position

__all__ = ["Batch", "BatchOperation", "Branches"]

_ABSENT, _STARTED, _SUCCEEDED, _FAILED = range(4)
_STATUS = {
    _STARTED: BatchItemStatus.STARTED,
    _SUCCEEDED: BatchItemStatus.SUCCEEDED,
    _FAILED: BatchItemStatus.FAILED,
}


class Branches(msgspec.Struct, frozen=True):
    """What a batch consists of."""

    count: int
    call: Callable[[int, Any], Any]
    """``call(index, context)`` runs a branch."""
    name: Callable[[int], str | None]
    subtype: str


class _Decision(msgspec.Struct, array_like=True, gc=False):
    """A finished batch, as it is recorded."""

    reason: str
    states: bytes
    """One byte for each branch that was admitted."""
    results: bytes | list[bytes]
    """Of those that succeeded: one JSON array, or each as its serdes wrote it."""
    errors: list[Failure]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Decision).decode


class Batch(Pending):
    """One batch that is running in this process."""

    __slots__ = (
        "_admitted",
        "_allowed",
        "_begun",
        "_branches",
        "_counts",
        "_errors",
        "_lines",
        "_operation",
        "_payloads",
        "_policy",
        "_queue",
        "_recalled",
        "_scope",
        "_since",
        "_states",
        "_timer",
        "_values",
        "config",
        "queued",
        "result",
        "ticket",
    )  # fmt: skip

    single = False

    def __init__(
        self, operation: BatchOperation, branches: Branches, config: ParallelConfig
    ) -> None:
        super().__init__(operation.context._replay)
        self._operation = operation
        self._branches = branches
        self.config = config
        self._policy = CompletionPolicy.from_config(
            branches.count, config.completion_config
        )
        self._scope = Scope(operation.context._scope)
        self._states = bytearray(branches.count)
        self._payloads: dict[int, bytes] = {}
        self._values: dict[int, Any] = {}
        self._errors: dict[int, Failure] = {}
        self._counts = [0, 0, 0, 0]
        self._lines: dict[int, Replay] = {}
        self._queue: SerialQueue[tuple[Any, ...]] = SerialQueue(self._handle)
        self._timer: Timer | None = None
        self._admitted = 0  # index from which on none has been admitted
        self._begun = 0  # branches, in this process
        self._allowed = 0  # to begin
        self._recalled = 0  # that had ended in another process
        self._since = 0  # frame from which on there is nothing but what is below
        self.queued = False
        self.result: BatchResult[Any] | None = None
        self.ticket = 0

    # Events, one at a time

    def send(self, *event: Any) -> None:
        """Send an event: a method and its arguments."""
        self._queue.send(event)

    def _handle(self, event: tuple[Any, ...]) -> None:
        if self.done or self._scope.closed:
            if not event:  # cancelled
                self._close()
            return
        try:
            event[0](*event[1:])
        except BaseException as error:
            # A predicate that raises, a journal that can't be written, a result that
            # can't: nothing of this execution can go on.  Unless what the batch
            # belongs to has ended meanwhile.
            if not (isinstance(error, Cancelled) and self._scope.over):
                self.replay.execution.interrupt(error)
            self._close()

    def start(self, due: int) -> None:
        """Count what had ended before, then admit branches.

        Parameters
        ----------
        due : int
            When the time limit is over, in microseconds; 0: never.
        """
        self.send(self._start, due)

    def _start(self, due: int) -> None:
        execution = self.replay.execution
        for record in execution.branches_of(self._operation.id):
            self._recall(record)
            if self._decide():
                return
        if self._counts == [0, 0, 0, 0] and self._decide():
            return
        if due:
            most = to_seconds(self.config.timeout)
            self._timer = execution.runtime.call_at(due, most, self.send, self._expire)
        self._allow()

    def _recall(self, record: Record) -> None:
        """Take over how a branch ended in another process."""
        index = record.attempt
        if self._states[index]:
            return
        self._recalled += 1
        if record.action == SUCCEEDED:
            data = self.replay.execution.payload(record) or b"null"
            value = load(data, self.config.item_serdes, self._item_context)
            self._ended(index, data, value, None)
        else:
            self._ended(index, None, None, record.error or Failure("it failed"))

    def _allow(self) -> None:
        most = self.config.max_concurrency
        before = self._allowed
        if most is None:
            self._allowed = self._branches.count
        else:
            ended = self._counts[_SUCCEEDED] + self._counts[_FAILED] - self._recalled
            self._allowed = min(ended + most, self._branches.count)
        if self._allowed > before:
            self.replay.execution.runtime.scheduler.push(self)

    def next_replay(self) -> Callable[[], object] | None:
        """Admit the next branch.  For the scheduler."""
        # Branches that ended in another process are passed over.
        if self._begun >= self._allowed or self._scope.closed:
            return None
        states, index = self._states, self._admitted
        while index < len(states) and states[index]:
            index += 1
        if index == len(states):
            return None
        self._admitted = index + 1
        self._begun += 1
        states[index] = _STARTED
        return _Branch(self, index).run

    def branch_ended(
        self, branch: Replay, value: Any, error: BaseException | None
    ) -> None:
        """Be told by a branch, on its thread, how it ended."""
        assert isinstance(branch, _Branch)
        if not self._since:
            self._find_since()
        data: bytes | None = None
        failure: Failure | None = None
        if error is None:
            try:
                data, value = through(
                    value, self.config.item_serdes, branch.serdes_context
                )
            except BaseException as raised:
                error = raised
        if error is not None and leaves_unfinished(error):
            if not isinstance(error, Cancelled):
                # No outcome of the branch: the whole execution has to be resumed.
                self.replay.execution.interrupt(error)
                return
            if self._scope.over:
                return
            # It stopped of its own accord: that is a failure like others.
        if error is not None:
            value, failure = None, to_failure(error)
        self._queue.send((self._branch_ended, branch, data, value, failure))

    def _branch_ended(
        self, branch: _Branch, data: bytes | None, value: Any, failure: Failure | None
    ) -> None:
        self._lines.pop(branch.index, None)
        if self.config.nesting_type is not NestingType.FLAT:
            self.replay.execution.add(branch.record(data, failure), self._scope)
        self._ended(branch.index, data, value, failure)
        if not self._decide() and self._allowed < self._branches.count:
            self._allow()

    def _find_since(self) -> None:
        """Find out from which frame on all that is written is of the branches.

        While the handler's own replay waits for this batch it records nothing, and
        batches that it has waited for are closed.  So that is any frame after the one
        with the record that this began; until that is in the journal, not known.

        Branches call this on their own threads; whichever of them writes, it is right.
        """
        stream = self.replay.execution.stream
        handlers = self.replay.scope is self.replay.execution.scope
        # In this order: the writer sets the frame before it says what is committed.
        if handlers and stream.committed >= self._operation.begun:
            self._since = stream.frame

    def _ended(
        self, index: int, data: bytes | None, value: Any, failure: Failure | None
    ) -> None:
        if failure is None:
            assert data is not None
            state = _SUCCEEDED
            self._payloads[index] = data
            self._values[index] = value
        else:
            state = _FAILED
            self._errors[index] = failure
        self._states[index] = state
        self._counts[state] += 1

    def _expire(self) -> None:
        """End the branches that have begun as failed, and the batch."""
        with after_limit():  # whichever thread is at the queue
            self._end_late()

    def _end_late(self) -> None:
        scheduler = self.replay.execution.runtime.scheduler
        begun = scheduler.hold(self._stop_admitting)
        limit = to_seconds(self.config.timeout)
        late = to_failure(TaskTimeout(f"the batch did not end within {limit:g} s"))
        for index in range(begun):
            if self._states[index] == _STARTED:
                self._ended(index, None, None, late)
        self._decide(otherwise=CompletionReason.FAILURE_TOLERANCE_EXCEEDED)

    def _stop_admitting(self) -> int:
        self._allowed = 0
        return self._admitted

    # The decision

    def _decide(self, otherwise: CompletionReason | None = None) -> bool:
        """Finish if the policy says so; whether the batch has finished.

        Parameters
        ----------
        otherwise : CompletionReason, optional
            Finish in any case, with this reason if the policy has none.
        """
        counts = self._counts
        reason = self._policy.decide(
            counts[_SUCCEEDED], counts[_FAILED], self._items_now
        )
        reason = reason or otherwise
        if reason is None:
            return False
        self._finish(reason)
        return True

    def _items_now(self) -> tuple[CompletionItemStatus, ...]:
        """Return the branches as a predicate sees them."""
        return tuple(
            CompletionItemStatus(index, self._branches.name(index), _STATUS.get(state))
            for index, state in enumerate(self._states)
        )

    def _finish(self, reason: CompletionReason) -> None:
        scheduler = self.replay.execution.runtime.scheduler
        scheduler.hold(self._stop_admitting)
        states = bytes(self._states)
        results = [self._payloads[i] for i, s in enumerate(states) if s == _SUCCEEDED]
        self.result = BatchResult(
            [
                BatchItem(
                    index,
                    _STATUS[state],
                    self._values.get(index),
                    as_error_object(self._errors.get(index)),
                )
                for index, state in enumerate(states)
                if state
            ],
            reason,
        )
        failed = [self._errors[i] for i, s in enumerate(states) if s == _FAILED]
        decision = _Decision(reason.value, states, self._joined(results), failed)
        self.ticket = self._record(decision)
        self._close()
        self.settle()

    def _joined(self, results: list[bytes]) -> bytes | list[bytes]:
        """Return results as one JSON array, if they are JSON, for one fast reading."""
        if self.config.item_serdes is not None:
            return results
        return b"[" + b",".join(results) + b"]"

    def _record(self, decision: _Decision) -> int:
        """Queue the record of the end, and let nothing of the branches follow it."""
        operation, serdes = self._operation, self.config.serdes
        if serdes is None:
            return operation.add(
                SUCCEEDED, _pack(decision), since=self._since, closing=self._scope
            )
        data = dump(self.result, serdes, operation.serdes_context)
        self.result = load(data, serdes, operation.serdes_context)
        return operation.add(SUCCEEDED, data, since=self._since, closing=self._scope)

    def _close(self) -> None:
        """Cancel what is left of the branches."""
        self._scope.closed = True
        if self._timer is not None:
            self._timer.cancel()
        replays, self._lines = self._lines, {}
        self._payloads, self._values, self._errors = {}, {}, {}
        for replay in replays.values():
            replay.give_up()

    def cancel(self) -> None:
        """End it without a result: nobody waits any more."""
        self._scope.closed = True
        self._queue.send(())  # by whoever is at the queue: not in his midst

    def _item_context(self) -> SerDesContext:
        return self._operation.serdes_context()


class _Branch(Replay):
    """One branch: a replay, and what is recorded of it."""

    __slots__ = ("_batch", "_started", "id", "index")

    def __init__(self, batch: Batch, index: int) -> None:
        super().__init__(
            batch.replay.execution, batch._scope, self._call, batch.branch_ended
        )
        self._batch = batch
        self.index = index
        self.id = branch_id(batch._operation.id, index)
        self._started = self.execution.runtime.now_us()
        batch._lines[index] = self

    def _call(self, _: Replay) -> Any:
        batch = self._batch
        operation = batch._operation
        flat = batch.config.nesting_type is NestingType.FLAT
        context = operation.context._branch(
            self,
            self.id,
            operation.id if flat else self.id,
            operation.number,
            self.index,
        )
        value = finish_call(batch._branches.call(self.index, context))
        if self.execution.loaded:
            context._check_leftover()
        return value

    def serdes_context(self) -> SerDesContext:
        """Return what a serdes may know of this branch."""
        batch = self._batch
        name = batch._branches.name(self.index) or f"branch {self.index}"
        return SerDesContext(
            operation_id=self.id.hex(),
            durable_execution_arn=self.execution.name,
            name=name,
        )

    def record(self, data: bytes | None, failure: Failure | None) -> Record:
        """Return the record of the branch's end; `attempt` is its index."""
        batch = self._batch
        return Record(
            self.id,
            batch._operation.id,
            "CONTEXT",
            batch._branches.subtype,
            batch._branches.name(self.index),
            SUCCEEDED if failure is None else FAILED,
            self.execution.runtime.now_us(),
            self._started,
            self.index,
            0,
            data,
            failure,
        )


class BatchOperation(Operation):
    """The operation that a batch is to the context that it was begun in."""

    __slots__ = ("_branches", "_config", "begun")

    kind = "CONTEXT"
    is_scope = True
    error_kind = ChildContextError

    def __init__(
        self,
        context: Position,
        subtype: str,
        name: str | None,
        branches: Branches,
        config: ParallelConfig,
    ) -> None:
        super().__init__(context, subtype, name, config.serdes)
        self._branches = branches
        self._config = config
        self.begun = 0  # number of the record; 0: another process made it

    def advance(self, record: Record | None) -> BatchResult[Any]:
        """Begin the batch, or go on waiting for it."""
        replay = self.context._replay
        batch, due = replay.pending.get(self.id), None
        if batch is None:
            due = self._begin(record)
            batch = Batch(self, self._branches, self._config)
            replay.begin(self.id, batch)
        assert isinstance(batch, Batch)
        try:
            if due is not None:
                batch.start(due)
            replay.wait_for(batch)
        except (SuspendExecution, Cancelled):
            raise
        except BaseException as error:
            # Ctrl-C, or what a signal's handler raised.  Were it caught, the program
            # would go on beside its own batch, and the journal could not be replayed.
            replay.execution.abort(error)
            raise
        replay.pending.pop(self.id, None)
        self.commit(batch.ticket)
        result, batch.result = batch.result, None  # the batch is part of a cycle
        assert result is not None
        return result

    def _begin(self, record: Record | None) -> int:
        """Record the beginning, unless it was; return when the time limit is over."""
        count = self._branches.count
        runtime = self.context._replay.execution.runtime
        if record is None:
            self.started = runtime.now_us()
            due = 0
            if self._config.timeout is not None:
                due = self.started + round(to_seconds(self._config.timeout) * 1e6)
            self.begun = self.add(BEGUN, attempt=count, due=due)
            return due
        if record.attempt != count:
            error = self.context._non_deterministic(
                recorded=f"{self.describe_now()} of {record.attempt} branches",
                current=f"{self.describe_now()} of {count} branches",
                operation_id=self.id,
            )
            self.context._replay.execution.abort(error)
            raise error
        return record.due

    def returned(self, record: Record) -> BatchResult[Any]:
        """Make the result from its record; no branch is touched."""
        data = self.context._replay.execution.payload(record)
        assert data is not None
        if self.serdes is not None:
            found: BatchResult[Any] = load(data, self.serdes, self.serdes_context)
            return found
        decision = _unpack(data)
        if isinstance(decision.results, bytes):
            results = iter(decode(decision.results))
        else:
            results = iter(
                load(item, self._config.item_serdes, self.serdes_context)
                for item in decision.results
            )
        errors = iter(decision.errors)
        succeeded = _STATUS[_SUCCEEDED]
        items = []
        for index, state in enumerate(decision.states):
            if state == _SUCCEEDED:
                items.append(BatchItem(index, succeeded, next(results), None))
            elif state == _FAILED:
                error = as_error_object(next(errors))
                items.append(BatchItem(index, _STATUS[state], None, error))
            elif state == _STARTED:
                items.append(BatchItem(index, _STATUS[state], None, None))
        return BatchResult(items, CompletionReason(decision.reason))
