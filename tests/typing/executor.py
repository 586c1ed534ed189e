"""Executor, futures, groups, fan-out: for mypy --strict and pyright.

A line that must not pass ends in ``# error``; all others must pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import assert_type

import fastflow


def repeat(text: str, count: int, *, upper: bool = False) -> str:
    return text.upper() * count if upper else text * count


async def later(text: str) -> int:
    return len(text)


with fastflow.Executor(2) as executor:
    future = executor.submit(repeat, "a", 3, upper=True)
    assert_type(future, fastflow.Future[str])
    assert_type(future.result(), str)
    assert_type(future.result(timeout=1), str)
    executor.submit(repeat, 3, "a")  # error
    executor.submit(repeat, "a")  # error
    executor.submit(repeat, "a", 3, lower=True)  # error
    wrong: fastflow.Future[int] = executor.submit(repeat, "a", 3)  # error
    assert_type(list(executor.map(len, ["a"])), list[int])
    for done in fastflow.as_completed([future]):
        print(done.result())

kernel_future = executor.submit(fastflow.kernels.noop, 3)
kernel_future.result()

with fastflow.TaskGroup() as group:
    task = group.create_task(repeat, "a", count=3)
    assert_type(task, fastflow.Future[str])
    group.create_task(repeat, "a", count="3")  # error
    group.create_task(repeat)  # error
    assert_type(task.result(), str)


def half(number: int) -> bytes:
    return bytes(number // 2)


assert_type(fastflow.map(half, [1, 2]), list[bytes])
assert_type(fastflow.map(half, [1], return_exceptions=False), list[bytes])
assert_type(
    fastflow.map(half, [1], return_exceptions=True), list[bytes | BaseException]
)
assert_type(
    fastflow.starmap(half, [(1,)], return_exceptions=True), list[bytes | BaseException]
)
assert_type(fastflow.starmap(half, [(1,)]), list[bytes])
assert_type(fastflow.imap(half, [1]), Iterator[bytes])
assert_type(
    fastflow.imap(half, [1], return_exceptions=True), Iterator[bytes | BaseException]
)
for value in fastflow.map(half, [1], return_exceptions=True):
    print(value + 1)  # error
    if not isinstance(value, BaseException):
        assert_type(value, bytes)


async def main() -> int:
    return await asyncio.wrap_future(executor.submit(int, "3"))


any_future: asyncio.Future[int] = executor.submit(int)  # error
