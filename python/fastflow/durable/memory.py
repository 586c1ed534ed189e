"""Where `MemoryJournal` is found."""

from __future__ import annotations

from fastflow.journal.memory import (
    MemoryJournal,
)

__all__ = [
    "MemoryJournal",
]
