"""The command line, in this process and as a program."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import tiny_flow
from fastflow.cli import main
from fastflow.cli.demo_durable import survive
from tiny_flow import invoke


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
    from fastflow.base import doctor

    monkeypatch.setattr(doctor, "native_core", lambda: "MISSING: not built")
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "MISSING" in result.output


def test_the_durable_run_of_the_demo_survives():
    found = survive(40)
    assert found.right
    assert 20 <= found.killed_after <= 40
    # What had been said to have run may not have been committed: one step at most.
    assert found.twice <= 1
    assert found.killed_after + found.ran - found.twice == 40


@pytest.mark.slow
def test_demo_ends_with_a_table_a_report_and_advice(tmp_path):
    page = tmp_path / "report.html"
    options = ("--tasks", "200", "--records", "400", "--workers", "2")
    result = invoke("demo", *options, "--report", str(page))
    assert result.exit_code == 0, result.output
    for words in (
        "fan-out of 200 no-ops",
        "400 records, pure Python",
        "blocks of 200 kB, compressed",
        "1,000 waits of 10 ms",
        "graph of 2,000 numpy calls",
        "fastflow, submit",
        "fastflow, map",
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "Durable run of 1,000 steps",
        "result is right",
        "This machine (2 workers",
        "for pure Python",
    ):
        assert words in " ".join(result.output.split())
    assert "summarise" in page.read_text(encoding="utf-8")


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


# Flows.


files = pytest.fixture(tiny_flow.files)


def test_check_reads_without_running(files):
    result = invoke("check", "tiny.flow")
    assert (result.exit_code, result.output) == (0, "Tiny: 4 tasks, 4 edges\n")
    assert "tiny_tasks" not in sys.modules
    assert invoke("check", "tiny.flow", "--tasks", "tiny_tasks").exit_code == 0


def test_check_tells_all_problems(files):
    (files / "bad.flow").write_text("flow F:\n  a -> lod\n  b ->\n", "utf-8")
    result = invoke("check", "bad.flow", "--tasks", "tiny_tasks.py")
    assert result.exit_code == 2
    assert "bad.flow:2:8: unknown task 'lod'; did you mean 'load'?" in result.output
    assert "bad.flow:3:7: the line ends where" in result.output
    result = invoke("check", "missing.flow")
    assert result.exit_code == 2
    assert "can't read missing.flow" in result.output
    (files / "binary.flow").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in invoke("check", "binary.flow").output
    result = invoke("check", "tiny.flow", "--tasks", "no_such_module")
    assert result.exit_code == 2
    assert "can't import 'no_such_module'" in result.output


def test_fmt(files):
    formatted = "flow Tiny:\n    load -> [low, high]  # both\n    [low, high] -> span\n"
    assert invoke("fmt", "tiny.flow").output == formatted
    result = invoke("fmt", "--check", "tiny.flow")
    assert (result.exit_code, result.output) == (1, "would reformat tiny.flow\n")
    assert invoke("fmt", "--write", "tiny.flow").exit_code == 0
    assert (files / "tiny.flow").read_text("utf-8") == formatted
    assert invoke("fmt", "--check", "tiny.flow").exit_code == 0
    assert invoke("fmt", "--check", "--write", "tiny.flow").exit_code == 2
    (files / "bad.flow").write_text("a\n", "utf-8")
    assert invoke("fmt", "--write", "bad.flow").exit_code == 2
    assert (files / "bad.flow").read_text("utf-8") == "a\n"


@pytest.mark.parametrize("executor", ["native", "threads", "serial"])
def test_run(files, executor):
    result = invoke(
        "run", "tiny.flow", "--tasks", "tiny_tasks", "--input", "5",
        "--executor", executor, "--workers", "2", "--history", "runs", "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert report["results"]["span"] == 4
    assert report["tasks"]["span"]["status"] == "COMPLETED"
    assert len(list((files / "runs").iterdir())) == 1


def test_run_on_processes(files):
    # As a program: other processes import the tasks by name.
    command = [
        sys.executable, "-m", "fastflow", "run", "tiny.flow", "--tasks",
        "tiny_tasks.py", "--input", "@input.json", "--executor", "processes",
        "--workers", "1", "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["span"] == 3


@pytest.mark.parametrize(
    ("name", "expected"),
    [("spread", {"flow": "spread", "result": 4}), ("TEXT", 4), ("OBJECT", 0)],
)
def test_run_takes_flows_of_a_module(files, name, expected):
    result = invoke("run", f"tiny_tasks.py:{name}", "--input", "5", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    if isinstance(expected, dict):
        assert report == expected
    else:
        assert expected in report["results"].values()


def test_run_reports_failures_with_1(files):
    # One after the other: side by side, "high" may fail as well before it is stopped.
    serial = ("--executor", "serial")
    arguments = ("tiny.flow", "--tasks", "tiny_tasks", "--input", "0", *serial)
    result = invoke("run", *arguments, "--json")
    assert result.exit_code == 1
    assert "task 'low' failed: ValueError" in result.output
    assert '"status": "SKIPPED"' in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("tiny.flow",), "unknown task 'load'"),
        (("tiny.flow", "--input", "{"), "not JSON"),
        (("tiny.flow", "--input", "@nowhere.json"), "can't read nowhere.json"),
        (("nowhere.flow",), "can't read nowhere.flow"),
        (("tiny_tasks.py:NUMBER",), "has a int called 'NUMBER'"),
        (("tiny_tasks.py:nothing",), "has nothing called 'nothing'"),
        (("tiny.flow", "--tasks", "tiny_tasks", "--flow", "Other"), "no flow 'Other'"),
        (("tiny.flow", "--timeout", "soon"), "not a duration"),
        (("tiny.flow", "--workers", "0"), "Invalid value"),
    ],
)
def test_run_refuses_bad_input_with_2(files, arguments, reason):
    result = invoke("run", *arguments)
    assert result.exit_code == 2, result.output
    assert reason in result.output


def test_run_prints_what_json_does_not_have(files):
    (files / "odd.py").write_text(
        "import fastflow\n@fastflow.task\ndef odd():\n    return {1, 2}\n"
        "FLOW = fastflow.Flow('flow F:\\n    odd')\n",
        "utf-8",
    )
    result = invoke("run", "odd.py:FLOW", "--json")
    assert json.loads(result.output)["results"] == {"odd": "{1, 2}"}


def test_run_with_code(files):
    (files / "code.flow").write_text(
        "flow F:\n    task a:\n        code: |\n            return input_data + 1\n",
        "utf-8",
    )
    refused = invoke("run", "code.flow", "--input", "1")
    assert refused.exit_code == 2
    result = invoke("run", "code.flow", "--input", "1", "--allow-code", "--json")
    assert json.loads(result.output)["results"] == {"a": 2}
