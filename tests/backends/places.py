"""The backends of the conformance test: how each is made, and what it can do."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import fastflow


class Place(NamedTuple):
    """A backend, with two workers."""

    make: Callable[[], Any]
    """Returns a context manager of the executor."""
    needs: str = ""
    """A module that must be installed."""
    concurrent: bool = True
    processes: bool = False
    """Whether calls are made in other processes."""
    heals: bool = False
    """Whether a call whose worker has died is made again, and the others go on."""
    add_worker: Callable[[Any], object] | None = None
    only_one: bool = False
    """Whether there is one in a program, which all tests share."""


@contextlib.contextmanager
def _loky():
    import loky

    pool = loky.ProcessPoolExecutor(2)
    try:
        yield pool
    finally:
        pool.shutdown(kill_workers=True)


@contextlib.contextmanager
def _dask():
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=None
        ) as cluster,
        Client(cluster) as client,
    ):
        yield fastflow.dask(client)


def _add_dask_worker(executor):
    executor.client.cluster.scale(3)


@contextlib.contextmanager
def _ray():
    import ray

    path = os.pathsep.join(path for path in sys.path if path)
    executor = fastflow.ray(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    try:
        yield executor
    finally:
        ray.shutdown()


PLACES = {
    "serial": Place(lambda: contextlib.nullcontext("serial"), concurrent=False),
    "native": Place(lambda: fastflow.Executor(2)),
    "threads": Place(lambda: cf.ThreadPoolExecutor(2)),
    "stdlib processes": Place(lambda: cf.ProcessPoolExecutor(2), processes=True),
    "processes": Place(lambda: fastflow.ProcessExecutor(2), processes=True),
    "loky": Place(_loky, "loky", processes=True),
    "dask": Place(
        _dask, "distributed", processes=True, heals=True, add_worker=_add_dask_worker
    ),
    "ray": Place(_ray, "ray", processes=True, heals=True, only_one=True),
}


def is_there(place: Place) -> bool:
    return not place.needs or importlib.util.find_spec(place.needs) is not None


def available(name: str) -> None:
    """Skip the test if the place isn't there."""
    if not is_there(PLACES[name]):
        pytest.skip(f"{PLACES[name].needs} is not installed, see [test-cluster]")
