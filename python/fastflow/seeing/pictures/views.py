"""What is drawn of something: its graph, and what became of the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastflow.seeing.pictures.groups import MOST, grouped
from fastflow.seeing.trace import Dag

__all__ = ["View", "combined", "small_view"]

# What a group is called whose members went different ways.
_RANKS = (
    "FAILED", "TIMED_OUT", "RETRIED", "RUNNING", "STARTED", "CANCELLED", "STOPPED",
    "SKIPPED", "PENDING", "COMPLETED", "SUCCEEDED", "DONE", "CACHED",
)  # fmt: skip


class View(NamedTuple):
    """A graph with what is known of its nodes."""

    dag: Dag
    title: str
    states: tuple[str, ...] = ()
    """Words, by node; empty: it has not run."""
    seconds: tuple[float, ...] = ()
    """What each took, by node; empty: not known."""


def combined(
    values: Sequence[str] | Sequence[float], group: Any, count: int
) -> list[str] | list[float]:
    """Return one value for each group: the worst word, or all seconds together."""
    if isinstance(values[0], str):
        places = {word: at for at, word in enumerate(_RANKS)}
        words = [str(value).rpartition(".")[2].upper() for value in values]
        ranks = np.array([places.get(word, len(_RANKS)) for word in words])
        worst = np.full(count, len(_RANKS))
        np.minimum.at(worst, group, ranks)
        return [(*_RANKS, "")[at] for at in worst.tolist()]
    total = np.zeros(count)
    np.add.at(total, group, np.asarray(values, float))
    found: list[float] = total.tolist()
    return found


def small_view(view: View, most: int = MOST) -> View:
    """Return a view of at most about `most` nodes: those that are alike are one."""
    dag, group = grouped(view.dag, most)
    count = len(dag.names)
    if count == len(view.dag.names):
        return view._replace(dag=dag)
    states: Any = combined(view.states, group, count) if view.states else ()
    seconds: Any = combined(view.seconds, group, count) if view.seconds else ()
    return View(dag, view.title, tuple(states), tuple(seconds))
