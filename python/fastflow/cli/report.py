"""``fastflow report``: the HTML report of a run that has been."""

from __future__ import annotations

import sys
from pathlib import Path

from fastflow.base.terminal import printable, write_lines
from fastflow.cli.runs import clean_log
from fastflow.durable.exceptions import DurableExecutionsError
from fastflow.errors import FlowError
from fastflow.seeing.past import past
from fastflow.seeing.report import write_report

__all__ = ["report"]

_GOOD, _BAD = 0, 2


def report(file: Path, run: str | None, output: Path, title: str | None) -> int:
    """Write the report of a past run and return the exit code."""
    clean_log()
    try:
        trace = past(file, run)
        write_report(trace, output, title=title)
    except (FlowError, DurableExecutionsError) as error:
        return _complain(error)
    except OSError as error:
        return _complain(f"can't write {output}: {error.strerror or error}")
    name = trace.runs[0].name if trace.runs else "a trace"
    lines = f"{output}: {name}, {len(trace.spans):,} spans"
    write_lines(printable(lines))
    return _GOOD


def _complain(error: object) -> int:
    lines = f"fastflow report: {error}".split("\n")
    write_lines(*[printable(line) for line in lines], to=sys.stderr)
    return _BAD
