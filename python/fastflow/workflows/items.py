"""What for_each and batch draw their items from."""

from __future__ import annotations

import collections
import itertools
import logging
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from fastflow.workflows.failures import shown

__all__ = ["Items"]

_LOGGER = logging.getLogger("fastflow")

_COLLECTIONS = frozenset(
    {
        bytes, collections.deque, dict, frozenset, list, range, set, str, tuple,
        type({}.items()), type({}.keys()), type({}.values()),
    }
)  # fmt: skip


class Items:
    """Items that are drawn one after another.

    Parameters
    ----------
    source : iterable
        What they come from.
    size : int, optional
        Draw lists of so many.

    Attributes
    ----------
    anywhere : bool
        Whether they may be drawn on any thread.  A generator or a database cursor, as
        any code of the user, belongs to where the run goes on.
    """

    def __init__(self, source: Iterable[Any], size: int | None = None) -> None:
        self.anywhere = type(source) in _COLLECTIONS
        self._source = iter(source)
        self._drawn: Iterator[Any] = self._source
        if size is not None:
            self._drawn = iter(
                lambda: list(itertools.islice(self._source, size)), []
            )  # fmt: skip

    def draw(self) -> Any:
        """Return the next one, or raise StopIteration."""
        return next(self._drawn)

    @property
    def closes(self) -> bool:
        """Whether there is something to close."""
        return isinstance(self._source, Generator)

    def close(self) -> None:
        """Let a generator clean up; it is not drawn from any more."""
        if isinstance(self._source, Generator):
            try:
                self._source.close()
            except Exception as error:
                _LOGGER.exception("closing a generator of items: %s", shown(error))
