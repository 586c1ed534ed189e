from __future__ import annotations

import itertools

from fastflow.durable.runtime.worker_count import EVERYBODY, WorkerCount

LOOK = 0.005  # seconds


def play(size, rate_of, looks, most=8, crew=1):
    """Sizes of the crew over time, where a crew of c finishes rate_of(c) lines/s."""
    sizes = []
    for _ in range(looks):
        lines = round(rate_of(crew) * LOOK)
        crew = max(1, min(crew + size.change(lines, LOOK, crew, most), most))
        sizes.append(crew)
    return sizes


def test_short_lines_that_compete_stay_alone_most_of_the_time():
    sizes = play(WorkerCount(), lambda crew: 10_000 / crew**0.5, 2_000)
    assert sizes.count(1) > 0.98 * len(sizes)
    assert set(sizes) == {1, 2}


def test_tries_become_rarer():
    sizes = play(WorkerCount(), lambda crew: 10_000, 3_000)
    tries = [look for look, size in enumerate(sizes) if size == 2]
    gaps = [b - a for a, b in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 500


def test_short_lines_that_wait_get_company():
    sizes = play(WorkerCount(), lambda crew: 4_000 * crew, 40)
    assert sizes[-1] == 8


def test_long_lines_that_wait_get_company_at_once():
    sizes = play(WorkerCount(), lambda crew: 1_000 * crew, 10)
    assert sizes[-1] == 8


def test_long_lines_that_compute_stay_few():
    sizes = play(WorkerCount(), lambda crew: 1_000, 200)
    assert max(sizes) == 2
    assert sizes.count(1) > 150


def test_if_all_are_stuck_everybody_comes():
    size = WorkerCount()
    assert size.change(0, LOOK, 1, 8) == 1  # may be by chance
    assert size.change(0, LOOK, 2, 8) == EVERYBODY


def test_one_slow_look_does_not_make_a_try_look_good():
    size = WorkerCount()
    rates = iter([8_000] * 6 + [800] + [8_000] * 20)  # a sync of the disk
    sizes = play(size, lambda crew: next(rates), 20)
    assert max(sizes) == 2
    assert sizes[-1] == 1
