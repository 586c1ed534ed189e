"""Durable functions: what they have done survives a crash.

The programming model is that of the AWS Durable Execution SDK for Python; executions
are kept in a local SQLite file, and branches run on the native pool.
"""

from __future__ import annotations

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
    InvalidStateError,
    InvocationError,
    InvokeError,
    JournalError,
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
from fastflow.durable.journal import Journal
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.memory import MemoryJournal
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
from fastflow.durable.serdes import SerDes, SerDesContext
from fastflow.durable.sqlite import SqliteJournal
from fastflow.durable.types import (
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
from fastflow.errors import Cancelled

__all__ = [
    "BatchCompletionError",
    "BatchItem",
    "BatchItemStatus",
    "BatchResult",
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
    "DurableOperationError",
    "DurableRunner",
    "Duration",
    "ErrorObject",
    "ExecutionConflictError",
    "ExecutionError",
    "ExecutionInProgress",
    "Handle",
    "InvalidStateError",
    "InvocationError",
    "InvokeConfig",
    "InvokeError",
    "Journal",
    "JournalError",
    "MapConfig",
    "MemoryJournal",
    "NestingType",
    "NonDeterministicExecutionError",
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
