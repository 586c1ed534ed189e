"""What a batch returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from fastflow.base import recorders
from fastflow.base.drawn import Drawn
from fastflow.durable.completion import (
    BatchItemStatus,
    CompletionPolicy,
    CompletionReason,
)
from fastflow.durable.config import CompletionConfig
from fastflow.durable.exceptions import (
    BatchCompletionError,
    ChildContextError,
    SerDesError,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.journal.codecs import Unencodable, add_writer, tagged, with_tag
from fastflow.journal.decoding import add_reader, expect_items, expect_list, untagged

__all__ = ["BatchItem", "BatchResult", "CompletionReason"]

R = TypeVar("R")

_SUCCEEDED = BatchItemStatus.SUCCEEDED
_FAILED = BatchItemStatus.FAILED
_STARTED = BatchItemStatus.STARTED


class BatchItem(msgspec.Struct, Generic[R], frozen=True):
    """One branch that was begun.

    Attributes
    ----------
    index : int
        Its place in the batch, from 0.
    status : BatchItemStatus
        STARTED if it was under way when the batch was complete.
    result
        None unless it succeeded.
    error : ErrorObject or None
        None unless it failed.
    """

    index: int
    status: BatchItemStatus
    result: R | None = None
    error: ErrorObject | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return {
            "index": self.index,
            "status": self.status.value,
            "result": self.result,
            "error": None if self.error is None else self.error.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BatchItem[Any]:
        """Return what `to_dict` was called on."""
        error = data.get("error")
        return cls(
            data["index"],
            BatchItemStatus(data["status"]),
            data.get("result"),
            ErrorObject.from_dict(error) if error else None,
        )


class BatchResult(Drawn, Generic[R]):
    """The branches of a batch, in their order, and why it was complete.

    Branches that were never begun are not in it.  A failed branch has not raised: see
    `throw_if_error`.

    Attributes
    ----------
    all : list of BatchItem
    completion_reason : CompletionReason
    recording : Recording or None
        That of the ``with fastflow.record()`` block that it was made in.
    """

    __slots__ = ("_counts", "all", "completion_reason", "recording")

    def __init__(
        self,
        all: Sequence[BatchItem[R]],  # noqa: A002
        completion_reason: CompletionReason,
    ) -> None:
        self.all = list(all)
        self.completion_reason = completion_reason
        self._counts: tuple[int, int, int] | None = None
        self.recording: Any = recorders.newest()

    def _count(self) -> tuple[int, int, int]:
        if self._counts is None:
            statuses = [item.status for item in self.all]
            self._counts = (
                statuses.count(_SUCCEEDED),
                statuses.count(_FAILED),
                statuses.count(_STARTED),
            )
        return self._counts

    def _with(self, status: BatchItemStatus) -> list[BatchItem[R]]:
        return [item for item in self.all if item.status is status]

    def succeeded(self) -> list[BatchItem[R]]:
        """Return the branches that succeeded."""
        return self._with(_SUCCEEDED)

    def failed(self) -> list[BatchItem[R]]:
        """Return the branches that failed."""
        return self._with(_FAILED)

    def started(self) -> list[BatchItem[R]]:
        """Return the branches that were under way when the batch was complete."""
        return self._with(_STARTED)

    def get_results(self) -> list[R]:
        """Return the results of the branches that succeeded."""
        return [item.result for item in self.all if item.status is _SUCCEEDED]  # type: ignore[misc]

    def get_errors(self) -> list[ErrorObject]:
        """Return the errors of the branches that failed."""
        return [
            item.error or ErrorObject() for item in self.all if item.status is _FAILED
        ]

    @property
    def successful_results(self) -> list[R]:
        """The results of the branches that succeeded, in their order."""
        return self.get_results()

    @property
    def failed_results(self) -> list[ErrorObject]:
        """What became of the branches that failed: their errors, in their order."""
        return self.get_errors()

    def throw_if_error(self) -> None:
        """Raise if a branch failed, or if a predicate said that the batch did.

        Raises
        ------
        ChildContextError
            The error of the first failed branch; its cause tells more.
        BatchCompletionError
            If none failed, but the batch did.
        """
        for item in self.all:
            if item.status is _FAILED:
                error = item.error or ErrorObject(f"branch {item.index} failed")
                error.raise_as_operation_error(ChildContextError)
        if self.status is _FAILED:
            raise BatchCompletionError(self.completion_reason)

    @property
    def status(self) -> BatchItemStatus:
        """FAILED if a branch failed or the predicate said so, else SUCCEEDED."""
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_FAILED:
            return _FAILED
        if self.completion_reason is CompletionReason.CUSTOM_COMPLETION_SUCCEEDED:
            return _SUCCEEDED
        return _FAILED if self.has_failure else _SUCCEEDED

    @property
    def has_failure(self) -> bool:
        """Whether a branch failed."""
        return self._count()[1] > 0

    @property
    def success_count(self) -> int:
        """Branches that succeeded."""
        return self._count()[0]

    @property
    def failure_count(self) -> int:
        """Branches that failed."""
        return self._count()[1]

    @property
    def started_count(self) -> int:
        """Branches that were under way when the batch was complete."""
        return self._count()[2]

    @property
    def total_count(self) -> int:
        """Branches that were begun."""
        return len(self.all)

    @property
    def met_criteria(self) -> bool:
        """Whether the batch ended because it was complete, not because it failed."""
        return self.completion_reason not in (
            CompletionReason.FAILURE_TOLERANCE_EXCEEDED,
            CompletionReason.CUSTOM_COMPLETION_FAILED,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; the results are as they are."""
        return {
            "all": [item.to_dict() for item in self.all],
            "completionReason": self.completion_reason.value,
        }

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], completion_config: CompletionConfig | None = None
    ) -> BatchResult[Any]:
        """Return what `to_dict` was called on.

        Parameters
        ----------
        completion_config : CompletionConfig, optional
            Tells the reason, if the data doesn't.
        """
        items = [BatchItem.from_dict(item) for item in data["all"]]
        reason = data.get("completionReason")
        if reason is not None:
            return cls(items, CompletionReason(reason))
        return cls.from_items(items, completion_config)

    @classmethod
    def from_items(
        cls,
        items: Sequence[BatchItem[R]],
        completion_config: CompletionConfig | None = None,
    ) -> BatchResult[R]:
        """Return a result whose reason follows from its branches, taken for all."""
        result = cls(items, CompletionReason.ALL_COMPLETED)
        policy = CompletionPolicy.from_config(
            len(items), completion_config or CompletionConfig()
        )
        found = policy.decide(result.success_count, result.failure_count)
        if found is not None:
            result.completion_reason = found
        return result

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BatchResult):
            return NotImplemented
        return (
            self.all == other.all and self.completion_reason is other.completion_reason
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        good, bad, under_way = self._count()
        return (
            f"<BatchResult {self.status.value}: {good} succeeded, {bad} failed, "
            f"{under_way} under way; {self.completion_reason.value}>"
        )


# How journals keep a BatchResult: by columns, as it may have very many items.

_LETTERS = {_SUCCEEDED: "+", _FAILED: "-", _STARTED: "."}
_STATES = {letter: status for status, letter in _LETTERS.items()}


def _write_batch(batch: BatchResult[Any], depth: int) -> Any:
    results = []
    errors = []
    for place, item in enumerate(batch.all):
        try:
            results.append(tagged(item.result, depth))
        except Unencodable as error:
            error.path.append(f".all[{place}].result")
            raise
        if item.error is not None:
            errors.append([place, tagged(item.error, depth)])
    states = "".join([_LETTERS[item.status] for item in batch.all])
    indexes = [item.index for item in batch.all]
    reason = batch.completion_reason.value
    return with_tag("batch", reason, indexes, states, results, errors)


def _read_batch(
    reason: str, indexes: list[int], states: str, results: list[Any], errors: list[Any]
) -> BatchResult[Any]:
    if any(type(index) is not int for index in expect_list(indexes)):
        raise SerDesError("an index of a branch is no int")
    failures = {
        place: untagged(error) for place, error in map(expect_list, expect_list(errors))
    }
    if not all(isinstance(error, ErrorObject) for error in failures.values()):
        raise SerDesError("an error of a branch is no ErrorObject")
    columns = zip(indexes, states, expect_items(results), strict=True)
    items = [
        BatchItem(index, _STATES[state], result, failures.get(place))
        for place, (index, state, result) in enumerate(columns)
    ]
    return BatchResult(items, CompletionReason(reason))


add_writer(BatchResult, _write_batch)
add_reader("batch", _read_batch)
