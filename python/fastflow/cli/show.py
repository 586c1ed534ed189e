"""``fastflow show``: the picture of a flow, in the terminal or in a file."""

from __future__ import annotations

import sys
from pathlib import Path

from fastflow.base.terminal import printable, write_lines
from fastflow.base.textfiles import write_text
from fastflow.cli.flows import BAD, OK
from fastflow.dsl.spec import FlowSpec
from fastflow.errors import FlowError, shown
from fastflow.flows.files import load_dsl, load_flow
from fastflow.flows.flow import Flow
from fastflow.seeing.pictures.dag import dag_of, view_of
from fastflow.seeing.pictures.svg import dag_svg
from fastflow.seeing.pictures.text import dot, mermaid, terminal

__all__ = ["show"]


def show(
    target: str,
    *,
    flow: str | None,
    svg: Path | None,
    as_mermaid: bool,
    as_dot: bool,
    allow_import: tuple[str, ...] = (),
) -> int:
    """Draw a flow, and return the exit code.

    The tasks of a ``.flow`` file need not exist: nothing is imported or run.
    """
    try:
        found = _found(target, flow, allow_import)
    except FlowError as error:
        return _complain(error)
    dag = dag_of(found)
    if svg is not None:
        try:
            write_text(svg, dag_svg(dag, title=view_of(found).title) + "\n")
        except OSError as error:
            return _complain(f"can't write {svg}: {shown(error)}")
    name = found.name
    if as_mermaid:
        write_lines(*mermaid(dag).splitlines())
    elif as_dot:
        write_lines(*dot(dag, title=name).splitlines())
    elif svg is None:
        size = f"{len(found.tasks):,} tasks, {len(found.columns[1]):,} edges"
        write_lines(printable(f"{name}: {size}"), *terminal(dag).splitlines())
    return OK


def _found(target: str, name: str | None, allow_import: tuple[str, ...]) -> FlowSpec:
    module, colon, _ = target.rpartition(":")
    if not (colon and module.endswith(".py")):
        return load_dsl(target, flow=name)
    loaded = load_flow(target, flow=name, allow_code=True, allow_import=allow_import)
    if isinstance(loaded, Flow):
        return loaded.spec
    raise FlowError(
        f"which tasks the @flow function {loaded.name!r} calls is known once it has "
        f"run; see it with: fastflow run {target} --report report.html"
    )


def _complain(error: object) -> int:
    write_lines(*map(printable, str(error).split("\n")), to=sys.stderr)
    return BAD
