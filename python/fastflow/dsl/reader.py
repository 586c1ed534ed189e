"""``parse_dsl``: from a text to the specification of a flow."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import dataclass

from fastflow.base.topology import Structure, cycle_text, find_cycles, sort_tasks
from fastflow.dsl.parser import parse
from fastflow.dsl.source import Problems, Source
from fastflow.dsl.spec import FlowSpec, TaskSpec
from fastflow.dsl.suggest import did_you_mean
from fastflow.dsl.syntax import FlowNode, PropertyNode, TaskNode
from fastflow.errors import FlowError

__all__ = ["ReadFlow", "choose", "dedent", "parse_dsl", "parse_flows", "read"]


@dataclass(frozen=True, slots=True)
class ReadFlow:
    """A flow of a text, the order of its tasks, and where they are first mentioned."""

    spec: FlowSpec
    structure: Structure
    lines: array[int]


def parse_dsl(text: str, *, flow: str | None = None, file: str = "<flow>") -> FlowSpec:
    r"""Read the text of a flow; nothing is imported, evaluated or run.

    Parameters
    ----------
    text : str
        See the reference of the language in ``docs/reference/dsl.md``.
    flow : str, optional
        Which one, if the text has several flows.
    file : str
        What errors call the text.

    Returns
    -------
    FlowSpec

    Raises
    ------
    DslError
        With all that is wrong in the text, by line and column.
    FlowError
        If `flow` is missing or unknown.

    Examples
    --------
    >>> parse_dsl("flow Hello:\n    greet -> [print, log]").to_dict()["edges"]
    [['greet', 'print'], ['greet', 'log']]
    """
    return choose(parse_flows(text, file=file), flow)


def parse_flows(text: str, *, file: str = "<flow>") -> tuple[FlowSpec, ...]:
    """Read all flows of a text; parameters and errors are those of `parse_dsl`."""
    problems = Problems(Source(check_text(text), file))
    flows = read(problems)
    problems.raise_if_any()
    return tuple(flow.spec for flow in flows)


def check_text(text: object) -> str:
    """Return a text that was given as a flow.

    Raises
    ------
    TypeError
        If it is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"the text of a flow must be a str, not {type(text).__name__}")
    return text


def choose(flows: tuple[FlowSpec, ...], name: str | None) -> FlowSpec:
    """Return the flow of that name, or the only one."""
    if name is None:
        if len(flows) == 1:
            return flows[0]
        listed = ", ".join(repr(flow.name) for flow in flows[:20])
        raise FlowError(
            f"the text has {len(flows)} flows; say which one with flow=...: {listed}"
        )
    for flow in flows:
        if flow.name == name:
            return flow
    names = [flow.name for flow in flows]
    raise FlowError(
        f"there is no flow {name!r} in the text"
        + (did_you_mean(name, names) or f"; there is {', '.join(names[:20])}")
    )


def read(problems: Problems) -> list[ReadFlow]:
    """Read all flows of a source; flows that have problems may be left out."""
    return [_finish(node, problems) for node in parse(problems.source, problems)]


def _finish(node: FlowNode, problems: Problems) -> ReadFlow:
    _put_blocks_first(node)
    structure = sort_tasks(len(node.ids), node.sources, node.targets)
    names = list(node.ids)
    if len(structure.order) < len(names):
        _report_cycles(node, names, structure, problems)
    details = {task.name: _details(task) for task in node.tasks.values()}
    for number, sources in node.each.items():
        name = names[number]
        over = _iterated(node, number, list(sources), names, structure, problems)
        details[name] = details.get(name, TaskSpec(name))._replace(each=over)
    for task in node.tasks.values():
        _check_task(details[task.name], task, problems)
    spec = FlowSpec(
        node.name,
        node.description.value if node.description else "",
        node.ids,
        details,
        frozenset(node.tasks),
        node.sources,
        node.targets,
    )
    return ReadFlow(spec, structure, node.lines)


def _put_blocks_first(node: FlowNode) -> None:
    """Renumber: tasks with a block come first, so that the printed text agrees."""
    names = list(node.ids)
    order = [*node.tasks, *(name for name in names if name not in node.tasks)]
    if order == names:
        return
    old = [node.ids[name] for name in order]
    new = [0] * len(old)
    for number, before in enumerate(old):
        new[before] = number
    node.ids = {name: number for number, name in enumerate(order)}
    node.lines = array("i", [node.lines[before] for before in old])
    node.sources = array("i", [new[number] for number in node.sources])
    node.targets = array("i", [new[number] for number in node.targets])
    node.each = {
        new[number]: {new[source]: None for source in sources}
        for number, sources in node.each.items()
    }


def _report_cycles(
    node: FlowNode, names: list[str], structure: Structure, problems: Problems
) -> None:
    for cycle in find_cycles(structure):
        edges = set(itertools.pairwise(cycle))
        last = max(
            i
            for i, edge in enumerate(zip(node.sources, node.targets, strict=True))
            if edge in edges
        )
        line = node.edge_lines[last]
        if len(cycle) == 2:
            message = f"{names[cycle[0]][:60]!r} waits for itself"
        else:
            message = "these tasks wait for each other: " + cycle_text(
                [names[number] for number in cycle]
            )
        start = cycle.index(node.sources[last])
        path = [*cycle[start:-1], *cycle[:start], cycle[start]]
        problems.add_cycle(tuple(names[number] for number in path), line, message)


def _iterated(
    node: FlowNode,
    number: int,
    sources: list[int],
    names: list[str],
    structure: Structure,
    problems: Problems,
) -> str | None:
    """Return the task over whose result task `number` is run, item by item."""
    candidates = sources or structure.parents.of(number)
    if len(candidates) == 1:
        return names[candidates[0]]
    name = names[number]
    if candidates:
        listed = ", ".join(names[candidate][:40] for candidate in candidates[:10])
        message = (
            f"'{name[:40]}[*]' can iterate over the result of one task only; "
            f"candidates: {listed}"
        )
    else:
        message = f"'{name[:40]}[*]' has nothing to iterate over: no edge leads to it"
    problems.add_at(name, node.lines[number], message)
    return None


def _details(task: TaskNode) -> TaskSpec:
    values = {key: item.value for key, item in task.properties.items()}
    if "code" in values:
        values["code"] = dedent(values["code"] or [])
    return TaskSpec(task.name, **values)


def _check_task(spec: TaskSpec, task: TaskNode, problems: Problems) -> None:
    if spec.code is not None and spec.run is not None:
        second = max(task.properties["code"], task.properties["run"], key=_line)
        problems.add_at(
            second.key, second.line, "a task has either 'run' or 'code', not both"
        )
    if spec.max_concurrency is not None and spec.each is None:
        item = task.properties["max_concurrency"]
        problems.add_at(
            "max_concurrency",
            item.line,
            f"max_concurrency limits tasks that run once per item; write "
            f"'-> {spec.name[:40]}[*]' for one",
        )


def _line(item: PropertyNode) -> int:
    return item.line


def dedent(lines: list[str]) -> str:
    """Return lines without the indentation that they have in common."""
    full = [line for line in lines if line.strip(" \t")]
    if not full:
        return ""
    first, last = min(full), max(full)
    common = 0
    while (
        common < len(first)
        and first[common] in " \t"
        and last[common : common + 1] == first[common]
    ):
        common += 1
    text = "\n".join(line[common:] if line.strip(" \t") else "" for line in lines)
    return text.strip("\n")
