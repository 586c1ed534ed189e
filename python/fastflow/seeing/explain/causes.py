"""Why a run was not faster: each cause with its evidence, its price and its remedy.

A rule looks at the facts and gives a cause. What a cause costs is an estimate: how much
sooner the run would have been over without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from fastflow.seeing.explain.facts import SAME_PROCESS, Facts
from fastflow.seeing.explain.shape import shape_causes
from fastflow.seeing.explain.words import PAGES, Cause, count, ns_text, share
from fastflow.seeing.trace import Kind

__all__ = ["causes_of"]

#: What takes less than this share of the time is not worth a change.
_SIGNIFICANT = 0.05
#: How "overhead" names what makes calls on a kind of lane.
_SERVES = {"worker": "submit", "thread": "submit", "process": "process"}


def causes_of(facts: Facts) -> tuple[Cause, ...]:
    """Return the significant causes, the most expensive one first."""
    if not facts.wall:
        return ()
    found = [*_lock(facts), *_cores(facts), *_blocked(facts), *_queue(facts)]
    small = [cause for cause in _small(facts) if _matters(facts, cause)]
    found += small
    found += _sending(facts, bool(small))
    # Workers that wait for somebody to make small calls are idle, too.
    less = sum(cause.lost for cause in small)
    for cause in shape_causes(facts):
        found.append(cause._replace(lost=max(cause.lost - less, 0.0)))
    found = [cause for cause in found if _matters(facts, cause)]
    return tuple(sorted(found, key=lambda cause: -cause.lost))


def _matters(facts: Facts, cause: Cause) -> bool:
    return cause.lost * 1e9 > _SIGNIFICANT * facts.wall


# --- what all workers have in common --------------------------------------------------


def _lock(facts: Facts) -> Iterator[Cause]:
    waited = facts.account.own[Kind.LOCK] + facts.waits.lock
    if not waited:
        return
    ideal = facts.work / min(facts.workers, facts.cpus or facts.workers)
    evidence = (
        f"workers waited {ns_text(waited)} of {ns_text(facts.wall * facts.workers)}"
    )
    if facts.use.lock is not None:
        evidence += f"; somebody had the lock {share(facts.use.lock, 1)} of the time"
    if facts.use.cores is not None:
        used = f"{facts.use.cores:.2f} cores"
        evidence += f"; {facts.use.running:.1f} calls at a time used {used}"
    yield Cause(
        "waiting for the interpreter lock",
        max(min(waited / facts.workers, facts.wall - ideal), 0.0) / 1e9,
        evidence,
        'run pure Python on processes: executor="processes"',
        f"{PAGES}/interpreter-lock.md",
    )


def _cores(facts: Facts) -> Iterator[Cause]:
    """More threads than cores: those of BLAS, or the workers themselves."""
    waited, use = facts.waits.cores, facts.use
    if not waited or use.load is None or not facts.crowded:
        return
    evidence = f"{use.running:.1f} calls at a time"
    # The threads of BLAS are in the program's count, and not in that of the calls.
    if use.blas > 1 and (use.counted is None or use.counted > 1.2 * (use.cores or 0.0)):
        part = share(waited, facts.account.own[Kind.CALL])
        yield Cause(
            "threads of BLAS times workers",
            waited / facts.workers / 1e9,
            f"{evidence}, each with {use.blas} threads of BLAS, on "
            f"{count(facts.cpus, 'core')}; {part} of the time in calls they had none",
            'let each worker have its share: Executor(blas_threads="auto")',
            f"{PAGES}/blas-threads.md",
        )
        return
    if use.running <= facts.cpus * 1.05:
        return  # others had the cores: fewer workers would not help
    free = max(1 - use.load / facts.cpus, 0.0)
    yield Cause(
        "more workers than cores",
        free * facts.wall / 1e9,
        f"{evidence} on {count(facts.cpus, 'core')}, of which {use.load:.1f} did the "
        f"work; calls waited {ns_text(waited)} for a core",
        f"max_workers={facts.cpus}, as many as there are cores",
        f"{PAGES}/many-workers.md",
    )


# --- single workers -------------------------------------------------------------------


def _blocked(facts: Facts) -> Iterator[Cause]:
    """Calls that wait for calls, while others wait for a worker."""
    levels = facts.levels
    all_ = facts.account.own[Kind.BLOCKED]
    if not all_:
        return
    known = bool((levels.waiting > 0).any())
    behind = levels.waiting >= 0.5
    held = float((levels.blocked * levels.width)[behind].sum()) if known else all_
    yield Cause(
        "workers that wait for other calls",
        held / facts.workers / 1e9,
        f"calls waited {ns_text(all_)} for results of others, "
        f"{share(all_, facts.wall * facts.workers)} of the workers' time"
        + (f"; {ns_text(held)} of it while others were ready" if known else ""),
        "don't wait in a task: make what it waits for an argument (a flow or a graph)",
        f"{PAGES}/blocked-workers.md",
    )


def _sending(facts: Facts, small: bool) -> Iterator[Cause]:
    """Packing, sending and unpacking, where it is timed, and what it shows itself as.

    Between calls that are not small, a process does hardly anything else.
    """
    sent = facts.account.own[Kind.SEND]
    kinds = {
        facts.spans.kinds[n] for n in np.unique(facts.spans.lane[facts.account.call])
    }
    if kinds <= {"process", "remote"} and not small:
        sent += facts.account.overhead
    if not sent:
        return
    calls = facts.account.own[Kind.CALL]
    yield Cause(
        "sending to other processes",
        sent / facts.workers / 1e9,
        f"packing and sending took {ns_text(sent)}, the calls {ns_text(calls)}: "
        f"{ns_text(sent / max(len(facts.account.call), 1))} for each",
        "send less: names of files or ranges instead of data, arrays, longer calls",
        f"{PAGES}/sending.md",
    )


def _small(facts: Facts) -> list[Cause]:
    """Calls that are shorter than what one costs beside its function."""
    account = facts.account
    calls = len(account.call)
    if calls < 16:
        return []
    cost = _break_even(facts)
    small = account.call_own < cost
    number = int(small.sum())
    if number < calls / 2:
        return []
    sampled = (calls + max(facts.trace.dropped, 0)) / calls
    between = account.overhead * number / calls
    idle = account.idle + account.overhead
    lost = max(between, min(number * cost * sampled, idle)) / facts.workers
    if number >= 0.9 * calls and facts.wall <= 20 * cost * calls:
        # There was hardly anything else to do than to make calls.
        lost = max(lost, facts.wall - facts.work)
    usual = float(np.median(account.call_own[small]))
    items = math.ceil(10 * cost / max(usual, 1.0))
    return [
        Cause(
            "calls that are too small",
            lost / 1e9,
            f"{number:,} of {count(calls, 'call')} are shorter than the "
            f"{ns_text(cost)} that one costs beside its function "
            f"(median {ns_text(usual)})",
            f"about {count(items, 'item')} per call; map() instead of submit()",
            f"{PAGES}/small-tasks.md",
        )
    ]


def _break_even(facts: Facts) -> float:
    """Return what a call costs beside its function, ns: as measured, else as seen."""
    table = facts.trace.machine.get("overhead")
    call = facts.account.call
    kind = facts.spans.kinds[_most(facts.spans.lane[call])]
    run = _most(np.maximum(facts.spans.run[call], -1) + 1) - 1
    runs = facts.trace.runs
    if isinstance(table, Mapping):
        name = _SERVES.get(kind, kind)
        if name == "submit" and 0 <= run < len(runs) and runs[run].kind == "map":
            name = "map"
        found = table.get(name)
        if isinstance(found, int | float) and 0 < found < math.inf:
            return float(found)
    if kind not in SAME_PROCESS:
        return 0.0  # what is between calls elsewhere, is sending
    return facts.account.overhead / max(facts.account.gaps, 1)


def _most(numbers: np.ndarray) -> int:
    """Return the number that is there most often."""
    return int(np.argmax(np.bincount(numbers)))


# --- what waited ----------------------------------------------------------------------


def _queue(facts: Facts) -> Iterator[Cause]:
    """All workers were busy while calls were ready: more of them may help."""
    levels = facts.levels
    full = (levels.waiting >= 1) & (levels.occupied > 0.95 * facts.workers)
    width = float(levels.width[full].sum())
    calls = facts.account.own[Kind.CALL]
    stuck = facts.account.own[Kind.LOCK] + facts.waits.lock + facts.waits.cores
    if not width:
        return
    waiting = float((levels.waiting * levels.width)[full].sum()) / width
    more = facts.workers + waiting
    evidence = (
        f"for {ns_text(width)} all of {count(facts.workers, 'worker')} were busy and "
        f"{count(waiting, 'call')} waited"
    )
    used = facts.use.load
    if facts.waits.outside and facts.waits.share >= 0.5:
        cpu = (used or 0.0) / (facts.cpus or facts.workers)
        least = max(facts.workers / more, cpu)
        yield Cause(
            "few workers for calls that wait",
            (1 - min(least, 1.0)) * width / 1e9,
            evidence + f"; calls used {share(used or 0.0, facts.workers)} of the time "
            "a processor, and waited for something outside",
            "many more workers than cores, or async functions",
            f"{PAGES}/waits.md",
        )
    elif (
        stuck < 0.25 * calls
        and facts.workers < facts.cpus
        and (used is None or used < 0.9 * facts.cpus)
    ):
        locked = facts.use.gil and (facts.use.lock or 0.0) >= 0.8
        target = min(facts.cpus, more)
        yield Cause(
            "too few workers",
            (1 - facts.workers / target) * width / 1e9,
            evidence
            + f"; there are {count(facts.cpus, 'core')}"
            + (f", {used:.1f} in use" if used is not None else ""),
            f"max_workers={facts.cpus}"
            + (", on processes: the interpreter lock is never free" if locked else ""),
            f"{PAGES}/few-workers.md",
        )
