"""What the commands ``check`` and ``fmt`` do."""

from __future__ import annotations

import sys
from pathlib import Path

from fastflow.base.textfiles import read_text, write_text
from fastflow.dsl.formatter import format_dsl
from fastflow.errors import FlowError
from fastflow.flows.files import import_tasks
from fastflow.flows.flow import check_flows
from fastflow.run.registry import default_registry

__all__ = ["BAD", "FAILED", "OK", "allowed", "check", "fmt"]

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
            allow_import=allowed(tasks, allow_import),
        )
    except FlowError as error:
        return _complain(error)
    for spec in flows:
        _say(f"{spec.name}: {len(spec.tasks):,} tasks, {len(spec.edges):,} edges\n")
    return OK


def allowed(tasks: str | None, modules: tuple[str, ...]) -> tuple[str, ...]:
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
