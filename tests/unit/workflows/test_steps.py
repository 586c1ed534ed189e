"""Async functions for keys and logs; progress that fails; Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

import pytest
from tests.support import run_script

import fastflow
from fastflow import TaskError
from fastflow.base.progress import Monitor


@pytest.fixture
def wf():
    return fastflow.workflow("w")


async def payload(ctx):
    await asyncio.sleep(0)
    return ctx.payload


def test_the_key_of_a_cache_may_be_async(wf):
    calls = []
    wf.step("s", lambda ctx: calls.append(1) or len(calls), cache=payload)
    assert [wf.run(key).last for key in "aba"] == [1, 2, 1]
    assert wf.run("b").steps["s"].attempts == 0


@pytest.mark.parametrize(
    "key",
    [lambda ctx: 1 / 0, lambda ctx: fail(), lambda ctx: []],
    ids=["division", "fail", "unhashable"],
)
def test_a_key_that_fails_fails_the_step(wf, key):
    wf.step("s", lambda ctx: 1, cache=key)
    with pytest.raises(TaskError, match="step 's'"):
        wf.run()
    assert wf.runs == []


async def fail():
    raise ZeroDivisionError


def messages(caplog):
    return [record.getMessage().split(": ", 1)[1] for record in caplog.records]


def test_the_text_of_log_may_be_async(wf, caplog):
    caplog.set_level(logging.INFO, "fastflow")
    wf.log(payload).log(lambda ctx: fail()).step("s", lambda ctx: "done")
    assert wf.run("hello").last == "done"
    first, second = messages(caplog)
    assert first == "hello"
    assert second.endswith("can't be formatted: ZeroDivisionError: ")


def test_what_is_not_logged_is_not_asked_for(wf, caplog):
    caplog.set_level(logging.WARNING, "fastflow")
    asked = []
    wf.log(asked.append, level="debug").run()
    assert asked == messages(caplog) == []


# Progress


def test_progress_that_fails_is_logged_once(wf, caplog):
    calls = []

    def show(done, total):
        calls.append(done)
        raise ValueError("no progress")

    assert wf.step("s", lambda ctx: 1).run(progress=show).last == 1
    assert len(calls) == 1
    assert caplog.text.count("ValueError: no progress") == 1


def test_progress_that_fails_meanwhile_is_not_called_again(caplog):
    called = threading.Event()

    class Work:
        done = 0

    def show(done, total):
        assert not called.is_set()
        called.set()
        raise ValueError("no progress")

    with Monitor(show, Work(), 1, "work"):
        assert called.wait(60)
    assert caplog.text.count("ValueError: no progress") == 1


# Ctrl-C


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("wait", ["wf.run()", "wf.start().result()"])
def test_a_signal_that_does_not_wake_the_thread_ends_the_wait(wait):
    # As if it had come just before the thread fell asleep: another thread gets it.
    done = run_script(
        f"""
        import signal, threading
        import fastflow

        async def interrupt(ctx):
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)

        wf = fastflow.workflow("w").step("s", interrupt).wait_for_event("never")
        try:
            {wait}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        for run in wf.runs:
            run.cancel()
        """
    )
    assert done.stdout == "interrupted\n", done.stderr
