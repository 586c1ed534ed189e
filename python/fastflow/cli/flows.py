"""What the commands ``run``, ``check`` and ``fmt`` do."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastflow.base.textfiles import read_text, write_text
from fastflow.dsl.formatter import format_dsl
from fastflow.errors import FlowError, ParameterError, TaskError, TaskTimeout
from fastflow.flows.files import import_tasks, load_flow, read_input
from fastflow.flows.flow import Flow, check_flows
from fastflow.run.registry import default_registry
from fastflow.run.results import FlowResult

__all__ = ["check", "fmt", "run"]

OK, FAILED, BAD = 0, 1, 2


def _complain(error: object) -> int:
    print(error, file=sys.stderr)  # noqa: T201  (the command's output)
    return BAD


def _say(text: str) -> None:
    sys.stdout.write(text)


def check(path: Path, tasks: str | None, allow_import: tuple[str, ...] = ()) -> int:
    """Print what is wrong with a file, and return the exit code."""
    try:
        text = read_text(path)
        registry = None
        if tasks is not None:
            import_tasks(tasks)
            registry = default_registry
        flows = check_flows(
            text,
            registry=registry,
            file=str(path),
            allow_import=_allowed(tasks, allow_import),
        )
    except FlowError as error:
        return _complain(error)
    for spec in flows:
        _say(f"{spec.name}: {len(spec.tasks):,} tasks, {len(spec.edges):,} edges\n")
    return OK


def _allowed(tasks: str | None, modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the modules that a text may name: also that of ``--tasks``."""
    if tasks is None:
        return modules
    return (*modules, Path(tasks).stem if tasks.endswith(".py") else tasks)


def fmt(paths: tuple[Path, ...], check_only: bool, write: bool) -> int:
    """Format files, and return the exit code: 1 if `check_only` finds a difference."""
    code = OK
    for path in paths:
        try:
            text = read_text(path)
            formatted = format_dsl(text, file=str(path))
        except FlowError as error:
            code = _complain(error)
            continue
        if check_only:
            if formatted != text:
                _say(f"would reformat {path}\n")
                code = max(code, FAILED)
        elif write:
            if formatted != text:
                write_text(path, formatted)
                _say(f"reformatted {path}\n")
        else:
            _say(formatted)
    return code


def run(
    target: str,
    *,
    input_text: str | None,
    flow: str | None,
    tasks: str | None,
    executor: str,
    workers: int | None,
    allow_code: bool,
    allow_import: tuple[str, ...] = (),
    **options: Any,
) -> int:
    """Run a flow, print its result as JSON, and return the exit code."""
    try:
        value = read_input(input_text)
        if tasks is not None:
            import_tasks(tasks)
        loaded = load_flow(
            target,
            flow=flow,
            allow_code=allow_code,
            allow_import=_allowed(tasks, allow_import),
        )
    except FlowError as error:
        return _complain(error)
    with _executor(executor, workers) as pool:
        try:
            if not isinstance(loaded, Flow):
                function = loaded.with_options(executor=pool, max_workers=workers)
                output = function() if input_text is None else function(value)
                return _print({"flow": loaded.name, "result": output}, OK)
            result = loaded.run(value, executor=pool, max_workers=workers, **options)
        except ParameterError as error:
            return _complain(error)
        except (TaskError, TaskTimeout) as error:
            print(error, file=sys.stderr)  # noqa: T201
            partial = error.result
            if isinstance(partial, FlowResult):
                _print(partial.to_dict(), FAILED)
            return FAILED
    return _print(result.to_dict(), OK)


def _print(value: dict[str, Any], code: int) -> int:
    _say(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=repr) + "\n")
    return code


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Make results printable: what JSON does not have becomes its ``repr``."""
    results = value.get("results")
    if results is None:
        return {key: _one(item) for key, item in value.items()}
    return {**value, "results": {name: _one(item) for name, item in results.items()}}


def _one(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return repr(value)
    return value


@contextlib.contextmanager
def _executor(kind: str, workers: int | None) -> Iterator[Any]:
    if kind in ("native", "serial"):
        yield None if kind == "native" else "serial"
        return
    pool: concurrent.futures.Executor
    if kind == "threads":
        pool = concurrent.futures.ThreadPoolExecutor(workers)
    else:
        from fastflow.processes.executor import ProcessExecutor

        pool = ProcessExecutor(workers)
    with pool:
        yield pool
