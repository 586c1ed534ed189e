"""What every test relies on."""

from __future__ import annotations

import signal

import pytest

from fastflow.durable import MemoryJournal, SqliteJournal

# A shell that runs the tests in the background has them, and every program that they
# start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["memory", "file"])
def journal(request, tmp_path):
    """A journal of either kind, for tests that have none of their own."""
    if request.param == "memory":
        yield MemoryJournal()
        return
    journal = SqliteJournal(tmp_path / "runs.db")
    yield journal
    journal.close()
