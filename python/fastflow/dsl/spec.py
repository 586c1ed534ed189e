"""``FlowSpec``: what a flow consists of, without saying what its tasks do."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from typing import Any

from fastflow.base.drawn import Drawn
from fastflow.dsl.printer import print_flow
from fastflow.dsl.task_spec import TaskSpec

__all__ = ["FlowSpec", "TaskSpec"]


class TaskTable(Mapping[str, TaskSpec]):
    """Task name -> `TaskSpec`; tasks of which only the name is known are made anew."""

    def __init__(self, ids: dict[str, int], details: dict[str, TaskSpec]) -> None:
        self._ids = ids
        self._details = details

    def __getitem__(self, name: str) -> TaskSpec:
        if name not in self._ids:
            raise KeyError(name)
        return self._details.get(name) or TaskSpec(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<{len(self)} tasks>"


class FlowSpec(Drawn):
    r"""A flow: its tasks and what waits for what. Made by ``parse_dsl``; read-only.

    Attributes
    ----------
    name : str
    description : str
        Empty if there is none.
    tasks : Mapping of str to TaskSpec
        Those with a block of their own first, then the others, in the order of the
        text.
    edges : tuple of (str, str)
        Without duplicates, in the order of the text.

    Examples
    --------
    >>> from fastflow.dsl.reader import parse_dsl
    >>> spec = parse_dsl("flow Tiny:\n    load -> [count, total]")
    >>> list(spec.tasks), spec.edges
    (['load', 'count', 'total'], (('load', 'count'), ('load', 'total')))
    """

    __slots__ = (
        "_blocks", "_details", "_ids", "_sources", "_targets",
        "description", "name",
    )  # fmt: skip

    name: str
    description: str
    _blocks: frozenset[str]
    _details: dict[str, TaskSpec]
    _ids: dict[str, int]
    _sources: array[int]
    _targets: array[int]

    def __init__(
        self,
        name: str,
        description: str,
        ids: dict[str, int],
        details: dict[str, TaskSpec],
        blocks: frozenset[str],
        sources: array[int],
        targets: array[int],
    ) -> None:
        values = (blocks, details, ids, sources, targets, description, name)
        for attribute, value in zip(self.__slots__, values, strict=True):
            object.__setattr__(self, attribute, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a FlowSpec can't be changed ({name!r})")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            self.name, self.description, self._ids, self._details, self._blocks,
            self._sources, self._targets,
        )  # fmt: skip

    @property
    def columns(self) -> tuple[list[str], array[int], array[int]]:
        """Names, and the numbers of the edges' two ends; not to be changed."""
        return list(self._ids), self._sources, self._targets

    @property
    def numbers(self) -> Mapping[str, int]:
        """Number of each task, in the order of `tasks`; not to be changed."""
        return self._ids

    @property
    def details(self) -> Mapping[str, TaskSpec]:
        """The tasks of which more is known than the name."""
        return self._details

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        """The tasks by name."""
        return TaskTable(self._ids, self._details)

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of names: the second waits for the first."""
        names = list(self._ids)
        pairs = zip(self._sources, self._targets, strict=True)
        return tuple((names[source], names[target]) for source, target in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the flow as plain dicts, lists, strings and numbers."""
        return {
            "name": self.name,
            "description": self.description,
            "tasks": [task.to_dict() for task in self.tasks.values()],
            "edges": [list(edge) for edge in self.edges],
        }

    def to_dsl(self) -> str:
        """Return the flow as a text that ``parse_dsl`` reads back as an equal flow."""
        return print_flow(
            self.name, self.description, self.tasks, self._blocks, self.edges
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlowSpec):
            return NotImplemented
        return (
            self.name == other.name
            and self.description == other.description
            and self._blocks == other._blocks
            and self._details == other._details
            and self._sources == other._sources
            and self._targets == other._targets
            and list(self._ids) == list(other._ids)
        )

    def __hash__(self) -> int:
        return hash((self.name, len(self._ids), self._sources.tobytes()))

    def __repr__(self) -> str:
        return (
            f"<FlowSpec {self.name!r}: {len(self._ids):,} tasks, "
            f"{len(self._sources):,} edges>"
        )
