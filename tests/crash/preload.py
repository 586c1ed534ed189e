"""Libraries that come before those of the system, and make calls fail."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def preloadable(name, folder, probe):
    """Build NAME.c; skip the test if a program, `probe`, can't run with it."""
    path = folder / f"{name}.so"
    command = ["gcc", "-shared", "-fPIC", "-O1", "-o", path, HERE / f"{name}.c"]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)
    tried = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "LD_PRELOAD": str(path)}, check=False,
    )  # fmt: skip
    if tried.returncode:
        pytest.skip("the library can't be preloaded here")
    return path
