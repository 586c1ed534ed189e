"""What ``fastflow run`` prints: a table of tasks, and results."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastflow.base.terminal import printable, write_lines
from fastflow.run.results import FlowResult
from fastflow.seeing.task_rows import task_rows
from fastflow.seeing.texts import time_text

__all__ = ["print_result", "print_tasks"]

_MOST = 40  # tasks
_LONGEST = 2_000  # characters of a result
_STYLES = {"COMPLETED": "green", "FAILED": "bold red", "SKIPPED": "dim"}


def print_tasks(result: FlowResult) -> None:
    """Print a table of the tasks: failures, and those that took longest."""
    rows, total = task_rows(result, _MOST)
    with_error = any(row.error for row in rows)
    table = Table(title=_text(f"{result.flow}: {result.status}"), title_style="bold")
    table.add_column("task", overflow="fold")
    table.add_column("status")
    table.add_column("time", justify="right")
    table.add_column("share", justify="right")
    table.add_column("worker", overflow="fold")
    if with_error:
        table.add_column("error", overflow="fold", ratio=1)
    for row in rows:
        status = row.status
        if row.attempts > 1:
            status += f" ({row.attempts} attempts)"
        cells = [row.name, status, row.time, row.share, row.worker]
        style = _STYLES.get(row.status, "")
        texts = [_text(cell) for cell in cells]
        texts[1].stylize(style)
        table.add_row(*texts, *([_text(row.error)] if with_error else []))
    left = total - len(rows)
    if left:
        table.caption = f"{left:,} more tasks are not shown"
    Console(highlight=False).print(table)
    done = f"{len(result):,} of {total:,} tasks completed"
    write_lines(f"{done} in {time_text(result.duration)}")


def _text(content: str) -> Text:
    """What rich prints as it is: no markup, no control characters."""
    return Text(printable(content))


def print_result(results: dict[str, Any]) -> None:
    """Print what came out, as JSON, by task."""
    for name, value in results.items():
        text = json.dumps(value, ensure_ascii=False, default=repr)
        write_lines(f"{printable(name, 80)}: {printable(text, _LONGEST)}")
