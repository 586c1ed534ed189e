"""PerformanceBenchmark and its decorator."""

from __future__ import annotations

import importlib.util
import statistics
from datetime import datetime

import pytest

from fastflow.benchmarks import PerformanceBenchmark, benchmark


def test_figures_follow_from_the_times():
    calls = []
    bench = PerformanceBenchmark("unit")
    result = bench.benchmark(
        lambda *args, **kwargs: calls.append((args, kwargs)),
        args=(1, 2),
        kwargs={"key": 3},
        label="call",
        iterations=4,
        warmup=2,
    )
    assert calls == [((1, 2), {"key": 3})] * 6
    assert set(result) == {
        "label",
        "iterations",
        "times",
        "min",
        "max",
        "mean",
        "median",
        "stdev",
        "timestamp",
    }
    assert result["label"] == "call"
    assert result["iterations"] == len(result["times"]) == 4
    assert result["min"] == min(result["times"])
    assert result["max"] == max(result["times"])
    assert result["median"] == statistics.median(result["times"])
    assert result["mean"] == pytest.approx(statistics.mean(result["times"]))
    assert result["stdev"] == pytest.approx(statistics.stdev(result["times"]))
    assert datetime.fromisoformat(result["timestamp"]).tzinfo is not None


def test_the_label_defaults_to_the_name():
    assert PerformanceBenchmark("unit").benchmark(len, args=("",))["label"] == "len"


def test_one_iteration_has_no_deviation():
    result = PerformanceBenchmark("unit").benchmark(len, args=("",), iterations=1)
    assert result["stdev"] == 0.0


@pytest.mark.parametrize("bad", [{"iterations": 0}, {"warmup": -1}])
def test_nonsense_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        PerformanceBenchmark("unit").benchmark(len, args=("",), **bad)


def with_figures(**medians):
    bench = PerformanceBenchmark("unit")
    for label, median in medians.items():
        result = bench.benchmark(len, args=("",), label=label, iterations=1)
        result["median"] = median
    return bench


def test_comparison_puts_the_fastest_first():
    comparison = with_figures(slow=4.0, fast=2.0, middle=3.0).compare()
    assert list(comparison) == ["fast", "middle", "slow"]
    assert [entry["slower_by"] for entry in comparison.values()] == [1.0, 1.5, 2.0]
    assert list(with_figures(a=1.0, b=2.0).compare(["b"])) == ["b"]


def test_an_unknown_label_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match=r"'c'.*there are: a, b"):
        with_figures(a=1.0, b=2.0).compare(["a", "c"])


def test_figures_survive_saving_and_loading(tmp_path):
    saved = PerformanceBenchmark("round-trip", tmp_path / "new folder")
    saved.benchmark(len, args=("",), label="len", iterations=2)
    path = saved.save()
    assert path == tmp_path / "new folder" / "round-trip.json"
    loaded = PerformanceBenchmark("round-trip", tmp_path / "new folder")
    assert loaded.load() == saved.results


def test_the_decorator_returns_the_result_and_keeps_the_figures():
    calls = []

    @benchmark(iterations=3, warmup=1, label="adding")
    def add(left, right=0):
        """Add."""
        calls.append((left, right))
        return left + right

    assert add(1, right=2) == 3
    assert calls == [(1, 2)] * 4
    assert add.__doc__ == "Add."
    assert add.benchmark_result["label"] == "adding"
    assert len(add.benchmark_result["times"]) == 3


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is not None, reason="matplotlib is there"
)
def test_plots_say_what_they_need(tmp_path):
    with pytest.raises(ImportError, match=r"fastflow\[bench\]"):
        with_figures(a=1.0).plot_comparison(path=tmp_path / "plot.png")


@pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs matplotlib"
)
def test_plots(tmp_path):
    bench = with_figures(a=1.0, b=2.0)
    assert bench.plot("a", tmp_path / "a.png").stat().st_size > 0
    assert bench.plot_comparison(path=tmp_path / "all.png").stat().st_size > 0
