"""The programs in examples/ run, on small inputs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_parallel_data_processing_prints_both_parts_of_every_size():
    done = run("parallel_data_processing.py", "300", "2000", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if " records" in line]
    assert len([row for row in rows if "300 records" in row]) == 4
    assert len([row for row in rows if "2,000 records" in row]) == 4
    assert "fastflow processes" in done.stdout
    assert "ProcessPoolExecutor" in done.stdout
    assert "Every way gave the same result." in done.stdout


def test_parallel_data_processing_refuses_nonsense():
    done = run("parallel_data_processing.py", "0")
    assert done.returncode == 2
    assert "at least 1" in done.stderr


def test_order_workflow():
    done = run("order_workflow.py", "--orders", "7")
    assert (done.returncode, done.stderr) == (0, "")
    # For even numbers both warehouses answer, and either may be the first.
    assert done.stdout.replace("from east", "from west").splitlines() == [
        "order 1: 2 items from west",
        "order 2: cancelled in 'require approval': declined",
        "order 3: cancelled in 'require approval': declined (loaded again 1 ×)",
        "order 4: cancelled in 'check': out of stock",
        "order 5: 2 items from west",
        "order 6: 3 items from west (loaded again 1 ×)",
        "order 7: 4 items from west",
        "11 items shipped",
    ]


def test_order_workflow_refuses_nonsense():
    done = run("order_workflow.py", "--orders", "0")
    assert done.returncode == 2
    assert "at least 1" in done.stderr


def test_basic_parallel():
    done = run("basic_parallel.py", "--megabytes", "1", "--workers", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "bytes compressed" in done.stdout
    assert "one after another" in done.stdout
    refused = run("basic_parallel.py", "--workers", "0")
    assert refused.returncode == 2
    assert "at least 1" in refused.stderr


def test_dependency_graph(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("One fish, two fish. Red fish, blue fish.", "utf-8")
    done = run("dependency_graph.py", str(text))
    assert (done.returncode, done.stderr) == (0, "")
    assert "8 words, 5 different ones" in done.stdout
    assert "most common: fish (4)" in done.stdout
    assert "9 tasks, each run once: True" in done.stdout
    missing = run("dependency_graph.py", str(tmp_path / "missing"))
    assert missing.returncode == 1
    assert "task 'read' failed: FileNotFoundError" in missing.stderr


def test_dynamic_parallel():
    done = run("dynamic_parallel.py", "--numbers", "30")
    assert (done.returncode, done.stderr) == (0, "")
    assert "30 numbers in 2 tasks, " in done.stdout
    assert "100000007919 = 3 × 3 × 3 × 3 × 7 × 17 × 2459 × 4219" in done.stdout
    assert run("dynamic_parallel.py", "--numbers", "0").returncode == 2


def test_error_handling():
    done = run("error_handling.py")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[0] == "damaged: JSONDecodeError"
    assert "flaky COMPLETED attempts: 3" in lines
    assert "silent COMPLETED attempts: 2" in lines
    assert "repair SKIPPED attempts: 0" in lines
    assert lines[-2] == "summary: [21.0, 21.5, 0.0, 19.0]"
    assert lines[-1] == "in place of the slow one: TaskTimeout"


def test_image_tiles():
    done = run("image_tiles.py", "--size", "200", "--tile", "64", "--workers", "2")
    if importlib.util.find_spec("matplotlib") is None:
        assert done.returncode == 1
        assert "pip install" in done.stderr
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert "200 × 200 pixels, 8 steps, 2 workers" in done.stdout
    assert "gave the same: dark ends at 0." in done.stdout


def test_image_tiles_refuses_nonsense():
    done = run("image_tiles.py", "--size", "0")
    assert done.returncode == 2
    assert "at least 1" in done.stderr


SMALL = {
    "basic_parallel.py": ("--megabytes", "1"),
    "dependency_graph.py": (),
    "durable_orders.py": ("--orders", "4"),
    "dynamic_parallel.py": ("--numbers", "10"),
    "error_handling.py": (),
    "image_tiles.py": ("--size", "64", "--tile", "32", "--repeats", "1"),
    "order_workflow.py": ("--orders", "2"),
    "parallel_data_processing.py": ("300", "--repeats", "1"),
}


@pytest.mark.parametrize("name", SMALL)
def test_every_example_writes_a_report_of_itself(name, tmp_path):
    if name == "image_tiles.py":
        pytest.importorskip("matplotlib")
    report = tmp_path / "report.html"
    done = run(name, *SMALL[name], "--report", str(report))
    assert (done.returncode, done.stderr) == (0, "")
    assert report.read_text("utf-8").lower().startswith("<!doctype html>")


def test_every_example_is_tested():
    tested = Path(__file__).read_text("utf-8")
    names = [path.name for path in EXAMPLES.glob("*.py")]
    assert names
    assert [name for name in names if f'run("{name}"' not in tested] == []
    assert sorted(SMALL) == sorted(names)


def test_durable_orders():
    done = run("durable_orders.py", "--orders", "20")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines, last = done.stdout.splitlines()
    assert first.startswith("The first process ended with -9")
    assert last.endswith(" 0 of them twice.")
    refused = [line for line in lines if "refused" in line]
    assert sum("out of stock" in line for line in refused) == 2
    assert len(lines) == 20


def test_durable_orders_refuses_nonsense():
    assert run("durable_orders.py", "--orders", "0").returncode == 2
