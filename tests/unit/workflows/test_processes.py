"""Fan-outs on other processes: ctx is sent once."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import tempfile
from concurrent.futures.process import BrokenProcessPool

import pytest

import fastflow
from fastflow import TaskError
from fastflow.run.scope import Scope
from fastflow.workflows.context import Context
from fastflow.workflows.records import COMPLETED, StepRecord, Steps
from fastflow.workflows.shared_context import SharedContext


class Counted:
    """Counts in this process how often it is pickled."""

    pickled = 0

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        Counted.pickled += 1
        return Counted, (self.value,)


def look(ctx, item):
    again = ctx.last is ctx.steps["load"].output
    return item, ctx.payload.value, len(ctx.last), again, os.getpid()


def ignore(ctx, item):
    return item.value


def change(ctx, item):
    ctx.last = "mine"
    return ctx.last, ctx.payload.value, ctx.index


def describe(ctx):
    return ctx.payload.value, ctx.cancelled, ctx.run.workflow, hasattr(ctx, "nonsense")


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("never leaves")


@pytest.fixture(scope="module")
def executor():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        yield executor


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    """Return a function that counts the parcels' files; none is left in the end."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield lambda: len(list(tmp_path.glob("fastflow-*.ctx")))
    left = [file for file in tmp_path.iterdir() if not file.name.startswith("pymp-")]
    assert not left  # the others are multiprocessing's own, and last as it does


def test_what_all_calls_share_is_pickled_once(executor):
    Counted.pickled = 0
    wf = fastflow.workflow("w").step("load", lambda ctx: list(range(50)))
    wf.for_each("f", lambda ctx: ctx.last, look)
    run = wf.run(Counted(7), executor=executor)
    assert Counted.pickled == 1
    assert [value[:4] for value in run.last] == [(n, 7, 50, True) for n in range(50)]
    assert os.getpid() not in {value[4] for value in run.last}


def test_items_are_pickled_twice_at_most(executor):
    Counted.pickled = 0
    wf = fastflow.workflow("w").step("load", lambda ctx: list(map(Counted, range(50))))
    wf.for_each("f", lambda ctx: ctx.last, ignore)
    assert wf.run(executor=executor).last == list(range(50))
    assert Counted.pickled == 100  # alone, and as a part of ctx.last


def test_each_fan_sends_its_own(executor):
    Counted.pickled = 0
    wf = fastflow.workflow("w").parallel([describe] * 5).for_each("f", [1, 2], change)
    run = wf.run(Counted(7), executor=executor)
    assert run.steps["parallel-1"].output == [(7, False, "w", False)] * 5
    assert run.last == [("mine", 7, None)] * 2
    assert Counted.pickled == 2


def test_async_functions_send_nothing(executor):
    async def awaits(ctx):
        return ctx.payload

    payload = Unpicklable()
    wf = fastflow.workflow("w").parallel([awaits, awaits])
    assert wf.run(payload, executor=executor).last == [payload, payload]


def test_what_can_t_be_pickled_fails_the_step(executor):
    wf = fastflow.workflow("w").parallel([describe, describe])
    with pytest.raises(TaskError, match="never leaves"):
        wf.run(Unpicklable(), executor=executor)


def a_context():
    steps = Steps(frozenset({"a", "b"}))
    record = StepRecord("a", status=COMPLETED)
    record.output = [1, 2]
    steps.open(record)
    run = fastflow.workflow("w").start()
    ctx = Context(run, "payload", steps, None, None, Scope())
    ctx.last = record.output
    ctx._shared_context = SharedContext(ctx)
    return ctx


def test_a_parcel_is_read_at_the_first_look(files):
    ctx = a_context()
    first, second = (pickle.loads(pickle.dumps(ctx)) for _ in range(2))
    assert files() == 1
    assert first.run.id == ctx.run.id
    assert (first.last, first.steps["b"].status) == ([1, 2], "PENDING")
    ctx._shared_context.close()
    assert first.payload == second.payload == "payload"  # kept
    assert first.last is second.last


def test_a_parcel_that_is_gone():
    ctx = a_context()
    late = pickle.loads(pickle.dumps(ctx))
    ctx._shared_context.close()
    with pytest.raises(RuntimeError, match="removed when the step is over"):
        late.payload  # noqa: B018


def test_a_fork_that_ends_leaves_the_file(files):
    ctx = a_context()
    late = pickle.loads(pickle.dumps(ctx))
    child = multiprocessing.get_context("fork").Process(
        target=ctx._shared_context.close
    )
    child.start()
    child.join()
    assert files() == 1
    assert late.payload == ctx.payload
    ctx._shared_context.close()
    assert files() == 0


class Refused(Exception):  # noqa: N818
    """Can be pickled, but not made again."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")


def refuse(ctx, item):
    if item == 3:
        raise Refused(3, "no")
    return item


def test_an_error_that_cannot_be_made_again_breaks_no_pool():
    wf = fastflow.workflow("w").for_each("f", lambda ctx: ctx.payload, refuse)
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        with pytest.raises(TaskError) as caught:
            wf.run(range(10), executor=executor)
        assert wf.run([1, 2], executor=executor).last == [1, 2]
    assert isinstance(caught.value.__cause__, fastflow.errors.RemoteError)
    assert "Refused: 3 no" in str(caught.value)


def die_at_fifty(ctx, item):
    if item == 50:
        os._exit(3)
    return item


def test_a_process_that_dies_under_a_fan_with_items_left():
    wf = fastflow.workflow("w").for_each(
        "f", range(300), die_at_fifty, max_concurrency=60, on_error="settle"
    )
    with concurrent.futures.ProcessPoolExecutor(2) as executor:
        found = wf.start(executor=executor).result(60).last
    failed = [value for value in found if not isinstance(value, int)]
    assert failed
    assert {type(error) for error in failed} == {BrokenProcessPool}
    assert all(value == n for n, value in enumerate(found) if isinstance(value, int))


def test_short_items_travel_together():
    wf = fastflow.workflow("w").for_each("f", range(2_000), ignore_ctx)
    with Counting(2) as executor:
        assert wf.run(executor=executor).last == list(range(1, 2_001))
    assert executor.submitted < 300


class Counting(concurrent.futures.ProcessPoolExecutor):
    """Counts what is submitted."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


def ignore_ctx(ctx, item):
    return item + 1


def test_a_forgotten_parcel_leaves_no_file(files):
    ctx = a_context()
    pickle.dumps(ctx)
    assert files() == 1
    ctx._shared_context = None
    assert files() == 0
