"""Calls on executors: claimed once, and what helps against those that hang."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest

import fastflow
from fastflow.pool.dispatch import Dispatch, Dispatcher, after_limit, current_dispatch

SECONDS = 60  # a watchdog
POOLS = [fastflow.Executor, cf.ThreadPoolExecutor]


class Call:
    """A call that says when it begins and ends when it is told to."""

    def __init__(self, value=None):
        self.value = value
        self.begun = threading.Event()
        self.go = threading.Event()
        self.ended = threading.Event()
        self.outcomes = []
        self.thread = None
        self.dispatch = Dispatch(self, self.done, known=True)

    def __call__(self):
        assert current_dispatch() is self.dispatch
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(SECONDS)
        return self.value

    def done(self, dispatch):
        self.outcomes.append(
            (dispatch.cancelled(), dispatch.exception(), dispatch.result())
        )
        self.ended.set()


@pytest.fixture(params=POOLS)
def pool(request):
    with request.param(2) as made:
        yield made


def begin(dispatcher, *calls):
    for call in calls:
        dispatcher.send(call.dispatch)
    for call in calls:
        assert call.begun.wait(SECONDS)


def test_a_call_and_its_outcome(pool):
    call = Call(5)
    begin(Dispatcher(pool), call)
    call.go.set()
    assert call.ended.wait(SECONDS)
    assert call.outcomes == [(False, None, 5)]
    assert current_dispatch() is None
    assert not call.dispatch.cancel()  # too late
    call.dispatch.give_up()
    assert call.outcomes == [(False, None, 5)]


def test_what_it_raises(pool):
    told = []
    ended = threading.Event()

    def done(dispatch):
        told.append(dispatch.exception())
        ended.set()

    error = KeyboardInterrupt()

    def fail():
        raise error

    Dispatcher(pool).submit(fail, done)
    assert ended.wait(SECONDS)
    assert told == [error]


def test_a_quiet_one_tells_of_what_goes_wrong_only(pool):
    told = []
    failed = threading.Event()

    def done(dispatch):
        told.append((dispatch.made, dispatch.exception()))
        failed.set()

    error = ValueError()

    def fail():
        raise error

    well = threading.Event()
    dispatcher = Dispatcher(pool)
    dispatcher.submit(well.set, done, quiet=True)
    assert well.wait(SECONDS)
    dispatcher.submit(fail, done, quiet=True)
    assert failed.wait(SECONDS)
    assert told == [(True, error)]


def test_one_that_waits_is_cancelled(pool):
    dispatcher = Dispatcher(pool)
    busy, waiting = [Call(), Call()], Call()
    begin(dispatcher, *busy)
    dispatcher.send(waiting.dispatch)
    assert waiting.dispatch.cancel()
    assert waiting.dispatch.cancel()  # still so
    assert waiting.outcomes == [(True, None, None)]
    for call in busy:
        call.go.set()
    pool.shutdown()
    assert not waiting.begun.is_set()


def test_hung_calls_give_their_places_away(pool):
    dispatcher = Dispatcher(pool)
    hung = [Call(n) for n in range(2)]
    begin(dispatcher, *hung)
    waiting = [Call(n) for n in range(3)]
    for call in waiting:
        dispatcher.send(call.dispatch)
    hung[0].dispatch.give_up()
    hung[0].dispatch.give_up()  # counts once
    assert waiting[0].begun.wait(SECONDS)
    assert not waiting[1].begun.is_set()  # one place
    hung[1].dispatch.give_up()
    assert waiting[1].begun.wait(SECONDS)
    assert not waiting[2].begun.is_set()
    for call in hung:  # their workers are back
        call.go.set()
        assert call.ended.wait(SECONDS)
        assert call.outcomes == [(False, None, call.value)]
    for call in waiting:
        call.go.set()
        assert call.ended.wait(SECONDS)
        assert call.outcomes == [(False, None, call.value)]


def test_our_pool_lends_its_places_to_everybody():
    with fastflow.Executor(1) as pool:
        hung = Call()
        begin(Dispatcher(pool), hung)
        queued = pool.submit(pow, 2, 3)
        hung.dispatch.give_up()
        assert queued.result(SECONDS) == 8
        assert fastflow.map(abs, [-1], executor=pool) == [1]
        assert pool.stats().blocked == 1
        hung.go.set()
        assert hung.ended.wait(SECONDS)
        assert pool.submit(pow, 2, 3).result(SECONDS) == 8
        assert pool.stats().blocked == 0


def test_a_hung_call_that_waits_for_another_task_counts_once():
    with fastflow.Executor(1) as pool:
        inner = Call()
        waits = threading.Event()

        def outer():
            future = pool.submit(inner)
            waits.set()
            return future.result(SECONDS)

        dispatch = Dispatcher(pool).submit(outer)
        assert waits.wait(SECONDS)
        dispatch.give_up()
        inner.go.set()
        assert pool.submit(pow, 2, 3).result(SECONDS) == 8
    assert pool.stats().blocked == 0


def test_what_follows_a_limit_waits_for_nobody(pool):
    busy, urgent, other = [Call(), Call()], Call(1), Call()
    dispatcher = Dispatcher(pool)
    begin(dispatcher, *busy)
    with after_limit():
        dispatcher.send(urgent.dispatch)
    dispatcher.send(other.dispatch)
    assert urgent.begun.wait(SECONDS)
    urgent.go.set()
    assert urgent.ended.wait(SECONDS)
    assert not other.begun.is_set()
    for call in (*busy, other):
        call.go.set()
    assert other.ended.wait(SECONDS)


@pytest.mark.parametrize("on_full", ["block", "raise", "caller_runs"])
def test_what_follows_a_limit_does_not_wait_for_room(on_full):
    with fastflow.Executor(1, max_pending=1, on_full=on_full) as pool:
        dispatcher = Dispatcher(pool)
        busy, queued, urgent = Call(), Call(), Call()
        begin(dispatcher, busy)
        dispatcher.send(queued.dispatch)
        with after_limit():
            dispatcher.send(urgent.dispatch)
        assert urgent.begun.wait(SECONDS)
        assert urgent.thread is not threading.current_thread()
        for call in (busy, queued, urgent):
            call.go.set()
            assert call.ended.wait(SECONDS)


def test_a_pool_that_drops_what_is_queued(pool):
    dispatcher = Dispatcher(pool)
    busy, queued = [Call(), Call()], Call()
    begin(dispatcher, *busy)
    dispatcher.send(queued.dispatch)
    pool.shutdown(wait=False, cancel_futures=True)
    for call in busy:
        call.go.set()
        assert call.ended.wait(SECONDS)
    assert queued.ended.wait(SECONDS)
    assert queued.outcomes == [(True, None, None)]
    refused = Call()
    with pytest.raises(RuntimeError):
        dispatcher.send(refused.dispatch)
    assert refused.outcomes == []


@pytest.mark.parametrize("kind", POOLS)
def test_a_broken_pool(kind):
    def fail():
        raise ValueError

    pool = kind(1, initializer=fail)
    call = Call()
    try:
        Dispatcher(pool).send(call.dispatch)
    except cf.BrokenExecutor:  # it may know already
        return
    assert call.ended.wait(SECONDS)
    assert isinstance(call.outcomes[0][1], cf.BrokenExecutor)
    pool.shutdown()


def test_all_who_send_to_a_pool_share_its_spare_threads():
    with cf.ThreadPoolExecutor(1) as pool:
        hung, waiting = Call(), Call()
        begin(Dispatcher(pool), hung)
        Dispatcher(pool).send(waiting.dispatch)
        hung.dispatch.give_up()
        assert waiting.begun.wait(SECONDS)
        waiting.dispatch.give_up()  # hangs as well, on the spare thread
        next_one = Call()
        begin(Dispatcher(pool), next_one)
        for call in (hung, waiting, next_one):
            call.go.set()
            assert call.ended.wait(SECONDS)
