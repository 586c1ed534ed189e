"""What a text may have imported: modules that are allowed, and what is theirs.

Allowed modules are looked into, never through: ``json:codecs.builtins.exec`` names
something that `json` can reach, but not what somebody who allows `json` has in mind. So
each part of the path but the last must be a class or an object of an allowed module,
never a module or a function, and a function or class at its end must have been defined
in one, or be in its ``__all__`` (much of `os` is from `posix`).  Only objects may be of
any type, as they are there for the module's own use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable
from types import ModuleType
from typing import Any, NamedTuple

__all__ = ["Allowed", "NotAllowed", "import_callable"]


class Allowed(NamedTuple):
    """What the text of a flow may make us do."""

    code: bool = False
    """Run ``code:`` blocks."""
    imports: bool | Iterable[str] = False
    """Import what ``run:`` names: all, none, or these modules and their submodules."""
    unseen: bool = False
    """Take it that what may not be imported is there and right; for checks."""

    def importing(self, module: str) -> bool:
        """Whether a module may be imported."""
        if isinstance(self.imports, bool):
            return self.imports
        return any(_is_in(module, prefix) for prefix in self.imports)


class NotAllowed(Exception):  # noqa: N818  (its text is a problem of the flow's)
    """What a text names is not what has been allowed."""


def import_callable(target: str, allowed: Allowed) -> Callable[..., Any]:
    """Return what ``module:path`` names.

    Raises
    ------
    NotAllowed
        If that is not allowed.
    Exception
        Whatever the module raises when it is imported; AttributeError if it has no
        such name, TypeError if that is not callable.
    """
    name, _, path = target.partition(":")
    if not allowed.importing(name):
        raise NotAllowed(
            f"{target[:60]!r} would import {name[:40]!r}, which allow_import does not "
            f"allow; if the text is to be trusted: allow_import=[{name[:40]!r}]"
        )
    module = found = importlib.import_module(name)
    parts = path.split(".")
    for number, part in enumerate(parts):
        found = getattr(found, part)
        if allowed.imports is not True:
            _check(found, part, target, module, allowed, last=number == len(parts) - 1)
    if not callable(found):
        raise TypeError(f"{target[:60]!r} is not callable")
    return found


def _check(
    found: Any,
    part: str,
    target: str,
    module: ModuleType,
    allowed: Allowed,
    *,
    last: bool,
) -> None:
    shown = f"{target[:60]!r} goes through {module.__name__!r}"
    if part.startswith("__") and part != "__call__":
        raise NotAllowed(f"{shown}: {part[:40]!r} is internal")
    if isinstance(found, ModuleType):
        raise NotAllowed(
            f"{shown}: {part[:40]!r} is another module; write "
            f"'{found.__name__}:...' and allow that one"
        )
    if found is getattr(module, part, None) and part in _offers(module):
        return
    defined = hasattr(found, "__qualname__")  # a function or a class
    if last and not defined:
        return
    if not last and defined and not isinstance(found, type):
        raise NotAllowed(f"{shown}: {part[:40]!r} is a function")
    home = getattr(found if defined else type(found), "__module__", None)
    if home is None:  # a method of a built-in object or class
        owner = getattr(found, "__self__", None)
        home = (owner if isinstance(owner, type) else type(owner)).__module__
    if not _belongs(str(home), module, allowed):
        raise NotAllowed(
            f"{shown}: {part[:40]!r} is of {home!r}, which allow_import does not allow"
        )


def _offers(module: ModuleType) -> Collection[str]:
    names = getattr(module, "__all__", ())
    return names if isinstance(names, list | tuple) else ()


def _belongs(home: str, module: ModuleType, allowed: Allowed) -> bool:
    # A module may have another name than the one it is imported by (os.path), and a
    # part that is written in C (_operator).
    names = (home, home.removeprefix("_"))
    return any(allowed.importing(name) for name in names) or any(
        _is_in(name, module.__name__) for name in names
    )


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")
