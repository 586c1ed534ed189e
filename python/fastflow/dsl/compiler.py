"""From a specification to a plan: names become callables, parameters get sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fastflow.base.topology import Structure
from fastflow.dsl.imports import Allowed, NotAllowed, import_callable
from fastflow.dsl.inline import InlineCode
from fastflow.dsl.spec import FlowSpec, TaskSpec
from fastflow.dsl.suggest import did_you_mean
from fastflow.dsl.values import Constant, Reference
from fastflow.errors import shown
from fastflow.run.params import INPUT_DATA, INPUTS, Recipe, Signature, Source
from fastflow.run.plan import FlowPlan, Node
from fastflow.run.task import Task, task_of

__all__ = ["Allowed", "Report", "compile_plan"]

_HINTS = 20  # suggestions in the errors of one flow; each is a search

Report = Callable[[str, str], object]
"""Told the name of a task and what is wrong with it."""


class _Bound(NamedTuple):
    """A callable, looked at once for all tasks that use it."""

    task: Task
    signature: Signature
    named: dict[str, list[tuple[str, int]]]
    """Parameter -> tasks of the flow it may be called after: (name, number)."""


def compile_plan(
    spec: FlowSpec,
    structure: Structure,
    registry: Mapping[str, Callable[..., Any]],
    allowed: Allowed,
    report: Report,
    file: str = "<flow>",
) -> FlowPlan:
    """Return the plan of a flow; what prevents one goes to `report`."""
    compiler = _Compiler(spec, structure, registry, allowed, report, file)
    return compiler.plan()


class _Compiler:
    def __init__(
        self,
        spec: FlowSpec,
        structure: Structure,
        registry: Mapping[str, Callable[..., Any]],
        allowed: Allowed,
        report: Report,
        file: str,
    ) -> None:
        self.spec = spec
        self.structure = structure
        self.registry = registry
        self.allowed = allowed
        self.report = report
        self.file = file
        self.names, _, _ = spec.columns
        self.index = spec.numbers
        self.bound: dict[int, _Bound] = {}
        self.shared: dict[tuple[Any, ...], Node] = {}
        self.below: dict[int, bytearray] = {}
        self.hints = 0
        self.kept: list[Callable[..., Any]] = []

    def plan(self) -> FlowPlan:
        starts = self.structure.parents.starts
        details = self.spec.details
        nodes: list[Any] = []
        append = nodes.append
        shared, bound = self.shared, self.bound
        find = self.registry.get
        for number, name in enumerate(self.names):
            count = starts[number + 1] - starts[number]
            if name not in details:
                # The common case: most tasks share their node with others.
                fn = find(name)
                known = bound.get(id(fn))
                if known is not None and not known.named:
                    node = shared.get((id(fn), count, -1, ()))
                    if node is not None:
                        append(node)
                        continue
            append(self.node(number, name, count))
        return FlowPlan(self.spec.name, self.names, self.index, nodes, self.structure)

    def node(self, number: int, name: str, count: int) -> Node | None:
        details = self.spec.details.get(name) or TaskSpec(name)
        fn = self.callable(details)
        if fn is None:
            return None
        bound = self.look_at(fn)
        each = -1
        if details.each is not None:
            each = self.structure.parents.of(number).index(self.index[details.each])
        sources = self.sources(number, name, bound) if bound.named else {}
        key = (id(fn), count, each, tuple(sources.items()))
        plain = name not in self.spec.details or details == TaskSpec(
            name, each=details.each
        )
        if plain and key in self.shared:
            return self.shared[key]
        recipe = Recipe(bound.signature, count, sources)
        node = Node(self.changed(bound.task, details), recipe, each)
        if plain:
            self.shared[key] = node
        return node

    def look_at(self, fn: Callable[..., Any]) -> _Bound:
        known = self.bound.get(id(fn))
        if known is None:
            task = task_of(fn, getattr(fn, "__name__", None) or "task")
            signature = Signature.of(task.fn)
            named = {
                parameter.name: found
                for parameter in signature.parameters
                if (found := self.named_after(parameter.name))
            }
            known = self.bound[id(fn)] = _Bound(task, signature, named)
            self.kept.append(fn)  # else its id could be that of another one
        return known

    def named_after(self, parameter: str) -> list[tuple[str, int]]:
        found = [(kind, -1) for kind in (INPUTS, INPUT_DATA) if parameter == kind]
        for name in (parameter, parameter.removesuffix("_result")):
            number = self.index.get(name)
            if number is not None and (name, number) not in found:
                found.append((name, number))
        return found

    def sources(self, number: int, name: str, bound: _Bound) -> dict[str, Source]:
        """Apply rule 1."""
        parents = self.structure.parents.of(number)
        sources = {}
        for parameter, candidates in bound.named.items():
            found = [
                (candidate, ancestor)
                for candidate, ancestor in candidates
                if ancestor < 0 or self.is_above(ancestor, number, parents)
            ]
            if len(found) > 1:
                listed = ", ".join(
                    f"all {candidate}" if ancestor < 0 else f"the result of {candidate}"
                    for candidate, ancestor in found
                )
                self.report(
                    name,
                    f"parameter {parameter!r} of task {name[:40]!r} is ambiguous; "
                    f"candidates: {listed}",
                )
            elif found:
                candidate, ancestor = found[0]
                if ancestor < 0:
                    sources[parameter] = Source(candidate)
                elif ancestor in parents:
                    sources[parameter] = Source("parent", parents.index(ancestor))
                else:
                    sources[parameter] = Source("ancestor", ancestor)
        return sources

    def is_above(self, ancestor: int, number: int, parents: list[int]) -> bool:
        """Whether a task waits for another one, directly or not."""
        if ancestor in parents:
            return True
        below = self.below.get(ancestor)
        if below is None:
            below = self.below[ancestor] = self.all_below(ancestor)
        return bool(below[number])

    def all_below(self, ancestor: int) -> bytearray:
        below = bytearray(len(self.names))
        children = self.structure.children
        waiting = list(children.of(ancestor))
        while waiting:
            task = waiting.pop()
            if not below[task]:
                below[task] = 1
                waiting.extend(children.of(task))
        return below

    def callable(self, details: TaskSpec) -> Callable[..., Any] | None:
        """Return what a task runs; None if there is nothing."""
        name = details.name
        if details.code is not None:
            return self.inline(name, details.code)
        if details.run is not None:
            return self.imported(name, details.run, "run")
        fn: Any = self.registry.get(name)
        if fn is None:
            self.report(name, f"unknown task {name[:60]!r}" + self.hint(name))
        elif not callable(fn):
            self.report(
                name, f"task {name[:60]!r} is not callable: {type(fn).__name__}"
            )
            return None
        return fn  # type: ignore[no-any-return]

    def hint(self, name: str) -> str:
        self.hints += 1
        close = did_you_mean(name, self.registry) if self.hints <= _HINTS else ""
        return close or (
            "; define it with @task, give it in registry=, or bind it with 'run:'"
            if self.hints == 1
            else ""
        )

    def inline(self, name: str, code: str) -> Callable[..., Any] | None:
        if not self.allowed.code:
            self.report(
                name,
                f"task {name[:40]!r} has a block of code; such blocks run only with "
                "allow_code=True",
            )
            return None
        try:
            return InlineCode(name, code, f"{self.file}#{name}", 0)
        except SyntaxError as error:
            where = f"line {error.lineno or 1}"
            self.report(name, f"the code of {name[:40]!r}, {where}: {error.msg}")
        except (ValueError, RecursionError, MemoryError) as error:
            self.report(name, f"the code of {name[:40]!r} can't be compiled: {error}")
        return None

    def imported(self, name: str, target: str, key: str) -> Callable[..., Any] | None:
        module = target.partition(":")[0]
        if self.allowed.unseen and not self.allowed.importing(module):
            return _unseen
        try:
            return import_callable(target, self.allowed)
        except NotAllowed as error:
            self.report(name, f"{key}: {error}")
        except TypeError as error:
            self.report(name, f"{key}: {error}"[:300])
        except Exception as error:  # whatever the module does when it is imported
            reason = shown(error)
            self.report(name, f"{key}: can't import {target[:60]!r}: {reason[:200]}")
        return None

    def changed(self, task: Task, details: TaskSpec) -> Task:
        """Return a task with the options that the text gives."""
        options: dict[str, Any] = {}
        if details.description is not None:
            options["description"] = details.description
        if details.timeout is not None:
            options["timeout"] = details.timeout
        if details.max_concurrency is not None:
            options["max_concurrency"] = details.max_concurrency
        if details.executor is not None:
            options["executor"] = details.executor
        given = (details.retries, details.retry_delay, details.backoff)
        if any(value is not None for value in given):
            try:
                options["retry"] = task.retry.changed(*given)
            except TypeError as error:
                self.report(details.name, str(error))
        if isinstance(details.fallback, Constant):
            options["fallback"] = details.fallback.value
        elif isinstance(details.fallback, Reference):
            options["fallback"] = self.fallback(details.name, details.fallback.name)
        return task.changed(**options) if options else task

    def fallback(self, name: str, target: str) -> Callable[..., Any] | None:
        if ":" in target:
            return self.imported(name, target, "fallback")
        fn = self.registry.get(target)
        if fn is None:
            self.report(
                name,
                f"fallback: unknown task {target[:60]!r}"
                + (did_you_mean(target, self.registry) or "; put text in quotes"),
            )
            return None
        return task_of(fn).fn


def _unseen(*_results: object, **_inputs: object) -> None:
    """Stand for what a check does not import."""
