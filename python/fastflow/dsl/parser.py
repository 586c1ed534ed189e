"""From text to syntax tree.

The parser goes through the lines once. After a line that it can't understand it goes on
with the next one, so that all problems of a text are found together.
"""

from __future__ import annotations

import itertools
import re

from fastflow.dsl.chains import Fault, Mention, parse_chain, token_name
from fastflow.dsl.lexer import NAME, tokenize
from fastflow.dsl.source import Problems, Source
from fastflow.dsl.suggest import did_you_mean
from fastflow.dsl.syntax import FlowNode, PropertyNode, TaskNode
from fastflow.dsl.values import FLOW_PROPERTIES, TASK_PROPERTIES

__all__ = ["parse"]

_MOST_EDGES = 5_000_000  # of one text: a list times a list grows quickly

_PROPERTY = re.compile(rf"[ \t]*+({NAME})[ \t]*+:[ \t]*+(.*)")
_BLOCK = re.compile(r"""[ \t]*+(flow|task)[ \t]++(?=[\w"'])""")
_ORDINARY_NAME = re.compile(NAME, re.ASCII)
_OPENS_CODE = re.compile(r"\|[ \t]*+(?:#.*)?")
_BEGINNING = "a flow begins with 'flow Name:'"
_WORD = re.compile(rf"[ \t]*+({NAME})")
_INDENT = re.compile(r"[ \t]*+")


def parse(
    source: Source, problems: Problems, roles: dict[int, str] | None = None
) -> list[FlowNode]:
    """Return the flows of a text; what is wrong goes to `problems`.

    `roles` is filled, if given, with what each line is, but for blank lines and
    comments: ``flow``, ``option`` (of the flow), ``item``, ``task``, ``property`` (of a
    task) or ``code``.
    """
    parser = _Parser(source, problems, roles)
    parser.run()
    return parser.flows


def _is_ordinary(word: str) -> bool:
    """Whether a word is a name that needs no second look."""
    return word.isascii() and (
        word.isidentifier() or _ORDINARY_NAME.fullmatch(word) is not None
    )


