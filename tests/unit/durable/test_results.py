"""What a batch returns."""

from __future__ import annotations

import pickle

import msgspec
import pytest

from fastflow.durable.completion import (
    BatchItemStatus,
    CompletionReason,
    complete_batch,
)
from fastflow.durable.config import CompletionConfig
from fastflow.durable.exceptions import (
    BatchCompletionError,
    ChildContextError,
    SerDesError,
    StepError,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.results import BatchItem, BatchResult
from fastflow.journal.serdes import decode, encode

SUCCEEDED, FAILED, STARTED = BatchItemStatus
ERROR = ErrorObject("no", "ValueError", None, ("frame",))


def mixed(reason=CompletionReason.ALL_COMPLETED):
    """Branches 0, 1, 3, 4; number 2 was never begun."""
    return BatchResult(
        [
            BatchItem(0, SUCCEEDED, "a"),
            BatchItem(1, FAILED, None, ERROR),
            BatchItem(3, STARTED),
            BatchItem(4, SUCCEEDED, None),
        ],
        reason,
    )


def test_views():
    batch = mixed()
    assert [item.index for item in batch.succeeded()] == [0, 4]
    assert [item.index for item in batch.failed()] == [1]
    assert [item.index for item in batch.started()] == [3]
    assert batch.get_results() == batch.successful_results == ["a", None]
    assert batch.get_errors() == batch.failed_results == [ERROR]
    counts = (batch.success_count, batch.failure_count, batch.started_count)
    assert counts == (2, 1, 1)
    assert batch.total_count == 4
    assert batch.has_failure


def test_names_are_values():
    for kind in (BatchItemStatus, CompletionReason):
        for member in kind:
            assert member.value == member.name
    assert mixed().status.value == "FAILED"
    assert mixed().completion_reason.value == "ALL_COMPLETED"


def test_an_empty_batch():
    batch = BatchResult([], CompletionReason.ALL_COMPLETED)
    assert batch.status is SUCCEEDED
    assert (batch.total_count, batch.get_results(), batch.met_criteria) == (0, [], True)
    batch.throw_if_error()


@pytest.mark.parametrize(
    ("reason", "fails", "status", "met"),
    [
        ("ALL_COMPLETED", False, SUCCEEDED, True),
        ("ALL_COMPLETED", True, FAILED, True),
        ("MIN_SUCCESSFUL_REACHED", False, SUCCEEDED, True),
        ("MIN_SUCCESSFUL_REACHED", True, FAILED, True),
        ("FAILURE_TOLERANCE_EXCEEDED", True, FAILED, False),
        ("CUSTOM_COMPLETION_SUCCEEDED", False, SUCCEEDED, True),
        ("CUSTOM_COMPLETION_SUCCEEDED", True, SUCCEEDED, True),
        ("CUSTOM_COMPLETION_FAILED", False, FAILED, False),
        ("CUSTOM_COMPLETION_FAILED", True, FAILED, False),
    ],
)
def test_status(reason, fails, status, met):
    items = [BatchItem(0, SUCCEEDED, 1)]
    if fails:
        items.append(BatchItem(1, FAILED, None, ERROR))
    batch = BatchResult(items, CompletionReason(reason))
    assert batch.status is status
    assert batch.met_criteria is met
    assert batch.has_failure is fails


class TestThrowIfError:
    def test_the_first_failure(self):
        with pytest.raises(ChildContextError, match="no") as caught:
            mixed().throw_if_error()
        assert caught.value.error_type == "ValueError"
        assert caught.value.stack_trace == ["frame"]
        assert caught.value.__cause__.message == "no"

    def test_its_cause_is_of_the_recorded_kind(self):
        error = ErrorObject("m", "fastflow.durable.exceptions.StepError")
        batch = BatchResult(
            [BatchItem(0, FAILED, None, error)], CompletionReason.ALL_COMPLETED
        )
        with pytest.raises(ChildContextError) as caught:
            batch.throw_if_error()
        assert type(caught.value.__cause__) is StepError

    def test_a_failure_without_an_error(self):
        batch = BatchResult([BatchItem(7, FAILED)], CompletionReason.ALL_COMPLETED)
        assert batch.get_errors() == [ErrorObject()]
        with pytest.raises(ChildContextError, match="branch 7"):
            batch.throw_if_error()

    def test_a_predicate_said_that_it_failed(self):
        reason = CompletionReason.CUSTOM_COMPLETION_FAILED
        with pytest.raises(BatchCompletionError) as caught:
            BatchResult([BatchItem(0, SUCCEEDED, 1)], reason).throw_if_error()
        assert caught.value.completion_reason is reason

    def test_none_failed(self):
        BatchResult(
            [BatchItem(0, SUCCEEDED, 1), BatchItem(1, STARTED)],
            CompletionReason.MIN_SUCCESSFUL_REACHED,
        ).throw_if_error()


def test_dict_and_back():
    data = mixed().to_dict()
    assert data == {
        "all": [
            {"index": 0, "status": "SUCCEEDED", "result": "a", "error": None},
            {
                "index": 1,
                "status": "FAILED",
                "result": None,
                "error": {
                    "ErrorMessage": "no",
                    "ErrorType": "ValueError",
                    "StackTrace": ["frame"],
                },
            },
            {"index": 3, "status": "STARTED", "result": None, "error": None},
            {"index": 4, "status": "SUCCEEDED", "result": None, "error": None},
        ],
        "completionReason": "ALL_COMPLETED",
    }
    assert BatchResult.from_dict(msgspec.json.decode(msgspec.json.encode(data))) == (
        mixed()
    )


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "FAILURE_TOLERANCE_EXCEEDED"),
        (CompletionConfig.all_completed(), "ALL_COMPLETED"),
        (CompletionConfig(min_successful=2), "MIN_SUCCESSFUL_REACHED"),
        (CompletionConfig(should_complete=lambda s: complete_batch()),
         "CUSTOM_COMPLETION_SUCCEEDED"),
    ],
)  # fmt: skip
def test_the_reason_follows_from_the_branches(config, reason):
    data = mixed().to_dict()
    del data["completionReason"]
    assert BatchResult.from_dict(data, config).completion_reason.value == reason
    assert BatchResult.from_items(mixed().all, config).completion_reason.value == reason


