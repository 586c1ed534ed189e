"""Dask as a place for calls."""

from __future__ import annotations

import concurrent.futures as cf
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from fastflow.backends.cluster import ClusterExecutor, call
from fastflow.backends.references import lost, returned_of, run_and_stay
from fastflow.run.kept import Kept
from fastflow.run.remote import Returned

__all__ = ["DaskExecutor", "dask"]


class DaskExecutor(ClusterExecutor):
    """Calls made on a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Not an asynchronous one.
    """

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client
        self._prefix = f"fastflow-{os.urandom(6).hex()}"
        self._numbers = itertools.count(1)

    def capacity(self) -> int:
        """Return the threads of all workers."""
        return sum(self.client.nthreads().values())

    def put(self, data: bytes) -> Any:
        """See `ClusterExecutor`: it goes to a worker, past the scheduler."""
        return self.client.scatter(data, hash=False, direct=True)

    def send(self, fn: Callable[..., Any], args: tuple[Any, ...],
             kwargs: dict[str, Any]) -> cf.Future[Any]:  # fmt: skip
        """See `ClusterExecutor`."""
        theirs = self._submit(call, fn, args, kwargs)
        ours = _ours(theirs)
        theirs.add_done_callback(lambda _: _pass_on(theirs, ours))
        return ours

    def send_chunk(
        self, args: tuple[Any, ...], kept: Sequence[Kept]
    ) -> cf.Future[Returned]:
        """See `ClusterExecutor`: a large value stays in the task that has made it.

        The type of what a task has made is told without it. If it may have something
        that stays, another task there takes the part that leaves.
        """
        theirs = self._submit(run_and_stay, *args, *[each.reference for each in kept])
        ours = _ours(theirs)
        tasks = [each.task for each in kept]
        theirs.add_done_callback(lambda _: self._take_part(theirs, ours, tasks))
        return ours

    def _take_part(
        self, theirs: Any, ours: cf.Future[Returned], tasks: list[str]
    ) -> None:
        """Give what leaves of a chunk to our future, in a thread of Dask's.

        Parameters
        ----------
        tasks
            Whose results it needed: without these Dask cancels it.
        """
        if theirs.status == "cancelled" and tasks:
            if ours.set_running_or_notify_cancel():
                ours.set_exception(lost(*tasks))
            return
        if theirs.status != "finished" or theirs.type is Returned:
            _pass_on(theirs, ours)
            return
        try:
            part = self._submit(returned_of, theirs)
        except Exception as error:  # the client is closed
            if ours.set_running_or_notify_cancel():
                ours.set_exception(error)
            return
        part.add_done_callback(lambda _: _pass_on(part, ours, theirs))

    def _submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        key = f"{self._prefix}-{next(self._numbers)}"
        return self.client.submit(fn, *args, key=key, pure=False)

    def get(self, references: list[Any]) -> list[Any]:
        """See `ClusterExecutor`: from the workers, past the scheduler."""
        return self.client.gather(references, direct=True)  # type: ignore[no-any-return]

    @property
    def place(self) -> Any:
        """See `ClusterExecutor`."""
        return self.client

    def __repr__(self) -> str:
        return f"<DaskExecutor {self.client!r}>"


def _ours(theirs: Any) -> cf.Future[Any]:
    ours: cf.Future[Any] = cf.Future()
    # Who has the one must not keep the other: Dask forgets what nobody refers to.
    link = weakref.ref(theirs)
    ours.add_done_callback(lambda ours: _forget(link(), ours))
    return ours


def _forget(theirs: Any, ours: cf.Future[Any]) -> None:
    if theirs is not None and ours.cancelled():
        theirs.cancel()


def _pass_on(theirs: Any, ours: cf.Future[Any], kept: Any = None) -> None:
    """Give an outcome to our future, in a thread of Dask's; see `Returned.kept`."""
    try:
        if theirs.status == "cancelled":
            ours.cancel()
            ours.set_running_or_notify_cancel()
            return
        error = theirs.exception()
        value: Any = theirs.result() if error is None else None
        if kept is not None and error is None and value.kept:
            value = value._replace(kept=kept)
    except BaseException as lost:  # the cluster is gone
        error, value = lost, None
    if not ours.set_running_or_notify_cancel():
        return
    if error is None:
        ours.set_result(value)
    else:
        ours.set_exception(error)


_all: weakref.WeakKeyDictionary[Any, DaskExecutor] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def dask(client: Any = None) -> DaskExecutor:
    """Return an executor whose calls are made on a Dask cluster.

    Flows, fan-outs and whatever takes a ``concurrent.futures`` executor run there.
    Short calls travel together; retries really call again; workers may come and go:
    what ran on one that has died, Dask runs elsewhere.  fastflow must be installed
    where the workers run; functions of the main program travel by value.

    Parameters
    ----------
    client : distributed.Client, optional
        Default: the one that is current (``distributed.get_client()``).  It is yours:
        shutting the executor down leaves it connected.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError
        If it is no client, or an asynchronous one.
    ValueError
        If there is no current client.

    Examples
    --------
    >>> from distributed import Client  # doctest: +SKIP
    >>> with Client() as client:  # doctest: +SKIP
    ...     flow.run(executor=fastflow.dask(client))
    """
    try:
        from distributed import Client, get_client
    except ImportError as error:
        raise ImportError(
            "fastflow.dask needs Dask: pip install distributed"
        ) from error
    if client is None:
        client = get_client()
    if not isinstance(client, Client):
        raise TypeError(
            f"client must be a distributed.Client, not {type(client).__name__}"
        )
    if client.asynchronous:
        raise TypeError(
            "the client is asynchronous; fastflow waits in threads: connect another "
            "one, distributed.Client(address)"
        )
    with _lock:
        found = _all.get(client)
        if found is None or found._shut:
            found = _all[client] = DaskExecutor(client)
        return found
