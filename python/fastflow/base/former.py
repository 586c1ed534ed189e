"""Modules by the names that they had in earlier versions.

A class is stored by the name of its module: in a pickle, and in a journal as
``module:Class``.  What was stored before a module moved must still be read, and scripts
that were made from our examples import some, too.  So an old name of such a module is
another name of it: `now_called` says which (a journal never imports anything), and
`install` lets Python import it.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

__all__ = ["FORMER", "install", "now_called"]

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


class _Finder:
    """Finds modules by their former names; Python asks it when nobody else knows."""

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> ModuleSpec | None:
        """Return how to import a module, if it is one of these."""
        del path, target
        if name not in FORMER:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Give the module what the one that it stands for has."""
        own = vars(module)
        for name, value in vars(
            importlib.import_module(FORMER[own["__name__"]])
        ).items():
            if name not in own or name == "__doc__":
                own[name] = value


def install() -> None:
    """Let former names be imported."""
    sys.meta_path.append(_Finder())
