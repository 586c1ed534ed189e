"""The file under `SqliteJournal`: opening, checking; what errors mean.

Opening changes nothing in a file that is
not ours, damaged, or newer than this program.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fastflow.journal.errors import (
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalIOError,
    JournalLockedError,
    JournalReadOnlyError,
    JournalVersionError,
)
from fastflow.journal.sqlite_log import complaint_about_log
from fastflow.journal.sqlite_owners import Owners
from fastflow.journal.sqlite_schema import (
    APPLICATION,
    VERSION,
    check_tables,
    migrate,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["WHOLE", "Connection", "connect", "log_of", "translate"]

WHOLE = 32 * 1024 * 1024
"""Bytes of a file that is checked as a whole when it is opened."""

_STRAY = (
    "SELECT id >> 32 AS number FROM frames GROUP BY number HAVING "
    "min(id) != number << 32 OR max(id) - min(id) + 1 != count(*) OR "
    "NOT EXISTS (SELECT 1 FROM executions WHERE executions.number = frames.id >> 32)"
)
_LOGGER = logging.getLogger("fastflow.durable")
_BUSY = 10.0  # seconds to wait for another process's transaction
_PAGE = 2048  # bytes: a commit writes whole pages, and most frames are small
_SETTINGS = {"normal": "NORMAL", "full": "FULL"}
_LOOKS = 5  # for a log that is missing
_LOOK = 100_000  # instructions of SQLite's between looks for signals


def log_of(path: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a journal."""
    real = os.path.realpath(path)  # as SQLite does
    return Path(real + "-wal")


def connect(
    path: Path, durability: str = "normal", *, read_only: bool = False
) -> Connection:
    """Open a journal's file; make it if there is none and `read_only` is False.

    Raises
    ------
    JournalError
        Of a kind that says what is wrong: no such directory, no regular file, damaged,
        newer, in use by something else, read-only, no space.
    """
    if not isinstance(durability, str) or durability not in _SETTINGS:
        raise ValueError(
            f"durability must be one of {', '.join(_SETTINGS)}; not {durability!r}"
        )
    for _ in range(_LOOKS - 1):
        # Another process may have begun the log just after we had looked for it: then
        # it is there now.  Of a copy it is still missing, as we have removed ours.
        before = _changed(path)
        try:
            return _connect(path, durability, read_only)
        except _LogMissingError:
            # Who only reads can't remove his; it is empty.
            if read_only and not _has_log(path) and _changed(path) == before:
                raise
    return _connect(path, durability, read_only)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


def _has_log(path: Path) -> bool:
    log = log_of(path)
    return log.exists() and log.stat().st_size > 0


class _LogMissingError(JournalDamagedError):
    """A process has the journal open, it seems, but there is no write-ahead log."""


def _connect(path: Path, durability: str, read_only: bool) -> Connection:
    try:
        size = _check_path(path, read_only)
        log = log_of(path)
        had_log = log.exists()
        if had_log:
            _check_file(log)
    except (OSError, ValueError) as error:  # no permission, too long, not a text, ...
        raise JournalError(
            f"the journal {str(path)!r} can't be opened: {error}"
        ) from error
    complaint = complaint_about_log(log) if had_log else None
    with translated(path):
        mode = "ro" if read_only else "rw"
        db: Connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path.absolute()))}?mode={mode}",
            uri=True,
            timeout=_BUSY,
            isolation_level=None,
            check_same_thread=False,
            factory=Connection,
        )
    try:
        with translated(path, db):
            db.look_for_signals()
            _protect(db)
            _prepare(db, path, read_only, whole=size <= WHOLE)
            if size and not had_log:
                _miss_log(db, path, log)
            db.execute(f"PRAGMA synchronous = {_SETTINGS[durability]}")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # the journal sees to it
    except BaseException:
        db.close()
        raise
    if complaint is not None:
        _LOGGER.warning("%s", complaint)
    return db


