"""Ray as a place for calls; it has no executor of ``concurrent.futures`` itself."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from fastflow.backends.cluster import ClusterExecutor, call
from fastflow.backends.references import Keeping, lost, returned_of, run_far
from fastflow.run.kept import Kept
from fastflow.run.remote import Returned

__all__ = ["RayExecutor", "ray"]


class RayExecutor(ClusterExecutor):
    """Calls made on a Ray cluster that this process is connected to.

    Parameters
    ----------
    library : module
        ``ray``.
    """

    def __init__(self, library: Any) -> None:
        super().__init__()
        self._ray = library
        self._remote = library.remote(call)
        self._chunk = library.remote(num_returns=2)(_in_two)

    def capacity(self) -> int:
        """Return the CPUs of all nodes."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def send(self, fn: Callable[..., Any], args: tuple[Any, ...],
             kwargs: dict[str, Any]) -> cf.Future[Any]:  # fmt: skip
        """See `ClusterExecutor`."""
        reference = self._remote.remote(fn, args, kwargs)
        ours: cf.Future[Any] = cf.Future()
        ours.add_done_callback(lambda ours: self._forget(reference, ours))
        reference.future().add_done_callback(lambda theirs: _pass_on(theirs, ours))
        return ours

    def send_chunk(
        self, args: tuple[Any, ...], kept: Sequence[Kept]
    ) -> cf.Future[Returned]:
        """See `ClusterExecutor`: a large value is a second result of Ray's task.

        That belongs to this process, so it lives on when the worker ends that has made
        it, and Ray can make it again.
        """
        held = [each.reference for each in kept]
        tasks = [each.task for each in kept]
        gone = self._ray.exceptions.ObjectLostError
        part, value = self._chunk.remote(*args, *held)
        ours: cf.Future[Any] = cf.Future()
        ours.add_done_callback(lambda ours: self._forget(part, ours))

        def done(theirs: cf.Future[Any]) -> None:
            error = theirs.exception()
            if tasks and isinstance(getattr(error, "cause", None) or error, gone):
                if ours.set_running_or_notify_cancel():
                    ours.set_exception(lost(*tasks))
            else:
                _pass_on(theirs, ours, value)

        part.future().add_done_callback(done)
        return ours

    def get(self, references: list[Any]) -> list[Any]:
        """See `ClusterExecutor`."""
        return self._ray.get(references)  # type: ignore[no-any-return]

    @property
    def place(self) -> Any:
        """See `ClusterExecutor`: a process is connected to one cluster."""
        return self._ray

    def _forget(self, reference: Any, ours: cf.Future[Any]) -> None:
        if ours.cancelled():
            with contextlib.suppress(Exception):  # it has ended, or Ray has
                self._ray.cancel(reference)

    def __repr__(self) -> str:
        return "<RayExecutor>"


def _in_two(*args: Any) -> tuple[Returned, Keeping | None]:
    """Make calls, on the cluster; what stays is a result of its own."""
    made = run_far(*args)
    return returned_of(made), made if isinstance(made, Keeping) else None


def _pass_on(theirs: cf.Future[Any], ours: cf.Future[Any], kept: Any = None) -> None:
    """Give an outcome to our future; `kept` stands for what stays, if anything does."""
    if not ours.set_running_or_notify_cancel():
        return
    error = theirs.exception()
    if error is None:
        value = theirs.result()
        if kept is not None and value.kept:
            value = value._replace(kept=kept)
        ours.set_result(value)
    else:
        # One that was raised by the call itself is the cause of Ray's.
        ours.set_exception(getattr(error, "cause", None) or error)


def ray(address: str | None = None, **init: Any) -> RayExecutor:
    """Return an executor whose calls are made on a Ray cluster.

    Flows, fan-outs and whatever takes a ``concurrent.futures`` executor run there; see
    `fastflow.dask`, all of which holds here, too.

    Parameters
    ----------
    address : str, optional
        Of a cluster; default: one that this process is connected to, or a new one on
        this machine.
    **init
        For ``ray.init``, where this process is not connected yet.

    Raises
    ------
    ImportError
        If Ray is not installed.
    """
    try:
        import ray as library
    except ImportError as error:
        raise ImportError("fastflow.ray needs it: pip install ray") from error
    if not library.is_initialized():
        library.init(address=address, **init)
    return RayExecutor(library)
