"""What tasks and flows can be called."""

from __future__ import annotations

import unicodedata
from typing import Any

__all__ = [
    "HALF",
    "check_name",
    "composed",
    "name_of",
    "plain_text",
    "refuse_surrogates",
    "stem_of",
]

_LONGEST = 1_024  # characters
HALF = "half of a surrogate pair is not a character"


def check_name(name: str) -> str:
    """Return a name as a plain str in composed form (NFC).

    Raises
    ------
    TypeError
        If it is no str.
    ValueError
        If nothing can be called so: it is empty, too long, or has control characters or
        halves of surrogate pairs.
    """
    name = plain_text(name)
    name = composed(name)
    if not name.strip():
        raise ValueError("a name can't be empty")
    if len(name) > _LONGEST:
        raise ValueError(
            f"a name of {len(name):,} characters; {_LONGEST:,} are allowed"
        )
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        raise ValueError("a name can't contain control characters")
    return name


def composed(name: str) -> str:
    """Return a text with its letters and their accents as single characters (NFC)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def name_of(fn: Any) -> str:
    """Return what a callable is called in messages: its name, else that of its type."""
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def stem_of(name: str) -> str:
    """Return a name without the number at its end: what many of a kind share."""
    return name.rstrip("0123456789 #_-.[](){}:")


def plain_text(text: str) -> str:
    """Return a text that can be encoded, as a `str` and no subclass.

    A subclass may do anything when it is asked, and encoders refuse it.

    Raises
    ------
    TypeError
        If it is no str.
    ValueError
        If it has halves of surrogate pairs.
    """
    if type(text) is not str:
        if not isinstance(text, str):
            raise TypeError(f"a name must be a str, not {type(text).__name__}")
        text = str.__str__(text)
    if not text.isascii():
        refuse_surrogates(text)
    return text


def refuse_surrogates(text: str) -> None:
    """Raise ValueError if a text can't be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(HALF) from None
