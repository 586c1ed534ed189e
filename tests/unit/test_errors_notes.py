"""Notes on exceptions, which may be the user's and refuse."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import fastflow
from fastflow.errors import add_note


def test_a_note_is_added_once():
    error = ValueError("no")
    for text in ("in step 'a'", "in step 'b'", "in step 'a'"):
        add_note(error, text)
    assert error.__notes__ == ["in step 'a'", "in step 'b'"]


@dataclass(frozen=True)
class FrozenError(Exception):
    code: int = 5


class RefusingError(Exception):
    def add_note(self, text):
        raise RuntimeError("no notes")


class HidingError(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("none of your business")


KINDS = pytest.mark.parametrize("kind", [FrozenError, RefusingError, HidingError])


@KINDS
def test_an_exception_that_takes_no_notes_stays_as_it_is(kind):
    error = kind()
    add_note(error, "a note")
    assert type(error) is kind


@pytest.mark.parametrize("kind", [FrozenError, RefusingError])
def test_who_adds_a_note_loses_no_error_by_it(kind):
    def fails(ctx):
        raise kind

    def strategy(error, attempt):
        raise LookupError("broken strategy")

    for run in (
        fastflow.workflow("w").parallel([fails]),
        fastflow.workflow("w").step("s", fails, retries=strategy),
    ):
        with pytest.raises(fastflow.TaskError) as caught:
            run.run()
        assert type(caught.value.__cause__) is kind
