"""The arithmetic behind `fastflow bench`."""

from __future__ import annotations

import json
import math

import pytest

from fastflow.bench import report
from fastflow.bench.measure import SAME, Spread, Times, contest, interleave
from fastflow.bench.metg import crossing
from fastflow.bench.rows import (
    NOT_SLOWER,
    Row,
    Settings,
    Skip,
    cost,
    faster,
    figure_above,
    figure_below,
)
from fastflow.bench.runner import GROUPS, as_json, run, save_json, select


def row(goal, ratio=2.0, ours=10.0):
    spread = Spread(ratio, ratio / 2, ratio * 2)
    return Row("work", "peer", 20.0, ours, "ns", spread, goal)


def test_a_ratio_is_formed_inside_each_round():
    times = Times({"a": [1.0, 10.0, 3.0], "b": [2.0, 10.0, 12.0]})
    assert times.ratio("b", "a") == Spread(2.0, 1.0, 4.0)
    assert times.median("a") == 3.0


def test_contestants_take_turns_in_rotating_order():
    order = []
    contestants = {name: lambda name=name: order.append(name) for name in "abc"}
    times = interleave(contestants, repeats=2, warmup=1)
    assert "".join(order) == "abc" + "bca" + "cab"
    assert {name: len(figures) for name, figures in times.seconds.items()} == {
        "a": 2,
        "b": 2,
        "c": 2,
    }


def test_a_contest_refuses_a_wrong_result():
    with pytest.raises(ValueError, match="'wrong' gives another result than 'right'"):
        contest({"right": lambda: 1, "wrong": lambda: 2}, 1)


@pytest.mark.parametrize(
    ("goal", "ratio", "ours", "met"),
    [
        (faster(2.0), 2.0, 0.0, True),
        (faster(2.0), 1.99, 0.0, False),
        (cost(1.5), 1.5, 0.0, True),
        (cost(1.5), 1.51, 0.0, False),
        (NOT_SLOWER, SAME, 0.0, True),
        (NOT_SLOWER, 1.1, 0.0, False),
        (figure_below(4.0), 99.0, 4.0, True),
        (figure_below(4.0), 0.1, 4.1, False),
        (figure_above(6), 0.1, 6.0, True),
        (figure_above(6), 9.0, 5.0, False),
        (None, 1.0, 1.0, None),
    ],
)
def test_a_goal_bounds_the_ratio_or_the_figure(goal, ratio, ours, met):
    assert row(goal, ratio, ours).met is met


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        (faster(40), "≥ 40 ×"),
        (cost(1.5), "≤ 1.5 ×"),
        (NOT_SLOWER, "not slower"),
        (figure_below(250), "ours ≤ 250"),
        (figure_above(6), "ours ≥ 6"),
    ],
)
def test_goals_are_readable(goal, text):
    assert goal.text == text


def test_the_crossing_is_interpolated_over_the_logarithm():
    assert crossing([(400, 0.9), (200, 0.75), (100, 0.25)]) == pytest.approx(
        math.sqrt(200 * 100)
    )


def test_no_crossing_is_infinite_and_full_efficiency_is_the_smallest_size():
    assert crossing([(400, 0.4), (200, 0.2)]) == math.inf
    assert crossing([(400, 0.9), (200, 0.8)]) == 200


def test_a_figure_that_is_not_finite_becomes_null():
    content = as_json(row(figure_below(4.0), math.nan, math.inf))
    assert content["our_figure"] is None
    assert content["ratio"]["median"] is None
    assert content["met"] is False
    json.dumps(content, allow_nan=False)


def test_benchmarks_are_selected_by_group_and_name():
    assert select(GROUPS) == [each for group in GROUPS.values() for each in group]
    (chosen,) = select(["executor"], "pending")
    assert chosen.__name__ == "pending_bytes"
    assert select(GROUPS, "no such name") == []


def test_brackets_survive_printing(capsys):
    report.console().print(report.summary([Skip("x", 'pip install "fastflow[bench]"')]))
    assert '"fastflow[bench]"' in capsys.readouterr().out


def test_rows_and_skips_are_reported(tmp_path):
    def benchmark(settings):
        yield row(faster(1.5))
        yield row(None)
        yield Skip("native", "no compiler")

    announced = []
    outcome = list(run([benchmark], Settings(), announced.append))
    assert announced == ["benchmark"]
    text = report.summary(outcome)
    assert text.splitlines() == [
        "1 of 1 goals met, 1 skipped",
        "skipped: native: no compiler",
    ]
    save_json(tmp_path / "report.json", outcome, Settings())
    saved = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [entry["met"] for entry in saved["rows"]] == [True, None]
    assert saved["skipped"] == [{"workload": "native", "why": "no compiler"}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,234 ns"), (12.34, "12.3 ns"), (0.456, "0.46 ns"), (math.inf, "never")],
)
def test_figures_have_three_digits(value, text):
    assert report.figure(value, "ns") == text


def test_the_command_line_has_all_groups():
    from fastflow.cli.commands import bench

    (option,) = [each for each in bench.params if each.name == "groups"]
    assert list(option.type.choices) == [*GROUPS]
