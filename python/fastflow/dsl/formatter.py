"""Canonical layout of a text: comments, order and wording stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

from fastflow.dsl.chains import Mention, parse_chain, token_name
from fastflow.dsl.lexer import tokenize
from fastflow.dsl.parser import parse
from fastflow.dsl.reader import check_text, dedent
from fastflow.dsl.source import Problems, Source
from fastflow.dsl.values import print_name, split_comment

__all__ = ["format_dsl"]

_STEP = "    "
_DEPTH = {"flow": 0, "option": 1, "item": 1, "task": 1, "property": 2, "code": 3}


def format_dsl(text: str, *, file: str = "<flow>") -> str:
    r"""Return a text in canonical layout: indentation of 4, one space around arrows.

    Comments stay; of several blank lines one stays. Formatting a formatted text changes
    nothing.

    Raises
    ------
    DslError
        If the text can't be read.

    Examples
    --------
    >>> print(format_dsl("flow F:\n  a->[b,c]#both\n"), end="")
    flow F:
        a -> [b, c]  # both
    """
    source = Source(check_text(text), file)
    problems = Problems(source)
    roles: dict[int, str] = {}
    parse(source, problems, roles)
    problems.raise_if_any()
    return "\n".join(_Layout(source, roles).lines()).strip("\n") + "\n"


class _Layout:
    """Goes through the lines and gives each its place."""

    def __init__(self, source: Source, roles: dict[int, str]) -> None:
        self.source = source
        self.roles = roles
        self.waiting: list[str] = []  # comments and blanks before the next statement

    def lines(self) -> Iterator[str]:
        number, last = 1, len(self.source.lines)
        while number <= last:
            role = self.roles.get(number)
            line = self.source.line(number).strip(" \t")
            if role is None:
                self.wait(line)
                number += 1
                continue
            depth = _DEPTH[role]
            yield from self.release(depth)
            if role == "code":
                code = self.code_from(number)
                number += len(code)
                yield from self.code(code)
                continue
            yield _STEP * depth + _statement(line, role)
            number += 1
        yield from self.release(0)

    def wait(self, line: str) -> None:
        if line or (self.waiting and self.waiting[-1]) or not self.waiting:
            self.waiting.append(line)

    def release(self, depth: int) -> Iterator[str]:
        for line in self.waiting:
            yield _STEP * depth + line if line else ""
        self.waiting = []

    def code_from(self, number: int) -> list[str]:
        lines = []
        while self.roles.get(number) == "code":
            lines.append(self.source.line(number))
            number += 1
        return lines

    def code(self, lines: list[str]) -> Iterator[str]:
        for line in dedent(lines).split("\n"):
            yield _STEP * 3 + line if line else ""
        if not lines[-1].strip(" \t"):
            self.waiting = [""]


def _statement(line: str, role: str) -> str:
    if role in ("option", "property"):
        key, _, rest = line.partition(":")
        value, comment = split_comment(rest.strip(" \t"))
        body = f"{key.strip()}: {value}"
    else:
        tokens = tokenize(line)
        comment = tokens[-1].text if tokens[-1].kind == "comment" else ""
        if role == "item":
            body = " -> ".join(_group(group) for group in parse_chain(line))
        else:
            body = f"{tokens[0].text} {print_name(token_name(tokens[1]))}:"
    return f"{body}  {_spaced(comment)}" if comment else body


def _group(mentions: list[Mention]) -> str:
    shown = [print_name(m.name) + ("[*]" if m.each else "") for m in mentions]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _spaced(comment: str) -> str:
    return comment if comment[1:2] in ("", " ", "!", "#") else f"# {comment[1:]}"
