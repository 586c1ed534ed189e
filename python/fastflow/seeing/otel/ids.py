"""Ids of traces and spans that are the same in every process.

Both are hashes.  That of a trace is of the seed of an execution: its name, and when it
began, which its journal knows; so an execution that goes on elsewhere is in the same
trace, and of two stores with executions of one name, each has a trace of its own.

The API has a parent with any ids, but the id of a span that is begun comes from whoever
implements the API.  So the spans of an execution have a parent that nobody has made,
with derived ids.  With `SpanIds` as the generator of the SDK, spans get derived ids,
too, and the span with which an execution began is that parent.
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import random
from collections.abc import Iterator

__all__ = ["SpanIds", "derived", "span_id_of", "trace_id_of"]

_next: contextvars.ContextVar[tuple[int, int] | None] = contextvars.ContextVar(
    "fastflow.otel.next", default=None
)


def trace_id_of(seed: str) -> int:
    """Return the id of the trace of an execution: 128 bits, not 0."""
    return _hash(seed, 16)


def span_id_of(seed: str, operation: str = "") -> int:
    """Return the id of the span of an operation; "" is the execution itself."""
    return _hash(f"{seed}\0{operation}", 8)


def _hash(text: str, size: int) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()
    return int.from_bytes(digest, "big") or 1


@contextlib.contextmanager
def derived(trace: int, span: int) -> Iterator[None]:
    """Have the span that is begun in this block get these ids, if that can be."""
    token = _next.set((trace, span))
    try:
        yield
    finally:
        _next.reset(token)


class SpanIds:
    """An id generator for the SDK: ``TracerProvider(id_generator=SpanIds())``.

    Spans of durable functions get ids that are derived from execution and operation,
    all others random ones.
    """

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        known = _next.get()
        return random.getrandbits(128) or 1 if known is None else known[0]

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        known = _next.get()
        return random.getrandbits(64) or 1 if known is None else known[1]

    def is_trace_id_random(self) -> bool:
        """Whether trace ids are random; the SDK asks."""
        return False
