"""``executor="processes"``: the fan-out functions in other processes."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

import fastflow
import process_calls as calls
from fastflow import ProcessExecutor


def test_all_of_them_run_elsewhere():
    assert os.getpid() not in fastflow.map(calls.pid, range(20), executor="processes")
    pids = set(fastflow.imap(calls.pid, range(20), executor="processes"))
    assert os.getpid() not in pids
    assert fastflow.map(pow, [2, 3], [5, 2], executor="processes") == [32, 9]
    assert fastflow.starmap(pow, [(2, 5), (3, 2)], executor="processes") == [32, 9]
    assert fastflow.for_each(calls.same, range(10), executor="processes") is None
    with pytest.raises(ValueError, match="executor must be"):
        fastflow.map(calls.same, [1], executor="elsewhere")


def test_an_executor_of_ones_own():
    with ProcessExecutor(2) as executor:
        assert fastflow.map(calls.same, range(1000), executor=executor) == [
            *range(1000)
        ]
        assert fastflow.map(calls.same, [1], executor=executor, max_workers=1) == [1]


def test_exceptions_have_notes_or_are_returned():
    items = ["a", 2, "ccc"]
    with pytest.raises(TypeError) as told:
        fastflow.map(calls.size, items, executor="processes")
    assert told.value.__notes__ == ["item 'size' #1"]
    found = fastflow.map(
        calls.size, items, executor="processes", return_exceptions=True
    )
    assert [found[0], found[2]] == [1, 3]
    assert isinstance(found[1], TypeError)
    assert "in size" in str(found[1].__cause__)


def test_a_stream_reads_ahead_and_goes_on_after_an_error():
    values = fastflow.imap(calls.same, itertools.count(), executor="processes")
    assert list(itertools.islice(values, 3000)) == list(range(3000))
    values = fastflow.imap(calls.size, ["a", 2, "ccc"], executor="processes")
    assert next(values) == 1
    with pytest.raises(TypeError):
        next(values)
    assert list(values) == [3]
    values = fastflow.imap(
        calls.size, ["a", 2, "ccc"], executor="processes", return_exceptions=True
    )
    assert [type(value) for value in values] == [int, TypeError, int]


def test_a_stream_takes_no_more_than_it_may():
    taken = []
    source = (taken.append(n) or n for n in range(1000))
    values = fastflow.imap(calls.same, source, executor="processes", buffersize=8)
    assert next(values) == 0
    assert len(taken) <= 9
    assert list(values) == list(range(1, 1000))


def test_a_stream_in_the_order_of_the_ends():
    values = fastflow.imap(calls.same, range(500), executor="processes", ordered=False)
    assert sorted(values) == list(range(500))


def test_arrays():
    array = np.arange(100_000.0)
    found = fastflow.map_array(np.sqrt, array, executor="processes")
    assert np.array_equal(found, np.sqrt(array))


def test_progress_is_told():
    told = []
    fastflow.map(
        calls.same,
        range(100),
        executor="processes",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (100, 100)
