"""Neighbours of large flows are found by numpy, of small ones without it."""

from __future__ import annotations

import random
from array import array

import pytest

from fastflow.base import topology
from fastflow.base.topology import Neighbours, sort_tasks


@pytest.mark.parametrize(("count", "edges"), [(1, 0), (1, 3), (7, 20), (300, 1_000)])
def test_both_ways_agree(monkeypatch, count, edges):
    rng = random.Random(edges)
    keys = array("q", [rng.randrange(count) for _ in range(edges)])
    values = array("q", [rng.randrange(count) for _ in range(edges)])
    small = Neighbours.by(count, keys, values)
    monkeypatch.setattr(topology, "_LARGE", 0)
    large = Neighbours.by(count, keys, values)
    assert large == small
    assert all(type(item) is int for item in (*large.items, *large.starts))
    for task in range(count):
        found = [v for k, v in zip(keys, values, strict=True) if k == task]
        assert large.of(task) == found


def test_order(monkeypatch):
    monkeypatch.setattr(topology, "_LARGE", 0)
    structure = sort_tasks(4, [0, 1, 3, 0], [1, 2, 1, 2])
    assert structure.order == [0, 3, 1, 2]
    assert sort_tasks(0, [], []).order == []
