"""Modules by the names that they had in earlier versions.

A class is stored by the name of its module: in a pickle, and in a journal as
``module:Class``.  What was stored before a module moved must still be read, and scripts
that were made from our examples import some, too.  So an old name of such a module is
another name of it: `now_called` says which (a journal never imports anything), and
`spec_of` lets Python import it, which asks for it in ``fastflow/__init__``.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["FORMER", "now_called", "spec_of"]

#: Only modules whose classes can be stored, or that a page or an example named.
FORMER = {
    "fastflow.cache": "fastflow.run.cache",
    "fastflow.completion": "fastflow.run.completion",
    "fastflow.demo": "fastflow.cli.demo",
    "fastflow.doctor": "fastflow.base.doctor",
    "fastflow.durable.statuses": "fastflow.journal.statuses",
    "fastflow.durations": "fastflow.base.durations",
    "fastflow.executor": "fastflow.pool.executor",
    "fastflow.future": "fastflow.pool.future",
    "fastflow.graph": "fastflow.engines.graph",
    "fastflow.kernel": "fastflow.pool.kernel",
    "fastflow.plan": "fastflow.run.plan",
    "fastflow.pytest_plugin": "fastflow.testing.pytest_plugin",
    "fastflow.registry": "fastflow.run.registry",
    "fastflow.results": "fastflow.run.results",
    "fastflow.retry": "fastflow.run.retry",
    "fastflow.status": "fastflow.run.status",
    "fastflow.tasks": "fastflow.run.task",
    "fastflow.timers": "fastflow.base.timers",
}


def now_called(module: str) -> str:
    """Return the name that a module of this name has today."""
    return FORMER.get(module, module)


class _Loader:
    """Makes a module that has what the one has whose former name it goes by."""

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give it what the other one has."""
        own = vars(module)
        now = importlib.import_module(FORMER[module.__name__])
        for name, value in vars(now).items():
            if name not in own or name == "__doc__":
                own[name] = value


def spec_of(module: str) -> ModuleSpec | None:
    """Return how to import a module by its former name; None if it has none."""
    if module not in FORMER:
        return None
    from importlib.machinery import ModuleSpec

    return ModuleSpec(module, _Loader())  # type: ignore[arg-type]
