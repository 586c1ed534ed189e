"""Flows in files: texts, and Python modules that define flows or tasks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from fastflow.base.modules import import_target
from fastflow.base.textfiles import read_text, write_text
from fastflow.dsl.reader import parse_dsl, parse_flows
from fastflow.dsl.spec import FlowSpec
from fastflow.errors import FlowError, described, shown
from fastflow.flows.flow import Flow
from fastflow.flows.function import FlowFunction

__all__ = ["import_tasks", "load_dsl", "load_flow", "read_input", "save_dsl"]


def load_dsl(path: str | os.PathLike[str], *, flow: str | None = None) -> FlowSpec:
    """Read the file of a flow; nothing is imported, evaluated or run.

    Parameters
    ----------
    path : path
        A text in UTF-8; see the reference of the language in ``docs/reference/dsl.md``.
    flow : str, optional
        Which one, if the file has several flows.

    Returns
    -------
    FlowSpec
        As ``parse_dsl`` returns it.

    Raises
    ------
    DslError
        With all that is wrong in the text, by file, line and column.
    FlowError
        If the file can't be read, or `flow` is missing or unknown.
    """
    found = _path(path)
    return parse_dsl(read_text(found), flow=flow, file=str(found))


def save_dsl(flow: Flow | FlowSpec | str, path: str | os.PathLike[str]) -> None:
    r"""Write the text of a flow to a file, which `load_dsl` reads.

    The file appears, or is replaced, as a whole.

    Parameters
    ----------
    flow : Flow, FlowSpec or str
        A text is kept as it is, with its comments, once it has been found right.
    path : path
        Its directory must be there.

    Raises
    ------
    DslError
        If a text is wrong; nothing is written.
    FlowError
        If the file can't be written; what was there is as it was.

    Examples
    --------
    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "hello.flow")
    >>> save_dsl("flow Hello:  # a greeting\n    greet -> print", path)
    >>> load_dsl(path).name
    'Hello'
    """
    found = _path(path)
    text = _text_of(flow)
    try:
        write_text(found, text)
    except OSError as error:
        raise FlowError(f"can't write {found}: {error.strerror}") from None
    except UnicodeEncodeError as error:
        raise FlowError(
            f"can't write {found}: the text has {text[error.start]!r}, half of a "
            "character, which no file takes"
        ) from None


def _path(path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"a path must be a str or a path, not {described(path)}"
        ) from None


def _text_of(flow: object) -> str:
    if isinstance(flow, Flow):
        flow = flow.spec
    if isinstance(flow, FlowSpec):
        return flow.to_dsl()
    if not isinstance(flow, str):
        raise TypeError(
            "a flow to save must be a Flow, a FlowSpec or the text of one, not "
            f"{described(flow)}"
        )
    parse_flows(flow)
    return flow if flow.endswith("\n") else flow + "\n"


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
