"""How two values differ, in a few lines."""

from __future__ import annotations

import difflib
import pprint
from typing import Any

__all__ = ["differences", "shortened"]

_SHORT = 200  # characters that need no explanation
_LONG = 200_000  # characters for which comparing lines would take too long
_LINES = 40


def shortened(text: str) -> str:
    """Return the text, or its beginning and its length."""
    if len(text) <= _SHORT:
        return text
    return f"{text[:_SHORT]}... ({len(text):,} characters)"


def differences(expected: Any, actual: Any) -> list[str]:
    """Return the lines in which the values differ, with some around them.

    Values that can be compared at a glance give none.
    """
    longest = max(len(repr(expected)), len(repr(actual)))
    if not _SHORT < longest <= _LONG:
        return []
    lines = list(
        difflib.unified_diff(
            pprint.pformat(expected).splitlines(),
            pprint.pformat(actual).splitlines(),
            n=2,
            lineterm="",
        )
    )[2:]
    if len(lines) > _LINES:
        lines[_LINES:] = [f"... and {len(lines) - _LINES:,} lines more"]
    return [shortened(line) for line in lines]
