"""What steps raise: how it is shown, and what is added to it.

The exceptions are the user's: their ``__str__`` may raise, and they may refuse notes.
"""

from __future__ import annotations

import contextlib

__all__ = ["add_note", "shown"]


def shown(error: BaseException) -> str:
    """Return type and message of an exception."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except BaseException as failure:
        return f"{kind} (its message can't be shown: {type(failure).__name__})"


def add_note(error: BaseException, text: str) -> None:
    """Add a note, unless it's there already (an exception may be raised many times).

    One that takes no attributes, such as a frozen dataclass, stays as it is.
    """
    with contextlib.suppress(Exception):
        if text not in getattr(error, "__notes__", ()):
            error.add_note(text)
