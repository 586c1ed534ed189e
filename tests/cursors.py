"""Items that belong to one thread."""

from __future__ import annotations

import threading


class Cursor:
    """As a database cursor: for the thread alone that has made it."""

    def __init__(self):
        self._thread = threading.get_ident()
        self._rows = iter([(n,) for n in range(20)])

    def __iter__(self):
        return self

    def __next__(self):
        if threading.get_ident() != self._thread:
            raise RuntimeError("used on another thread")
        return next(self._rows)
