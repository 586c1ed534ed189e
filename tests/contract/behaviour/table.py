"""The table: one verdict for each cell of rows x machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from contract.behaviour.calls import Scratch
from contract.behaviour.machines import Machine

Measure = Callable[[Machine, Scratch], Any]


class Cell(NamedTuple):
    """What is expected of a machine in a row."""

    verdict: str
    """``"holds"``, ``"differs"`` on purpose, ``"cannot"`` be expressed, or ``"drift"``:
    it should hold and does not yet."""
    wanted: Any = None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A behaviour.

    Attributes
    ----------
    measure : callable
        ``measure(machine, scratch)`` returns what is seen.
    wanted
        What it should return.
    needs : tuple of str
        What a machine must be able to express.
    differs : mapping of str to tuple
        Machines (patterns of their names) that do something else on purpose: what, and
        why.
    drift : mapping of str to str
        Machines (patterns of their names) that are not yet as the others: what is seen.
    """

    name: str
    measure: Measure
    wanted: Any
    needs: tuple[str, ...] = ()
    differs: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    drift: Mapping[str, str] = field(default_factory=dict)

    def cell(self, machine: Machine) -> Cell:
        """Return the verdict for a machine.

        Raises
        ------
        LookupError
            If there are two.
        """
        reasons = [
            machine.cannot[need] for need in self.needs if need in machine.cannot
        ]
        if machine.refused or reasons:
            return Cell("cannot", None, machine.refused or reasons[0])
        differs = matching(self.differs, machine.name)
        drift = matching(self.drift, machine.name)
        if len(differs) > 1 or len(drift) > 1:
            raise LookupError(f"{self.name} x {machine.name} is there twice")
        wanted, reason = self.differs[differs[0]] if differs else (self.wanted, "")
        if drift:
            return Cell("drift", wanted, self.drift[drift[0]])
        return Cell("differs" if differs else "holds", wanted, reason)


def matching(patterns: Mapping[str, Any], name: str) -> list[str]:
    """Return the patterns that a name matches; several are separated by ``|``."""
    return [
        pattern
        for pattern in patterns
        if any(fnmatchcase(name, each.strip()) for each in pattern.split("|"))
    ]


ROWS: list[Row] = []

#: Patterns of machines that often stand together.
FAN_OUT = (
    "graph* | map: * | starmap: * | for_each: * | imap: * | Executor.map: * | submit: *"
    " | TaskGroup: *"
)
FLOWS_HERE = " | ".join(
    f"{kind}: {place}"
    for kind in ("flow *", "@flow")
    for place in ("serial", "own", "threads")
)
BY_VALUE = "*: processes | *: cluster"
FLOWS_BY_VALUE = (
    "flow *: processes | @flow: processes | flow *: cluster | @flow: cluster"
)
STEPS = "builder step, *: *"
DURABLE = "durable *"


def row(wanted: Any, *needs: str, **options: Any) -> Callable[[Measure], Measure]:
    """Add a row: the decorated function measures, its name is the row's."""

    def add(measure: Measure) -> Measure:
        name = measure.__name__.replace("_", " ").strip()
        ROWS.append(Row(name, measure, wanted, needs, **options))
        return measure

    return add
