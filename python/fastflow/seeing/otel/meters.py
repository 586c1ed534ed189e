"""What is counted and measured, as instruments of an OpenTelemetry meter."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import Any

from fastflow.pool import workers

__all__ = ["Meters"]


class Meters:
    """The instruments.

    Parameters
    ----------
    meter : opentelemetry.metrics.Meter
    """

    def __init__(self, meter: Any) -> None:
        self.runs = _Lives(meter, "run")
        self.tasks = _Lives(meter, "task")
        self.resumed = meter.create_counter(
            "fastflow.run.resumed",
            unit="{run}",
            description="Executions that another process had begun",
        )
        self.retried = meter.create_counter(
            "fastflow.task.retried",
            unit="{attempt}",
            description="Attempts that have failed and were followed by another",
        )
        self.recalled = meter.create_counter(
            "fastflow.task.recalled",
            unit="{task}",
            description="Calls that were not made again, as their end is in a journal",
        )
        _pool_instruments(meter)


class _Lives:
    """How many of a kind begin, fail, are under way, and how long they take."""

    def __init__(self, meter: Any, what: str) -> None:
        unit = f"{{{what}}}"
        name = f"fastflow.{what}"
        self._started = meter.create_counter(
            f"{name}.started", unit=unit, description=f"{what.title()}s that have begun"
        )
        self._failed = meter.create_counter(
            f"{name}.failed", unit=unit, description=f"{what.title()}s that have failed"
        )
        self._active = meter.create_up_down_counter(
            f"{name}.active", unit=unit, description=f"{what.title()}s under way"
        )
        self._duration = meter.create_histogram(
            f"{name}.duration",
            unit="s",
            description=f"From the beginning of a {what} to its end, retries included",
        )

    def begin(self, labels: dict[str, str]) -> None:
        """Count one that begins."""
        self._started.add(1, labels)
        self._active.add(1, labels)

    def end(self, labels: dict[str, str], seconds: float, error: str | None) -> None:
        """Count one that has ended; `error`: the name of its error's type."""
        self._active.add(-1, labels)
        if error is not None:
            labels = {**labels, "error.type": error}
            self._failed.add(1, labels)
        self._duration.record(max(seconds, 0.0), labels)


class _Steals:
    """A count that grows only, though pools and their own counts come and go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._total = 0
        self._seen: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def count(self) -> int:
        """Return how many tasks were stolen, as far as anybody has looked."""
        with self._lock:
            for engine, now in workers.steals().items():
                self._total += now - self._seen.get(engine, 0)
                self._seen[engine] = now
            return self._total


def _pool_instruments(meter: Any) -> None:
    """Make those that are asked when metrics are read; nothing happens in between."""
    from opentelemetry.metrics import Observation

    steals = _Steals()

    def queued(_: Any) -> Iterable[Any]:
        return [Observation(workers.counts()[0])]

    def running(_: Any) -> Iterable[Any]:
        return [Observation(workers.counts()[1])]

    def stolen(_: Any) -> Iterable[Any]:
        return [Observation(steals.count())]

    meter.create_observable_gauge(
        "fastflow.pool.queue_depth",
        [queued],
        unit="{task}",
        description="Tasks that are ready and wait for a worker of a pool",
    )
    meter.create_observable_gauge(
        "fastflow.pool.running",
        [running],
        unit="{task}",
        description="Tasks that workers of pools are at",
    )
    meter.create_observable_counter(
        "fastflow.pool.steals",
        [stolen],
        unit="{task}",
        description="Tasks that were run by another worker than the one that had them",
    )
