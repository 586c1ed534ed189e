"""Durable functions: what they have done survives a crash.

The programming model is that of the AWS Durable Execution SDK for Python; executions
are kept in a local SQLite file, and branches run on the native pool.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fastflow.durable.direct import set_direct_call
from fastflow.errors import Cancelled

if TYPE_CHECKING:
    from fastflow.durable.callback import Callback
    from fastflow.durable.config import (
        BatchItemStatus,
        CallbackConfig,
        ChildConfig,
        CompletionConfig,
        CompletionDecision,
        CompletionItemStatus,
        CompletionOutcome,
        CompletionStatus,
        Duration,
        InvokeConfig,
        JitterStrategy,
        MapConfig,
        NestingType,
        ParallelBranch,
        ParallelConfig,
        StepConfig,
        StepSemantics,
        WaitForCallbackConfig,
        complete_batch,
        continue_batch,
    )
    from fastflow.durable.context import DurableContext
    from fastflow.durable.exceptions import (
        BatchCompletionError,
        CallbackAlreadyCompletedError,
        CallbackError,
        CallbackExternalError,
        CallbackSubmitterError,
        CallbackTimeoutError,
        ChildContextError,
        DurableExecutionsError,
        DurableOperationError,
        ExecutionConflictError,
        ExecutionError,
        ExecutionInProgress,
        FunctionNotFoundError,
        InvalidStateError,
        InvocationError,
        InvokeError,
        JournalDamagedError,
        JournalError,
        JournalFullError,
        JournalIOError,
        JournalLockedError,
        JournalReadOnlyError,
        JournalVersionError,
        LeaseLostError,
        NonDeterministicExecutionError,
        SerDesError,
        StepError,
        StepInterruptedError,
        SuspendExecution,
        ValidationError,
        WaitForConditionError,
    )
    from fastflow.durable.functions import (
        DurableFunction,
        durable_execution,
        durable_parallel_branch,
        durable_step,
        durable_wait_for_callback,
        durable_with_child_context,
    )
    from fastflow.durable.handle import Handle
    from fastflow.durable.lambda_service import (
        ErrorObject,
        InvocationStatus,
        OperationStatus,
        OperationSubType,
        OperationType,
    )
    from fastflow.durable.results import BatchItem, BatchResult, CompletionReason
    from fastflow.durable.retries import (
        RetryDecision,
        RetryPresets,
        RetryStrategyConfig,
        WithRetryConfig,
        create_retry_strategy,
        with_retry,
    )
    from fastflow.durable.runner import DurableRunner
    from fastflow.durable.types import (
        DurableLogFilter,
        StepContext,
        WaitForCallbackContext,
        WaitForConditionCheckContext,
    )
    from fastflow.durable.waits import (
        WaitForConditionConfig,
        WaitForConditionDecision,
        WaitStrategyConfig,
        create_wait_strategy,
    )
    from fastflow.journal.journal import Journal
    from fastflow.journal.memory import MemoryJournal
    from fastflow.journal.serdes import SerDes, SerDesContext
    from fastflow.journal.sqlite import SqliteJournal

__all__ = [
    "BatchCompletionError",
    "BatchItem",
    "BatchItemStatus",
    "BatchResult",
    "Callback",
    "CallbackAlreadyCompletedError",
    "CallbackConfig",
    "CallbackError",
    "CallbackExternalError",
    "CallbackSubmitterError",
    "CallbackTimeoutError",
    "Cancelled",
    "ChildConfig",
    "ChildContextError",
    "CompletionConfig",
    "CompletionDecision",
    "CompletionItemStatus",
    "CompletionOutcome",
    "CompletionReason",
    "CompletionStatus",
    "DurableContext",
    "DurableExecutionsError",
    "DurableFunction",
    "DurableLogFilter",
    "DurableOperationError",
    "DurableRunner",
    "Duration",
    "ErrorObject",
    "ExecutionConflictError",
    "ExecutionError",
    "ExecutionInProgress",
    "FunctionNotFoundError",
    "Handle",
    "InvalidStateError",
    "InvocationError",
    "InvocationStatus",
    "InvokeConfig",
    "InvokeError",
    "JitterStrategy",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalIOError",
    "JournalLockedError",
    "JournalReadOnlyError",
    "JournalVersionError",
    "LeaseLostError",
    "MapConfig",
    "MemoryJournal",
    "NestingType",
    "NonDeterministicExecutionError",
    "OperationStatus",
    "OperationSubType",
    "OperationType",
    "ParallelBranch",
    "ParallelConfig",
    "RetryDecision",
    "RetryPresets",
    "RetryStrategyConfig",
    "SerDes",
    "SerDesContext",
    "SerDesError",
    "SqliteJournal",
    "StepConfig",
    "StepContext",
    "StepError",
    "StepInterruptedError",
    "StepSemantics",
    "SuspendExecution",
    "ValidationError",
    "WaitForCallbackConfig",
    "WaitForCallbackContext",
    "WaitForConditionCheckContext",
    "WaitForConditionConfig",
    "WaitForConditionDecision",
    "WaitForConditionError",
    "WaitStrategyConfig",
    "WithRetryConfig",
    "complete_batch",
    "continue_batch",
    "create_retry_strategy",
    "create_wait_strategy",
    "durable_execution",
    "durable_parallel_branch",
    "durable_step",
    "durable_wait_for_callback",
    "durable_with_child_context",
    "with_retry",
]

# Imported when first used: a command that lists executions needs little of it.
_HOMES = (
    "exceptions",
    "callback",
    "config",
    "context",
    "functions",
    "handle",
    "journal",
    "lambda_service",
    "memory",
    "results",
    "retries",
    "runner",
    "serdes",
    "sqlite",
    "types",
    "waits",
)
_NAMES = frozenset(__all__)


def _call_directly(function: Any, event: Any) -> Any:
    from fastflow.durable.runner import DurableRunner

    with DurableRunner(":memory:") as runner:
        return runner.run(function, event)


set_direct_call(_call_directly)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return importlib.import_module(f"fastflow.durable.{name}")
    for home in _HOMES if name in _NAMES else ():
        module = importlib.import_module(f"fastflow.durable.{home}")
        if name in module.__all__:
            value = globals()[name] = getattr(module, name)
            return value
    raise AttributeError(f"module 'fastflow.durable' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOMES})
