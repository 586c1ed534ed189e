"""From a flow back to its text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

from fastflow.dsl.task_spec import TaskSpec
from fastflow.dsl.values import (
    print_duration,
    print_fallback,
    print_name,
    print_number,
    quote,
)

__all__ = ["print_flow"]


def print_flow(
    name: str,
    description: str,
    tasks: Mapping[str, TaskSpec],
    blocks: Set[str],
    edges: tuple[tuple[str, str], ...],
) -> str:
    """Return the text of a flow.

    Names are mentioned in the order of `tasks`, so reading the text gives them the same
    numbers again.
    """
    lines = [f"flow {print_name(name)}:"]
    if description:
        lines.append(f"    description: {quote(description)}")
    for task in tasks:
        if task in blocks:
            lines.extend(_block(tasks[task]))
    lines.extend(_edges(tasks, blocks, edges))
    return "\n".join(lines) + "\n"


def _block(task: TaskSpec) -> Iterator[str]:
    yield f"    task {print_name(task.name)}:"
    if task.description is not None:
        yield f"        description: {quote(task.description)}"
    if task.retries is not None:
        yield f"        retries: {task.retries}"
    if task.retry_delay is not None:
        yield f"        retry_delay: {print_duration(task.retry_delay)}"
    if task.backoff is not None:
        yield f"        backoff: {print_number(task.backoff)}"
    if task.timeout is not None:
        yield f"        timeout: {print_duration(task.timeout)}"
    if task.fallback is not None:
        yield f"        fallback: {print_fallback(task.fallback)}"
    if task.run is not None:
        yield f"        run: {task.run}"
    if task.max_concurrency is not None:
        yield f"        max_concurrency: {task.max_concurrency}"
    if task.executor is not None:
        yield f"        executor: {task.executor}"
    if task.code is not None:
        yield "        code: |"
        for line in task.code.split("\n"):
            yield f"            {line}" if line else ""


def _edges(
    tasks: Mapping[str, TaskSpec], blocks: Set[str], edges: tuple[tuple[str, str], ...]
) -> Iterator[str]:
    """Yield the edges, and before them names that would else be numbered too late."""
    order = [name for name in tasks if name not in blocks]
    numbers = {name: number for number, name in enumerate(order)}
    at = 0
    for source, target in edges:
        end = 1 + max(numbers.get(source, -1), numbers.get(target, -1))
        new = order[at:end]
        early = new
        if new[-2:] == [source, target]:
            early = new[:-2]
        elif new and not {source, target} & set(new[:-1]):
            early = new[:-1]
        yield from (f"    {print_name(name)}" for name in early)
        at = max(at, end)
        each = "[*]" if tasks[target].each == source else ""
        yield f"    {print_name(source)} -> {print_name(target)}{each}"
    yield from (f"    {print_name(name)}" for name in order[at:])
