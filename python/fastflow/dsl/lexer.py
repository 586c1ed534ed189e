"""Tokens of one line.

Lines are independent of each other for the lexer. It never fails: what it does not
know becomes a token of kind ``bad``.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

__all__ = ["NAME", "Token", "is_plain_name", "tokenize"]

#: A name starts with a letter, a digit or ``_``; dashes only between such.
NAME = r"\w(?:[\w.]++|-++(?=[\w.]))*+"

_NEXT = re.compile(
    r"[ \t]*(?:"
    r"(?P<arrow>->)"
    rf"|(?P<name>{NAME})"
    r"|(?P<each>\[[ \t]*\*[ \t]*\])"
    r"|(?P<mark>[\[\],:])"
    r'|(?P<string>"(?:[^"\\]++|\\.)*+"|' + r"'(?:[^'\\]++|\\.)*+')"
    r"|(?P<comment>\#.*)"
    r'|(?P<open>["\'].*)'
    r"|(?P<wrong>-{2,}>+|-*[=\u2013\u2014]+>+|[\u2192\u21d2\u27f6]|>+|<-+|<=+)"
    r"|(?P<bad>[^ \t])"
    r")"
)
_PLAIN = re.compile(NAME)
_REST = re.compile(r"(?:[\w.]++|-++(?=[\w.]))*+")


class Token(NamedTuple):
    """A piece of a line.

    ``kind`` is ``name``, ``string``, ``arrow``, ``each`` (``[*]``), ``comment``, one of
    the marks themselves, or for what can't be used ``open`` (a string without end),
    ``wrong`` (something that looks like an arrow) and ``bad``.
    """

    kind: str
    text: str
    start: int
    end: int


def tokenize(line: str, start: int = 0) -> list[Token]:
    """Return the tokens of `line` from column `start` on."""
    tokens: list[Token] = []
    match = _NEXT.match(line, start)
    while match is not None:
        kind = match.lastgroup or "bad"
        text = match[kind]
        begin, end = match.span(kind)
        if kind == "mark":
            kind = text
        if kind == "name" and _is_mark(line[end : end + 1]):
            end = _end_with_marks(line, end)
            text = line[begin:end]
        tokens.append(Token(kind, text, begin, end))
        if kind in ("bad", "open", "wrong"):
            break  # one complaint about a line is enough
        match = _NEXT.match(line, end)
    return tokens


def _end_with_marks(line: str, end: int) -> int:
    r"""Return where a name with combining marks ends: ``\w`` does not contain them."""
    while end < len(line):
        if _is_mark(line[end]):
            end += 1
            continue
        more = _REST.match(line, end)
        if more is None or more.end() == end:
            break
        end = more.end()
    return end


def _is_mark(char: str) -> bool:
    return bool(char) and not char.isascii() and unicodedata.category(char)[0] == "M"


def is_plain_name(name: str) -> bool:
    """Whether a name can be written without quotes."""
    if _PLAIN.fullmatch(name):
        return True
    if name.isascii():
        return False
    tokens = tokenize(name)
    return len(tokens) == 1 and tokens[0].kind == "name" and tokens[0].text == name
