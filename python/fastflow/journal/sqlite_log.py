"""A look at SQLite's write-ahead log, for what SQLite passes over in silence.

SQLite takes the log to end at the first frame whose checksum is wrong.  After a power
failure that is right; but of a log that is damaged, all commits from there on are gone.
A frame's checksum continues that of the one before it, so whether a frame is good can
be told without those before.  Frames of a former use of the file have other salts.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

__all__ = ["complaint_about_log"]

_HEADER = struct.Struct(">8I")  # magic, version, page size, sequence, salts, checksum
_FRAME = struct.Struct(">6I")  # page, size after a commit, salts, checksum
_MAGIC = 0x377F0682  # its last bit: checksums over big-endian words
_PAUSE = 0.02  # seconds after which another process has written what it was writing


def complaint_about_log(path: Path) -> str | None:
    """Return what is wrong with a write-ahead log; None if nothing is."""
    complaint = _complaint(path)
    if complaint is not None:
        time.sleep(_PAUSE)
        complaint = _complaint(path)
    return complaint


def _complaint(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            if len(head) < _HEADER.size:
                return None  # nothing has been written yet
            magic, _, page, _, salt1, salt2, *check = _HEADER.unpack(head)
            order = ">" if magic & 1 else "<"
            if magic & ~1 != _MAGIC or _sum(head[:24], (0, 0), order) != tuple(check):
                return _text(path, "its header")
            before = (check[0], check[1])
            number = 0
            while len(frame := file.read(_FRAME.size + page)) == _FRAME.size + page:
                number += 1
                _, _, one, two, *found = _FRAME.unpack_from(frame)
                if one != salt1 and two != salt2:
                    return None  # of a former use
                known = (one, two) == (salt1, salt2)
                total = _sum(
                    frame[_FRAME.size :], _sum(frame[:8], before, order), order
                )
                if not known or total != tuple(found):
                    return _text(path, f"frame {number}")
                before = (found[0], found[1])
    except OSError:
        pass  # SQLite will meet it, too
    return None


def _sum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    """Return SQLite's checksum of an even number of words, continued from `start`."""
    one, two = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for n in range(0, len(words), 2):
        one = (one + words[n] + two) & 0xFFFFFFFF
        two = (two + words[n + 1] + one) & 0xFFFFFFFF
    return one, two


def _text(path: Path, what: str) -> str:
    return (
        f"the write-ahead log {path} is damaged, or the machine failed while it was "
        f"written: {what} is not as it was written, so SQLite ignores it and all "
        "commits after it; what these held will be done again. Restore both files from "
        "a copy if the machine has not failed"
    )
