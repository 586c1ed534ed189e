"""What the causes are judged by: the numbers of one trace, each computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastflow.seeing.explain.account import Account, account_of
from fastflow.seeing.explain.levels import Levels, levels_of
from fastflow.seeing.explain.path import CriticalPath, critical_path
from fastflow.seeing.explain.spans import Spans, tidy
from fastflow.seeing.trace import Kind, Trace

__all__ = ["SAME_PROCESS", "Facts", "Use", "Waits", "facts_of"]

#: From which share of its time in use the interpreter lock holds the others up.
_LOCKED = 0.8
#: Cores in use by threads that are held up by the lock, if nobody has measured it.
_ONE_CORE = (0.85, 1.1)
#: From which share of the cores in use calls may be waiting for one.
_CORES_IN_USE = 0.6
#: A call that uses less than this share of its time waits for something outside.
_WAITS = 0.3
#: More than any counter can be.
_MOST = 1e9
#: Kinds of lanes that share an interpreter.
SAME_PROCESS = {"worker", "thread"}


@dataclass(frozen=True)
class Waits:
    """Time in which calls went on and used no processor. All are ns of workers."""

    lock: float = 0.0
    cores: float = 0.0
    outside: float = 0.0
    """For the network, a disk, a sleep."""
    share: float = 0.0
    """Share of the time in calls that belongs to calls that mostly wait outside."""


@dataclass(frozen=True)
class Use:
    """What of the machine was in use while calls went on. None: not known."""

    running: float
    """Calls at a time."""
    cores: float | None
    """By the threads of the calls."""
    counted: float | None
    """By the program, as counted."""
    load: float | None
    """The larger of both, with BLAS's threads."""
    blas: int
    """Threads of the largest pool; at least 1."""
    gil: bool
    lock: float | None
    """Share of the time in which somebody had the interpreter lock."""
    starved: float | None
    """Threads at a time that had no core."""


@dataclass(frozen=True, eq=False)
class Facts:
    """Numbers of one trace; times are ns unless said otherwise."""

    trace: Trace
    spans: Spans
    account: Account
    levels: Levels
    path: CriticalPath
    waits: Waits
    workers: int
    """Lanes that count."""
    cpus: int
    """0: not known."""
    use: Use

    @property
    def wall(self) -> float:
        """How long there was something to do."""
        return float(self.spans.wall)

    @property
    def work(self) -> float:
        """Time in calls, without that in which they waited for lock or core."""
        return max(
            self.account.own[Kind.CALL] - self.waits.lock - self.waits.cores, 0.0
        )

    @property
    def crowded(self) -> bool:
        """Whether this program itself has the cores that its calls lack."""
        return _is_crowded(self.use, self.cpus)

    @property
    def useful(self) -> int:
        """Workers that can do something at a time: one for each core, but for waits."""
        if not self.cpus or self.waits.share >= 0.5:
            return self.workers
        return min(self.workers, self.cpus)

    @property
    def idle(self) -> np.ndarray:
        """Useful workers without anything to do, in each segment of `levels`."""
        found: np.ndarray = np.maximum(self.useful - self.levels.occupied, 0)
        return found

    @property
    def names(self) -> np.ndarray:
        """The label of each call of `account`."""
        labels: np.ndarray = self.spans.label[self.account.call]
        return labels

    def name(self, label: int) -> str:
        """Return the name of a label."""
        return str(self.trace.labels[label]) if label >= 0 else "a call without a name"


def facts_of(trace: Trace) -> Facts:
    """Return the numbers of a trace."""
    spans = tidy(trace)
    account = _completed(trace, spans, account_of(spans))
    workers = int(spans.here.sum())
    levels = levels_of(spans, account)
    cpus = trace.machine.get("cpus")
    cpus = int(cpus) if isinstance(cpus, int | float) and cpus >= 1 else 0
    use = _use_of(trace, spans, account, levels)
    return Facts(
        trace=trace,
        spans=spans,
        account=account,
        levels=levels,
        path=critical_path(trace, spans),
        waits=_waits(spans, account, use, cpus),
        workers=workers,
        cpus=cpus,
        use=use,
    )


def _completed(trace: Trace, spans: Spans, account: Account) -> Account:
    """Give calls the time of those that were not kept, as far as it is known.

    It was taken for time between calls, or where such gaps are long for idle time.
    """
    if trace.dropped <= 0 or not trace.totals:
        return account
    call = spans.kind == Kind.CALL
    kept = float((spans.end[call] - spans.start[call]).sum())
    more = sum(total.time for total in trace.totals) - kept
    between = min(max(more, 0.0), account.overhead)
    idle = min(max(more - between, 0.0), account.idle)
    own = {**account.own, Kind.CALL: account.own[Kind.CALL] + between + idle}
    return replace(
        account, own=own, overhead=account.overhead - between, idle=account.idle - idle
    )


