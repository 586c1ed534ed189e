"""submit and result, side by side with the standard library."""

from __future__ import annotations

import pytest

from fastflow.bench.submit import round_trips, submit_all


@pytest.mark.benchmark(group="submit + result, 10,000 no-ops")
def test_submit_result(benchmark, executor):
    benchmark.pedantic(submit_all, (executor, 10_000), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="round trip, 500 in a row")
def test_round_trip(benchmark, executor):
    benchmark.pedantic(round_trips, (executor, 500), rounds=5, warmup_rounds=1)
