"""Exceptions on their way to another process.

One is tried out before it leaves: what can't be made again on the other side would
break the pool there, and nobody would learn what had happened.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler

from fastflow.errors import RemoteError, text_of

__all__ = ["portable", "raising_portable"]


def portable(error: BaseException) -> BaseException:
    """Return the error, or a `RemoteError` if it can't be pickled and made again."""
    try:
        again = pickle.loads(ForkingPickler.dumps(error))
        if type(again) is type(error):
            return error
    except Exception as failed:
        reason = f"{type(failed).__name__}: {failed}"
    else:
        reason = f"a {type(again).__name__} is made of it"
    name = type(error).__qualname__
    remote = RemoteError(
        f"{name}: {text_of(error)} (an exception of another process that can't be "
        f"pickled: {reason}; give {name} a __reduce__ method)"
    )
    remote.add_note("".join(traceback.format_exception(error)).rstrip())
    return remote


@contextmanager
def raising_portable() -> Iterator[None]:
    """Raise what the block raises as `portable` returns it."""
    try:
        yield
    except BaseException as error:
        travels = portable(error)
        if travels is error:
            raise
        raise travels from None
