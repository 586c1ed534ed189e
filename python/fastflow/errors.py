"""Every exception that fastflow raises of its own accord."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures.thread import BrokenThreadPool
from typing import Any, NamedTuple

__all__ = [
    "BrokenPoolError",
    "Cancelled",
    "CycleError",
    "DslCycleError",
    "DslError",
    "FastflowError",
    "FlowError",
    "GraphError",
    "KernelError",
    "KernelFailedError",
    "ParameterError",
    "Problem",
    "QueueFullError",
    "RemoteError",
    "TaskError",
    "TaskErrorGroup",
    "TaskTimeout",
    "ValidationError",
    "text_of",
]


def text_of(error: BaseException) -> str:
    """Return the message of an exception, also if its own ``__str__`` raises."""
    try:
        return str(error)
    except Exception as broken:
        return f"(its text can't be made: {type(broken).__name__})"


class FastflowError(Exception):
    """Root of the errors that fastflow defines."""


class BrokenPoolError(FastflowError, BrokenThreadPool):
    """The executor can't run tasks: an initializer failed, or the process forked.

    Also a ``concurrent.futures.BrokenExecutor``.
    """


class QueueFullError(FastflowError, RuntimeError):
    """``max_pending`` tasks are waiting and ``on_full`` is ``"raise"``."""


class KernelError(FastflowError, ValueError):
    """The source given to ``Kernel`` is not a usable native function."""


class KernelFailedError(FastflowError, RuntimeError):
    """A kernel reported a failure through its `status`.

    Attributes
    ----------
    kernel : str
        Its name.
    index : int
        The index (the node of a graph) that it ran.
    status : int
        What it reported, not 0.
    """

    def __init__(self, kernel: str, index: int, status: int) -> None:
        super().__init__(kernel, index, status)
        self.kernel = kernel
        self.index = index
        self.status = status

    def __str__(self) -> str:
        what = f"kernel {self.kernel!r} reported status {self.status}"
        return f"{what} for index {self.index}"


class FlowError(FastflowError, ValueError):
    """The definition of a flow or a graph is wrong; nothing has run."""


class GraphError(FlowError):
    """Edges out of range, a self-edge, a node of another graph, ..."""


class CycleError(GraphError):
    """Some nodes wait for each other.

    Attributes
    ----------
    cycle : tuple
        The nodes on the cycle (names or numbers) in the order of its edges; the first
        one is repeated at the end.
    """

    def __init__(self, message: str, cycle: Sequence[Any] = ()) -> None:
        super().__init__(message, tuple(cycle))
        self.cycle = tuple(cycle)

    def __str__(self) -> str:
        return str(self.args[0])


class Problem(NamedTuple):
    """One thing that is wrong in the text of a flow."""

    file: str
    line: int
    """From 1."""
    column: int
    """From 1, in characters."""
    message: str
    excerpt: str = ""
    """The line, and below it carets; unprintable characters are replaced."""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.message}"
        return f"{head}\n{self.excerpt}" if self.excerpt else head


class DslError(FlowError):
    """The text of a flow is wrong; all that is wrong with it is told at once.

    Attributes
    ----------
    problems : tuple of Problem
        In the order of the text; each has ``file``, ``line``, ``column``, ``message``.
    omitted : int
        How many more there are: only the first thousand are kept.
    """

    def __init__(self, problems: Sequence[Problem], omitted: int = 0) -> None:
        Exception.__init__(self, tuple(problems), omitted)
        self.problems = tuple(problems)
        self.omitted = omitted

    def __str__(self) -> str:
        parts = [str(problem) for problem in self.problems[:_SHOWN]]
        hidden = len(self.problems) - len(parts) + self.omitted
        if hidden:
            parts.append(f"... and {hidden:,} more problems")
        return "\n".join(parts)


_SHOWN = 50  # problems in the text of a DslError


class DslCycleError(DslError, CycleError):
    """The one thing that is wrong with a text: tasks wait for each other."""

    def __init__(
        self, problems: Sequence[Problem], omitted: int = 0, cycle: Sequence[str] = ()
    ) -> None:
        DslError.__init__(self, problems, omitted)
        self.args = (self.problems, omitted, tuple(cycle))
        self.cycle = tuple(cycle)

    def __str__(self) -> str:
        return DslError.__str__(self)


class TaskError(FastflowError):
    """A task (a node of a graph, a step of a flow) failed.

    The task's own exception is the ``__cause__``.

    Attributes
    ----------
    task : str
        Its name.
    result
        The partial result of the run: all that did finish, and what became of the rest.
    item : int or None
        Of a task that runs once per item: the index of the item.
    """

    item: int | None = None

    def __init__(self, message: str, task: str = "", result: Any = None) -> None:
        super().__init__(message, task, result)
        self.task = task
        self.result = result

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        state = {**self.__dict__, "__cause__": self.__cause__}
        return (type(self), self.args, state)

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        for name, value in (state or {}).items():
            setattr(self, name, value)


class TaskErrorGroup(TaskError, ExceptionGroup[Exception]):  # noqa: N818
    """Several tasks of one run failed; ``exceptions`` are their `TaskError`.

    `task` is the first failed one, and its exception is the ``__cause__``.
    """

    def __new__(
        cls,
        message: str,
        errors: Sequence[Exception],
        *_: Any,
    ) -> TaskErrorGroup:
        """Make the group; see `ExceptionGroup`."""
        return super().__new__(cls, message, errors)

    def __init__(
        self,
        message: str,
        errors: Sequence[Exception],
        task: str = "",
        result: Any = None,
    ) -> None:
        ExceptionGroup.__init__(self, message, errors)
        self.task = task
        self.result = result

    def derive(  # type: ignore[override]
        self, errors: Sequence[Exception]
    ) -> TaskErrorGroup:
        """Return a group of the same run with other exceptions (for ``split``)."""
        return TaskErrorGroup(self.message, errors, self.task, self.result)

    def __str__(self) -> str:
        return ExceptionGroup.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            type(self),
            (self.message, list(self.exceptions), self.task, self.result),
            {"__cause__": self.__cause__},
        )


class ParameterError(TaskError, FlowError):
    """What a task is to be called with can't be told from its inputs.

    Raised before anything runs where that is certain by then.
    """


class RemoteError(FastflowError):
    """An exception of another process that can't travel: its text, and its traceback.

    Exceptions must be pickled on the way. One whose ``__init__`` takes something else
    than its ``args`` can't, unless it has a ``__reduce__`` method.
    """


class ValidationError(FastflowError, ValueError):
    """A task's ``validate_input`` or ``validate_output`` returned False."""


class TaskTimeout(FastflowError, TimeoutError):  # noqa: N818  (the specified name)
    """A task did not finish in time.

    On threads the call itself can't be stopped: it runs on, and its late result is
    dropped.

    Attributes
    ----------
    result
        The partial result, if it was a whole run that took too long; else None.
    """

    def __init__(self, message: str = "", result: Any = None) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (str(self), self.result))


class Cancelled(BaseException):
    """Raised by ``current_task().check()`` in a task that was asked to stop.

    It derives from BaseException so that ``except Exception`` in a task does not
    swallow it.  A task that lets it pass ends as cancelled.
    """
