"""The two ends between a program and one worker: native where that can be."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from multiprocessing.reduction import DupFd
from typing import Any, NamedTuple

from fastflow import _core
from fastflow.processes import pipe

__all__ = [
    "CAPACITY",
    "MOST",
    "End",
    "Endpoint",
    "is_native",
    "pair",
    "wait_channels",
]

CAPACITY = 1 << 20
"""Bytes of the ring in each direction."""

MOST = CAPACITY // 4
"""Bytes of a message; longer ones go by segments where these are."""

_native: Any = getattr(_core, "Channel", None)
if os.environ.get("FASTFLOW_TRANSPORT") == "pipe":
    _native = None


def is_native() -> bool:
    """Return whether messages lie in shared memory."""
    return _native is not None


class Endpoint(NamedTuple):
    """What a worker needs to attach; travels as an argument of ``Process``."""

    connection: socket.socket
    memory: Any
    """Of the rings; None: there are none."""

    def attach(self) -> Any:
        """Return the worker's end."""
        if self.memory is None:
            return pipe.PipeChannel(self.connection)
        return _native.attach(self.connection.fileno(), self.memory.taken())


class Memory:
    """A descriptor that a worker gets a duplicate of, however it is started."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def taken(self) -> int:
        """Return the worker's own, in a worker."""
        return os.dup(self._descriptor)  # forked: this one is the program's

    def __reduce__(self) -> Any:
        return _Duplicate, (DupFd(self._descriptor),)


class _Duplicate:
    """What arrives of a `Memory`."""

    def __init__(self, sent: Any) -> None:
        self._sent = sent

    def taken(self) -> int:
        found: int = self._sent.detach()
        return found


class End(NamedTuple):
    """The program's end."""

    channel: Any
    connection: socket.socket

    def close(self) -> None:
        """Close it."""
        abandon = getattr(self.channel, "abandon", None)
        if abandon is not None:
            abandon()
        self.connection.close()


@contextlib.contextmanager
def pair() -> Iterator[tuple[End, Endpoint]]:
    """Return the program's end, and what a worker attaches with.

    The worker has to be started within the block.
    """
    here, there = socket.socketpair()
    with there:
        if _native is None:
            yield End(pipe.PipeChannel(here), here), Endpoint(there, None)
            return
        channel = _native.create(here.fileno(), CAPACITY)
        yield End(channel, here), Endpoint(there, Memory(channel.memory_fd))
        channel.release_fd()


def wait_channels(
    channels: Sequence[Any], extra: Sequence[int], timeout: float | None
) -> list[int]:
    """Wait for messages, the end of a peer, or one of some descriptors."""
    if _native is None:
        return pipe.wait_channels(channels, extra, timeout)
    return _core.wait_channels(channels, extra, timeout)
