"""What Perfetto makes of real runs: as many slices, arrows and values as there were.

Read twice: by Python classes of the format (`perfetto_model`), and by Perfetto's own
`trace_processor_shell`, where FASTFLOW_TRACE_PROCESSOR or the path names one: it is no
part of any package.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import Counter
from typing import NamedTuple

import pytest

import fastflow
from fastflow import Flow
from fastflow.durable import DurableRunner
from fastflow.seeing.trace import Kind, State
from seeing.recorded_calls import order, square

pytest.importorskip("perfetto", reason="[test-trace] is not installed")
from seeing.perfetto_model import read

PROGRAM = os.environ.get("FASTFLOW_TRACE_PROCESSOR") or shutil.which(
    "trace_processor_shell"
)


class Seen(NamedTuple):
    """Each as often as it is there."""

    slices: Counter
    """(category, ns at which it begins, ns that it takes)."""
    submitted: int
    steals: int
    arrows: Counter
    """(name of what it leaves, name of what it leads to)."""
    values: dict
    """By counter: how many, and their sum."""


def by_classes(path):
    found = read(path.read_bytes())
    names = {uuid: track.name for uuid, track in found.tracks.items()}
    return Seen(
        Counter((s.category, s.start, s.end - s.start) for s in found.slices),
        sum(names[track] == "submitted" for track, *_ in found.instants),
        sum(row[2].startswith("steal") for row in found.instants),
        Counter((one[1], other[1]) for one, other in found.flows),
        {
            names[track]: (len(rows), pytest.approx(sum(value for _, value in rows)))
            for track, rows in found.counters.items()
        },
    )


SLICES = """
    select s.category, s.ts, s.dur, coalesce(t.name, '') as track
    from slice s join track t on t.id = s.track_id
"""
ARROWS = """
    select a.name as one, b.name as other
    from flow f join slice a on a.id = f.slice_out join slice b on b.id = f.slice_in
"""
VALUES = """
    select t.name, count(*) as many, sum(c.value) as total
    from counter c join counter_track t on t.id = c.track_id group by t.name
"""
LOST = "select name, value from stats where severity != 'info' and value > 0"


def by_trace_processor(path):
    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

    config = TraceProcessorConfig(bin_path=PROGRAM)
    with TraceProcessor(trace=str(path), config=config) as processor:
        assert [(row.name, row.value) for row in processor.query(LOST)] == []
        rows = list(processor.query(SLICES))
        return Seen(
            Counter(
                (row.category, row.ts, row.dur)
                for row in rows
                if row.track != "submitted" and not row.category.startswith("steal")
            ),
            sum(row.track == "submitted" for row in rows),
            sum(row.category.startswith("steal") for row in rows),
            Counter((row.one, row.other) for row in processor.query(ARROWS)),
            {
                row.name: (row.many, pytest.approx(row.total))
                for row in processor.query(VALUES)
            },
        )


READERS = [
    by_classes,
    pytest.param(
        by_trace_processor,
        marks=pytest.mark.skipif(
            not PROGRAM, reason="FASTFLOW_TRACE_PROCESSOR names no program"
        ),
    ),
]


def check(recording, tmp_path, reader):
    """Compare a file with what it was made from; return what was seen, and the run."""
    trace, path = recording.data, tmp_path / "run.pftrace"
    recording.trace(path)
    seen = reader(path)
    began = int(trace.began * 1e9)
    assert seen.slices == Counter(
        (
            f"{Kind(span['kind']).name}.{State(span['state']).name}".lower(),
            began + int(span["start"]),
            int(span["end"] - span["start"]),
        )
        for span in trace.spans
        if span["kind"] != Kind.STEAL
    )
    assert seen.steals == len(trace.of_kind(Kind.STEAL))
    assert seen.values == {
        name: (len(counter), pytest.approx(counter["value"].sum()))
        for name, counter in trace.counters.items()
        if len(counter)
    }
    return seen, trace


@pytest.mark.parametrize("reader", READERS)
def test_a_run_of_the_pool(reader, tmp_path):
    with fastflow.Executor(2) as executor, fastflow.record() as recording:
        futures = [executor.submit(square, n) for n in range(500)]
        assert sum(f.result() for f in futures) == sum(map(square, range(500)))
    seen, trace = check(recording, tmp_path, reader)
    assert len(trace.calls) == seen.submitted == 500
    assert seen.arrows == {("square", "square"): 500}


def numbers():
    return list(range(998))


@pytest.mark.parametrize("reader", READERS)
def test_a_flow_of_a_thousand_tasks(reader, tmp_path):
    flow = Flow(
        "flow Squares:\n    numbers -> square[*] -> total\n",
        registry={"numbers": numbers, "square": square, "total": sum},
    )
    with fastflow.record() as recording:
        assert flow.run()["total"] == sum(map(square, numbers()))
    seen, trace = check(recording, tmp_path, reader)
    assert len(trace.calls) == 1_000
    # The sum has one from the call that it waited for to the end.
    assert seen.arrows == {("numbers", "square"): 998, ("square", "total"): 1}


@pytest.mark.parametrize("reader", READERS)
def test_a_run_on_processes(reader, tmp_path):
    with fastflow.ProcessExecutor(2) as executor, fastflow.record() as recording:
        futures = [executor.submit(square, n) for n in range(100)]
        assert sum(f.result() for f in futures) == sum(map(square, range(100)))
    seen, trace = check(recording, tmp_path, reader)
    assert len(trace.calls) == 100
    assert seen.arrows == {("square", "square"): seen.submitted}


@pytest.mark.parametrize("reader", READERS)
def test_a_durable_run_with_waits_and_retries(reader, tmp_path):
    with fastflow.record() as recording, DurableRunner() as runner:
        runner.run(order, list(range(20)), execution_name="order-1")
    seen, _ = check(recording, tmp_path, reader)
    states = Counter(category for category, *_ in seen.slices.elements())
    assert states["call.retried"] == 2
    assert states["pause.done"] >= 3  # between attempts, and the wait


async def visit(n):
    for _ in range(3):
        await asyncio.sleep(0)
    return n


@pytest.mark.parametrize("reader", READERS)
def test_async_calls_that_overlap(reader, tmp_path):
    flow = Flow(
        "flow Visits:\n    numbers -> visit[*] -> total\n",
        registry={"numbers": lambda: list(range(50)), "visit": visit, "total": sum},
    )
    with fastflow.record() as recording:
        assert flow.run()["total"] == sum(range(50))
    seen, trace = check(recording, tmp_path, reader)
    visits = trace.calls[trace.calls["label"] == trace.labels.index("visit")]
    assert (visits["start"][1:] < visits["end"][:-1]).any(), "nothing overlaps"
    assert len(visits) == 50
    assert sum(seen.arrows.values()) == 51
