"""What leaves for other processes, when, and what comes of it; without processes."""

from __future__ import annotations

import concurrent.futures as cf
import gc
import multiprocessing
import os
import pickle
import queue
import threading
import weakref
from concurrent.futures.process import BrokenProcessPool

import pytest

from fastflow.backends import lanes, sender
from fastflow.backends.choose import backend_of
from fastflow.backends.travel import Alone
from fastflow.errors import RemoteError, TaskTimeout
from fastflow.run import remote
from fastflow.run.attempts import State
from fastflow.run.remote import run_chunk
from senders import Held, Rig, Work, cube, square


@pytest.fixture(autouse=True)
def _unknown():
    """Nothing is known of any function."""
    lanes._usual.start_over()
    yield
    lanes._usual.start_over()


def states(jobs):
    return [job.attempts.state for job in jobs]


# Chunks


def test_short_calls_leave_together_and_fewer_towards_the_end():
    rig = Rig()
    jobs = rig.launch(100)
    assert rig.executor.sizes() == [1, 1, 1, 1]  # two for each process
    rig.answer_all(seconds=0.009)
    # The first comes back alone; each time there is room for one chunk.
    assert rig.executor.sizes() == [11, 11, 11, 11]
    rig.answer_all(seconds=0.009)
    assert rig.executor.sizes() == [11, 11, 11, 9]
    rig.answer_all(seconds=0.009)
    assert rig.executor.sizes() == [5, 2, 1, 1]
    rig.answer_all(seconds=0.009)
    assert rig.executor.sizes() == [1]
    rig.answer_all(seconds=0.009)
    assert rig.ended == jobs
    assert rig.sender.is_empty


def test_what_is_known_of_a_function_lasts():
    first = Rig()
    first.launch(4)
    first.answer_all(seconds=0.009)
    second = Rig()
    second.launch(50)
    assert second.executor.sizes() == [1, 1, 1, 1]
    second.answer_all(seconds=0.009)
    assert second.executor.sizes() == [11, 11, 11, 6]
    third = Rig()
    third.launch(50, cube)
    third.answer()
    assert third.executor.sizes() == [1, 1, 1, 23]


def test_long_calls_leave_one_by_one():
    rig = Rig()
    rig.launch(12)
    for _ in range(3):
        assert rig.executor.sizes() == [1, 1, 1, 1]
        rig.answer_all(seconds=0.06)
    assert len(rig.ended) == 12


def test_calls_that_grow_long_leave_one_by_one_at_once():
    rig = Rig()
    rig.launch(100)
    rig.answer_all(seconds=1e-5)
    assert sum(rig.executor.sizes()) > 50
    rig.launch(100)
    rig.answer_all(seconds=1.0)
    assert rig.executor.sizes() == [1, 1, 1, 1]


def test_what_comes_back_too_early_is_sent_again_before_the_others():
    rig = Rig()
    jobs = rig.launch(104)
    rig.answer_all(seconds=0.009)
    assert rig.executor.sizes() == [11, 11, 11, 11]
    assert rig.executor.arguments(0) == list(range(4, 15))
    rig.answer(0, seconds=0.1, made=3)  # 4, 5 and 6
    assert rig.executor.arguments(3) == [7]
    while rig.executor.chunks:
        rig.answer_all(seconds=0.009)
    assert sorted(rig.ended, key=jobs.index) == jobs
    assert rig.sender.is_empty


def test_what_comes_back_too_early_and_was_stopped_is_left():
    rig = Rig()
    jobs = rig.launch(104)
    rig.answer_all(seconds=0.009)
    rig.begin(0, 1, 2, 3)
    for job in jobs:
        job.stop()
    assert states(jobs[48:]) == [State.DROPPED] * 56  # had not left
    rig.executor.chunks[0][0].set_result(
        remote.Returned([remote.packed(remote.Outcome(7, None, 0, 0, 1))] * 3, 0.3)
    )
    rig.sender.settle()
    assert states(jobs[4:7]) == [State.SUCCEEDED] * 3
    assert states(jobs[7:15]) == [State.DROPPED] * 8


