"""``DurableContext``: what durable functions call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence, Set
from typing import Any, TypeVar, overload

from fastflow.base.durations import Time
from fastflow.base.names import check_name
from fastflow.base.options import check_callable, checked
from fastflow.durable.callback import Callback, CreateCallback, wait_for_callback
from fastflow.durable.config import (
    CallbackConfig,
    ChildConfig,
    CompletionConfig,
    InvokeConfig,
    MapConfig,
    ParallelBranch,
    ParallelConfig,
    StepConfig,
    WaitForCallbackConfig,
)
from fastflow.durable.exceptions import (
    BatchCompletionError,
    ValidationError,
)
from fastflow.durable.operations.batch import BatchOperation, Branches
from fastflow.durable.operations.child import Child, VirtualChild
from fastflow.durable.operations.condition import Condition
from fastflow.durable.operations.invoke import Invoke
from fastflow.durable.operations.position import Position
from fastflow.durable.operations.step import Step
from fastflow.durable.operations.wait import Wait
from fastflow.durable.results import BatchResult
from fastflow.durable.types import (
    ExecutionContext,
    ReplayLogger,
    StepContext,
    WaitForConditionCheckContext,
)
from fastflow.durable.waits import WaitForConditionConfig
from fastflow.journal.identity import child_id
from fastflow.journal.records import finished

__all__ = ["DurableContext"]

T = TypeVar("T")
U = TypeVar("U")

_FIRST = CompletionConfig.first_successful()
_PARALLEL = ParallelConfig()
_MAP: MapConfig[Any] = MapConfig()


class DurableContext(Position):
    """Runs operations whose results are kept, so that no crash makes them run again.

    A durable function gets one, and so does each branch and each child context.  The
    function must be deterministic between operations: when it runs again, it has to
    call the same operations in the same order.  Whatever is not (the time, random
    numbers, requests) belongs into a step.

    One context is for one thread at a time; side by side run the branches of `parallel`
    and `map`, each with its own.

    Attributes
    ----------
    logger
        A logging adapter, silent during a replay.
    execution_context : ExecutionContext
        Name of the execution and of its function.
    """

    __slots__ = ()

    @overload
    def step(
        self,
        func: Callable[[StepContext], Coroutine[Any, Any, T]],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> T: ...
    @overload
    def step(
        self,
        func: Callable[[StepContext], T],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> T: ...
    def step(
        self,
        func: Callable[[StepContext], Any],
        name: str | None = None,
        config: StepConfig | None = None,
    ) -> Any:
        """Call a function once and keep its result.

        Parameters
        ----------
        func : callable
            Called with a `StepContext`; may be async.  Default name: its own.
        name : str, optional
            For the journal, for messages, and to recognize changed programs.
        config : StepConfig, optional
            Strategy of retries, semantics, serdes, time limit.

        Returns
        -------
        object
            The function's result, as it comes back from the journal.

        Raises
        ------
        StepError
            If the last attempt failed.
        SerDesError
            If the result can't be stored; the execution remains unfinished.
        """
        return Step(self, func, _name_of(name, func), config).perform()

    def wait(self, duration: Time, name: str | None = None) -> None:
        """Wait; a branch holds no thread meanwhile, and a restart does not prolong it.

        Parameters
        ----------
        duration : time
            Seconds, or a text like ``"30s"``.
        """
        Wait(self, duration, _checked(name)).perform()

    def parallel(
        self,
        functions: Sequence[Callable[[DurableContext], T] | ParallelBranch[T]],
        name: str | None = None,
        config: ParallelConfig | None = None,
    ) -> BatchResult[T]:
        """Run functions side by side, each in a child context of its own.

        Parameters
        ----------
        functions : sequence of callables
            Each takes a `DurableContext`.
        config : ParallelConfig, optional
            Limit of branches in flight, when the batch is complete, serdes.

        Returns
        -------
        BatchResult
            In the order of the functions.  A failed branch does not raise here.

        Raises
        ------
        ValidationError
            If the configuration can't be met; nothing has been recorded.
        """
        result: BatchResult[T] = self._parallel(
            functions, name, config or _PARALLEL, "Parallel", "ParallelBranch"
        )
        return result

    def race(
        self,
        functions: Sequence[Callable[[DurableContext], T] | ParallelBranch[T]],
        name: str | None = None,
        config: ParallelConfig | None = None,
    ) -> T:
        """Run functions side by side and return what the first to succeed returns.

        The others are cancelled: their next operation raises ``Cancelled``.

        Raises
        ------
        ChildContextError
            The first function's error, in their order, if all failed.
        ValidationError
            If there are no functions.
        """
        _check_order(functions, "race()")
        if not functions:
            raise ValidationError("race() needs at least one function")
        config = config or ParallelConfig(completion_config=_FIRST)
        if config.completion_config != _FIRST:
            from dataclasses import replace

            config = replace(config, completion_config=_FIRST)
        batch = self._parallel(functions, name, config, "Race", "RaceBranch")
        won = batch.succeeded()
        if won:
            return won[0].result  # type: ignore[return-value]
        batch.throw_if_error()
        raise BatchCompletionError(batch.completion_reason, "no function succeeded")

    def _parallel(
        self,
        functions: Sequence[Any],
        name: str | None,
        config: ParallelConfig,
        subtype: str,
        branch_subtype: str,
    ) -> BatchResult[Any]:
        _check_order(functions, "parallel()")
        functions = list(functions)
        for index, function in enumerate(functions):
            if not callable(function):  # a text for each that is would cost more
                what = f"functions[{index}]"
                checked(ValidationError, check_callable, what, function)

        def label(index: int) -> str:
            given = getattr(functions[index], "name", None)
            return given if isinstance(given, str) else f"parallel-branch-{index}"

        def call(index: int, context: DurableContext) -> Any:
            return functions[index](context)

        branches = Branches(len(functions), call, label, branch_subtype)
        return self._batch(subtype, _checked(name), branches, config)

    def map(
        self,
        inputs: Sequence[U],
        func: Callable[[DurableContext, U, int, Sequence[U]], T],
        name: str | None = None,
        config: MapConfig[Any] | None = None,
    ) -> BatchResult[T]:
        """Call a function for each item, side by side, each in a child context.

        Parameters
        ----------
        inputs : sequence
            Items; must be the same in each run.
        func : callable
            ``func(context, item, index, inputs)``.
        config : MapConfig, optional
            As for `parallel`; ``item_namer(item, index)`` names the branches.

        Returns
        -------
        BatchResult
            In the order of the items.
        """
        config = config or _MAP
        items = _items(inputs, config)
        namer = config.item_namer

        names = None
        if namer is not None:
            names = [_checked(namer(item, index)) for index, item in enumerate(items)]

        def label(index: int) -> str | None:
            return f"map-item-{index}" if names is None else names[index]

        def call(index: int, context: DurableContext) -> Any:
            return func(context, items[index], index, items)

        branches = Branches(len(items), call, label, "MapIteration")
        return self._batch("Map", _name_of(name, func), branches, config)

    def _batch(
        self, subtype: str, name: str | None, branches: Branches, config: Any
    ) -> BatchResult[Any]:
        config.completion_config.validate_for_total(branches.count)
        result: BatchResult[Any] = BatchOperation(
            self, subtype, name, branches, config
        ).perform()
        return result

    def run_in_child_context(
        self,
        func: Callable[[DurableContext], T],
        name: str | None = None,
        config: ChildConfig[Any] | None = None,
    ) -> T:
        """Call a function with a context of its own, and keep its result as one.

        Raises
        ------
        ChildContextError
            If it raised; the cause tells what.
        """
        label = _name_of(name, func)
        result: T
        if config is not None and config.is_virtual:
            result = VirtualChild(self, func, label).perform()
        else:
            result = Child(self, func, label, config).perform()
        return result

    def wait_for_condition(
        self,
        check: Callable[[T, WaitForConditionCheckContext], T],
        config: WaitForConditionConfig[T],
        name: str | None = None,
    ) -> T:
        """Call ``check(state, context)`` again and again until its state is right.

        Raises
        ------
        WaitForConditionError
            If it raised, or its strategy gave up.
        """
        if not callable(check):
            raise ValidationError("wait_for_condition() needs a function to call")
        if config is None:
            raise ValidationError(
                "wait_for_condition() needs a WaitForConditionConfig, which says how "
                "long to go on"
            )
        result: T = Condition(self, check, config, _checked(name)).perform()
        return result

    def create_callback(
        self, name: str | None = None, config: CallbackConfig | None = None
    ) -> Callback:
        """Return a `Callback`, whose result somebody else sends."""
        result: Callback = CreateCallback(self, _checked(name), config).perform()
        return result

    def wait_for_callback(
        self,
        submitter: Callable[..., Any],
        name: str | None = None,
        config: WaitForCallbackConfig | None = None,
    ) -> Any:
        """Call ``submitter(callback_id, context)`` in a step; return what is sent.

        Raises
        ------
        CallbackSubmitterError
            If the submitter failed.
        CallbackExternalError, CallbackTimeoutError
            If a failure, or nothing, came back.
        """
        return wait_for_callback(self, submitter, _name_of(name, submitter), config)

    def invoke(
        self,
        function_name: str | Callable[..., Any],
        payload: Any,
        name: str | None = None,
        config: InvokeConfig[Any, Any] | None = None,
    ) -> Any:
        """Run another durable function as an execution of its own; return its result.

        Parameters
        ----------
        function_name : str or callable
            A decorated function, or the name that it is registered under.
        payload
            Its event.

        Raises
        ------
        InvokeError
            If it failed.
        FunctionNotFoundError
            If no function of that name is registered here; the execution remains
            unfinished, for a process that has it.
        """
        function: Any = getattr(function_name, "function_name", function_name)
        if not isinstance(function, str):
            raise ValidationError(
                "invoke() needs a durable function or the name of one, not "
                f"{type(function).__name__}"
            )
        return Invoke(self, function, payload, _checked(name), config).perform()

    @property
    def logger(self) -> ReplayLogger:
        """A logging adapter whose records carry ids; writes each line once."""
        return ReplayLogger(self, self.plain_logger)

    def set_logger(self, logger: logging.Logger) -> None:
        """Log to another logger than ``fastflow.durable``."""
        self._logger = logger

    def is_replaying(self) -> bool:
        """Whether the next operation has ended before."""
        record = self._replay.find(child_id(self._id, self._count + 1))
        return record is not None and finished(record)

    @property
    def execution_context(self) -> ExecutionContext:
        """Name of the execution and of its function."""
        execution = self._replay.execution
        return ExecutionContext(execution.name, execution.function)

    def __repr__(self) -> str:
        name = self._replay.execution.name
        return f"<DurableContext of {name!r} after {self._position()}>"


def _name_of(name: str | None, func: Callable[..., Any]) -> str | None:
    """Return the name to record: the given one, or that of a decorated function."""
    if name is not None:
        return _checked(name)
    own: str | None = getattr(func, "_durable_name", None)
    return own


def _checked(name: str | None) -> str | None:
    if name is None:
        return None
    if not isinstance(name, str):
        raise ValidationError(
            f"a name must be a str, not {type(name).__name__}: {name!r}"
        )
    try:
        return check_name(name)
    except ValueError as error:
        raise ValidationError(f"not a name for an operation: {error}") from None


def _check_order(values: Any, what: str) -> None:
    """Raise unless these are the same values in the same order each time.

    Branches are known by their index; an execution that goes on in another process must
    meet the same ones again.
    """
    kind = type(values).__name__
    if isinstance(values, Mapping):
        raise ValidationError(
            f"{what} needs a sequence, not a {kind}: branches are known by their "
            "place, and a dict's items have none; write list(....items()), or a list "
            "of the keys"
        )
    if isinstance(values, Set):
        raise ValidationError(
            f"{what} needs a sequence, not a {kind}: in another process the items of "
            "a set may have another order; write sorted(...)"
        )
    if not hasattr(values, "__len__") or not hasattr(values, "__getitem__"):
        raise ValidationError(
            f"{what} needs a sequence, not {kind}: what is drawn from an iterator "
            "can't be drawn again; write list(...)"
        )


def _items(inputs: Sequence[Any], config: MapConfig[Any]) -> Sequence[Any]:
    _check_order(inputs, "map()")
    batcher = config.item_batcher
    if batcher is None:
        return inputs
    size = batcher.max_items_per_batch
    if not size:
        return inputs
    return [inputs[start : start + size] for start in range(0, len(inputs), size)]
