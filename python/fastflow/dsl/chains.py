"""Lines such as ``a -> [b, c] -> work[*]``."""

from __future__ import annotations

from typing import NamedTuple

from fastflow.base.names import check_name
from fastflow.dsl.lexer import Token, tokenize
from fastflow.dsl.values import unquote

__all__ = ["Fault", "Mention", "parse_chain", "token_name"]


class Mention(NamedTuple):
    """A task in a chain."""

    name: str
    each: bool
    start: int
    end: int


class Fault(Exception):  # noqa: N818  (control flow inside the parser)
    """The line can't be understood; where and why."""

    def __init__(self, message: str, start: int, length: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.start = start
        self.length = length

    @classmethod
    def at(cls, token: Token, message: str) -> Fault:
        """Make one that points at a token."""
        return cls(message, token.start, token.end - token.start)


class _Tokens:
    """The tokens of a line, one after another; the last one is an ``end``."""

    def __init__(self, line: str) -> None:
        tokens = [token for token in tokenize(line) if token.kind != "comment"]
        end = tokens[-1].end if tokens else len(line.rstrip())
        self._tokens = [*tokens, Token("end", "", end, end + 1)]
        self._at = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._at]

    def take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "end"
        return token


def parse_chain(line: str) -> list[list[Mention]]:
    """Return the groups of a chain, at least one.

    Raises
    ------
    Fault
        At the first thing that does not belong there.
    """
    tokens = _Tokens(line)
    groups = []
    while True:
        groups.append(_group(tokens))
        token = tokens.take()
        if token.kind == "end":
            return groups
        if token.kind != "arrow":
            raise Fault.at(token, _instead_of_arrow(token))


def _group(tokens: _Tokens) -> list[Mention]:
    token = tokens.next
    if token.kind != "[":
        return [_mention(tokens, "a task or a list")]
    tokens.take()
    if tokens.next.kind == "]":
        raise Fault("an empty list", token.start, tokens.next.end - token.start)
    mentions = [_mention(tokens, "a task")]
    while tokens.next.kind == ",":
        tokens.take()
        mentions.append(_mention(tokens, "a task"))
    closing = tokens.take()
    if closing.kind != "]":
        raise Fault.at(closing, _in_list(closing))
    if tokens.next.kind == "each":
        raise Fault.at(tokens.next, "'[*]' belongs behind one task, not behind a list")
    return mentions


def _mention(tokens: _Tokens, wanted: str) -> Mention:
    token = tokens.take()
    if token.kind not in ("name", "string"):
        raise Fault.at(token, _instead_of_name(token, wanted))
    name = token_name(token)
    if tokens.next.kind != "each":
        return Mention(name, False, token.start, token.end)
    return Mention(name, True, token.start, tokens.take().end)


def token_name(token: Token) -> str:
    """Return the name that a token of kind ``name`` or ``string`` means.

    Raises
    ------
    Fault
        If it is too long, or has characters that a name can't have.
    """
    try:
        text = unquote(token.text) if token.kind == "string" else token.text
        return check_name(text)
    except ValueError as error:
        raise Fault.at(token, str(error)) from None


def _instead_of_arrow(token: Token) -> str:
    if token.kind == ":":
        return "unexpected ':'; properties have the form 'key: value'"
    if token.kind == "each":
        return "'[*]' belongs directly behind the name of a task, once"
    if token.kind in ("name", "string"):
        return f"expected '->' before {token.text[:40]!r}"
    return _unusable(token) or f"expected '->', not {token.text!r}"


def _instead_of_name(token: Token, wanted: str) -> str:
    if token.kind == "end":
        return f"the line ends where {wanted} should follow"
    if token.kind == "arrow":
        return f"{wanted} is missing before '->'"
    if token.kind == "[":
        return "a list can't contain a list"
    if token.kind in (",", "]"):
        return f"a name is missing before {token.text!r}"
    return _unusable(token) or f"expected {wanted}, not {token.text!r}"


def _in_list(token: Token) -> str:
    if token.kind == "end":
        return "the list is not closed: ']' is missing"
    if token.kind in ("name", "string"):
        return f"expected ',' or ']' before {token.text[:40]!r}"
    return _unusable(token) or f"expected ',' or ']', not {token.text!r}"


def _unusable(token: Token) -> str:
    """Say what is wrong with a token that is good for nothing."""
    if token.kind == "open":
        return f"the string has no closing {token.text[0]}"
    if token.kind == "wrong":
        return f"{token.text[:20]!r} is no arrow; write '->'"
    if token.kind == "bad":
        char = token.text
        shown = repr(char) if char.isprintable() else f"U+{ord(char):04X}"
        hint = ""
        if char == "-":
            hint = "; an arrow is written '->'"
        elif char.isspace():
            hint = "; only spaces and tabs separate words"
        return f"unexpected character {shown}{hint}"
    return ""
