"""``DurableRunner``: runs durable functions on a store."""

from __future__ import annotations

import concurrent.futures as cf
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from fastflow.base.durations import Time, seconds_of
from fastflow.base.log_ids import extra
from fastflow.base.names import check_name, name_of
from fastflow.base.options import check_choice
from fastflow.base.timers import VirtualClock
from fastflow.durable.answers import Answers
from fastflow.durable.context import DurableContext
from fastflow.durable.exceptions import (
    ExecutionInProgress,
    FunctionNotFoundError,
    JournalError,
    ValidationError,
)
from fastflow.durable.functions import (
    DurableFunction,
    function_called,
    registered,
)
from fastflow.durable.handle import Handle
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.runtime.execution_state import Execution
from fastflow.durable.runtime.failures import leaves_unfinished, rebuild, to_failure
from fastflow.durable.runtime.lease_keeper import LeaseKeeper
from fastflow.durable.runtime.replay import BlockingReplay, Replay, finish_call
from fastflow.durable.runtime.runtime import Runtime
from fastflow.errors import Cancelled, add_note, text_of
from fastflow.journal.identity import invoked_by
from fastflow.journal.journal import (
    RUNNING,
    End,
    Entry,
    Journal,
    Summary,
    journal_errors,
)
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.payloads import dump, load, through
from fastflow.journal.records import Failure
from fastflow.journal.serdes import SerDesContext
from fastflow.journal.sqlite import SqliteJournal
from fastflow.journal.statuses import ExecutionStatus
from fastflow.journal.writer import Probe
from fastflow.pool.dispatch import expire
from fastflow.pool.named import executor_of

__all__ = ["DurableRunner"]

_LOGGER = logging.getLogger("fastflow.durable")


T = TypeVar("T")
_LONGEST_LEASE = 1e9  # seconds


