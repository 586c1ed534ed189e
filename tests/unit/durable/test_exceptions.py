"""The errors of durable executions, and what is kept of any exception."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from fastflow.durable import exceptions
from fastflow.durable.completion import CompletionReason
from fastflow.durable.exceptions import (
    BatchCompletionError,
    CallbackError,
    CallbackTimeoutError,
    DurableExecutionsError,
    DurableOperationError,
    ExecutionError,
    NonDeterministicExecutionError,
    SerDesError,
    StepError,
    SuspendExecution,
    UnrecoverableError,
    ValidationError,
    operation_error_class,
    qualified_name,
)
from fastflow.durable.lambda_service import ErrorObject
from fastflow.durable.runtime.failures import is_fatal
from fastflow.errors import FastflowError

CLASSES = [
    value
    for name in exceptions.__all__
    if isinstance(value := getattr(exceptions, name), type)
]
DESCRIBED = [c for c in CLASSES if issubclass(c, DurableOperationError | SerDesError)]
PARENTS = {
    "NonDeterministicExecutionError": ExecutionError,
    "StepError": DurableOperationError,
    "InvokeError": DurableOperationError,
    "ChildContextError": DurableOperationError,
    "WaitForConditionError": DurableOperationError,
    "BatchCompletionError": DurableOperationError,
    "CallbackError": DurableOperationError,
    "CallbackExternalError": CallbackError,
    "CallbackTimeoutError": CallbackError,
    "CallbackSubmitterError": CallbackError,
    "RetryableSerDesError": SerDesError,
    "LeaseLostError": exceptions.JournalError,
    "JournalFullError": exceptions.JournalError,
    "ValidationError": ValueError,
    "ExecutionConflictError": ValueError,
}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_one_root(kind):
    if kind is SuspendExecution:
        assert not issubclass(kind, Exception)
        return
    assert issubclass(kind, DurableExecutionsError)
    assert issubclass(kind, FastflowError)
    assert inspect.getdoc(kind)
    assert issubclass(kind, PARENTS.get(kind.__name__, Exception))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_pickle_keeps_text_and_attributes(kind):
    if kind is BatchCompletionError:
        error = kind(CompletionReason.CUSTOM_COMPLETION_FAILED, "what", "T", "d", ["f"])
    elif issubclass(kind, DurableOperationError | SerDesError):
        error = kind("what", "T", "d", ["f"])
    elif kind is NonDeterministicExecutionError:
        error = kind("what", "0a", "2.1", "step a", "step b")
    else:
        error = kind("what")
    error.noted = 1
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "what"
    assert vars(again) == vars(error)


@pytest.mark.parametrize("kind", DESCRIBED, ids=lambda kind: kind.__name__)
def test_an_error_without_a_type_has_its_own(kind):
    assert kind().error_type == f"fastflow.durable.exceptions.{kind.__name__}"
    assert kind(error_type="ValueError").error_type == "ValueError"
    assert kind().data is kind().stack_trace is None


def test_no_message_is_an_empty_text():
    assert str(StepError()) == ""
    assert str(BatchCompletionError()) == "the batch is complete, but has failed"
    error = BatchCompletionError(CompletionReason.CUSTOM_COMPLETION_FAILED)
    assert str(error).endswith("failed: CUSTOM_COMPLETION_FAILED")


def test_a_changed_program_is_not_a_failure_of_the_execution():
    error = NonDeterministicExecutionError("m", "0a", "2[3].1", "step a", "wait b")
    assert isinstance(error, ExecutionError)
    assert isinstance(error, UnrecoverableError)
    assert is_fatal(error)
    assert not is_fatal(ExecutionError("m"))
    assert (error.step_id, error.position) == ("0a", "2[3].1")
    assert (error.recorded, error.current) == ("step a", "wait b")


class Outer:
    class InnerError(Exception):
        pass


def test_names_of_types():
    assert qualified_name(ValueError) == "ValueError"
    assert qualified_name(Outer.InnerError) == f"{__name__}.Outer.InnerError"
    assert qualified_name(StepError) == "fastflow.durable.exceptions.StepError"


def test_only_our_own_classes_are_found_by_name():
    assert operation_error_class("fastflow.durable.exceptions.StepError") is StepError
    for name in (
        "ValueError",
        "StepError",
        "os.system",
        f"{__name__}.Outer.InnerError",
        "",
    ):
        assert operation_error_class(name) is None


def raised(error):
    try:
        raise error
    except BaseException as caught:
        return caught


class TestErrorObject:
    def test_of_a_plain_exception(self):
        kept = ErrorObject.from_exception(raised(ValueError("no")))
        assert (kept.message, kept.type, kept.data) == ("no", "ValueError", None)
        assert len(kept.stack_trace) == 1
        assert "raise error" in kept.stack_trace[0]

    def test_of_one_that_was_not_raised(self):
        assert ErrorObject.from_exception(KeyError(1)).stack_trace is None

    def test_the_trace_is_bounded_and_keeps_its_end(self):
        def left(n):
            if n == 0:
                raise ValueError("the end")
            right(n - 1)

        def right(n):
            left(n)  # in turns: repeated frames are shown once

        try:
            left(100)
        except ValueError as error:
            kept = ErrorObject.from_exception(error)
        assert len(kept.stack_trace) == 40
        assert "the end" in kept.stack_trace[-1]

    def test_of_one_whose_text_can_not_be_had(self):
        class MuteError(Exception):
            def __str__(self):
                raise RuntimeError

        assert "MuteError" in ErrorObject.from_exception(MuteError()).message

    def test_half_a_surrogate_pair_becomes_text(self):
        message = ErrorObject.from_exception(ValueError("a\ud800")).message
        assert message == "a\\ud800"

    def test_an_operation_error_keeps_what_it_carries(self):
        error = raised(StepError("no", "ValueError", "data", ["frame"]))
        kept = ErrorObject.from_exception(error)
        assert (kept.message, kept.data, kept.stack_trace) == ("no", "data", ("frame",))
        assert kept.type == "fastflow.durable.exceptions.StepError"

    def test_dict_and_back(self):
        kept = ErrorObject("m", "T", "d", ("a", "b"))
        assert kept.to_dict() == {
            "ErrorMessage": "m",
            "ErrorType": "T",
            "ErrorData": "d",
            "StackTrace": ["a", "b"],
        }
        assert ErrorObject.from_dict(kept.to_dict()) == kept
        assert ErrorObject.from_message("m").to_dict() == {"ErrorMessage": "m"}
        assert ErrorObject.from_dict({}) == ErrorObject()

    def test_it_can_not_be_changed(self):
        with pytest.raises(AttributeError):
            ErrorObject("m").message = "n"

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("fastflow.durable.exceptions.CallbackTimeoutError", CallbackTimeoutError),
            ("ValueError", DurableOperationError),
            ("os.system", DurableOperationError),
            (None, DurableOperationError),
        ],
    )
    def test_the_class_of_a_stored_error(self, name, kind):
        error = ErrorObject("m", name, "d", ("f",)).to_durable_operation_error()
        assert type(error) is kind
        assert (error.message, error.data, error.stack_trace) == ("m", "d", ["f"])
        if name:
            assert error.error_type == name

    def test_raise_as(self):
        with pytest.raises(StepError, match="m") as caught:
            ErrorObject("m", "ValueError").raise_as_operation_error(StepError)
        assert caught.value.error_type == "ValueError"
        assert type(caught.value.__cause__) is DurableOperationError


def test_validation_errors_are_value_errors():
    with pytest.raises(ValueError, match="m"):
        raise ValidationError("m")


def test_pickle_keeps_causes():
    error = exceptions.ChildContextError("outer", "StepError")
    error.__cause__ = exceptions.StepError("inner", "KeyError")
    error.__cause__.__cause__ = KeyError("x")
    error.add_note("a note")
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert again.__notes__ == ["a note"]
        assert repr(again.__cause__) == repr(error.__cause__)
        assert repr(again.__cause__.__cause__) == "KeyError('x')"
        assert again.__suppress_context__
