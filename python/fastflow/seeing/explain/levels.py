"""How many calls ran, waited and how many workers were idle, from moment to moment.

Steps are averaged over segments: all pieces between two events where there are few,
some ten thousand segments where there are millions. Each average is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastflow.seeing.explain.account import Account
from fastflow.seeing.explain.spans import Spans

__all__ = ["Levels", "levels_of"]

_MOST = 20_000


@dataclass(frozen=True, eq=False)
class Levels:
    """Columns with a row per segment, in order of time."""

    start: np.ndarray
    """ns since the window's beginning."""
    width: np.ndarray
    running: np.ndarray
    """Calls at a time."""
    waiting: np.ndarray
    """Calls that could have begun."""
    occupied: np.ndarray
    """Workers that had something to do."""
    blocked: np.ndarray


def levels_of(spans: Spans, account: Account) -> Levels:
    """Return what went on in each segment of the window."""
    call = account.call[spans.ready[account.call] >= 0]
    ready = np.sort(np.maximum(spans.ready[call] - spans.begin, 0))
    begun = np.sort(spans.start[call] - spans.begin)
    edges = _edges(spans.wall, *account.running, *account.occupied, ready)
    width = np.diff(edges)
    return Levels(
        start=edges[:-1],
        width=width,
        running=_mean(edges, width, account.running),
        waiting=_mean(edges, width, (ready, begun)),
        occupied=_mean(edges, width, account.occupied),
        blocked=_mean(edges, width, account.blocked),
    )


def _edges(wall: int, *events: np.ndarray) -> np.ndarray:
    """Return the ends of the segments."""
    step = 1 + sum(map(len, events)) // _MOST
    found = np.concatenate([[0, wall], *(times[::step] for times in events)])
    return np.unique(np.clip(found, 0, wall)).astype(np.int64)


def _mean(
    edges: np.ndarray, width: np.ndarray, steps: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the mean in each segment of a count that goes up and down."""
    total = _area(edges, steps[0]) - _area(edges, steps[1])
    mean: np.ndarray = np.maximum(np.diff(total) / np.maximum(width, 1), 0)
    # What differs by rounding only is the same.
    return np.round(mean, 6)


def _area(edges: np.ndarray, ups: np.ndarray) -> np.ndarray:
    """Return the integral, up to each edge, of how many times have passed."""
    passed = np.searchsorted(ups, edges, "right")
    sums = np.concatenate([[0.0], np.cumsum(ups, dtype=float)])
    area: np.ndarray = passed * edges.astype(float) - sums[passed]
    return area
