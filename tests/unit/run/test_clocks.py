"""Times and names of calls that were made in other processes."""

from __future__ import annotations

import os
import platform
import random
import threading
import time

import pytest

from fastflow.run.clocks import Clocks, Where
from fastflow.run.job_spans import lane_of
from fastflow.run.remote import Outcome

HERE = platform.node()


def test_processes_of_this_machine_have_this_clock():
    clocks = Clocks()
    assert clocks.start(HERE, 12.5, 1.0, sent=100.0, back=101.0) == 12.5


@pytest.mark.parametrize("ahead", [-5_000.0, 0.0, 0.01, 77_000.0])
def test_another_machines_clock_is_found(ahead):
    clocks, random_ = Clocks(), random.Random(3)
    now, errors = 1_000.0, []
    for _ in range(200):
        way, back, took = random_.random(), random_.random(), random_.random()
        sent, began = now, now + 0.001 + way
        now = began + took + 0.002 + back
        found = clocks.start("far", began + ahead, took, sent, now)
        assert sent <= found + 1e-6
        assert found + took <= now + 1e-6
        errors.append(abs(found - began))
    assert max(errors[-50:]) < 0.1  # though each call says it to within a second
    assert max(errors[-50:]) <= max(errors[:2])


def test_a_clock_that_changes_is_found_anew():
    clocks = Clocks()
    assert clocks.start("far", 5.0, 1.0, sent=100.0, back=102.0) == 100.5
    assert clocks.start("far", 5.0, 1.0, sent=200.0, back=202.0) == 200.5
    assert clocks.start("other", 5.0, 1.0, sent=300.0, back=302.0) == 300.5


def test_containers_on_this_machine_have_this_clock():
    assert Clocks().start("container", 100.2, 1.0, sent=100.0, back=102.0) == 100.2


def test_names_of_workers():
    clocks = Clocks()
    first = clocks.name(Where(HERE, 1, 77))
    assert first == "process 1"
    assert clocks.name(Where(HERE, 1, 78)) == "process 1 thread 2"
    assert clocks.name(Where(HERE, 1, 77)) == first
    assert clocks.name(Where("far", 1, 77)) == "far process 1"
    assert clocks.name(Where("far", 1, 79)) == "far process 1 thread 2"
    assert clocks.name(Where.here()) == threading.get_ident()


def test_names_that_are_known_are_not_more_and_more():
    clocks = Clocks()
    for thread in range(20_001):
        clocks.name(Where("far", 1, thread))
    assert clocks.name(Where("far", 1, 20_000)) == "far process 1"


@pytest.mark.parametrize(
    ("name", "lane"),
    [
        ("process 12", ("process", 12)),
        ("process 12 thread 2", ("process", 12)),
        ("far process 12", ("remote", 12)),
        ("far process 12 thread 2", ("remote", 12)),
        ("elsewhere", ("remote", 0)),
    ],
)
def test_lanes_of_workers(name, lane):
    assert lane_of(name) == (name, *lane)
    assert lane_of(7) == 7


def test_an_outcome_says_itself_where_it_was_or_its_chunk_does():
    sent = time.perf_counter()
    alone = Outcome(1, None, sent, 0.0, 5, Where(HERE, 5, 1))
    assert alone.seen_here(sent) == (sent, sent, "process 5")
    plain = Outcome(1, None, sent, 0.0, 5)
    assert plain.seen_here(sent)[2] == "process 5"
    name = plain.seen_here(sent, Where("far away", 5, 1))[2]
    assert name == "far away process 5"
    assert plain.seen_here(sent, Where(HERE, os.getpid(), 4))[2] == 4
