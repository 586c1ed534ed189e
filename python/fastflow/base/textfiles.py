"""Files: read with clear errors, written so that nobody sees half of one."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastflow.errors import FlowError

__all__ = ["read_text", "write_text", "written_whole"]


def read_text(path: Path) -> str:
    """Return the text of a file, its ends of lines as they are.

    Raises
    ------
    FlowError
        If the file can't be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise FlowError(f"can't read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FlowError(
            f"{path} is not UTF-8 text (byte {error.start:,}); save it as UTF-8"
        ) from None


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file as a whole: under another name, then renamed.

    A file that has the name already is replaced, and keeps its permissions; if it is a
    link, what it leads to is. A pipe or a device is written to.

    Parameters
    ----------
    private : bool
        Whether only the owner may read a new file.

    Raises
    ------
    OSError, UnicodeEncodeError
        If that fails; what was there is as it was.
    """
    data = text.encode()
    with written_whole(path, private=private) as file:
        file.write(data)


@contextlib.contextmanager
def written_whole(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write bytes to, which gets its name when all is written.

    As `write_text` does; if the block raises, what was there is as it was.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    mode = 0o600 if private else 0o666
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        with contextlib.suppress(OSError):
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
