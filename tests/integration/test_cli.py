"""The command line, in this process and as a program."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from fastflow.cli import main


def invoke(*arguments):
    return CliRunner().invoke(main, arguments)


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert version("fastflow") in result.output


def test_module_is_a_program():
    command = [sys.executable, "-W", "error", "-m", "fastflow", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"fastflow, version {version('fastflow')}"


def test_help_names_every_command():
    result = invoke("--help")
    assert result.exit_code == 0
    for name in ("demo", "doctor", "bench"):
        assert name in result.output


def test_doctor_looks_at_everything():
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    for word in ("interpreter lock", "cgroup quota", "thread pools", "native core"):
        assert word in result.output
    for package in ("numpy", "rich", "click", "msgspec", "threadpoolctl"):
        assert version(package) in result.output


def test_doctor_fails_without_the_native_core(monkeypatch):
    from fastflow import doctor

    monkeypatch.setattr(doctor, "native_core", lambda: "MISSING: not built")
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "MISSING" in result.output


def test_demo_ends_with_a_table_of_all_contestants():
    result = invoke("demo", "--tasks", "200", "--records", "400", "--workers", "2")
    assert result.exit_code == 0, result.output
    for words in (
        "fan-out of 200 no-ops",
        "400 records, pure Python",
        "400 records, numpy",
        "fastflow, submit",
        "fastflow, map",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
    ):
        assert words in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--tasks", "0"),
        ("demo", "--workers", "none"),
        ("bench", "--only", "no such benchmark"),
        ("bench", "--group", "unknown"),
        ("nonsense",),
    ],
)
def test_bad_arguments_end_with_2_and_a_reason(arguments):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.output


def test_bench_knows_every_group():
    from fastflow.bench.runner import GROUPS

    (group,) = (x for x in main.commands["bench"].params if x.name == "groups")
    assert list(group.type.choices) == list(GROUPS)


def test_bench_writes_valid_json(tmp_path):
    target = tmp_path / "figures.json"
    result = invoke(
        "bench", "--quick", "--repeats", "1", "--only", "sleeps", "--json", str(target)
    )
    assert result.exit_code == 0, result.output
    report = json.loads(target.read_text("utf-8"))
    assert report["settings"] == {"workers": 2, "repeats": 1, "quick": True}
    assert report["machine"]["fastflow"] == version("fastflow")
    assert len(report["rows"]) == 2
    for row in report["rows"]:
        assert row["goal"] == "not slower"
        assert row["met"] in (True, False)
        assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]


@pytest.mark.skipif(sys.platform == "win32", reason="memory is not measured there")
def test_bench_prints_every_row_with_its_goal():
    result = invoke("bench", "--quick", "--repeats", "1", "--only", "pending_bytes")
    assert result.exit_code == 0, result.output
    assert "bytes per pending submit" in result.output
    assert "ours ≤ 250" in result.output


def test_bench_plots(tmp_path):
    target = tmp_path / "ratios.svg"
    arguments = ("bench", "--quick", "--repeats", "1", "--only", "sleeps")
    result = invoke(*arguments, "--plot", str(target))
    if importlib.util.find_spec("matplotlib") is None:
        assert result.exit_code == 2
        assert "needs matplotlib" in result.output
    else:
        assert result.exit_code == 0, result.output
        assert target.read_text("utf-8").startswith("<?xml")
