"""Clusters, and what passes this process between them and its tasks."""

from __future__ import annotations

import contextlib

import pytest

from backends.places import PLACES, available
from fastflow.backends.cluster import ClusterExecutor, Far


@pytest.fixture(scope="module")
def pools():
    """Executors by name, each made when it is first needed."""
    with contextlib.ExitStack() as stack:
        made = {}

        def pool(name):
            available(name)
            if name not in made:
                made[name] = stack.enter_context(PLACES[name].make())
            return made[name]

        yield pool


@pytest.fixture
def traffic(monkeypatch):
    """What passes this process: bytes of calls and outcomes, and values fetched."""
    passed = {"bytes": 0, "fetched": 0}
    submit, opened, fetch = Far.submit, Far.opened, ClusterExecutor.fetch

    def count_calls(self, lane, calls, **options):
        passed["bytes"] += sum(len(call.data) for call in calls)
        return submit(self, lane, calls, **options)

    def count_outcomes(self, result):
        passed["bytes"] += sum(map(len, result.outcomes))
        return opened(self, result)

    def count_fetched(self, many):
        passed["fetched"] += len(many)
        return fetch(self, many)

    monkeypatch.setattr(Far, "submit", count_calls)
    monkeypatch.setattr(Far, "opened", count_outcomes)
    monkeypatch.setattr(ClusterExecutor, "fetch", count_fetched)
    return passed
