"""Durable functions and their handles: see executor.py."""

from __future__ import annotations

from typing import assert_type

from fastflow.durable import (
    DurableContext,
    DurableFunction,
    DurableRunner,
    StepContext,
    durable_execution,
)
from fastflow.durable.handle import Handle


async def later(step: StepContext) -> str:
    return "later"


def now(step: StepContext) -> int:
    return step.attempt


@durable_execution
def handler(event: int, context: DurableContext) -> list[str]:
    assert_type(context.step(now), int)
    assert_type(context.step(later, name="later"), str)
    context.step(3)  # error
    return [context.step(later)]


@durable_execution(name="named")
def named(event: int, context: DurableContext) -> int:
    return event


@durable_execution
async def coroutine(event: int, context: DurableContext) -> float:
    return 0.5


assert_type(handler, DurableFunction[list[str]])
assert_type(named, DurableFunction[int])
assert_type(coroutine, DurableFunction[float])
assert_type(handler(3), list[str])

with DurableRunner(":memory:") as runner:
    assert_type(runner.run(handler, 3), list[str])
    assert_type(runner.run(coroutine, 3), float)
    handle = runner.start(named, 3)
    assert_type(handle, Handle[int])
    assert_type(handle.result(), int)
    text: str = runner.run(named, 3)  # error
    runner.run(now, 3)  # error
