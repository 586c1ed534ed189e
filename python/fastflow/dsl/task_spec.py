"""What a text says of one task."""

from __future__ import annotations

from typing import Any, NamedTuple

from fastflow.dsl.values import Constant, Reference

__all__ = ["TaskSpec"]


class TaskSpec(NamedTuple):
    """A task of a flow; None where the text says nothing."""

    name: str
    description: str | None = None
    retries: int | None = None
    retry_delay: float | None = None
    """Seconds."""
    backoff: float | None = None
    timeout: float | None = None
    """Seconds."""
    fallback: Constant | Reference | None = None
    run: str | None = None
    """``module:function``."""
    max_concurrency: int | None = None
    code: str | None = None
    each: str | None = None
    """The task over whose result this one is run, item by item (``name[*]``)."""
    # What is new comes last: specs are pickled by position.
    executor: str | None = None
    """Where it runs, by name; see `fastflow.pool.named`."""

    def to_dict(self) -> dict[str, Any]:
        """Return what is given, as plain values."""
        given = {
            key: value for key, value in self._asdict().items() if value is not None
        }
        if isinstance(self.fallback, Constant):
            given["fallback"] = self.fallback.value
        elif isinstance(self.fallback, Reference):
            given["fallback"] = {"call": self.fallback.name}
        return given
