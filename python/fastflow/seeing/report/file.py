"""A run as one HTML file that needs nothing else: no server, no network, no library.

The page's parts are the files beside this one in ``page``. They are put together as
they are; names and texts of the run are in the packed data, which the page reads, or
are escaped. The policy of the page forbids it to ask anybody for anything, and to run
another script than its own.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from importlib import resources
from importlib.metadata import version
from pathlib import Path

from fastflow.base.textfiles import write_text
from fastflow.seeing.explain import explain
from fastflow.seeing.report.data import pack
from fastflow.seeing.report.graph import picture_of
from fastflow.seeing.report.parts import (
    escaped,
    figures,
    links,
    listed,
    machine,
    notices,
    section,
    subtitle,
)
from fastflow.seeing.report.summary import summary_of
from fastflow.seeing.trace import Trace

__all__ = ["write_report"]

#: In the order in which they are run: each uses what is in the ones before.
_SCRIPTS = (
    "data", "format", "drawn", "sort", "colors", "axis", "rows", "strip", "spans",
    "timeline", "interact", "counters", "stats", "grid", "columns", "tasks",
    "histogram", "errors", "selected", "graph", "download", "theme", "main",
)  # fmt: skip


def write_report(
    trace: Trace, path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Write what was seen of a run to one HTML file.

    It opens in any browser of today, without a network. Of a million spans it has less
    than 10 MB: times are rounded then, to some ten nanoseconds, which it says.
    Arguments and results are not in it, but messages of errors are.

    Parameters
    ----------
    trace : Trace
        What was seen.
    path : path
        Written as a whole: a reader never sees half of it.
    title : str, optional
        Default: the name of the first run.

    Raises
    ------
    OSError
        If it can't be written; what was there is as it was.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from fastflow.seeing.trace import SPAN
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     page = Path(directory, "report.html")
    ...     write_report(Trace(np.zeros(0, SPAN)), page, title="nothing")
    ...     page.read_text().count("<title>nothing</title>")
    1
    """
    write_text(Path(path), _page(trace, _title(trace, title)))


def _title(trace: Trace, given: str | None) -> str:
    if given is not None:
        return given
    return trace.runs[0].name if trace.runs else "What fastflow did"


def _page(trace: Trace, title: str) -> str:
    summary = summary_of(trace)
    explanation = explain(trace)
    text = explanation.text()
    facts = list(figures(summary, explanation))
    packed = pack(
        trace,
        title=title,
        summary={
            **summary._asdict(),
            "at_a_time": summary.at_a_time,
            "utilisation": explanation.utilisation,
            "parallelism": explanation.parallelism,
        },
        explanation=text,
        dag=picture_of(trace),
    )
    script = _script()
    parts = {
        "policy": _policy(script),
        "title": escaped(title),
        "style": _file("style.css"),
        "subtitle": escaped(subtitle(trace)),
        "links": links(trace),
        "notices": "".join(notices(trace)),
        "figures": listed(facts),
        "explanation": section("why", "Where the time went", text),
        "machine": machine(trace.machine),
        "version": escaped(version("fastflow")),
        "data": base64.b64encode(packed).decode("ascii"),
        "script": script,
    }
    page = _file("page.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def _file(name: str) -> str:
    found = resources.files("fastflow.seeing.report") / "page" / name
    return found.read_text("utf-8")


def _script() -> str:
    """Return all scripts as one that leaves no name behind."""
    parts = [_file(f"{name}.js") for name in _SCRIPTS]
    return "\n(() => {\n" + '"use strict";\n' + "\n".join(parts) + "})();\n"


def _policy(script: str) -> str:
    """Return the policy of the page: its own script, its own style, nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
