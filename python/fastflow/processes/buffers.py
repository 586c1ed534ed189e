"""Large buffers: they lie in shared memory, and only their descriptors travel.

What pickle gives out of band (the contents of arrays) goes, from a size on, into a
segment of its own, and so does a pickle that is too long for the transport. Whoever
sends one makes it; the other side maps it. A segment has no name anywhere: it is gone
when nobody has it any more, however they end. Both sides know it by its inode.

**An array that many calls have is copied once.** If it can't be written to, for as long
as it lives; else while a call that has it has not ended, and samples of its contents
are the same. So an array must not be changed while such a call is pending.

A worker keeps what it has mapped until it is told to forget it: when the program's
`Shared` is gone.
"""

from __future__ import annotations

import errno
import os
import pickle
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fastflow import _core
from fastflow.processes.messages import LARGE

__all__ = ["LargeBufferError", "Mapped", "Packed", "Shared", "Shares", "refusal_from"]

_SAMPLES = 32
_SAMPLE = 64  # bytes
_NEVER = 1 << 62

can_share = hasattr(_core, "Segment")


class LargeBufferError(Exception):
    """Raised within ``pickle.dumps``: the value has a buffer that is to be shared."""


def refusal_from(size: int | None) -> Callable[[Any], bool]:
    """Return a callback by which pickle takes small buffers in, and stops at others."""
    least = size if can_share and size is not None else _NEVER

    def refuse(buffer: Any) -> bool:
        if memoryview(buffer).nbytes >= least:
            raise LargeBufferError
        return True

    return refuse


class Shared:
    """A segment that this process has made.

    Parameters
    ----------
    content : buffer
        Is copied.
    graveyard : deque
        Gets the inode when the segment is no longer used here.
    """

    __slots__ = ("__weakref__", "_grave", "inode", "mark", "segment", "size")

    def __init__(self, content: Any, graveyard: deque[int]) -> None:
        view = memoryview(content).cast("B")
        self.size = view.nbytes
        self.segment = _core.Segment(self.size)
        self.inode = os.fstat(self.segment.fd).st_ino
        self.segment.write(view)  # without a mapping, at half the cost
        self.mark = b""
        # Native, so that no signal handler comes in between.
        self._grave = _core.AtEnd(graveyard.append, self.inode)


class Packed:
    """A message that refers to segments, which live as long as it does.

    Parameters
    ----------
    message : bytes
    shares : list of Shared
    """

    __slots__ = ("message", "shares")

    def __init__(self, message: bytes, shares: list[Shared]) -> None:
        self.message = message
        self.shares = shares

    def seal(self, shares: Shares) -> None:
        """See to it that the message can be sent."""
        if len(self.message) > shares.most:
            sealed = shares.packed(self.message, [])
            # In this order: in between, it is to be sealed again.
            self.shares = sealed.shares
            self.message = sealed.message


