"""Operation ids: what an operation is called, from where it stands in the program.

The id of an operation is a hash of its context's id and its number there (from 1), that
of a branch a hash of the batch's id and the branch's index.  So a program that runs
again gives each operation the id that it had before, whatever ran at the same time.
"""

from __future__ import annotations

import re
from hashlib import blake2b

__all__ = [
    "ID_BYTES",
    "ROOT",
    "branch_id",
    "child_id",
    "invoked_by",
    "invoked_name",
]

ID_BYTES = 16
ROOT = bytes(ID_BYTES)
"""The id of the execution's own context."""

_BRANCH = b"branch"
_INVOKED = re.compile(rf"(.*)/[0-9a-f]{{{2 * ID_BYTES}}}", re.DOTALL)


def child_id(parent: bytes, number: int) -> bytes:
    """Return the id of operation `number` (from 1) of the context `parent`."""
    return blake2b(parent + number.to_bytes(8, "big"), digest_size=16).digest()


def branch_id(batch: bytes, index: int) -> bytes:
    """Return the id of the branch at `index` (from 0) of a batch."""
    key = batch + index.to_bytes(8, "big")
    return blake2b(key, digest_size=16, person=_BRANCH).digest()


def invoked_name(execution: str, operation: bytes) -> str:
    """Return the name of what an operation of an execution invokes."""
    return f"{execution}/{operation.hex()}"


def invoked_by(execution: str) -> str | None:
    """Return the name of what has invoked an execution; None if it wasn't invoked."""
    found = _INVOKED.fullmatch(execution)
    return None if found is None else found[1]
