"""What type checkers say of programs that use fastflow: tests/typing/*.py.

In these files a line that must not pass ends in ``# error``; all others must pass.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow

PROGRAMS = Path(__file__).resolve().parents[1] / "typing"

CHECKERS = {
    "mypy": [
        "--strict",
        "--no-error-summary",
        "--show-absolute-path",
        "--config-file=",
    ],
    "pyright": [],
}
# What strict pyright says besides of programs that only show types.
LENIENT = ("reportUnusedVariable", "reportUnusedExpression", "reportMissingTypeStubs")
MESSAGE = re.compile(r"^\s*(?P<path>.+?\.py):(?P<line>\d+)(?::\d+)?[ :-]+error: ", re.M)


def expected():
    return {
        (path.name, number)
        for path in PROGRAMS.glob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith("# error")
    }


@pytest.mark.parametrize("checker", CHECKERS)
def test_programs_pass_but_for_the_lines_that_must_not(checker, tmp_path, monkeypatch):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: pip install 'fastflow[typing]'")
    package = Path(fastflow.__file__).resolve().parents[1]
    if package.name != "site-packages":  # there mypy finds it by itself
        monkeypatch.setenv("MYPYPATH", str(package))
    files = sorted(map(str, PROGRAMS.glob("*.py")))
    command = [sys.executable, "-m", checker, *CHECKERS[checker]]
    if checker == "mypy":
        command += ["--cache-dir", str(tmp_path / "cache"), "--follow-imports=silent"]
    else:
        settings = tmp_path / "pyrightconfig.json"
        options = {"typeCheckingMode": "strict", "extraPaths": [str(package)]}
        options |= dict.fromkeys(LENIENT, False)
        settings.write_text(json.dumps(options), "utf-8")
        for file in files:
            shutil.copy(file, tmp_path)
        files = ["--project", str(settings), "--pythonpath", sys.executable]
    ran = subprocess.run(
        [*command, *files], capture_output=True, text=True, timeout=600, cwd=tmp_path
    )
    found = {
        (Path(match["path"]).name, int(match["line"]))
        for match in MESSAGE.finditer(ran.stdout)
    }
    assert found == expected(), ran.stdout + ran.stderr
