"""The guide of durable parallel operations: its snippets, with the packages renamed."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TypeVar

import pytest

from fastflow.durable import (
    CompletionConfig,
    DurableContext,
    DurableFunction,
    ParallelConfig,
    durable_execution,
)
from fastflow.testing import DurableFunctionTestRunner, InvocationStatus

GUIDE = Path(__file__).resolve().parents[1] / "data" / "guides" / "durable_parallel.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def renamed(text):
    text = text.replace("aws_durable_execution_sdk_python_testing", "fastflow.testing")
    return text.replace("aws_durable_execution_sdk_python", "fastflow.durable")


def snippets():
    return [renamed(text) for text in BLOCK.findall(GUIDE.read_text("utf-8"))]


def handlers():
    """Those that define a handler, each under the title above it."""
    text = renamed(GUIDE.read_text("utf-8"))
    found = {}
    for match in BLOCK.finditer(text):
        source = match.group(1)
        if "@durable_execution" in source:
            title = re.findall(r"^#+ (.*)$", text[: match.start()], re.MULTILINE)[-1]
            found[title] = source
    return found


def raise_error(message="failed"):
    """What the guide leaves open."""
    raise RuntimeError(message)


def handler_of(source):
    space = {"raise_error": raise_error}
    exec(compile(source, "guide", "exec"), space)
    assert isinstance(space["handler"], DurableFunction)
    return space["handler"]


#: Title -> what the handler returns for its event.
EXPECTED = {
    "Getting started": (
        {},
        ["Task 1 complete", "Task 2 complete", "Task 3 complete"],
    ),
    "Simple parallel execution": (
        {},
        {
            "total": 3,
            "successful": 3,
            "results": [
                {"service": name, "status": "ok"}
                for name in ("inventory", "payment", "shipping")
            ],
        },
    ),
    "Collecting results": (
        {},
        {
            # The guide's lambdas share one variable, as lambdas in a loop do.
            "successful": ["Result 4"] * 5,
            "failed": [],
            "total_count": 5,
            "success_count": 5,
            "failure_count": 0,
            "status": "SUCCEEDED",
            "completion_reason": "ALL_COMPLETED",
        },
    ),
    "Accessing individual results": (
        {},
        {
            "first": "Result A",
            "second": "Result B",
            "third": "Result C",
            "all": ["Result A", "Result B", "Result C"],
        },
    ),
    "Controlled concurrency": (
        {"items": list(range(25))},
        {
            "processed": 25,
            "failed": 0,
            "results": [f"Processed {n}" for n in range(25)],
        },
    ),
    "Nested parallel operations": (
        {},
        {
            "groups_processed": 2,
            "results": [
                [f"group-{group}-item-{n}" for n in (1, 2, 3)] for group in "ab"
            ],
        },
    ),
    "Result ordering": ({}, ["First", "Second", "Third"]),
    "Individual branch failures": (
        {},
        {"successful": ["Success"] * 2, "failed_count": 1, "status": "FAILED"},
    ),
}
#: What depends on which branch comes first.
RACES = {
    "Configuration": {f"First successful result: Task {n}" for n in (1, 2, 3)},
    "First successful pattern": {"primary", "secondary", "cache"},
}


def test_the_guide_is_complete():
    assert len(snippets()) == 26
    assert set(handlers()) == {*EXPECTED, *RACES, "Partial success handling"}


@pytest.mark.parametrize("title", EXPECTED)
def test_handlers_return_what_the_guide_says(title):
    event, expected = EXPECTED[title]
    handler = handler_of(handlers()[title])
    assert handler(event) == expected
    with DurableFunctionTestRunner(handler) as runner:
        result = runner.run(event)
    assert (result.status, result.result) == (InvocationStatus.SUCCEEDED, expected)
    runner.close()


@pytest.mark.parametrize("title", RACES)
def test_races_return_one_of_their_branches(title):
    found = handler_of(handlers()[title])({})
    assert (found["source"] if isinstance(found, dict) else found) in RACES[title]


def test_partial_success():
    found = handler_of(handlers()["Partial success handling"])({})
    assert found["status"] == "partial_success"
    assert found["successful"] == ["Success 1", "Success 2"]
    assert found["failed_count"] in (0, 1)  # two are enough: the third may not begin


def test_the_signature_is_the_one_printed():
    (printed,) = (s for s in snippets() if s.startswith("def parallel("))
    space = {"T": TypeVar("T")}
    exec("from typing import Callable\nfrom collections.abc import Sequence", space)
    exec("from fastflow.durable import *", space)
    exec(printed.rstrip() + ": ...", space)
    wanted = inspect.signature(space["parallel"]).parameters
    given = dict(inspect.signature(DurableContext.parallel).parameters)
    del given["self"]
    assert [(p.name, p.default, p.kind) for p in given.values()] == [
        (p.name, p.default, p.kind) for p in wanted.values()
    ]


@pytest.mark.parametrize(
    "source",
    [s for s in snippets() if "@" not in s and not s.startswith("def parallel(")],
    ids=lambda source: " ".join(source.split())[:40],
)
def test_fragments_run(source):
    """Pieces of a program: with the names that they leave open."""
    names = (
        "context, functions, values, process, CompletionConfig, ParallelConfig, tasks"
    )
    program = f"def fragment({names}):\n" + textwrap.indent(source + "\npass", "    ")

    @durable_execution
    def handler(event, context):
        space = {
            "T": object, "raise_error": raise_error,
            "Sequence": list, "Callable": object,
        }  # fmt: skip
        exec("from fastflow.durable import *", space)
        exec(compile(program, "guide", "exec"), space)
        functions = [lambda ctx: ctx.step(lambda _: 1)] * 3
        return space["fragment"](
            context, functions, [1, 2], lambda ctx, value: value, CompletionConfig,
            ParallelConfig, functions,
        )  # fmt: skip

    found = handler({})
    assert found is None or found == {"status": "success", "results": [1, 1, 1]}


def test_the_tests_of_the_guide_pass(tmp_path):
    by_title = handlers()
    functions = {
        "handler": by_title["Getting started"],
        "handler_first_successful": by_title["Configuration"],
        "handler_with_concurrency_limit": by_title["Controlled concurrency"],
    }
    parts = ["def raise_error(message='failed'):\n    raise RuntimeError(message)\n"]
    for name, source in functions.items():
        parts.append(source.replace("def handler(", f"def {name}("))
    # The guide's handler has another key for its successes than the guide's test.
    failing = by_title["Individual branch failures"]
    failing = failing.replace("def handler(", "def handler_with_failures(")
    parts.append(
        failing.replace(
            '"successful": result.successful_results',
            '"successful_count": result.success_count',
        )
    )
    (tmp_path / "my_function.py").write_text("\n".join(parts), "utf-8")
    tests = [s for s in snippets() if "durable_runner" in s]
    assert len(tests) == 5
    head = "import pytest\nfrom my_function import *\n"
    (tmp_path / "test_guide.py").write_text(head + "\n".join(tests), "utf-8")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "5 passed" in outcome.stdout, outcome.stdout + outcome.stderr
