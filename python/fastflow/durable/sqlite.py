"""Where `SqliteJournal` is found."""

from __future__ import annotations

from fastflow.journal.sqlite import (
    SqliteJournal,
)

__all__ = [
    "SqliteJournal",
]
