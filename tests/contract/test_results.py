"""What a run ends with is the same in flows, workflows and graphs.

A `BatchResult` is none of these: it is a value in a journal, equal whenever it is read,
so it has no times; and its words are AWS's.
"""

from __future__ import annotations

import json
import pickle
import time

import pytest

import fastflow
from fastflow.run.results import Result, Span, TaskRecord
from fastflow.run.status import Status


def two():
    return 2


def bad():
    raise LookupError("it")


def flow(good):
    made = fastflow.Flow(
        "flow F:\n    a -> b", registry={"a": two if good else bad, "b": lambda a: a}
    )
    return made.run(on_error="return")


def workflow(good):
    wf = fastflow.workflow("F").step("a", lambda ctx: two() if good else bad())
    wf = wf.step("b", lambda ctx: ctx.last)
    try:
        return wf.run()
    except fastflow.TaskError as error:
        return error.result


def graph(good):
    made = fastflow.Graph()
    first = made.add(two if good else bad, name="a")
    made.add(lambda a: a, first, name="b")
    return made.run(on_error="return", timings=True)


RUNS = {"flow": flow, "workflow": workflow, "graph": graph}


@pytest.fixture(params=RUNS)
def run(request):
    return RUNS[request.param]


def records(result):
    return {record.name: record for record in result.records.values()}


def test_a_result_says_how_and_when_it_was(run):
    before = time.time()
    result = run(True)
    after = time.time()
    assert isinstance(result, Result)
    assert result.status is Status.COMPLETED
    assert len(result.errors) == 0
    assert before - 1 <= result.started <= after + 1  # of two clocks
    assert result.duration >= 0
    value = result.value
    assert value == 2 or list(value.values()) == [2, 2]


def test_a_record_says_what_became_of_a_call(run):
    result = run(True)
    found = records(result)
    assert list(found) == ["a", "b"]
    for record in found.values():
        assert isinstance(record, TaskRecord)
        assert record.status is Status.COMPLETED
        assert (record.output, record.error, record.attempts) == (2, None, 1)


def test_times_are_seconds_after_the_start_of_the_run(run):
    result = run(True)
    first, second = records(result).values()
    assert 0 <= first.start <= first.end <= second.start <= second.end
    assert second.end <= result.duration
    assert first.duration == pytest.approx(first.end - first.start, abs=1e-6)


def test_the_time_line_is_in_the_order_of_the_starts(run):
    result = run(True)
    line = result.timeline()
    assert [span.task for span in line] == ["a", "b"]
    assert all(isinstance(span, Span) for span in line)
    assert line[0].start == records(result)["a"].start


def test_a_failure_is_in_the_record_and_in_the_result(run):
    result = run(False)
    assert result.status is Status.FAILED
    assert len(result.errors) == 1
    found = records(result)
    assert found["a"].status is Status.FAILED
    assert isinstance(found["a"].error, LookupError)
    assert found["a"].output is None
    later = result.records["b"] if "b" in result.records else found.get("b")
    if later is not None:
        assert later.status is Status.SKIPPED
        assert (later.start, later.end, later.duration, later.attempts) == (
            None, None, None, 0,
        )  # fmt: skip


def test_a_summary_is_plain_data(run):
    for good in (True, False):
        summary = json.loads(json.dumps(run(good).summary()))
        assert summary["flow"] in ("F", "graph")
        assert summary["status"] == ("COMPLETED" if good else "FAILED")
        error = summary["tasks"]["a"]["error"]
        assert error == (None if good else "LookupError: it")


def test_records_travel(run):
    for good in (True, False):
        record = records(run(good))["a"]
        again = pickle.loads(pickle.dumps(record))
        assert again.to_dict() == record.to_dict()
        assert (again.output, again.partial) == (record.output, record.partial)
