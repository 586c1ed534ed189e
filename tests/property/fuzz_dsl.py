"""Random texts for the reader of flows.

Run in full: ``python tests/property/fuzz_dsl.py`` (1,000,000 texts, about two minutes;
``--count``, ``--seed``). Texts are mutations of good ones, sequences of the language's
own pieces, and random characters. For each: it is read, and then printed and read back
as the same flow; or there is a `DslError` all of whose problems have a place in the
text. Nothing else may happen, and not for long.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time

from fastflow.dsl.formatter import format_dsl
from fastflow.dsl.reader import parse_flows
from fastflow.errors import DslError

SEEDS = [
    "flow F:\n    a -> b\n",
    'flow "My flow":\n    description: "x # y"\n    a -> [b, c] -> d\n'
    "    [d, e] -> f\n",
    "flow F:\n    task a:\n        retries: 3\n        timeout: 30s\n"
    "        run: pkg.mod:fn\n        fallback: [1, null]\n    a -> w[*] -> c\n",
    "flow F:\n\ttask w:\n\t\tmax_concurrency: 2\n\tx -> w[*]\nflow G:\n  p\n",
    "flow F:\n    task a:\n        code: |\n            x = inputs['b']\n\n"
    "            return x\n        backoff: 2.5\n    b -> a\n",
    "# head\nflow größe:\n    数据 -> चरण # why\r\n    \"a b\" -> 'c'\n",
]
PIECES = [
    "flow", "task", "F", "a", "b", "c", "->", "-->", "=>", "-", ">", "[", "]", "[*]",
    ",", ":", "|", "#", '"', "'", '"a b"', "\\", "\\u0041", "\\ud800", "\n", "\n    ",
    "\n\t", "\n        ", "\r\n", "\r", " ", "\t", "\x00", "\x0b", "\u2028", "\u00a0",
    "\u0301", "\ufeff", "🚀", "é", "description: ", "retries: ", "timeout: ",
    "fallback: ", "code: |", "run: ", "backoff: ", "max_concurrency: ", "3", "30s",
    "-1", "1e9", "nan", "{", "}", "null", "x:y", "\ud83d", "9" * 30, "flow F:\n",
    "    a -> b\n",
]  # fmt: skip
SLOW = 2.0  # seconds of processor time for one small text: far more than any needs


def mutate(rng: random.Random, text: str) -> str:
    """Change a text in one to six places."""
    for _ in range(rng.choice([1, 1, 1, 2, 3, 6])):
        at = rng.randint(0, len(text))
        kind = rng.randrange(6)
        if kind == 0:
            text = text[:at] + rng.choice(PIECES) + text[at:]
        elif kind == 1:
            text = text[:at] + text[at + rng.randint(1, 6) :]
        elif kind == 2:
            text = text[:at] + chr(rng.randrange(0x3000)) + text[at + 1 :]
        elif kind == 3:
            lines = text.split("\n")
            rng.shuffle(lines)
            text = "\n".join(lines)
        elif kind == 4:
            end = rng.randint(at, len(text))
            text = text[:end] + text[at:end] + text[end:]
        else:
            text = text + rng.choice(SEEDS)
    return text


def make(rng: random.Random) -> str:
    """Return the next text."""
    kind = rng.randrange(10)
    if kind < 6:
        return mutate(rng, rng.choice(SEEDS))
    if kind < 9:
        return "".join(rng.choices(PIECES, k=rng.randint(1, 40)))
    data = bytes(rng.randrange(256) for _ in range(rng.randint(0, 60)))
    return data.decode("utf-8", rng.choice(["replace", "surrogateescape", "ignore"]))


def check(text: str, limit: float) -> bool:
    """Read one text; whether it is a good one.

    Raises
    ------
    AssertionError
        With the text, if anything but the two allowed things happens, or if it takes
        more than `limit` seconds of processor time.
    """
    start = time.thread_time()
    try:
        good = _check(text)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{text!r}: {type(error).__name__}: {error}") from error
    assert time.thread_time() - start < limit, f"slow: {text!r}"
    return good


def _check(text: str) -> bool:
    try:
        flows = parse_flows(text)
    except DslError as error:
        _check_error(text, error)
        return False
    for spec in flows:
        printed = spec.to_dsl()
        assert parse_flows(printed) == (spec,), repr(text)
    assert parse_flows(format_dsl(text)) == flows, repr(text)
    return True


def _check_error(text: str, error: DslError) -> None:
    lines = text.removeprefix("\ufeff").split("\n")
    assert error.problems, repr(text)
    for problem in error.problems:
        assert 1 <= problem.line <= len(lines), repr(text)
        limit = len(lines[problem.line - 1]) + 1
        assert 1 <= problem.column <= limit, (text, problem)
    str(error).encode()  # can be printed


def run(count: int, seed: int, limit: float = math.inf) -> int:
    """Check `count` texts; returns how many were good."""
    rng = random.Random(seed)
    return sum(check(make(rng), limit) for _ in range(count))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.count:,} texts")
    start = time.perf_counter()
    good = run(options.count, options.seed, SLOW)
    seconds = time.perf_counter() - start
    print(f"{good:,} good ones, the others with errors as documented; {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
