"""Durations as people write them: ``"500ms"``, ``"30s"``, ``"5m"``, or seconds."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

__all__ = [
    "Time",
    "limit_of",
    "parse_duration",
    "positive_limit_of",
    "seconds_of",
    "wait_of",
]


if TYPE_CHECKING:
    from typing import Protocol

    class _TimeDelta(Protocol):
        """As ``datetime.timedelta`` and pandas' are."""

        def total_seconds(self) -> float: ...

    class _Duration(Protocol):
        """As ``fastflow.durable.Duration`` is."""

        def to_seconds(self) -> float: ...

    Time = float | str | _TimeDelta | _Duration
else:  # to make protocols takes as long as to import a module
    Time = float | str | object
"""What every option that is a time takes."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TEXT = r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([^\W\d_]*)\s*"
_FORMS = 'write for example "500ms", "30s", "5m", "2h", "1d", or a number of seconds'


def parse_duration(value: Any) -> float:
    """Return the seconds that `value` means.

    Parameters
    ----------
    value : str, float, int, datetime.timedelta or fastflow.durable.Duration
        A number with one of the units ``ms``, ``s``, ``m``, ``h``, ``d``; a number
        without a unit means seconds.

    Raises
    ------
    ValueError
        If it is negative, not finite, or not in one of these forms.
    TypeError
        If it is of another type.

    Examples
    --------
    >>> parse_duration("500ms"), parse_duration("2h"), parse_duration(1.5)
    (0.5, 7200.0, 1.5)
    """
    if isinstance(value, str):
        seconds = _parse_text(value)
    elif isinstance(value, bool):
        raise TypeError(f"a duration can't be {value}; {_FORMS}")
    elif hasattr(value, "total_seconds"):
        seconds = value.total_seconds()
    elif hasattr(value, "to_seconds"):
        seconds = value.to_seconds()
    elif hasattr(value, "__float__") or hasattr(value, "__index__"):
        seconds = _as_float(value)
    else:
        raise TypeError(f"a duration can't be a {type(value).__name__}; {_FORMS}")
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(
            f"a duration must be finite and not negative: {value!r}; {_FORMS}"
        )
    return seconds


def seconds_of(what: str, value: Any) -> float:
    """Return the seconds that the option `what` means; see `parse_duration`.

    Raises
    ------
    TypeError, ValueError
        With the name of the option, what is wrong, and what to write.
    """
    try:
        return parse_duration(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{what}: {error}") from None


def limit_of(what: str, value: Any) -> float | None:
    """Return the seconds of an option that may be None: no limit."""
    return None if value is None else seconds_of(what, value)


def positive_limit_of(what: str, value: Any) -> float | None:
    """Return the seconds of a limit that nothing could meet if it were 0."""
    seconds = limit_of(what, value)
    if seconds == 0:
        raise ValueError(f"{what}: a time limit must be more than 0 seconds")
    return seconds


def wait_of(value: Any, what: str = "timeout") -> float | None:
    """Return the seconds that a wait like those of ``concurrent.futures`` may take.

    There, a negative number means a time that is up already; here, too.
    """
    if value is None or (type(value) in (int, float) and value <= 0):
        return value  # type: ignore[no-any-return]
    return seconds_of(what, value)


def _parse_text(text: str) -> float:
    match = re.fullmatch(_TEXT, text, re.ASCII)
    if match is None:
        if text.lstrip().startswith("-"):
            raise ValueError(f"a duration must not be negative: {text!r}; {_FORMS}")
        raise ValueError(f"not a duration: {text!r}; {_FORMS}")
    number, unit = match.groups()
    scale = _UNITS.get(unit or "s")
    if scale is None:
        raise ValueError(f"unknown unit {unit!r} in the duration {text!r}; {_FORMS}")
    return float(number) * scale


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"a duration must be finite; {_FORMS}") from None
