"""What runs a durable function in a test: on a clock of its own, after crashes, too."""

from __future__ import annotations

import base64
import concurrent.futures as cf
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from fastflow.base.durations import Time, seconds_of
from fastflow.base.options import check_choice, check_count
from fastflow.base.timers import VirtualClock
from fastflow.durable.callback import make_callback_id
from fastflow.durable.exceptions import ValidationError
from fastflow.durable.functions import DurableFunction
from fastflow.durable.handle import Handle
from fastflow.durable.history import Event, Operation, events, operations
from fastflow.durable.lambda_service import (
    ErrorObject,
    InvocationStatus,
    OperationStatus,
    OperationType,
)
from fastflow.durable.runner import DurableRunner
from fastflow.durable.runtime.failures import as_error_object
from fastflow.journal.journal import Change, Entry, Journal
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.records import Record, checksum, decode_frame, encode_frame
from fastflow.journal.serdes import decode
from fastflow.journal.sqlite import SqliteJournal
from fastflow.journal.statuses import ExecutionStatus
from fastflow.journal.writer import Probe

__all__ = [
    "DurableFunctionTestResult",
    "DurableFunctionTestRunner",
    "InvocationStatus",
    "OperationStatus",
    "OperationType",
    "SimulatedCrash",
]

_GOLDEN = 1  # version of golden histories


class SimulatedCrash(BaseException):
    """What `DurableFunctionTestRunner.crash_at` lets a run end with.

    Derives from BaseException: a program can't catch its own death.
    """


class _Life:
    """From one simulated crash to the next: what a process has in memory.

    A crash ends all executions of its life, and nothing of it is written afterwards,
    whatever threads are left of it go on to do; the next life has only the journal.
    """

    def __init__(
        self,
        make: Callable[[VirtualClock | None, Probe], DurableRunner],
        clock: VirtualClock | None,
        probe: Probe,
    ) -> None:
        self._probe = probe
        self.clock = clock
        self.crash: SimulatedCrash | None = None
        self.runner = make(clock, self._tell)

    def _tell(self, moment: str, records: list[Record]) -> None:
        if self.crash is None:
            try:
                self._probe(moment, records)
                return
            except SimulatedCrash as crash:
                self.crash = crash
            # All of a process dies, not only the execution that came to the place.
            for execution in self.runner._keeper.executions():
                execution.abort(self.crash)
        raise self.crash

    def next(
        self, make: Callable[[VirtualClock | None, Probe], DurableRunner]
    ) -> _Life:
        """Return the life after this one; its time goes on where this one's was."""
        clock = None if self.clock is None else VirtualClock(self.clock.now())
        following = _Life(make, clock, self._probe)
        before, after = self.runner, following.runner
        after.register(*before._functions.values())
        after._runtime.holds = before._runtime.holds
        before.close()
        return following


@dataclass(frozen=True)
class DurableFunctionTestResult:
    """How a run ended, and what it consisted of."""

    status: InvocationStatus
    result: Any
    """What the function returned."""
    raw_result: str | None
    """The same, as it is stored."""
    error: ErrorObject | None
    operations: list[Operation]
    """All operations, flat, in the order in which they were recorded."""
    events: list[Event] = field(repr=False)
    execution_name: str = ""

    def get_operation_by_name(self, name: str) -> Operation:
        """Return the operation of a name.

        Raises
        ------
        LookupError
            If there is none, or several.
        """
        return self._one(name, [op for op in self.operations if op.name == name])

    def _one(self, name: str, found: list[Operation]) -> Operation:
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{len(found)} operations are called {name!r}")
        names = ", ".join(sorted({repr(op.name) for op in self.operations}))
        raise LookupError(f"no such operation is called {name!r}; there are {names}")

    def _typed(self, name: str, kind: OperationType) -> Operation:
        return self._one(
            name,
            [
                op
                for op in self.operations
                if op.name == name and op.operation_type is kind
            ],
        )

    def get_step(self, name: str) -> Operation:
        """Return the step of a name."""
        return self._typed(name, OperationType.STEP)

    def get_wait(self, name: str) -> Operation:
        """Return the wait of a name."""
        return self._typed(name, OperationType.WAIT)

    def get_context(self, name: str) -> Operation:
        """Return the child context, batch or branch of a name."""
        return self._typed(name, OperationType.CONTEXT)

    def get_callback(self, name: str) -> Operation:
        """Return the callback of a name."""
        return self._typed(name, OperationType.CALLBACK)

    def get_invoke(self, name: str) -> Operation:
        """Return the invocation of a name."""
        return self._typed(name, OperationType.CHAINED_INVOKE)

    def get_all_operations(self) -> list[Operation]:
        """Return all operations."""
        return list(self.operations)


