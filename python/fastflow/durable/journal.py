"""Where `Journal`, the protocol of stores, is found."""

from __future__ import annotations

from fastflow.journal.journal import (
    ABANDONED,
    ANSWER,
    EXPIRED,
    HEARTBEAT,
    OUTCOMES,
    RUNNING,
    Change,
    End,
    Entry,
    Journal,
    Message,
    Summary,
    check_same,
    journal_errors,
    may_claim,
)

__all__ = [
    "ABANDONED",
    "ANSWER",
    "EXPIRED",
    "HEARTBEAT",
    "OUTCOMES",
    "RUNNING",
    "Change",
    "End",
    "Entry",
    "Journal",
    "Message",
    "Summary",
    "check_same",
    "journal_errors",
    "may_claim",
]
