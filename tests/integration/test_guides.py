"""The two guides of parallel tasks: what they print runs, with the package renamed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fastflow
import flow_tasks
from fastflow.dsl.reader import parse_flows

GUIDES = Path(__file__).resolve().parents[1] / "data" / "guides"
USAGE = GUIDES / "parallel_usage.md"
EXAMPLE = GUIDES / "parallel_example.md"


BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(guide, language):
    """The fenced blocks of a guide, indented ones too."""
    found = BLOCK.findall(guide.read_text("utf-8"))
    return [text for kind, text in found if kind == language]


def snippets():
    return [text.replace("taskinity", "fastflow") for text in blocks(USAGE, "python")]


def flow_text():
    """The flow that the usage guide defines."""
    (text,) = (text for text in snippets() if "PARALLEL_FLOW_DSL =" in text)
    space = {}
    exec(text, space)
    return space["PARALLEL_FLOW_DSL"]


@pytest.fixture
def tasks(monkeypatch):
    """The guide's tasks where ``@task`` puts them."""
    registry = fastflow.default_registry
    monkeypatch.setattr(registry, "_found", dict(flow_tasks.registry))
    monkeypatch.setattr(registry, "_names", set(flow_tasks.registry))
    return registry


def test_the_guides_are_complete():
    assert len(blocks(USAGE, "python")) == 6
    (flow,) = blocks(EXAMPLE, "")
    assert flow.count("# Code to") == 6


def test_usage_every_snippet_in_one_session(tasks, capsys):
    space = {"FLOW_DSL": flow_text(), "input_data": "sensor"}
    for snippet in snippets():
        space.pop("result", None)
        exec(compile(snippet, "guide", "exec"), space)
        if "run_parallel_flow_from_dsl(" in snippet:
            assert space["result"]["merge_results"] == sum(range(12))
            if "start_time" not in snippet:
                executors = space.setdefault("executors", [])
                executors.append(space["executor"])
    for executor in space["executors"]:
        executor.shutdown()
    assert [type(e).__name__ for e in space["executors"]] == [
        "ThreadPoolExecutor",
        "ProcessPoolExecutor",
        "ThreadPoolExecutor",
    ]
    assert "Execution time:" in capsys.readouterr().out
    assert "process_item" in tasks


@pytest.mark.parametrize("number", range(6))
def test_usage_each_snippet_alone(tasks, number):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as executor:
        space = {
            "FLOW_DSL": flow_text(),
            "PARALLEL_FLOW_DSL": flow_text(),
            "input_data": "sensor",
            "executor": executor,
            "run_parallel_flow_from_dsl": fastflow.run_parallel_flow_from_dsl,
        }
        exec(compile(snippets()[number], "guide", "exec"), space)
        if space["executor"] is not executor:
            space["executor"].shutdown()
    if "result" in space:
        assert space["result"].status == "COMPLETED"


def test_usage_the_decorated_task_is_a_plain_function(tasks):
    (snippet,) = (text for text in snippets() if "@task()" in text)
    space = {"processed_item": "done"}
    exec(snippet, space)
    assert space["process_item"]("item") == "done"


def test_example_flow_keeps_every_line():
    (text,) = blocks(EXAMPLE, "")
    (spec,) = parse_flows(text)
    assert spec.name == "ParallelProcessingDemo"
    assert spec.description == "Flow for parallel processing demonstration"
    chunks = [f"ProcessChunk{i}" for i in range(1, 5)]
    assert list(spec.tasks) == ["DataPreparation", *chunks, "AggregateResults"]
    assert spec.tasks["ProcessChunk3"].description == "Process third chunk of data"
    assert spec.edges == (
        *(("DataPreparation", chunk) for chunk in chunks),
        *((chunk, "AggregateResults") for chunk in chunks),
    )


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_example_flow_runs(workers):
    (text,) = blocks(EXAMPLE, "")
    result = fastflow.run_parallel_flow_from_dsl(
        text, list(range(40)), registry=flow_tasks.registry, max_workers=workers
    )
    assert result["AggregateResults"] == sum(range(40))
    assert {record.attempts for record in result.tasks.values()} == {1}


def test_sequential_and_parallel_agree():
    texts = [flow_text(), *blocks(EXAMPLE, "")]
    for text, data in zip(texts, ["sensor", list(range(8))], strict=True):
        registry = flow_tasks.registry
        one = fastflow.run_flow_from_dsl(text, data, registry=registry)
        other = fastflow.run_parallel_flow_from_dsl(text, data, registry=registry)
        assert dict(one) == dict(other)


SEEING = Path(__file__).resolve().parents[2] / "docs" / "guide" / "seeing.md"


@pytest.mark.parametrize("verb", ["Monitor", "Visualize"])
def test_example_each_promise_to_see_a_run_has_a_snippet(verb, capsys):
    (promise,) = re.findall(
        rf"^- ({verb} .*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE
    )
    _, _, section = SEEING.read_text("utf-8").partition(f"\n## {promise}\n")
    (snippet, *_) = [text for kind, text in BLOCK.findall(section) if kind == "python"]
    assert "flow ParallelProcessingDemo:" in snippet
    space = {}
    exec(compile(snippet, str(SEEING), "exec"), space)
    assert space["result"]["AggregateResults"] == 4 * sum(range(1_000))
    if verb == "Monitor":
        assert "ProcessChunk4      COMPLETED" in capsys.readouterr().out
    else:
        drawn = {
            path.name: path.read_text("utf-8") for path in space["folder"].iterdir()
        }
        assert sorted(drawn) == ["flow.svg", "timeline.svg"]
        assert all("AggregateResults" in text for text in drawn.values())
