"""A run as one HTML file that needs nothing else: no server, no network, no library.

The page's parts are the files beside this one in ``page``. They are put together as
they are; names and texts of the run are in the packed data, which the page reads, or
are escaped. The policy of the page forbids it to ask anybody for anything, and to run
another script than its own.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import html
import os
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastflow.base.terminal import printable
from fastflow.base.textfiles import write_text
from fastflow.seeing.report_data import pack
from fastflow.seeing.report_summary import Summary, summary_of
from fastflow.seeing.report_text import shown_share, shown_time
from fastflow.seeing.trace import Dag, Trace

__all__ = ["write_report"]

#: In the order in which they are run: each uses what is in the ones before.
_SCRIPTS = (
    "data", "format", "sort", "colors", "axis", "rows", "strip", "timeline", "interact",
    "counters", "stats", "grid", "tasks", "histogram", "errors", "selected", "graph",
    "download", "theme", "main",
)  # fmt: skip


def write_report(
    trace: Trace, path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Write what was seen of a run to one HTML file.

    It opens in any browser of today, without a network. Of a million spans it has less
    than 10 MB: times are rounded then, to some hundred nanoseconds, which it says.
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
    explanation = _explanation(trace)
    packed = pack(
        trace,
        title=title,
        summary={
            **summary._asdict(),
            "parallelism": summary.parallelism,
            "utilisation": summary.utilisation,
        },
        explanation=explanation,
        dag=_graph(trace),
    )
    script = _script()
    parts = {
        "policy": _policy(script),
        "title": _escaped(title),
        "style": _file("style.css"),
        "subtitle": _escaped(_subtitle(trace)),
        "links": _links(trace, explanation is not None),
        "notices": "".join(_notices(trace)),
        "figures": _list(_figures(trace, summary)),
        "explanation": _section("why", "What held it up", explanation),
        "machine": _machine(trace.machine),
        "version": _escaped(version("fastflow")),
        "data": base64.b64encode(packed).decode("ascii"),
        "script": script,
    }
    page = _file("page.html")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], page)


def _file(name: str) -> str:
    found = resources.files("fastflow.seeing") / "page" / name
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


def _escaped(text: str) -> str:
    """Return a text as HTML, with what can't be written replaced."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return html.escape(printable(whole))


def _subtitle(trace: Trace) -> str:
    parts = [f"{run.kind} {run.id}".strip() for run in trace.runs[:1]]
    if len(trace.runs) > 1:
        parts.append(f"{len(trace.runs):,} runs")
    if trace.began > 0:
        try:
            began = datetime.datetime.fromtimestamp(trace.began, datetime.UTC)
            parts.append(f"{began:%Y-%m-%d %H:%M:%S} UTC")
        except (OverflowError, ValueError, OSError):
            pass  # no time that there can be
    return " · ".join(parts)


def _links(trace: Trace, explained: bool) -> str:
    failed = bool(trace.failures) or any(run.error for run in trace.runs)
    links = (
        ("summary", "Summary", True),
        ("why", "What held it up", explained),
        ("graph", "Graph", _graph_of(trace) is not None),
        ("timeline", "Timeline", True),
        ("tasks", "Tasks", True),
        ("sizes", "Durations", True),
        ("errors", "Errors", failed),
        ("machine", "Machine", True),
    )
    shown = [f'<a href="#{key}">{name}</a>' for key, name, there in links if there]
    return "".join(shown)


def _notices(trace: Trace) -> Iterator[str]:
    if trace.dropped:
        kept = len(trace.spans)
        yield (
            f'<p class="notice"><b>{trace.dropped:,} spans were dropped</b>, as the '
            f"rings that hold them were full; {kept:,} are shown. Figures are of those "
            "that were kept.</p>"
        )
    for run in [run for run in trace.runs if run.error][:5]:
        what = _escaped(f"{run.kind} {run.name}: {run.error}"[:2000])
        yield f'<p class="notice bad">It has failed. {what}</p>'


def _figures(trace: Trace, summary: Summary) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, what is said below it, and whether it is bad."""
    yield "Wall time", shown_time(summary.wall), "", ""
    yield "Calls", f"{summary.calls:,}", _other_calls(summary), ""
    cpu = "" if summary.cpu is None else f"{shown_time(summary.cpu)} of processors"
    yield "Work", shown_time(summary.work), cpu, ""
    yield "Parallelism", f"{summary.parallelism:.2f}", "calls at a time", ""
    if summary.utilisation is not None:
        share = shown_share(summary.utilisation)
        plural = "" if summary.workers == 1 else "s"
        yield "Utilisation", share, f"of {summary.workers:,} worker{plural}", ""
    bad = "bad" if summary.failed else ""
    retried = f"{summary.retried:,} made again" if summary.retried else ""
    yield "Failures", f"{summary.failed:,}", retried, bad
    if summary.waits:
        yield "Waits", f"{summary.waits:,}", "nobody worked on it", ""
    yield "Dropped spans", f"{trace.dropped:,}", "", "bad" if trace.dropped else ""


def _other_calls(summary: Summary) -> str:
    parts = ("cached", "cancelled", "running")
    found = [(name, getattr(summary, name)) for name in parts]
    return ", ".join([f"{count:,} {name}" for name, count in found if count])


def _list(rows: Iterator[tuple[str, str, str, str]]) -> str:
    out = []
    for name, value, below, kind in rows:
        small = f"<small>{_escaped(below)}</small>" if below else ""
        mark = f' class="{kind}"' if kind else ""
        out.append(
            f"<div><dt>{_escaped(name)}</dt><dd{mark}>{_escaped(value)}{small}</dd></div>"
        )
    return "".join(out)


def _section(key: str, name: str, text: str | None) -> str:
    if text is None:
        return ""
    lines = "\n".join([_escaped(line) for line in text.split("\n")])
    return (
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f'{name}</h2><pre class="explanation">{lines}</pre></section>'
    )


def _machine(machine: Mapping[str, Any]) -> str:
    rows = [
        (str(name), value)
        for name, given in machine.items()
        for value in ([_told(given)] if given not in (None, {}, ()) else [])
    ]
    if not rows:
        rows = [("", "Nothing is known of the machine.")]
    facts = _list((name, value, "", "") for name, value in rows)
    return (
        '<section id="machine" aria-labelledby="machine-title"><h2 id="machine-title">'
        f'Machine</h2><dl class="figures machine">{facts}</dl></section>'
    )


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join([f"{name} {_told(part)}" for name, part in value.items()])
    if isinstance(value, list | tuple):
        return ", ".join([_told(part) for part in value])
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _explanation(trace: Trace) -> str | None:
    try:
        from fastflow.seeing.explain import explain
    except ModuleNotFoundError:
        return None
    return str(explain(trace).text())


def _graph_of(trace: Trace) -> Dag | None:
    """Return the graph of the first run that has one."""
    dags = [run.dag for run in trace.runs if run.dag is not None and run.dag.names]
    return dags[0] if dags else None


def _graph(trace: Trace) -> str | None:
    dag = _graph_of(trace)
    try:
        from fastflow.seeing.dag_svg import dag_svg
    except ModuleNotFoundError:
        return None
    return None if dag is None else str(dag_svg(dag))
