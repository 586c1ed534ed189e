"""Functions that workers call."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np

from fastflow import ProcessExecutor


def same(value):
    return value


def both(*args, **kwargs):
    return args, kwargs


def fail(text="no"):
    raise ValueError(text)


def pid(*_):
    return os.getpid()


def leave(code):
    os._exit(code)


def end_by(number):
    os.kill(os.getpid(), number)


def until(path):
    """Return when a file is there."""
    while not Path(path).exists():
        time.sleep(0.002)
    return path


def until_after(path, value):
    """Wait for a file if `value` is 0."""
    if value == 0:
        until(path)
    return value


def say_and_wait(said, path):
    Path(said).touch()
    return until(path)


def once(path, value):
    """Die the first time."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def log(text):
    logging.getLogger("of.worker").warning("it says %s", text)


def nested(values):
    with ProcessExecutor(2) as executor:
        mapped = list(executor.map(same, values))
        return mapped, executor.submit(pid).result() == os.getpid()


def total(array):
    return float(array.sum()), array.flags.writeable


def numbers(count):
    return np.arange(count, dtype=float)


def size(value):
    return len(value)


def write_to(array):
    array[0] = 1


def unpicklable():
    return threading.Lock()


def grow(count):
    GROWN.append(bytearray(count))
    return os.getpid()


GROWN: list[bytearray] = []


def set_up(value):
    GROWN.append(value)


def what_is_set_up():
    return GROWN


def blas_threads():
    return os.environ.get("OMP_NUM_THREADS")


class Special(Exception):  # noqa: N818
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def special():
    raise Special(1, 2)


class Adder:
    def __init__(self, value):
        self.value = value

    def add(self, other):
        return self.value + other
