"""Memory runs out in native entry points: MemoryError, and all is in order after it.

A small library is put under the process (``nomem.c``) that lets the n-th allocation
fail, be it C++'s or Python's; ``nomem.py`` calls every entry point of the native module
for all n.  Each group has a process of its own, as an abort would end it.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import fastflow
from crash.preload import preloadable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # what the child runs has the table
from nomem import ENTRIES, STARTING, group_of  # noqa: E402

STUB = Path(fastflow.__file__).with_name("_core.pyi")
GROUPS = sorted({group_of(name) for name in ENTRIES})
SANITIZED = "lib" in os.environ.get("LD_PRELOAD", "")

needs_gcc = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("gcc"), reason="needs Linux and gcc"
)


def entry_points():
    """All functions and members that the stub of the native module declares."""
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            for member in node.body:
                if isinstance(member, ast.FunctionDef):
                    yield f"{node.name}.{member.name}"


def test_every_entry_point_is_in_the_table():
    covered = {name.split()[0] for name in ENTRIES}
    assert sorted(set(entry_points()) - covered) == []


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The library that lets allocations fail."""
    return preloadable("nomem", tmp_path_factory.mktemp("nomem"), "import fastflow")


@needs_gcc
@pytest.mark.skipif(
    sys.version_info[:2] in ((3, 12), (3, 13))
    or bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="this Python dies itself of allocations that fail, also in programs without "
    "fastflow: list comprehensions and closures are enough (seen in 3.12.1, 3.13.0 and "
    "free-threaded 3.14.7; not in 3.11.7 and 3.14.7)",
)
@pytest.mark.skipif(SANITIZED, reason="a sanitizer has allocators of its own")
@pytest.mark.parametrize("threads", ["caller", "all"])
@pytest.mark.parametrize("group", GROUPS)
def test_memory_runs_out(library, group, threads):
    env = {**os.environ, "LD_PRELOAD": str(library)}
    command = [sys.executable, "-X", "faulthandler", str(HERE / "nomem.py")]
    # A hang is a failure: the time is far beyond what it takes.
    outcome = subprocess.run(
        [*command, group, threads], env=env, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, (outcome.stdout[-300:], outcome.stderr[-3000:])
    ends = [line for line in outcome.stdout.splitlines() if line.startswith("end ")]
    assert len(ends) == sum(
        group_of(name) == group and (threads == "caller" or name != STARTING)
        for name in ENTRIES
    )
    assert [line for line in ends if "leaking at []" not in line] == []
