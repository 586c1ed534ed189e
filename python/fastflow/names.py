"""What tasks and flows can be called."""

from __future__ import annotations

import unicodedata

__all__ = ["HALF", "check_name", "refuse_surrogates"]

_LONGEST = 1_024  # characters
HALF = "half of a surrogate pair is not a character"


def check_name(name: str) -> str:
    """Return a name in composed form (NFC).

    Raises
    ------
    ValueError
        If nothing can be called so: it is empty, too long, or has control characters or
        halves of surrogate pairs.
    """
    if not name.isascii():
        refuse_surrogates(name)
        name = unicodedata.normalize("NFC", name)
    if not name.strip():
        raise ValueError("a name can't be empty")
    if len(name) > _LONGEST:
        raise ValueError(
            f"a name of {len(name):,} characters; {_LONGEST:,} are allowed"
        )
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        raise ValueError("a name can't contain control characters")
    return name


def refuse_surrogates(text: str) -> None:
    """Raise ValueError if a text can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(HALF) from None
