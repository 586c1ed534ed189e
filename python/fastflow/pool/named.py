"""Executors by name: what ``executor=`` may be, for all functions that have it."""

from __future__ import annotations

import concurrent.futures as cf
from collections.abc import Callable
from typing import Any, Protocol

from fastflow import _core
from fastflow.base.options import check_count
from fastflow.pool.executor import Executor, default_executor

__all__ = [
    "SERIAL",
    "check_executor",
    "elsewhere",
    "engine_of",
    "executor_of",
    "register",
    "register_fans",
]

SERIAL = "serial"
"""One call after another, in the calling thread."""


class Fans(Protocol):
    """Fan-outs on executors that are not ours."""

    def collect(self, executor: cf.Executor, fn: Any, columns: Any, **how: Any) -> Any:
        """Call a function for all items."""

    def stream(self, executor: cf.Executor, fn: Any, iterators: Any, **how: Any) -> Any:
        """Return an iterator over results."""


_makers: dict[str, Callable[[int | None], cf.Executor]] = {"threads": default_executor}


def register(name: str, make: Callable[[int | None], cf.Executor]) -> None:
    """Let a name stand for executors.

    Parameters
    ----------
    name : str
    make : callable
        Given the number of workers, or None, it returns the one that all share.
    """
    _makers[name] = make


_fans: list[Callable[[], Fans]] = []


def register_fans(load: Callable[[], Fans]) -> None:
    """Say where fan-outs on executors that are not ours are; loaded when needed."""
    _fans[:] = [load]


def check_executor(executor: Any, *, serial: bool = True) -> None:
    """Refuse what is no executor.

    Parameters
    ----------
    executor
    serial : bool
        Whether `SERIAL` is one.

    Raises
    ------
    TypeError, ValueError
        With what can be given.
    """
    if executor is None or isinstance(executor, cf.Executor):
        return
    names = [*_makers, SERIAL] if serial else [*_makers]
    if isinstance(executor, str) and executor in names:
        return
    wanted = (
        "executor must be None, a fastflow.Executor, another "
        f"concurrent.futures.Executor, or {' or '.join(map(repr, names))}"
    )
    if isinstance(executor, str):
        raise ValueError(f"{wanted}; not {executor!r}")
    raise TypeError(f"{wanted}; not {type(executor).__name__}")


def executor_of(
    executor: Any, max_workers: int | None = None, *, serial: bool = True
) -> Any:
    """Return the executor that is meant: itself, None, or `SERIAL`.

    Parameters and errors are those of `check_executor`; `max_workers` is that of one
    that is named.
    """
    if executor is None or isinstance(executor, cf.Executor):
        return executor
    check_executor(executor, serial=serial)
    make = _makers.get(executor) if isinstance(executor, str) else None
    return executor if make is None else make(max_workers)


def elsewhere(
    executor: Any, max_workers: int | None
) -> tuple[Fans, cf.Executor] | None:
    """Return who fans out on an executor, and that; None: it is one of ours.

    Raises
    ------
    TypeError, ValueError
        If it is none.
    """
    if executor is None or isinstance(executor, Executor) or executor == SERIAL:
        return None
    found = executor_of(executor, max_workers)
    return None if isinstance(found, Executor) else (_fans[0](), found)


def engine_of(executor: Any, max_workers: int | None) -> tuple[_core.Engine, int]:
    """Return the engine that runs something here, and how many may take part.

    Raises
    ------
    TypeError, ValueError
        If `executor` is not one of ours.
    """
    if executor is None or executor == SERIAL:
        ours = default_executor(max_workers)
    else:
        ours = executor_of(executor, max_workers)
        if not isinstance(ours, Executor):
            raise TypeError(
                f"executor must be a fastflow.Executor, not {type(ours).__name__}: "
                "what is run shares this process's memory"
            )
    most = ours._max_workers
    if max_workers is not None:
        most = min(most, check_count("max_workers", max_workers))
    return ours._engine, 1 if executor == SERIAL else most
