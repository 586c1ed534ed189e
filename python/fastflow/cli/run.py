"""``fastflow run``: runs a flow, tells what became of it, keeps a record if asked."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastflow.base.terminal import printable, write_lines
from fastflow.cli.flows import BAD, FAILED, OK, allowed
from fastflow.cli.tables import print_result, print_tasks
from fastflow.errors import FlowError, ParameterError, TaskError, TaskTimeout
from fastflow.flows.files import import_tasks, load_flow, read_input
from fastflow.flows.flow import Flow
from fastflow.flows.function import FlowFunction
from fastflow.run.results import FlowResult

__all__ = ["Files", "run"]


class Files(NamedTuple):
    """Where what was seen of the run goes, if anywhere."""

    report: Path | None = None
    timeline: Path | None = None
    trace: Path | None = None


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
    as_json: bool = False,
    files: Files | None = None,
    **options: Any,
) -> int:
    """Run a flow, print tasks and result, and return the exit code."""
    files = files or Files()
    try:
        for path in filter(None, files):
            _check_place(path)
        value = read_input(input_text)
        if tasks is not None:
            import_tasks(tasks)
        loaded = load_flow(
            target,
            flow=flow,
            allow_code=allow_code,
            allow_import=allowed(tasks, allow_import),
        )
    except FlowError as error:
        return _complain(error)
    given = () if input_text is None else (value,)
    with _executor(executor, workers) as pool, _recorded(files):
        if isinstance(loaded, Flow):
            how = {"executor": pool, "max_workers": workers, **options}
            return _run_flow(loaded, given, how, as_json)
        function = loaded.with_options(executor=pool, max_workers=workers)
        return _run_function(function, given, as_json)


def _check_place(path: Path) -> None:
    """Refuse, before anything runs, what can't be written afterwards."""
    if not path.absolute().parent.is_dir():
        raise FlowError(f"can't write {path}: there is no directory {path.parent}")


@contextlib.contextmanager
def _recorded(files: Files) -> Iterator[None]:
    """Record what runs in the block, if a file is to be written of it."""
    if not any(files):
        yield
        return
    from fastflow.seeing.recording import record

    with record() as recording:
        yield
    if files.report:
        recording.report(files.report)
    if files.timeline:
        recording.timeline(files.timeline)
    if files.trace:
        recording.trace(files.trace)


def _run_flow(
    flow: Flow, given: tuple[Any, ...], how: dict[str, Any], as_json: bool
) -> int:
    try:
        result = flow.run(*given, **how)
    except ParameterError as error:
        return _complain(error)
    except (TaskError, TaskTimeout) as error:
        return _failed(error, as_json)
    if as_json:
        return _print_json(result.to_dict(), OK)
    print_tasks(result)
    print_result(_last_results(flow, result))
    return OK


def _last_results(flow: Flow, result: FlowResult) -> dict[str, Any]:
    """Return what tasks returned that nobody waits for."""
    names, sources, _ = flow.spec.columns
    inner = set(sources)
    return {
        name: _one(result[name])
        for number, name in enumerate(names)
        if number not in inner and name in result
    }


def _run_function(
    function: FlowFunction[..., Any], given: tuple[Any, ...], as_json: bool
) -> int:
    try:
        output = function(*given)
    except ParameterError as error:
        return _complain(error)
    except (TaskError, TaskTimeout) as error:
        return _failed(error, as_json)
    if as_json:
        return _print_json({"flow": function.name, "result": output}, OK)
    print_result({function.name: _one(output)})
    return OK


def _failed(error: TaskError | TaskTimeout, as_json: bool) -> int:
    write_lines(*map(printable, str(error).split("\n")), to=sys.stderr)
    partial = error.result
    if isinstance(partial, FlowResult):
        if as_json:
            return _print_json(partial.to_dict(), FAILED)
        print_tasks(partial)
    return FAILED


def _complain(error: object) -> int:
    write_lines(*map(printable, str(error).split("\n")), to=sys.stderr)
    return BAD


def _print_json(value: dict[str, Any], code: int) -> int:
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, default=repr)
    sys.stdout.write(text + "\n")
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
