"""Files for Perfetto, read back by the rules of its format."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from fastflow.seeing.trace import SPAN, Dag, Kind, Lane, Run, Trace
from fastflow.seeing.traces.perfetto import write_trace
from fastflow.seeing.traces.protobuf import Messages, field, varint
from seeing import explain_traces
from seeing.explain_traces import Simulation, Task, machine, with_counter
from seeing.test_explain_properties import odd_traces, simulations

pytest.importorskip("perfetto", reason="[test-trace] is not installed")
from seeing.perfetto_model import read


def written(trace, folder):
    path = folder / "run.pftrace"
    write_trace(trace, path)
    return read(path.read_bytes())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("traces")


def diamond():
    tasks = [
        Task("load", 100),
        Task("short", 100, after=(0,)),
        Task("long", 300, after=(0,)),
        Task("save", 100, after=(1, 2)),
    ]
    trace = Simulation(tasks, 2, machine=machine(2)).run()
    names = ("load", "short", "long", "save")
    edges = np.array([(0, 1), (0, 2), (1, 3), (2, 3)])
    dag = Dag(names, edges, (1,) * 4, tuple(map(trace.labels.index, names)))
    return replace(trace, runs=(trace.runs[0]._replace(kind="flow", dag=dag),))


def test_slices_have_names_times_and_categories(folder):
    trace = replace(diamond(), began=1_700_000_000.0)
    found = written(trace, folder)
    calls = {s.name: s for s in found.slices if s.category == "call.done"}
    assert set(calls) == {"load", "short", "long", "save"}
    began = 1_700_000_000 * 10**9
    assert (calls["load"].start, calls["load"].end) == (began, began + 100_000)
    assert calls["save"].start == began + 400_000
    assert set(found.clocks.values()) == {began}
    idle = [s for s in found.slices if s.category == "idle.done"]
    assert {s.name for s in idle} == {"idle"}


def test_arrows_lead_from_calls_to_those_that_waited_for_them(folder):
    found = written(diamond(), folder)
    pairs = sorted((one[1], other[1]) for one, other in found.flows)
    assert pairs == [
        ("load", "long"),
        ("load", "short"),
        ("long", "save"),
        ("short", "save"),
    ]
    assert found.instants == []


def test_a_fan_in_has_an_arrow_from_the_call_that_was_waited_for(folder):
    tasks = [Task("each", 100 + n) for n in range(9)]
    tasks.append(Task("sum", 50, after=tuple(range(9))))
    trace = Simulation(tasks, 3, machine=machine(3)).run()
    dag = Dag(("each", "sum"), np.array([(0, 1)]), (9, 1), (0, 1))
    trace = replace(trace, runs=(trace.runs[0]._replace(kind="flow", dag=dag),))
    [((_, name, start), (_, other, _))] = written(trace, folder).flows
    assert (name, other) == ("each", "sum")
    calls = trace.calls[trace.calls["label"] == 0]
    assert start == calls["start"][np.argmax(calls["end"])]


def test_arrows_lead_from_submissions_to_calls(folder):
    trace = explain_traces.healthy()
    found = written(trace, folder)
    assert len(found.flows) == len(found.instants) == len(trace.calls)
    for (track, name, ready), (_, other, start) in found.flows:
        assert found.tracks[track].name == "submitted"
        assert name == other == "work"
        assert ready <= start
    assert sorted(ready for (_, _, ready), _ in found.flows) == sorted(
        trace.calls["ready"]
    )


def test_counters(folder):
    trace = with_counter(explain_traces.healthy(), ready=3.0, running=1.5)
    found = written(trace, folder)
    for name in ("ready", "running"):
        [track] = [n for n, t in found.tracks.items() if t.name == name]
        assert found.tracks[track].HasField("counter")
        counter = trace.counters[name]
        assert found.counters[track] == list(
            zip(counter["time"].tolist(), counter["value"].tolist(), strict=True)
        )


def test_a_wait_within_a_call_is_below_it(folder):
    trace = explain_traces.blocked_workers()
    found = written(trace, folder)
    depths = {s.category: s.depth for s in found.slices}
    assert depths["blocked.done"] == 1
    assert depths["call.done"] == 0


def test_workers_of_a_process_are_below_it(folder):
    trace = explain_traces.sending()
    lanes = tuple(lane._replace(pid=100 + n // 2) for n, lane in enumerate(trace.lanes))
    found = written(replace(trace, lanes=lanes), folder)
    tracks = found.tracks
    for track in {s.track for s in found.slices}:
        above = tracks[tracks[track].parent_uuid]
        assert above.process.pid in (100, 101)
        assert above.process.process_name == f"process {above.process.pid}"


def test_what_overlaps_is_on_tracks_of_its_own(folder):
    spans = np.zeros(100, SPAN)
    spans["start"] = np.arange(100) * 10
    spans["end"] = spans["start"] + 5 + np.arange(100) % 7 * 30
    spans["ready"] = -1
    found = written(Trace(spans, ("wait",), (Lane("loop", "loop"),)), folder)
    assert len(found.slices) == 100
    assert {s.depth for s in found.slices} == {0}
    by_track = {}
    for s in found.slices:
        by_track.setdefault(s.track, []).append((s.start, s.end))
    for times in by_track.values():
        times.sort()
        assert all(a[1] <= b[0] for a, b in pairwise(times))
    most = max(
        sum(s <= at < e for s, e in zip(spans["start"], spans["end"], strict=True))
        for at in spans["start"]
    )
    assert len(by_track) == most
    assert {track.name for track in found.tracks.values()} == {"loop"}


def test_names_are_written_once(folder):
    trace = replace(explain_traces.healthy(), labels=("an unusual name",))
    path = folder / "names.pftrace"
    write_trace(trace, path)
    assert path.read_bytes().count(b"an unusual name") == 1


def test_names_of_strangers(folder):
    trace = replace(explain_traces.healthy(), labels=("\ud800\x1b[31mé\n",))
    names = {s.name for s in written(trace, folder).slices}
    assert names == {"idle", "��[31mé�"}


def test_an_empty_trace(folder):
    found = written(Trace(np.zeros(0, SPAN)), folder)
    assert (found.slices, found.instants, found.flows) == ([], [], [])


def test_a_file_that_can_t_be_written_is_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "run.pftrace"
    path.write_bytes(b"before")
    from fastflow.seeing.traces import perfetto

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(perfetto, "_block", fail)
    with pytest.raises(MemoryError):
        write_trace(explain_traces.healthy(), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_more_events_than_are_made_at_a_time(folder, monkeypatch):
    from fastflow.seeing.traces import perfetto

    trace = diamond()
    whole = written(trace, folder)
    monkeypatch.setattr(perfetto, "_BLOCK", 3)
    assert written(trace, folder)[:4] == whole[:4]


def expected(trace):
    """How many slices of each kind a trace has."""
    kinds = trace.spans["kind"][trace.spans["kind"] != Kind.STEAL]
    return Counter(Kind(kind).name.lower() for kind in kinds)


def kinds_of(slices):
    return Counter(s.category.partition(".")[0] for s in slices)


@settings(deadline=None)
@given(simulation=simulations())
def test_counts_equal_those_of_the_run(folder, simulation):
    trace = with_counter(simulation.run(), ready=1.0)
    found = written(trace, folder)
    assert kinds_of(found.slices) == expected(trace)
    assert len(found.flows) == len(trace.calls)
    assert [len(values) for values in found.counters.values()] == [10]
    wanted = sorted(
        (s["start"], s["end"]) for s in trace.spans if s["kind"] != Kind.STEAL
    )
    assert sorted((s.start, s.end) for s in found.slices) == wanted


@settings(deadline=None)
@given(trace=odd_traces())
def test_odd_traces_can_be_read(folder, trace):
    found = written(trace, folder)
    assert kinds_of(found.slices) == expected(trace)
    steals = [row for row in found.instants if row[2].startswith("steal")]
    assert len(steals) == len(trace.of_kind(Kind.STEAL))


def test_a_run_inside_of_a_larger_one_keeps_its_arrows(folder):
    trace = diamond()
    runs = (Run("outer", "flow"), trace.runs[0]._replace(parent=0))
    spans = trace.spans.copy()
    spans["run"][spans["run"] == 0] = 1
    assert len(written(replace(trace, spans=spans, runs=runs), folder).flows) == 4


# --- the wire format ------------------------------------------------------------------


def test_varints():
    assert varint(0) == b"\0"
    assert varint(127) == b"\x7f"
    assert varint(300) == b"\xac\x02"
    assert len(varint(2**64 - 1)) == 10


def test_messages_are_the_same_as_one_by_one():
    values = np.array([0, 1, 127, 128, 300, 2**63 - 1])
    some = np.array([True, False, True, True, False, True])
    inner = Messages(6)
    inner.numbers(3, values, some)
    inner.doubles(44, values / 2)
    inner.fixed(47, np.array([5, 0, 5]), np.array([7, 8, 9]))
    inner.fixed(48, np.array([0]), np.array([1]))
    outer = Messages(6)
    outer.numbers(1, values)
    outer.messages(2, inner)
    tails = {0: [(47, 8), (48, 1)], 5: [(47, 7), (47, 9)]}
    wanted = b""
    for n, value in enumerate(values.tolist()):
        content = field(3, value) if some[n] else b""
        content += varint(44 << 3 | 1) + np.float64(value / 2).tobytes()
        for number, flow in tails.get(n, ()):
            content += varint(number << 3 | 1) + np.uint64(flow).tobytes()
        wanted += field(1, value) + field(2, content)
    assert outer.joined() == wanted
