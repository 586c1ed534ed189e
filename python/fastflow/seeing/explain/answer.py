"""Why a run was not faster: where its time went, and what to change.

A trace goes through these, each of which knows only those before it: `spans`
(repaired), `account` (whose time), `levels` (how many at a time),
`path` (what had to follow each other), `facts`, `shape`,
`causes`, `result`.
"""

from __future__ import annotations

import numpy as np

from fastflow.seeing.explain.causes import causes_of
from fastflow.seeing.explain.facts import Facts, facts_of
from fastflow.seeing.explain.path import CriticalPath
from fastflow.seeing.explain.result import Explanation
from fastflow.seeing.explain.words import Cause, ns_text
from fastflow.seeing.trace import Kind, Trace

__all__ = ["Cause", "CriticalPath", "Explanation", "explain"]

#: Fewer calls than this say little.
_FEW = 4


def explain(trace: Trace) -> Explanation:
    """Say where the time of a run went, and why it was not faster.

    Parameters
    ----------
    trace : Trace
        Of any recording. Times are taken as they are; what is not known is left out.

    Returns
    -------
    Explanation

    Examples
    --------
    >>> import numpy as np
    >>> from fastflow.seeing.trace import SPAN, Lane, Trace
    >>> spans = np.zeros(8, SPAN)
    >>> spans["start"] = np.arange(8) // 2 * 1_000_000
    >>> spans["end"] = spans["start"] + 1_000_000
    >>> spans["lane"] = np.arange(8) % 2
    >>> spans["ready"], spans["cpu"] = spans["start"], 1_000_000
    >>> lanes = (Lane("worker 0", "worker"), Lane("worker 1", "worker"))
    >>> found = explain(Trace(spans, ("work",), lanes))
    >>> found.tasks, found.speedup, found.utilisation, found.causes
    (8, 2.0, 1.0, ())
    """
    facts = facts_of(trace)
    spans = facts.spans
    calls = (spans.kind == Kind.CALL) & ~spans.cached
    tasks = int(calls.sum())
    if trace.dropped > 0:
        tasks = max(tasks, sum(total.count for total in trace.totals))
    return Explanation(
        tasks=tasks,
        wall=facts.wall / 1e9,
        work=facts.work / 1e9,
        workers=facts.workers,
        cpus=facts.cpus,
        useful=facts.useful,
        critical_path=facts.path,
        account=_account(facts),
        causes=causes_of(facts),
        notes=_notes(facts, tasks),
    )


def _account(facts: Facts) -> dict[str, float]:
    own, waits = facts.account.own, facts.waits
    between = (
        "between calls" if facts.trace.dropped <= 0 else "not kept, or between calls"
    )
    table = {
        "in calls": own[Kind.CALL] - waits.lock - waits.cores,
        "waiting for the interpreter lock": own[Kind.LOCK] + waits.lock,
        "waiting for a core": waits.cores,
        "waiting for other calls": own[Kind.BLOCKED],
        "sending to processes": own[Kind.SEND],
        "idle, as too few calls were ready": facts.account.idle,
        between: facts.account.overhead,
        "pauses": own[Kind.PAUSE],
    }
    return {name: ns / 1e9 for name, ns in table.items()}


def _notes(facts: Facts, calls: int) -> tuple[str, ...]:
    notes = []
    spans = facts.spans
    kept = len(facts.trace.spans)
    dropped = max(facts.trace.dropped, 0)
    if not calls:
        notes.append("nothing was called while this was recorded")
    elif calls < _FEW:
        notes.append("there are only a few calls: the figures say little")
    if dropped:
        exact = (
            "counts and times in calls are exact"
            if facts.trace.totals
            else "counts and times in calls are too small"
        )
        notes.append(
            f"sampled: {kept:,} of {kept + dropped:,} spans were kept; {exact}, times "
            "between calls too large"
        )
    if facts.waits.cores > 0.1 * facts.account.own[Kind.CALL] and not facts.crowded:
        notes.append(
            "other programs had the cores: calls could have gone on for "
            f"{ns_text(facts.waits.cores)} and had none"
        )
    apart = np.flatnonzero((spans.kind == Kind.CALL) & spans.apart & ~spans.cached)
    if len(apart):
        length = float((spans.end[apart] - spans.start[apart]).sum())
        notes.append(
            f"{len(apart):,} of the calls were awaited on an event loop, "
            f"{length / max(facts.wall, 1):,.1f} at a time: they take nobody's time, "
            "and count for the critical path only"
        )
    return tuple(notes)