@pytest.mark.parametrize(
    "copy", [lambda b: pickle.loads(pickle.dumps(b)), lambda b: decode(encode(b))]
)
@pytest.mark.parametrize("reason", CompletionReason)
def test_copies(copy, reason):
    batch = copy(mixed(reason))
    assert batch == mixed(reason)
    assert batch.completion_reason is reason
    assert batch.all[1].status is FAILED
    assert type(batch.all[1].error) is ErrorObject


def test_a_result_inside_of_a_result():
    outer = BatchResult([BatchItem(0, SUCCEEDED, mixed())], CompletionReason(
        "ALL_COMPLETED"
    ))  # fmt: skip
    found = decode(encode({"batch": (outer, 1)}))["batch"][0]
    assert found == outer
    assert found.get_results()[0].get_errors() == [ERROR]


def test_the_place_of_what_can_not_be_stored():
    batch = BatchResult(
        [BatchItem(4, SUCCEEDED, 1), BatchItem(9, SUCCEEDED, {"a": object()})],
        CompletionReason.ALL_COMPLETED,
    )
    with pytest.raises(SerDesError, match=r"result\[0\]\.all\[1\]\.result\['a'\] is"):
        encode((batch,))


def test_equality():
    assert mixed() != mixed(CompletionReason.MIN_SUCCESSFUL_REACHED)
    assert mixed() != BatchResult(mixed().all[:-1], CompletionReason.ALL_COMPLETED)
    assert mixed() != "batch"


def test_items_can_not_be_changed():
    with pytest.raises(AttributeError):
        mixed().all[0].result = 1


def test_many_items_are_not_printed():
    batch = BatchResult(
        [BatchItem(i, SUCCEEDED, "x" * 100) for i in range(100_000)],
        CompletionReason.ALL_COMPLETED,
    )
    assert len(repr(batch)) < 200
    assert "100000 succeeded, 0 failed" in repr(batch)
    assert batch.success_count == 100_000


def test_causes_and_notes_of_branches_are_stored():
    inner = KeyError("k")
    inner.add_note("a note")
    outer = StepError("no", "ShopError", "data", ["frame"])
    outer.__cause__ = inner
    item = BatchItem(0, FAILED, None, ErrorObject.from_exception(outer))
    batch = BatchResult([item], CompletionReason.ALL_COMPLETED)
    again = decode(encode(batch))
    assert again == batch
    with pytest.raises(ChildContextError) as caught:
        again.throw_if_error()
    step = caught.value.__cause__
    assert (type(step), step.error_type, step.data) == (StepError, "ShopError", "data")
    assert (step.__cause__.error_type, str(step.__cause__)) == ("KeyError", "'k'")
    assert step.__cause__.__notes__ == ["a note"]
