"""joblib's ``Parallel`` on our processes, and joblib's own tests of it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow
from backends import tasks

joblib = pytest.importorskip("joblib", reason="[test-cluster] is not installed")


@pytest.fixture(autouse=True)
def _registered():
    fastflow.register_joblib()
    with joblib.parallel_config(backend="fastflow", n_jobs=2):
        yield


def test_results_come_in_order():
    found = joblib.Parallel()(joblib.delayed(tasks.square)(n) for n in range(500))
    assert found == [n * n for n in range(500)]


def test_calls_are_made_elsewhere():
    pids = joblib.Parallel()(joblib.delayed(tasks.where)() for _ in range(20))
    assert os.getpid() not in pids


def test_an_exception_ends_it():
    with pytest.raises(tasks.OddError):
        joblib.Parallel()(joblib.delayed(tasks.raise_odd)() for _ in range(5))
    assert joblib.Parallel()(joblib.delayed(tasks.square)(n) for n in [2, 3]) == [4, 9]


def test_results_as_they_come():
    made = joblib.Parallel(return_as="generator")(
        joblib.delayed(tasks.square)(n) for n in range(20)
    )
    assert list(made) == [n * n for n in range(20)]


def test_nested_in_a_worker():
    found = joblib.Parallel()(joblib.delayed(tasks.nested)(n) for n in range(3))
    assert found == [[0, 1, 4]] * 3


def test_threads_of_libraries():
    with joblib.parallel_config(backend="fastflow", n_jobs=2, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(tasks.square)(n) for n in range(9))
    assert found == [n * n for n in range(9)]


#: Of joblib's tests, those that can't be: a part of the name, and why.
LEFT_OUT = {
    "test_error_capture": "looks at the workers of joblib's own pools",
    "memmap": "is about the files that joblib maps; our processes share memory",
}


def test_joblibs_own_tests(tmp_path):
    # Not imported: it has marks that are not ours.
    found = importlib.util.find_spec("joblib.test.test_parallel")
    source = Path(found.origin).read_text()
    for name in ("PROCESS_BACKENDS", "ALL_VALID_BACKENDS"):
        ours = rf'\1{name} = ["fastflow"]'
        source, count = re.subn(rf"(?m)^( *){name} = .*$", ours, source)
        assert count
    more = r"(?m)^( *)ALL_VALID_BACKENDS(\.append|.*\+=).*$"
    (tmp_path / "test_theirs.py").write_text(re.sub(more, r"\1pass", source))
    # Some of them are scripts.
    (tmp_path / "sitecustomize.py").write_text(
        "import fastflow\nfastflow.register_joblib()\n"
    )
    left_out = " or ".join(LEFT_OUT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "-k", f"fastflow and not ({left_out})", "test_theirs.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 100
