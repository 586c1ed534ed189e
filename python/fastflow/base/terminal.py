"""What goes to a terminal: nothing that a stranger has written may control it.

A store, a file's name or an error's message can hold escape sequences, which move the
cursor, rename the window, or hide what was printed.  All that the commands print of
such things goes through `printable`, or `printable_json`.
"""

from __future__ import annotations

import logging
import sys
import unicodedata
from typing import TextIO

__all__ = ["CleanHandler", "cells", "printable", "printable_json", "write_lines"]

_REPLACED = "\N{REPLACEMENT CHARACTER}"


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(character)
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def printable(text: object, longest: int | None = None) -> str:
    """Return a text without anything but printable characters and spaces.

    Control characters (of which escape sequences are made), line ends, marks that turn
    the direction of writing, and halves of characters become U+FFFD.

    Parameters
    ----------
    text : object
        Its ``str`` is taken; bytes are decoded as UTF-8.
    longest : int, optional
        Characters; what is longer ends in ``...``.
    """
    if isinstance(text, bytes | bytearray):
        text = bytes(text).decode("utf-8", "replace")
    found = str(text)
    if longest is not None and len(found) > longest:
        found = found[: longest - 3] + "..."
    if found.isprintable():
        return found
    return "".join([c if c.isprintable() else _REPLACED for c in found])


def printable_json(text: str) -> str:
    """Return a JSON text with everything escaped that is not printable.

    It is still the same JSON: such characters stand in strings only, but for line ends,
    which stay.
    """
    if text.isprintable():
        return text
    return "".join(
        [c if c.isprintable() or c == "\n" else _escaped(c) for c in text],
    )


def _escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(
        f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)
    )


def write_lines(*lines: str, to: TextIO | None = None) -> None:
    """Write lines that are printable to a stream, whatever its encoding."""
    stream = sys.stdout if to is None else to
    text = "".join([f"{line}\n" for line in lines])
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


class CleanHandler(logging.Handler):
    """Writes log records to the terminal, cleaned, as long as nobody else writes them.

    It takes the place of `logging.lastResort`.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's lines to ``sys.stderr``."""
        if logging.getLogger().handlers:
            return
        try:
            lines = self.format(record).split("\n")
            write_lines(*[printable(line) for line in lines], to=sys.stderr)
        except Exception:
            self.handleError(record)
