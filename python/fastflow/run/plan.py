"""``FlowPlan``: a flow that is ready to run, whatever it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from fastflow.base.names import stem_of
from fastflow.base.topology import Neighbours, Structure
from fastflow.errors import ParameterError
from fastflow.run.kept import here
from fastflow.run.params import BoundRecipe, Recipe, Unfilled
from fastflow.run.results import Shape
from fastflow.run.task import Task

__all__ = ["FlowPlan", "Inputs", "Node"]


class Node(NamedTuple):
    """What a task does and where its arguments come from; shared by equal tasks."""

    task: Task
    recipe: Recipe
    each: int = -1
    """Position of the parent over whose result the task is run item by item, or -1."""


@dataclass(frozen=True)
class FlowPlan:
    """Tasks by number, and their edges. Never changes; any number of runs share it.

    Attributes
    ----------
    names : sequence of str
    index : mapping of str to int
        Number of each task.
    nodes : sequence of Node
        By number, as all that follows.
    structure : Structure
        Parents, children, and an order to run in.
    """

    name: str
    names: Sequence[str]
    index: Mapping[str, int]
    nodes: Sequence[Node]
    structure: Structure

    @property
    def parents(self) -> Neighbours:
        """For each task the ones that it waits for."""
        return self.structure.parents

    @property
    def children(self) -> Neighbours:
        """For each task the ones that wait for it."""
        return self.structure.children

    @property
    def order(self) -> list[int]:
        """Every task after its parents."""
        return self.structure.order

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What engines have made of the plan, to be used again."""
        return {}

    @cached_property
    def kinds(self) -> tuple[Node, ...]:
        """The different nodes; usually far fewer than tasks."""
        return tuple({id(node): node for node in self.nodes}.values())

    @cached_property
    def is_direct(self) -> bool:
        """Whether all tasks are plain calls: no attempts, no limits, no event loop."""
        return all(node.task.is_direct for node in self.kinds)

    @cached_property
    def names_executors(self) -> bool:
        """Whether a task says on which executor it is to run."""
        return any(node.task.executor is not None for node in self.kinds)

    @cached_property
    def spread_out(self) -> frozenset[int]:
        """Tasks over whose results others are run item by item."""
        if all(node.each < 0 for node in self.kinds):
            return frozenset()
        return frozenset(
            self.parents.of(number)[node.each]
            for number, node in enumerate(self.nodes)
            if node.each >= 0
        )

    @cached_property
    def per_item(self) -> tuple[int, ...]:
        """Tasks that are run item by item."""
        if all(node.each < 0 for node in self.kinds):
            return ()
        return tuple(number for number, node in enumerate(self.nodes) if node.each >= 0)

    @cached_property
    def stages(self) -> tuple[list[str], Any]:
        """Names without their numbers, and which of them each task has, as an array."""
        import numpy as np

        found: dict[str, int] = {}
        stage_of = [
            found.setdefault(stem_of(name) or name, len(found)) for name in self.names
        ]
        return list(found), np.array(stage_of, np.int64)

    @cached_property
    def shape(self) -> Shape:
        """What results know of the plan."""
        return Shape(self.structure, self.per_item)

    @cached_property
    def _input_users(self) -> tuple[list[Node], dict[str, list[Node]]]:
        """Kinds of tasks that depend on the input, and others by names it may have."""
        always = [node for node in self.kinds if node.recipe.depends_on_input]
        by_name: dict[str, list[Node]] = {}
        for node in self.kinds:
            if not node.recipe.depends_on_input:
                for name in node.recipe.names:
                    by_name.setdefault(name, []).append(node)
        return always, by_name

    @cached_property
    def unbound(self) -> Mapping[int, BoundRecipe]:
        """The recipes that don't depend on the input, as if there were none."""
        recipes = [node.recipe for node in self.kinds]
        return {
            id(recipe): recipe.bind(None)
            for recipe in recipes
            if not recipe.depends_on_input
        }

    def bind(self, input_data: Any) -> Mapping[int, BoundRecipe]:
        """Return what each recipe (by its ``id``) does with the input of a run.

        That is `unbound` itself where none depends on this input.

        Raises
        ------
        ParameterError
            If a task that waits for nothing can't be called with this input.
        """
        always, by_name = self._input_users
        nodes = list(always)
        if isinstance(input_data, Mapping):
            for name in by_name.keys() & input_data.keys():
                nodes += by_name[name]
        if not nodes:
            return self.unbound
        bound = dict(self.unbound)
        for node in nodes:
            try:
                bound[id(node.recipe)] = node.recipe.bind(input_data)
            except Unfilled as error:
                number = next(i for i, n in enumerate(self.nodes) if n is node)
                raise self.parameter_error(number, error) from None
        return bound

    def parameter_error(self, number: int, error: Unfilled) -> ParameterError:
        """Return the error that says what a task lacks."""
        name = self.names[number]
        wanted = ", ".join(repr(parameter) for parameter in error.names)
        parents = self.parents.of(number)
        sources = ", ".join(self.names[parents[i]] for i in error.parents[:20])
        if not parents:
            hint = "give input_data as a dict with these keys"
        elif not sources:
            hint = "no result is left for it; name a parameter after a task"
        else:
            hint = f"candidates, in this order: {sources}"
            example = f"{self.names[parents[error.parents[0]]]}_result"
            if example.isidentifier():
                hint += f"; name the parameters after tasks (for example {example})"
            else:
                hint += "; take as many parameters as there are, in this order"
        plural = "s" if len(error.names) > 1 else ""
        return ParameterError(
            f"task {name!r}: can't tell what parameter{plural} {wanted} should get; "
            f"{hint}",
            name,
        )

    def ancestors(self, number: int) -> set[int]:
        """Return all tasks that a task waits for, directly or not."""
        found: set[int] = set()
        parents = self.parents
        waiting = list(parents.of(number))
        while waiting:
            task = waiting.pop()
            if task not in found:
                found.add(task)
                waiting.extend(parents.of(task))
        return found


class Inputs(Mapping[str, Any]):
    """Results of all ancestors of a task, by name; read-only."""

    def __init__(self, plan: FlowPlan, results: Sequence[Any], number: int) -> None:
        self._plan = plan
        self._results = results
        self._number = number

    @cached_property
    def _ancestors(self) -> set[int]:
        return self._plan.ancestors(self._number)

    def __getitem__(self, name: str) -> Any:
        number = self._plan.index.get(name)
        if number is None:
            raise KeyError(name)
        if (
            number not in self._plan.parents.of(self._number)
            and number not in self._ancestors
        ):
            raise KeyError(
                f"{name} (task {self._plan.names[self._number]!r} does not wait for it)"
            )
        return here(self._results[number])

    def __iter__(self) -> Iterator[str]:
        return (self._plan.names[number] for number in sorted(self._ancestors))

    def __len__(self) -> int:
        return len(self._ancestors)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process gets the results themselves, not the plan.
        # Where something is kept elsewhere is seen to as it is pickled.
        numbers, names = sorted(self._ancestors), self._plan.names
        return _Copy, ({names[number]: self._results[number] for number in numbers},)

    def __repr__(self) -> str:
        return f"<results of {', '.join(self)}>"


class _Copy(Mapping[str, Any]):
    """`Inputs` in another process."""

    def __init__(self, results: dict[str, Any]) -> None:
        self._results = results

    def __getitem__(self, name: str) -> Any:
        return self._results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def __repr__(self) -> str:
        return f"<results of {', '.join(self)}>"
