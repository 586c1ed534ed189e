"""Raising what another process can be told of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastflow.errors import portable

__all__ = ["raising_portable"]


@contextmanager
def raising_portable() -> Iterator[None]:
    """Raise what the block raises as `fastflow.errors.portable` returns it."""
    try:
        yield
    except BaseException as error:
        travels = portable(error)
        if travels is error:
            raise
        raise travels from None
