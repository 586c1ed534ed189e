"""`Status`: one vocabulary, and what other vocabularies mean in it."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import fastflow
from fastflow.durable.completion import BatchItemStatus, CompletionOutcome
from fastflow.durable.lambda_service import InvocationStatus, OperationStatus
from fastflow.journal.statuses import ExecutionStatus, flow_status
from fastflow.run import results
from fastflow.run.status import Status

FACES = [
    BatchItemStatus, CompletionOutcome, ExecutionStatus, InvocationStatus,
    OperationStatus,
]  # fmt: skip


def test_flow_status_is_it():
    assert fastflow.FlowStatus is Status


@pytest.mark.parametrize("status", Status)
def test_a_status_is_its_word(status):
    word = status.name
    assert (status, str(status), f"{status}", repr(status)) == (
        word,
        word,
        word,
        repr(word),
    )
    assert json.loads(json.dumps({status: status})) == {word: word}
    assert {word: 1}[status] == 1
    assert pickle.loads(pickle.dumps(status)) is status
    assert copy.deepcopy(status) is status
    assert Status(word) is status


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="'DONE' is not a valid Status"):
        Status("DONE")


def test_what_is_final():
    assert {status for status in Status if not status.is_final} == {
        "PENDING",
        "RUNNING",
    }


def test_codes_of_columns_are_places_in_the_enumeration():
    words = [results._STATES[getattr(results, status.name)] for status in Status]
    assert words == list(Status)


@pytest.mark.parametrize("word", [word for face in FACES for word in face])
def test_every_word_of_the_service_means_a_status(word):
    meaning = word.flow_status
    assert type(meaning) is Status
    assert meaning is flow_status(word.value)
    if word.value in Status.__members__:
        assert meaning == word.value


def test_what_the_words_of_the_service_mean():
    assert BatchItemStatus.SUCCEEDED.flow_status is Status.COMPLETED
    assert BatchItemStatus.STARTED.flow_status is Status.RUNNING
    assert OperationStatus.TIMED_OUT.flow_status is Status.FAILED
    assert ExecutionStatus.INTERRUPTED.flow_status is Status.PENDING


def statuses_of_a_flow():
    flow = fastflow.Flow(
        "flow F:\n    a -> b", registry={"a": lambda: 1, "b": lambda a: a}
    )
    result = flow.run()
    yield result.status
    yield from (record.status for record in result.tasks.values())
    yield from (span.status for span in result.timeline())


def statuses_of_a_failed_flow():
    flow = fastflow.Flow("flow F:\n    a", registry={"a": lambda: 1 / 0})
    result = flow.run(on_error="return")
    yield result.status
    yield result.tasks["a"].status


def statuses_of_a_workflow():
    flow = fastflow.workflow("w")
    flow.step("a", lambda ctx: 1)
    run = flow.run()
    yield run.status
    yield run.steps["a"].status
    handle = flow.start()
    yield handle.status
    handle.result(60)
    yield handle.status


def statuses_of_a_graph():
    graph = fastflow.Graph()
    node = graph.add(lambda: 1)
    result = graph.run()
    yield result.status
    yield result.state(node)
    yield from result.counts


@pytest.mark.parametrize(
    "statuses",
    [
        statuses_of_a_flow, statuses_of_a_failed_flow, statuses_of_a_workflow,
        statuses_of_a_graph,
    ],
)  # fmt: skip
def test_every_machine_has_these_words(statuses):
    assert {type(status) for status in statuses()} == {Status}
