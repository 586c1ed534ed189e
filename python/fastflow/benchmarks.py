"""Time your own functions, keep the figures, compare them.

Examples
--------
>>> from fastflow.benchmarks import PerformanceBenchmark
>>> bench = PerformanceBenchmark("sums")
>>> result = bench.benchmark(sum, args=([1, 2, 3],), label="three", iterations=3)
>>> result["iterations"], len(result["times"])
(3, 3)
"""

from __future__ import annotations

import functools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ParamSpec, TypedDict, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Result(TypedDict):
    """Figures of one benchmark, all times in seconds."""

    label: str
    iterations: int
    times: list[float]
    min: float
    max: float
    mean: float
    median: float
    stdev: float
    timestamp: str


class Comparison(TypedDict):
    """How one benchmark stands beside the fastest of a comparison."""

    median: float
    mean: float
    slower_by: float


def measure(
    run: Callable[[], object], label: str, iterations: int, warmup: int
) -> Result:
    """Time ``run`` and summarise the figures."""
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    if warmup < 0:
        raise ValueError(f"warmup must not be negative, but is {warmup}")
    for _ in range(warmup):
        run()
    times = []
    for _ in range(iterations):
        start = time.perf_counter_ns()
        run()
        times.append((time.perf_counter_ns() - start) * 1e-9)
    return Result(
        label=label,
        iterations=iterations,
        times=times,
        min=min(times),
        max=max(times),
        mean=statistics.fmean(times),
        median=statistics.median(times),
        stdev=statistics.stdev(times) if iterations > 1 else 0.0,
        timestamp=datetime.now(UTC).isoformat(timespec="seconds"),
    )


class PerformanceBenchmark:
    """A named set of timings.

    Parameters
    ----------
    name : str
        Name of the set, also that of its file.
    output_dir : str or Path, optional
        Where `save`, `load` and the plots keep their files; default: the current
        directory. Made when needed.

    Attributes
    ----------
    results : dict of str to Result
        The figures by label, in the order of their measurement.
    """

    def __init__(self, name: str, output_dir: str | Path | None = None) -> None:
        self.name = name
        self.output_dir = Path(output_dir) if output_dir is not None else Path()
        self.results: dict[str, Result] = {}

    def benchmark(
        self,
        func: Callable[..., object],
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        label: str | None = None,
        iterations: int = 10,
        warmup: int = 1,
    ) -> Result:
        """Time ``func(*args, **kwargs)``.

        Parameters
        ----------
        func : callable
            What to time.
        args, kwargs : iterable, mapping, optional
            Its arguments.
        label : str, optional
            Key of the figures in `results`; default: the name of ``func``.
        iterations : int
            Timed calls, at least 1.
        warmup : int
            Calls before them that are not timed.

        Returns
        -------
        Result
            ``label``, ``iterations``, ``times``, ``min``, ``max``, ``mean``,
            ``median``, ``stdev`` (all in seconds) and ``timestamp`` (ISO 8601, UTC).
        """
        name = label or name_of(func)
        call = functools.partial(func, *args, **dict(kwargs or {}))
        result = measure(call, name, iterations, warmup)
        self.results[name] = result
        return result

    def compare(self, labels: Sequence[str] | None = None) -> dict[str, Comparison]:
        """Compare benchmarks, the fastest (by its median) first.

        Parameters
        ----------
        labels : sequence of str, optional
            Which ones; default: all.

        Returns
        -------
        dict of str to Comparison
            ``median`` and ``mean`` in seconds, and ``slower_by``: how many times the
            fastest median.

        Raises
        ------
        KeyError
            For a label without figures.
        """
        chosen = [self._result(label) for label in labels or self.results]
        chosen.sort(key=lambda result: result["median"])
        return {
            result["label"]: Comparison(
                median=result["median"],
                mean=result["mean"],
                slower_by=result["median"] / (chosen[0]["median"] or 1e-9),
            )
            for result in chosen
        }

    def save(self, path: str | Path | None = None) -> Path:
        """Write all figures as JSON; default: ``<output_dir>/<name>.json``."""
        target = Path(path) if path is not None else self._file(".json")
        target.parent.mkdir(parents=True, exist_ok=True)
        content = {"name": self.name, "results": list(self.results.values())}
        target.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        return target

    def load(self, path: str | Path | None = None) -> dict[str, Result]:
        """Read figures that `save` wrote, replacing those of the same labels."""
        source = Path(path) if path is not None else self._file(".json")
        content = json.loads(source.read_text("utf-8"))
        for result in content["results"]:
            self.results[result["label"]] = result
        return self.results

    def plot(self, label: str, path: str | Path | None = None) -> Path:
        """Draw the times of one benchmark, call by call; needs matplotlib."""
        result = self._result(label)
        pyplot = load_pyplot()
        drawing, axes = pyplot.subplots()
        axes.plot(range(1, result["iterations"] + 1), result["times"], marker="o")
        axes.axhline(result["median"], linestyle="--", label="median")
        axes.set(xlabel="call", ylabel="seconds", title=f"{self.name}: {label}")
        axes.legend()
        return self._write(pyplot, drawing, path or self._file(f"-{label}.png"))

    def plot_comparison(
        self, labels: Sequence[str] | None = None, path: str | Path | None = None
    ) -> Path:
        """Draw the medians of several benchmarks side by side; needs matplotlib."""
        comparison = self.compare(labels)
        pyplot = load_pyplot()
        drawing, axes = pyplot.subplots()
        axes.barh(list(comparison), [entry["median"] for entry in comparison.values()])
        axes.invert_yaxis()
        axes.set(xlabel="median, seconds", title=self.name)
        return self._write(pyplot, drawing, path or self._file("-comparison.png"))

    def _result(self, label: str) -> Result:
        if label not in self.results:
            known = ", ".join(self.results) or "none yet"
            raise KeyError(
                f"no benchmark {label!r} in {self.name!r}; there are: {known}"
            )
        return self.results[label]

    def _file(self, ending: str) -> Path:
        return self.output_dir / f"{self.name}{ending}"

    @staticmethod
    def _write(pyplot: Any, drawing: Any, path: str | Path) -> Path:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        drawing.tight_layout()
        drawing.savefig(target)
        pyplot.close(drawing)
        return target


def load_pyplot() -> Any:
    """Import matplotlib without a display, or say how to get it."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError(
            'plots need matplotlib: pip install "fastflow[bench]"'
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def name_of(func: Callable[..., object]) -> str:
    """Name under which a callable's figures are kept."""
    return str(getattr(func, "__qualname__", None) or type(func).__qualname__)


def benchmark(
    iterations: int = 10, warmup: int = 1, label: str | None = None
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorate a function so that each call of it is a benchmark.

    The function runs ``warmup + iterations`` times per call; the result of the last run
    is returned and the figures are left in the attribute ``benchmark_result``.

    Parameters
    ----------
    iterations, warmup : int
        As in `PerformanceBenchmark.benchmark`.
    label : str, optional
        Label of the figures; default: the name of the function.
    """

    def decorate(func: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(func)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            last: list[T] = []

            def once() -> None:
                last[:] = [func(*args, **kwargs)]

            result = measure(once, label or name_of(func), iterations, warmup)
            wrapper.benchmark_result = result  # type: ignore[attr-defined]
            return last[0]

        return wrapper

    return decorate
