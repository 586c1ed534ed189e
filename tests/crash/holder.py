"""A live owner, for the tests of damage: makes a small journal, and holds it.

Its arguments are the journal's path and how much of it is in the write-ahead log only:
"none" or "last".  It ends when its standard input does.
"""

from __future__ import annotations

import sys

from fastflow.journal import sqlite_values
from fastflow.journal.journal import Change, End
from fastflow.journal.records import SUCCEEDED, Failure, Record
from fastflow.journal.sqlite import SqliteJournal

LEASE = 10_000.0  # seconds: it does not renew


def record(number: int, payload: bytes) -> Record:
    key = number.to_bytes(16, "big")
    return Record(
        key, bytes(16), "STEP", "Step", f"s{number}", SUCCEEDED, 7, 6, payload=payload
    )


def main() -> None:
    sqlite_values.LARGE = 600
    journal = SqliteJournal(sys.argv[1])
    owner = journal.enter(LEASE)
    done = journal.begin("done", "f", b'"in"', owner)
    change = Change(done.number, done.fence, 0, [record(1, b"1")])
    journal.write([change])
    large, end = record(2, b"x" * 700), End("SUCCEEDED", b'"out"', None, 9)
    journal.write([Change(done.number, done.fence, change.frame, [large], end)])
    failed = journal.begin("failed", "f", b"0", owner)
    end = End("FAILED", None, Failure("no", "ValueError", None, ("line",)), 9)
    journal.write([Change(failed.number, failed.fence, 0, [], end)])
    live = journal.begin("live", "f", b"0", owner)
    for number in range(3):
        one = [record(number + 1, b"%d" % number)]
        journal.write([Change(live.number, live.fence, number, one)])
    journal.post(live.number, "callback", bytes(16), b'"answer"')
    journal.post(live.number, "callback", b"\1" * 16, b"y" * 700)
    journal.post(live.number, "cancel", b"", None, Failure("why"))
    journal._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if sys.argv[2] == "last":
        for number in (3, 4):
            one = [record(number + 1, b"%d" % number)]
            journal.write([Change(live.number, live.fence, number, one)])
        journal.post(live.number, "cancel")
    print("ready", flush=True)
    sys.stdin.read()


main()
