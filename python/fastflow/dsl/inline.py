"""Python code inside of a flow's text; runs only where that was allowed."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

__all__ = ["InlineCode"]


class InlineCode:
    """The body of a function of ``inputs`` and ``input_data``.

    It is compiled when made, and again in each process that it is sent to.

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        If the code can't be compiled.
    """

    def __init__(self, name: str, code: str, file: str, line: int) -> None:
        self.__name__ = name
        self._origin = (name, code, file, line)
        self._fn = _compile(code, file, line)

    def __call__(self, inputs: Any, input_data: Any) -> Any:
        """Run the code; the result is what it returns."""
        return self._fn(inputs, input_data)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._origin

    def __repr__(self) -> str:
        return f"<inline code of {self.__name__!r}>"


def _compile(code: str, file: str, line: int) -> Callable[[Any, Any], Any]:
    # The body is parsed by itself, as to indent it would change texts of several lines.
    tree = ast.parse("def code(inputs, input_data): pass", file)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    function.body = ast.parse(code, file).body or function.body
    ast.increment_lineno(tree, line)  # tracebacks point into the text
    space: dict[str, Any] = {"__name__": "__flow__"}
    exec(compile(tree, file, "exec"), space)
    fn: Callable[[Any, Any], Any] = space["code"]
    return fn
