"""The wire format of protocol buffers, as far as traces need it; many messages at once.

A field is a number and a type, as one varint, and a value. Varints have seven bits per
byte, the lowest first; all bytes but the last have the eighth bit set. A message within
a message is its length and its bytes.
"""

from __future__ import annotations

import numpy as np

__all__ = ["Messages", "field", "varint"]

_VARINT, _FIXED64, _BYTES = 0, 1, 2


def varint(value: int) -> bytes:
    """Return a number, at least 0, as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """Return a field: an integer (at least 0), a text or a message."""
    if isinstance(value, int):
        return varint(number << 3 | _VARINT) + varint(value)
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    return varint(number << 3 | _BYTES) + varint(len(data)) + data


class Messages:
    """So many messages with the same fields, each of which may have a field or not.

    A field of all messages is a matrix of bytes, a row for each; a mask says which of
    them are there. So nothing is done per message.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []
        self._ragged: tuple[np.ndarray, np.ndarray] | None = None

    def numbers(
        self, number: int, values: np.ndarray, where: np.ndarray | None = None
    ) -> None:
        """Add a field of integers, at least 0."""
        self._tag(number, _VARINT, where)
        self._add(*_varints(values), where)

    def doubles(
        self, number: int, values: np.ndarray, where: np.ndarray | None = None
    ) -> None:
        """Add a field of doubles."""
        self._tag(number, _FIXED64, where)
        data = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
        self._add(data, np.ones(data.shape, bool), where)

    def fixed(self, number: int, rows: np.ndarray, values: np.ndarray) -> None:
        """Add a repeated field of 64 bits: a value for each of `rows`, in any order.

        These come last in the message.
        """
        tag = np.frombuffer(varint(number << 3 | _FIXED64), np.uint8)
        data = np.empty((len(rows), len(tag) + 8), np.uint8)
        data[:, : len(tag)] = tag
        data[:, len(tag) :] = (
            np.ascontiguousarray(values, "<u8").view(np.uint8).reshape(-1, 8)
        )
        if self._ragged is not None:
            rows = np.concatenate([self._ragged[0], rows])
            data = np.concatenate([self._ragged[1], data])
        self._ragged = rows, data

    def messages(
        self, number: int, inner: Messages, where: np.ndarray | None = None
    ) -> None:
        """Add a field of messages; what is last in them is last in these, too."""
        self._tag(number, _BYTES, where)
        self._add(*_varints(inner.sizes()), where)
        for data, mask in inner._parts:
            self._add(data, mask, where)
        if inner._ragged is not None:
            self._ragged = inner._ragged

    def sizes(self) -> np.ndarray:
        """Return the length of each message in bytes."""
        total = np.zeros(self.count, np.int64)
        for _, mask in self._parts:
            total += mask.sum(axis=1)
        if self._ragged is not None:
            rows, data = self._ragged
            total += np.bincount(rows, minlength=self.count) * data.shape[1]
        return total

    def joined(self) -> bytes:
        """Return all messages, one after the other."""
        data = np.concatenate([part for part, _ in self._parts], axis=1)
        mask = np.concatenate([mask for _, mask in self._parts], axis=1)
        if self._ragged is None:
            plain: bytes = data[mask].tobytes()
            return plain
        rows, ragged = self._ragged
        sizes = self.sizes()
        many = np.bincount(rows, minlength=self.count) * ragged.shape[1]
        # Each message ends with so many bytes of the ragged ones.
        ends = np.repeat(np.cumsum(sizes), many)
        place = np.arange(len(ends)) - np.repeat(np.cumsum(many), many) + ends
        out = np.empty(int(sizes.sum()), np.uint8)
        other = np.ones(len(out), bool)
        other[place] = False
        out[place] = ragged[np.argsort(rows, kind="stable")].reshape(-1)
        out[other] = data[mask]
        return out.tobytes()

    def _tag(self, number: int, kind: int, where: np.ndarray | None) -> None:
        tag = np.frombuffer(varint(number << 3 | kind), np.uint8)
        shape = (self.count, len(tag))
        self._add(np.broadcast_to(tag, shape), np.ones(shape, bool), where)

    def _add(
        self, data: np.ndarray, mask: np.ndarray, where: np.ndarray | None
    ) -> None:
        if where is not None:
            mask = mask & where[:, np.newaxis]
        self._parts.append((data, mask))


def _varints(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of varints, a row for each, and which of them are there."""
    left = np.asarray(values).astype(np.uint64)
    width = max((int(left.max(initial=0)).bit_length() + 6) // 7, 1)
    shifts = np.arange(0, 7 * width, 7, dtype=np.uint64)
    rest = left[:, np.newaxis] >> shifts
    mask = rest > 0
    mask[:, 0] = True
    data = (rest & np.uint64(0x7F)).astype(np.uint8)
    data[:, :-1] |= np.where(mask[:, 1:], 0x80, 0).astype(np.uint8)
    return data, mask
