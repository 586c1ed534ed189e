"""The pytest plugin: ``durable_runner`` and ``@pytest.mark.durable_execution``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fastflow.testing.runner import DurableFunctionTestRunner

_MARKER = (
    "durable_execution(handler, lambda_function_name=None, skip_time=True): the "
    "durable function that the fixture durable_runner runs"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def durable_runner(
    request: pytest.FixtureRequest,
) -> Iterator[DurableFunctionTestRunner]:
    """A `fastflow.testing.DurableFunctionTestRunner` for the marker's function."""
    from fastflow.testing.runner import DurableFunctionTestRunner

    marker = request.node.get_closest_marker("durable_execution")
    if marker is None or not (marker.args or "handler" in marker.kwargs):
        raise pytest.UsageError(
            "durable_runner needs to know what to run: mark the test with "
            "@pytest.mark.durable_execution(handler=...)"
        )
    runner = DurableFunctionTestRunner(*marker.args, **marker.kwargs)
    yield runner
    runner.close()
