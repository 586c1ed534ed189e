"""Every exception that fastflow raises of its own accord."""

from __future__ import annotations

import pickle
import threading
import traceback
import weakref
from collections.abc import Sequence
from concurrent.futures.thread import BrokenThreadPool
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool

__all__ = [
    "BrokenPoolError",
    "BrokenProcessesError",
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
    "TransferError",
    "ValidationError",
    "WorkerDiedError",
    "add_note",
    "described",
    "group_of",
    "portable",
    "shortened",
    "shown",
    "task_error",
    "text_of",
]


def text_of(error: BaseException) -> str:
    """Return the message of an exception, whatever it is and does.

    Its ``__str__`` may raise, also SystemExit and the like, or return a subclass of str
    that does; and its text may hold halves of characters, which no file takes.
    """
    text, reason = _message_of(error)
    if text is not None:
        return text
    return f"(the message of this {type(error).__name__} can't be shown: {reason})"


def shown(error: BaseException) -> str:
    """Return the type and the message of an exception; see `text_of`."""
    kind = type(error).__name__
    text, reason = _message_of(error)
    if text is not None:
        return f"{kind}: {text}"
    return f"{kind} (its message can't be shown: {reason})"


def described(value: object) -> str:
    """Return what a value is, for a message about it: short, whatever it is and does.

    A ``repr`` may raise, as that of an int of more than 4,300 digits does.
    """
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__} that can't be shown"
    return shortened(text)


def shortened(text: str, most: int = 200) -> str:
    """Return a text of at most so many characters, with dots for what is left out."""
    return text if len(text) <= most else text[: most - 3] + "..."


def _message_of(error: BaseException) -> tuple[str | None, str]:
    """Return the message; or None, and why."""
    try:
        text = "".join((str(error),))  # of str itself
        return text.encode("utf-8", "backslashreplace").decode("utf-8"), ""
    except BaseException as broken:
        return None, type(broken).__name__


def add_note(error: BaseException, text: str) -> None:
    """Add a note, unless it's there already (an exception may be raised many times).

    The exception may be the user's: one that takes no attributes, such as a frozen
    dataclass, stays as it is.
    """
    try:
        if text not in getattr(error, "__notes__", ()):
            error.add_note(text)
    except Exception:
        return


def _travelling(value: object) -> Any:
    """Return a value as executors of processes pickle it."""
    # Here: it brings sockets along, which few programs that import this need.
    from multiprocessing.reduction import ForkingPickler

    return ForkingPickler.dumps(value)


def portable(error: BaseException) -> BaseException:
    """Return the error, or a `RemoteError` if it can't be pickled and made again.

    It is tried out, as what can't be made again in another process would break the pool
    there, and nobody would learn what had happened.
    """
    try:
        again = pickle.loads(_travelling(error))
        if type(again) is type(error):
            return error
    except Exception as failed:
        reason = shown(failed)
    else:
        reason = f"a {type(again).__name__} is made of it"
    name = type(error).__qualname__
    remote = RemoteError(
        f"{name}: {text_of(error)} (an exception of another process that can't be "
        f"pickled: {reason}; give {name} a __reduce__ method)"
    )
    remote.add_note("".join(traceback.format_exception(error)).rstrip())
    return remote


class FastflowError(Exception):
    """Root of the errors that fastflow defines."""


class BrokenPoolError(FastflowError, BrokenThreadPool):
    """The executor can't run tasks: an initializer failed, or the process forked.

    Also a ``concurrent.futures.BrokenExecutor``.
    """


if TYPE_CHECKING:

    class BrokenProcessesError(FastflowError, BrokenProcessPool):
        """The executor's processes can't be started, or can't be initialized.

        Also a ``concurrent.futures.process.BrokenProcessPool``.
        """

    class TransferError(FastflowError, BrokenProcessPool):
        """A call or its value could be pickled, but not be made again elsewhere.

        Why is its cause. Also a ``concurrent.futures.process.BrokenProcessPool``, as
        the standard library's pool breaks then; here the others go on.
        """

    class WorkerDiedError(FastflowError, BrokenProcessPool):
        """The process that made a call has ended before the call did.

        Only this call fails; the executor goes on with another process. Also a
        ``concurrent.futures.process.BrokenProcessPool``.
        """


def __getattr__(name: str) -> Any:
    """Make the classes whose base costs an import that few programs need."""
    doc = _OF_PROCESSES.get(name)
    if doc is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from concurrent.futures.process import BrokenProcessPool

    members = {"__doc__": doc, "__module__": __name__}
    return globals().setdefault(
        name, type(name, (FastflowError, BrokenProcessPool), members)
    )


_OF_PROCESSES = {
    "BrokenProcessesError": "The executor's processes can't be started.",
    "TransferError": "A call or its value can't be made again in the other process.",
    "WorkerDiedError": "The process that made a call has ended before the call.",
}


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
        """Pickle it whatever its parts are: it is to tell the other process of them.

        A cause that can't travel becomes a `RemoteError`, a result that can't, None.
        """
        state = _state_of(self)
        return (type(self), (self.args[0], self.task, state["result"]), state)

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
        state = _state_of(self)
        arguments = (self.message, list(self.exceptions), self.task, state["result"])
        return (type(self), arguments, state)


_LOST = "something in the result of the run can't be pickled, so it did not travel"


def _state_of(error: TaskError) -> dict[str, Any]:
    cause = error.__cause__
    if cause is not None and not isinstance(cause, TaskError):  # sees to that itself
        cause = portable(cause)
    state = {**error.__dict__, "__cause__": cause}
    if not _can_travel(error.result):
        state["result"] = None
        state["__notes__"] = [*state.get("__notes__", ()), _LOST]
    return state


def task_error(
    what: str, error: BaseException, name: str, result: Any = None, which: str = ""
) -> TaskError:
    """Return the error that says what has failed, of an error that says why."""
    wrapped = TaskError(f"{what} failed{which}: {shown(error)}", name, result)
    wrapped.__cause__ = error
    return wrapped


def group_of(what: str, errors: Sequence[TaskError], result: Any) -> TaskError:
    """Return what is raised for the failures of a run: one as it is, else a group."""
    if len(errors) == 1:
        return errors[0]
    group = TaskErrorGroup(f"{what} failed", errors, errors[0].task, result)
    group.__cause__ = errors[0].__cause__
    return group


class _Tried(threading.local):
    """What was tried last: all errors of a run have one result."""

    result: weakref.ref[Any] | None = None
    travels = True
    busy = False


_tried = _Tried()


def _can_travel(result: Any) -> bool:
    """Tell whether a result can be pickled, together with the errors that it has."""
    if result is None or _tried.busy:
        return True
    if _tried.result is not None and _tried.result() is result:
        return _tried.travels
    _tried.busy = True
    try:
        pickle.loads(_travelling(result))
        travels = True
    except Exception:
        travels = False
    finally:
        _tried.busy = False
    try:
        _tried.result, _tried.travels = weakref.ref(result), travels
    except TypeError:  # of another kind than ours
        _tried.result = None
    return travels


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
