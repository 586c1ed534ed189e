"""Fuzz of the default serdes: ``python tests/property/fuzz_serdes.py [inputs] [seed]``.

Bytes that are nearly what was stored must give a value or a SerDesError, in bounded time
and memory, and must not import or run anything.
"""

from __future__ import annotations

import random
import sys
import time
from zoneinfo import ZoneInfo

from fastflow.durable.codecs import MARK
from fastflow.durable.exceptions import SerDesError
from fastflow.durable.serdes import decode, encode

TAGS = [
    "str",
    "int",
    "float",
    "dict",
    "bytes",
    "bytearray",
    "tuple",
    "set",
    "frozenset",
    "datetime",
    "date",
    "time",
    "timedelta",
    "uuid",
    "decimal",
    "complex",
    "range",
    "enum",
    "dataclass",
    "struct",
    "namedtuple",
    "batch",
    "ndarray",
    "number",
    "path",
]
WORDS = [
    b"0", b"-1", b"1e999", b"null", b"true", b'"x"', b'"<f8"', b'"|O"', b"[3]", b"[]",
    b"{}", b"[1e9,1e9]", b'"os:system"', b'"builtins:eval"', b'"sys:modules"', b'"AAAA"',
    b"[[1,2]]", b"99999999999999999999999", b'"2024-01-01"', b'"UTC"', b'"../../etc"',
]  # fmt: skip


def piece(rng, depth=0):
    kind = rng.random()
    if depth > 4 or kind < 0.4:
        return rng.choice(WORDS)
    if kind < 0.8:
        parts = [b'"' + rng.choice(TAGS).encode() + b'"']
        parts += [piece(rng, depth + 1) for _ in range(rng.randrange(4))]
        return b'{"' + MARK.encode() + b'":[' + b",".join(parts) + b"]}"
    if kind < 0.9:
        return b"[" + b",".join(piece(rng, depth + 1) for _ in range(3)) + b"]"
    return b'{"a":' + piece(rng, depth + 1) + b"}"


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.5 and data:
            del data[at : at + rng.randrange(1, 4)]
        else:
            data[at:at] = bytes([rng.randrange(256)])
    return bytes(data)


def fuzz(inputs: int, seed: int) -> dict[str, int]:
    """Feed so many inputs; return how many were values and how many errors."""
    rng = random.Random(seed)
    counts = {"values": 0, "errors": 0}
    for text in (b'{"$ff":["ndarray","<f8",[0],""]}', b'{"$ff":["range",1,2,3]}'):
        decode(text)
    ZoneInfo("UTC")  # numpy and zoneinfo import what they need when they are first used
    modules = set(sys.modules)
    for _ in range(inputs):
        data = mutated(rng, piece(rng)) if rng.random() < 0.7 else piece(rng)
        try:
            value = decode(data)
        except SerDesError:
            counts["errors"] += 1
            continue
        counts["values"] += 1
        # A value that can be read can be written, unless it was a class's.
        try:
            encode(value)
        except SerDesError as error:
            assert "can't be" in str(error) or "numpy" in str(error), data
    new = {name.partition(".")[0] for name in set(sys.modules) - modules}
    assert new <= {"numpy", "zoneinfo", "tzdata", "importlib", "_strptime"}, new
    return counts


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    start = time.perf_counter()
    print(
        f"seed {chosen}:", fuzz(number, chosen), f"{time.perf_counter() - start:.0f} s"
    )
