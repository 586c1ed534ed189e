"""A cause, and how numbers are told."""

from __future__ import annotations

from typing import NamedTuple

from fastflow.seeing.texts import middle_cut, time_text

__all__ = ["PAGES", "Cause", "count", "name_text", "ns_text", "share"]

#: Where the pages are, in a checkout.
PAGES = "docs/patterns"


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


def ns_text(ns: float) -> str:
    """Return nanoseconds in a unit that suits them."""
    return time_text(ns / 1e9)


def share(part: float, whole: float) -> str:
    """Return a part in per cent."""
    return f"{100 * part / whole:.0f} %" if whole > 0 else "0 %"


def count(number: float, what: str) -> str:
    """Return a number with what is counted, which gets an s if it must."""
    return f"{number:,.0f} {what}" + ("" if round(number) == 1 else "s")


def name_text(name: object) -> str:
    """Return a name as it can stand in a line."""
    return middle_cut(str(name), 40)
