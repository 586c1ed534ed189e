"""Executors whose calls are made by a cluster: what they share, how calls travel.

A cluster has a scheduler of its own, for which a task costs some tenths of a
millisecond or more; so short calls leave in chunks, as to other processes.  It makes
tasks again whose worker has died.  How many calls it makes at a time may change while
it is used: it is asked now and then.
"""

from __future__ import annotations

import concurrent.futures as cf
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

from fastflow.backends.lanes import Lane
from fastflow.backends.travel import BYTES, Together
from fastflow.run.remote import run_chunk

__all__ = ["ClusterExecutor", "Far", "by_value", "call"]


class ClusterExecutor(cf.Executor):
    """What senders and users want of a cluster; see `fastflow.dask` and `fastflow.ray`.

    Subclasses say how a call gets there, and how many are made at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: weakref.WeakSet[cf.Future[Any]] = weakref.WeakSet()
        self._shut = False

    def capacity(self) -> int:
        """Ask the cluster how many calls it makes at a time, now."""
        raise NotImplementedError

    def send(self, fn: Callable[..., Any], args: tuple[Any, ...],
             kwargs: dict[str, Any]) -> cf.Future[Any]:  # fmt: skip
        """Have a call made, also if an equal one was."""
        raise NotImplementedError

    def put(self, data: bytes) -> Any:
        """Return what stands for data in the arguments of a call."""
        return data

    def submit(
        self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> cf.Future[Any]:
        """Have a call made on the cluster; see ``concurrent.futures.Executor``.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        with self._lock:
            if self._shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            future = self.send(fn, args, kwargs)
            self._open.add(future)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the cluster itself goes on."""
        with self._lock:
            self._shut = True
            open_ = [future for future in self._open if not future.done()]
        if cancel_futures:
            for future in open_:
                future.cancel()
        if wait:
            cf.wait(open_)


def call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Make a call, on the cluster: its own keywords are not those of `fn`."""
    return fn(*args, **kwargs)


def by_value(value: object) -> bytes:
    """Return a value as it travels to machines that may not have what defines it.

    Functions and classes of the main program, lambdas and closures go with it.
    """
    import cloudpickle  # clusters have it

    return cloudpickle.dumps(value)  # type: ignore[no-any-return]


class Far(Together):
    """Several calls in one, each packed by itself, with what defines them.

    Parameters
    ----------
    executor : ClusterExecutor
    """

    def __init__(self, executor: ClusterExecutor) -> None:
        super().__init__()
        # The sender, which has this, must not keep the executor.
        self._executor = weakref.ref(executor)

    def pack(self, lane: Lane, arguments: tuple[Any, ...]) -> bytes:
        """See `fastflow.backends.travel.Travel`."""
        if lane.packed is None:
            lane.packed = by_value((lane.run, lane.fn))
        try:
            return by_value(arguments)
        except pickle.PicklingError:
            raise
        except Exception as error:  # of somebody's __reduce__
            raise pickle.PicklingError(f"arguments: {error}") from error

    def submit(self, lane: Lane, calls: list[bytes], *, alone: bool) -> cf.Future[Any]:
        """See `fastflow.backends.travel.Travel`."""
        executor = self._executor()
        assert executor is not None  # the lane has its `submit`
        placed = [executor.put(call) if len(call) > BYTES else call for call in calls]
        seconds, size = self.limits(alone=alone)
        return lane.submit(run_chunk, lane.packed, placed, seconds, size)
