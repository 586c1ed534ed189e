"""Fuzz of the default serdes: ``python tests/property/fuzz_serdes.py [inputs] [seed]``.

Bytes that are nearly what was stored must give a value or a SerDesError, in bounded
time and memory, and must not import or run anything.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import random
import re
import sys
import time
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from fastflow.durable.completion import BatchItemStatus, CompletionReason
from fastflow.durable.config import Duration, NestingType
from fastflow.durable.exceptions import SerDesError
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.results import BatchItem, BatchResult
from fastflow.journal.codecs import MARK
from fastflow.journal.serdes import decode, encode

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
    "flag",
    "dataclass",
    "struct",
    "namedtuple",
    "batch",
    "ndarray",
    "number",
    "npstr",
    "npbytes",
    "path",
]
WORDS = [
    b"0", b"-1", b"1e999", b"null", b"true", b'"x"', b'"<f8"', b'"|O"', b"[3]", b"[]",
    b"{}", b"[1e9,1e9]", b'"os:system"', b'"builtins:eval"', b'"sys:modules"',
    b"[[1,2]]", b"99999999999999999999999", b'"2024-01-01"', b'"UTC"', b'"../../etc"',
    b'"AAAA"', b'"|V0"', b'"<U0"', b"[[\"a\",\"<f8\"]]", b'["x"]', b'"datetime:date"',
    b'"fastflow.durable.config:StepConfig"', b'"fastflow.durable.config:NestingType"',
    b'"fastflow.durable.lambda_service:ErrorObject"', b'[["seconds",1]]',
    b'{"$ff":["range",0,100000000000000,1]}', b'"fastflow.durable.config:Duration"',
]  # fmt: skip
BATCH = BatchResult(
    [
        BatchItem(0, BatchItemStatus.SUCCEEDED, {1: (2, b"3")}),
        BatchItem(1, BatchItemStatus.FAILED, None, ErrorObject("m", "ValueError")),
    ],
    CompletionReason.ALL_COMPLETED,
)
#: What is really stored; a change of a byte or two gets far into the reading of it.
STORED = [
    encode(value)
    for value in (
        {"a": [1, 2.5, None, True, "x"], "$ff": 1},
        {1: {2, 3}, (4, "5"): frozenset("6"), None: 10**40},
        [dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))],
        [dt.time(1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")), dt.timedelta(1)],
        [np.arange(6).reshape(2, 3), np.float32(1), np.str_("x"), np.bytes_(b"y")],
        np.zeros(2, [("a", "<i4"), ("b", "<f8", (2,)), ("c", [("d", "u1")])]),
        [uuid.UUID(int=5), Decimal("1.5"), 1j, range(3), "\ud800", bytearray(b"z")],
        [Duration(5), NestingType.FLAT, BATCH],
        re.IGNORECASE | re.MULTILINE,
    )
]
SLOW = 2.0  # seconds of processor time for one small input: far more than any needs


def stored(rng):
    """Return something stored; sometimes within, or joined with, something else."""
    data = rng.choice(STORED)
    while rng.random() < 0.3:
        other = rng.choice(STORED)
        at, to = rng.randrange(len(data)), rng.randrange(len(other))
        data = data[:at] + other[to : to + rng.randrange(40)] + data[at:]
    return data


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


def check(data: bytes) -> bool:
    """Whether some data is a value; an AssertionError if it is something worse."""
    try:
        value = decode(data)
    except SerDesError as refused:
        text = str(refused)
        if len(text) < 1000:
            return False
        raise AssertionError(f"{data!r}: a long message: {text[:1000]}") from None
    except BaseException as error:
        raise AssertionError(f"{data!r}: {error!r}") from error
    try:
        encode(value)
    except SerDesError as refused:
        # A value that can be read can be written, unless it was a class's.
        text = str(refused)
        if "can't be" in text or "numpy" in text:
            return True
        raise AssertionError(f"{data!r}: {text}") from None
    return True


def fuzz(inputs: int, seed: int, limit: float = math.inf) -> dict[str, int]:
    """Feed so many inputs; return how many were values and how many errors.

    Raises
    ------
    AssertionError
        With the input, if anything else happens, or if one takes more than `limit`
        seconds of processor time.
    """
    rng = random.Random(seed)
    counts = {"values": 0, "errors": 0}
    for text in (b'{"$ff":["ndarray","<f8",[0],""]}', b'{"$ff":["range",1,2,3]}'):
        decode(text)
    # numpy and zoneinfo import what they need when they are first used.
    for key in ("UTC", "No/Such", "Europe/No"):
        with contextlib.suppress(ZoneInfoNotFoundError):
            ZoneInfo(key)
    modules = set(sys.modules)
    for _ in range(inputs):
        data = stored(rng) if rng.random() < 0.4 else piece(rng)
        if rng.random() < 0.7:
            data = mutated(rng, data)
        begun = time.thread_time()
        counts["values" if check(data) else "errors"] += 1
        assert time.thread_time() - begun < limit, f"slow: {data!r}"
    new = {name.partition(".")[0] for name in set(sys.modules) - modules}
    assert new <= {"numpy", "zoneinfo", "tzdata", "importlib", "_strptime"}, new
    return counts


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**9)
    start = time.perf_counter()
    print(
        f"seed {chosen}:",
        fuzz(number, chosen, SLOW),
        f"{time.perf_counter() - start:.0f} s",
    )