class DurableRunner:
    """Runs durable functions; what they have done is in the store.

    Parameters
    ----------
    store : str, Path or Journal
        A file (made if it does not exist), ``":memory:"``, or an object with the
        methods of `fastflow.durable.journal.Journal`.
    executor : concurrent.futures.Executor or str, optional
        Of threads; runs the branches.  Default: ``fastflow.default_executor()``.
    durability : {"normal", "full"}
        "normal" survives the death of the process; "full" syncs each commit to the
        disk and survives a power failure.
    default_retry : callable, optional
        The strategy of steps that name none.  Default: no retries.
    lease : time
        Without a sign of life after which another process may take over an
        execution of this one.  A process that was killed is noticed at once.
    subscribers : iterable of fastflow.run.events.Subscriber
        Are told what happens to executions, and to steps and polls as their jobs.

    Notes
    -----
    All methods may be called from any thread.  After a fork, make a new runner.

    Examples
    --------
    >>> from fastflow.durable import DurableRunner, durable_execution
    >>> @durable_execution
    ... def handler(event, context):
    ...     batch = context.map(event, lambda c, n, i, all: c.step(lambda _: n * n))
    ...     return batch.get_results()
    >>> with DurableRunner(":memory:") as runner:
    ...     runner.run(handler, [1, 2, 3], execution_name="squares")
    [1, 4, 9]
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Journal = ":memory:",
        executor: cf.Executor | str | None = None,
        *,
        durability: str = "normal",
        default_retry: Callable[[Exception, int], Any] | None = None,
        lease: Time = 10.0,
        subscribers: Iterable[Any] = (),
        _clock: VirtualClock | None = None,
        _probe: Probe | None = None,
    ) -> None:
        executor = _threads(executor)
        _check(default_retry)
        seconds = _lease(lease)
        self._owns_journal = isinstance(store, str | os.PathLike)
        self.journal = _open(store, durability)
        self._functions: dict[str, DurableFunction[Any]] = {}
        self._handles: dict[str, Handle[Any]] = {}
        self._active: set[str] = set()
        self._lock = threading.Lock()
        try:
            self._runtime = Runtime(
                self.journal, executor, default_retry, _clock, _probe, subscribers
            )
            # Last, as it is known to other processes.
            self._keeper = LeaseKeeper(
                self.journal,
                seconds,
                poll=not isinstance(self.journal, MemoryJournal),
            )
        except BaseException:
            if self._owns_journal:
                self.journal.close()
            raise
        self._runtime.start_function = self._start_function
        self._runtime.bring = self._keeper.bring
        self._answers = Answers(self._runtime, self._keeper)
        self._runtime.cancel_execution = self._cancel_if_there
        self._runtime.cancel_below = self._cancel_below
        self._finalizer = weakref.finalize(
            self, _shut, self._keeper, self.journal if self._owns_journal else None
        )

    # Running

    def run(
        self,
        handler: DurableFunction[T],
        input: Any = None,  # noqa: A002  (the specified name)
        execution_name: str | None = None,
    ) -> T:
        """Run a durable function in this thread, or return what it returned before.

        Parameters
        ----------
        handler : durable function
            ``handler(event, context)``.
        input
            The event; what the default serdes can store.
        execution_name : str, optional
            Identifies the execution in its store: one that has ended returns its result
            again, one that was interrupted goes on where it was.  Default: a new one.

        Returns
        -------
        object
            The function's result, as it comes back from the journal.

        Raises
        ------
        ExecutionInProgress
            If it is running elsewhere.
        ExecutionConflictError
            If the name belongs to another function or input.
        NonDeterministicExecutionError
            If the function has changed; the execution remains unfinished.
        JournalError
            If the store can't be written; the execution remains unfinished.
        Exception
            What the function raised, or had raised, as the journal keeps it: an
            exception of Python or of this package as what it was, any other as a
            `DurableOperationError` with its `error_type`, each with message, notes and
            causes.  Whatever is not the function's own outcome (a value that can't be
            stored, no memory, a store that can't be written, Ctrl-C, ...) comes out as
            itself, and the execution remains unfinished: run it again to go on.
        """
        entry, function = self._begin(handler, input, execution_name)
        if entry.status != RUNNING:
            return _stored(entry)  # type: ignore[no-any-return]
        execution = self._execution(entry)
        replay = BlockingReplay(execution, _program(function, execution))
        execution.on_stop = replay.wake
        execution.tell_started()
        value: Any = None
        error: BaseException | None = None
        try:
            self._keeper.add(execution)
        except BaseException as raised:
            self._not_begun(execution, raised)
            raise
        try:
            try:
                value = replay.call()
            except BaseException as raised:
                error = raised
            return self._conclude(execution, value, error)  # type: ignore[no-any-return]
        finally:
            self._release(execution)

    def start(
        self,
        handler: DurableFunction[T],
        input: Any = None,  # noqa: A002
        execution_name: str | None = None,
    ) -> Handle[T]:
        """Run a durable function in the background; see `run`.

        While it waits it holds no thread: it is run again from its top afterwards.
        """
        entry, function = self._begin(handler, input, execution_name)
        return self._go(entry, function)

    def recover(self) -> list[Handle[Any]]:
        """Go on with all unfinished executions of functions that are known here.

        Known are those whose modules have been imported, and registered ones.  What
        other processes are running is left alone.  An invoked execution goes on with
        the one that waits for it; if that has ended, it is cancelled.  One that can't
        be read is among the handles with the reason, and keeps no other from going on.
        """
        handles = []
        for entry in self.journal.summaries(RUNNING):
            function = self._find(entry.function)
            if function is None or self._is_left_to_parent(entry):
                continue
            handle = self._recover(entry, function)
            if handle is not None:
                handles.append(handle)
        return handles

    def _recover(
        self, entry: Summary, function: DurableFunction[Any]
    ) -> Handle[Any] | None:
        try:
            claimed = self._claim(entry)
            return None if claimed is None else self._go(claimed, function)
        except Exception as error:
            handle: Handle[Any] = Handle(entry.name)
            handle._settle(None, error, None)
            return handle

    def resume(self, execution_name: str) -> Handle[Any]:
        """Go on with one unfinished execution, in the background."""
        entry = self._entry(execution_name)
        function = self._find(entry.function)
        if function is None:
            raise FunctionNotFoundError(
                f"the function {entry.function!r} of execution {execution_name!r} is "
                "not known; import its module, or register() it"
            )
        if entry.status == RUNNING:
            entry = self._own(entry.name, entry.function, entry.input)
        return self._go(entry, function)

    def register(self, *handlers: DurableFunction[Any]) -> None:
        """Make durable functions known, for `recover` and ``invoke``."""
        for handler in handlers:
            function = _as_function(handler)
            self._functions[function.function_name] = function

    def cancel(self, execution_name: str) -> bool:
        """Have an execution end at its next operation, wherever it runs.

        Returns
        -------
        bool
            False if it has ended already.
        """
        entry = self._entry(execution_name)
        if entry.status != RUNNING:
            return False
        self.journal.post(entry.number, "cancel")
        self._keeper.bring()
        claimed = self._claim(entry)
        if claimed is not None:
            execution = self._execution(claimed)
            execution.finish(ExecutionStatus.CANCELLED)
            self._release(execution)
        return True

    def _is_left_to_parent(self, entry: Summary) -> bool:
        """Whether an execution was invoked by one that sees to it; or has ended."""
        name = invoked_by(entry.name)
        parent = None if name is None else self.journal.find(name)
        if parent is None:
            return False
        if parent.status != RUNNING:
            self.cancel(entry.name)
            return True
        return parent.owned or self._find(parent.function) is not None

    def _cancel_if_there(self, execution_name: str) -> None:
        if self.journal.find(execution_name) is not None:
            self.cancel(execution_name)

    def _cancel_below(self, execution_name: str) -> None:
        """Cancel what an execution that has ended had invoked, directly or not."""
        try:
            names = dict.fromkeys(self.journal.below(execution_name))
            for name in names:
                caller = invoked_by(name)
                # One that has not ended sees to those below it when it does; until
                # then it may be just beginning them.
                if caller is not None and caller not in names:
                    self._cancel_if_there(name)
        except JournalError as error:
            # It has its end.  Who recovers the others will find it.
            _LOGGER.warning(
                "what execution %r had invoked could not be cancelled: %s",
                execution_name,
                error,
                extra=extra(execution_name),
            )

    def _claim(self, entry: Entry | Summary) -> Entry | None:
        """Take over an execution that nobody runs."""
        owner = self._keeper.ready()
        try:
            with self._reserved(entry.name) as keep:
                with journal_errors():
                    claimed = self.journal.claim(entry.number, owner)
                if claimed is not None:
                    keep()
                return claimed
        except ExecutionInProgress:
            return None

    # Callbacks

    def send_callback_success(self, callback_id: str, result: Any = None) -> None:
        """Complete a callback with a result, from anywhere that has the store open.

        Raises
        ------
        CallbackAlreadyCompletedError
            If it has been answered, its limit has passed, or its execution has ended.
        ValidationError
            If there is no such callback.
        """
        self._answers.success(callback_id, result)

    def send_callback_failure(
        self,
        callback_id: str,
        error: BaseException | ErrorObject | str | None = "failed",
    ) -> None:
        """Complete a callback with an error; raises as `send_callback_success`."""
        self._answers.failure(callback_id, error)

    def send_callback_heartbeat(self, callback_id: str) -> None:
        """Say that a callback's result is still being worked on.

        Raises as `send_callback_success`.
        """
        self._answers.heartbeat(callback_id)

    # Beginning and ending

    def _begin(
        self, handler: Any, data: Any, name: str | None
    ) -> tuple[Entry, DurableFunction[Any]]:
        function = _as_function(handler)
        self._functions[function.function_name] = function
        name = uuid.uuid4().hex if name is None else _checked(name)
        context = SerDesContext("input", name, "input")
        payload = dump(data, None, lambda: context)
        return self._own(name, function.function_name, payload), function

    def _own(self, name: str, function: str, data: bytes) -> Entry:
        """Have an execution for this runner; or its end, if it has ended."""
        owner = self._keeper.ready()
        with self._reserved(name) as keep:
            with journal_errors():
                entry = self.journal.begin(name, function, data, owner)
            if entry.status == RUNNING:
                keep()
        return entry

    @contextmanager
    def _reserved(self, name: str) -> Iterator[Callable[[], None]]:
        """Let nobody else in this runner begin an execution; for good, if told to."""
        with self._lock:
            if name in self._active:
                raise ExecutionInProgress(
                    f"execution {name!r} is running already in this runner; wait for "
                    "it, or give this one another name"
                )
            self._active.add(name)
        kept = []
        try:
            yield lambda: kept.append(True)
        finally:
            if not kept:
                self._active.discard(name)

    def _execution(self, entry: Entry) -> Execution:
        try:
            return Execution(self._runtime, entry)
        except BaseException as error:
            self._active.discard(entry.name)
            self._let_go(entry.number, entry.fence, error)
            raise

    def _let_go(self, number: int, fence: int, reason: BaseException) -> None:
        """Own an unfinished execution no longer, and say why in the journal."""
        try:
            self.journal.release(number, fence, to_failure(reason))
        except Exception as error:
            add_note(
                reason, f"its lease could not be given up either: {text_of(error)}"
            )

    def _not_begun(self, execution: Execution, reason: BaseException) -> None:
        """Leave an execution to whoever can go on with it."""
        self._give_up(execution, reason)
        execution.tell_ended(reason)
        self._release(execution)

    def _release(self, execution: Execution) -> None:
        self._keeper.remove(execution)
        self._active.discard(execution.name)

    def _go(self, entry: Entry, function: DurableFunction[Any]) -> Handle[Any]:
        if entry.status != RUNNING:
            handle: Handle[Any] = Handle(entry.name)
            end = End(entry.status, entry.result, entry.error, entry.updated)
            try:
                handle._settle(_stored(entry), None, end)
            except BaseException as error:
                handle._settle(None, error, end)
            return handle
        execution = self._execution(entry)
        handle = Handle(entry.name, execution)

        def done(_: Replay, value: Any, error: BaseException | None) -> None:
            try:
                value = self._conclude(execution, value, error)
                error = None
            except BaseException as raised:
                error = raised
            self._handles.pop(entry.name, None)
            self._release(execution)
            handle._settle(value, error, execution.end)

        replay = Replay(execution, execution.scope, _program(function, execution), done)
        replay.root = True

        def stop() -> None:
            scheduler = self._runtime.scheduler
            scheduler.give_up(replay)  # should it hang
            expire(replay.wake)
            # One that waits for a worker has ended: that need not wait, too.
            if scheduler.withdraw(replay) and not execution.aside(
                replay.run, "not ended"
            ):
                scheduler.push(replay)

        execution.on_stop = stop
        self._handles[entry.name] = handle
        execution.tell_started()
        try:
            self._keeper.add(execution)
            self._runtime.scheduler.push(replay)
        except BaseException as raised:
            self._handles.pop(entry.name, None)
            self._not_begun(execution, raised)
            raise
        return handle

    def _start_function(
        self, function_name: str, name: str, data: bytes
    ) -> Handle[Any]:
        """Start a function, or join it if it has been started; for ``invoke``."""
        running = self._handles.get(name)
        if running is not None:
            return running
        function = self._find(function_name)
        if function is None:
            raise FunctionNotFoundError(
                f"no durable function is called {function_name!r}; import its module, "
                "or register() it with the runner"
            )
        entry = self._own(name, function.function_name, data)
        return self._go(entry, function)

    def _conclude(
        self, execution: Execution, value: Any, error: BaseException | None
    ) -> Any:
        """Record how an execution ended; return or raise that, as it is recorded."""
        try:
            broken = execution.stream.broken
            if broken is not None:
                raise broken
            if error is None:
                context = SerDesContext("result", execution.name, "result")
                payload, value = through(value, None, lambda: context)
                execution.finish(ExecutionStatus.SUCCEEDED, payload)
                execution.tell_ended(None)
                return value
            if isinstance(error, Cancelled) and execution.cancelled:
                execution.finish(ExecutionStatus.CANCELLED)
                raise cf.CancelledError(
                    f"execution {execution.name!r} was cancelled"
                ) from None
            if leaves_unfinished(error):
                raise error
            failure = to_failure(error)
            execution.finish(ExecutionStatus.FAILED, None, failure)
            # With the traceback, which only those who look for the mistake will see.
            raise rebuild(failure).with_traceback(error.__traceback__)
        except BaseException as raised:
            self._give_up(execution, raised)
            execution.tell_ended(raised)
            raise
        finally:
            execution.scope.closed = True

    def _give_up(self, execution: Execution, reason: BaseException) -> None:
        """See to it that an execution without an end can be resumed at once."""
        if execution.stream.end is not None and execution.stream.broken is None:
            return
        execution.interrupt(reason)
        # Nothing happens to one that another process has taken over: the fence tells.
        self._let_go(execution.number, execution.stream.fence, reason)

    def _find(self, name: str) -> DurableFunction[Any] | None:
        return function_called(name, self._functions) or registered(name)

    def _entry(self, name: str) -> Entry:
        entry = self.journal.find(name)
        if entry is None:
            raise ValidationError(f"there is no execution {name!r} in this store")
        return entry

    # Lifetime

    def close(self) -> None:
        """Give up what is running, and close the store.

        Executions that are under way end with an error here; they remain unfinished
        and can be resumed.
        """
        for execution in self._keeper.executions():
            execution.abort(
                JournalError(
                    "the runner was closed; resume the execution with another one"
                )
            )
        self._finalizer()

    def __enter__(self) -> DurableRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        where = getattr(self.journal, "path", type(self.journal).__name__)
        return f"<DurableRunner {where}>"


def _checked(name: Any) -> str:
    """Return the name of an execution, if it can be one."""
    try:
        return check_name(name)
    except (TypeError, ValueError) as error:
        raise ValidationError(f"execution_name: {error}") from None


def _threads(executor: Any) -> cf.ThreadPoolExecutor | None:
    executor = executor_of(executor, serial=False)
    if executor is not None and not isinstance(executor, cf.ThreadPoolExecutor):
        raise TypeError(
            "executor must be a fastflow.Executor or a ThreadPoolExecutor, not "
            f"{type(executor).__name__}: branches share the memory of their parents"
        )
    return executor


def _check(default_retry: Any) -> None:
    if default_retry is not None and not callable(default_retry):
        raise TypeError(
            "default_retry must be a retry strategy: (error, attempt) -> ..."
        )


def _lease(value: Any) -> float:
    seconds = seconds_of("lease", value)
    if not 0 < seconds <= _LONGEST_LEASE:
        raise ValueError(
            f"lease: it must be more than 0 and at most {_LONGEST_LEASE:,.0f} seconds, "
            f"not {seconds:g}"
        )
    return seconds


def _open(store: str | os.PathLike[str] | Journal, durability: str) -> Journal:
    check_choice("durability", durability, ("normal", "full"))
    if isinstance(store, str | os.PathLike):
        if os.fspath(store) == ":memory:":
            return MemoryJournal()
        return SqliteJournal(Path(store), durability)
    if not hasattr(store, "write") or not hasattr(store, "begin"):
        raise TypeError(
            "store must be a path, ':memory:', or an object with the methods of "
            f"fastflow.durable.journal.Journal; not {type(store).__name__}"
        )
    return store


def _shut(keeper: LeaseKeeper, journal: Journal | None) -> None:
    keeper.stop()
    if journal is not None:
        journal.close()


def _as_function(handler: Any) -> DurableFunction[Any]:
    if isinstance(handler, DurableFunction):
        return handler
    name = name_of(handler)
    raise ValidationError(
        f"{name} is not a durable function; decorate it with @durable_execution"
    )


def _program(
    function: DurableFunction[Any], execution: Execution
) -> Callable[[Replay], Any]:
    def run(replay: Replay) -> Any:
        context = DurableContext(replay)
        event = load(execution.input, None, lambda: SerDesContext("input", "", "input"))
        value = finish_call(function.handler(event, context))
        context._check_leftover()
        return value

    return run


def _stored(entry: Entry) -> Any:
    """Return or raise what a finished execution ended with."""
    if entry.status == ExecutionStatus.SUCCEEDED:
        context = SerDesContext("result", entry.name, "result")
        return (
            None if entry.result is None else load(entry.result, None, lambda: context)
        )
    if entry.status == ExecutionStatus.CANCELLED:
        raise cf.CancelledError(f"execution {entry.name!r} was cancelled")
    raise rebuild(entry.error or Failure("it failed"))