class Shares:
    """Makes segments of what is to be sent.

    Parameters
    ----------
    least : int, optional
        Bytes of a buffer that is shared; None: none is.
    most : int
        Bytes of a message.
    """

    def __init__(self, least: int | None, most: int) -> None:
        self._least = _NEVER if least is None else least
        self.most = most
        self.graveyard: deque[int] = deque()
        """Inodes of segments that are no longer used."""
        self._lock = threading.Lock()
        self._known: weakref.WeakValueDictionary[int, Shared]
        self._known = weakref.WeakValueDictionary()  # by the identity of an array
        self._kept: dict[int, Shared] = {}

    def pack(self, pickled: Callable[..., bytes], value: Any) -> Packed:
        """Return a message; ``pickled(value, buffer_callback)`` gives its pickle.

        Without a descriptor to be had for a segment, it is one piece, which `seal`
        has lie in a segment when it is sent.
        """
        shares: list[Shared] = []

        def collect(buffer: Any) -> bool:
            if memoryview(buffer).nbytes < self._least:
                return True
            shares.append(self._share(buffer))
            return False

        try:
            return self.packed(pickled(value, collect), shares)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            shares.clear()
            return Packed(pickled(value, lambda _: True), [])

    def packed(self, data: bytes, shares: list[Shared]) -> Packed:
        """Return a message for a pickle with the buffers that are not in it."""
        buffers = [(share.inode, share.size) for share in shares]
        whole: tuple[int, int] | None = None
        if len(data) > self.most - 1024 - 24 * len(buffers):
            share = Shared(data, self.graveyard)
            shares = [share, *shares]
            whole, data = (share.inode, share.size), b""
        return Packed(pickle.dumps((LARGE, data, whole, buffers), 5), shares)

    def _share(self, buffer: pickle.PickleBuffer) -> Shared:
        view = buffer.raw()
        owner = memoryview(buffer).obj
        mark = _mark(view)
        # The lock also keeps two threads from copying the same array at once.
        with self._lock:
            found = self._known.get(id(owner))
            if found is not None and found.size == view.nbytes and found.mark == mark:
                return found
            made = Shared(view, self.graveyard)
            made.mark = mark
            self._remember(owner, made)
        return made

    def _remember(self, owner: Any, made: Shared) -> None:
        try:
            weakref.finalize(owner, self._forget, id(owner)).atexit = False
        except TypeError:  # can't be watched, and its identity may become another's
            return
        self._known[id(owner)] = made
        if _never_changes(owner):
            self._kept[id(owner)] = made

    def _forget(self, key: int) -> None:
        self._kept.pop(key, None)
        self._known.pop(key, None)


def _mark(view: memoryview) -> bytes:
    """Return samples of some contents."""
    size = view.nbytes
    step = max(size // _SAMPLES, 1)
    parts = [bytes(view[at : at + _SAMPLE]) for at in range(0, size, step)]
    return b"".join([*parts, view[-_SAMPLE:]])


def _never_changes(owner: Any) -> bool:
    """Tell whether nobody can write to an array: nor to what it is a view of."""
    while owner is not None:
        flags = getattr(owner, "flags", None)
        if flags is None:
            return isinstance(owner, bytes)
        if getattr(flags, "writeable", True):
            return False
        owner = getattr(owner, "base", None)
    return True


class Mapped:
    """Segments that another process has made, as this one sees them.

    Parameters
    ----------
    take : callable
        Returns the next descriptor that the other process has sent.
    readonly : bool
        Whether they can't be written to here.
    """

    def __init__(self, take: Callable[[], int], *, readonly: bool) -> None:
        self._take = take
        self._readonly = readonly
        self._segments: dict[int, Any] = {}
        self._unwanted: set[int] = set()  # forgotten before their descriptors came
        self._lock = threading.Lock()

    def opened(self, parts: tuple[Any, ...]) -> tuple[Any, list[memoryview]]:
        """Return a pickle and its buffers, of what `Shares.packed` has made."""
        _, data, whole, buffers = parts
        with self._lock:
            if whole is not None:
                data = self._view(*whole)
            return data, [self._view(*buffer) for buffer in buffers]

    def opened_once(self, parts: tuple[Any, ...]) -> tuple[Any, list[memoryview]]:
        """Do the same, and keep nothing."""
        opened = self.opened(parts)
        _, _, whole, buffers = parts
        self.forget([inode for inode, _ in ([*buffers, whole] if whole else buffers)])
        return opened

    def forget(self, inodes: Sequence[int]) -> None:
        """Let go of segments; what has views of them keeps them."""
        for inode in inodes:
            if self._segments.pop(inode, None) is None:
                self._unwanted.add(inode)

    def _view(self, inode: int, size: int) -> memoryview:
        while inode not in self._segments:
            descriptor = self._take()
            status = os.fstat(descriptor)
            segment = _core.Segment.open(descriptor, status.st_size, self._readonly)
            segment.close_fd()
            if status.st_ino in self._unwanted:
                self._unwanted.remove(status.st_ino)
            else:
                self._segments[status.st_ino] = segment
        return memoryview(self._segments[inode])[:size]
