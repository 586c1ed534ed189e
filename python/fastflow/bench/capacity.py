"""How much parallel speed the machine gives at all, right now.

On a shared machine the second core may belong to somebody else for a while. A speed-up
is read beside this figure, taken in the same rounds: that of two long native
computations which share nothing.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

from fastflow.bench.measure import Thunk, Times

SEQUENTIAL, PARALLEL = "capacity, sequential", "capacity, parallel"


def stretch(iterations: int) -> None:
    """Compute without the interpreter lock and without touching memory."""
    hashlib.pbkdf2_hmac("sha256", b"fastflow", b"capacity", iterations)


def contestants(pool: ThreadPoolExecutor, workers: int) -> dict[str, Thunk]:
    """Two more contestants for a comparison: one stretch per worker, both ways."""
    lengths = [30_000] * workers
    return {
        SEQUENTIAL: lambda: list(map(stretch, lengths)),
        PARALLEL: lambda: list(pool.map(stretch, lengths)),
    }


def note(times: Times) -> str:
    """Say what the machine allowed in the rounds of ``times``."""
    return f"the machine allowed {times.ratio(SEQUENTIAL, PARALLEL).median:.2f} ×"