def test_functions_and_runs_have_chunks_of_their_own():
    rig = Rig()
    rig.launch(20)
    rig.launch(20, cube)
    rig.backend = rig.another_run()
    rig.launch(20)
    seen = set()
    while rig.executor.chunks:
        for _, _, args in rig.executor.chunks:
            seen.add((pickle.loads(args[0])[1], len(args[1])))
        rig.answer_all(seconds=0.02)
    assert {fn for fn, _ in seen} == {square, cube}
    assert max(count for _, count in seen) == 5
    assert len(rig.ended) == 60
    assert rig.sender.is_empty


def test_large_arguments_do_not_leave_together():
    rig = Rig()
    rig.launch(4)
    rig.answer_all(seconds=1e-5)
    jobs = [Work(rig, len, (b"x" * 400_000,)) for _ in range(100)]
    for job in jobs:
        job.start()
    rig.answer_all(seconds=1e-5)
    rig.answer_all(seconds=1e-5)
    assert max(rig.executor.sizes()) == 3
    while rig.executor.chunks:
        rig.answer_all(seconds=1e-5)
    assert sorted(rig.ended[4:], key=jobs.index) == jobs


def test_one_by_one_with_a_key_of_its_own():
    rig = Rig(capacity=None, travel=Alone())
    jobs = rig.launch(6)
    assert len(rig.executor.chunks) == 6
    keys = {args[-1] for _, _, args in rig.executor.chunks}
    assert len(keys) == 6
    while rig.executor.chunks:
        rig.run()
    assert [job.attempts.value for job in jobs] == [n * n for n in range(6)]
    assert rig.sender.is_empty


class Leading(Work):
    """Launches another one while it is packed."""

    __slots__ = ("rig",)

    def remote_arguments(self):
        self.rig.launch(1, cube)
        return self.args


def test_what_is_launched_while_others_are_packed_leaves_after_them():
    rig = Rig()
    job = Leading(rig, square, (1,))
    job.rig = rig
    job.start()
    functions = [pickle.loads(args[0])[1] for _, _, args in rig.executor.chunks]
    assert functions == [square, cube]


# Limits


def limited(rig, count, fn=square):
    return rig.launch(count, fn, timeout=5.0)


def test_no_more_with_a_limit_are_sent_than_there_are_processes():
    rig = Rig()
    jobs = limited(rig, 5)
    for left in (3, 2, 1):
        assert rig.executor.sizes() == [1, 1]
        assert rig.clock.pending == 2
        assert (
            states(jobs)
            == [State.SUCCEEDED] * (3 - left)
            + [State.RUNNING] * 2
            + [State.SENT] * left
        )
        rig.answer()
    rig.answer()
    rig.answer()
    assert rig.ended == jobs
    assert rig.clock.pending == 0
    assert rig.sender.is_empty


def test_chunks_step_back_for_those_that_wait_and_take_turns_with_them():
    rig = Rig()
    plain = rig.launch(100)
    assert len(rig.executor.chunks) == 4
    jobs = limited(rig, 3)
    rig.answer(seconds=0.02)
    rig.answer(seconds=0.02)
    assert len(rig.executor.chunks) == 2
    assert states(jobs) == [State.SENT] * 3
    order = []
    while rig.executor.chunks:
        rig.answer(seconds=0.02)
        order.append(states(jobs).count(State.SENT))
    assert order[:6] == [2, 2, 1, 1, 0, 0]
    assert sorted(rig.ended, key=[*plain, *jobs].index) == [*plain, *jobs]


def test_a_call_that_hangs_keeps_its_process():
    rig = Rig()
    jobs = limited(rig, 4)
    rig.begin(0, 1)
    rig.clock.advance(2)
    jobs[0].cancel()
    assert len(rig.executor.chunks) == 2
    rig.answer_begun(1)
    assert states(jobs) == [State.DROPPED, State.SUCCEEDED, State.RUNNING, State.SENT]


