"""Flows whose tasks fail, hang, wait and come late, on every executor, against a model.

The seed is printed; FASTFLOW_STRESS_SEED repeats it, FASTFLOW_STRESS_TASKS scales it.
"""

from __future__ import annotations

import concurrent.futures as cf
import os
import random
import threading
from collections import Counter

import pytest

import fastflow
from fastflow import Flow, TaskRegistry

SEED = int(os.environ.get("FASTFLOW_STRESS_SEED") or random.randrange(2**32))
RUNS = max(int(os.environ.get("FASTFLOW_STRESS_TASKS", "3000")) // 300, 2)

KINDS = (
    "plain", "plain", "fails", "second time", "gives up", "limited", "hangs",
    "hangs with fallback", "async", "async second time", "items", "items again",
    "items that hang", "cached",
)  # fmt: skip
LIMIT = "60ms"


class Tasks:
    """The tasks of one flow: what they do, and what should come of them."""

    def __init__(self, rng, count):
        self.go = threading.Event()  # what hangs, hangs until then
        self.calls = Counter()
        self.lock = threading.Lock()
        self.kinds = []
        self.parents = []
        for number in range(count):
            some = rng.sample(range(number), min(number, rng.choice([0, 1, 1, 2, 3])))
            kind = rng.choice(KINDS)
            if kind.startswith("items"):
                some = some[:1]
            if kind.startswith("items") and not some:
                kind = "plain"
            self.kinds.append(kind)
            self.parents.append(sorted(some))
        self.text = self._text()
        self.registry = TaskRegistry()
        for number, kind in enumerate(self.kinds):
            self._add(number, kind)

    def _text(self):
        lines = [f"    t{number}" for number in range(len(self.kinds))]
        for number, (kind, parents) in enumerate(
            zip(self.kinds, self.parents, strict=True)
        ):
            each = "[*]" if kind.startswith("items") else ""
            lines += [f"    t{parent} -> t{number}{each}" for parent in parents]
        return "flow F:\n" + "\n".join(lines)

    def count(self, key):
        with self.lock:
            self.calls[key] += 1
            return self.calls[key]

    def _add(self, number, kind):
        def plain(*values):
            self.count(number)
            return [number, number]

        def fails(*values):
            self.count(number)
            raise ValueError(number)

        def second_time(*values):
            if self.count(number) == 1:
                raise OSError(number)
            return [number, number]

        def hangs(*values):
            self.count(number)
            self.go.wait(60)
            return "late"

        async def awaited(*values):
            self.count(number)
            return [number, number]

        async def awaited_again(*values):
            if self.count(number) == 1:
                raise OSError(number)
            return [number, number]

        def item(value):
            self.count(number)
            return value

        def item_again(value):
            if self.count((number, threading.get_ident())) % 2:
                raise OSError(number)
            return value

        again = {"retries": 200, "retry_delay": 0, "jitter": 0}
        add = self.registry.task
        made = {
            "plain": (plain, {}),
            "cached": (plain, {"cache": True}),
            "fails": (fails, {}),
            "second time": (second_time, {"retries": 1, "retry_delay": "1ms"}),
            "gives up": (fails, {"retries": 2, "retry_delay": 0}),
            "limited": (plain, {"timeout": "1m"}),
            "hangs": (hangs, {"timeout": LIMIT}),
            "hangs with fallback": (
                hangs,
                {"timeout": LIMIT, "fallback": lambda error, inputs: [number, number]},
            ),
            "async": (awaited, {}),
            "async second time": (awaited_again, {"retries": 1, "retry_delay": 0}),
            "items": (item, {"timeout": "1m"}),
            "items again": (item_again, again),
            "items that hang": (hangs, {"timeout": LIMIT}),
        }[kind]
        add(name=f"t{number}", **made[1])(made[0])

    def good(self):
        """Which tasks complete, if all run that can."""
        found = []
        for number, kind in enumerate(self.kinds):
            reached = all(found[parent] for parent in self.parents[number])
            bad = ("fails", "gives up", "hangs", "items that hang")
            found.append(reached and kind not in bad)
        return found

    def check(self, result):
        good = self.good()
        for number, kind in enumerate(self.kinds):
            record = result.tasks[f"t{number}"]
            reached = all(good[parent] for parent in self.parents[number])
            if good[number]:
                assert record.status == "COMPLETED", (number, kind, record)
                if kind == "items":
                    parent = self.parents[number][0]
                    assert result[f"t{number}"] == list(result[f"t{parent}"])
                elif kind != "items again":
                    assert result[f"t{number}"] == [number, number]
            elif reached:
                assert record.status == "FAILED", (number, kind, record)
            else:
                assert record.status == "SKIPPED", (number, kind, record)
                assert not self.calls[number]
            if kind == "gives up" and reached:
                assert self.calls[number] == record.attempts == 3
            if kind in ("second time", "async second time") and reached:
                assert self.calls[number] == record.attempts == 2


EXECUTORS = {
    "one": lambda: fastflow.Executor(1),
    "own": lambda: fastflow.Executor(3),
    "threads": lambda: cf.ThreadPoolExecutor(3),
}


@pytest.mark.parametrize("kind", EXECUTORS)
@pytest.mark.parametrize(
    "options", [{}, {"max_workers": 2}, {"timeout": "1m"}], ids=str
)
def test_everything_at_once(kind, options):
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    rng = random.Random(f"{SEED} {kind} {options}")
    with EXECUTORS[kind]() as executor:
        for _ in range(RUNS):
            tasks = Tasks(rng, rng.randrange(1, 25))
            flow = Flow(tasks.text, registry=tasks.registry)
            try:
                result = flow.run(executor=executor, on_error="return", **options)
                tasks.check(result)
            finally:
                tasks.go.set()
        assert executor.submit(pow, 2, 5).result(60) == 32


@pytest.mark.parametrize("kind", EXECUTORS)
def test_after_a_failure_nothing_begins_and_nothing_is_lost(kind):
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    rng = random.Random(f"{SEED} {kind}")
    with EXECUTORS[kind]() as executor:
        for _ in range(RUNS):
            tasks = Tasks(rng, rng.randrange(1, 25))
            flow = Flow(tasks.text, registry=tasks.registry)
            try:
                result = flow.run(executor=executor)
            except fastflow.TaskError as error:
                result = error.result
                good = tasks.good()
                for number, record in enumerate(result.tasks.values()):
                    assert record.status != "RUNNING"
                    assert record.status != "COMPLETED" or good[number]
            else:
                tasks.check(result)
            finally:
                tasks.go.set()
            calls = dict(tasks.calls)
            assert executor.submit(pow, 2, 5).result(60) == 32
            assert dict(tasks.calls) == calls  # nothing has begun since


@pytest.mark.parametrize("kind", EXECUTORS)
def test_flow_functions(kind):
    print(f"FASTFLOW_STRESS_SEED={SEED}")
    rng = random.Random(f"{SEED} {kind} functions")
    with EXECUTORS[kind]() as executor:
        for _ in range(RUNS):
            tasks = Tasks(rng, rng.randrange(1, 25))
            kinds = tasks.kinds
            good = tasks.good()

            @fastflow.flow
            def body(tasks=tasks):
                handles = []
                for number, parents in enumerate(tasks.parents):
                    call = tasks.registry[f"t{number}"]
                    handles.append(call(*[handles[parent] for parent in parents]))
                found = []
                for handle in handles:
                    error = handle.exception(60)
                    found.append(handle.result() if error is None else error)
                return found

            try:
                found = body.with_options(executor=executor)()
            finally:
                tasks.go.set()
            for number, value in enumerate(found):
                if good[number] and not kinds[number].startswith("items"):
                    assert value == [number, number], (number, kinds[number])
                elif not good[number]:
                    assert isinstance(value, fastflow.TaskError), (number, kinds)