def _use_of(trace: Trace, spans: Spans, account: Account, levels: Levels) -> Use:
    busy = levels.running > 0.5
    width = float(levels.width[busy].sum())
    cores = _cores(account, width)
    counted = _mean_counter(trace, "cpu", spans)
    blas = _blas_threads(trace.machine.get("blas"))
    return Use(
        running=float((levels.running * levels.width).sum()) / max(width, 1.0),
        cores=cores,
        counted=counted,
        load=max((x for x in (counted, cores and cores * blas) if x), default=None),
        blas=blas,
        gil=bool(trace.machine.get("gil", True)),
        lock=_mean_counter(trace, "lock", spans),
        starved=_mean_counter(trace, "starved", spans),
    )


def _waits(spans: Spans, account: Account, use: Use, cpus: int) -> Waits:
    """Say what calls waited for while they used no processor.

    Of a call it is known only that it did. How many threads had no core may have been
    counted; else whether the lock or the cores were in use all the time says what for.
    """
    known = account.call_cpu >= 0
    own, cpu = account.call_own[known], account.call_cpu[known]
    total = float(own.sum())
    if total <= 0 or use.cores is None:
        return Waits()
    waited = float(np.maximum(own - cpu, 0).sum())
    kinds = {spans.kinds[i] for i in np.unique(spans.lane[account.call])}
    locked = kinds <= SAME_PROCESS and _is_lock(use, account, cpus)
    cores = 0.0
    if use.starved is not None:
        cores = max(use.starved, 0.0) * spans.wall
        if not locked and _is_crowded(use, cpus):
            # So many of them can't have had one.
            cores = max(cores, total * (1 - cpus / max(use.running, cpus)))
        cores = min(cores, waited)
    elif not locked and _is_crowded(use, cpus):
        cores = waited
    rest = waited - cores
    if locked and rest >= 0.1 * total and use.running >= 1.2:
        return Waits(lock=rest, cores=cores)
    share = float(own[cpu < _WAITS * own].sum()) / total
    if cores > 0.1 * total:
        # Each call may have had no core for a while; all together say more.
        used = float(cpu.sum())
        share = float(used < _WAITS * (used + rest))
    return Waits(cores=cores, outside=rest, share=share)


def _is_crowded(use: Use, cpus: int) -> bool:
    """Return whether more threads ran than there are cores, and kept these busy."""
    if not cpus or use.load is None:
        return False
    return use.running * use.blas > 1.1 * cpus and use.load >= _CORES_IN_USE * cpus


def _is_lock(use: Use, account: Account, cpus: int) -> bool:
    """Return whether the interpreter lock is what calls wait for."""
    if not use.gil:
        return False
    if use.lock is not None:
        # Python code alone does not use more than one core.
        return use.lock >= _LOCKED and (use.cores or 0.0) <= 1.25
    one = use.cores is not None and _ONE_CORE[0] <= use.cores <= _ONE_CORE[1]
    if cpus == 1 or not one:
        return False
    if use.counted is not None:
        return use.counted <= 1.25
    # Two threads of BLAS on half as many cores look the same, but never ask for it.
    return use.blas == 1 or account.own[Kind.LOCK] > 0.02 * account.own[Kind.CALL]


def _cores(account: Account, width: float) -> float | None:
    """Return how many cores calls used by themselves while there were any."""
    known = account.call_cpu >= 0
    total = float(account.call_own.sum())
    measured = float(account.call_own[known].sum())
    if width <= 0 or measured < 0.5 * total or measured <= 0:
        return None
    return float(account.call_cpu[known].sum()) * total / measured / width


def _mean_counter(trace: Trace, name: str, spans: Spans) -> float | None:
    """Return the mean of a counter in the window; each value is of the time before."""
    counter = trace.counters.get(name)
    if counter is None or not len(counter) or spans.wall <= 0:
        return None
    counter = counter[np.isfinite(counter["value"])]
    counter = counter[np.argsort(counter["time"], kind="stable")]
    time = np.clip(counter["time"], spans.begin, spans.finish).astype(float)
    if not len(time):
        return None
    width = np.diff(time, prepend=float(spans.begin))
    width[-1] += spans.finish - time[-1]
    value = np.clip(counter["value"], -_MOST, _MOST)
    return float((value * width).sum() / width.sum())


def _blas_threads(found: Any) -> int:
    """Return the threads of the largest pool."""
    if isinstance(found, Mapping):
        found = list(found.values())
    if not isinstance(found, list | tuple):
        found = [found]
    return max(
        (int(n) for n in found if isinstance(n, int | float) and n >= 1), default=1
    )
