"""Whoever runs many short calls lets other threads have the interpreter lock.

The interpreter looks for such requests where a Python function begins. Other callables
have to be seen to: those of C, and functions that only make an object when called.
"""

from __future__ import annotations

import sys
import threading
import time

import pytest

import fastflow

pytestmark = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(),
    reason="there is no interpreter lock",
)

FEW = 8  # turns before and after the calls, where bytecode runs


def plain(x):
    return x


def generator(x):
    yield x


async def async_generator(x):
    yield x


class Owner:
    def method(self, x):
        return x

    def generator(self, x):
        yield x


FUNCTIONS = {
    "of C": abs,
    "of Python": plain,
    "method": Owner().method,
    "generator function": generator,
    "generator method": Owner().generator,
    "async generator function": async_generator,
    "class": complex,
}


class Phase:
    """Whether the calls are being made, as far as Python code can tell."""

    on = over = False


def by_submit(executor, fn, phase):
    """Make tasks that are all there when the first one begins."""
    gate = threading.Lock()
    with gate:
        executor.submit(gate.acquire)
        futures = [executor.submit(fn, 1) for _ in range(100_000)]
    phase.on = True
    futures[-1].exception()
    phase.on = False


def by_map(executor, fn, phase):
    items = range(300_000)
    phase.on = True
    fastflow.for_each(fn, items, executor=executor)
    phase.on = False


def by_graph(executor, fn, phase):
    graph = fastflow.Graph()
    for _ in range(200_000):
        graph.add(fn, 1)
    phase.on = True
    graph.run(executor=executor, keep="none")
    phase.on = False


MACHINES = {"submit": by_submit, "map": by_map, "graph": by_graph}


@pytest.fixture
def impatient():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def wants_more(x, y):
    return x, y


def turns(machine, fn):
    """How often this thread got the lock while another one had the calls made."""
    phase = Phase()

    def work():
        with fastflow.Executor(1) as executor:
            machine(executor, fn, phase)
        phase.over = True

    thread = threading.Thread(target=work)
    thread.start()
    count = 0
    while not phase.over:
        time.sleep(0)  # lets the lock go, and asks for it again
        count += phase.on
    thread.join()
    return count


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_others_have_their_turns(machine, function):
    # If the system has something else to do, there is time for few turns.
    assert any(turns(MACHINES[machine], FUNCTIONS[function]) > FEW for _ in range(9))


@pytest.mark.usefixtures("impatient")
def test_and_while_calls_fail_before_they_begin():
    assert any(turns(by_submit, wants_more) > FEW for _ in range(9))
