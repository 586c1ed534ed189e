"""Tasks that other processes can import."""

from __future__ import annotations

import importlib
import os
import threading
import time
from pathlib import Path

from fastflow.run.registry import TaskRegistry

registry = TaskRegistry()
task = registry.task

#: The tasks of guide "Parallel Tasks Usage Guide", with the data it leaves open.


@task
def fetch_data(source):
    return {"source": source, "values": list(range(12))}


@task
def split_data(data):
    values = data["values"]
    return [values[:4], values[4:8], values[8:]]


@task
def process_batch_1(parts):
    return sum(parts[0])


@task
def process_batch_2(parts):
    return sum(parts[1])


@task
def process_batch_3(parts):
    return sum(parts[2])


@task
def merge_results(totals):
    return sum(totals)


#: The tasks of guide "Parallel Tasks Example".


@task
def DataPreparation(records):  # noqa: N802
    size = len(records) // 4
    return [records[i * size : (i + 1) * size] for i in range(4)]


@task
def ProcessChunk1(chunks):  # noqa: N802
    return sum(chunks[0])


@task
def ProcessChunk2(chunks):  # noqa: N802
    return sum(chunks[1])


@task
def ProcessChunk3(chunks):  # noqa: N802
    return sum(chunks[2])


@task
def ProcessChunk4(chunks):  # noqa: N802
    return sum(chunks[3])


@task
def AggregateResults(totals):  # noqa: N802
    return sum(totals)


#: Others.


@task
def numbers(n):
    return list(range(n))


@task
def square(n):
    return n * n


@task
def total(values):
    return sum(values)


@task
def fail(value):
    raise ValueError(f"can't use {value!r}")


@task
def process_id(_):
    return os.getpid()


@task
def wait_for_file(path):
    event = threading.Event()
    while not os.path.exists(path):  # noqa: PTH110
        event.wait(0.01)
    return [1]


@task
def everything(inputs):
    return dict(inputs)


@task(validate_input=lambda n: n >= 0, validate_output=lambda n: n < 100)
def small(n):
    return n * 10


class Unfair(Exception):  # noqa: N818
    """Can be pickled, but not unpickled."""

    def __init__(self, one, two):
        super().__init__(one)
        self.two = two


@task
def picky(n):
    """Misbehave in another way for some numbers."""
    if n % 10 == 3:
        raise ValueError(f"no {n}")
    if n % 10 == 5:
        raise Unfair(n, 2)
    if n % 10 == 7:
        return lambda: n
    return n


@task
def die_at_fifty(n):
    if n == 50:
        os._exit(3)
    return n


@task
def large(n):
    return bytes([n % 256]) * 400_000


@task
def generate(n):
    return (i for i in range(n))


@task(timeout=60)
def soon(n):
    return n + 1


def some_names(names):
    return names


def raise_special(name):
    """Raise the exception of that module and name."""
    module, kind = name
    raise getattr(importlib.import_module(module), kind)("special")


def blas_threads(*_):
    """Return the largest number of threads that a BLAS of this process may use."""
    import numpy as np
    import threadpoolctl

    a = np.ones((8, 8))
    assert (a @ a)[0, 0] == 8
    return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())


@task(retries=1, timeout=60)
def blas_threads_with_a_limit(*_):
    return blas_threads()


def wait_for_the_payload(ctx):
    """Return once a file is there, whose name is the payload."""
    while not Path(ctx.payload).exists():
        time.sleep(0.005)
    return "late"


def in_time(ctx):
    return "in time"
