"""One table of behaviours x every machine and backend; see `behaviour`.

A cell holds, or differs on purpose, or can't be expressed, with a reason in the table;
or it is a drift: what should hold and does not yet.  Drifts are expected failures, and
are only tried where FASTFLOW_DRIFT is set, since many of them hang until they are let
go; one that holds by now fails there, so that the table is put right.
"""

from __future__ import annotations

import os
import threading

import pytest

from contract.behaviour import (  # noqa: F401
    machines_durable,
    rows_errors,
    rows_events,
    rows_limits,
    rows_values,
)
from contract.behaviour.backends import close_processes
from contract.behaviour.calls import Scratch
from contract.behaviour.machines import TIMEOUT
from contract.behaviour.machines_builder import BUILDER
from contract.behaviour.machines_durable import DURABLE
from contract.behaviour.machines_fan_out import FAN_OUT
from contract.behaviour.machines_flows import FLOWS
from contract.behaviour.table import ROWS, matching

MACHINES = [*FAN_OUT, *FLOWS, *BUILDER, *DURABLE]
SECONDS = 30  # a watchdog
TRY_DRIFTS = "FASTFLOW_DRIFT" in os.environ
TRY_ALL = TRY_DRIFTS or "FASTFLOW_TABLE" in os.environ
CELLS = [(row, machine, row.cell(machine)) for row in ROWS for machine in MACHINES]


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journals")
    numbers = iter(range(10_000))
    machines_durable.use_files(lambda: str(folder / f"{next(numbers)}.db"))
    yield
    close_processes()


@pytest.fixture
def scratch(tmp_path):
    made = Scratch(tmp_path)
    yield made
    made.release()


def watched(fn, scratch, seconds):
    """Call a function in a thread of its own; what hangs is let go, and told."""
    found = []

    def call():
        try:
            found.append((fn(), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    hangs = thread.is_alive()
    scratch.release()
    thread.join(SECONDS)
    assert not hangs, "it hung until it was let go"
    value, error = found[0]
    if error is not None:
        raise AssertionError(
            f"the measurement raised {type(error).__name__}"
        ) from error
    return value


def params():
    for row, machine, cell in CELLS:
        if cell.verdict == "cannot":
            continue
        marks = []
        if (machine.by_value or TIMEOUT in row.needs) and not TRY_ALL:
            marks.append(
                pytest.mark.skip(
                    reason="on a busy machine it can take longer than its limits; "
                    "FASTFLOW_TABLE=1 runs it"
                )
            )
        elif cell.verdict == "drift":
            marks.append(
                pytest.mark.xfail(
                    reason=cell.reason, raises=AssertionError, run=TRY_DRIFTS
                )
            )
        yield pytest.param(
            row, machine, cell, id=f"{row.name} - {machine}", marks=marks
        )


# Where a coroutine is a result, nobody may await it.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize(("row", "machine", "cell"), list(params()))
def test_cell(row, machine, cell, scratch):
    def measure():
        with machine.opened():
            try:
                return row.measure(machine, scratch)
            finally:
                scratch.release()  # else a pool of threads could not be closed

    seconds = 2 if cell.verdict == "drift" else SECONDS
    found = watched(measure, scratch, seconds)
    assert found == cell.wanted, (
        f"{machine} gives something else than the table says for {row.name!r}: mend "
        "it, or say why in the row (differs=) or in the machine (cannot)"
    )


def test_no_cell_is_missing():
    """Every cell has one verdict; whatever does not hold says why."""
    assert len(CELLS) == len(ROWS) * len(MACHINES)
    for row, machine, cell in CELLS:
        assert cell.verdict in ("holds", "differs", "cannot", "drift")
        assert cell.verdict == "holds" or cell.reason, f"{row.name} x {machine}"


def test_names_are_unique():
    for names in ([row.name for row in ROWS], [machine.name for machine in MACHINES]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_patterns_are_about_somebody(row):
    """What is declared of no machine, or of one that can't, was forgotten."""
    able = [machine.name for machine in MACHINES
            if row.cell(machine).verdict != "cannot"]  # fmt: skip
    assert able, "no machine can express it"
    for pattern in (*row.differs, *row.drift):
        for each in pattern.split("|"):
            assert any(matching({each: 0}, name) for name in able), each


@pytest.mark.parametrize("machine", [m for m in MACHINES if m.refused], ids=str)
def test_what_is_refused_is_refused_at_once(machine):
    with pytest.raises((TypeError, ValueError)), machine.opened():
        pass
