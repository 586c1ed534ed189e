"""Columns of numbers as few bytes: what a report embeds, and what its page reads.

Each column becomes small non-negative integers (differences to the row before, or to
another column; signs folded in), whose bytes are stored plane by plane: first the
lowest byte of all rows, then the next one. Planes of high bytes are nearly all zero,
so that deflate makes next to nothing of them, and a page puts numbers together again
in a simple loop over typed arrays.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Planes", "best", "changes", "folded", "known"]

_SAMPLE = 1 << 16  # rows


def folded(values: np.ndarray) -> np.ndarray:
    """Return non-negative integers for signed ones: 0, -1, 1, -2 become 0, 1, 2, 3."""
    wide = np.asarray(values, np.int64)
    return ((wide << 1) ^ (wide >> 63)).view(np.uint64)


def changes(values: np.ndarray) -> np.ndarray:
    """Return how each value differs from the one before; the first from 0."""
    wide = np.asarray(values, np.int64)
    return folded(np.diff(wide, prepend=np.int64(0)))


def known(there: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return 0 where there is no value, else one more than it."""
    return np.where(there, np.asarray(values, np.uint64) + np.uint64(1), np.uint64(0))


def best(forms: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """Return the form of a column that takes the fewest bytes, by its first rows."""

    def size(name: str) -> int:
        planes = Planes()
        planes.add(name, forms[name][:_SAMPLE])
        return len(zlib.compress(b"".join(planes.parts), 1))

    name = min(forms, key=size)
    return name, forms[name]


class Planes:
    """Columns on their way into a file: their bytes, and what to know to read them."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.columns: list[dict[str, Any]] = []

    def add(self, name: str, values: np.ndarray, form: str = "plain") -> None:
        """Put a column of non-negative integers behind the others."""
        wide = np.ascontiguousarray(values, "<u8")
        most = int(wide.max()) if len(wide) else 0
        width = (most.bit_length() + 7) // 8
        planes = wide.view(np.uint8).reshape(-1, 8)
        self.parts += [planes[:, number].tobytes() for number in range(width)]
        self._note(name, form, len(wide), width)

    def add_reals(self, name: str, values: np.ndarray) -> None:
        """Put a column of real numbers behind the others, in single precision."""
        planes = np.ascontiguousarray(values, "<f4").view(np.uint8).reshape(-1, 4)
        self.parts += [planes[:, number].tobytes() for number in range(4)]
        self._note(name, "real", len(planes), 4)

    def _note(self, name: str, form: str, rows: int, width: int) -> None:
        self.columns.append({"name": name, "form": form, "rows": rows, "width": width})
