"""The AWS SDK's local runner on its SQLite store, where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["PEER", "aws_steps", "installed"]

PEER = "AWS SDK's local runner, SQLite"
_MODULES = (
    "aws_durable_execution_sdk_python",
    "aws_durable_execution_sdk_python_testing",
)


def installed() -> bool:
    """Whether the SDK and its testing package can be imported."""
    return all(importlib.util.find_spec(name) is not None for name in _MODULES)


@contextmanager
def aws_steps() -> Iterator[Callable[[str, int], Any]]:
    """Return a function that runs ``"parallel"`` or ``"steps"`` of so many no-ops."""
    sdk: Any = importlib.import_module(_MODULES[0])
    testing: Any = importlib.import_module(_MODULES[1])
    stores: Any = importlib.import_module(f"{_MODULES[1]}.stores.sqlite")
    logging.getLogger(_MODULES[0]).setLevel(logging.CRITICAL)

    def program(event: Any, context: Any) -> int:
        kind, count = event
        if kind == "parallel":
            functions = [lambda c: c.step(lambda _: 1)] * count
            return int(context.parallel(functions).success_count)
        for _ in range(count):
            context.step(lambda _: 1)
        return int(count)

    handler = sdk.durable_execution(program)
    # Threads of the SDK may still be writing when it is closed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        number = iter(range(10**9))

        def run(kind: str, count: int) -> int:
            path = Path(folder) / f"{next(number)}.db"
            store = stores.SQLiteExecutionStore.create_and_initialize(path)
            runner = testing.DurableFunctionTestRunner(handler, store=store)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    result = runner.run(json.dumps([kind, count]))
                return int(json.loads(result.result))
            finally:
                runner.close()

        yield run
