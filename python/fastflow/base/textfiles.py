"""Text files: read with clear errors, written so that nobody sees half of one."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

from fastflow.errors import FlowError

__all__ = ["read_text", "write_text"]


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
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    mode = 0o600 if private else 0o666
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        with contextlib.suppress(OSError):
            temporary.chmod(target.stat().st_mode & 0o777)
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
