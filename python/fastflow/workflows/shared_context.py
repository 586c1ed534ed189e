"""The context of many calls in other processes, sent once.

``for_each`` calls a function for each item, and every call gets a ctx that refers to
all that the run knows, among it mostly the list of all items.  Pickled with each call
that would be quadratic.  So it goes into a file, once, and calls take its name along; a
process reads it when a function looks into ctx, and keeps it for the next calls.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

from fastflow.run.scope import Scope
from fastflow.workflows.context import Context, Elsewhere, RunInfo
from fastflow.workflows.records import Steps

__all__ = ["SharedContext"]

_MOST = 4  # contexts that a process keeps

_received: OrderedDict[str, dict[str, Any]] = OrderedDict()


class SharedContext:
    """What a context refers to, for processes of this machine.

    It is written when the first call is pickled, and removed by ``close()``, when none
    of the calls matters any more.

    Parameters
    ----------
    ctx : Context
        It must not change meanwhile.
    """

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._lock = threading.Lock()
        self._path: str | None = None
        self._remove: Any = None

    def reduce(self) -> tuple[Any, ...]:
        """Return what ``__reduce__`` of the context returns for each call."""
        with self._lock:
            if self._path is None:
                self._write()
        run = self._ctx.run
        return _Distant, (RunInfo(run.id, run.workflow), self._path)

    def close(self) -> None:
        """Remove the file."""
        with self._lock:
            if self._remove is not None:
                self._remove()

    def _write(self) -> None:
        from multiprocessing.reduction import ForkingPickler  # what the executor uses

        data = io.BytesIO()
        ForkingPickler(data, pickle.HIGHEST_PROTOCOL).dump(self._ctx.contents())
        prefix = f"fastflow-{os.urandom(8).hex()}-"  # no two have the same name, ever
        with tempfile.NamedTemporaryFile(
            prefix=prefix, suffix=".ctx", delete=False
        ) as file:
            # Also if the run is forgotten, or the program ends.
            self._remove = weakref.finalize(self, _remove, file.name, os.getpid())
            file.write(data.getbuffer())
        self._path = file.name


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # not a fork that ends
        with contextlib.suppress(OSError):
            Path(path).unlink()


class _Distant(Context):
    """A context in another process: what it refers to comes at the first look."""

    __slots__ = ("_path",)

    def __init__(self, run: RunInfo, path: str) -> None:
        self.run = run
        self.state = self.global_state = Elsewhere()
        self.error = self.failed_step = None
        self._token = Scope()
        self._shared_context = None
        self._path = path

    def __getattr__(self, name: str) -> Any:
        """Fill in what is missing; called for attributes that are not set."""
        if name not in _CONTENTS:
            raise AttributeError(f"ctx has no attribute {name!r}")
        for attribute, value in _receive(self._path).items():
            try:
                object.__getattribute__(self, attribute)
            except AttributeError:  # else the function has set it
                setattr(self, attribute, value)
        return object.__getattribute__(self, name)


_CONTENTS = ("payload", "last", "steps", "item", "index")


def _receive(path: str) -> dict[str, Any]:
    contents = _received.get(path)
    if contents is not None:
        _received.move_to_end(path)
        return contents
    try:
        with Path(path).open("rb") as file:
            values = pickle.load(file)
    except FileNotFoundError:
        raise RuntimeError(
            f"what ctx refers to is gone: {path} is removed when the step is over, or "
            "by whoever cleans that directory"
        ) from None
    except AttributeError as error:  # would look as if ctx had no such attribute
        raise RuntimeError(
            f"what ctx refers to can't be loaded in another process: {error}"
        ) from error
    payload, last, outputs, names, item, index = values
    steps = Steps.of_outputs(outputs, names)
    contents = dict(zip(_CONTENTS, (payload, last, steps, item, index), strict=True))
    _received[path] = contents
    while len(_received) > _MOST:
        _received.popitem(last=False)
    return contents
