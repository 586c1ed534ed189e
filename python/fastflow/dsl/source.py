"""A text, and what is wrong with it."""

from __future__ import annotations

import re
from typing import NoReturn

from fastflow.base.terminal import cells
from fastflow.errors import DslCycleError, DslError, Problem

__all__ = ["Problems", "Source"]

_KEPT = 1_000  # problems of one text
_WIDTH = 76  # of an excerpt, in characters


_SEPARATORS = re.compile(
    "[\\x0b\\x0c\\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a"
    "\\u2028\\u2029\\u202f\\u205f\\u3000]|\\r(?!\\n|\\Z)"
)


class Source:
    """Lines of a text, by number from 1.

    Only a line feed ends a line, with or without a carriage return before it.
    """

    def __init__(self, text: str, file: str = "<flow>") -> None:
        self.file = file
        self.lines = text.removeprefix("\ufeff").split("\n")
        #: Whether str.split() of a line splits at spaces and tabs only.
        self.ordinary = not _SEPARATORS.search(text)

    def line(self, number: int) -> str:
        """Return line `number` without its end."""
        return self.lines[number - 1].removesuffix("\r")

    def find(self, name: str, number: int) -> tuple[int, int]:
        """Return column (from 0) and length of a name in a line, for an error."""
        line = self.line(number)
        column = line.find(name)
        if column < 0:  # written with escapes, or composed otherwise
            column = len(line) - len(line.lstrip())
            return column, max(len(line.rstrip()) - column, 1)
        return column, len(name)


class Problems:
    """Collects what is wrong with a text, so that all of it is told at once."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Problem] = []
        self.omitted = 0
        self._cycles: list[tuple[str, ...]] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, line: int, column: int, message: str, length: int = 1) -> None:
        """Note a problem; `column` is counted from 0."""
        if len(self.found) == _KEPT:
            self.omitted += 1
            return
        excerpt = _excerpt(self.source.line(line), column, length)
        self.found.append(Problem(self.source.file, line, column + 1, message, excerpt))

    def add_at(self, name: str, line: int, message: str) -> None:
        """Note a problem with a name that a line has."""
        column, length = self.source.find(name, line)
        self.add(line, column, message, length)

    def add_cycle(self, cycle: tuple[str, ...], line: int, message: str) -> None:
        """Note that tasks wait for each other."""
        self._cycles.append(cycle)
        self.add_at(cycle[-2], line, message)

    def raise_if_any(self) -> None:
        """Raise what was found, in the order of the text."""
        if self.found:
            self._raise()

    def _raise(self) -> NoReturn:
        ordered = sorted(self.found, key=lambda problem: problem[1:3])
        if len(self._cycles) == len(ordered):
            raise DslCycleError(ordered, self.omitted, self._cycles[0])
        raise DslError(ordered, self.omitted)


def _excerpt(line: str, column: int, length: int) -> str:
    """Return a part of a line with carets below; columns line up in a terminal."""
    start = 0
    if len(line) > _WIDTH:
        start = max(0, min(column - _WIDTH // 2, len(line) - _WIDTH))
    shown = line[start : start + _WIDTH]
    before, after = ("..." if start else ""), ("..." if len(line) > _WIDTH else "")
    if start + _WIDTH >= len(line):
        after = ""
    at = column - start
    marked = shown[at : at + length]
    pad = len(before) + cells(shown[:at])
    carets = "^" * max(cells(marked), 1)
    return f"    {before}{_printable(shown)}{after}\n    {' ' * pad}{carets}"


def _printable(text: str) -> str:
    return "".join(
        " " if c == "\t" else c if c.isprintable() else "\ufffd" for c in text
    )
