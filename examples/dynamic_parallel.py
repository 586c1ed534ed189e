"""As many tasks as the data asks for: prime factors of numbers, on processes.

    python examples/dynamic_parallel.py
    python examples/dynamic_parallel.py --numbers 200 --workers 4

Two ways to the same thing: ``factor[*]`` in a text runs once per item; a ``@flow``
function calls tasks in a loop. Factoring is pure Python, so processes do it.
"""

from __future__ import annotations

import argparse
import contextlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import fastflow

FLOW_DSL = """
flow Factors:
    numbers -> chunk -> factor_all[*] -> merge
    task factor_all:
        max_concurrency: 8
"""


@fastflow.task
def numbers(count: int) -> list[int]:
    """Return numbers that are hard enough to be worth a process."""
    return [10**11 + 7919 * i for i in range(count)]


@fastflow.task
def chunk(numbers: list[int]) -> list[list[int]]:
    """Cut the work into pieces: one for about each 25 numbers."""
    return [numbers[i : i + 25] for i in range(0, len(numbers), 25)]


def factor(n: int) -> list[int]:
    """Return the prime factors of a number, by trial division."""
    factors, divisor = [], 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            factors.append(divisor)
            n //= divisor
        divisor += 1 if divisor == 2 else 2
    return [*factors, n] if n > 1 else factors


@fastflow.task
def factor_all(numbers: list[int]) -> dict[int, list[int]]:
    """Factor one piece."""
    return {n: factor(n) for n in numbers}


@fastflow.task
def merge(parts: list[dict[int, list[int]]]) -> dict[int, list[int]]:
    """Put the pieces together."""
    return {n: factors for part in parts for n, factors in part.items()}


@fastflow.flow
def factors_of(count: int) -> dict[int, list[int]]:
    """Do the same in plain Python: the number of tasks depends on a result."""
    pieces = chunk(numbers(count)).result()
    return merge([factor_all(piece) for piece in pieces])


def compare(numbers: int, workers: int) -> None:
    """Run both and compare."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as processes:
        result = fastflow.run_parallel_flow_from_dsl(
            FLOW_DSL, numbers, executor=processes
        )
        same = factors_of.with_options(executor=processes)(numbers)
    if result["merge"] != same:
        raise SystemExit("the text and the function differ")
    primes = sum(len(factors) == 1 for factors in same.values())
    print(
        f"{len(same)} numbers in {len(result['chunk'])} tasks, {primes} of them prime"
    )
    for n in list(same)[:3]:
        print(f"  {n} = {' × '.join(map(str, same[n]))}")


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--numbers", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    if min(options.numbers, options.workers) < 1:
        parser.error("--numbers and --workers must be at least 1")
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        compare(options.numbers, options.workers)
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()
