"""Who has an SQLite journal open, and whether he lives.

Whose row is damaged counts as living: better an execution waits than runs twice.  A
process that lives writes its row anew whenever it renews its lease.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastflow.journal.errors import JournalDamagedError
from fastflow.journal.journal import ABANDONED, RUNNING
from fastflow.journal.leases import Process, lease_end, lives, this_process
from fastflow.journal.sqlite_rows import DAMAGE, HEAD, owner_crc, read_head, set_head

__all__ = ["Owners"]

_LOGGER = logging.getLogger("fastflow.durable")

#: (device, inode, owner) of those in this process that have not been closed.
_here: set[tuple[int, int, int]] = set()


class Owners:
    """The owners of one file.  Methods with a `db` need the journal's lock.

    Parameters
    ----------
    device, inode : int
        Of the file.
    """

    def __init__(self, path: Path, device: int, inode: int) -> None:
        self._path = path
        self._place = (device, inode)
        self._mine: dict[int, tuple[Any, ...]] = {}
        self._reported: set[int] = set()

    def enter(self, db: sqlite3.Connection, lease: float) -> int:
        """Add this process.  REQUIRES: a transaction."""
        self.forget_dead(db)
        cursor = db.execute(
            "INSERT INTO owners (boot, space, pid, start, lease, until, crc) "
            "VALUES ('', '', 0, 0, 0, 0, 0)"
        )
        owner = cursor.lastrowid
        assert owner is not None
        self._mine[owner] = (*this_process(), round(lease * 1e6))
        self.renew(db, owner)
        return owner

    def entered(self, owner: int) -> None:
        """The transaction that added this owner is over."""
        _here.add((*self._place, owner))

    def renew(self, db: sqlite3.Connection, owner: int) -> bool:
        """Let a lease last from now on; False if it was taken away."""
        mine = self._mine.get(owner)
        if mine is None:
            return False
        row = (owner, *mine, lease_end(mine[-1] / 1e6))
        cursor = db.execute(
            "UPDATE owners SET boot = ?, space = ?, pid = ?, start = ?, lease = ?, "
            "until = ?, crc = ? WHERE id = ?",
            (*row[1:], owner_crc(row), owner),
        )
        return cursor.rowcount == 1

    def forget(self, db: sqlite3.Connection, owner: int) -> None:
        """Abandon what an owner has.  REQUIRES: a transaction."""
        rows = db.execute(
            f"SELECT {HEAD} FROM executions WHERE owner = ? AND status = ?",
            (owner, RUNNING),
        ).fetchall()
        for row in rows:
            try:
                head = read_head(row)
            except JournalDamagedError as error:
                self.report(row[0], error)
                continue
            set_head(db, head._replace(owner=ABANDONED, fence=head.fence + 1))
        db.execute("DELETE FROM owners WHERE id = ?", (owner,))

    def forget_dead(self, db: sqlite3.Connection) -> None:
        """Abandon what those have who don't live.  REQUIRES: a transaction."""
        for row in db.execute("SELECT * FROM owners").fetchall():
            if not self._row_lives(row):
                self.forget(db, row[0])

    def any_dead(self, db: sqlite3.Connection) -> bool:
        """Whether there is an owner that doesn't live."""
        rows = db.execute("SELECT * FROM owners").fetchall()
        return not all(self._row_lives(row) for row in rows)

    def report(self, number: int, error: Exception) -> None:
        """Say once that an execution is damaged, and that others go on."""
        if number not in self._reported:
            self._reported.add(number)
            _LOGGER.warning("%s is left alone: %s", self._path, error)

    def left(self, owner: int) -> None:
        """Count an owner of this process no longer."""
        _here.discard((*self._place, owner))
        self._mine.pop(owner, None)

    @property
    def mine(self) -> list[int]:
        """The owners that have been entered here and haven't left."""
        return list(self._mine)

    def hold(self, db: sqlite3.Connection, owner: int) -> bool:
        """Whether an owner still owns what it owned."""
        if owner == ABANDONED:
            return False
        row = db.execute("SELECT * FROM owners WHERE id = ?", (owner,)).fetchone()
        if row is None:
            return self.living(db)(owner)
        return self._row_lives(row)

    def any(self, db: sqlite3.Connection) -> bool:
        """Whether any owner lives."""
        rows = db.execute("SELECT * FROM owners").fetchall()
        return any(self._row_lives(row) for row in rows)

    def living(self, db: sqlite3.Connection) -> Callable[[int], bool]:
        """Return a function that tells whether an owner lives, as of now."""
        rows = db.execute("SELECT * FROM owners").fetchall()
        living = {row[0] for row in rows if self._row_lives(row)}
        # Whose row is damaged may have another number there.
        unknown = not all(_is_good(row) for row in rows)
        known = {row[0] for row in rows}

        def lives(owner: int) -> bool:
            if owner == ABANDONED:
                return False
            return owner in living or (unknown and owner not in known)

        return lives

    def _row_lives(self, row: tuple[Any, ...]) -> bool:
        if not _is_good(row):
            self.report(
                -row[0],
                JournalDamagedError(
                    f"the row of owner {row[0]} is damaged, so what it owns can't be "
                    "taken over; restore the file from a copy"
                ),
            )
            return True
        process = Process(*row[1:5])
        if process == this_process():
            # Closed, perhaps without having been able to say so in the file.
            return (*self._place, row[0]) in _here and lives(process, row[6])
        return lives(process, row[6])


def _is_good(row: tuple[Any, ...]) -> bool:
    try:
        return bool(owner_crc(row) == row[7])
    except DAMAGE:
        return False
