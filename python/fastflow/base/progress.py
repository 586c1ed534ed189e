"""Progress of long calls: read from native counters some times a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fastflow.base.bars import NotebookBar, TerminalBar

__all__ = ["Monitor", "Progress"]

Progress = bool | Callable[[int, int | None], object] | None
"""True: a bar, on the terminal or in a notebook.  A callable: called with (done, total)
now and then."""

_INTERVAL = 0.1  # seconds
_SHARE = 200  # a bar costs no more than such a part of the time
_LONGEST = 2.0  # seconds: what stands still for longer seems to hang

_LOGGER = logging.getLogger("fastflow")


class _Counted(Protocol):
    @property
    def done(self) -> int: ...


class Monitor:
    """Shows `work.done` of `total` while the block runs; nothing for None or False.

    The bar appears on a terminal, or in a notebook, where it is a line of HTML that
    changes at most five times a second.  Below it are the stages of a flow that are
    under way, if the work has ``stages()``.  What a callable raises is logged, once;
    what ends the program, such as `sys.exit`, is raised at the end of the block.
    """

    def __init__(
        self, progress: Progress, work: _Counted, total: int | None, label: str
    ):
        self._work = work
        self._total = total
        self._show: Callable[[int, int | None], object] | None = None
        self._bar: TerminalBar | NotebookBar | None = None
        self._ends: BaseException | None = None
        self._over = False
        self._error: BaseException | None = None
        """What has broken off the work."""
        if callable(progress):
            self._show = progress
        elif progress:
            from fastflow.base.bars import bar_for

            self._bar = bar_for(label, total)
            self._show = None if self._bar is None else self._show_bar
        self._end: threading.Event | None = None  # made with the thread: it is dear
        self._thread: threading.Thread | None = None

    def _show_bar(self, done: int, total: int | None) -> None:
        if self._bar is None:
            return
        if self._over:
            self._bar.finish(done, total, self._error)
        else:
            stages = getattr(self._work, "stages", None)
            self._bar.show(done, total, stages() if stages is not None else ())

    def __enter__(self) -> Monitor:
        if self._show is not None:
            self._end = threading.Event()
            thread = threading.Thread(
                target=self._run,
                args=(self._end,),
                name="fastflow-progress",
                daemon=True,
            )
            try:
                thread.start()
            except BaseException:
                self._close_bar()
                raise
            self._thread = thread
        return self

    def _run(self, end: threading.Event) -> None:
        interval = wait = _INTERVAL if self._bar is None else self._bar.interval
        while not end.wait(wait):
            before = time.thread_time()
            self._tell()
            if self._bar is not None:  # the caller's function may cost what it likes
                cost = time.thread_time() - before
                wait = min(max(interval, _SHARE * cost), _LONGEST)

    def _tell(self) -> None:
        """Show how far it is; after a failure, nothing any more: the work goes on."""
        show = self._show
        if show is None:
            return
        try:
            show(self._work.done, self._total)
        except (KeyboardInterrupt, SystemExit) as error:
            # Whoever ends the program means the call, not the thread that shows it.
            self._show, self._ends = None, error
        except BaseException:
            self._show = None
            _LOGGER.exception("progress is not shown any more, as this failed:")

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is None or self._end is None:
            return
        self._end.set()
        self._thread.join()
        self._over, self._error = True, error
        self._tell()
        self._close_bar()
        if self._ends is not None and error is None:
            raise self._ends
