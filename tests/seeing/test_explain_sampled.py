"""What is said of runs of which not all spans were kept."""

from __future__ import annotations

import pytest

import fastflow
from fastflow.seeing.explain import explain
from seeing.recorded_calls import check_trace, square

CALLS = 3_000
SIZE = 64


def many(executor):
    fastflow.map(square, range(CALLS), executor=executor)


def streamed(executor):
    list(fastflow.imap(square, range(CALLS), executor=executor))


def submitted(executor):
    for future in [executor.submit(square, i) for i in range(CALLS)]:
        future.result()


def graph(executor):
    made = fastflow.Graph()
    for i in range(CALLS):
        made.add(square, i)
    made.run(executor=executor)


def flow(executor):
    registry = {"items": lambda: range(CALLS - 1), "square": square}
    made = fastflow.Flow("flow F:\n    items -> square[*]", registry=registry)
    made.run(executor=executor)


def wide_flow(executor):
    names = [f"square_{i}" for i in range(CALLS)]
    text = "flow F:\n" + "\n".join(f"    {name}" for name in names)
    registry = dict.fromkeys(names, lambda: square(1))
    fastflow.Flow(text, registry=registry).run(executor=executor)


def flow_function(executor):
    task = fastflow.task(square)

    @fastflow.flow
    def body():
        return [task(i) for i in range(CALLS)]

    body.with_options(executor=executor)()


@pytest.mark.parametrize(
    "body", [many, streamed, submitted, graph, flow, wide_flow, flow_function]
)
def test_it_says_that_they_are_a_sample_and_takes_exact_totals(body):
    with (
        fastflow.Executor(1) as executor,
        fastflow.record(size=SIZE, counters=False) as recording,
    ):
        body(executor)
    trace = recording.data
    check_trace(trace)
    assert trace.dropped > 0
    assert sum(total.count for total in trace.totals) == CALLS
    found = explain(trace)
    assert found.tasks == CALLS
    (note,) = [note for note in found.notes if note.startswith("sampled: ")]
    kept = len(trace.spans)
    assert f"{kept:,} of {kept + trace.dropped:,} spans" in note
    assert "counts and times in calls are exact" in note
    # The time of those that were not kept is known, too.
    spent = sum(total.time for total in trace.totals) / 1e9
    shown = found.account["in calls"] + found.account["waiting for a core"]
    assert shown == pytest.approx(min(spent, found.wall * found.workers), rel=0.05)
    assert f"{CALLS:,} calls" in found.text()
