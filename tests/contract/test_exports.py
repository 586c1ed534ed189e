"""What `import fastflow` gives, and what it does not cost."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import fastflow

#: Names that users rely on.
PUBLIC = {
    "Cancelled",
    "Executor",
    "FastflowError",
    "Kernel",
    "QueueFullError",
    "TaskGroup",
    "ThreadPoolExecutor",
    "as_completed",
    "current_task",
    "default_executor",
    "for_each",
    "imap",
    "kernels",
    "map",
    "map_array",
    "starmap",
    "wait",
}

EXPENSIVE = {"asyncio", "click", "msgspec", "numpy", "rich", "sqlite3", "threadpoolctl"}


def in_fresh_interpreter(code):
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_public_names_are_exported():
    assert sorted(PUBLIC - set(fastflow.__all__)) == []


def test_exports_exist_and_are_listed():
    assert [name for name in fastflow.__all__ if not hasattr(fastflow, name)] == []
    assert set(fastflow.__all__) <= set(dir(fastflow))


def test_exports_are_documented():
    public = [getattr(fastflow, name) for name in PUBLIC]
    assert [x for x in public if not (getattr(x, "__doc__", None) or "").strip()] == []


def test_the_port_is_one_name():
    assert fastflow.ThreadPoolExecutor is fastflow.Executor


@pytest.mark.parametrize("code", ["import fastflow", "import fastflow.cli"])
def test_import_is_light(code):
    allowed = {"click"} if "cli" in code else set()
    loaded = in_fresh_interpreter(
        f"{code}, sys, json; print(json.dumps(sorted(sys.modules)))"
    )
    assert sorted(EXPENSIVE & set(loaded) - allowed) == []


def test_star_import_shadows_no_more_than_map():
    import builtins

    assert set(fastflow.__all__) & set(dir(builtins)) <= {"map", "__doc__"}


def test_the_package_is_typed():
    from importlib.resources import files

    assert files("fastflow").joinpath("py.typed").is_file()
