"""The order at the end of the interpreter, and in a forked child."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow
from fastflow.base import lifetime

PACKAGE = Path(fastflow.__file__).parent

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def output(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    return done.stdout.split(), done.stderr


REGISTERED = """
import os
from fastflow.base import lifetime
for phase in ({order}):
    lifetime.{register}(phase, lambda phase=phase: print(phase, flush=True))
"""
ORDERS = ["0, 1, 2, 3", "3, 2, 1, 0", "1, 3, 0, 2"]


@pytest.mark.parametrize("order", ORDERS)
def test_the_end_goes_top_down_whoever_registered_first(order):
    told, errors = output(REGISTERED.format(order=order, register="at_exit"))
    assert (told, errors) == (["0", "1", "2", "3"], "")


def test_phases_that_were_registered_later_come_before_those_of_others():
    program = """
import threading
from fastflow.base import lifetime
lifetime.at_exit(lifetime.WORKERS, lambda: print("workers"))
threading._register_atexit(print, "another")
lifetime.at_exit(lifetime.RUNS, lambda: print("runs"))
"""
    assert output(program) == (["runs", "another", "workers"], "")


def test_actions_of_a_phase_come_in_the_order_of_their_registration():
    program = """
from fastflow.base import lifetime
for name in "abc":
    lifetime.at_exit(lifetime.LOOP, lambda name=name: print(name))
"""
    assert output(program) == (["a", "b", "c"], "")


def test_when_a_phase_is_over_nothing_can_be_added_to_it():
    program = """
from fastflow.base import lifetime
def late():
    for phase in lifetime.PHASES:
        try:
            lifetime.at_exit(phase, lambda: print("called"))
        except RuntimeError:
            print("refused")
lifetime.at_exit(lifetime.LOOP, late)
lifetime.at_exit(lifetime.TIMERS, lambda: print("timers"))
"""
    told, errors = output(program)
    assert told == ["refused", "refused", "timers", "called", "called"]
    assert errors == ""


@forks
@pytest.mark.parametrize("order", ORDERS)
def test_a_forked_child_begins_bottom_up(order):
    program = REGISTERED.format(order=order, register="in_forked_child")
    program += """
if os.fork() == 0:
    os._exit(0)
os.wait()
"""
    assert output(program) == (["3", "2", "1", "0"], "")


@forks
def test_in_a_forked_child_a_failure_keeps_nobody_from_starting_over():
    program = """
import os
from fastflow.base import lifetime
lifetime.in_forked_child(lifetime.WORKERS, lambda: 1 // 0)
lifetime.in_forked_child(lifetime.RUNS, lambda: print("runs", flush=True))
if os.fork() == 0:
    os._exit(0)
os.wait()
"""
    told, errors = output(program)
    assert told == ["runs"]
    assert "ZeroDivisionError" in errors


def test_the_order_is_the_one_that_is_stated():
    phases = [lifetime.RUNS, lifetime.LOOP, lifetime.TIMERS, lifetime.WORKERS]
    assert list(lifetime.PHASES) == phases == sorted(phases)
    stated = [line.split()[0] for line in lifetime.__doc__.splitlines() if "  " in line]
    assert stated == ["RUNS", "LOOP", "TIMERS", "WORKERS"]


def test_nobody_else_registers():
    others = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if "register_at_fork" in (text := path.read_text("utf-8"))
        or "_register_atexit" in text
    }
    assert others == {"base/lifetime.py"}
