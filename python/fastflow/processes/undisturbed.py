"""What must not be cut off by a signal handler that raises, done in another thread.

Handlers run in the main thread only, between any two of its bytecodes. What changes the
places of calls is native for that reason (`_core.Dispatcher`); what is rare is done by
this: starting processes, burying them, ending an executor.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["call_undisturbed"]


def call_undisturbed(call: Callable[[], object]) -> None:
    """Call where no handler of a signal runs; if one raises here, it goes on there."""
    if threading.current_thread() is not threading.main_thread():
        call()
        return
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="fastflow-undisturbed")
    try:
        thread.start()
    except RuntimeError:  # the interpreter ends, or there are too many
        call()
        return
    thread.join()
    if failed:
        raise failed.pop()
