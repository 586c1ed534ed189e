"""What ``fastflow doctor`` reports about the machine and the installation."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

#: (section, name, value)
Finding = tuple[str, str, str]

REQUIRED = ("fastflow", "numpy", "rich", "click", "msgspec", "threadpoolctl")
OPTIONAL = ("joblib", "dask", "matplotlib", "scipy", "numba", "cffi")


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that the control group allows; None without a limit.

    Parameters
    ----------
    root : Path
        Where the control groups are mounted (version 2, or 1 with its ``cpu`` folder).
    """
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu" / "cpu.cfs_period_us").read_text().strip()
        cores = float(quota) / float(period)
    except (OSError, ValueError):  # not Linux, not mounted, or "max"
        return None
    return cores if cores > 0 else None


def gil_state() -> str:
    """Whether this interpreter has a global lock, and whether it is on."""
    if not hasattr(sys, "_is_gil_enabled"):
        return "present"
    if sys._is_gil_enabled():
        import sysconfig

        free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        return "switched on in a free-threaded build" if free else "present"
    return "off (free-threaded build)"


def package_version(name: str) -> str:
    """Version of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def blas_pools() -> Iterator[Finding]:
    """Thread pools of the linear-algebra libraries that numpy has loaded."""
    import numpy  # noqa: F401  # its libraries are what is looked for
    import threadpoolctl

    pools = threadpoolctl.threadpool_info()
    for pool in pools:
        name = str(pool.get("internal_api", pool.get("user_api", "?")))
        details = f"{pool.get('num_threads')} threads, version {pool.get('version')}"
        yield "thread pools", name, details
    if not pools:
        yield "thread pools", "BLAS, OpenMP", "none loaded"


def native_core() -> str:
    """Where the compiled core is, or why it can't be loaded."""
    spec = importlib.util.find_spec("fastflow._core")
    if spec is None or spec.origin is None:
        return "MISSING: the package was not built; run pip install again"
    try:
        __import__("fastflow._core")
    except ImportError as error:
        return f"BROKEN: {error}"
    return spec.origin


def examine() -> Iterator[Finding]:
    """Look at everything that decides how fast fastflow can be here.

    Yields
    ------
    tuple of (section, name, value)
        In the order in which they are printed.
    """
    yield "python", "version", platform.python_version()
    yield "python", "implementation", platform.python_implementation()
    yield "python", "executable", sys.executable
    yield "python", "interpreter lock", gil_state()
    yield "python", "switch interval", f"{sys.getswitchinterval() * 1e3:g} ms"
    start_method = multiprocessing.get_start_method(allow_none=True)
    default = multiprocessing.get_all_start_methods()[0]
    yield "python", "start method", start_method or f"{default} (default)"
    yield "machine", "system", platform.platform()
    yield "machine", "cores", f"{usable_cores()} usable of {os.cpu_count()}"
    quota = cgroup_quota()
    yield "machine", "cgroup quota", f"{quota:g} cores" if quota else "none"
    if quota and math.ceil(quota) < usable_cores():
        advice = f"set FASTFLOW_MAX_WORKERS={max(1, math.floor(quota))} for CPU work"
        yield "machine", "advice", advice
    yield from blas_pools()
    yield "fastflow", "native core", native_core()
    workers = os.environ.get("FASTFLOW_MAX_WORKERS")
    yield "fastflow", "FASTFLOW_MAX_WORKERS", workers or "not set"
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    yield "fastflow", "C++ compiler", compiler or "none (only benchmarks need one)"
    for name in (*REQUIRED, *OPTIONAL):
        yield "versions", name, package_version(name)


def healthy() -> bool:
    """Whether everything that fastflow can't do without is there."""
    missing = any(package_version(name) == "not installed" for name in REQUIRED)
    return not missing and not native_core().startswith(("MISSING", "BROKEN"))
