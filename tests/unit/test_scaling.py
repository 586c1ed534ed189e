"""The models behind docs/scaling.md, and the document's tables of words."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "benchmarks" / "scaling"
DOCUMENT = ROOT / "docs" / "scaling.md"

sys.path.insert(0, str(MODELS))
try:
    from instructions import executed
    from machine import Costs, Line, Machine
    from pool_model import PACE, Load, Stack, most_coming
    from run_model import Claim, Range, Wavefront
    from scenarios import BEFORE, COULD_BE, ROADS
finally:
    sys.path.remove(str(MODELS))

ALL = {
    f"{when} {road}": scenario
    for when, roads in {"now": ROADS, "before": BEFORE, "could be": COULD_BE}.items()
    for road, scenario in roads.items()
}
FREE = Costs(
    hit=0,
    own=0,
    foreign=0,
    turn=0,
    issue=0,
    land=0,
    push=0,
    pop=0,
    submit=0,
    visit=0,
    node=0,
)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("workers", [1, 2, 3, 8, 40])
@pytest.mark.parametrize("length", [0, 100, 30_000])
def test_every_task_runs_once_and_nothing_is_faster_than_the_ideal(
    name, workers, length
):
    tasks = 1_024  # a square, for the wavefront
    outcome = ALL[name](Load(tasks, length, workers), Costs())
    assert outcome.done == tasks
    assert outcome.took >= tasks * length / workers
    assert 1 <= len(outcome.awake) <= workers
    assert outcome.awake == sorted(outcome.awake)
    assert outcome.wakes <= workers or name.split()[-1] in {"stack", "queue"}


@pytest.mark.parametrize("name", ALL)
def test_the_same_load_takes_the_same_time(name):
    load = Load(400, 777, 5)
    assert ALL[name](load, Costs()).took == ALL[name](load, Costs()).took


def test_one_worker_pays_for_each_task_by_itself():
    costs, tasks, length = Costs(), 1_000, 500
    load = Load(tasks, length, 1)
    stack = Stack(load, costs, PACE).run()
    # Pushed and popped; the first touch of the words is a hit as nobody else has them.
    each = costs.push + costs.hit + costs.pop + costs.hit + length
    assert stack.took == pytest.approx(tasks * each, abs=2 * costs.foreign)
    claim = Claim(load, costs, 1).run()
    assert claim.took == pytest.approx(tasks * (costs.own + length), abs=costs.foreign)


# Those whose tasks are all there from the beginning, and taken one by one.
@pytest.mark.parametrize(
    "name", [n for n in ALL if not n.endswith(("wavefront", "of 16"))]
)
@pytest.mark.parametrize("workers", [2, 16])
def test_of_endless_tasks_only_these_count(name, workers):
    tasks, length = 16 * workers, 1e12
    outcome = ALL[name](Load(tasks, length, workers), Costs())
    assert outcome.took == pytest.approx(tasks * length / workers, rel=1e-3)


def test_of_endless_nodes_the_width_counts():
    side, length = 32, 1e12
    outcome = Wavefront(Load(side * side, length, 4), Costs(), 1, one_victim=True).run()
    # Diagonals of fewer nodes than there are workers leave some of them idle.
    widths = [min(k, 2 * side - k) for k in range(1, 2 * side)]
    least = sum(-(-width // 4) for width in widths)
    assert least / 2 < outcome.took / length <= least
    assert outcome.took >= side * side * length / 4


def test_nobody_steals_from_a_worker_whose_thieves_never_come():
    costs = Costs(land=1e15)
    load = Load(500, 1_000, 8)
    alone = Stack(Load(500, 1_000, 1), costs, 0).run().took
    assert Stack(load, costs, 0).run().awake == [0]
    assert Stack(load, costs, 0).run().took == pytest.approx(
        alone + costs.issue, rel=0.01
    )


def test_ranges_are_stolen_in_halves():
    run = Range(Load(4_096, 1_000, 4), FREE, 2, PACE, first_victim=False)
    outcome = run.run()
    assert outcome.took == pytest.approx(4_096 * 1_000 / 4, rel=0.05)
    assert run.thefts < 4 * 12 * 4  # not one for each task


def test_a_chain_of_wakes_is_linear_and_a_tree_is_not():
    def ramp(workers, pace):
        calls = 2 if pace else 1
        load = Load(1_000_000, 1_000, workers)
        return Range(load, Costs(), calls, pace, first_victim=False).run().awake[-1]

    land = Costs().land
    assert ramp(64, 0) == pytest.approx(63 * land, rel=0.01)
    assert ramp(128, PACE) - ramp(64, PACE) < 4 * land
    assert ramp(128, PACE) < ramp(128, 0) / 8


def test_pace():
    assert [most_coming(k, PACE) for k in range(7)] == [1, 1, 1, 1, 2, 2, 3]
    assert [most_coming(k, 0) for k in (0, 5, 100)] == [1, 1, 1]


def test_a_contended_line_goes_round():
    costs = Costs()
    machine, line = Machine(costs), Line()
    assert machine.write(line, 0) == costs.foreign
    assert machine.write(line, 0) == costs.own
    assert machine.write(line, 1) == costs.foreign + costs.turn
    assert machine.write(line, 2) == costs.foreign + 2 * costs.turn
    assert machine.read(line, 2) == costs.hit
    assert machine.read(line, 0) == costs.foreign + 3 * costs.turn


def test_profiles_of_callgrind_are_read():
    f = "ob=/bin/a\nfn=f\n0x10 1 7\ncalls=2 0x20\n0x14 1 900\n0x18 1 3\n"
    profile = f + "fn=g\n0x20 5 4\n"
    assert list(executed(profile)) == [
        ("/bin/a", "f", 0x10, 7),
        ("/bin/a", "f", 0x18, 3),
        ("/bin/a", "g", 0x20, 4),
    ]


def words():
    """(file, names) of each row of a table of words in the document."""
    found = []
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 5 or not re.fullmatch(r"`[\w/]+\.(hpp|cpp)`", cells[0]):
            continue
        found.append((cells[0].strip("`"), re.findall(r"`([\w:]+)`", cells[1])))
    return found


def test_the_document_has_a_row_for_the_words_of_each_road():
    assert len(words()) >= 25
    assert all(names for _, names in words())


@pytest.mark.parametrize(("file", "names"), words())
def test_the_words_exist(file, names):
    source = (ROOT / "cpp" / file).read_text()
    for name in names:
        assert re.search(rf"\b{name.split('::')[-1]}\b", source), f"{name} in {file}"