def test_where_all_processes_hang_the_time_of_the_others_runs():
    rig = Rig()
    jobs = limited(rig, 4)
    rig.begin(0, 1)
    rig.clock.advance(6)
    assert states(jobs) == [State.FAILED] * 2 + [State.SENT] * 2
    assert rig.clock.pending == 2
    late = limited(rig, 1)
    assert rig.clock.pending == 3
    rig.clock.advance(3)
    rig.answer_begun(0)
    assert states(jobs[2:]) == [State.RUNNING, State.SENT]
    rig.clock.advance(3)  # anew, as it was sent
    assert states([*jobs[2:], *late]) == [State.RUNNING, State.FAILED, State.FAILED]
    assert isinstance(jobs[3].attempts.error, TaskTimeout)
    rig.answer_begun(0)
    rig.answer()
    assert rig.sender.is_empty


def test_a_chunk_that_nobody_waits_for_hangs():
    rig = Rig(capacity=1)
    jobs = rig.launch(20)
    rig.answer_all(seconds=0.02)
    rig.begin(0, 1)
    waiting = limited(rig, 1)
    assert rig.clock.pending == 0
    for job in jobs:
        job.cancel()
    assert rig.clock.pending == 1
    rig.answer_begun(0)
    rig.answer_begun(0)
    assert states(waiting) == [State.RUNNING]
    rig.answer()
    assert rig.sender.is_empty


def test_an_attempt_after_a_limit_waits_for_a_process_too():
    rig = Rig(capacity=1)
    (job,) = rig.launch(1, timeout=5.0, retries=1)
    rig.begin(0)
    rig.clock.advance(6)
    rig.clock.advance(1)
    assert states([job]) == [State.SENT]
    rig.answer_begun(0)
    assert states([job]) == [State.RUNNING]
    rig.answer()
    assert states([job]) == [State.SUCCEEDED]


def test_processes_are_there_before_time_runs():
    rig = Rig(starts=True)
    ask = rig.executor.questions
    jobs = limited(rig, 3)
    assert len(ask) == 2
    assert not rig.executor.chunks
    ask.pop().set_result(1)
    rig.sender.settle()
    assert rig.executor.sizes() == [1]
    ask.pop().set_result(1)  # by the same: the other one has not come up
    rig.sender.settle()
    assert rig.executor.sizes() == [1, 1]
    rig.answer()  # by process 1
    assert rig.executor.sizes() == [1]
    ask.pop().set_result(2)
    rig.sender.settle()
    rig.answer()
    rig.answer()
    assert rig.ended == jobs
    limited(rig, 2)
    assert rig.executor.sizes() == [1, 1]  # all are known
    assert not ask
    rig.answer()
    rig.answer()
    assert rig.sender.is_empty


def test_a_pool_that_breaks_before_a_process_is_there():
    rig = Rig(starts=True)
    jobs = limited(rig, 3)
    rig.executor.questions[0].set_exception(BrokenProcessPool("dead"))
    rig.executor.questions[1].set_exception(BrokenProcessPool("dead"))
    rig.sender.settle()
    assert [type(job.attempts.error) for job in jobs] == [BrokenProcessPool] * 3
    assert rig.sender.is_empty


def test_an_executor_that_is_shut_down_before_a_process_is_there():
    rig = Rig(starts=True)
    jobs = limited(rig, 3)
    rig.executor.refusal = RuntimeError("shut down")
    for question in rig.executor.questions:
        question.cancel()
    rig.sender.settle()
    assert [str(job.attempts.error) for job in jobs] == ["shut down"] * 3
    assert rig.sender.is_empty


# What is given up


def test_what_has_not_left_can_be_given_up():
    rig = Rig()
    jobs = rig.launch(20)
    assert [bool(job.log) for job in jobs] == [True] * 4 + [False] * 16
    for job in jobs[4:]:
        assert job.cancel()
    rig.answer_all(seconds=1e-5)
    assert not rig.executor.chunks
    assert rig.ended == jobs[:4]
    assert rig.sender.is_empty


