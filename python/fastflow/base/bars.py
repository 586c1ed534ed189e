"""Bars that show how far something is: on a terminal, and in a notebook.

A terminal's is drawn by rich. In notebooks rich's bars leave traces, and make an output
for each change; there a bar is one HTML element, shown once and replaced in place.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

from fastflow.base.terminal import printable

__all__ = ["NotebookBar", "Stage", "TerminalBar", "bar_for"]

_MOST_STAGES = 8


class Stage(NamedTuple):
    """A part of a flow that is under way."""

    name: str
    done: int
    total: int


def bar_for(label: str, total: int | None) -> TerminalBar | NotebookBar | None:
    """Return a bar where one can be seen, else None."""
    if _in_kernel():
        return NotebookBar(label, total)
    return TerminalBar(label, total) if sys.stderr.isatty() else None


def _in_kernel() -> bool:
    """Whether a notebook's kernel runs this; nothing is imported to find out."""
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = shell_of() if shell_of is not None else None
    return getattr(shell, "kernel", None) is not None


class TerminalBar:
    """Bars on standard error: one for all, and one for each stage under way."""

    interval = 0.1
    """Seconds between two looks."""

    def __init__(self, label: str, total: int | None) -> None:
        from rich.console import Console
        from rich.markup import escape as plain
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._plain = plain
        self.rich = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
        )
        self._all = self.rich.add_task(self._shown(label), total=total, rate="")
        self._stages: dict[str, Any] = {}
        self.rich.start()

    def _shown(self, name: str) -> str:
        return self._plain(printable(name, 60))

    def show(self, done: int, total: int | None, stages: Sequence[Stage] = ()) -> None:
        """Show how far it is."""
        self._note(done, total, stages)
        self.rich.refresh()

    def _note(self, done: int, total: int | None, stages: Sequence[Stage]) -> None:
        speed = self.rich.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        self._show_stages(stages[:_MOST_STAGES])
        self.rich.update(self._all, completed=done, total=total, rate=rate)

    def _show_stages(self, stages: Sequence[Stage]) -> None:
        for name in self._stages.keys() - {stage.name for stage in stages}:
            self.rich.remove_task(self._stages.pop(name))
        for stage in stages:
            bar = self._stages.get(stage.name)
            if bar is None:
                bar = self._stages[stage.name] = self.rich.add_task(
                    f"  {self._shown(stage.name)}", total=stage.total, rate=""
                )
            self.rich.update(bar, completed=stage.done, total=stage.total)

    def finish(
        self,
        done: int,
        total: int | None,
        error: BaseException | None,  # noqa: ARG002  (the bar tells how far it came)
    ) -> None:
        """Note how far it came, for `close` to show."""
        self._note(done, total, ())

    def close(self) -> None:
        """Show the bar once more, and leave it as it is."""
        self.rich.stop()


class NotebookBar:
    """A plain ``<progress>`` in the output of a cell."""

    interval = 0.25

    def __init__(self, label: str, total: int | None) -> None:
        import uuid

        self._label = label
        self._began = time.monotonic()
        self._id = f"fastflow-{uuid.uuid4().hex}"
        self._display(_line(label, 0, total, ""), label, update=False)

    def show(self, done: int, total: int | None, stages: Sequence[Stage] = ()) -> None:
        """Show how far it is."""
        took = max(time.monotonic() - self._began, 1e-9)
        rate = done / took
        note = f"{rate:,.0f}/s" if rate >= 1 else ""
        if note and total is not None and 0 < done < total:
            note += f", {_clock((total - done) / rate)} left"
        lines = [_line(self._label, done, total, note)]
        for stage in stages[:_MOST_STAGES]:
            lines.append(_line(stage.name, stage.done, stage.total, "", inner=True))
        if len(stages) > _MOST_STAGES:
            more = len(stages) - _MOST_STAGES
            lines.append(f"<div>… {more:,} more</div>")
        self._display("".join(lines), f"{self._label}: {done:,}", update=True)

    def finish(self, done: int, total: int | None, error: BaseException | None) -> None:
        """Say how it has ended."""
        took = _clock(time.monotonic() - self._began)
        note = f"in {took}"
        if isinstance(error, KeyboardInterrupt):
            note = f"interrupted after {took}"
        elif error is not None or (total is not None and done < total):
            note = f"stopped after {took}"
        line = _line(self._label, done, total, note)
        self._display(line, f"{self._label}: {done:,} {note}", update=True)

    def close(self) -> None:
        """Leave the bar as it is."""

    def _display(self, inner: str, plain: str, *, update: bool) -> None:
        import IPython.display

        html = f'<div class="fastflow-progress">{inner}</div>'
        data = {"text/html": html, "text/plain": printable(plain)}
        show: Any = IPython.display.display
        show(data, raw=True, display_id=self._id, update=update)


def _line(
    label: str, done: int, total: int | None, note: str, *, inner: bool = False
) -> str:
    name = escape(printable(label, 60))
    known = (
        "" if total is None else f' value="{min(done, total)}" max="{max(total, 1)}"'
    )
    of = "" if total is None else f" / {total:,}"
    indent = ' style="padding-left:2em"' if inner else ""
    return (
        f"<div{indent}><label>{name} <progress{known}></progress></label> "
        f"{done:,}{of} {escape(note)}</div>"
    )


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
