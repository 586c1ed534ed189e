"""The module that the AWS SDK has `durable_execution` in."""

from __future__ import annotations

from fastflow.durable.functions import DurableFunction, durable_execution
from fastflow.durable.lambda_service import InvocationStatus

__all__ = ["DurableFunction", "InvocationStatus", "durable_execution"]
