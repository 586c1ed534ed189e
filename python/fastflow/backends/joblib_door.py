"""joblib's ``Parallel`` on our processes: ``parallel_config(backend="fastflow")``."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import multiprocessing
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["register_joblib"]


def register_joblib(name: str = "fastflow") -> None:
    """Let joblib's ``Parallel`` run on fastflow's processes.

    The processes are those of ``executor="processes"``, kept from one ``Parallel`` to
    the next; large arrays are shared, not copied.  Nested in it, ``Parallel`` runs in
    threads of the worker.

    Parameters
    ----------
    name : str
        Of the backend.

    Raises
    ------
    ImportError
        If joblib is not installed.

    Examples
    --------
    >>> fastflow.register_joblib()  # doctest: +SKIP
    >>> with joblib.parallel_config(backend="fastflow"):  # doctest: +SKIP
    ...     joblib.Parallel(n_jobs=-1)(joblib.delayed(f)(x) for x in items)
    """
    try:
        from joblib.parallel import register_parallel_backend
    except ImportError as error:
        raise ImportError(
            "fastflow.register_joblib needs it: pip install joblib"
        ) from error
    register_parallel_backend(name, _backend_class())


_made: list[type] = []


def _backend_class() -> type:
    """Return the class, whose bases joblib has; always the same one."""
    if not _made:
        _made.append(_make_class())
    return _made[0]


def _make_class() -> type:
    from joblib._parallel_backends import (
        AutoBatchingMixin,
        FallbackToBackend,
        ParallelBackendBase,
        SequentialBackend,
    )
    from joblib.parallel import cpu_count

    class FastflowBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
        """Calls made by fastflow's processes."""

        # An executor for which a call is cheap; joblib itself takes a tenth of a
        # millisecond for each.
        MIN_IDEAL_BATCH_DURATION = 0.02
        MAX_IDEAL_BATCH_DURATION = 0.2
        supports_retrieve_callback = True
        supports_inner_max_num_threads = True

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._executor: Any = None
            self._under_way: weakref.WeakSet[Any] = weakref.WeakSet()

        def effective_n_jobs(self, n_jobs: int | None) -> int:
            if n_jobs == 0:
                raise ValueError("n_jobs == 0 in Parallel has no meaning")
            if n_jobs is None or not _can_start():
                return 1
            return max(cpu_count() + 1 + n_jobs, 1) if n_jobs < 0 else n_jobs

        def configure(
            self,
            n_jobs: int = 1,
            parallel: Any = None,
            prefer: Any = None,  # noqa: ARG002  (joblib has looked at it)
            require: Any = None,  # noqa: ARG002
            **options: Any,
        ) -> int:
            n_jobs = self.effective_n_jobs(n_jobs)
            if n_jobs == 1:
                raise FallbackToBackend(
                    SequentialBackend(nesting_level=self.nesting_level)
                )
            self.parallel = parallel
            options = {**self.backend_kwargs, **options}
            if self.inner_max_num_threads is not None:
                options["blas_threads"] = self.inner_max_num_threads
            known = {name: options[name] for name in _OPTIONS if name in options}
            self._executor = _executor(n_jobs, known)
            return n_jobs

        def submit(
            self, func: Any, callback: Callable[[Any], object] | None = None
        ) -> cf.Future[Any]:
            future: cf.Future[Any] = self._executor.submit(func)
            self._under_way.add(future)
            if callback is not None:
                future.add_done_callback(callback)
            return future

        def retrieve_result_callback(self, future: cf.Future[Any]) -> Any:
            return future.result()

        def terminate(self) -> None:
            self._executor = None
            self.reset_batch_stats()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            for future in list(self._under_way):
                if not future.cancel():
                    with contextlib.suppress(Exception):
                        future.terminate()
            self._executor = None
            if ensure_ready:
                self.configure(n_jobs=self.parallel.n_jobs, parallel=self.parallel)

    return FastflowBackend


_OPTIONS = ("blas_threads", "initializer", "initargs")
"""Of `ProcessExecutor`; what else joblib passes on is about other backends."""


def _executor(workers: int, options: dict[str, Any]) -> Any:
    """Return processes: those that all share, or, with options, such as have them."""
    from fastflow.processes.executor import ProcessExecutor
    from fastflow.processes.shared import default_processes

    return (
        ProcessExecutor(workers, **options) if options else default_processes(workers)
    )


def _can_start() -> bool:
    """Whether this process may have others: not so a daemon, or a worker of loky's."""
    if multiprocessing.current_process().daemon:
        return False
    method = multiprocessing.get_start_method(allow_none=True)
    return method is None or method in multiprocessing.get_all_start_methods()
