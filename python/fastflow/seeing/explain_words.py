"""A cause, and how numbers are told."""

from __future__ import annotations

from typing import NamedTuple

from fastflow.base.terminal import printable

__all__ = ["PAGES", "Cause", "count", "name_text", "share", "time_text"]

#: Where the pages are, in a checkout.
PAGES = "docs/patterns"
_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"))


class Cause(NamedTuple):
    """One reason why a run took as long as it did."""

    name: str
    """What it is called."""
    lost: float
    """Seconds by which the run would have been shorter without it: an estimate."""
    evidence: str
    """The numbers that show it."""
    advice: str
    """What to change."""
    page: str
    """The page that tells more, from the root of a checkout."""


def time_text(ns: float) -> str:
    """Return a time in a unit that suits it, with three digits."""
    for size, unit in _UNITS:
        if ns >= 0.9995 * size:
            number = ns / size
            digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
            return f"{number:,.{digits}f} {unit}"
    return f"{ns:.0f} ns"


def share(part: float, whole: float) -> str:
    """Return a part in per cent."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "0 %"


def count(number: float, what: str) -> str:
    """Return a number with what is counted, which gets an s if it must."""
    return f"{number:,.0f} {what}" + ("" if round(number) == 1 else "s")


def name_text(name: object) -> str:
    """Return a name as it can stand in a line."""
    return printable(name, 40)
