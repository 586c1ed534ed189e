"""Many spans in few pixels: what shows in each, in time linear in the spans."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["coverage", "runs_of", "stacked"]


def coverage(starts: np.ndarray, ends: np.ndarray, width: int) -> np.ndarray:
    """Return which part of each pixel is covered; more than 1 where spans overlap.

    Parameters
    ----------
    starts, ends : ndarray of float
        In pixels, from 0 to `width`.

    Returns
    -------
    ndarray of float, length `width`
    """
    first = np.minimum(starts.astype(np.int64), width - 1)
    last = np.minimum(ends.astype(np.int64), width - 1)
    same = first == last
    # A span's two ends, and whole pixels between them as a step up and a step down.
    found = np.zeros(width)
    found += np.bincount(first[same], (ends - starts)[same], width)
    other = ~same
    found += np.bincount(first[other], (first + 1 - starts)[other], width)
    found += np.bincount(last[other], (ends - last)[other], width)
    steps = np.bincount(first[other] + 1, minlength=width + 1)[: width + 1]
    steps = steps - np.bincount(last[other], minlength=width + 1)[: width + 1]
    found += np.cumsum(steps)[:width]
    return np.maximum(found, 0.0)


def runs_of(values: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield (start, length, value) of equal neighbours, but for those of value < 0."""
    if not len(values):
        return
    edges = np.flatnonzero(np.diff(values)) + 1
    begins = np.concatenate(([0], edges))
    lengths = np.diff(np.concatenate((begins, [len(values)])))
    chosen = values[begins]
    for begin, length, value in zip(
        begins.tolist(), lengths.tolist(), chosen.tolist(), strict=True
    ):
        if value >= 0:
            yield begin, length, value


def stacked(starts: np.ndarray, ends: np.ndarray, most: int) -> list[int] | None:
    """Return a row for each span (by start), so that none overlap; None: too many."""
    free: list[float] = []
    rows = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        row = next((n for n, time in enumerate(free) if time <= start), len(free))
        if row == len(free):
            if row == most:
                return None
            free.append(end)
        else:
            free[row] = end
        rows.append(row)
    return rows
