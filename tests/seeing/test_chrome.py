"""Files for tools that read the JSON of Chrome's tracing."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pytest
from hypothesis import given, settings

from fastflow.seeing.trace import Kind
from fastflow.seeing.traces.perfetto import write_trace
from seeing import explain_traces
from seeing.explain_traces import with_counter
from seeing.test_explain_properties import odd_traces, simulations


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def written(trace, folder):
    path = folder / "run.json"
    write_trace(trace, path)
    return json.loads(path.read_text("ascii"))["traceEvents"]


def by_kind(events):
    return Counter(event["ph"] for event in events)


def test_events_of_a_run(folder):
    trace = with_counter(explain_traces.serial_section(), ready=2.0)
    events = written(trace, folder)
    kinds = by_kind(events)
    assert kinds["X"] == len(trace.spans)
    assert kinds["C"] == 10
    assert kinds["s"] == kinds["f"] == kinds["i"] == len(trace.calls)
    merge = next(e for e in events if e.get("name") == "merge" and e["ph"] == "X")
    [row] = trace.calls[trace.calls["label"] == trace.labels.index("merge")]
    assert merge["ts"] == pytest.approx(row["start"] / 1000)
    assert merge["dur"] == 2_000
    assert merge["cat"] == "call.done"
    names = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert names == {lane.name for lane in trace.lanes} | {"submitted"}


def test_packed_it_is_the_same(folder):
    trace = explain_traces.healthy()
    plain = written(trace, folder)
    path = folder / "run.json.gz"
    write_trace(trace, path)
    first = path.read_bytes()
    assert json.loads(gzip.decompress(first))["traceEvents"] == plain
    write_trace(trace, path)
    assert path.read_bytes() == first


@settings(deadline=None)
@given(simulation=simulations())
def test_slices_of_a_thread_nest(folder, simulation):
    trace = simulation.run()
    open_: dict[int, list] = {}
    for event in written(trace, folder):
        if event["ph"] == "X":
            begin = round(event["ts"] * 1000)
            end = begin + round(event["dur"] * 1000)
            stack = open_.setdefault(event["tid"], [])
            while stack and stack[-1] <= begin:
                stack.pop()
            assert not stack or end <= stack[-1]
            stack.append(end)


@settings(deadline=None)
@given(trace=odd_traces())
def test_odd_traces_are_json(folder, trace):
    events = written(trace, folder)
    kinds = by_kind(events)
    assert kinds["X"] == len(trace.spans) - len(trace.of_kind(Kind.STEAL))
    assert kinds["s"] == kinds["f"]
