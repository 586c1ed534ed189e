"""The two ends between a program and one worker: native where that can be."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastflow import _core
from fastflow.processes import pipe

__all__ = ["CAPACITY", "Endpoint", "pair", "wait_channels"]

CAPACITY = 1 << 20
"""Bytes of the ring in each direction."""

_native: Any = getattr(_core, "Channel", None)
if os.environ.get("FASTFLOW_TRANSPORT") == "pipe":
    _native = None


class Endpoint(NamedTuple):
    """What a worker needs to attach; travels as an argument of ``Process``."""

    connection: socket.socket
    memory: Any
    """Descriptor of the rings, as multiprocessing sends it; None: there are none."""

    def attach(self) -> Any:
        """Return the worker's end."""
        if self.memory is None:
            return pipe.PipeChannel(self.connection)
        channel = _native.attach(self.connection.fileno(), self.memory)
        channel_sockets[id(channel)] = self.connection
        return channel

    def close(self) -> None:
        """Close the program's copy, when the worker has its own."""
        self.connection.close()


channel_sockets: dict[int, socket.socket] = {}


def pair() -> tuple[Any, Endpoint]:
    """Return the program's end, and what a worker attaches with."""
    here, there = socket.socketpair()
    if _native is None:
        return pipe.PipeChannel(here), Endpoint(there, None)
    raise NotImplementedError  # until the native one is there


def wait_channels(
    channels: Sequence[Any], extra: Sequence[int], timeout: float | None
) -> list[int]:
    """Wait for messages, the end of a peer, or one of some descriptors."""
    if _native is None:
        return pipe.wait_channels(channels, extra, timeout)
    found: list[int] = _core.wait_channels(channels, extra, timeout)  # type: ignore[attr-defined]
    return found