def test_what_has_a_limit_and_has_not_left_can_be_given_up():
    rig = Rig()
    jobs = limited(rig, 4)
    jobs[3].cancel()
    jobs[2].stop()
    for _ in range(2):
        rig.answer()
    assert not rig.executor.chunks
    assert states(jobs[2:]) == [State.DROPPED] * 2
    assert rig.sender.is_empty


@pytest.mark.parametrize("end", ["stop", "cancel"])
def test_a_chunk_is_cancelled_if_none_of_its_calls_is_wanted(end):
    rig = Rig()
    jobs = rig.launch(100)
    rig.answer_all(seconds=0.009)
    first, second, *_ = [future for future, *_ in rig.executor.chunks]
    for job in jobs[4:14]:
        getattr(job, end)()
    assert not first.cancelled()
    getattr(jobs[14], end)()
    assert first.cancelled()
    assert not second.cancelled()
    rig.sender.settle()
    assert states(jobs[4:15]) == [State.DROPPED] * 11
    rig.executor.chunks.pop(0)
    while rig.executor.chunks:
        rig.answer()
    assert states(jobs[15:]) == [State.SUCCEEDED] * 85
    assert rig.sender.is_empty


class Fickle(Work):
    """Is given up while it is packed."""

    __slots__ = ()

    def remote_arguments(self):
        self.cancel()
        return self.args


def test_what_was_given_up_while_it_was_packed():
    rig = Rig()
    Fickle(rig, square, (1,)).start()
    ((future, *_),) = rig.executor.chunks
    assert future.cancelled()
    rig.sender.settle()
    assert rig.ended == []
    assert rig.sender.is_empty


class Interrupted(Work):
    """Ctrl-C comes while it is packed."""

    __slots__ = ()

    def remote_arguments(self):
        raise KeyboardInterrupt


def test_an_interrupt_ends_one_call():
    rig = Rig()
    job = Interrupted(rig, square, (1,))
    job.start()
    assert isinstance(job.attempts.error, KeyboardInterrupt)
    (other,) = rig.launch(1)
    rig.run()
    assert other.attempts.succeeded
    assert rig.sender.is_empty


def test_an_interrupt_while_a_chunk_is_submitted():
    """Nobody can say whether it has left: its calls have failed, others go on."""
    rig = Rig()
    rig.executor.refusal = KeyboardInterrupt()
    (job,) = rig.launch(1)
    assert isinstance(job.attempts.error, KeyboardInterrupt)
    rig.executor.refusal = None
    rig.sender.settle()
    (other,) = rig.launch(1)
    rig.run()
    assert other.attempts.succeeded
    assert rig.sender.is_empty


# Errors


def test_arguments_that_cannot_be_pickled():
    rig = Rig()
    good = rig.launch(4)
    bad = [Work(rig, square, (threading.Lock(),)) for _ in range(3)]
    for job in bad:
        job.start()
    good += rig.launch(3)
    for _ in range(3):
        while rig.executor.chunks:
            rig.run()
    assert states(good) == [State.SUCCEEDED] * 7
    assert states(bad) == [State.FAILED] * 3
    for job in bad:
        assert "must be functions of a module" in "".join(job.attempts.error.__notes__)
    assert rig.sender.is_empty


def test_a_function_that_cannot_be_pickled():
    rig = Rig()
    jobs = rig.launch(10, lambda n: n)
    assert states(jobs) == [State.FAILED] * 10
    assert not rig.executor.chunks
    assert rig.sender.is_empty


def test_a_function_that_is_not_there():
    returned = run_chunk(b"cnowhere\nnothing\n.", [b"", b""], 1.0, 1000)
    outcomes = [remote.opened(outcome) for outcome in returned.outcomes]
    assert [type(outcome.failure.error()) for outcome in outcomes] == [
        ModuleNotFoundError
    ] * 2


def test_an_executor_that_refuses():
    rig = Rig()
    rig.executor.refusal = RuntimeError("shut down")
    jobs = rig.launch(20)
    assert [str(job.attempts.error) for job in jobs] == ["shut down"] * 20
    assert rig.sender.is_empty


