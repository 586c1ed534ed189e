"""Handles: what a task call returns inside of a flow function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from fastflow.base.durations import Time, wait_of
from fastflow.base.nested import Kind
from fastflow.pool.future import Future
from fastflow.run.kept import Kept

__all__ = ["HANDLES", "Handle"]

T = TypeVar("T")

if TYPE_CHECKING:
    # For checkers a handle may be whatever its result may be: it is passed to tasks in
    # the result's place, and returned.
    class _Future(Future[T], Any): ...  # type: ignore[misc]
else:
    _Future = Future


class Handle(_Future[T]):
    """The result of a task that may still have to run.

    Passed to another task, alone or at any depth of lists, tuples, dicts, sets, their
    subclasses and dataclasses, it makes that task wait for this one. ``result()`` waits
    here and now, so that plain Python can decide what to do next. Everything else that
    a result could be asked for (comparison, arithmetic, formatting, iteration, ...)
    raises TypeError.

    Attributes
    ----------
    name : str
        The name of the task; from the second call on with a number, ``work#2``.
    """

    __slots__ = ("name", "seen")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.seen = False
        """Whether the flow function knows how the task has ended."""

    def result(self, timeout: Time | None = None) -> T:
        """Wait for the task and return its result.

        Raises
        ------
        TaskError
            If it failed, or one that it waited for; an error that is caught here does
            not make the flow fail.
        TimeoutError
            After `timeout`.
        """
        if timeout is None and self.done():
            self.seen = True
        else:
            self._wait(wait_of(timeout))
        value: Any = super().result(0)
        return value.fetch() if type(value) is Kept else value  # type: ignore[no-any-return]

    def exception(self, timeout: Time | None = None) -> BaseException | None:
        """Wait for the task and return its error, None if it has succeeded."""
        self._wait(wait_of(timeout))
        return super().exception(0)

    def wait(self) -> None:
        """Wait until the task has ended, however."""
        super().exception()

    def _wait(self, timeout: float | None) -> None:
        if not self.done():
            try:
                super().exception(timeout)
            except TimeoutError:
                raise TimeoutError(f"{self!r} after {timeout:g} s") from None
        self.seen = True

    def cancel(self) -> bool:
        """Return False: tasks of a flow function can't be cancelled one by one."""
        return False

    def __copy__(self) -> Handle[T]:
        return self  # a copy would be another handle, which no task ever ends

    def __deepcopy__(self, _: object) -> Handle[T]:
        return self  # as dataclasses.asdict() makes of it

    def __reduce_ex__(self, _: object) -> Any:
        _not_yet(self)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"a handle has no attribute {name!r}; if the result of the task has, "
            f"call .result().{name}"
        )

    def __repr__(self) -> str:
        return f"<Handle of {self.name!r}, {'done' if self.done() else 'pending'}>"


def _not_yet(self: Handle[Any], *_: Any, **__: Any) -> Any:
    raise TypeError(
        f"this is a handle of task {self.name!r}, not its result; to look at the "
        "result in the flow function, call .result()"
    )


# What a result might be asked for; a handle must not answer in its place.  (Hashing
# stays: sets of handles can be waited for.)
_QUESTIONS = (
    "bool", "str", "format", "len", "iter", "reversed", "array",
    "contains", "getitem", "setitem", "delitem",
    "eq", "ne", "lt", "le", "gt", "ge",
    "neg", "pos", "abs", "invert", "round", "trunc", "floor", "ceil",
)  # fmt: skip
_OPERATORS = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow",
    "lshift", "rshift", "and", "or", "xor",
)  # fmt: skip

for _name in (*_QUESTIONS, *_OPERATORS, *(f"r{name}" for name in _OPERATORS)):
    setattr(Handle, f"__{_name}__", _not_yet)
setattr(Handle, "__hash__", object.__hash__)  # noqa: B010  (after __eq__)
setattr(Handle, "__array_ufunc__", None)  # noqa: B010  (so numpy asks us, too)

HANDLES = Kind(
    Handle,
    lambda handle: f"a handle (here of task {handle.name!r})",
    "call .result() for it",
)
