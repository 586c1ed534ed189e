"""What must not be cut off by a signal handler that raises, done in another thread.

Handlers run in the main thread only, between any two of its bytecodes. What changes the
places of calls is native for that reason (`_core.Dispatcher`); what is rare is done by
this: starting processes, burying them, ending an executor.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

__all__ = ["call_undisturbed", "is_stray"]


def call_undisturbed(call: Callable[[], object]) -> None:
    """Call where no handler of a signal runs; if one raises here, it goes on there."""
    if _thread.get_ident() != threading.main_thread().ident:
        call()
        return
    failed: list[BaseException] = []
    over = _thread.allocate_lock()
    over.acquire()

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)
        finally:
            over.release()

    def start() -> None:
        try:
            threading.Thread(
                target=run, name="fastflow-undisturbed", daemon=False
            ).start()
        except RuntimeError:  # there are too many
            run()

    try:
        # `Thread.start` in this thread could be cut off itself, with the thread begun.
        _thread.start_new_thread(start, ())
    except RuntimeError:  # the interpreter ends, or there are too many
        call()
        return
    over.acquire()
    if failed:
        raise failed.pop()


def is_stray(call: Callable[[], object]) -> bool:
    """Tell whether it was a signal handler that has just raised, and not a call.

    Then the call works now.
    """
    if _thread.get_ident() != threading.main_thread().ident:
        return False
    try:
        call()
    except Exception:
        return False
    return True