class DurableFunctionTestRunner:
    """Runs one durable function for tests.

    Parameters
    ----------
    handler : durable function
    lambda_function_name : str, optional
        A name for messages only.
    skip_time : bool
        Whether waits, delays and time limits are on a virtual clock, which goes on to
        the next of them when nothing else can happen.  The time limit of a step's
        function is real time, half a second at most.
    store : path or Journal, optional
        Default: in memory.
    executor : concurrent.futures.Executor or str, optional
    default_retry : callable, optional
    """

    def __init__(
        self,
        handler: DurableFunction[Any],
        lambda_function_name: str | None = None,
        *,
        skip_time: bool = True,
        store: str | os.PathLike[str] | Journal | None = None,
        executor: cf.Executor | str | None = None,
        default_retry: Callable[[Exception, int], Any] | None = None,
    ) -> None:
        if not isinstance(handler, DurableFunction):
            raise ValidationError(
                "the handler must be decorated with @durable_execution; got "
                f"{handler!r}"
            )
        self.handler = handler
        self.lambda_function_name = lambda_function_name or handler.function_name
        self._journal: Journal = (
            MemoryJournal()
            if store is None
            else SqliteJournal(store)
            if isinstance(store, str | os.PathLike)
            else store
        )
        self._changed = threading.Condition()
        self._crash: tuple[str, str, int] | None = None
        """Name, moment, and how many records of that name until then."""
        self._runs = 0
        self._name = ""
        self._handles: dict[str, Handle[Any]] = {}
        self._executor = executor
        self._default_retry = default_retry
        clock = VirtualClock() if skip_time else None
        self._life = _Life(self._make, clock, self._probe)

    def _make(self, clock: VirtualClock | None, probe: Probe) -> DurableRunner:
        return DurableRunner(
            self._journal,
            executor=self._executor,
            default_retry=self._default_retry,
            _clock=clock,
            _probe=probe,
        )

    @property
    def _runner(self) -> DurableRunner:
        """The one that lives: after a crash, another one."""
        if self._life.crash is not None:
            self._life = self._life.next(self._make)
        return self._life.runner

    # Running

    def run(
        self,
        input: Any = None,  # noqa: A002
        timeout: Time = 60.0,
        execution_name: str | None = None,
    ) -> DurableFunctionTestResult:
        """Run the function to its end and return how that was.

        After a simulated crash, the next run goes on with the same execution.

        Parameters
        ----------
        input
            The event.
        timeout : time
            Real time.

        Raises
        ------
        TimeoutError
            If it takes longer; it is cancelled then.
        SimulatedCrash
            If `crash_at` said so.
        UnrecoverableError, JournalError
            If the execution could neither succeed nor fail.
        """
        seconds = seconds_of("timeout", timeout)
        name = self._next_name(execution_name)
        runner = self._runner
        outcome: list[BaseException | None] = []

        def target() -> None:
            try:
                runner.run(self.handler, input, name)
                outcome.append(None)
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=target, name="durable-test", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            runner.cancel(name)
            raise TimeoutError(f"the run did not end within {seconds:g} s")
        return self._finish(name, outcome[0])

    def _next_name(self, given: str | None) -> str:
        entry = self._journal.find(self._name) if self._name else None
        if given is None and (entry is None or entry.status != ExecutionStatus.RUNNING):
            self._runs += 1
            given = f"test-{self._runs}"
        self._name = given or self._name
        return self._name

    def _finish(
        self, name: str, error: BaseException | None
    ) -> DurableFunctionTestResult:
        entry = self._journal.find(name)
        if entry is None or entry.status == ExecutionStatus.RUNNING:
            raise error or RuntimeError(f"execution {name!r} has no end")
        return self._result(entry)

    def _result(self, entry: Entry) -> DurableFunctionTestResult:
        good = entry.status == ExecutionStatus.SUCCEEDED
        raw = None if entry.result is None else entry.result.decode()
        return DurableFunctionTestResult(
            InvocationStatus.SUCCEEDED if good else InvocationStatus.FAILED,
            None if entry.result is None else decode(entry.result),
            raw,
            as_error_object(entry.error),
            operations(self._journal, entry),
            events(self._journal, entry),
            entry.name,
        )

    def run_async(self, input: Any = None, execution_name: str | None = None) -> str:  # noqa: A002
        """Start the function in the background; return the execution's name.

        Until `wait_for_result`, a virtual clock stands still while callbacks are open.
        """
        name = self._next_name(execution_name)
        runner = self._runner
        runner._runtime.holds += 1
        self._handles[name] = runner.start(self.handler, input, name)
        return name

    def wait_for_result(
        self, execution_name: str, timeout: Time = 60.0
    ) -> DurableFunctionTestResult:
        """Wait for a function that `run_async` started; see `run`."""
        seconds = seconds_of("timeout", timeout)
        handle = self._handles.pop(execution_name)
        runtime = self._runner._runtime
        runtime.holds -= 1
        runtime.nudge()
        try:
            error = handle.exception(seconds)
        except TimeoutError:
            handle.cancel()
            raise TimeoutError(f"it did not end within {seconds:g} s") from None
        return self._finish(execution_name, error)

    # Callbacks

    def wait_for_callback(
        self, execution_name: str, name: str | None = None, timeout: Time = 60.0
    ) -> str:
        """Return the id of an open callback, as soon as there is one.

        Parameters
        ----------
        name : str, optional
            Of the callback; default: any.
        """
        seconds = seconds_of("timeout", timeout)
        end = time.monotonic() + seconds
        with self._changed:
            while True:
                found = self._open_callback(execution_name, name)
                if found is not None:
                    return found
                if not self._changed.wait(end - time.monotonic()):
                    raise TimeoutError(f"no callback is open after {seconds:g} s")

    def _open_callback(self, execution_name: str, name: str | None) -> str | None:
        entry = self._journal.find(execution_name)
        if entry is None:
            return None
        for operation in operations(self._journal, entry):
            if (
                operation.operation_type is OperationType.CALLBACK
                and operation.status is OperationStatus.STARTED
                and (name is None or operation.name == name)
            ):
                key = bytes.fromhex(operation.operation_id)
                return make_callback_id(entry.number, key)
        return None

    def send_callback_success(self, callback_id: str, result: Any = None) -> None:
        """Complete a callback with a result."""
        self._runner.send_callback_success(callback_id, result)

    def send_callback_failure(
        self,
        callback_id: str,
        error: BaseException | ErrorObject | str | None = "failed",
    ) -> None:
        """Complete a callback with an error."""
        self._runner.send_callback_failure(callback_id, error)

    def send_callback_heartbeat(self, callback_id: str) -> None:
        """Say that a callback's result is still being worked on."""
        self._runner.send_callback_heartbeat(callback_id)

    # Crashes

    def crash_at(
        self,
        operation_name: str,
        when: Literal["before_commit", "after_commit"] = "before_commit",
        record: int = 1,
    ) -> None:
        """Let the next run die when an operation's record is written.

        All that runs here dies with it, as with a process: invoked executions and what
        `run_async` has started, too.

        Parameters
        ----------
        operation_name : str
            The operation's, or that of several, as in the branches of a batch.
        when : {"before_commit", "after_commit"}
            Before: its function has run, but nobody will know.  After: its result is in
            the journal, but the program has not seen it.
        record : int
            Which record of that name, from 1.  A wait, a batch, a callback and a step
            with retries have more than one: how they begin, go on, and end.
        """
        check_choice("when", when, ("before_commit", "after_commit"))
        check_count("record", record)
        self._crash = (operation_name, when, record)

    def _probe(self, moment: str, records: list[Record]) -> None:
        if self._crash is not None and self._crash[1] == moment:
            name, when, left = self._crash
            left -= sum(record.name == name for record in records)
            self._crash = None if left <= 0 else (name, when, left)
            if left <= 0:
                raise SimulatedCrash(f"{moment} of {name!r}")
        if moment == "after_commit":
            with self._changed:
                self._changed.notify_all()

    # Golden histories

    def check_golden(
        self,
        path: str | os.PathLike[str],
        input: Any = None,  # noqa: A002
        *,
        update: bool = False,
    ) -> DurableFunctionTestResult:
        """Replay a history that was kept in a file; the function must not do anything.

        So a change of the function that executions under way would not survive is
        noticed.  If the file does not exist, or to `update` it, the function is run and
        its history is kept there.

        Raises
        ------
        NonDeterministicExecutionError
            If the function meets other operations than the history has.
        AssertionError
            If it does more than that, or returns something else.
        """
        path = Path(path)
        if update or not path.exists():
            result = self.run(input)
            path.write_text(json.dumps(self._golden(result), indent=1) + "\n", "utf-8")
            return result
        golden = json.loads(path.read_text("utf-8"))
        if golden.get("version") != _GOLDEN:
            raise ValueError(
                f"{path} is of version {golden.get('version')}, not {_GOLDEN}; make "
                "it anew with update=True"
            )
        return self._replay(golden, path)

    def _golden(self, result: DurableFunctionTestResult) -> dict[str, Any]:
        entry = self._journal.find(result.execution_name)
        assert entry is not None
        return {
            "version": _GOLDEN,
            "input": entry.input.decode(),
            "status": entry.status,
            "result": result.raw_result,
            "operations": [
                f"{op.sub_type} {op.name or '-'}: {op.status.value}"
                for op in result.operations
            ],
            "frames": [
                base64.b64encode(encode_frame(frame)).decode()
                for frame in self._journal.frames(entry.number)
            ],
        }

    def _replay(self, golden: dict[str, Any], path: Path) -> DurableFunctionTestResult:
        journal = MemoryJournal()
        name = self.handler.function_name
        data = golden["input"].encode()
        owner = journal.enter(1.0)
        entry = journal.begin("golden", name, data, owner)
        for number, text in enumerate(golden["frames"]):
            frame = base64.b64decode(text)
            records = decode_frame(0, frame, checksum(0, frame))
            journal.write([Change(entry.number, entry.fence, number, records)])
        journal.leave(owner)
        replay = DurableFunctionTestRunner(
            self.handler, self.lambda_function_name, store=journal
        )
        with replay:
            result = replay.run(decode(data), execution_name="golden")
        frames = len(list(journal.frames(entry.number)))
        status = (
            "SUCCEEDED" if result.status is InvocationStatus.SUCCEEDED else "FAILED"
        )
        if frames != len(golden["frames"]):
            raise AssertionError(f"the function does more than {path} has")
        if (status, result.raw_result) != (golden["status"], golden["result"]):
            raise AssertionError(
                f"{path} ends with {golden['status']} {golden['result']}, the function "
                f"now with {status} {result.raw_result}"
            )
        return result

    # Lifetime

    def close(self) -> None:
        """Close the store."""
        self._runner.close()
        self._journal.close()

    def __enter__(self) -> DurableFunctionTestRunner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The journal of a run stays readable for the rest of the test.
        for handle in self._handles.values():
            handle.cancel()