def test_a_broken_executor_is_given_nothing_any_more():
    rig = Rig()
    jobs = rig.launch(20)
    rig.fail(BrokenProcessPool("dead"))
    rig.executor.refusal = AssertionError("asked again")
    while rig.executor.chunks:
        rig.fail(BrokenProcessPool("dead"))
    jobs += rig.launch(20)
    jobs += limited(rig, 3)
    assert [str(job.attempts.error) for job in jobs] == ["dead"] * 43
    assert rig.sender.is_empty


def test_an_executor_that_is_found_broken():
    rig = Rig()
    rig.executor.refusal = BrokenProcessPool("dead")
    jobs = rig.launch(1)
    rig.executor.refusal = AssertionError("asked again")
    jobs += rig.launch(20)
    assert [str(job.attempts.error) for job in jobs] == ["dead"] * 21


def test_what_an_executor_drops_has_failed():
    rig = Rig()
    jobs = rig.launch(3)
    rig.executor.chunks.pop(0)[0].cancel()
    rig.sender.settle()
    assert isinstance(jobs[0].attempts.error, cf.CancelledError)
    assert states(jobs[1:]) == [State.RUNNING] * 2


def interrupt(n):
    if n == 2:
        raise KeyboardInterrupt
    return n


def leave(n):
    if n == 2:
        raise SystemExit(3)
    return n


@pytest.mark.parametrize("fn", [interrupt, leave])
def test_a_chunk_ends_with_what_ends_the_program(fn):
    function = pickle.dumps((_apply, fn))
    calls = [pickle.dumps((n,)) for n in range(5)]
    returned = run_chunk(function, calls, 60.0, 10**6)
    outcomes = [remote.opened(outcome) for outcome in returned.outcomes]
    assert [outcome.value for outcome in outcomes] == [0, 1, None]
    assert isinstance(outcomes[2].failure.error(), (KeyboardInterrupt, SystemExit))


def _apply(fn, *args):
    return fn(*args)


def test_a_chunk_comes_back_when_its_time_is_over(monkeypatch):
    now = 0.0

    def slow(_fn, n):
        nonlocal now
        now += 0.04 if n < 4 else 1.0
        return n

    monkeypatch.setattr(remote.time, "perf_counter", lambda: now)
    monkeypatch.setattr(remote.pickle, "loads", _loads := pickle.loads)
    calls = [pickle.dumps((n,)) for n in range(10)]
    monkeypatch.setattr(
        remote.pickle, "loads", lambda data: (slow, 0) if data == b"" else _loads(data)
    )
    returned = run_chunk(b"", calls, seconds=1.0, size=10_000)
    assert [_loads(outcome)[0] for outcome in returned.outcomes] == [0, 1, 2, 3, 4]
    assert returned.seconds == pytest.approx(1.16)


def large(n):
    return bytes(n)


def test_a_chunk_comes_back_when_its_results_are_large():
    calls = [pickle.dumps((400_000,)) for _ in range(100)]
    returned = run_chunk(pickle.dumps((_apply, large)), calls, 60.0, 1_000_000)
    assert len(returned.outcomes) == 3


