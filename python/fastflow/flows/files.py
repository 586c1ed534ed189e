"""Flows in files: texts, and Python modules that define flows or tasks."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from fastflow.errors import FlowError, shown
from fastflow.flows.flow import Flow
from fastflow.flows.function import FlowFunction
from fastflow.modules import import_target

__all__ = ["import_tasks", "load_flow", "read_input", "read_text"]


def read_text(path: Path) -> str:
    """Return the text of a flow.

    Raises
    ------
    FlowError
        If the file can't be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise FlowError(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FlowError(
            f"{path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8"
        ) from None


def read_input(text: str | None) -> Any:
    """Return what ``--input`` means: JSON, or ``@file`` with JSON in it.

    Raises
    ------
    FlowError
        If it is neither.
    """
    if text is None:
        return None
    source = "--input"
    if text.startswith("@"):
        source = text[1:]
        text = read_text(Path(source))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FlowError(f"{source} is not JSON: {error}") from None


def import_tasks(name: str) -> ModuleType:
    """Import a module that defines tasks: by its name, or by the path of its file.

    The current directory is looked into first, as with ``python -m``.

    Raises
    ------
    FlowError
        If that fails.
    """
    try:
        return import_target(name)
    except Exception as error:
        raise FlowError(f"can't import {name!r}: {shown(error)}") from error


def load_flow(target: str, **options: Any) -> Flow | FlowFunction[..., Any]:
    """Return the flow of ``file.flow`` or ``module.py:name``.

    A name in a module may be a `Flow`, a ``@flow`` function, or the text of a flow.

    Raises
    ------
    FlowError
        If there is none, or it is wrong.
    """
    module, colon, name = target.rpartition(":")
    if not (colon and module.endswith(".py")):
        path = Path(target)
        return Flow(read_text(path), file=str(path), **options)
    found = getattr(import_tasks(module), name, None)
    if isinstance(found, str):
        return Flow(found, file=f"{module}:{name}", **options)
    if isinstance(found, Flow | FlowFunction):
        return found
    what = "nothing" if found is None else f"a {type(found).__name__}"
    raise FlowError(
        f"{module} has {what} called {name!r}; it must be a Flow, a @flow function or "
        "the text of a flow"
    )
