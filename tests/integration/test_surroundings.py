"""What a task does to its surroundings stays in the task, whatever calls it."""

from __future__ import annotations

import contextvars
import decimal
import threading

import numpy as np
import pytest

import fastflow
from entry_points import ENTRY_POINTS

ITEMS = range(12)
NAME = contextvars.ContextVar("name", default="nobody")
OTHER = contextvars.ContextVar("other", default="nothing")


@pytest.fixture(params=ENTRY_POINTS, ids=str)
def call(request):
    return ENTRY_POINTS[request.param]


def apart(test):
    """Run a test in a context of its own, on a thread of its own."""
    failures = []

    def run():
        try:
            test()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=contextvars.Context().run, args=(run,))
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def overwrite(item):
    """See what the last one left behind, and leave something else."""
    before = NAME.get(), OTHER.get()
    NAME.set(f"task {item}")
    if item % 3 == 0:
        OTHER.set("set, too")
    return before


def set_and_reset(item):
    before = NAME.get()
    NAME.reset(NAME.set("for a while"))
    return before


def test_a_task_begins_with_no_variables_where_its_caller_has_none(call):
    def test():
        assert call(overwrite, ITEMS) == [("nobody", "nothing")] * len(ITEMS)
        assert NAME.get() == "nobody"

    apart(test)


def test_a_task_begins_with_its_callers_variables(call):
    def test():
        NAME.set("caller")
        assert call(overwrite, ITEMS) == [("caller", "nothing")] * len(ITEMS)
        assert (NAME.get(), OTHER.get()) == ("caller", "nothing")
        assert call(set_and_reset, ITEMS) == ["caller"] * len(ITEMS)

    apart(test)


def test_so_it_does_with_many_variables(call):
    more = [contextvars.ContextVar(f"v{i}", default=-1) for i in range(20)]

    def look_and_set(item):
        seen = [variable.get() for variable in more]
        more[item].set("changed")
        return seen

    def test():
        for i, variable in enumerate(more):
            variable.set(i)
        assert call(look_and_set, ITEMS) == [list(range(20))] * len(ITEMS)

    apart(test)


def change_precision(item):
    context = decimal.getcontext()
    before = context.prec, context.flags[decimal.Inexact]
    context.prec = 3 + item
    decimal.Decimal(1) / 3  # sets flags
    return before


def test_a_task_has_a_copy_of_the_callers_decimal_context(call):
    def test():
        decimal.getcontext().prec = 40
        decimal.getcontext().clear_flags()
        assert call(change_precision, ITEMS) == [(40, False)] * len(ITEMS)
        mine = decimal.getcontext()
        assert (mine.prec, mine.flags[decimal.Inexact]) == (40, False)

    apart(test)


def test_a_task_has_a_decimal_context_where_its_caller_has_none(call):
    def test():
        usual = decimal.DefaultContext.prec
        assert call(change_precision, ITEMS) == [(usual, False)] * len(ITEMS)

    apart(test)


@pytest.mark.skipif(
    int(np.__version__.split(".")[0]) < 2, reason="numpy 1 keeps errstate per thread"
)
def test_numpys_error_state_stays_in_the_task(call):
    def change(item):
        before = np.geterr()["divide"]
        np.seterr(divide="raise" if item % 2 else "ignore")
        return before

    def test():
        with np.errstate(divide="print"):
            assert call(change, ITEMS) == ["print"] * len(ITEMS)
            assert np.geterr()["divide"] == "print"

    apart(test)


def test_what_an_item_has_set_is_dropped_with_it():
    """Not kept until the end of the run."""

    class Held:
        alive = 0

        def __init__(self):
            Held.alive += 1

        def __del__(self):
            Held.alive -= 1

    def hold(_):
        NAME.set(Held())
        return Held.alive

    assert max(fastflow.map(hold, range(50), max_workers=1)) <= 2
