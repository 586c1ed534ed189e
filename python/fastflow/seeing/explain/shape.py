"""Causes that lie in the shape of a run: when there was how much to do at a time.

Times in which workers are idle and nothing waits are of three kinds: the end, from when
the first worker found nothing any more; times in which one call ran, or none; and all
others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastflow.seeing.explain.facts import Facts
from fastflow.seeing.explain.words import (
    PAGES,
    Cause,
    count,
    name_text,
    ns_text,
    share,
)
from fastflow.seeing.trace import Kind

__all__ = ["shape_causes"]

#: A straggler takes so many times as long as the usual call.
_STRAGGLER = 3
_ALONE = 1.05


def shape_causes(facts: Facts) -> Iterator[Cause]:
    """Yield the causes, significant or not."""
    if facts.useful < 2 or not len(facts.account.call):
        return
    levels = facts.levels
    lacking = (facts.idle > 0.05 * facts.useful) & (levels.waiting < 0.5)
    end = _end_of_work(facts)
    last = _last_call(facts)
    tail = np.zeros(len(levels.start), bool)
    if end is not None and _start(facts, last) <= levels.start[end]:
        tail[end + 1 :] = True
        yield _tail(facts, tail, last)
    alone = lacking & ~tail & (levels.running <= _ALONE)
    yield _serial(facts, alone)
    yield _few(facts, lacking & ~tail & ~alone)
    yield _start_up(facts)


def _start(facts: Facts, call: int) -> float:
    at = facts.account.call[call]
    return float(facts.spans.start[at] - facts.spans.begin)


def _last_call(facts: Facts) -> int:
    """Return the position in the account's calls of the one that ended last."""
    return int(np.argmax(facts.spans.end[facts.account.call]))


def _end_of_work(facts: Facts) -> int | None:
    """Return the last segment in which as many workers as ever had something to do."""
    levels = facts.levels
    had = np.where(levels.width > 0, facts.useful - facts.idle, 0)
    most = had.max(initial=0)
    if most < 1.5:
        return None
    return int(np.flatnonzero((had >= 0.9 * most) | (levels.waiting >= 1))[-1])


def _tail(facts: Facts, tail: np.ndarray, last: int) -> Cause:
    """Judge the end: one call that is too long, or too few calls to share out."""
    levels = facts.levels
    had = facts.useful - facts.idle
    most = float(had.max())
    missing = np.minimum(facts.idle, np.maximum(most - had, 0))[tail]
    lost = float((missing * levels.width[tail]).sum()) / most / 1e9
    length = facts.account.call_own
    took = float(length[last])
    same = length[facts.names == facts.names[last]]
    usual = float(np.median(same if len(same) >= 4 else length))
    name = name_text(facts.name(int(facts.names[last])))
    width = ns_text(float(levels.width[tail].sum()))
    if took >= _STRAGGLER * usual and len(length) >= 4:
        return Cause(
            "a straggler at the end",
            lost,
            f"the last call ({name}) took {ns_text(took)}, the usual one "
            f"{ns_text(usual)}; for {width} workers had nothing else to do",
            "start the longest calls first, or split them",
            f"{PAGES}/stragglers.md",
        )
    each = len(length) / most
    return Cause(
        "calls that can't be shared out evenly",
        lost,
        f"{count(len(length), 'call')} for {most:.0f} workers ({each:.1f} each) of "
        f"{ns_text(usual)} each; for {width} at the end workers had nothing to do",
        "more and shorter calls: ten or more for each worker, about equally long",
        f"{PAGES}/imbalance.md",
    )


def _serial(facts: Facts, alone: np.ndarray) -> Cause:
    """Judge the times in which one call ran, or none."""
    levels = facts.levels
    none = alone & (levels.running < 0.5)
    pause = min(_pauses(facts), float(levels.width[none].sum()))
    width = float(levels.width[alone].sum()) - pause
    lost = max(width, 0.0) * (1 - 1 / facts.useful) / 1e9
    empty = float(levels.width[none].sum()) - pause
    evidence = f"for {ns_text(width)} ({share(width, facts.wall)}) at most one call ran"
    if empty > 0.5 * width:
        evidence += f", for {ns_text(empty)} none: the program itself was at work"
        advice = (
            "make a task of what the program does in between, or begin runs together"
        )
    else:
        name = _most_of(facts, alone & ~none)
        evidence += f", mostly {name}; critical path {ns_text(facts.path.length)}"
        advice = f"split {name}, or let it run beside calls that don't need it"
    return Cause(
        "a serial section", lost, evidence, advice, f"{PAGES}/serial-section.md"
    )


def _pauses(facts: Facts) -> float:
    """Return for how long in all something was waited for on purpose."""
    spans = facts.spans
    mine = spans.kind == Kind.PAUSE
    start = np.maximum(spans.start[mine], spans.begin)
    end = np.minimum(spans.end[mine], spans.finish)
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    before = np.concatenate([start[:1], reach[:-1]])
    return float(np.maximum(reach - np.maximum(start, before), 0).sum())


def _most_of(facts: Facts, segments: np.ndarray) -> str:
    """Return the name that had most of the time in some segments."""
    levels = facts.levels
    edges = np.append(levels.start, levels.start[-1] + levels.width[-1])
    total = np.concatenate([[0.0], np.cumsum(np.where(segments, levels.width, 0))])
    call = facts.account.call
    start = facts.spans.start[call] - facts.spans.begin
    end = facts.spans.end[call] - facts.spans.begin
    inside = np.interp(end, edges, total) - np.interp(start, edges, total)
    sums = np.bincount(facts.names + 1, weights=inside)
    return name_text(facts.name(int(np.argmax(sums)) - 1))


def _few(facts: Facts, some: np.ndarray) -> Cause:
    """Judge the times in which several calls ran, and fewer than there are workers."""
    levels = facts.levels
    width = levels.width[some]
    idle = float((facts.idle[some] * width).sum())
    room = facts.wall - facts.work / facts.useful
    ran = float((levels.running[some] * width).sum()) / max(float(width.sum()), 1.0)
    return Cause(
        "too few tasks at a time",
        max(min(idle / facts.useful, room), 0.0) / 1e9,
        f"for {ns_text(float(width.sum()))} there were {ran:.1f} calls at a time for "
        f"{count(facts.useful, 'worker')}, and none waited",
        "split calls, let nothing wait that need not, or do several runs at once",
        f"{PAGES}/few-tasks.md",
    )


def _start_up(facts: Facts) -> Cause:
    """Judge how long the first call waited while nothing ran."""
    spans, call = facts.spans, facts.account.call
    ready = spans.ready[call]
    first = int(spans.start[call].min())
    known = ready[ready >= 0]
    # Threads start at once; what theirs wait for then is the lock.
    there = facts.spans.kinds[int(spans.lane[call][0])] in ("process", "remote")
    wait = max(first - int(known.min()), 0) if there and len(known) else 0
    return Cause(
        "a late start",
        wait / 1e9,
        f"the first call was ready {ns_text(wait)} before it began",
        "use one executor for all runs, as workers start once; send less to them",
        f"{PAGES}/start-up.md",
    )
