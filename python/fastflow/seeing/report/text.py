"""Figures as people read them."""

from __future__ import annotations

__all__ = ["shown_share", "shown_time"]

_UNITS = ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s"))


def shown_time(seconds: float) -> str:
    """Return a time with about three digits.

    Examples
    --------
    >>> shown_time(0.00123), shown_time(75.0), shown_time(8000)
    ('1.23 ms', '75.0 s', '2 h 13 min')
    """
    if seconds >= 2 * 86400:
        return f"{seconds / 86400:.1f} d"
    if seconds >= 7200:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60} min"
    if seconds >= 120:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60} s"
    if seconds <= 0:
        return "0 s"
    size, unit = max((pair for pair in _UNITS if pair[0] <= seconds), default=_UNITS[0])
    value = seconds / size
    places = 0 if value >= 100 or size == 1e-9 else 1 if value >= 10 else 2
    return f"{value:.{places}f} {unit}"


def shown_share(share: float) -> str:
    """Return a share as a percentage.

    Examples
    --------
    >>> shown_share(0.4567), shown_share(0.004)
    ('46 %', '0.4 %')
    """
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
