"""Recordings themselves: what is kept, who sees what, and when."""

from __future__ import annotations

import copy
import os
import pickle
import threading

import numpy as np
import pytest

import fastflow
from fastflow.seeing.trace import State
from seeing.recorded_calls import (
    calls_by_name,
    check_trace,
    fails_at_three,
    recorded,
    square,
)


def test_a_small_ring_keeps_a_sample_and_counts_all():
    def body():
        fastflow.for_each(
            fails_at_three, range(3), max_workers=1
        )  # so that nothing is stolen
        fastflow.map(
            fails_at_three, [*range(5000)], max_workers=1, return_exceptions=True
        )

    trace = recorded(body, size=64)
    total = trace.totals[trace.labels.index("fails_at_three")]
    assert total[:2] == (5003, 1)
    assert len(trace.calls) + trace.dropped == 5003
    assert trace.dropped > 4000
    assert [failure.message for failure in trace.failures] == ["no three, please"]
    times = trace.calls["end"] - trace.calls["start"]
    assert abs(times.max() - total.longest) <= 1  # ns: both are rounded
    kept = np.sort(trace.calls["item"][trace.calls["run"] == 1])
    assert kept[0] < 500
    assert kept[-1] > 4500


def test_nothing_is_dropped_while_there_is_room():
    trace = recorded(lambda: fastflow.map(square, range(1000)))
    assert trace.dropped == 0
    assert trace.totals[0].count == 1000
    taken = trace.calls["end"] - trace.calls["start"]
    assert abs(trace.totals[0].time - taken.sum()) <= 1000  # ns: rounded one by one


def test_nested_recordings_see_the_same():
    with fastflow.record(counters=False) as outer:
        fastflow.map(square, range(10))
        with fastflow.record(counters=False) as inner:
            fastflow.map(square, range(20))
        fastflow.map(square, range(30))
    assert calls_by_name(outer.data) == {"square": 60}
    assert calls_by_name(inner.data) == {"square": 20}
    assert (len(outer.data.runs), len(inner.data.runs)) == (3, 1)
    check_trace(outer.data)
    check_trace(inner.data)


def test_recordings_in_two_threads():
    meet = threading.Barrier(2)
    traces = []

    def one():
        with fastflow.record(counters=False) as recording:
            meet.wait()
            fastflow.map(square, range(100))
            meet.wait()
        traces.append(recording.data)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for trace in traces:
        check_trace(trace)
        assert calls_by_name(trace) == {"square": 200}


def test_at_most_eight_at_a_time():
    recordings = [fastflow.record(counters=False) for _ in range(9)]
    for recording in recordings[:8]:
        recording.__enter__()
    try:
        with pytest.raises(RuntimeError, match="8 recordings"), recordings[8]:
            pass
    finally:
        for recording in recordings[:8]:
            recording.__exit__(None, None, None)
    assert recorded(lambda: fastflow.map(square, [1])).totals[0].count == 1


def test_a_block_that_raises_is_recorded():
    recording = fastflow.record(counters=False)
    with pytest.raises(ZeroDivisionError), recording:
        fastflow.map(square, range(5))
        raise ZeroDivisionError
    assert calls_by_name(recording.data) == {"square": 5}


def test_what_goes_on_is_running():
    begun, may_end = threading.Event(), threading.Event()

    def goes_on():
        begun.set()
        may_end.wait()

    with fastflow.Executor(1) as executor:
        with fastflow.record(counters=False) as recording:
            future = executor.submit(goes_on)
            begun.wait()
        may_end.set()
        future.result()
    trace = recording.data
    check_trace(trace)
    (call,) = trace.calls
    assert call["state"] == State.RUNNING
    assert call["end"] == trace.length


def test_recordings_come_and_go_while_others_run():
    over = threading.Event()
    made = []

    def busy():
        with fastflow.Executor(2) as executor:
            while not over.is_set():
                fastflow.map(square, range(50), executor=executor)
                executor.submit(square, 3).result()
                made.append(51)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(30):
            with fastflow.record(counters=False, size=32) as recording:
                fastflow.map(square, range(20))
            trace = recording.data
            check_trace(trace)
            assert trace.totals[trace.labels.index("square")].count >= 20
    finally:
        over.set()
        thread.join()
    assert recorded(lambda: fastflow.map(square, range(9))).totals[0].count == 9


def test_threads_that_end_stay_in_the_recording():
    def body():
        thread = threading.Thread(
            target=lambda: fastflow.map(square, range(7), executor="serial"),
            name="short-lived",
        )
        thread.start()
        thread.join()

    trace = recorded(body)
    assert calls_by_name(trace) == {"square": 7}
    assert "short-lived" in {lane.name for lane in trace.lanes}


def test_there_is_nothing_to_look_at_before_the_end():
    recording = fastflow.record(counters=False)
    with pytest.raises(RuntimeError, match="after its with block"):
        _ = recording.data
    with recording:
        assert repr(recording) == "<Recording, open>"
        with pytest.raises(RuntimeError, match="after its with block"):
            _ = recording.data
    assert "Recording of 0 calls" in repr(recording)
    with pytest.raises(RuntimeError, match="made once"), recording:
        pass


def test_the_smallest_ring():
    trace = recorded(lambda: fastflow.map(square, range(100), max_workers=1), size=1)
    assert trace.totals[0].count == 100
    assert trace.dropped == 100 - len(trace.calls)


def test_results_with_a_recording_can_be_pickled():
    flow = fastflow.Flow("flow One:\n    one", registry={"one": int})
    with fastflow.record(counters=False) as recording:
        result = flow.run()
    assert result.recording is recording
    assert pickle.loads(pickle.dumps(result)).recording is None
    assert copy.copy(result).recording is recording


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_not_recorded():
    with fastflow.record(counters=False) as recording:
        fastflow.map(square, range(3), executor="serial")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                fastflow.map(square, range(5), executor="serial")
                with fastflow.record(counters=False) as inner:
                    fastflow.map(square, range(4), executor="serial")
                status = 0 if calls_by_name(inner.data) == {"square": 4} else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
    assert calls_by_name(recording.data) == {"square": 3}


def test_counters_and_machine():
    with fastflow.record() as recording:
        until = threading.Event()
        fastflow.map(square, range(1000))
        until.wait(0.3)
    trace = recording.data
    expected = {"cpu", "ready", "running"}
    if trace.machine["gil"]:
        expected.add("lock")
    assert set(trace.counters) - {"starved"} == expected
    for column in trace.counters.values():
        assert len(column) > 0
        assert (np.diff(column["time"]) >= 0).all()
        assert (column["value"] >= 0).all()
    assert trace.machine["cpus"] >= 1
    assert trace.machine["overhead"]["submit"] > 0
    assert trace.began > 0
