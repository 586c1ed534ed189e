"""The programs in examples/ run, on small inputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name, *arguments):
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_parallel_data_processing_prints_both_parts_of_every_size():
    done = run("parallel_data_processing.py", "300", "2000", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    rows = [line for line in done.stdout.splitlines() if " records" in line]
    assert len([row for row in rows if "300 records" in row]) == 3
    assert len([row for row in rows if "2,000 records" in row]) == 3
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


def test_every_example_is_tested():
    tested = Path(__file__).read_text("utf-8")
    names = [path.name for path in EXAMPLES.glob("*.py")]
    assert names
    assert [name for name in names if f'run("{name}"' not in tested] == []
