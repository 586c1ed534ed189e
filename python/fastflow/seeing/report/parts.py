"""The parts of a report that need no script: what is said in words and figures."""

from __future__ import annotations

import datetime
import html
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastflow.base.terminal import printable
from fastflow.seeing.explain.result import Explanation
from fastflow.seeing.report.graph import graph_of
from fastflow.seeing.report.summary import Summary
from fastflow.seeing.report.text import shown_share, shown_time
from fastflow.seeing.trace import Trace

__all__ = [
    "escaped",
    "figures",
    "links",
    "listed",
    "machine",
    "notices",
    "section",
    "subtitle",
]


_FACTS = {
    "cpus": "Processors",
    "workers": "Workers",
    "gil": "Interpreter lock",
    "python": "Python",
    "blas": "Threads of BLAS",
    "overhead": "Overhead of a call, ns",
}


def escaped(text: str) -> str:
    """Return a text as HTML, with what can't be written replaced."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return html.escape(printable(whole))


def subtitle(trace: Trace) -> str:
    """Say what was run, and when."""
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


def links(trace: Trace) -> str:
    """Return the links to the parts of the page."""
    failed = bool(trace.failures) or any(run.error for run in trace.runs)
    links = (
        ("summary", "Summary", True),
        ("why", "Where the time went", True),
        ("graph", "Graph", graph_of(trace) is not None),
        ("timeline", "Timeline", True),
        ("tasks", "Tasks", True),
        ("sizes", "Durations", True),
        ("errors", "Errors", failed),
        ("machine", "Machine", bool(trace.machine)),
    )
    shown = [f'<a href="#{key}">{name}</a>' for key, name, there in links if there]
    return "".join(shown)


def notices(trace: Trace) -> Iterator[str]:
    """Say what must not be overlooked."""
    if trace.dropped:
        kept = len(trace.spans)
        yield (
            f'<p class="notice"><b>{trace.dropped:,} spans were dropped</b>, as the '
            f"rings that hold them were full; {kept:,} are shown. Figures are of those "
            "that were kept.</p>"
        )
    for run in [run for run in trace.runs if run.error][:5]:
        what = escaped(f"{run.kind} {run.name}: {run.error}"[:2000])
        yield f'<p class="notice bad">It has failed. {what}</p>'


def figures(
    summary: Summary, explanation: Explanation
) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, what is said below it, and whether it is bad."""
    yield "Wall time", shown_time(summary.wall), "", ""
    yield "Calls", f"{summary.calls:,}", _other_calls(summary), ""
    cpu = "" if summary.cpu is None else f"{shown_time(summary.cpu)} of processors"
    if explanation.workers:
        # It leaves out what calls waited for the interpreter lock, or for a core.
        yield "Work", shown_time(explanation.work), cpu, ""
        yield "In calls", shown_time(summary.work), "waits included", ""
    else:
        yield "Work", shown_time(summary.work), cpu, ""
    yield "At a time", f"{summary.at_a_time:.2f}", "calls, on average", ""
    if explanation.parallelism > 0:
        value = f"{explanation.parallelism:,.1f}"
        yield "Parallelism", value, "work / critical path", ""
    workers, share = summary.workers, summary.utilisation
    if explanation.workers:
        # It knows which of them took part.
        workers, share = explanation.workers, explanation.utilisation
    if share is not None:
        plural = "" if workers == 1 else "s"
        yield "Utilisation", shown_share(share), f"of {workers:,} worker{plural}", ""
    bad = "bad" if summary.failed else ""
    retried = f"{summary.retried:,} made again" if summary.retried else ""
    yield "Failures", f"{summary.failed:,}", retried, bad
    if summary.waits:
        yield "Waits", f"{summary.waits:,}", "tasks paused", ""
    bad = "bad" if summary.dropped else ""
    yield "Dropped spans", f"{summary.dropped:,}", "", bad


def _other_calls(summary: Summary) -> str:
    parts = ("cached", "cancelled", "running")
    found = [(name, getattr(summary, name)) for name in parts]
    return ", ".join([f"{count:,} {name}" for name, count in found if count])


def listed(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Return figures as a list; see `figures`."""
    out = []
    for name, value, below, kind in rows:
        small = f"<small>{escaped(below)}</small>" if below else ""
        mark = f' class="{kind}"' if kind else ""
        out.append(
            f"<div><dt>{escaped(name)}</dt><dd{mark}>{escaped(value)}{small}</dd></div>"
        )
    return "".join(out)


def section(key: str, name: str, text: str) -> str:
    """Return a part of the page that is a text."""
    lines = "\n".join([escaped(line) for line in text.split("\n")])
    return (
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">'
        f'{name}</h2><pre class="explanation" tabindex="0">{lines}</pre></section>'
    )


def machine(known: Mapping[str, Any]) -> str:
    """Return what is known of the machine."""
    rows = [
        (_FACTS.get(name, str(name)), _told(value), "", "")
        for name, value in known.items()
        if value not in (None, "", [], {})
    ]
    if not rows:
        return ""
    return (
        '<section id="machine" aria-labelledby="machine-title"><h2 id="machine-title">'
        f'Machine</h2><dl class="figures machine">{listed(rows)}</dl></section>'
    )


def _told(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join([f"{name} {_told(part)}" for name, part in value.items()])
    if isinstance(value, list | tuple):
        return ", ".join([_told(part) for part in value])
    return f"{value:,.1f}" if isinstance(value, float) else str(value)
