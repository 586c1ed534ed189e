"""One event loop on a thread of its own, for coroutines that plain threads start."""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from fastflow import _core
from fastflow.base import lifetime

if TYPE_CHECKING:
    import asyncio

__all__ = ["call_soon", "is_loop_thread", "start", "submit"]

T = TypeVar("T")


class _LoopThread:
    """The loop and its thread, started when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        # A forked child must neither use nor close the parent's loop: closing would
        # take the parent's wake-up pipe out of the selector that both share.
        self._abandoned: list[object] = []

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; start it if need be."""
        loop = self._loop
        if loop is not None and not self._closed:
            return loop
        with self._lock:
            if self._closed:
                raise RuntimeError("can't run a coroutine at interpreter shutdown")
            if self._loop is None:
                self._start()
            assert self._loop is not None
            return self._loop

    def _start(self) -> None:
        import asyncio

        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=self._serve, args=(loop,), name="fastflow-asyncio", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        asyncio.set_event_loop(loop)
        while True:
            # What a coroutine raises to stop the program, its future has; the loop goes
            # on for the others.
            with contextlib.suppress(KeyboardInterrupt, SystemExit):
                loop.run_forever()
            if self._closed:
                break
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def close(self) -> None:
        """Cancel all coroutines, let them clean up, and end the thread."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def forget(self) -> None:
        self._abandoned.append(self._loop)
        self._lock = threading.Lock()
        self._loop = self._thread = None


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    import asyncio

    pending = asyncio.all_tasks(loop)
    for task in pending:
        task.cancel()
    if pending:
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))


_runtime = _LoopThread()


def submit(coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Run a coroutine on the runtime's event loop.

    It begins with the caller's context variables, and what it sets is gone after it.
    At interpreter exit, coroutines that still run are cancelled.

    Parameters
    ----------
    coroutine
        What calling an ``async def`` function returns.

    Returns
    -------
    concurrent.futures.Future
        Its ``cancel()`` works while the coroutine runs, too, and cancels its task.

    Raises
    ------
    TypeError
        If it is not a coroutine.
    RuntimeError
        At interpreter shutdown.

    Examples
    --------
    >>> async def double(n):
    ...     return 2 * n
    >>> submit(double(21)).result()
    42
    """
    import asyncio

    if not asyncio.iscoroutine(coroutine):
        raise TypeError(
            f"submit() needs a coroutine, not {type(coroutine).__name__}; call the "
            "async function: submit(fn(...))"
        )
    try:
        # asyncio copies the context itself, but not the mutable one of decimal in it.
        return _core.task_context().run(
            asyncio.run_coroutine_threadsafe, coroutine, _runtime.loop()
        )
    except RuntimeError:
        coroutine.close()  # else it would warn that it was never awaited
        raise


def call_soon(fn: Callable[[], object]) -> None:
    """Have a function called on the event loop's thread, soon.

    Raises
    ------
    RuntimeError
        At interpreter shutdown.
    """
    _runtime.loop().call_soon_threadsafe(fn, context=contextvars.Context())


def start() -> None:
    """Start the loop's thread now; else the first coroutine does."""
    _runtime.loop()


def is_loop_thread() -> bool:
    """Whether the caller runs on the event loop's thread, which must not block."""
    return _runtime.is_current()


try:
    lifetime.at_exit(lifetime.LOOP, _runtime.close)
except RuntimeError:  # first imported while the interpreter ends
    _runtime.close()
lifetime.in_forked_child(lifetime.LOOP, _runtime.forget)
