"""Random flows on every engine against a reference that is a dozen lines long."""

from __future__ import annotations

import concurrent.futures as cf
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow
from fastflow import Flow
from fastflow.base.timers import Timer
from fastflow.engines.base import Run, RunOptions
from fastflow.engines.hosted import run_hosted
from fastflow.engines.native import run_native
from fastflow.run.registry import TaskRegistry

KINDS = ["plain", "fail", "retry", "give up", "fallback", "async", "each", "cached"]


@st.composite
def flows(draw):
    """A list of tasks, each with its kind and its parents (of lower number)."""
    count = draw(st.integers(1, 14))
    tasks = []
    for number in range(count):
        kind = draw(st.sampled_from(KINDS))
        parents = (
            draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else ()
        )
        if kind == "each":
            parents = sorted(parents)[:1]
            kind = kind if parents else "plain"
        tasks.append((kind, sorted(parents)))
    return tasks


def text_of(tasks):
    lines = [f"    t{i}" for i in range(len(tasks))]
    for i, (kind, parents) in enumerate(tasks):
        each = "[*]" if kind == "each" else ""
        lines += [f"    t{parent} -> t{i}{each}" for parent in parents]
    return "flow F:\n" + "\n".join(lines)


def value_of(number, values):
    """What task `number` returns: a list, so that any task may run over it."""
    return [
        number,
        *(len(value) if isinstance(value, list) else -1 for value in values),
    ]


def registry_of(tasks, calls):
    registry = TaskRegistry()
    for number, (kind, _) in enumerate(tasks):
        name = f"t{number}"

        def plain(*values, number=number):
            calls[number] += 1
            return value_of(number, values)

        def failing(*values, number=number):
            calls[number] += 1
            raise ValueError(number)

        def third_time(*values, number=number):
            calls[number] += 1
            if calls[number] < 3:
                raise OSError(number)
            return value_of(number, values)

        async def awaited(*values, number=number):
            calls[number] += 1
            return value_of(number, values)

        task = registry.task
        if kind == "fail":
            task(name=name)(failing)
        elif kind == "retry":
            task(name=name, retries=2, retry_delay=3600)(third_time)
        elif kind == "give up":
            task(name=name, retries=1, retry_delay=3600)(failing)
        elif kind == "fallback":
            task(name=name, fallback=[number])(failing)
        elif kind == "async":
            task(name=name)(awaited)
        elif kind == "cached":
            task(name=name, cache=True)(plain)
        else:
            task(name=name)(plain)
    return registry


def reference(tasks):
    """Result, or None for failed and skipped; and how often each is called."""
    values, calls = [], Counter()
    for number, (kind, parents) in enumerate(tasks):
        inputs = [values[parent] for parent in parents]
        if any(value is None for value in inputs):
            values.append(None)
            continue
        times = {"retry": 3, "give up": 2, "each": len(inputs[0]) if inputs else 0}
        calls[number] += times.get(kind, 1)
        if kind in ("fail", "give up"):
            values.append(None)
        elif kind == "fallback":
            values.append([number])
        elif kind == "each":
            values.append([value_of(number, [item]) for item in inputs[0]])
        else:
            values.append(value_of(number, inputs))
    return values, calls


class NoWaiting:
    """A clock on which every delay is over at once."""

    def now(self):
        return 0.0

    def call_later(self, seconds, fn, /, *args):
        fn(*args)
        return _OVER


class _Over(Timer):
    def __init__(self):
        pass

    def cancel(self):
        return False


_OVER = _Over()


@pytest.fixture(scope="module", params=["native", "threads", "one worker"])
def executor(request):
    made = {
        "native": lambda: fastflow.Executor(4),
        "threads": lambda: cf.ThreadPoolExecutor(4),
        "one worker": lambda: fastflow.Executor(1),
    }[request.param]()
    with made:
        yield made


def check(tasks, run_with):
    calls = Counter()
    registry = registry_of(tasks, calls)
    flow = Flow(text_of(tasks), registry=registry)
    run = Run(flow._plan, None, RunOptions(keep_going=True))
    run_with(run)
    run.skip_the_rest()
    values, expected_calls = reference(tasks)
    found = [
        run.track.results[i] if run.track.states[i] == 2 else None
        for i in range(len(tasks))
    ]
    assert found == values
    assert +calls == +expected_calls
    for number, (kind, _) in enumerate(tasks):
        failed = number in run.track.errors
        ran = expected_calls[number] > 0
        assert failed == (ran and kind in ("fail", "give up"))


@settings(deadline=None)
@given(tasks=flows())
def test_engines_agree_with_the_reference(executor, tasks):
    check(tasks, lambda run: run_hosted(run, executor, clock=NoWaiting()))
    if isinstance(executor, fastflow.Executor):
        check(tasks, lambda run: run_native(run, executor, clock=NoWaiting()))


@settings(deadline=None, max_examples=50)
@given(tasks=flows())
def test_one_at_a_time_agrees_with_the_reference(tasks):
    with cf.ThreadPoolExecutor(2) as executor:
        check(
            tasks,
            lambda run: run_hosted(
                run, executor, one_at_a_time=True, clock=NoWaiting()
            ),
        )


@settings(deadline=None)
@given(tasks=flows(), data=st.data())
def test_public_runs_agree_with_the_serial_one(executor, tasks, data):
    """The same through ``Flow.run``, for tasks that need no clock."""
    kinds = {"retry": "plain", "give up": "fail"}
    tasks = [(kinds.get(kind, kind), parents) for kind, parents in tasks]
    calls, other_calls = Counter(), Counter()
    text = text_of(tasks)
    serial = Flow(text, registry=registry_of(tasks, calls)).run(
        executor="serial", on_error="return"
    )
    other = Flow(text, registry=registry_of(tasks, other_calls)).run(
        executor=data.draw(st.sampled_from([executor, None])), on_error="return"
    )
    assert dict(other) == dict(serial)
    assert calls == other_calls
    assert {name: record.status for name, record in other.tasks.items()} == {
        name: record.status for name, record in serial.tasks.items()
    }
    assert {error.task for error in other.errors} == {
        error.task for error in serial.errors
    }


@settings(deadline=None)
@given(tasks=flows())
def test_stopping_at_a_failure_runs_nothing_that_depends_on_it(executor, tasks):
    kinds = {"retry": "plain", "give up": "fail"}
    tasks = [(kinds.get(kind, kind), parents) for kind, parents in tasks]
    calls = Counter()
    flow = Flow(text_of(tasks), registry=registry_of(tasks, calls))
    values, expected_calls = reference(tasks)
    try:
        result = flow.run(executor=executor)
    except fastflow.TaskError as error:
        result = error.result
        assert result.status == "FAILED"
    else:
        assert None not in values
    for number, value in enumerate(values):
        if f"t{number}" in result:
            assert result[f"t{number}"] == value
        assert calls[number] <= expected_calls[number]
