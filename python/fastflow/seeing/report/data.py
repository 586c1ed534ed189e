"""A trace as the bytes that a report embeds.

The bytes are deflated. Inside: the length of a header (4 bytes, little-endian), the
header (JSON: all names, the text of errors, the list of columns), the columns, as
`fastflow.seeing.report.columns` has them. Spans are sorted by lane, then by start, an
outer one before what is within: so most begin where the one before has ended, and a
page has each lane in one piece.

Times are exact as long as the file stays small. Where a million spans differ in every
bit, they are counted in units of 2, 5, 10, ... ns, waits and processor times in units
of ten times as much; the header says which.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

import numpy as np

from fastflow.seeing.report.columns import Planes, best, changes, folded, known
from fastflow.seeing.trace import Trace

__all__ = ["by_lane", "pack"]

_BUDGET = 6_700_000  # bytes of the columns of spans, deflated
_SAMPLE = 1 << 15  # spans by which that is judged
_UNITS: tuple[int, ...] = tuple(
    digit * 10**power for power in range(6) for digit in (1, 2, 5)
)  # ns
_MOST_FAILURES = 20_000
_MOST_SAMPLES = 1 << 16  # of each counter
_LONGEST = 20_000  # characters of a traceback
_LONGEST_MESSAGE = 4_000


def pack(trace: Trace, **more: Any) -> bytes:
    """Return the deflated bytes of a trace; `more` goes into the header.

    Raises
    ------
    ValueError
        If a span has a lane that the trace doesn't have.
    """
    lanes = trace.spans["lane"]
    if len(lanes) and not 0 <= lanes.min() <= lanes.max() < len(trace.lanes):
        raise ValueError(
            f"spans have lanes from {lanes.min()} to {lanes.max()}, and the trace has "
            f"{len(trace.lanes)}; Trace(lanes=...) names each"
        )
    order = by_lane(trace.spans)
    spans = trace.spans[order]
    unit = _unit_of(spans)
    planes = Planes()
    _add_spans(planes, spans, unit)
    for name, samples in trace.counters.items():
        kept = _thinned(samples)
        planes.add(f"{name}.time", changes(kept["time"] // unit), "changes")
        planes.add_reals(f"{name}.value", kept["value"])
    header = {
        "version": 1,
        "unit": unit,
        "coarse": _coarse(unit),
        "spans": len(spans),
        "lanes": [list(lane) for lane in trace.lanes],
        "counts": np.bincount(lanes, minlength=len(trace.lanes)).tolist(),
        "labels": list(trace.labels),
        "runs": [list(run[:7]) for run in trace.runs],
        "counters": {name: len(rows) for name, rows in trace.counters.items()},
        "began": trace.began,
        "length": round(trace.seconds * 1e9),
        "dropped": trace.dropped,
        "totals": [list(total) for total in trace.totals],
        "machine": dict(trace.machine),
        **_failures(trace, order),
        **more,
        "columns": planes.columns,
    }
    # Only ASCII: halves of characters that a name may have can't be written otherwise.
    text = json.dumps(header, default=_plain).encode("ascii")
    head = len(text).to_bytes(4, "little") + text
    return zlib.compress(b"".join([head, *planes.parts]), 6)


def by_lane(spans: np.ndarray) -> np.ndarray:
    """Return the order of spans in a report: by lane, start, the longest first."""
    return np.lexsort((-spans["end"], spans["start"], spans["lane"]))


def _unit_of(spans: np.ndarray) -> int:
    """Return the nanoseconds in which times are counted, so that the file is small.

    `spans` are sorted by `by_lane`.
    """
    if len(spans) <= _SAMPLE:
        return 1
    middle = (len(spans) - _SAMPLE) // 2
    sample = spans[middle : middle + _SAMPLE]
    for unit in _UNITS:
        planes = Planes()
        _add_spans(planes, sample, unit)
        size = len(zlib.compress(b"".join(planes.parts), 6))
        if size * len(spans) <= _BUDGET * _SAMPLE:
            return unit
    return _UNITS[-1]


def _coarse(unit: int) -> int:
    """Return the nanoseconds in which waits and processor times are counted."""
    return unit if unit == 1 else 10 * unit


def _add_spans(planes: Planes, spans: np.ndarray, unit: int) -> None:
    start, end = spans["start"] // unit, spans["end"] // unit
    ready, cpu, coarse = spans["ready"], spans["cpu"], _coarse(unit)
    before = np.concatenate([np.zeros(1, np.int64), end[:-1]])[: len(end)]
    before[np.flatnonzero(np.diff(spans["lane"])) + 1] = 0
    planes.add("start", folded(start - before), "after")
    planes.add("end", folded(end - start), "long")
    since = known(ready >= 0, folded((start * unit - ready) // coarse))
    last = np.where(ready >= 0, ready // coarse, 0)
    form, values = best({"before": since, "known": known(ready >= 0, changes(last))})
    planes.add("ready", values, form)
    less = folded(((end - start) * unit - cpu) // coarse)
    planes.add("cpu", known(cpu >= 0, less), "less")
    for name in ("item", "label", "run"):
        form, values = best(
            {"changes": changes(spans[name]), "signed": folded(spans[name])}
        )
        planes.add(name, values, form)
    for name in ("attempt", "kind", "state"):
        planes.add(name, spans[name].astype(np.int64).clip(0))


def _thinned(samples: np.ndarray) -> np.ndarray:
    """Return at most so many samples that a page has all peaks and valleys of."""
    if len(samples) <= _MOST_SAMPLES:
        return samples
    block = -(-len(samples) * 2 // _MOST_SAMPLES)
    whole = len(samples) // block * block
    values = samples["value"][:whole].reshape(-1, block)
    base = np.arange(0, whole, block)
    kept = np.unique(
        np.concatenate(
            [base + values.argmin(1), base + values.argmax(1), [0, len(samples) - 1]]
        )
    )
    thinned: np.ndarray = samples[kept]
    return thinned


def _failures(trace: Trace, order: np.ndarray) -> dict[str, Any]:
    """Return the failures as rows of numbers and the different texts among them."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    texts: dict[str, int] = {}
    rows = []
    for failure in trace.failures[:_MOST_FAILURES]:
        parts = (
            failure.type,
            _cut(failure.message, _LONGEST_MESSAGE),
            _cut(failure.traceback, _LONGEST),
        )
        numbers = [texts.setdefault(part, len(texts)) for part in parts]
        there = 0 <= failure.span < len(place)
        rows.append([int(place[failure.span]) if there else -1, *numbers])
    return {
        "failures": rows,
        "texts": list(texts),
        "failures_left_out": max(0, len(trace.failures) - _MOST_FAILURES),
    }


def _plain(value: Any) -> Any:
    """Return what JSON does not have as what it has."""
    return value.item() if isinstance(value, np.generic) else str(value)


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n… {left_out:,} characters left out …\n{text[-half:]}"
