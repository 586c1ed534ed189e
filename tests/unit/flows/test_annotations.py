"""Annotations need not make sense: they may name what only a type checker sees."""

from __future__ import annotations

import asyncio
import sys

import pytest

from fastflow import Flow, TaskRegistry, flow, workflow
from fastflow.durable import DurableRunner, durable_execution, durable_step

# On 3.14 annotations are evaluated when asked for; before, only as texts can they name
# what isn't there.
FUTURE = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
SOURCE = """
import functools
from dataclasses import dataclass

def function(n: Missing) -> Missing:
    return n + 1

async def coroutine(n: Missing) -> Missing:
    return n + 1

def keyword_only(*, n: Missing, other: Missing = 1) -> Missing:
    return n + other

def added(n: Missing, m: Missing) -> Missing:
    return n + m

partial = functools.partial(added, m=1)

@functools.wraps(function)
def wrapped(*args: Missing, **kwargs: Missing) -> Missing:
    return function(*args, **kwargs)

class Class:
    def __init__(self, n: Missing) -> Missing:
        self.n = n + 1

    def __eq__(self, other: Missing) -> Missing:
        return self.n == other

    __hash__ = None

class Tools:
    def method(self, n: Missing) -> Missing:
        return n + 1

    @classmethod
    def of_class(cls, n: Missing) -> Missing:
        return n + 1

    @staticmethod
    def static(n: Missing) -> Missing:
        return n + 1

    def __call__(self, n: Missing) -> Missing:
        return n + 1

method = Tools().method
of_class = Tools.of_class
static = Tools.static
instance = Tools()

def fails(n: Missing) -> Missing:
    raise ValueError

def recover(error: Missing, inputs: Missing) -> Missing:
    return inputs["n"] + 1

def valid(n: Missing) -> Missing:
    return True
"""
KINDS = [
    "function", "coroutine", "keyword_only", "partial", "wrapped", "Class", "method",
    "of_class", "static", "instance",
]  # fmt: skip


@pytest.fixture(scope="module")
def made():
    names = {"__name__": __name__}
    exec(FUTURE + SOURCE, names)
    return names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decorated", [False, True])
def test_flows(made, kind, decorated):
    fn = made[kind]
    if decorated:
        fn = TaskRegistry().task(name="a", cache=True)(fn)
    for executor in (None, "serial"):
        built = Flow("flow F:\n    a", registry={"a": fn})
        assert built.run({"n": 1}, executor=executor)["a"] == 2


def test_fallbacks_and_validators(made):
    task = TaskRegistry().task(
        fallback=made["recover"], validate_input=made["valid"], cache=True
    )(made["fails"])
    assert task(1) == task(n=1) == 2
    assert Flow("flow F:\n    a", registry={"a": task}).run({"n": 1})["a"] == 2
    coroutine = TaskRegistry().task(cache=True)(made["coroutine"])
    assert asyncio.run(coroutine(1)) == 2

    @flow
    def run():
        return task(1)

    assert run() == 2


def test_workflows_and_durable_executions(made):
    names = dict(made)
    exec(
        FUTURE
        + """
def step(ctx: Missing) -> Missing:
    return 2

def each(ctx: Missing, item: Missing) -> Missing:
    return item + 1

def handler(event: Missing, context: Missing) -> Missing:
    return context.step(decorate(function)(event))
""",
        names,
    )
    built = workflow("w").step("s", names["step"]).for_each("e", [1], names["each"])
    assert built.run().last == [2]

    def one(step_context, n):
        return made["function"](n)

    names["decorate"] = lambda fn: durable_step(one)
    with DurableRunner(":memory:") as runner:
        assert runner.run(durable_execution(names["handler"]), 1) == 2
