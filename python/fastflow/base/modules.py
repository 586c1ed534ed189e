"""Modules that the command line is given, and the two names of a script.

What a script defines is recorded under ``__main__``: durable functions as
``__main__.order``, classes as ``__main__:Order``.  Another process has imported the
same file under its own name, or has another script as its ``__main__``.  So a script's
module goes by both names, and this is where that is known:

* in the script's own process, by the name that it would be imported under;
* in a process that was told to stand in for it (`standing_in`), by ``__main__``.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

__all__ = [
    "MAIN",
    "import_target",
    "main_name",
    "module_called",
    "other_name",
    "standing_in",
]

MAIN = "__main__"

_stand_in: str | None = None


def import_target(name: str) -> ModuleType:
    """Import a module by its name, or by the path of its ``.py`` file.

    The current directory is looked into first, as with ``python -m``; what is beside a
    file can be imported by it, as with ``python file.py``.

    Raises
    ------
    Exception
        Whatever importing it raises; ``ImportError`` if there is no such file.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")
    if name.endswith(".py"):
        return _import_file(Path(name))
    return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ImportError(f"there is no file {path}")
    # Other processes import it by its name again, so it must be found there.
    directory = str(path.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = importlib.util.spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} is not a Python module")
    module = importlib.util.module_from_spec(found)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        # As an import does: nobody shall find half a module.
        if before is None:
            sys.modules.pop(path.stem, None)
        else:
            sys.modules[path.stem] = before
        raise
    return module


@contextlib.contextmanager
def standing_in(name: str) -> Iterator[None]:
    """Let the module of this name (or ``.py`` file) answer for ``__main__``."""
    global _stand_in
    before = _stand_in
    _stand_in = Path(name).stem if name.endswith(".py") else name
    try:
        yield
    finally:
        _stand_in = before


def main_name() -> str | None:
    """Return the name that would import ``__main__``; None if there is none."""
    if _stand_in is not None:
        return _stand_in
    main = sys.modules.get(MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m
        name: str = spec.name
        return name
    file = getattr(main, "__file__", None)
    return None if not isinstance(file, str) else Path(file).stem


def module_called(name: str) -> ModuleType | None:
    """Return the imported module of a name, also by its other one; imports nothing."""
    if name == MAIN and _stand_in is not None:
        return sys.modules.get(_stand_in)
    found = sys.modules.get(name)
    if found is None and name == main_name():
        found = sys.modules.get(MAIN)
    return found


def other_name(dotted: str) -> str | None:
    """Return the other name of something in a script: ``__main__.f`` and ``file.f``.

    None if it is in another module.
    """
    own = main_name()
    if own is None:
        return None
    for one, other in ((MAIN, own), (own, MAIN)):
        if dotted.startswith(f"{one}."):
            return other + dotted[len(one) :]
    return None