def _check_path(path: Path, read_only: bool) -> int:
    """See to it that there is a file that may be a journal; return its size."""
    if not path.parent.is_dir():
        raise JournalError(
            f"the directory {path.parent} does not exist; make it first, or give "
            "another path for the journal"
        )
    if not path.exists():
        if read_only:
            raise JournalError(f"there is no journal at {path}")
        # SQLite gives its other files the same permissions.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return _check_file(path)


def _check_file(path: Path) -> int:
    """Raise unless it is a regular file with one name; return its size."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise JournalError(f"{path} is a directory; a journal is a file")
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(
            f"{path} is a pipe, a socket or a device; a journal is a regular file"
        )
    if status.st_nlink > 1:
        # The write-ahead log belongs to a name, not to the file.
        raise JournalError(
            f"{path} has {status.st_nlink} names (hard links): under each of them, "
            "SQLite would keep another write-ahead log, and the file would be "
            "destroyed; remove the others, or make a copy"
        )
    return status.st_size


def _protect(db: sqlite3.Connection) -> None:
    """Let nothing in a stranger's file do anything."""
    db.execute("PRAGMA trusted_schema = OFF")
    db.execute("PRAGMA cell_size_check = ON")
    # Bytes that are no text are damage of a row, which its checksum tells.
    db.text_factory = _text


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class Connection(sqlite3.Connection):
    """A connection whose queries end when a signal's handler raises.

    Attributes
    ----------
    raised : list of BaseException
        What a handler has raised, while a query was under way.
    """

    raised: list[BaseException]

    def look_for_signals(self) -> None:
        """Look for them from now on."""
        raised = self.raised = []

        def look() -> int:
            try:
                # To be called is the point: here, Python calls the handlers of signals.
                return _nothing()
            except BaseException as error:
                raised.append(error)
                return 1

        self.set_progress_handler(look, _LOOK)

    def interruption(self, error: sqlite3.Error) -> BaseException | None:
        """Return what has interrupted a query, if that is what an error says."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code != sqlite3.SQLITE_INTERRUPT:
            return None
        return self.raised.pop() if self.raised else KeyboardInterrupt()


def _nothing() -> int:
    return 0


def _prepare(
    db: sqlite3.Connection, path: Path, read_only: bool, *, whole: bool
) -> None:
    version = _version(db, path)
    check_tables(db, version, path)
    if whole:
        _check_whole(db, path, version)
    if version == VERSION:
        if not read_only:
            _set_wal(db)
        return
    if read_only:
        raise JournalVersionError(
            f"{path} is of version {version}, older than this program's {VERSION}; "
            "open it for writing once to bring it up to date",
        )
    if version == 0:
        db.execute(f"PRAGMA page_size = {_PAGE}")
    _set_wal(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it meanwhile.
        migrate(db, _version(db, path))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _check_whole(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Raise if rows could be missed, as no checksum tells of a row that isn't met."""
    found = db.execute("PRAGMA integrity_check(1)").fetchall()
    if found != [("ok",)]:
        raise JournalDamagedError(
            f"the journal {path} is damaged ({found[0][0] if found else '?'}); restore "
            "it from a copy"
        )
    if version == 0:
        return
    # A frame whose number has changed is another execution's, or nobody's.
    stray = db.execute(_STRAY).fetchone()
    if stray is not None:
        raise JournalDamagedError(
            f"the journal {path} is damaged: frames of execution {stray[0]} are "
            "missing, or there is no such execution; restore it from a copy"
        )


def _miss_log(db: sqlite3.Connection, path: Path, log: Path) -> None:
    """Refuse or report a file whose write-ahead log is missing.

    Who opens a journal for writing is entered in the file itself at once, and is not
    there any more after it was closed properly, when the log has become part of the
    file and is gone.
    """
    if _version(db, path) != VERSION:
        return
    advice = (
        f"its write-ahead log {log} is missing, with what was committed last; a "
        "journal that is in use is copied with both files, or by VACUUM INTO"
    )
    status = path.stat()
    if Owners(path, status.st_dev, status.st_ino).any(db):
        raise _LogMissingError(
            f"a process has the journal {path} open, or had when it was copied a "
            f"moment ago, but {advice}"
        )
    if db.execute("SELECT 1 FROM owners").fetchone() is not None:
        _LOGGER.warning(
            "the journal %s was in use when it was copied or its process died, but "
            "%s (if another program has closed it meanwhile, nothing is missing)",
            path, advice,
        )  # fmt: skip


