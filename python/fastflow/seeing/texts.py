"""Texts in pictures: names that strangers have written, numbers, how wide they are."""

from __future__ import annotations

from html import escape

from fastflow.base.terminal import cells, printable

__all__ = ["count_text", "middle_cut", "safe", "time_text", "width_of"]

_NARROW = frozenset("ijlftrI.,:;'|!()[]{}- \"/\\`*")
_BROAD = frozenset("mwMWQGOD@%&—…")
_TIMES = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (1e-6, "µs", 1e6))


def safe(text: object) -> str:
    """Return a text for XML and HTML, where it stands for itself, also in quotes.

    What can't be printed (and may be no character of XML at all) becomes U+FFFD.
    """
    return escape(printable(text), quote=True)


def middle_cut(text: str, most: int) -> str:
    """Return a text of at most so many characters, without its middle if need be.

    Names that belong together often differ at their ends only.
    """
    text = printable(text)
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def width_of(text: str, size: float = 13) -> float:
    """Return how wide a text is about, in a sans-serif font of `size` pixels."""
    units = 0.0
    for character in text:
        if character in _NARROW:
            units += 0.36
        elif character in _BROAD:
            units += 0.92
        elif character.isascii():
            units += 0.68 if character.isupper() else 0.58
        else:
            units += 1.05 if cells(character) == 2 else 0.68
    return units * size


def count_text(count: int) -> str:
    """Return how many calls a node stands for."""
    return f"× {count:,}"


def time_text(seconds: float) -> str:
    """Return a duration with three digits and a unit that suits it."""
    if seconds >= 60:
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    for unit, word, factor in _TIMES:
        if seconds >= unit * 0.9995:
            return f"{_three(seconds * factor)} {word}"
    return f"{seconds * 1e9:.0f} ns"


def _three(number: float) -> str:
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text
