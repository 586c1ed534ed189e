"""``fastflow show`` and what ``fastflow run`` prints."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import tiny_flow
from tiny_flow import invoke

files = pytest.fixture(tiny_flow.files)


def test_show_draws_in_the_terminal(files):
    result = invoke("show", "tiny.flow")
    assert result.exit_code == 0, result.output
    lines = result.output.split("\n")
    assert lines[0] == "Tiny: 4 tasks, 4 edges"
    assert lines[7] == "│ low │  │ high │"
    assert "tiny_tasks" not in sys.modules, "nothing is imported"


def test_show_as_a_program_without_box_characters(files):
    command = [sys.executable, "-X", "utf8=0", "-m", "fastflow", "show", "tiny.flow"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "", "COLUMNS": "40"}
    done = subprocess.run(
        command, capture_output=True, env=environment, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert "| low |  | high |" in done.stdout.decode("ascii")


def test_show_writes_and_prints_other_forms(files):
    result = invoke("show", "tiny.flow", "--svg", "tiny.svg")
    assert (result.exit_code, result.output) == (0, "")
    root = ET.fromstring((files / "tiny.svg").read_text("utf-8"))
    assert root[0].text == "Flow Tiny"
    assert invoke("show", "tiny.flow", "--mermaid").output.startswith("flowchart LR\n")
    dot = invoke("show", "tiny.flow", "--dot", "--svg", "other.svg")
    assert dot.output.startswith('digraph "Tiny" {\n')
    assert (files / "other.svg").exists()


def test_show_takes_flows_of_a_module(files):
    result = invoke("show", "tiny_tasks.py:TEXT", "--mermaid")
    assert result.exit_code == 0, result.output
    assert 'n1["high"]' in result.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere.flow",), "can't read nowhere.flow"),
        (("tiny.flow", "--flow", "Other"), "no flow 'Other'"),
        (("tiny_tasks.py:nothing",), "has nothing called 'nothing'"),
        (("tiny_tasks.py:spread",), "known once it has run"),
        (("tiny.flow", "--svg", "no/such/place.svg"), "can't write"),
        (("tiny.flow", "--mermaid", "--dot"), "exclude each other"),
        (("bad.flow",), "bad.flow:2:"),
    ],
)
def test_show_refuses_with_2(files, arguments, reason):
    (files / "bad.flow").write_text("flow F:\n  a ->\n", "utf-8")
    result = invoke("show", *arguments)
    assert result.exit_code == 2, result.output
    assert reason in result.output


def run(*arguments):
    return invoke("run", "tiny.flow", "--tasks", "tiny_tasks", *arguments)


def test_run_prints_a_table_and_the_result(files):
    result = run("--input", "5")
    assert result.exit_code == 0, result.output
    lines = result.output.split("\n")
    for task in ("load", "low", "high", "span"):
        (line,) = (x for x in lines if x.startswith(f"│ {task} "))
        _, _, status, time, share, worker, _ = line.split("│")
        assert status.strip() == "COMPLETED"
        assert time.split()[1] in ("ns", "µs", "ms", "s")
        assert share.strip().endswith("%")
        assert worker.strip()
    assert "span: 4\n" in result.output, "what nobody waits for is the result"
    assert "low: " not in result.output
    assert "4 of 4 tasks completed" in result.output


def test_run_prints_a_table_of_failures(files):
    result = run("--input", "0", "--executor", "serial")
    assert result.exit_code == 1
    assert "task 'low' failed: ValueError" in result.output
    assert "│ SKIPPED" in result.output
    (line,) = (x for x in result.output.split("\n") if x.startswith("│ low "))
    assert "FAILED" in line
    assert "1 of 4 tasks completed" in result.output


def test_run_prints_json_if_asked(files):
    result = run("--input", "5", "--json")
    assert json.loads(result.output)["results"]["span"] == 4
    failed = run("--input", "0", "--json", "--executor", "serial")
    assert failed.exit_code == 1
    assert '"status": "FAILED"' in failed.output


def test_run_of_a_function_prints_its_value(files):
    result = invoke("run", "tiny_tasks.py:spread", "--input", "5")
    assert (result.exit_code, result.output) == (0, "spread: 4\n")


ODD = """
import fastflow

def odd():
    return "\\x1b[31m[bold]red"

def bad(odd):
    raise ValueError("\\x1b]0;title\\x07[red]")

TASKS = {"odd": odd, "bad": bad}
GOOD = fastflow.Flow("flow F:\\n    odd", registry=TASKS)
FLOW = fastflow.Flow("flow F:\\n    odd -> bad", registry=TASKS)
"""


def test_what_tasks_return_controls_no_terminal(files):
    (files / "odd.py").write_text(ODD, "utf-8")
    good = invoke("run", "odd.py:GOOD")
    assert '"\\u001b[31m[bold]red"' in good.output
    bad = invoke("run", "odd.py:FLOW")
    assert bad.exit_code == 1
    assert "\x1b" not in bad.output
    assert "[red]" in bad.output.replace("\n", "")


def test_large_flows_have_short_tables(files):
    lines = "\n".join(f"    load -> high{n}" for n in range(100))
    registry = ", ".join(f"'high{n}': max" for n in range(100))
    (files / "large.py").write_text(
        f"import fastflow\nF = fastflow.Flow('''flow Large:\n{lines}''', "
        f"registry={{'load': lambda: [1], {registry}}})\n",
        "utf-8",
    )
    result = invoke("run", "large.py:F")
    assert result.exit_code == 0, result.output
    assert result.output.count("│ COMPLETED") == 40
    assert "61 more tasks are not shown" in result.output
    assert "101 of 101 tasks completed" in result.output


@pytest.mark.parametrize("option", ["--report", "--timeline", "--trace"])
def test_what_can_not_be_written_is_refused_before_anything_runs(files, option):
    result = run("--input", "5", option, "no/such/place.html")
    assert result.exit_code == 2
    assert "there is no directory no/such" in result.output


@pytest.mark.parametrize("number", ["5", "0"])
def test_run_writes_what_was_seen_of_it(files, number):
    result = run(
        "--input", number, "--executor", "serial", "--report", "report.html",
        "--timeline", "timeline.svg", "--trace", "run.json",
    )  # fmt: skip
    assert result.exit_code == (0 if number == "5" else 1), result.output
    assert "│ load " in result.output
    page = (files / "report.html").read_text("utf-8")
    assert page.lower().startswith("<!doctype html>")
    root = ET.fromstring((files / "timeline.svg").read_text("utf-8"))
    titles = ["".join(title.itertext()) for title in root.iter()]
    assert any(title.startswith("load: ") for title in titles)
    assert json.loads((files / "run.json").read_text("utf-8"))
