"""What the programs of scenarios have: the class under test, and small helpers."""

import concurrent.futures as cf
import contextlib
import ctypes
import gc
import importlib
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool

_module, _, _name = os.environ["FASTFLOW_MATRIX_POOL"].partition(":")
Pool = getattr(importlib.import_module(_module), _name)
OURS = _module == "fastflow"
HERE = os.environ["FASTFLOW_MATRIX_FOLDER"]
"""A folder of this run."""

__all__ = [
    "HERE", "OURS", "BrokenProcessPool", "Pool", "cf", "contextlib", "ctypes", "die",
    "first_time", "gc", "getpid", "health", "hold", "importlib", "is_gone", "job",
    "logging", "mark", "marked", "multiprocessing", "open_files", "os", "outcome",
    "pickle", "refused", "resident", "same", "say", "signal", "sys", "threading",
    "time", "until", "workers_of",
]  # fmt: skip


def say(*words):
    """Print a line in one piece."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def mark(name):
    """Leave a mark that all processes of the run see."""
    with open(os.path.join(HERE, name), "w"):
        pass


def marked(name):
    return os.path.exists(os.path.join(HERE, name))


def until(condition, *arguments):
    """Wait for a mark, or until something holds; the scenario's limit ends it else."""
    if isinstance(condition, str):
        condition, arguments = marked, (condition,)
    while not condition(*arguments):
        time.sleep(0.002)


def first_time(name):
    """Tell whether this is the first time that it is asked, in all processes."""
    try:
        os.close(os.open(os.path.join(HERE, name), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def outcome(call, *arguments):
    """Say what comes of a call: a value, or the class of an error."""
    try:
        say(call(*arguments))
    except BaseException as error:
        broken = isinstance(error, BrokenProcessPool)
        say("BrokenProcessPool" if broken else type(error).__name__)
        return error
    return None


def refused(call, *arguments):
    """Say whether a call fails as what can't be pickled does, in one of its ways."""
    try:
        say(call(*arguments))
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError):
        say("can't be pickled")


def health(pool, more=50):
    """Say whether the pool makes calls, all of which come to their end."""
    try:
        futures = [pool.submit(same, n) for n in range(more)]
        values = [future.result() for future in futures]
    except BaseException as error:
        say("ill:", type(error).__name__)
    else:
        say("well" if values == list(range(more)) else "wrong")


def same(value):
    return value


def getpid(*_):
    return os.getpid()


def job(n):
    """A call of a moment that isn't nothing."""
    return sum(range(n % 100))


def hold(name, value=None):
    """A call that ends when a mark is there; says by another that it has begun."""
    mark(name + "-begun")
    until(name)
    return value


def die(how):
    """End this process, or leave by an error."""
    if how == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "SIGSEGV":
        ctypes.string_at(0)
    elif how == "os._exit":
        os._exit(9)
    raise MemoryError(how)


def is_gone(pid):
    """Tell whether a process has ended, though perhaps nobody has asked for how."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def open_files(pid="self"):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid="self"):
    """Return the megabytes that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def workers_of(pool, count=None):
    """Return the process ids of a pool's workers, by asking them."""
    found = set()
    while len(found) < (count or pool._max_workers):
        futures = [pool.submit(_slow_pid) for _ in range(2 * pool._max_workers)]
        found.update(future.result() for future in futures)
    return sorted(found)


def _slow_pid():
    time.sleep(0.02)  # so that all workers take part
    return os.getpid()