def _version(db: sqlite3.Connection, path: Path) -> int:
    """Return the version of a journal, 0 for an empty file; raise if it isn't one."""
    # In one transaction: another process may be making the tables right now.
    inside = db.in_transaction
    if not inside:
        db.execute("BEGIN")
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if not inside:
        db.execute("COMMIT")
    if application != APPLICATION:
        if tables or version:
            raise JournalError(
                f"{path} is an SQLite database, but not a journal of fastflow; give "
                "another path"
            )
        return 0
    if version < 0 or (tables and not version):
        raise JournalDamagedError(
            f"the journal {path} is damaged: it says that it is of version {version}; "
            "restore it from a copy"
        )
    if version > VERSION:
        raise JournalVersionError(
            f"{path} was written by a newer fastflow (journal version {version}, this "
            f"program knows {VERSION}); upgrade fastflow",
        )
    return version


def _set_wal(db: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, if the file isn't in that mode already."""
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode").fetchone()[0]
            if mode != "wal":
                mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # Another process is switching, too, and SQLite does not wait for that.
            locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not locked or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    if mode != "wal":
        raise JournalError(
            f"this file system does not support SQLite's write-ahead log (it stays in "
            f"mode {mode!r}); put the journal on a local disk"
        )


_MEANING: dict[int, tuple[type[JournalError], str]] = {
    sqlite3.SQLITE_FULL: (
        JournalFullError,
        "no space is left for the journal {path}; what was acknowledged is safe; free "
        "space, then resume",
    ),
    sqlite3.SQLITE_IOERR: (
        JournalIOError,
        "the journal {path} can't be read or written ({error}); reopen it once the "
        "disk works",
    ),
    sqlite3.SQLITE_READONLY: (
        JournalReadOnlyError,
        "the journal {path} is read-only; check the permissions of the file and of its "
        "directory",
    ),
    sqlite3.SQLITE_PERM: (JournalReadOnlyError, "no permission to use {path}"),
    sqlite3.SQLITE_CANTOPEN: (
        JournalError,
        "the journal {path} can't be opened ({error}); check that the path exists and "
        "may be written",
    ),
    sqlite3.SQLITE_CORRUPT: (
        JournalDamagedError,
        "the journal {path} is damaged ({error}); restore it from a copy",
    ),
    sqlite3.SQLITE_NOTADB: (
        JournalDamagedError,
        "{path} is not a journal: it is not an SQLite database, or its beginning is "
        "damaged",
    ),
    sqlite3.SQLITE_BUSY: (
        JournalLockedError,
        "another process holds the journal {path} for longer than 10 s",
    ),
    sqlite3.SQLITE_LOCKED: (JournalLockedError, "the journal {path} is locked"),
}


@contextmanager
def translated(path: Path, db: Connection | None = None) -> Iterator[None]:
    """Turn SQLite's errors into the journal's."""
    try:
        yield
    except sqlite3.Error as error:
        stopped = None if db is None else db.interruption(error)
        if stopped is not None:
            raise stopped from None
        raise translate(error, path) from error
    except UnicodeDecodeError as error:  # of SQLite's message: it has what it found
        raise JournalDamagedError(
            f"the journal {path} is damaged; restore it from a copy"
        ) from error


def translate(error: sqlite3.Error, path: Path) -> JournalError:
    """Return the journal's error for one of SQLite."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kind, text = _MEANING.get(code, (JournalError, "the journal {path}: {error}"))
    return kind(text.format(path=path, error=error))
