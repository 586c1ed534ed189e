"""Tests of durable functions: virtual time, crashes, operations, golden histories.

With pytest, the fixture ``durable_runner`` and the marker ``durable_execution`` are
there as soon as fastflow is installed:

    @pytest.mark.durable_execution(handler=handler)
    def test_handler(durable_runner):
        with durable_runner:
            result = durable_runner.run(input={"n": 1}, timeout=10)
        assert result.status is InvocationStatus.SUCCEEDED
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastflow.testing.runner import (
        DurableFunctionTestResult,
        DurableFunctionTestRunner,
        InvocationStatus,
        OperationStatus,
        OperationType,
        SimulatedCrash,
    )

__all__ = [
    "DurableFunctionTestResult",
    "DurableFunctionTestRunner",
    "InvocationStatus",
    "OperationStatus",
    "OperationType",
    "SimulatedCrash",
]


def __getattr__(name: str) -> Any:
    # Not before they are used: every run of pytest imports the plugin beside them.
    if name not in __all__:
        raise AttributeError(f"module 'fastflow.testing' has no attribute {name!r}")
    from fastflow.testing import runner

    return getattr(runner, name)
