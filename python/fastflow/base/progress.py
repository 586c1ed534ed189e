"""Progress of long calls: read from native counters ten times a second."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol

__all__ = ["Monitor", "Progress"]

Progress = bool | Callable[[int, int | None], object] | None
"""True: a bar on the terminal.  A callable: called with (done, total)."""

_INTERVAL = 0.1  # seconds

_LOGGER = logging.getLogger("fastflow")


class _Counted(Protocol):
    @property
    def done(self) -> int: ...


class Monitor:
    """Shows `work.done` of `total` while the block runs; nothing for None or False.

    The bar appears on a terminal only.  What a callable raises is logged, once; what
    ends the program, such as `sys.exit`, is raised at the end of the block.
    """

    def __init__(
        self, progress: Progress, work: _Counted, total: int | None, label: str
    ):
        self._work = work
        self._total = total
        self._show: Callable[[int, int | None], object] | None = None
        self._bar: Any = None
        self._ends: BaseException | None = None
        if callable(progress):
            self._show = progress
        elif progress and sys.stderr.isatty():
            self._show = self._bar_for(label)
        self._end: threading.Event | None = None  # made with the thread: it is dear
        self._thread: threading.Thread | None = None

    def _bar_for(self, label: str) -> Callable[[int, int | None], object]:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        task = self._bar.add_task(label, total=self._total, rate="")
        self._bar.start()

        def show(done: int, total: int | None) -> None:
            speed = self._bar.tasks[0].speed
            rate = f"{speed:,.0f}/s" if speed else ""
            self._bar.update(task, completed=done, total=total, rate=rate, refresh=True)

        return show

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
                self._stop_bar()
                raise
            self._thread = thread
        return self

    def _run(self, end: threading.Event) -> None:
        while not end.wait(_INTERVAL):
            self._tell()

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

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()

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
        self._tell()
        self._stop_bar()
        if self._ends is not None and error is None:
            raise self._ends
