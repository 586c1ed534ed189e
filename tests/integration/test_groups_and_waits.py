"""TaskGroup, wait and as_completed."""

from __future__ import annotations

import concurrent.futures as cf
import gc
import threading
import weakref

import pytest

import fastflow
from fastflow import Executor, TaskGroup


@pytest.fixture
def executor():
    with Executor(2) as made:
        yield made


def fail(message="boom"):
    raise ValueError(message)


def test_nothing_outlives_the_block(executor):
    done = []
    with TaskGroup(executor) as group:
        for i in range(200):
            group.create_task(done.append, i)
    assert sorted(done) == list(range(200))


def test_the_first_failure_cancels_the_rest():
    gate = threading.Event()
    with Executor(1) as executor:
        with pytest.raises(ExceptionGroup) as caught, TaskGroup(executor) as group:
            group.create_task(gate.wait, 60)
            failing = group.create_task(fail)
            others = [group.create_task(pow, 2, 2) for _ in range(100)]
            gate.set()
        assert [str(e) for e in caught.value.exceptions] == ["boom"]
        assert isinstance(failing.exception(), ValueError)
        assert all(f.cancelled() for f in others)
        with pytest.raises(cf.CancelledError):
            others[0].result()


def test_running_tasks_see_the_cancel_and_are_waited_for(executor):
    running = threading.Event()

    def loop():
        task = fastflow.current_task()
        running.set()
        while True:
            task.check()

    with pytest.raises(ExceptionGroup) as caught, TaskGroup(executor) as group:
        looping = group.create_task(loop)
        assert running.wait(60)
        group.create_task(fail)
    assert len(caught.value.exceptions) == 1
    assert looping.cancelled()


def test_an_error_in_the_block_cancels_and_is_in_the_group(executor):
    gate = threading.Event()
    with pytest.raises(ExceptionGroup) as caught, TaskGroup(executor) as group:
        for _ in range(2):
            group.create_task(gate.wait, 60)
        queued = group.create_task(pow, 1, 1)
        threading.Timer(0.01, gate.set).start()
        raise KeyError("in the block")
    assert [type(e) for e in caught.value.exceptions] == [KeyError]
    assert queued.cancelled()


def test_cancel_by_hand_is_no_error():
    gate = threading.Event()
    with Executor(1) as executor:
        with TaskGroup(executor) as group:
            group.create_task(gate.wait, 60)
            queued = [group.create_task(pow, 2, 2) for _ in range(1000)]
            group.cancel()
            assert group.cancelled
            assert all(f.cancelled() for f in queued)
            gate.set()
        assert executor.submit(pow, 2, 3).result(60) == 8


def test_a_cancelled_group_does_not_wait_for_its_queued_tasks():
    gate = threading.Event()
    with Executor(1) as executor:
        executor.submit(gate.wait, 60)  # somebody else's task
        with TaskGroup(executor) as group:
            queued = [group.create_task(pow, 2, 2) for _ in range(1000)]
            group.cancel()
        assert not gate.is_set()
        gate.set()
        assert all(f.cancelled() for f in queued)


def test_misuse(executor):
    group = TaskGroup(executor)
    with pytest.raises(RuntimeError, match="inside"):
        group.create_task(pow, 1, 1)
    with group:
        group.create_task(pow, 1, 1)
    with pytest.raises(RuntimeError, match="inside"):
        group.create_task(pow, 1, 1)
    with pytest.raises(RuntimeError, match="once"), group:
        pass
    with TaskGroup(executor) as group:
        group.cancel()
        with pytest.raises(RuntimeError, match="cancelled"):
            group.create_task(pow, 1, 1)
    with pytest.raises(TypeError, match=r"fastflow\.Executor"):
        TaskGroup(cf.ThreadPoolExecutor(1))


def test_kernels_in_a_group(executor):
    with TaskGroup(executor) as group:
        futures = [group.create_task(fastflow.kernels.spin(1000), i) for i in range(50)]
    assert [f.result() for f in futures] == [None] * 50


def test_wait_for_all_and_for_some(executor):
    gate = threading.Event()
    blocked = executor.submit(gate.wait, 60)
    quick = [executor.submit(pow, 2, i) for i in range(10)]
    done, not_done = fastflow.wait([blocked, *quick], return_when=cf.FIRST_COMPLETED)
    assert done <= set(quick)
    assert blocked in not_done
    done, not_done = fastflow.wait([blocked, *quick], timeout=0.05)
    assert not_done == {blocked}
    failing = executor.submit(fail)
    done, _ = fastflow.wait([blocked, failing], return_when=cf.FIRST_EXCEPTION)
    assert done == {failing}
    gate.set()
    done, not_done = fastflow.wait([blocked, *quick])
    assert not not_done
    with pytest.raises(ValueError, match="Invalid return condition"):
        fastflow.wait(quick, return_when="SOMETIME")


def test_waits_that_give_up_leave_nothing_behind(executor):
    gate = threading.Event()
    blocked = executor.submit(gate.wait, 60)
    for _ in range(10):
        fastflow.wait([blocked], timeout=0.001, return_when=cf.FIRST_COMPLETED)
        with pytest.raises(TimeoutError):
            next(fastflow.as_completed([blocked], timeout=0.001))
    assert blocked._done_callbacks == []
    gate.set()


def test_mixed_with_futures_of_others(executor):
    with cf.ThreadPoolExecutor(1) as other:
        futures = [executor.submit(pow, 2, 2), other.submit(pow, 3, 3)]
        assert sorted(f.result() for f in fastflow.as_completed(futures)) == [4, 27]
        done, _ = fastflow.wait(futures)
        assert done == set(futures)
        done, _ = cf.wait(futures)
        assert done == set(futures)


def test_as_completed_does_not_keep_what_it_handed_out(executor):
    class Big:
        pass

    futures = [executor.submit(Big) for _ in range(10)]
    stream = fastflow.as_completed(futures)
    del futures
    first = next(stream)
    watch = weakref.ref(first.result())
    del first
    second = next(stream)
    gc.collect()
    assert watch() is None
    assert second.done()


def test_cancelled_futures_are_yielded():
    gate = threading.Event()
    with Executor(1) as executor:
        executor.submit(gate.wait, 60)
        queued = executor.submit(pow, 1, 1)
        queued.cancel()
        assert list(fastflow.as_completed([queued])) == [queued]
        done, _ = fastflow.wait([queued])
        assert done == {queued}
        gate.set()
