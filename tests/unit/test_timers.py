"""Timers: order, cancelling, failures, forks, and the virtual clock."""

from __future__ import annotations

import gc
import threading
import weakref

from fastflow.base.timers import SystemClock, VirtualClock, call_later
from support import run_script


def test_calls_come_in_the_order_of_their_times():
    done = threading.Event()
    seen = []
    call_later(0.02, seen.append, "later")
    call_later(0.03, done.set)
    call_later(0.01, seen.append, "sooner")
    assert done.wait(60)
    assert seen == ["sooner", "later"]


def test_an_earlier_timer_shortens_the_sleep():
    clock = SystemClock()
    done = threading.Event()
    first = clock.call_later(3600, done.set)
    clock.call_later(0, done.set)
    assert done.wait(60)
    assert first.cancel()


def test_the_thread_can_be_started_early():
    clock = SystemClock()
    clock.start()
    thread = clock._thread
    assert thread.is_alive()
    done = threading.Event()
    clock.call_later(0, done.set)
    assert done.wait(60)
    clock.start()
    assert clock._thread is thread


def test_a_failing_call_is_logged_and_stops_nothing(caplog):
    done = threading.Event()
    call_later(0, int, "x")
    call_later(0.001, done.set)
    assert done.wait(60)
    assert "invalid literal" in caplog.text


def test_cancel():
    clock = VirtualClock()
    seen = []
    timer, other = (clock.call_later(1, seen.append, n) for n in range(2))
    assert timer.cancel()
    assert timer.cancelled
    assert timer.cancel()
    clock.advance(1)
    assert seen == [1]
    assert not other.cancel()
    assert not other.cancelled


def test_a_cancelled_timer_keeps_nothing_alive():
    class Thing:
        pass

    thing = Thing()
    ghost = weakref.ref(thing)
    timer = call_later(3600, print, thing)
    timer.cancel()
    del thing
    gc.collect()
    assert ghost() is None


def test_many_cancelled_timers_are_swept():
    clock = VirtualClock()
    for timer in [clock.call_later(3600, print) for _ in range(10_000)]:
        timer.cancel()
    assert len(clock._queue._heap) < 200


def test_virtual_time_passes_only_when_told():
    clock = VirtualClock()
    seen = []
    clock.call_later(5, lambda: seen.append(clock.now()))
    clock.call_later(2, lambda: clock.call_later(1, lambda: seen.append(clock.now())))
    clock.advance(4)
    assert seen == [3.0]
    assert clock.now() == 4.0
    assert clock.advance_to_next()
    assert seen == [3.0, 5.0]
    assert not clock.advance_to_next()


def test_virtual_timers_can_be_waited_for():
    clock = VirtualClock()
    assert not clock.wait_for_timer(0)
    thread = threading.Thread(target=clock.call_later, args=(1, print))
    thread.start()
    assert clock.wait_for_timer(60)
    thread.join()
    assert not clock.wait_for_timer(0, count=2)
    clock.call_later(1, print).cancel()
    assert not clock.wait_for_timer(0, count=2)
    clock.call_later(1, print)
    assert clock.wait_for_timer(0, count=2)


def test_a_forked_child_has_no_timers_but_can_set_some():
    done = run_script(
        """
        import os, threading
        from fastflow.base.timers import call_later
        fired = threading.Event()
        def fire():
            print("once", flush=True)
            fired.set()
        old = call_later(0.2, fire)
        pid = os.fork()
        if pid == 0:
            old.cancel()
            mine = threading.Event()
            call_later(0, mine.set)
            ok = mine.wait(30)
            os._exit(0 if ok else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert fired.wait(30)
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["once"]


def test_the_program_ends_with_timers_pending():
    done = run_script(
        "from fastflow.base.timers import call_later; call_later(3600, print)",
        "-W",
        "error",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_limits_that_are_cancelled_one_after_another_hardly_wake_the_thread(
    monkeypatch,
):
    clock = SystemClock()
    clock.start()
    woken = []
    notify = clock._changed.notify
    monkeypatch.setattr(clock._changed, "notify", lambda: (woken.append(1), notify()))
    for _ in range(200):
        clock.call_later(3600, woken.append, 2).cancel()
    assert len(woken) == 4  # after each 65 the cancelled ones are thrown away


def test_a_timer_behind_a_cancelled_one_comes_in_its_time():
    clock, came = SystemClock(), threading.Event()
    clock.call_later(0.01, came.clear).cancel()
    clock.call_later(0.02, came.set)
    assert came.wait(60)
