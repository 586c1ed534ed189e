"""What is added to what steps raise: the exceptions are the user's, and may refuse."""

from __future__ import annotations

import contextlib

__all__ = ["add_note"]


def add_note(error: BaseException, text: str) -> None:
    """Add a note, unless it's there already (an exception may be raised many times).

    One that takes no attributes, such as a frozen dataclass, stays as it is.
    """
    with contextlib.suppress(Exception):
        if text not in getattr(error, "__notes__", ()):
            error.add_note(text)
