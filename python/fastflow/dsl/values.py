"""Names, strings and the values of properties: from text, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastflow.base.durations import parse_duration
from fastflow.base.names import HALF, check_name, refuse_surrogates
from fastflow.dsl.lexer import is_plain_name
from fastflow.errors import shortened
from fastflow.pool.named import check_executor

__all__ = [
    "FLOW_PROPERTIES",
    "TASK_PROPERTIES",
    "Constant",
    "Reference",
    "print_duration",
    "print_fallback",
    "print_name",
    "print_number",
    "quote",
    "read_value",
    "split_comment",
    "unquote",
]

_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
# Those of JSON, because values are JSON, and the single quote.
_ESCAPED = {
    '"': '"', "'": "'", "\\": "\\", "/": "/",
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f",
}  # fmt: skip
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_COMMENT = re.compile(r"(?:^|[ \t])#")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"|' + r"'(?:[^'\\]++|\\.)*+'")


@dataclass(frozen=True, slots=True)
class Constant:
    """A fallback that is a value, kept as JSON so that it can't be changed."""

    json: str

    @property
    def value(self) -> Any:
        """The value itself, a new one each time."""
        return json.loads(self.json)


@dataclass(frozen=True, slots=True)
class Reference:
    """A fallback that is a callable: ``module:function`` or the name of a task."""

    name: str


def unquote(text: str) -> str:
    """Return what a quoted string means.

    Raises
    ------
    ValueError
        If an escape is unknown or half a surrogate pair.
    """

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) == 5:
            return chr(int(code[1:], 16))
        if code not in _ESCAPED:
            shown = code if code.isprintable() else ascii(code)[1:-1]
            raise ValueError(
                f"unknown escape '\\{shown}'; there are \\\\ \\\" \\' \\/ \\n \\t \\r "
                "\\b \\f and \\uXXXX"
            )
        return _ESCAPED[code]

    result = _ESCAPE.sub(replace, text[1:-1])
    if not result.isascii():
        # Two escapes may stand for one character, as in JSON.
        pairs = result.encode("utf-16", "surrogatepass")
        try:
            result = pairs.decode("utf-16")
        except UnicodeDecodeError:
            raise ValueError(HALF) from None
    return result


def quote(text: str) -> str:
    """Return a text as a quoted string; the opposite of `unquote`."""
    shown = json.dumps(text, ensure_ascii=False)
    # json leaves some characters that end a line or can't be seen.
    if shown.isprintable():
        return shown
    return "".join(
        c if c.isprintable() or ord(c) > 0xFFFF else f"\\u{ord(c):04x}" for c in shown
    )


def print_name(name: str) -> str:
    """Return a name as it is written, in quotes if need be."""
    return name if is_plain_name(name) else quote(name)


def split_comment(raw: str) -> tuple[str, str]:
    """Return what stands behind ``key:`` as the value and the comment, both as written.

    Raises
    ------
    ValueError
        If a quoted string does not end, or something follows it.
    """
    if raw[:1] in ("'", '"'):
        match = _STRING.match(raw)
        if match is None:
            raise ValueError(f"the string has no closing {raw[0]}")
        rest = raw[match.end() :].strip(" \t")
        if rest and not rest.startswith("#"):
            raise ValueError("there is something after the closing quote")
        return match[0], rest
    comment = _COMMENT.search(raw)
    if comment is None:
        return raw.strip(" \t"), ""
    return raw[: comment.start()].strip(" \t"), raw[comment.start() :].strip(" \t")


def read_value(raw: str) -> str:
    """Return the value of a property without quotes and comment.

    Raises
    ------
    ValueError
        See `split_comment`; or if an escape is unknown.
    """
    value, _ = split_comment(raw)
    if value[:1] in ("'", '"'):
        return unquote(value)
    if not value.isascii():
        refuse_surrogates(value)
    return value


def _text(raw: str) -> str:
    return read_value(raw)


def _whole(least: int) -> Callable[[str], int]:
    def read(raw: str) -> int:
        text = read_value(raw)
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
            raise ValueError(f"needs a whole number, not {_short(text)}")
        value = int(text)
        if value < least:
            raise ValueError(f"must be at least {least}, not {value}")
        return value

    return read


def _duration(raw: str) -> float:
    text = read_value(raw)
    if len(text) > 400:
        raise ValueError(f"not a duration: {_short(text)}")
    return parse_duration(text)


def _positive_duration(raw: str) -> float:
    seconds = _duration(raw)
    if not seconds:
        raise ValueError("must be more than 0 seconds")
    return seconds


def _factor(raw: str) -> float:
    text = read_value(raw)
    if not re.fullmatch(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", text):
        raise ValueError(f"needs a number, not {_short(text)}")
    value = float(text)
    if not 1 <= value < float("inf"):
        raise ValueError(f"must be finite and at least 1, not {_short(text)}")
    return value


def _run(raw: str) -> str:
    text = read_value(raw)
    if not _MODULE.fullmatch(text):
        raise ValueError(f"needs module:function, not {_short(text)}")
    return text


def _executor(raw: str) -> str:
    text = read_value(raw)
    try:
        check_executor(text, serial=False)
    except ValueError:
        raise ValueError(
            f"needs the name of an executor, threads or processes, not {_short(text)}"
        ) from None
    return text


def _fallback(raw: str) -> Constant | Reference:
    if raw[:1] in ("'", '"'):
        return Constant(json.dumps(read_value(raw)))
    text = read_value(raw)
    if _MODULE.fullmatch(text):
        return Reference(text)
    try:
        value = json.loads(text, parse_constant=_no_constant)
        canonical = json.dumps(value)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None
    except ValueError:
        if is_plain_name(text) and not text[0].isdigit():
            return Reference(check_name(text))
        raise ValueError(
            "needs a JSON value, the name of a task or module:function; put text in "
            "quotes"
        ) from None
    if "Infinity" in canonical:
        _refuse_infinity(value)
    if "\\ud" in canonical:
        refuse_surrogates(json.dumps(value, ensure_ascii=False))
    return Constant(canonical)


def _refuse_infinity(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("the value has a number that is too large") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _short(text: str) -> str:
    return repr(shortened(text, 43))


#: Property of a task -> how its value is read. ``code`` has a block, see the parser.
TASK_PROPERTIES: dict[str, Callable[[str], Any]] = {
    "description": _text,
    "retries": _whole(0),
    "retry_delay": _duration,
    "backoff": _factor,
    "timeout": _positive_duration,
    "fallback": _fallback,
    "run": _run,
    "max_concurrency": _whole(1),
    "executor": _executor,
    "code": _text,
}

FLOW_PROPERTIES: dict[str, Callable[[str], Any]] = {"description": _text}


def print_duration(seconds: float) -> str:
    """Return a duration in the largest unit in which it is a whole number."""
    for unit, scale in (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0)):
        count = seconds / scale
        if count >= 1 and count.is_integer():
            text = f"{int(count)}{unit}"
            if parse_duration(text) == seconds:
                return text
    text = f"{seconds * 1000:.0f}ms"
    if parse_duration(text) == seconds:
        return text
    return f"{print_number(seconds)}s"


def print_number(value: float) -> str:
    """Return a number without an exponent, which the language does not have."""
    shown = repr(value)
    return f"{Decimal(value):f}" if "e" in shown else shown


def print_fallback(fallback: Constant | Reference) -> str:
    """Return a fallback as it is written."""
    if isinstance(fallback, Reference):
        return fallback.name
    value = fallback.value
    return quote(value) if isinstance(value, str) else fallback.json
