"""Timelines as SVG."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastflow.base.drawn import Drawn
from fastflow.seeing.pictures.bins import coverage, runs_of, stacked
from fastflow.seeing.pictures.gantt import gantt_svg
from fastflow.seeing.texts import time_text
from fastflow.seeing.trace import COUNTER, SPAN, Failure, Kind, Lane, State, Trace

SVG = "{http://www.w3.org/2000/svg}"


def trace_of(count, lanes=4, seed=1, labels=("load", "clean", "save")):
    """Lanes that are busy one call after another, now and then waiting for the lock."""
    rng = np.random.default_rng(seed)
    spans = np.zeros(count, SPAN)
    spans["lane"] = np.arange(count) % lanes
    took = rng.integers(1_000, 30_000, count)
    for lane in range(lanes):
        mine = spans["lane"] == lane
        ends = np.cumsum(took[mine] + 500)
        spans["start"][mine], spans["end"][mine] = ends - took[mine], ends
    spans["label"] = rng.integers(0, len(labels), count)
    spans["item"] = -1
    spans["kind"] = np.where(rng.random(count) < 0.1, Kind.LOCK, Kind.CALL)
    spans.sort(order="start")
    workers = tuple(Lane(f"worker {n}", "worker") for n in range(lanes))
    return Trace(spans, labels, workers)


def texts(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]


def titles(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}title")]


def test_each_lane_and_span_is_there():
    trace = trace_of(40)
    svg = gantt_svg(trace)
    shown = texts(svg)
    for lane in trace.lanes:
        assert any(text.endswith(lane.name) for text in shown)
    rects = ET.fromstring(svg).iter(f"{SVG}rect")
    bars = [
        r for r in rects if r.get("height") in ("12", "20") and r.get("rx") == "1.5"
    ]
    assert len(bars) == 40
    assert any(title.startswith("load: ") for title in titles(svg))
    assert "waiting for the interpreter lock" in shown


def test_many_spans_are_a_small_picture():
    trace = trace_of(300_000, lanes=8)
    svg = gantt_svg(trace)
    assert len(svg) < 400_000
    assert ET.fromstring(svg).get("role") == "img"
    small = gantt_svg(trace, width=400)
    assert len(small) < len(svg)
    assert 'width="400"' in small


def test_names_are_texts():
    name = '<script>alert("x")</script>\x1b]0;\x00'
    trace = trace_of(30, labels=(name, name + "2"))
    trace = Trace(trace.spans, trace.labels, (Lane(name, "worker"),) * 4)
    root = ET.fromstring(gantt_svg(trace, title=name))
    allowed = {"svg", "g", "rect", "text", "path", "title", "desc", "style"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed


def test_failures_are_marked():
    trace = trace_of(20)
    trace.spans["state"][3] = State.FAILED
    svg = gantt_svg(
        Trace(trace.spans, trace.labels, trace.lanes, failures=(Failure(3, "E", "m"),))
    )
    assert "failed" in texts(svg)
    assert any(title.endswith(", failed") for title in titles(svg))
    many = trace_of(20_000)
    assert 'class="bad"' not in gantt_svg(many)
    many.spans["state"][77] = State.FAILED
    assert 'class="bad"' in gantt_svg(many)


def test_spans_that_overlap_have_rows_of_their_own():
    spans = np.zeros(5, SPAN)
    spans["start"], spans["end"] = np.arange(5) * 100, np.arange(5) * 100 + 450
    spans["item"] = np.arange(5)
    svg = gantt_svg(Trace(spans, ("wait",), (Lane("loop", "loop"),)))
    rows = {
        r.get("y")
        for r in ET.fromstring(svg).iter(f"{SVG}rect")
        if r.get("rx") == "1.5"
    }
    assert len(rows) == 5
    assert any(title.startswith("wait [4]") for title in titles(svg))


def test_counters_are_below():
    counter = np.zeros(5_000, COUNTER)
    counter["time"] = np.arange(5_000) * 100
    counter["value"] = np.arange(5_000) % 7
    trace = trace_of(40)
    trace = Trace(trace.spans, trace.labels, trace.lanes, counters={"ready": counter})
    svg = gantt_svg(trace)
    assert any(text.endswith("ready") for text in texts(svg))
    assert "≤ 6" in texts(svg)
    assert len(svg) < 60_000


def test_many_lanes_end_in_one():
    svg = gantt_svg(trace_of(5_000, lanes=90))
    assert any(text.endswith("42 more lanes") for text in texts(svg))


def test_nothing_is_said_so():
    assert "nothing was recorded" in texts(gantt_svg(Trace(np.zeros(0, SPAN))))


@pytest.mark.parametrize("nanoseconds", [1, 900, 10**6, 10**9, 6 * 10**10, 10**14])
def test_axes_have_few_round_marks(nanoseconds):
    spans = np.zeros(1, SPAN)
    spans["end"] = nanoseconds
    spans["item"] = -1
    shown = texts(gantt_svg(Trace(spans, ("a",), (Lane("w", "worker"),))))
    marks = [text for text in shown if text[0].isdigit()]
    assert "0" in marks
    assert 2 <= len(marks) <= 14


@given(
    st.lists(
        st.tuples(st.floats(0, 50), st.floats(0, 50)).map(sorted),
        min_size=1,
        max_size=30,
    )
)
def test_coverage_counts_every_part(spans):
    starts, ends = np.array(spans, float).T
    found = coverage(starts, ends, 50)
    for pixel in range(50):
        parts = np.minimum(ends, pixel + 1) - np.maximum(starts, pixel)
        assert found[pixel] == pytest.approx(np.maximum(parts, 0).sum(), abs=1e-6)


@given(st.lists(st.integers(-1, 2)))
def test_runs_are_what_was_there(values):
    again = [-1] * len(values)
    for begin, length, value in runs_of(np.array(values, np.int64)):
        again[begin : begin + length] = [value] * length
    assert again == values


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 20)), max_size=20))
def test_rows_have_no_overlap(pairs):
    pairs.sort()
    starts = np.array([start for start, _ in pairs], np.int64)
    ends = np.array([start + length for start, length in pairs], np.int64)
    rows = stacked(starts, ends, 20)
    for row in set(rows):
        mine = [n for n, found in enumerate(rows) if found == row]
        assert all(ends[a] <= starts[b] for a, b in itertools.pairwise(mine))
    if len(pairs) > 1 and max(rows) > 0:
        assert stacked(starts, ends, max(rows)) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ns"), (5e-9, "5 ns"), (1.5e-6, "1.5 µs"), (0.0123, "12.3 ms"),
        (0.9999, "1 s"), (59.94, "59.9 s"), (90, "1 min 30 s"), (3600, "1 h"),
        (5400, "1 h 30 min"), (100, "1 min 40 s"), (0.1, "100 ms"),
    ],
)  # fmt: skip
def test_times_have_three_digits(seconds, text):
    assert time_text(seconds) == text


def test_notebooks_show_a_trace_as_its_timeline():
    trace = trace_of(40)
    assert trace._repr_svg_() == gantt_svg(trace)
    assert trace._repr_html_().startswith(f"<div><div>{len(trace.calls)} calls in ")


def test_what_has_a_trace_is_shown_by_it():
    class Recording(Drawn):
        open = True

        @property
        def data(self):
            if self.open:
                raise RuntimeError("it goes on")
            return trace_of(40)

    recording = Recording()
    assert recording._repr_svg_() is None
    assert recording._repr_html_() is None
    recording.open = False
    assert recording._repr_svg_() == gantt_svg(trace_of(40))


def test_a_node_that_is_called_once_has_no_number():
    spans = np.zeros(3, SPAN)
    spans["start"], spans["end"] = [0, 10, 20], [9, 19, 29]
    spans["item"], spans["label"] = [0, 1, 2], [0, 1, 1]
    svg = gantt_svg(Trace(spans, ("load", "part"), (Lane("w", "worker"),)))
    assert [title.partition(":")[0] for title in titles(svg)][-3:] == [
        "load", "part [1]", "part [2]",
    ]  # fmt: skip
