"""Spans one by one, with their names: how a trace is made of what was written down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastflow.seeing.trace import SPAN, Failure, Kind, Lane, Run, State, Trace

__all__ = ["Builder"]


class Builder:
    """Takes spans in any order, in nanoseconds since 1970 or any other moment."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, ...]] = []
        self._labels: dict[str, int] = {}
        self._lanes: dict[tuple[str, str], int] = {}
        self._failures: list[tuple[int, str, str, str]] = []

    def add(
        self,
        start: int,
        end: int,
        label: str,
        lane: tuple[str, str],
        *,
        kind: Kind = Kind.CALL,
        state: State = State.DONE,
        attempt: int = 1,
        item: int = -1,
        error: tuple[str, str, str] | None = None,
    ) -> None:
        """Add a span; `lane` is name and kind, `error` type, message and traceback."""
        if error is not None:
            self._failures.append((len(self._rows), *error))
        self._rows.append(
            (
                start, max(start, end), -1, -1, item,
                self._lanes.setdefault(lane, len(self._lanes)),
                self._labels.setdefault(label, len(self._labels)),
                0, attempt, kind, state,
            )
        )  # fmt: skip

    def trace(self, run: Run, *, began: int) -> Trace:
        """Return the trace of one run, whose times are as those of the spans.

        Parameters
        ----------
        run : Run
        began : int
            The moment that becomes 0.
        """
        spans = np.array(self._rows, SPAN) if self._rows else np.zeros(0, SPAN)
        first = min(began, int(spans["start"].min())) if len(spans) else began
        last = max(run.end, int(spans["end"].max())) if len(spans) else run.end
        spans["start"] -= first
        spans["end"] -= first
        order = np.argsort(spans["start"], kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return Trace(
            spans[order],
            labels=tuple(self._labels),
            lanes=tuple(Lane(name, kind) for name, kind in self._lanes),
            runs=(run._replace(start=run.start - first, end=run.end - first),),
            failures=self._placed(place),
            began=first / 1e9,
            length=max(0, last - first),
        )

    def _placed(self, place: Sequence[int] | np.ndarray) -> tuple[Failure, ...]:
        found = [Failure(int(place[row]), *texts) for row, *texts in self._failures]
        return tuple(sorted(found, key=lambda failure: failure.span))