class FragileError(Exception):
    """Can be pickled, but not made again."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


def fail(n):
    try:
        try:
            raise FragileError(4, "deep")
        except FragileError as error:
            raise KeyError("cause") from error
    except KeyError as error:
        found = ValueError(n)
        found.add_note("a note")
        try:
            raise LookupError("context")
        except LookupError:
            raise found from error


def test_errors_keep_what_they_were_caused_by():
    rig = Rig()
    (job,) = rig.launch(1, fail)
    rig.run()
    error = job.attempts.error
    assert (error.args, error.__notes__) == ((0,), ["a note"])
    assert isinstance(error.__cause__, KeyError)
    assert isinstance(error.__context__, LookupError)
    assert error.__suppress_context__
    deep = error.__cause__.__cause__
    assert isinstance(deep, RemoteError)
    assert "4: deep" in str(deep)
    assert "in fail" in str(deep.__cause__)


def loop(_):
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def test_errors_that_cause_each_other():
    rig = Rig()
    (job,) = rig.launch(1, loop)
    rig.run()
    error = job.attempts.error
    assert str(error.__cause__) == "second"
    assert error.__cause__.__cause__ is error


def test_jobs_are_told_when_and_where():
    rig = Rig()
    (good,) = rig.launch(1)
    (bad,) = rig.launch(1, fail)
    rig.run()
    rig.run()
    for job in (good, bad):
        assert job.log == [("sent", 1), ("ran", 1)]
        start, end, where = job.ran_at
        assert job.sent_at - 0.01 <= start <= end
        assert where == threading.get_ident()  # the executor here is one of threads


def test_what_is_done_with_an_outcome_concerns_nobody_else(caplog):
    rig = Rig()
    rig.launch(4)
    rig.answer_all(seconds=1e-5)
    jobs = rig.launch(100)
    broken = jobs[50]

    def fail_at_the_end(_job):
        raise LookupError("at the end")

    broken.done = fail_at_the_end
    while rig.executor.chunks:
        rig.answer()
    assert {*rig.ended, broken} >= set(jobs)
    assert "at the end" in caplog.text
    assert rig.sender.is_empty


# Lifetime


def test_all_who_use_an_executor_share_its_sender():
    executor = cf.ProcessPoolExecutor(2)
    assert backend_of(executor)._sender is backend_of(executor)._sender
    other = cf.ProcessPoolExecutor(2)
    assert backend_of(other)._sender is not backend_of(executor)._sender


def test_a_sender_does_not_keep_its_executor():
    rig = Rig()
    executor = Held()
    rig.backend = backend_of(executor)
    job = Work(rig, square, (3,))
    ended = queue.SimpleQueue()
    job.done = ended.put
    job.start()
    future, fn, args = executor.chunks.pop()
    future.set_result(fn(*args))
    assert ended.get(timeout=60).attempts.value == 9
    gone = weakref.ref(executor)
    del executor, rig, job, future
    gc.collect()
    assert gone() is None


def test_where_there_can_be_no_thread(monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    rig = Rig()
    executor = Held()
    rig.backend = backend_of(executor)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        (job,) = rig.launch(1)
        assert str(job.attempts.error) == "can't start new thread"
    assert not executor.chunks
    (later,) = rig.launch(1)
    assert len(executor.chunks) == 1
    later.cancel()


def test_the_thread_stays_while_anything_is_under_way(monkeypatch):
    monkeypatch.setattr(sender, "_IDLE", 0.0)
    rig = Rig()
    executor = Held()
    rig.backend = backend_of(executor)
    before = set(threading.enumerate())
    job = Work(rig, square, (3,))
    ended = queue.SimpleQueue()
    job.done = ended.put
    job.start()
    (thread,) = set(threading.enumerate()) - before
    future, fn, args = executor.chunks.pop()
    future.set_result(fn(*args))
    assert ended.get(timeout=60) is job
    thread.join(60)
    assert not thread.is_alive()
    again = Work(rig, square, (3,))
    again.done = ended.put
    again.start()
    future, fn, args = executor.chunks.pop()
    future.set_result(fn(*args))
    assert ended.get(timeout=60) is again


def test_executors_that_are_no_keys():
    class Plain(cf.Executor):
        __hash__ = None

        def submit(self, fn, /, *args):
            raise NotImplementedError

    assert backend_of(Plain()).capacity() is None


def _in_child(executor, before):
    backend = backend_of(executor)
    assert backend._sender is not before
    rig = Rig()
    rig.backend = backend
    (job,) = rig.launch(1)
    assert job.log == [("sent", 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_fork_begins_anew():
    """What others do at the time of the fork keeps nobody waiting in the child."""
    executor = Held()
    before = backend_of(executor)._sender
    fork = multiprocessing.get_context("fork")
    child = fork.Process(target=_in_child, args=(executor, before))
    with sender._lock, lanes._usual._lock, before._lock:
        child.start()
    child.join(60)
    assert child.exitcode == 0
