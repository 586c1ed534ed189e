"""CPython's own tests of process pools, with `ProcessExecutor` in their place.

    python tests/processes/conformance.py [TESTS] [--only SUBSTR] [--private]

TESTS is a ``Lib/test`` of CPython; without it that of this interpreter is taken, or of
another one of pyenv's. Tests of private attributes, and of what is meant to be
different here, are listed with the reason. Ends with status 1 if a test fails.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

_PRIVATE = "reads executor._processes"
LEFT_OUT = {
    "test_idle_process_reuse_one": _PRIVATE,
    "test_idle_process_reuse_multiple": _PRIVATE,
    "test_saturation": _PRIVATE,
    "test_max_tasks_early_shutdown": _PRIVATE,
    "test_max_tasks_per_child": _PRIVATE,
    "test_killed_child": _PRIVATE + ", and here the pool heals",
    "test_processes_terminate": _PRIVATE,
    "test_context_manager_shutdown": _PRIVATE,
    "test_del_shutdown": _PRIVATE,
    "test_shutdown_no_wait": _PRIVATE + " and other attributes",
    "test_max_tasks_per_child_defaults_to_spawn_context": "reads _mp_context",
    "test_shutdown_deadlock_pickle": "reads executor._executor_manager_thread",
    "test_gh105829_should_not_deadlock_if_wakeup_pipe_full": "patches private classes",
    "test_python_finalization_error": "patches a private function of Python 3.13",
}
MODULES = (
    "process_pool", "shutdown", "init", "wait", "as_completed", "deadlock",
)  # fmt: skip


def tests_folder():
    if importlib.util.find_spec("test.test_concurrent_futures"):
        return ""
    pattern = ".pyenv/versions/3.1*/lib/python3.*/test/test_concurrent_futures"
    for folder in sorted(Path.home().glob(pattern)):
        return str(folder.parent)
    return None


def shim():
    """Add what the tests of a newer Python take from ``test.support``."""
    from test import support

    def same(*_, **__):
        return lambda fn: fn

    def sleeping_retry(seconds, *_, **__):
        import time

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield
            time.sleep(0.01)
        raise AssertionError("timeout")

    for name, value in {
        "Py_GIL_DISABLED": False,
        "requires_gil_enabled": same,
        "setswitchinterval": sys.setswitchinterval,
        "skip_if_sanitizer": same,
        "requires_fork": same,
        "sleeping_retry": sleeping_retry,
        "load_package_tests": lambda *_: unittest.TestSuite(),
    }.items():
        if not hasattr(support, name):
            setattr(support, name, value)
    support.skip_if_sanitizer = same
    support.check_sanitizer = lambda **_: False
    if not hasattr(os, "process_cpu_count"):
        os.process_cpu_count = os.cpu_count
    support.use_resources = None


def install(folder):
    import test

    if folder and folder not in test.__path__:
        test.__path__.append(folder)
    import concurrent.futures as cf
    import concurrent.futures.process as cfp

    from fastflow.processes.executor import ProcessExecutor

    cf.ProcessPoolExecutor  # noqa: B018  (a lazy attribute)
    cf.ProcessPoolExecutor = cfp.ProcessPoolExecutor = ProcessExecutor
    cf.ProcessExecutor = ProcessExecutor  # scripts import it by its name
    return ProcessExecutor


def load(folder):
    """Yield (name, test)."""
    executor = install(folder)
    shim()
    util = importlib.import_module("test.test_concurrent_futures.util")
    for name in ("Fork", "Spawn", "ForkServer"):
        mixin = getattr(util, f"ProcessPool{name}Mixin", None)
        if mixin is not None:
            mixin.executor_type = executor
    here = Path(__file__).resolve()
    prelude = (
        f"import sys; sys.path.insert(0, {str(here.parent)!r})\n"
        f"import conformance; conformance.install({folder!r})\n"
    )
    for part in MODULES:
        module = importlib.import_module(f"test.test_concurrent_futures.test_{part}")
        real = getattr(module, "assert_python_ok", None)
        if real is not None:

            def with_prelude(*args, _real=real, **kwargs):
                if len(args) >= 2 and args[0] == "-c":
                    args = ("-c", prelude + args[1], *args[2:])
                return _real(*args, **{**os.environ, **kwargs})

            module.assert_python_ok = with_prelude
        for name in sorted(vars(module)):
            case = getattr(module, name)
            if not (isinstance(case, type) and issubclass(case, unittest.TestCase)):
                continue
            if case.__module__ != module.__name__ or not name.startswith("ProcessPool"):
                continue
            for method in unittest.TestLoader().getTestCaseNames(case):
                yield f"{part}.{name}.{method}", case(method)


def child(folder, names):
    faulthandler.enable()
    tests = dict(load(folder))
    for name in names:
        faulthandler.dump_traceback_later(50, exit=True)
        result = unittest.TestResult()
        unittest.TestSuite([tests[name]]).run(result)
        faulthandler.cancel_dump_traceback_later()
        bad = result.errors + result.failures
        state = "failed" if bad else "skipped" if result.skipped else "passed"
        text = bad[0][1] if bad else result.skipped[0][1] if result.skipped else ""
        print("\n@" + json.dumps([name, state, text]), flush=True)


def main():
    if sys.argv[1:2] == ["--child"]:
        child(*json.loads(sys.argv[2]))
        return 0
    args = sys.argv[1:]
    only = args[args.index("--only") + 1] if "--only" in args else ""
    folder = args[0] if args and not args[0].startswith("--") else tests_folder()
    names = [name for name, _ in load(folder) if only in name]
    with tempfile.TemporaryDirectory() as made:
        # Workers have to find the package of tests, too.
        here = str(Path(__file__).resolve().parent)
        Path(made, "sitecustomize.py").write_text(
            f"import sys, test; test.__path__.append({folder!r})\n"
            f"sys.path.insert(0, {here!r}); import conformance\n"
            "del sys.path[0]; conformance.shim()\n",
            "utf-8",
        )
        if folder:
            os.environ["PYTHONPATH"] = made
        return run_all(folder, names, private="--private" in args)


def run_in_session(command):
    """Run; processes that it leaves behind, of tests that fail, are ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, start_new_session=True
        )
        code = process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


def run_all(folder, names, *, private):
    groups = {}
    left_out = []
    for name in names:
        why = LEFT_OUT.get(name.split(".")[-1])
        if "FailingInitializerTest" in name:
            why = "reads executor._broken"
        if why and not private:
            left_out.append((name, why))
        else:
            groups.setdefault(name.rsplit(".", 1)[0], []).append(name)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for todo in groups.values():
        while todo:
            command = [sys.executable, __file__, "--child", json.dumps([folder, todo])]
            code, out, err = run_in_session(command)
            told = [json.loads(line[1:]) for line in out.splitlines()
                    if line.startswith("@")]  # fmt: skip
            if len(told) < len(todo):
                name = todo[len(told)]
                told.append([name, "failed", f"rc {code}\n{err}"])
            for name, state, text in told:
                todo.remove(name)
                counts[state] += 1
                if state == "failed":
                    print(f"{state.upper()} {name}: {text[-4000:]}", flush=True)
    for name, why in left_out:
        print(f"LEFT OUT {name}: {why}")
    print(", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
