"""``ctx``: what the functions of a workflow are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from fastflow.errors import Cancelled
from fastflow.run.scope import Scope
from fastflow.workflows.records import Steps

__all__ = ["Context", "Elsewhere", "RunInfo"]


class Reducible(Protocol):
    """What pickles a context in a way of its own."""

    def reduce(self) -> tuple[Any, ...]:
        """Return what ``__reduce__`` of the context returns for each call."""


class Context:
    """What a function of a workflow knows about its run.

    Attributes
    ----------
    payload
        What the run was given, the same object.
    last
        The value of the step before: a list in input order after parallel, for_each and
        batch, the winner's value after race; at the beginning, the payload, and in a
        sub-flow of for_each, the item.
    steps : Mapping
        Step records by name: ``ctx.steps["load"].output``.
    run
        The run: ``ctx.run.id``, ``ctx.run.workflow``.
    state, global_state : State
        Values shared by all runs of this workflow, and by all workflows.
    item, index
        In a sub-flow of for_each: its item and the position.
    error, failed_step
        In on_error and the on_failure hook: what was raised, and by which step.
    """

    __slots__ = (
        "_shared_context", "_token", "error", "failed_step", "global_state", "index",
        "item", "last", "payload", "run", "state", "steps",
    )  # fmt: skip

    def __init__(
        self,
        run: Any,
        payload: Any,
        steps: Steps,
        state: Any,
        global_state: Any,
        token: Scope,
    ) -> None:
        self.run = run
        self.payload = payload
        self.last = payload
        self.steps = steps
        self.state = state
        self.global_state = global_state
        self.item: Any = None
        self.index: int | None = None
        self.error: BaseException | None = None
        self.failed_step: str | None = None
        self._token = token
        self._shared_context: Reducible | None = None

    @property
    def cancelled(self) -> bool:
        """Whether this function was asked to stop: its result is not wanted any more.

        It lost a race, another branch of its parallel failed, its time is up, or the
        run was cancelled.
        """
        return self._token.over

    def check(self) -> None:
        """Raise `fastflow.Cancelled` if this function was asked to stop."""
        if self._token.over:
            raise Cancelled("the result of this step is not wanted any more")

    def branch(self, token: Scope, steps: Steps | None = None) -> Context:
        """Return a context for a part of the run that goes its own way."""
        steps = self.steps if steps is None else steps
        other = Context(
            self.run, self.payload, steps, self.state, self.global_state, token
        )
        other.last = self.last
        other.item = self.item
        other.index = self.index
        return other

    def __repr__(self) -> str:
        return f"<ctx of {self.run!r}>"

    def contents(self) -> tuple[Any, ...]:
        """Return what it refers to and another process can see."""
        outputs, names = self.steps.outputs(), self.steps.names()
        return self.payload, self.last, outputs, names, self.item, self.index

    def __reduce__(self) -> tuple[Any, ...]:
        if self._shared_context is not None:
            return self._shared_context.reduce()
        return _rebuild, (RunInfo(self.run.id, self.run.workflow), *self.contents())


@dataclass(frozen=True)
class RunInfo:
    """A run as seen from another process."""

    id: str
    workflow: str


class Elsewhere:
    """Stands for the state in another process."""

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(
            "ctx.state lives in the process of the run, and this function was called "
            "in another one; use a thread executor, or return the value instead"
        )


def _rebuild(
    info: RunInfo,
    payload: Any,
    last: Any,
    outputs: dict[str, Any],
    names: frozenset[str],
    item: Any,
    index: int | None,
) -> Context:
    steps = Steps.of_outputs(outputs, names)
    context = Context(info, payload, steps, Elsewhere(), Elsewhere(), Scope())
    context.last, context.item, context.index = last, item, index
    return context
