"""Tasks of the conformance test: other processes import them from here."""

from __future__ import annotations

import os
import signal
import time
import uuid
from pathlib import Path

import numpy as np

import fastflow

TASKS = fastflow.TaskRegistry()


def note(directory, name):
    """Leave a trace of a call, which other processes can count."""
    (Path(directory) / f"{name}-{uuid.uuid4().hex}").touch()


def noted(directory, name):
    return len(list(Path(directory).glob(f"{name}-*")))


def await_file(path):
    """Go on once there is a file, or after a minute."""
    deadline = time.monotonic() + 60
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def square(x):
    return x * x


def add(a, b):
    return a + b


def total(values):
    return sum(values)


class OddError(Exception):
    """Its constructor takes something else than what `args` has."""

    def __init__(self, code, *, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason

    def __reduce__(self):
        return _odd, (self.code, self.reason)


def _odd(code, reason):
    return OddError(code, reason=reason)


class UnrulyError(Exception):
    """It can't be pickled as it is: the constructor wants more than `args`."""

    def __init__(self, code, reason):
        super().__init__(code)
        self.reason = reason


def raise_odd(_=None):
    raise OddError(7, reason="lunch")


def raise_unruly(_=None):
    raise UnrulyError(8, "dinner")


def raise_noted(_=None):
    error = ValueError("with a note")
    error.add_note("the note")
    try:
        raise KeyError("the cause")
    except KeyError as cause:
        raise error from cause


def count_call(directory):
    note(directory, "call")
    return noted(directory, "call")


def count_item(pair):
    directory, item = pair
    note(directory, "item")
    return item


@TASKS.task(retries=5, retry_delay=0)
def flaky(directory):
    note(directory, "flaky")
    if noted(directory, "flaky") < 3:
        raise OSError("not yet")
    return "at last"


@TASKS.task(timeout=0.3)
def limited(path):
    await_file(path)


@TASKS.task(timeout=1.5)
def quick_limited(_=None):
    return "quick"


@TASKS.task(fallback="instead")
def recovered(_=None):
    raise OddError(7, reason="lunch")


def hang(path):
    await_file(path)
    return "late"


def hold(directory):
    """Keep a worker until the third one has had to wait for longer than its limit."""
    time.sleep(2.0)
    return directory


def quick(_=None):
    return "quick"


def fail_soon(directory):
    raise OSError(str(directory))


def slow_item(pair):
    directory, item = pair
    note(directory, "slow")
    if item == 0:
        raise OSError("the first one")
    time.sleep(0.01)
    return item


def summed(array):
    return float(array.sum())


def doubled(array):
    return array * 2


def die_once(directory):
    """End the process that this runs in, the first time."""
    marker = Path(directory) / "died"
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def die_once_of_many(pair):
    directory, item = pair
    if item == 50:
        die_once(directory)
    return item


def where(_=None):
    time.sleep(0.02)
    return os.getpid()


def array_of(n):
    return np.arange(n, dtype=np.float64)


def given(items):
    return items


def nested(_):
    import joblib

    return joblib.Parallel(n_jobs=2)(joblib.delayed(square)(n) for n in range(3))


@TASKS.task(retries=2, retry_delay=0)
def die_once_retried(directory):
    return die_once(directory)


@TASKS.task(timeout=0.5)
def limited_pid(directory):
    return hang_pid(directory)


def hang_pid(directory):
    (Path(directory) / "pid").write_text(str(os.getpid()))
    await_file(Path(directory) / "never")


@TASKS.task(timeout=1.0)
def limited_nap(item):
    time.sleep(0.25)
    return item


def pid_of(ctx, item):
    return os.getpid()


@TASKS.task
def where_task():
    return os.getpid()


def add_one(n):
    return n + 1


# Large results.


def large(n):
    """Return 8 n bytes, times a million."""
    return np.full(n * 1_000_000, 1.0)


def doubled_in_place(array):
    array *= 2
    return array


def both(a, b):
    return a + b


def pairs_of(n):
    """Return a dict whose keys are names of parameters, and more."""
    return {"left": np.full(n * 1_000_000, 1.0), "right": np.full(10, 2.0), "rest": 3}


def ends_of(left, right):
    return float(left.sum() + right.sum())


def large_item(value):
    return np.full(500_000, float(value))


def sums(arrays):
    return [float(array[0]) for array in arrays]


def of_all(inputs):
    return sorted((name, float(np.sum(value))) for name, value in inputs.items())


def sum_of_ancestor(large_result, x):
    return float(large_result.sum()) + float(x)


def raise_about(array):
    raise ValueError(f"of {array.nbytes:,} bytes")


@TASKS.task(fallback=lambda error, inputs: (str(error), float(inputs["array"].sum())))
def recovered_from(array):
    return raise_about(array)


@TASKS.task(cache=True)
def cached_sum(array):
    return array + 1


async def awaited_sum(array):
    return float(array.sum())


def noted_large(directory):
    note(directory, "made")
    return np.full(1_000_000, 1.0)


def pid_and_array(_):
    return np.full(1_000_000, float(os.getpid()))
