"""The same flow one task after another and in parallel, and what that gains.

    python examples/basic_parallel.py
    python examples/basic_parallel.py --megabytes 64 --workers 4

Four independent tasks hash, compress and sum up one block of text. The library
functions behind them release the interpreter lock, so threads run them side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import time
import zlib

import fastflow

FLOW_DSL = """
flow BasicParallel:
    description: "Four views of one text"
    make_text -> [sha256, blake2, compress, checksum]
    [sha256, blake2, compress, checksum] -> report
"""


@fastflow.task
def make_text(megabytes: int) -> bytes:
    """Return a text of that size which compresses neither too well nor too badly."""
    words = [hashlib.md5(bytes([i])).hexdigest().encode() for i in range(256)]
    line = b" ".join(words)
    return (line * (megabytes * 2**20 // len(line) + 1))[: megabytes * 2**20]


@fastflow.task
def sha256(text: bytes) -> str:
    """Hash the text."""
    return hashlib.sha256(text).hexdigest()


@fastflow.task
def blake2(text: bytes) -> str:
    """Hash it another way."""
    return hashlib.blake2b(text).hexdigest()


@fastflow.task
def compress(text: bytes) -> int:
    """Return how many bytes are left when it is compressed."""
    return len(zlib.compress(text, 6))


@fastflow.task
def checksum(text: bytes) -> int:
    """Return its Adler-32."""
    return zlib.adler32(text)


@fastflow.task
def report(sha256: str, blake2: str, compress: int, checksum: int) -> str:
    """Put the findings into one line."""
    return f"{sha256[:12]} {blake2[:12]} {checksum:08x}, {compress:,} bytes compressed"


def compare(megabytes: int, workers: int) -> None:
    """Run both ways and compare."""
    fastflow.run_flow_from_dsl(FLOW_DSL, 1)  # so that neither run is the first one
    start = time.perf_counter()
    one = fastflow.run_flow_from_dsl(FLOW_DSL, megabytes)
    sequential = time.perf_counter() - start

    start = time.perf_counter()
    other = fastflow.run_parallel_flow_from_dsl(
        FLOW_DSL, megabytes, max_workers=workers
    )
    parallel = time.perf_counter() - start

    if dict(one) != dict(other):
        raise SystemExit("the two runs differ")
    print(one["report"])
    for span in other.timeline():
        print(f"  {span.task:<10} {span.start * 1e3:7.1f} - {span.end * 1e3:7.1f} ms")
    print(f"one after another {sequential:.3f} s, in parallel {parallel:.3f} s")
    print(f"{sequential / parallel:.2f} × as fast with {workers} workers")


def main() -> None:
    """Run both ways and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=16)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    if min(options.megabytes, options.workers) < 1:
        parser.error("--megabytes and --workers must be at least 1")
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        compare(options.megabytes, options.workers)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()
