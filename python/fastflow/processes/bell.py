"""A bell wakes a thread that sleeps on descriptors."""

from __future__ import annotations

import contextlib
import os
import select

__all__ = ["Bell"]


class Bell:
    """A pipe; ringing takes no lock, so signal handlers and the collector may ring."""

    def __init__(self) -> None:
        self._read, self.writable = os.pipe()
        """`writable`: whoever writes a byte there rings."""
        os.set_blocking(self._read, False)
        os.set_blocking(self.writable, False)

    def __del__(self) -> None:
        try:
            os.close(self._read)
            os.close(self.writable)
        except (OSError, AttributeError):  # also while the interpreter ends
            return

    def fileno(self) -> int:
        """Return what is readable once it has rung."""
        return self._read

    def ring(self) -> None:
        """Wake who sleeps, or is about to."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.writable, b".")

    def silence(self) -> None:
        """Forget that it has rung."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def wait(self, seconds: float | None) -> bool:
        """Sleep; return whether it has rung."""
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        rung = poll.poll(None if seconds is None else seconds * 1000)
        self.silence()
        return bool(rung)
