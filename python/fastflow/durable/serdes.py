"""The module that the AWS SDK has `SerDes` in.

It knows what durable functions return: a `BatchResult` registers how it is kept.
"""

from __future__ import annotations

import fastflow.durable.results  # noqa: F401  (registers)
from fastflow.journal.serdes import (
    ExtendedTypeSerDes,
    JsonSerDes,
    PassThroughSerDes,
    SerDes,
    SerDesContext,
    decode,
    encode,
    roundtrip,
)

__all__ = [
    "ExtendedTypeSerDes",
    "JsonSerDes",
    "PassThroughSerDes",
    "SerDes",
    "SerDesContext",
    "decode",
    "encode",
    "roundtrip",
]
