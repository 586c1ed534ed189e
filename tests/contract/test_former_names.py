"""What was stored under the names that modules had before they moved is still read."""

from __future__ import annotations

import base64
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import fastflow
from fastflow import durable
from fastflow.base.former import FORMER, now_called
from fastflow.durable.serdes import decode, encode
from fastflow.journal.inputs import same_input
from fastflow.journal.statuses import ExecutionStatus
from fastflow.run.completion import CompletionReason

#: Written by the version before the move: see docs/news.
STORED = json.loads(
    (Path(__file__).parents[1] / "data" / "former_names" / "stored.json").read_text()
)

#: One interpreter that has imported nothing of the package reads all pickles.
READ = """
import base64, json, pickle, sys
found = {}
for name, text in json.load(sys.stdin).items():
    value = pickle.loads(base64.b64decode(text))
    found[name] = f"{type(value).__module__}.{type(value).__qualname__} {value!r}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def pickles():
    command = [sys.executable, "-W", "error", "-c", READ]
    done = subprocess.run(
        command,
        input=json.dumps(STORED["pickles"]),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


PICKLED = {
    "batch": "fastflow.durable.results.BatchResult",
    "decision": "fastflow.run.retry.RetryDecision",
    "flow_result": "fastflow.run.results.FlowResult",
    "graph_result": "fastflow.engines.graph.GraphResult",
    "journal_error": "fastflow.durable.exceptions.JournalFullError",
    "policy": "fastflow.run.retry.RetryPolicy",
    "reason": "fastflow.run.completion.CompletionReason",
    "run_result": "fastflow.workflows.records.RunResult",
    "serdes_error": "fastflow.durable.exceptions.SerDesError",
    "spec": "fastflow.dsl.spec.FlowSpec",
    "stats": "fastflow.pool.executor.ExecutorStats",
    "status": "fastflow.run.status.Status",
    "step_error": "fastflow.durable.exceptions.StepError",
    "task_error": "fastflow.errors.TaskError",
}


@pytest.mark.parametrize("name", STORED["pickles"])
def test_a_pickle_of_the_former_names(pickles, name):
    assert pickles[name].startswith(PICKLED[name] + " ")


VALUES = {
    "batch": durable.BatchResult(
        [durable.BatchItem(0, durable.BatchItemStatus.SUCCEEDED, 5, None)],
        CompletionReason.ALL_COMPLETED,
    ),
    "config": durable.StepConfig(),
    "decision": fastflow.RetryDecision.retry(2.0),
    "execution_status": [ExecutionStatus.FAILED],
    "item_status": [durable.BatchItemStatus.FAILED, 1],
    "reason": CompletionReason.ALL_COMPLETED,
    "stats": fastflow.ExecutorStats(*range(9)),
    "status": fastflow.FlowStatus.FAILED,
}


@pytest.mark.parametrize("name", STORED["values"])
def test_a_value_in_a_journal_of_the_former_names(name):
    stored = STORED["values"][name].encode()
    found = decode(stored)
    assert found == VALUES[name]
    assert type(found) is type(VALUES[name])
    # An execution is known by its input: it must not count as another one.
    assert same_input(stored, encode(VALUES[name]))


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_is_another_name_of_the_module(name):
    code = (
        f"import importlib\nold = importlib.import_module({name!r})\n"
        f"new = importlib.import_module({FORMER[name]!r})\n"
        "names = [x for x in vars(new) if not x.startswith('_')]\n"
        "assert old is not new and names\n"
        "assert all(getattr(old, x) is getattr(new, x) for x in names)\n"
        f"assert old.__name__ == {name!r} and new.__name__ == {FORMER[name]!r}\n"
        f"assert new.__spec__.name == {FORMER[name]!r}\n"
    )
    importlib.import_module("fastflow")
    command = [sys.executable, "-W", "error", "-c", f"import fastflow\n{code}"]
    subprocess.run(command, check=True)


def test_a_name_that_has_not_moved_is_what_it_is():
    assert now_called("fastflow.errors") == "fastflow.errors"
    assert now_called("shop.orders") == "shop.orders"
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        importlib.import_module("fastflow.nowhere")


#: Modules that AWS's SDK has, or that pages and messages of ours name.
PUBLIC = {
    "fastflow.benchmarks": {"PerformanceBenchmark", "benchmark"},
    "fastflow.cli": {"main"},
    "fastflow.durable.callback": {"Callback"},
    "fastflow.durable.config": {"StepConfig", "ParallelConfig", "CompletionConfig"},
    "fastflow.durable.context": {"DurableContext"},
    "fastflow.durable.exceptions": set(dir(durable)) & {"StepError", "JournalError"},
    "fastflow.durable.execution": {"durable_execution"},
    "fastflow.durable.functions": {"durable_step"},
    "fastflow.durable.handle": {"Handle"},
    "fastflow.durable.journal": {"Journal"},
    "fastflow.durable.lambda_service": {"ErrorObject", "OperationStatus"},
    "fastflow.durable.memory": {"MemoryJournal"},
    "fastflow.durable.results": {"BatchResult"},
    "fastflow.durable.retries": {"create_retry_strategy", "with_retry"},
    "fastflow.durable.runner": {"DurableRunner"},
    "fastflow.durable.serdes": {"SerDes", "SerDesContext"},
    "fastflow.durable.sqlite": {"SqliteJournal"},
    "fastflow.durable.types": {"StepContext", "BatchResult", "DurableContext"},
    "fastflow.durable.waits": {"WaitForConditionConfig"},
    "fastflow.errors": {"TaskError", "FastflowError"},
    "fastflow.pytest_plugin": {"durable_runner"},
    "fastflow.testing": {"DurableFunctionTestRunner"},
    "fastflow.workflows": {"Workflow", "Harness"},
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_is_where_it_was(name):
    code = f"import {name} as m; [getattr(m, x) for x in {sorted(PUBLIC[name])!r}]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_errors_are_recorded_under_the_name_that_users_import():
    for name in durable.exceptions.__all__:
        found = getattr(durable.exceptions, name)
        if isinstance(found, type):
            assert found.__module__ == "fastflow.durable.exceptions"


def test_the_data_holds_former_names():
    raw = b"".join(base64.b64decode(text) for text in STORED["pickles"].values())
    values = "".join(STORED["values"].values())
    assert b"fastflow.results" in raw
    assert b"fastflow.graph" in raw
    assert "fastflow.status:Status" in values