class _Parser:
    """Where we are: in which flow, in which task block, at which indentation."""

    def __init__(
        self, source: Source, problems: Problems, roles: dict[int, str] | None
    ) -> None:
        self.source = source
        self.problems = problems
        self.roles = roles
        self.flows: list[FlowNode] = []
        self.number = 0
        self.flow: FlowNode | None = None
        self.task: TaskNode | None = None
        self.code: PropertyNode | None = None
        self.flow_indent = ""
        self.item_indent: str | None = None
        self.task_indent = ""
        self.property_indent: str | None = None
        self.edges = 0  # that come from a list times a list

    def run(self) -> None:
        lines = self.source.lines
        ordinary = self.source.ordinary and self.roles is None
        while self.number < len(lines):
            self.number += 1
            self.line(lines[self.number - 1].removesuffix("\r"))
            if self.flow and self.item_indent and ordinary:
                self.pairs(self.flow, self.item_indent)
        self.close_task()
        if not self.flows and not self.problems:
            self.number = 1
            self.problem(0, f"there is no flow in this text; {_BEGINNING}")

    def role(self, role: str) -> None:
        if self.roles is not None:
            self.roles[self.number] = role

    def problem(self, column: int, message: str, length: int = 1) -> None:
        self.problems.add(self.number, column, message, length)

    def pairs(self, flow: FlowNode, indent: str) -> None:
        """Read lines ``a -> b`` as long as there are only such.

        Most lines of a large flow look so. What is not quite so ordinary (another
        indentation, quotes, other scripts) is left to the road for all lines.
        """
        lines = self.source.lines
        ids, known = flow.ids, flow.known
        find = ids.get
        new_line = flow.lines.append
        add_source, add_target = flow.sources.append, flow.targets.append
        add_line = flow.edge_lines.append
        for number in range(self.number, len(lines)):
            line = lines[number]
            try:
                left, arrow, right = line.split()
            except ValueError:
                break
            if arrow != "->" or len(line) > 500 or not line.startswith(indent + left):
                break
            source = find(left)
            if source is None:
                if not _is_ordinary(left):
                    break
                source = ids[left] = len(ids)
                new_line(number + 1)
            target = find(right)
            if target is None:
                if not _is_ordinary(right):
                    break
                target = ids[right] = len(ids)
                new_line(number + 1)
            key = source << 32 | target
            if key not in known:
                known.add(key)
                add_source(source)
                add_target(target)
                add_line(number + 1)
        else:
            number = len(lines)
        if number > self.number:
            self.close_task()
            self.number = number

    def connect(self, flow: FlowNode, left: str, right: str) -> None:
        source = flow.mention(left, self.number)
        target = flow.mention(right, self.number)
        flow.connect(source, target, self.number)

    def line(self, line: str) -> None:
        indent = _INDENT.match(line)[0]  # type: ignore[index]
        blank = len(indent) == len(line)
        if self.code is not None:
            if blank or self.inside(indent, self.property_indent or ""):
                self.code.value.append(line)
                self.role("code")
                return
            self.close_code()
        if blank or line[len(indent)] == "#":
            return
        try:
            self.statement(line, indent)
        except Fault as fault:
            self.problem(fault.start, fault.message, fault.length)

    @staticmethod
    def inside(indent: str, outer: str) -> bool:
        return len(indent) > len(outer) and indent.startswith(outer)

    def statement(self, line: str, indent: str) -> None:
        if self.task is not None:
            if self.inside(indent, self.task_indent):
                if self.property_indent is None:
                    self.property_indent = indent
                self.check_indent(indent, self.property_indent)
                self.task_property(self.task, line)
                return
            self.close_task()
        if self.flow is not None:
            if self.inside(indent, self.flow_indent):
                if self.item_indent is None:
                    self.item_indent = indent
                self.check_indent(indent, self.item_indent)
                self.item(self.flow, line, indent)
                return
            if indent != self.flow_indent and not self.flow_indent.startswith(indent):
                self.problem(
                    0, "tabs and spaces are mixed in the indentation", len(indent)
                )
        self.outer(line, indent)

    def check_indent(self, indent: str, expected: str) -> None:
        if indent == expected:
            return
        mixed = not (indent.startswith(expected) or expected.startswith(indent))
        self.problem(
            0,
            "tabs and spaces are mixed in the indentation"
            if mixed
            else "the indentation differs from that of the block's first line",
            len(indent),
        )

    def outer(self, line: str, indent: str) -> None:
        """Read a line outside of all flows: only a flow's head may stand there."""
        if self.head(line) == "flow":
            self.open_flow(line, indent)
            return
        message = f"this line is outside of any flow; {_BEGINNING}"
        word = _WORD.match(line)
        if word is not None and word[1].lower() == "flow":
            message = _BEGINNING
        elif self.flow is not None:
            message = (
                "this line is outside of any flow; indent it to make it a part of "
                f"{self.flow.name[:40]!r}"
            )
        raise Fault(message, len(indent), len(line.rstrip()) - len(indent))

    @staticmethod
    def head(line: str) -> str:
        """Return ``flow`` or ``task`` if the line opens such a block."""
        match = _BLOCK.match(line)
        return match[1] if match else ""

    def item(self, flow: FlowNode, line: str, indent: str) -> None:
        """Read a line of a flow."""
        kind = self.head(line)
        if kind == "flow":
            self.problem(
                len(indent), "a flow can't be inside of a flow; unindent it", 4
            )
            self.open_flow(line, indent)
            return
        if kind == "task":
            self.open_task(flow, line, indent)
            return
        match = _PROPERTY.match(line)
        if match is not None:
            self.flow_property(flow, match)
            return
        self.chain(flow, line)

    def block_name(self, line: str, kind: str) -> tuple[str, int, int]:
        """Return the name in ``kind name:`` and where it stands."""
        first = line.index(kind) + len(kind)
        tokens = [t for t in tokenize(line, first) if t.kind != "comment"]
        if not tokens or tokens[0].kind not in ("name", "string"):
            token = tokens[0] if tokens else None
            if token is not None and token.kind == "open":
                raise Fault.at(token, f"the string has no closing {token.text[0]}")
            raise Fault(f"the name of the {kind} is missing", first)
        name = token_name(tokens[0])
        if len(tokens) < 2 or tokens[1].kind != ":":
            raise Fault(f"expected ':' after the name of the {kind}", tokens[0].end)
        if len(tokens) > 2:
            raise Fault.at(tokens[2], "nothing may follow the ':' in this line")
        return name, tokens[0].start, tokens[0].end - tokens[0].start

    def open_flow(self, line: str, indent: str) -> None:
        self.role("flow")
        # Opened in any case, so that what follows has somewhere to belong.
        self.flow = FlowNode("", self.number)
        self.flow_indent, self.item_indent = indent, None
        self.flows.append(self.flow)
        name, start, length = self.block_name(line, "flow")
        self.flow.name = name
        for other in self.flows[:-1]:
            if other.name == name:
                raise Fault(
                    f"there is a flow {name[:40]!r} already, in line {other.line}",
                    start,
                    length,
                )

    def open_task(self, flow: FlowNode, line: str, indent: str) -> None:
        self.role("task")
        self.close_task()
        self.task = TaskNode("", self.number)
        self.task_indent, self.property_indent = indent, None
        name, start, length = self.block_name(line, "task")
        self.task.name = name
        first = flow.tasks.get(name)
        if first is not None:
            raise Fault(
                f"task {name[:40]!r} has a block already, in line {first.line}",
                start,
                length,
            )
        flow.tasks[name] = self.task
        flow.mention(name, self.number)

    def flow_property(self, flow: FlowNode, match: re.Match[str]) -> None:
        self.role("option")
        key = match[1]
        read = FLOW_PROPERTIES.get(key)
        if read is None:
            raise Fault(self.unknown(key, flow=True), match.start(1), len(key))
        if flow.description is not None:
            raise Fault(
                f"{key!r} is given twice, first in line {flow.description.line}",
                match.start(1),
                len(key),
            )
        flow.description = PropertyNode(key, "", self.number)
        flow.description.value = self.value(match)

    def task_property(self, task: TaskNode, line: str) -> None:
        self.role("property")
        match = _PROPERTY.match(line)
        if match is None:
            start = len(line) - len(line.lstrip(" \t"))
            raise Fault(
                "in the block of a task each line has the form 'key: value'; unindent "
                "what belongs to the flow",
                start,
                max(len(line.rstrip()) - start, 1),
            )
        key = match[1]
        if key not in TASK_PROPERTIES:
            raise Fault(self.unknown(key, flow=False), match.start(1), len(key))
        first = task.properties.get(key)
        if first is not None:
            raise Fault(
                f"{key!r} is given twice, first in line {first.line}",
                match.start(1),
                len(key),
            )
        task.properties[key] = PropertyNode(key, None, self.number)
        task.properties[key].value = (
            self.open_code(task, match) if key == "code" else self.value(match)
        )

    def value(self, match: re.Match[str]) -> object:
        key, raw = match.groups()
        raw = raw.rstrip(" \t")
        start, length = match.start(2), max(len(raw), 1)
        if not raw or raw.startswith("#"):
            raise Fault(f"the value of {key!r} is missing", match.end(1))
        try:
            return TASK_PROPERTIES[key](raw)
        except ValueError as error:
            raise Fault(f"{key}: {error}", start, length) from None

    def open_code(self, task: TaskNode, match: re.Match[str]) -> list[str]:
        if not _OPENS_CODE.fullmatch(match[2]):
            raise Fault(
                "write 'code: |' and the code below it, indented", match.start(1), 4
            )
        self.code = task.properties["code"]
        lines: list[str] = []
        self.code.value = lines
        return lines

    def close_task(self) -> None:
        self.close_code()
        self.task = None

    def close_code(self) -> None:
        code, self.code = self.code, None
        if code is not None and not any(line.strip() for line in code.value):
            self.problems.add_at("code", code.line, "there is no code below 'code: |'")

    @staticmethod
    def unknown(key: str, *, flow: bool) -> str:
        shown = repr(key[:40])
        if flow and key in TASK_PROPERTIES:
            return f"{shown} is a property of tasks; put it into a 'task name:' block"
        if key in ("flow", "task"):
            return f"the name of the {key} is missing: '{key} name:'"
        known = FLOW_PROPERTIES if flow else TASK_PROPERTIES
        hint = did_you_mean(key, known)
        if not hint and flow:
            hint = (
                "; a flow has 'description', tasks have theirs in 'task name:' blocks"
            )
        return f"unknown property {shown}" + (hint or f"; known: {', '.join(known)}")

    def chain(self, flow: FlowNode, line: str) -> None:
        self.role("item")
        groups = parse_chain(line)
        for group in groups:
            for mention in group:
                number = flow.mention(mention.name, self.number)
                if mention.each:
                    flow.each.setdefault(number, {})
        for left, right in itertools.pairwise(groups):
            self.connect_groups(flow, left, right)

    def connect_groups(
        self, flow: FlowNode, left: list[Mention], right: list[Mention]
    ) -> None:
        # Only a list times a list makes more edges than the text has characters.
        self.edges += (len(left) - 1) * (len(right) - 1)
        if self.edges > _MOST_EDGES:
            raise Fault(
                f"lists make more than {_MOST_EDGES:,} edges in one text; put a task "
                "in between: [...] -> join -> [...]",
                left[0].start,
                right[-1].end - left[0].start,
            )
        for source in left:
            for target in right:
                self.connect(flow, source.name, target.name)
                if target.each:
                    flow.each[flow.ids[target.name]][flow.ids[source.name]] = None
