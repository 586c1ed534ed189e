"""A program that has changed meets an error that says what and where."""

from __future__ import annotations

import contextlib

import pytest

from fastflow.durable import (
    DurableRunner,
    NonDeterministicExecutionError,
    durable_execution,
)
from fastflow.journal.memory import MemoryJournal


def run_and_die(journal, body):
    """Run `body` until it raises KeyboardInterrupt, which leaves it unfinished."""

    @durable_execution(name="changing")
    def handler(event, context):
        body(context)
        raise KeyboardInterrupt

    with DurableRunner(journal) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(handler, None, "it")


def resume(journal, body):
    @durable_execution(name="changing")
    def handler(event, context):
        body(context)
        return "done"

    with DurableRunner(journal) as runner:
        return runner.run(handler, None, "it")


def steps(*names):
    def body(context):
        for name in names:
            context.step(lambda _: None, name=name)

    return body


def in_branch(body):
    def outer(context):
        def good(inner):
            inner.step(lambda _: None, name="first")

        def bad(inner):
            body(inner)
            if body in UNFINISHED:
                raise KeyboardInterrupt

        context.step(lambda _: None, name="before")
        context.parallel([good, bad], name="both")

    return outer


UNFINISHED = []


@pytest.mark.parametrize(
    ("before", "after", "position", "recorded", "current"),
    [
        (("a", "b", "c"), ("a", "x", "c"), "2", "Step 'b'", "Step 'x'"),
        (("a", "b", "c"), ("b", "a", "c"), "1", "Step 'a'", "Step 'b'"),
        (("a", "b", "c"), ("a", "c"), "2", "Step 'b'", "Step 'c'"),
        (("a", "b", "c"), ("a", "b"), "3", "Step 'c'", "the end of the function"),
        (("a", "b", "c"), ("a", "n", "b", "c"), "2", "Step 'b'", "Step 'n'"),
        (("a",), (None,), "1", "Step 'a'", "Step without a name"),
    ],
    ids=[
        "renamed",
        "reordered",
        "removed",
        "removed at the end",
        "inserted",
        "unnamed",
    ],
)
def test_each_kind_of_change(before, after, position, recorded, current):
    journal = MemoryJournal()
    run_and_die(journal, steps(*before))
    with pytest.raises(NonDeterministicExecutionError) as caught:
        resume(journal, steps(*after))
    error = caught.value
    assert (error.position, error.recorded, error.current) == (
        position, recorded, current,
    )  # fmt: skip
    assert "'it'" in str(error)
    assert f"recorded: {recorded}\n  current:  {current}" in str(error)
    assert "another name" in str(error)
    # Nothing is lost: the former program still finishes it.
    assert resume(journal, steps(*before)) == "done"


def test_another_type_of_operation():
    journal = MemoryJournal()
    run_and_die(journal, steps("a"))
    with pytest.raises(NonDeterministicExecutionError) as caught:
        resume(journal, lambda context: context.wait(0, name="a"))
    assert caught.value.current == "Wait 'a'"


def test_appended_operations_are_fine():
    journal = MemoryJournal()
    run_and_die(journal, steps("a"))
    assert resume(journal, steps("a", "b")) == "done"


def test_a_change_in_a_branch_names_its_place():
    journal = MemoryJournal()
    old, new = steps("x", "y"), steps("x", "z")
    UNFINISHED.append(old)
    run_and_die(journal, in_branch(old))
    with pytest.raises(NonDeterministicExecutionError) as caught:
        resume(journal, in_branch(new))
    assert caught.value.position == "2[1].2"
    assert caught.value.recorded == "Step 'y'"


def test_another_number_of_branches():
    journal = MemoryJournal()

    def batch(count):
        def dying(inner):
            inner.step(lambda _: None)  # a record behind that of the batch
            raise KeyboardInterrupt

        return lambda context: context.parallel([dying] * count, name="b")

    run_and_die(journal, batch(3))
    with pytest.raises(NonDeterministicExecutionError, match="of 3 branches"):
        resume(journal, batch(2))


def test_the_error_can_not_be_swallowed():
    journal = MemoryJournal()
    run_and_die(journal, steps("a"))

    def careless(context):
        for name in "bc":
            with contextlib.suppress(Exception):
                context.step(lambda _: None, name=name)

    with pytest.raises(NonDeterministicExecutionError):
        resume(journal, careless)
    assert journal.find("it").status == "RUNNING"
