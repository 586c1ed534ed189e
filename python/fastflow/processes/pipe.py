"""One end of a stream of messages over a socket: where there is no shared memory.

It has the methods of the native transport (``_core.Channel``), so that nothing above
knows which of the two it has. A message is its length (8 bytes, little-endian) and its
bytes. What the system has no room for yet stays here; `send` refuses more until it has
left, so an end that nobody reads holds one message too many at most.

A message can't be taken back, and nobody sees when the peer takes it.

One thread at a time may send, one receive: the owner of the end sees to that.
"""

from __future__ import annotations

import array
import contextlib
import select
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence

__all__ = ["PipeChannel", "wait_channels"]

_LENGTH = struct.Struct("<Q")
_READ = 1 << 18  # bytes


class PipeChannel:
    """One end; the other process has the other end of the socket.

    Parameters
    ----------
    connection : socket.socket
        Of a pair; this end closes it.
    """

    max_payload = sys.maxsize
    counts_claims = False

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._sent = 0
        self._out: deque[memoryview] = deque()  # what has not left yet
        self._in = bytearray()
        self._messages: deque[bytes] = deque()
        self._descriptors: deque[int] = deque()
        self.closed_by_peer = False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the end."""
        self._socket.close()
        while self._descriptors:
            socket.close(self._descriptors.popleft())

    def send(self, payload: bytes) -> int | None:
        """Send a message; return its ticket, or None if there is no room."""
        self._flush()
        if self._out:
            return None
        self._out.append(memoryview(_LENGTH.pack(len(payload)) + payload))
        self._flush()
        self._sent += 1
        return self._sent

    def send_many(self, payloads: Sequence[bytes]) -> list[int]:
        """Send messages; return the tickets of those that there was room for."""
        self._flush()
        if self._out or not payloads:
            return []
        parts = [part for payload in payloads
                 for part in (_LENGTH.pack(len(payload)), payload)]  # fmt: skip
        self._out.append(memoryview(b"".join(parts)))
        self._flush()
        first = self._sent + 1
        self._sent += len(payloads)
        return list(range(first, self._sent + 1))

    def send_descriptor(self, descriptor: int) -> None:
        """Send a descriptor; it is duplicated."""
        # It goes with a message of no bytes, in the order of all messages.
        self._flush()
        while self._out:
            select.select([], [self._socket], [])
            self._flush()
        rights = [
            (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))
        ]
        self._socket.setblocking(True)
        try:
            self._socket.sendmsg([_LENGTH.pack(0)], rights)
        finally:
            self._socket.setblocking(False)

    def take_descriptor(self, timeout: float | None) -> int:
        """Return the next descriptor that was sent here."""
        while not self._descriptors:
            if not self._read() and not self._wait(timeout):
                raise TimeoutError("no descriptor came")
        return self._descriptors.popleft()

    def receive(self) -> bytes | None:
        """Return the next message, or None."""
        self._flush()  # nobody else would, if nothing more is sent
        if not self._messages:
            self._read()
        return self._messages.popleft() if self._messages else None

    def receive_many(self, limit: int) -> list[bytes]:
        """Return the next messages, at most so many."""
        self._flush()  # nobody else would, if nothing more is sent
        if not self._messages:
            self._read()
        found = self._messages
        if len(found) <= limit:
            self._messages = deque()
            return list(found)
        return [found.popleft() for _ in range(limit)]

    def recall(self, ticket: int) -> bool:  # noqa: ARG002  (as the native one)
        """Return False: what was sent can't be taken back."""
        return False

    def taken_up_to(self) -> int:
        """Return the last ticket: the peer may have taken all."""
        return self._sent

    def prepare_wait(self, for_room: bool = False) -> bool:  # noqa: ARG002
        """Return whether a wait has to sleep."""
        return not self._messages

    def finish_wait(self) -> None:
        """End a wait."""

    def wait(self, timeout: float | None) -> bool:
        """Wait for a message.

        Raises
        ------
        EOFError
            If the peer is gone, and all its messages were received.
        """
        while not self._messages and not self._read():
            if self.closed_by_peer:
                raise EOFError("the other process is gone")
            if not self._wait(timeout):
                return False
            self._flush()  # the other process may wait for that, and send nothing
        return True

    def flush(self) -> None:
        """Wait until all that was sent has left."""
        while self._out and not self.closed_by_peer:
            select.select([], [self._socket], [])
            self._flush()

    @property
    def has_unsent(self) -> bool:
        """Whether something waits for room."""
        return bool(self._out)

    def _wait(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._socket, _interest(self))
        return bool(poll.poll(None if timeout is None else max(timeout, 0.0) * 1000))

    def _flush(self) -> None:
        while self._out:
            part = self._out[0]
            try:
                count = self._socket.send(part)
            except BlockingIOError:
                return
            except OSError:  # the peer is gone: nobody will read it
                self.closed_by_peer = True
                self._out.clear()
                return
            if count == len(part):
                self._out.popleft()
            else:
                self._out[0] = part[count:]

    def _read(self) -> bool:
        """Take in what has come; return whether there are messages."""
        while not self.closed_by_peer:
            try:
                data, rights, _, _ = self._socket.recvmsg(_READ, 256)
            except BlockingIOError:
                break
            except OSError:
                data, rights = b"", []
            for _, _, packed in rights:
                found = array.array("i")
                found.frombytes(packed[: len(packed) - len(packed) % found.itemsize])
                self._descriptors.extend(found)
            if not data:
                self.closed_by_peer = True
                break
            self._in += data
            if len(data) < _READ:
                break
        self._split()
        return bool(self._messages)

    def _split(self) -> None:
        received, at, end = self._in, 0, len(self._in)
        while end - at >= 8:
            (size,) = _LENGTH.unpack_from(received, at)
            if end - at - 8 < size:
                break
            if size:
                self._messages.append(bytes(received[at + 8 : at + 8 + size]))
            at += 8 + size
        if at:
            del received[:at]


def _interest(channel: PipeChannel) -> int:
    return select.POLLIN | (select.POLLOUT if channel.has_unsent else 0)


def wait_channels(
    channels: Sequence[PipeChannel], extra: Sequence[int], timeout: float | None
) -> list[int]:
    """Wait for messages, the end of a peer, or one of some descriptors.

    Returns
    -------
    list of int
        Indexes of those that are ready: of channels, then of descriptors.
    """
    indexes: dict[int, int] = {}
    poll = select.poll()
    ready = [n for n, channel in enumerate(channels) if not channel.prepare_wait()]
    for n, channel in enumerate(channels):
        with contextlib.suppress(ValueError):  # closed meanwhile
            poll.register(channel, _interest(channel))
            indexes[channel.fileno()] = n
    for n, descriptor in enumerate(extra, len(channels)):
        poll.register(descriptor, select.POLLIN)
        indexes[descriptor] = n
    if ready:
        timeout = 0
    found = poll.poll(None if timeout is None else max(timeout, 0.0) * 1000)
    return sorted({*ready, *(indexes[descriptor] for descriptor, _ in found)})
