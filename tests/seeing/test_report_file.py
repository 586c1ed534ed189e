"""The file of a report, read by a program: valid, self-contained, with all numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from fastflow.seeing.report import data as report_data
from fastflow.seeing.report import write_report
from fastflow.seeing.report.data import by_lane
from fastflow.seeing.report.summary import summary_of
from fastflow.seeing.report.text import shown_time
from fastflow.seeing.trace import COUNTER, SPAN, Kind, Lane, Trace
from seeing import report_traces as traces

VOID = {"meta", "link", "input", "img", "br"}
MAKERS = [
    traces.durable, traces.processes, traces.hostile, traces.failed, traces.one,
    traces.empty, lambda: traces.many(10_000),
]  # fmt: skip


class Parsed(HTMLParser):
    """Tags in order, and the text within each script."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.scripts, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.texts.append(data)


def written(trace, tmp_path, **options):
    path = tmp_path / "report.html"
    write_report(trace, path, **options)
    return path.read_text("utf-8")


def unfolded(values):
    return np.where(values % 2 == 1, -((values + 1) // 2), values // 2)


def read_columns(data, at, columns):
    """The columns of a report as their names, forms and integers."""
    found = {}
    for column in columns:
        rows, width = column["rows"], column["width"]
        planes = np.frombuffer(data, np.uint8, rows * width, at).reshape(width, rows)
        at += rows * width
        if column["form"] == "real":
            values = np.ascontiguousarray(planes.T).view("<f4").ravel()
        else:
            values = np.zeros(rows, np.int64)
            for plane in range(width):
                values |= planes[plane].astype(np.int64) << (8 * plane)
        found[column["name"]] = (column["form"], values)
    assert at == len(data)
    return found


def signed(form, values):
    plain = unfolded(values)
    return np.cumsum(plain) if form == "changes" else plain


def decoded(page):
    """Header, spans and counters of a page, read as docs of report/data.py tell."""
    data = zlib.decompress(base64.b64decode(Parsed(page).scripts[0]))
    size = int.from_bytes(data[:4], "little")
    header = json.loads(data[4 : 4 + size])
    columns = read_columns(data, 4 + size, header["columns"])
    unit, coarse, n = header["unit"], header["coarse"], header["spans"]
    spans = np.zeros(n, SPAN)
    spans["lane"] = np.repeat(np.arange(len(header["counts"])), header["counts"])
    last = 0
    for i in range(n):
        if i and spans["lane"][i] != spans["lane"][i - 1]:
            last = 0
        spans["start"][i] = last + unfolded(columns["start"][1][i])
        last = spans["end"][i] = spans["start"][i] + unfolded(columns["end"][1][i])
    form, values = columns["ready"]
    known = values > 0
    plain = np.where(known, unfolded(np.maximum(values, 1) - 1), 0)
    if form == "before":
        ready = spans["start"] * unit - plain * coarse
    else:
        ready = plain * coarse
        for i in range(1, n):
            ready[i] += ready[i - 1] if known[i - 1] else 0
    spans["ready"] = np.where(known, ready, -1)
    values = columns["cpu"][1]
    less = unfolded(np.maximum(values, 1) - 1)
    cpu = (spans["end"] - spans["start"]) * unit - less * coarse
    spans["cpu"] = np.where(values > 0, cpu, -1)
    spans["start"] *= unit
    spans["end"] *= unit
    for name in ("item", "label", "run"):
        spans[name] = signed(*columns[name])
    for name in ("attempt", "kind", "state"):
        spans[name] = columns[name][1]
    counters = {}
    for name in header["counters"]:
        rows = np.zeros(len(columns[f"{name}.value"][1]), COUNTER)
        rows["time"] = signed(*columns[f"{name}.time"]) * unit
        rows["value"] = columns[f"{name}.value"][1]
        counters[name] = rows
    return header, spans, counters


@pytest.mark.parametrize("make", MAKERS)
def test_the_page_is_valid_and_names_no_other_place(make, tmp_path):
    page = written(make(), tmp_path)
    parsed = Parsed(page)
    assert parsed.open == []
    assert len(parsed.scripts) == 2
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not re.search(r"https?:", page)
    for _, attrs in parsed.tags:
        for name in ("src", "href", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:,"))
    code = parsed.scripts[1]
    assert '"use strict"' in code
    for word in ("innerHTML", "eval(", "new Function", "document.write", "fetch("):
        assert word not in code


def test_the_policy_lets_only_its_own_script_run(tmp_path):
    parsed = Parsed(written(traces.one(), tmp_path))
    (policy,) = [a["content"] for _, a in parsed.tags if "http-equiv" in a]
    digest = hashlib.sha256(parsed.scripts[1].encode()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


@pytest.mark.parametrize("make", MAKERS)
def test_the_data_are_the_trace(make, tmp_path):
    trace = make()
    header, spans, counters = decoded(written(trace, tmp_path))
    expected = trace.spans[by_lane(trace.spans)]
    assert header["unit"] == 1
    for name in SPAN.names:
        assert spans[name].tolist() == expected[name].tolist(), name
    assert header["labels"] == list(trace.labels)
    assert header["lanes"] == [list(lane) for lane in trace.lanes]
    assert header["dropped"] == trace.dropped
    assert counters.keys() == trace.counters.keys()
    for name, rows in trace.counters.items():
        assert counters[name]["time"].tolist() == rows["time"].tolist()
        assert np.allclose(counters[name]["value"], rows["value"], rtol=1e-6)
    order = by_lane(trace.spans)
    assert len(header["failures"]) == len(trace.failures)
    for row, failure in zip(header["failures"], trace.failures, strict=True):
        assert order[row[0]] == failure.span
        texts = [header["texts"][number] for number in row[1:]]
        assert texts == [failure.type, failure.message, failure.traceback]


def test_random_columns_survive(tmp_path):
    rng = np.random.default_rng(7)
    n = 5_000
    spans = np.zeros(n, SPAN)
    spans["start"] = np.sort(rng.integers(0, 1 << 45, n))
    spans["end"] = spans["start"] + rng.integers(0, 1 << 40, n)
    spans["ready"] = np.where(rng.random(n) < 0.3, -1, rng.integers(0, 1 << 45, n))
    spans["cpu"] = np.where(rng.random(n) < 0.3, -1, rng.integers(0, 1 << 41, n))
    for name, high in (("item", 1 << 40), ("label", 900), ("run", 3)):
        spans[name] = rng.integers(-1, high, n)
    for name, high in (("lane", 7), ("attempt", 400), ("kind", 7), ("state", 6)):
        spans[name] = rng.integers(0, high, n)
    lanes = tuple(Lane(f"lane {n}", "loop") for n in range(9))
    _, found, _ = decoded(written(Trace(spans, ("x",) * 900, lanes), tmp_path))
    assert (found == spans[by_lane(spans)]).all()


def test_counters_of_many_samples_keep_their_peaks(tmp_path):
    rows = np.zeros(300_000, COUNTER)
    rows["time"] = np.arange(len(rows)) * 100
    rows["value"] = 1.0
    rows["value"][123_456], rows["value"][200_001] = 99.0, -5.0
    _, _, found = decoded(
        written(Trace(np.zeros(0, SPAN), counters={"ready": rows}), tmp_path)
    )
    kept = found["ready"]
    assert len(kept) <= 70_000
    assert (kept["value"].max(), kept["value"].min()) == (99.0, -5.0)
    assert kept["time"][kept["value"].argmax()] == 12_345_600
    assert kept["time"][-1] == rows["time"][-1]


def test_names_are_text(tmp_path):
    page = written(traces.hostile(), tmp_path, title=traces.BAD_NAMES[0])
    parsed = Parsed(page)
    assert [tag for tag, _ in parsed.tags if tag == "script"] == ["script"] * 2
    assert not [tag for tag, _ in parsed.tags if tag == "img"]
    assert traces.BAD_NAMES[0] in parsed.texts
    assert not any("onerror" in attrs for _, attrs in parsed.tags)
    assert all(c.isprintable() or c == "\n" for c in page)


def test_dropped_spans_and_failed_runs_are_said(tmp_path):
    text = "".join(Parsed(written(traces.hostile(), tmp_path)).texts)
    assert "12,345 spans were dropped" in text
    assert "It has failed. flow etl: TaskError: task 'fetch' has failed" in "".join(
        Parsed(written(traces.failed(), tmp_path)).texts
    )


def test_what_is_known_of_the_machine_is_told(tmp_path):
    known = {"cpus": 8, "gil": False, "blas": [8, 4], "overhead": {"map": 81.25}}
    trace = Trace(np.zeros(0, SPAN), machine={**known, "python": "", "odd": None})
    texts = Parsed(written(trace, tmp_path)).texts
    at = texts.index("Machine", texts.index("Dropped spans"))
    assert texts[at + 1 : at + 9] == [
        "Processors", "8", "Interpreter lock", "no", "Threads of BLAS", "8, 4",
        "Overhead of a call, ns", "map 81.2",
    ]  # fmt: skip
    assert "odd" not in texts


def test_the_title_is_given_or_that_of_the_run(tmp_path):
    assert "<title>order-17</title>" in written(traces.durable(), tmp_path)
    assert "<title>mine</title>" in written(traces.durable(), tmp_path, title="mine")
    assert "<title>What fastflow did</title>" in written(traces.one(), tmp_path)


def test_a_lane_that_is_not_there_is_an_error(tmp_path):
    spans = np.zeros(1, SPAN)
    with pytest.raises(ValueError, match="lanes from 0 to 0, and the trace has 0"):
        write_report(Trace(spans), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_report(traces.one(), tmp_path / "no" / "report.html")


def test_the_summary_counts_nested_calls_once():
    ms = traces.MS
    trace = Trace(
        traces.spans_of(
            [
                {"start": 0, "end": 10 * ms},
                {"start": 1 * ms, "end": 9 * ms},
                {"start": 2 * ms, "end": 3 * ms},
                {"start": 10 * ms, "end": 14 * ms, "cpu": 3 * ms},
                {"start": 1 * ms, "end": 9 * ms, "lane": 1, "state": 2},
                {"start": 0, "end": 20 * ms, "lane": 1, "kind": Kind.IDLE},
            ]
        ),
        labels=("f",),
        lanes=(Lane("worker 0", "worker"), Lane("worker 1", "worker")),
    )
    found = summary_of(trace)
    assert (found.calls, found.retried, found.workers) == (5, 1, 2)
    assert found.work == pytest.approx(0.022)
    assert found.cpu is None  # that of one call is not that of all
    assert found.at_a_time == pytest.approx(1.1)
    assert found.utilisation == pytest.approx(0.55)


def test_processor_time_is_told_if_all_calls_were_measured():
    found = summary_of(traces.many(100))
    assert 0 < found.cpu < found.work


def test_calls_of_an_event_loop_keep_no_worker_busy():
    found = summary_of(traces.processes())
    assert found.work > found.busy > 0
    assert summary_of(traces.empty()).utilisation is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (3e-9, "3 ns"), (1.5e-6, "1.50 µs"), (0.0123, "12.3 ms"),
        (0.1234, "123 ms"), (59.0, "59.0 s"), (150, "2 min 30 s"), (7260, "2 h 1 min"),
        (3 * 86400, "3.0 d"),
    ],
)  # fmt: skip
def test_times(seconds, text):
    assert shown_time(seconds) == text


def test_rounded_times_are_near(tmp_path, monkeypatch):
    monkeypatch.setattr(report_data, "_unit_of", lambda spans: 200)
    trace = traces.many(5_000)
    header, spans, _ = decoded(written(trace, tmp_path))
    expected = trace.spans[by_lane(trace.spans)]
    assert (header["unit"], header["coarse"]) == (200, 2000)
    for name, most in (("start", 200), ("end", 200), ("ready", 2200), ("cpu", 2200)):
        assert np.abs(spans[name] - expected[name]).max() < most
    assert spans["item"].tolist() == expected["item"].tolist()


@pytest.mark.slow
def test_a_million_spans_are_less_than_ten_megabytes(tmp_path):
    trace = traces.many(1_000_000, 8)
    path = tmp_path / "report.html"
    write_report(trace, path)
    assert path.stat().st_size < 10_000_000
    data = zlib.decompress(base64.b64decode(Parsed(path.read_text()).scripts[0]))
    size = int.from_bytes(data[:4], "little")
    assert json.loads(data[4 : 4 + size])["unit"] <= 1000
