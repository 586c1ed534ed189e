"""The timeline of a run as SVG: a row for each lane, counters below.

However many spans there are, the picture is small: where they are too many to be seen
one by one, each pixel shows what took most of it, and how much of it was taken.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastflow.seeing.pictures.bins import coverage, runs_of, stacked
from fastflow.seeing.pictures.shades import in_dark
from fastflow.seeing.texts import middle_cut, safe, time_text, width_of
from fastflow.seeing.trace import Kind, State, Trace

__all__ = ["gantt_svg"]

_ROOT = "ff-gantt"
_ROW, _SPACE = 20, 5
_SMALL = 11
_ONE_BY_ONE = 1_500  # spans of a picture
_LANES = 48
_DEEP = 6  # rows of a lane whose spans overlap
_CHART = 36
_LEVELS = 4
_GRID, _BACK, _BAD, _LINE = "#d0d7de", "#f3f5f7", "#c24a00", "#0063a8"

_NAMED = (
    ("#0072b2", "#4ba3dd", "#ffffff", "#04182b"),
    ("#e69f00", "#e69f00", "#1f1600", "#1f1600"),
    ("#009e73", "#2fbf94", "#04140f", "#04140f"),
    ("#cc79a7", "#dd8bbd", "#240d1a", "#240d1a"),
    ("#56b4e9", "#7cc8f2", "#04182b", "#04182b"),
    ("#5b4a9e", "#a99be0", "#ffffff", "#130c33"),
    ("#8a6d1d", "#c9ab55", "#ffffff", "#1f1600"),
)
"""Fill in light and in dark, and the text on it."""
_OTHER = ("#8c959f", "#8c959f", "#0b0f14", "#0b0f14")
_KINDS = (
    (Kind.LOCK, "waiting for the interpreter lock", ("#3b3f45", "#c9d1d9")),
    (Kind.BLOCKED, "blocked", ("#b8a06a", "#7d6b3f")),
    (Kind.SEND, "packing and sending", ("#7fb3ad", "#4b827b")),
    (Kind.PAUSE, "paused", ("#d0d7de", "#424a53")),
)

_STYLE = (
    f".{_ROOT}{{font:{_SMALL}px system-ui,-apple-system,'Segoe UI','DejaVu Sans',"
    f"sans-serif;fill:#1f2328}}.{_ROOT} .grid{{stroke:{_GRID};fill:none}}"
    f".{_ROOT} .back{{fill:{_BACK}}}.{_ROOT} .bad{{fill:{_BAD}}}"
    f".{_ROOT} .line{{fill:none;stroke:{_LINE};stroke-width:1.2}}"
    f".{_ROOT} .d0{{opacity:.3}}.{_ROOT} .d1{{opacity:.55}}.{_ROOT} .d2{{opacity:.8}}"
)
_DARK = (
    "&{fill:#e6edf3}& .grid{stroke:#3d444d}& .back{fill:#161b22}& .bad{fill:#ff8a4c}"
    "& .line{stroke:#58a6ff}"
)


class _Group(NamedTuple):
    """What is drawn in one colour."""

    word: str
    light: str
    dark: str
    ink: tuple[str, str] | None


def gantt_svg(trace: Trace, *, width: int = 1000, title: str | None = None) -> str:
    """Return the timeline of what was seen.

    Parameters
    ----------
    trace : Trace
    width : int
        Pixels, names of lanes included; at least 300.
    title : str, optional
        For screen readers.

    Examples
    --------
    >>> from fastflow.seeing.trace import SPAN, Lane
    >>> spans = np.zeros(1, SPAN)
    >>> spans["end"] = 2_000_000
    >>> trace = Trace(spans, labels=("work",), lanes=(Lane("worker 0", "worker"),))
    >>> gantt_svg(trace).startswith("<svg ")
    True
    """
    return _Picture(trace, max(int(width), 300), title).draw()


class _Picture:
    def __init__(self, trace: Trace, width: int, title: str | None) -> None:
        self.trace = trace
        self.width = width
        self.title = title or "Timeline"
        spans = trace.spans
        drawn = (spans["kind"] != Kind.IDLE) & (spans["kind"] != Kind.STEAL)
        self.spans = spans[drawn]
        self.groups, self.group = _groups(trace, self.spans)
        named = self.spans["label"][self.spans["label"] >= 0]
        self.often = np.bincount(named, minlength=len(trace.labels))
        lanes = np.unique(self.spans["lane"]).tolist()
        self.lanes, self.rest = lanes[:_LANES], lanes[_LANES:]
        self.names = [_lane_name(trace, lane) for lane in self.lanes]
        if self.rest:
            self.names.append(f"{len(self.rest):,} more lanes")
        texts = [*self.names, *trace.counters]
        self.left = 12 + int(
            max((width_of(middle_cut(t, 22), _SMALL) for t in texts), default=0)
        )
        self.plot = width - self.left - 12
        ends = self.spans["end"].max() if len(self.spans) else 0
        self.length = max(int(ends), round(trace.seconds * 1e9), 1)
        self.scale = self.plot / self.length
        self.backs: list[str] = []
        self.parts: list[str] = []
        self.paths: dict[tuple[int, int], list[str]] = {}
        self.bad: list[str] = []

    def draw(self) -> str:
        """Return the element."""
        y = 22
        top = y
        exact = len(self.spans) <= _ONE_BY_ONE
        for number, name in enumerate(self.names):
            y = self._lane(number, name, y, exact)
        if not self.names:
            self.parts.append(f'<text x="12" y="{y + 14}">nothing was recorded</text>')
            y += _ROW
        for name, counter in self.trace.counters.items():
            y = self._counter(name, counter, y)
        grid = self._axis(top, y)
        paths = "".join(
            f'<path class="g{group} d{level}" fill="{self.groups[group].light}" '
            f'd="{"".join(steps)}"/>'
            for (group, level), steps in sorted(self.paths.items())
        )
        if self.bad:
            paths += f'<path class="bad" fill="{_BAD}" d="{"".join(self.bad)}"/>'
        legend, height = self._legend(y + 10)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{_ROOT}" role="img" '
            f'font-family="sans-serif" font-size="{_SMALL}" '
            f'viewBox="0 0 {self.width} {height}" width="{self.width}" '
            f'height="{height}" style="max-width:100%;height:auto">'
            f"<title>{safe(self.title)}</title><desc>{safe(self._described())}</desc>"
            f"<style>{_STYLE}{self._colors()}</style>"
            f"{''.join(self.backs)}{grid}{paths}{''.join(self.parts)}{legend}</svg>"
        )

    def _described(self) -> str:
        calls = len(self.trace.calls)
        text = f"{calls:,} calls on {len(self.trace.lanes):,} lanes in "
        text += time_text(self.length / 1e9)
        if self.trace.dropped:
            text += f"; {self.trace.dropped:,} more were not kept"
        return text

    def _colors(self) -> str:
        light, dark = [], []
        for number, group in enumerate(self.groups):
            light.append(f".{_ROOT} .g{number}{{fill:{group.light}}}")
            dark.append(f"& .g{number}{{fill:{group.dark}}}")
            if group.ink:
                light.append(f".{_ROOT} .i{number}{{fill:{group.ink[0]}}}")
                dark.append(f"& .i{number}{{fill:{group.ink[1]}}}")
        return "".join(light) + in_dark(_ROOT, _DARK + "".join(dark))

    # --- lanes ---

    def _lane(self, number: int, name: str, y: int, exact: bool) -> int:
        lanes = self.rest if number == len(self.lanes) else [self.lanes[number]]
        chosen = np.isin(self.spans["lane"], lanes)
        spans, group = self.spans[chosen], self.group[chosen]
        rows = stacked(spans["start"], spans["end"], _DEEP) if exact else None
        deep = max(rows, default=0) + 1 if rows else 1
        height = deep * _ROW
        shown = middle_cut(name, 22)
        self.parts.append(
            f'<text x="{self.left - 6}" y="{y + 14}" text-anchor="end">'
            f"<title>{safe(name)}</title>{safe(shown)}</text>"
        )
        self.backs.append(
            f'<rect class="back" fill="{_BACK}" x="{self.left}" y="{y}" '
            f'width="{self.plot}" height="{height}"/>'
        )
        if rows is None:
            self._density(spans, group, y)
        else:
            for span, kind, row in zip(spans, group.tolist(), rows, strict=True):
                self._span(span, kind, y + row * _ROW)
        return y + height + _SPACE

    def _span(self, span: Any, group: int, y: int) -> None:
        x = self.left + span["start"] * self.scale
        width = max((span["end"] - span["start"]) * self.scale, 0.8)
        name = self._name(span)
        bad = span["state"] in (State.FAILED, State.RETRIED)
        took = time_text((span["end"] - span["start"]) / 1e9)
        told = f"{name}: {took}"
        if bad:
            told += f", {State(span['state']).name.lower()}"
            self.bad.append(
                f"M{x:.1f} {y + _ROW - 4}h{max(width, 2):.1f}v4h-{max(width, 2):.1f}z"
            )
        inside = ""
        ink = self.groups[group].ink
        shown = middle_cut(name, 24)
        if ink and width_of(shown, _SMALL) + 8 <= width:
            inside = (
                f'<text class="i{group}" fill="{ink[0]}" x="{x + 4:.1f}" y="{y + 14}">'
            )
            inside += f"{safe(shown)}</text>"
        low = _ROW if ink else _ROW - 8  # what is no call is drawn less high
        self.parts.append(
            f'<g><title>{safe(told)}</title><rect class="g{group}" '
            f'fill="{self.groups[group].light}" x="{x:.1f}" '
            f'y="{y + (_ROW - low) / 2:.0f}" width="{width:.1f}" height="{low}" '
            f'rx="1.5"/>{inside}</g>'
        )

    def _name(self, span: Any) -> str:
        labels = self.trace.labels
        if span["kind"] == Kind.CALL and 0 <= span["label"] < len(labels):
            name = labels[span["label"]]
            # The only call of its name is no item of anything, even if it is a node.
            alone = span["item"] < 0 or self.often[span["label"]] < 2
            return name if alone else f"{name} [{span['item']:,}]"
        return next((word for k, word, _ in _KINDS if k == span["kind"]), "call")

    def _density(self, spans: np.ndarray, group: np.ndarray, y: int) -> None:
        starts, ends = spans["start"] * self.scale, spans["end"] * self.scale
        shares = np.stack(
            [
                coverage(starts[group == n], ends[group == n], self.plot)
                for n in range(len(self.groups))
            ]
        )
        total = shares.sum(axis=0)
        fullest = max(float(total.max()), 1.0)
        level = np.ceil(total / fullest * _LEVELS - 1e-9).astype(np.int64) - 1
        value = np.where(level < 0, -1, shares.argmax(axis=0) * _LEVELS + level)
        for begin, length, found in runs_of(value):
            key = divmod(found, _LEVELS)
            step = f"M{self.left + begin} {y}h{length}v{_ROW}h-{length}z"
            self.paths.setdefault(key, []).append(step)
        failed = np.isin(spans["state"], (State.FAILED, State.RETRIED))
        at = np.minimum(starts[failed].astype(np.int64), self.plot - 1)
        marks = np.bincount(at, minlength=self.plot) > 0
        for begin, length, _ in runs_of(marks.astype(np.int64) - 1):
            step = f"M{self.left + begin} {y + _ROW - 4}h{length}v4h-{length}z"
            self.bad.append(step)

    # --- what is around ---

    def _counter(self, name: str, counter: np.ndarray, y: int) -> int:
        if not len(counter):
            return y
        at = np.clip((counter["time"] * self.scale).astype(np.int64), 0, self.plot)
        first = np.flatnonzero(np.diff(at, prepend=-1))
        highest = np.maximum.reduceat(counter["value"], first)
        top = float(highest.max()) or 1.0
        bottom = y + _CHART
        heights = np.round(highest / top * (_CHART - 6), 1).tolist()
        path = f"M{self.left} {bottom}"
        for x, height in zip(at[first].tolist(), heights, strict=True):
            path += f"H{self.left + x}V{bottom - height:.1f}"
        path += f"H{self.left + self.plot}"
        self.parts.append(
            f'<text x="{self.left - 6}" y="{y + 16}" text-anchor="end">'
            f"<title>{safe(name)}</title>{safe(middle_cut(name, 22))}</text>"
            f'<text x="{self.left - 6}" y="{y + 30}" text-anchor="end">'
            f"≤ {top:,.3g}</text>"
            f'<path class="grid" stroke="{_GRID}" '
            f'd="M{self.left} {bottom}h{self.plot}"/>'
            f'<path class="line" fill="none" stroke="{_LINE}" d="{path}"/>'
        )
        return bottom + _SPACE

    def _axis(self, top: int, bottom: int) -> str:
        step = _step(self.length / 1e9 * 90 / self.plot)
        found = []
        for number in range(int(self.length / 1e9 / step * (1 + 1e-9)) + 1):
            seconds = number * step
            x = self.left + seconds * 1e9 * self.scale
            text = time_text(seconds) if number else "0"
            end = x + width_of(text, _SMALL) / 2 > self.width
            anchor = "end" if end else "middle"
            found.append(
                f'<path class="grid" stroke="{_GRID}" d="M{x:.1f} {top - 4}V{bottom}"/>'
                f'<text x="{min(x, self.width - 2):.1f}" y="{top - 8}" '
                f'text-anchor="{anchor}">{text}</text>'
            )
        return "".join(found)

    def _legend(self, y: int) -> tuple[str, int]:
        found, x = [], self.left
        there = set(self.group.tolist())
        keys = [
            (f"g{n}", self.groups[n].light, self.groups[n].word) for n in sorted(there)
        ]
        if self.bad:
            keys.append(("bad", _BAD, "failed"))
        for key, fill, word in keys:
            shown = middle_cut(word, 40)
            wide = int(width_of(shown, _SMALL)) + 34
            if x > self.left and x + wide > self.width:
                x, y = self.left, y + 18
            found.append(
                f'<rect class="{key}" fill="{fill}" x="{x}" y="{y}" width="12" '
                f'height="12" rx="2"/>'
                f'<text x="{x + 17}" y="{y + 10}">{safe(shown)}</text>'
            )
            x += wide
        return "".join(found), y + (24 if keys else 4)


def _groups(trace: Trace, spans: np.ndarray) -> tuple[list[_Group], np.ndarray]:
    """Return what has a colour of its own, and which of it each span is."""
    calls = spans["kind"] == Kind.CALL
    labels = np.where(calls, spans["label"], -1)
    known = labels >= 0
    took = (spans["end"] - spans["start"]).astype(float)
    total = np.bincount(labels[known], took[known], len(trace.labels))
    order = np.argsort(-total, kind="stable")[: len(_NAMED)].tolist()
    groups = [
        _Group(trace.labels[label], light, dark, (ink, dark_ink))
        for label, (light, dark, ink, dark_ink) in zip(order, _NAMED, strict=False)
    ]
    found = np.full(len(spans), len(groups))
    for number, label in enumerate(order):
        found[labels == label] = number
    light, dark, ink, dark_ink = _OTHER
    groups.append(_Group("other calls", light, dark, (ink, dark_ink)))
    for kind, word, (light, dark) in _KINDS:
        found[spans["kind"] == kind] = len(groups)
        groups.append(_Group(word, light, dark, None))
    return groups, found


def _lane_name(trace: Trace, lane: int) -> str:
    if 0 <= lane < len(trace.lanes):
        return trace.lanes[lane].name
    return f"lane {lane}"


def _step(least: float) -> float:
    """Return a round number of seconds, at least so many."""
    for unit in (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 86400.0):
        if 30 < least <= unit:
            return unit
    power = 10.0 ** np.floor(np.log10(least))
    return next(float(n * power) for n in (1, 2, 5, 10) if n * power >= least * 0.999)
