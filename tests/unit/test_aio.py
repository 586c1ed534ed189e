"""The runtime's event loop: results, cancelling, contexts, forks, exit."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import threading

import pytest

from fastflow.base import aio
from support import run_script


async def double(n):
    await asyncio.sleep(0)
    return 2 * n


async def fail(error):
    raise error


def test_results_and_exceptions():
    assert aio.submit(double(21)).result(60) == 42
    with pytest.raises(KeyError, match="lost"):
        aio.submit(fail(KeyError("lost"))).result(60)


def test_all_coroutines_share_one_thread():
    async def where():
        return threading.current_thread(), aio.is_loop_thread()

    futures = [aio.submit(where()) for _ in range(10)]
    assert len({future.result(60) for future in futures}) == 1
    assert futures[0].result()[1] is True
    assert not aio.is_loop_thread()


def test_cancel_reaches_the_coroutine():
    running, ended = threading.Event(), threading.Event()

    async def forever():
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = aio.submit(forever())
    assert running.wait(60)
    assert future.cancel()
    assert ended.wait(60)
    with pytest.raises(cf.CancelledError):
        future.result(60)


def test_context_variables_of_the_caller_are_seen():
    name = contextvars.ContextVar("name", default="nobody")

    async def read():
        seen = name.get()
        name.set("changed")
        return seen

    token = name.set("me")
    try:
        assert aio.submit(read()).result(60) == "me"
        assert name.get() == "me"
    finally:
        name.reset(token)
    assert aio.submit(read()).result(60) == "nobody"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_loop_survives_what_stops_a_program(error):
    with pytest.raises(error):
        aio.submit(fail(error())).result(60)
    assert aio.submit(double(1)).result(60) == 2


@pytest.mark.parametrize("wrong", [double, None, 3])
def test_only_coroutines(wrong):
    with pytest.raises(TypeError, match="needs a coroutine"):
        aio.submit(wrong)


def test_coroutines_clean_up_at_exit():
    done = run_script(
        """
        import asyncio, threading
        from fastflow.base import aio
        running = threading.Event()
        async def forever():
            try:
                running.set()
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                print("cleaned up")
        aio.submit(forever())
        running.wait()
        """,
        "-W",
        "error",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "cleaned up\n", "")


def test_too_late_at_exit():
    done = run_script(
        """
        import atexit
        from fastflow.base import aio
        async def nothing(): pass
        def late():
            try:
                aio.submit(nothing())
            except RuntimeError as error:
                print(error)
        atexit.register(late)
        """,
        "-W",
        "error",
    )
    assert done.stdout == "can't run a coroutine at interpreter shutdown\n", done
    assert done.stderr == ""


def test_a_forked_child_has_a_loop_of_its_own():
    done = run_script(
        """
        import asyncio, os
        from fastflow.base import aio
        async def pid():
            await asyncio.sleep(0.001)
            return os.getpid()
        parent = aio.submit(pid()).result()
        child = os.fork()
        if child == 0:
            os._exit(0 if aio.submit(pid()).result() == os.getpid() else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert aio.submit(pid()).result() == parent == os.getpid()
        """,
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (done.returncode, done.stderr) == (0, "")
