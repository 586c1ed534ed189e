"""Traces of runs that are over, and the command that makes reports of them."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest
from click.testing import CliRunner

from fastflow import Flow
from fastflow.cli import main
from fastflow.durable import (
    DurableRunner,
    Duration,
    RetryDecision,
    StepConfig,
    durable_execution,
)
from fastflow.errors import FlowError
from fastflow.seeing.past import past
from fastflow.seeing.saved import load_trace, save_trace
from fastflow.seeing.trace import SPAN, Kind, State, Trace
from seeing import report_traces as traces


def retry(_error, attempt):
    if attempt >= 3:
        return RetryDecision.no_retry()
    return RetryDecision.retry(Duration.from_seconds(1))


@durable_execution
def order(event, context):
    tries = []

    def charge(_):
        tries.append(1)
        if len(tries) < 2:
            raise ConnectionError("no answer")
        return len(tries)

    context.step(charge, name="charge", config=StepConfig(retry_strategy=retry))
    context.wait(Duration.from_seconds(1), name="cool down")
    batch = context.map(
        event, lambda c, n, i, every: c.step(lambda _: n * n, name="square")
    )
    return batch.get_results()


@durable_execution
def broken(event, context):
    return context.step(lambda _: 1 // 0, name="divide")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "runs.db"
    with DurableRunner(path) as runner:
        assert runner.run(order, [1, 2, 3], execution_name="order-1") == [1, 4, 9]
        with pytest.raises(Exception, match="division"):
            runner.run(broken, 0, execution_name="order-2")
    return path


def named(trace, name, kind=Kind.CALL):
    label = trace.labels.index(name)
    return trace.spans[(trace.spans["label"] == label) & (trace.spans["kind"] == kind)]


def test_a_durable_execution_has_its_attempts_and_waits(store):
    trace = past(store, "order-1")
    assert (trace.runs[0].name, trace.runs[0].kind) == ("order-1", "durable")
    assert trace.runs[0].error is None
    attempts = named(trace, "charge")
    assert attempts["attempt"].tolist() == [1, 2]
    assert attempts["state"].tolist() == [State.RETRIED, State.DONE]
    (between,) = named(trace, "charge", Kind.PAUSE)
    assert attempts["end"][0] <= between["start"] <= between["end"]
    assert between["end"] <= attempts["start"][1]
    (wait,) = named(trace, "cool down", Kind.PAUSE)
    assert wait["end"] - wait["start"] > 500_000_000
    squares = named(trace, "square")
    assert sorted(squares["item"]) == [0, 1, 2]
    assert len(named(trace, "map-item", Kind.BLOCKED)) == 3
    (failure,) = trace.failures
    assert (failure.type, failure.message) == ("ConnectionError", "no answer")
    assert "in charge" in failure.traceback
    assert trace.spans[failure.span]["state"] == State.RETRIED
    assert (np.diff(trace.spans["start"]) >= 0).all()
    assert trace.spans["end"].max() <= trace.length


def test_a_failed_execution_says_why(store):
    trace = past(store, "order-2")
    assert (
        trace.runs[0].error == "ZeroDivisionError: integer division or modulo by zero"
    )
    (span,) = named(trace, "divide")
    assert span["state"] == State.FAILED
    assert trace.failures[0].type == "ZeroDivisionError"


def test_the_last_execution_is_taken_and_one_is_found_by_number(store):
    assert past(store).runs[0].name == "order-2"
    assert past(store, "1").runs[0].name == "order-1"


def test_an_execution_that_is_not_there_is_an_error_with_the_last_ones(store):
    with pytest.raises(FlowError, match=r"no execution 'x' .* 'order-2', 'order-1'$"):
        past(store, "x")
    with pytest.raises(FlowError, match="no execution '99'"):
        past(store, "99")


def test_a_store_without_executions_is_an_error(tmp_path):
    DurableRunner(tmp_path / "runs.db").close()
    with pytest.raises(FlowError, match="has no executions"):
        past(tmp_path / "runs.db")


@pytest.mark.parametrize(
    "text", ["", "hello", "[1, 2]", "{}", '{"format": "else"}', "{" * 100_000]
)
def test_what_is_no_run_is_an_error(tmp_path, text):
    (tmp_path / "file").write_text(text)
    with pytest.raises(FlowError, match=r"is no(t a saved trace| store)"):
        past(tmp_path / "file")


def test_files_that_cant_be_read_are_errors(tmp_path):
    with pytest.raises(FlowError, match="no such file"):
        past(tmp_path / "nothing.db")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(FlowError, match="not UTF-8"):
        past(tmp_path / "bytes")
    with pytest.raises(FlowError, match=r"has no records of flows"):
        past(tmp_path)


def test_a_record_of_a_flow_becomes_a_trace(tmp_path):
    flow = Flow(
        "flow etl:\n    load -> parse -> store\n",
        registry={"load": lambda: 1, "parse": lambda x: x // 0, "store": print},
    )
    result = flow.run(on_error="return", history=tmp_path)
    trace = past(tmp_path)
    assert trace.runs[0].name == "etl"
    assert set(trace.labels) == {"load", "parse"}
    assert named(trace, "load")["state"].tolist() == [State.DONE]
    assert named(trace, "parse")["state"].tolist() == [State.FAILED]
    assert trace.failures[0].type == "ZeroDivisionError"
    assert trace.seconds == pytest.approx(result.duration, abs=0.01)
    (file,) = tmp_path.iterdir()
    assert past(file).labels == trace.labels
    run = json.loads(file.read_text())["run"]
    assert past(tmp_path, run[:8]).runs[0].id == run
    with pytest.raises(FlowError, match=f"there is no run 'zz' .*{run[:12]}"):
        past(tmp_path, "zz")
    with pytest.raises(FlowError, match="one run only"):
        past(file, run)
    broken = {**json.loads(file.read_text()), "tasks": {"load": {}}}
    file.write_text(json.dumps(broken))
    with pytest.raises(FlowError, match="is not the record of a run: KeyError"):
        past(file)


MAKERS = [traces.durable, traces.processes, traces.failed, traces.one, traces.empty,
          lambda: traces.many(500)]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_a_saved_trace_is_the_same_when_it_is_loaded(make, tmp_path):
    trace, path = make(), tmp_path / "run.json"
    save_trace(trace, path)
    for found in (load_trace(path), past(path)):
        assert found.spans.dtype == SPAN
        assert found.spans.tolist() == trace.spans.tolist()
        for name in (
            "labels",
            "lanes",
            "failures",
            "began",
            "length",
            "dropped",
            "totals",
        ):
            assert getattr(found, name) == getattr(trace, name), name
        assert dict(found.machine) == dict(trace.machine)
        assert found.counters.keys() == trace.counters.keys()
        for name, rows in trace.counters.items():
            assert found.counters[name].tolist() == rows.tolist()
        for ours, theirs in zip(found.runs, trace.runs, strict=True):
            assert ours[:7] == theirs[:7]
            assert (ours.dag is None) == (theirs.dag is None)
            if ours.dag is not None:
                assert ours.dag.names == theirs.dag.names
                assert ours.dag.edges.tolist() == theirs.dag.edges.tolist()
                assert ours.dag.labels == theirs.dag.labels


def test_names_that_cant_be_encoded_are_saved_with_what_is_wrong_escaped(tmp_path):
    save_trace(traces.hostile(), tmp_path / "run.json")
    found = load_trace(tmp_path / "run.json")
    assert found.totals == traces.hostile().totals
    labels = found.labels
    assert labels[:6] == traces.BAD_NAMES[:6]
    assert labels[6].startswith("half \\ud800 of")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"version": 2}, "has version 2 of a saved trace, and this program knows 1"),
        ({"spans": {"start": [1]}}, "is damaged: KeyError"),
        ({"labels": []}, "of a span, the label is not there"),
        ({"lanes": []}, "of a span, the lane is not there"),
        ({"spans": "x"}, "is not a saved trace: Expected"),
        ({"dropped": "many"}, "is not a saved trace: Expected"),
    ],
)
def test_a_damaged_trace_is_an_error(tmp_path, change, message):
    path = tmp_path / "run.json"
    save_trace(traces.one(), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FlowError, match=message):
        load_trace(path)


def invoke(*arguments):
    return CliRunner().invoke(main, ["report", *map(str, arguments)])


def test_the_command_writes_a_report(store, tmp_path):
    page = tmp_path / "page.html"
    done = invoke(store, "--run", "order-1", "-o", page, "--title", "An <order>")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "order-1" in done.output
    assert "<title>An &lt;order&gt;</title>" in page.read_text("utf-8")
    save_trace(traces.many(100), tmp_path / "run.json")
    assert invoke(tmp_path / "run.json", "-o", page).exit_code == 0
    assert "<title>nightly</title>" in page.read_text("utf-8")


def test_the_command_says_what_is_wrong(store, tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    for arguments, words in (
        ((tmp_path / "no.db",), "there is no such file"),
        ((store, "--run", "none"), "the last ones are 'order-2', 'order-1'"),
        ((other,), "not a journal of fastflow"),
        ((store, "-o", tmp_path / "no" / "page.html"), "can't write"),
        ((store, "-o", tmp_path), "is a directory"),
    ):
        done = invoke(*arguments)
        assert done.exit_code == 2
        assert words in done.stderr.replace("\n", " "), done.stderr


def test_what_a_stranger_has_written_reaches_no_terminal(tmp_path):
    name = "\x1b[31mred\u202e"
    trace = Trace(
        traces.one().spans, ("f",), traces.one().lanes, traces.durable().runs[:0]
    )
    save_trace(trace, tmp_path / "run.json")
    saved = json.loads((tmp_path / "run.json").read_text())
    saved["runs"] = [{"name": name, "kind": "flow"}]
    (tmp_path / "run.json").write_text(json.dumps(saved))
    done = invoke(tmp_path / "run.json", "-o", tmp_path / "page.html")
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
