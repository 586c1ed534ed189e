"""'Did you mean ...?'."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean"]

_MOST = 2_000  # candidates that are compared; a registry may have a million names


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or nothing if no candidate is close."""
    if len(name) > 100:
        return ""
    close = []
    for candidate in candidates:
        if abs(len(candidate) - len(name)) <= 2 + len(name) // 4:
            close.append(candidate)
            if len(close) == _MOST:
                break
    lowered = {candidate.lower(): candidate for candidate in close}
    best = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.7)
    return f"; did you mean {lowered[best[0]]!r}?" if best else ""
