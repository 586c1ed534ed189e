"""What an explanation consists of; as text for a terminal, as HTML for a notebook."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from fastflow.base.terminal import printable
from fastflow.seeing.explain.path import CriticalPath
from fastflow.seeing.explain.words import Cause, count, ns_text, share
from fastflow.seeing.texts import safe, time_text

__all__ = ["Explanation"]

_WIDE = 100


@dataclass(frozen=True)
class Explanation:
    """What a run did with its time. Times are seconds.

    Printed, it is a text of up to 100 columns; in a notebook, a table.
    """

    tasks: int
    """Calls of users' functions, without those whose result was known."""
    wall: float
    """From when there was something to do to when it was done."""
    work: float
    """Time in calls, without that in which they waited for the lock or a core."""
    workers: int
    cpus: int
    """0: not known."""
    useful: int
    """Workers that can do something at a time: one for each core, but for waits."""
    critical_path: CriticalPath
    account: dict[str, float]
    """Where the time of all workers went; the sum is workers × wall."""
    causes: tuple[Cause, ...]
    """What cost more than a twentieth of the time, the most expensive first."""
    notes: tuple[str, ...]
    """What to bear in mind: a trace that is small or sampled."""

    @property
    def speedup(self) -> float:
        """How much faster it was than one worker alone would have been."""
        return self.work / self.wall if self.wall else 0.0

    @property
    def parallelism(self) -> float:
        """The most that any number of workers could have made of it."""
        length = self.critical_path.length / 1e9
        return self.work / length if length else 0.0

    @property
    def utilisation(self) -> float:
        """Share of the workers' time in which they did work."""
        total = self.workers * self.wall
        return self.work / total if total else 0.0

    @property
    def most(self) -> float:
        """The speed-up that neither critical path nor workers and cores rule out."""
        limits = [x for x in (self.parallelism, self.useful) if x]
        return min(limits, default=0.0)

    def text(self) -> str:
        """Return it for a terminal: up to 100 columns, no colours."""
        blocks = [
            [self._headline()],
            [f"  note: {note}" for note in self.notes],
            [f"  {name:<14} {value}" for name, value in self._figures()],
            self._account_lines(),
            [self._verdict()],
            *(self._cause_lines(n, cause) for n, cause in enumerate(self.causes, 1)),
        ]
        lines = [
            piece
            for block in blocks
            for line in (*block, "")
            if block
            for piece in _wrapped(printable(line))
        ]
        return "\n".join(lines).rstrip()

    def __str__(self) -> str:
        return self.text()

    def _headline(self) -> str:
        cores = f" ({count(self.cpus, 'core')})" if self.cpus else ""
        return (
            f"{count(self.tasks, 'call')} in {time_text(self.wall)} on "
            f"{count(self.workers, 'worker')}{cores}"
        )

    def _figures(self) -> list[tuple[str, str]]:
        path = self.critical_path
        source = (
            "from the graph" if path.from_graph else "from times: there is no graph"
        )
        chain = ("critical path", f"{ns_text(path.length)}: {path} ({source})")
        if not self.workers:
            return [chain]
        return [
            ("work", time_text(self.work)),
            (
                "speed-up",
                f"{self.speedup:.2f} against one worker, of at most {self.most:.2f}",
            ),
            ("utilisation", share(self.utilisation, 1)),
            ("parallelism", f"{self.parallelism:,.1f} (work / critical path)"),
            chain,
        ]

    def _account_lines(self) -> list[str]:
        total = self.workers * self.wall
        if not total:
            return []
        head = f"  where {self.workers} × {time_text(self.wall)} went"
        return [
            head,
            *(
                f"    {name:<34} {time_text(part):>10} {share(part, total):>7}"
                for name, part in self.account.items()
                if part > 0
            ),
        ]

    def _verdict(self) -> str:
        """Say in one sentence whether there is anything to change."""
        if not self.tasks or not self.workers:
            return "Nothing to judge: no worker made a call."
        if self.causes:
            return "What to change, the most expensive first:"
        figures = (
            f"workers did work for {share(self.utilisation, 1)} of their time, the "
            f"speed-up is {self.speedup:.2f} of at most {self.most:.2f}"
        )
        if self.utilisation >= 0.85 or self.speedup >= 0.9 * self.most:
            return f"Nothing to gain: {figures}."
        return f"No single cause took more than a twentieth of the time: {figures}."

    def _cause_lines(self, number: int, cause: Cause) -> list[str]:
        lost = f"about {time_text(cause.lost)} ({share(cause.lost, self.wall)}) lost"
        return [
            f"{number}. {cause.name}: {lost}",
            f"   {cause.evidence}",
            f"   change: {cause.advice}",
            f"   see {cause.page}",
        ]

    def _repr_html_(self) -> str:
        """Return it for a notebook; all names are escaped."""
        total = self.workers * self.wall
        figures = "".join(
            f"<tr><th>{safe(name)}</th><td>{safe(value)}</td></tr>"
            for name, value in self._figures()
        )
        account = "".join(
            f"<tr><th>{safe(name)}</th><td>{time_text(part)}</td>"
            f"<td>{share(part, total)}</td></tr>"
            for name, part in self.account.items()
            if part > 0
        )
        causes = "".join(
            "<li><strong>{}</strong><br>{}<br>{}<br><code>{}</code></li>".format(
                *(
                    safe(line.strip().removeprefix(f"{number}. "))
                    for line in self._cause_lines(number, cause)
                )
            )
            for number, cause in enumerate(self.causes, 1)
        )
        notes = "".join(f"<p>{safe(note)}</p>" for note in self.notes)
        return (
            f"<div><p><strong>{safe(self._headline())}</strong></p>{notes}"
            f"<table>{figures}</table><table>{account}</table>"
            f"<p>{safe(self._verdict())}</p><ol>{causes}</ol></div>"
        )


def _wrapped(line: str) -> list[str]:
    """Break a line that is too long, its rest as far in as its beginning."""
    if len(line) <= _WIDE:
        return [line]
    inset = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, _WIDE, subsequent_indent=inset)
