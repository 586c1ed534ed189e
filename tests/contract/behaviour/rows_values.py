"""Results, and what calls do to their surroundings."""

from __future__ import annotations

import contextvars
import decimal
import gc
import inspect
import threading
import weakref
from collections.abc import Callable

from contract.behaviour import calls
from contract.behaviour.backends import WORKERS, counted
from contract.behaviour.calls import Scratch
from contract.behaviour.machines import (
    BY_REFERENCE,
    CANCEL,
    COLUMNS,
    NESTED,
    SIDE_BY_SIDE,
    TRAVELS,
    Machine,
)
from contract.behaviour.table import (
    BY_VALUE,
    FAN_OUT,
    FLOWS_BY_VALUE,
    FLOWS_HERE,
    STEPS,
    row,
)

UNSEEN = "flows look at functions only: to look at each result costs every task"


@row(([0, 1], True), SIDE_BY_SIDE)
def results_are_in_the_order_of_inputs(m: Machine, scratch: Scratch):
    """Calls end in another order than they begin."""
    found = m.run(calls.in_turn, [(scratch, number) for number in range(WORKERS)])
    return found, scratch.notes() != ["0", "1"]


@row([])
def no_input_no_results(m: Machine, _: Scratch):
    return m.run(calls.same, [])


@row([None, None])
def none_is_a_result(m: Machine, _: Scratch):
    return m.run(calls.nothing, [1, 2])


@row(([7, 7, 7], ["7"] * 3))
def equal_items_run_once_each(m: Machine, scratch: Scratch):
    return m.run(calls.noted, [(scratch, 7)] * 3), scratch.notes()


@row([0, False, "", b"", ()])
def false_values_are_results(m: Machine, _: Scratch):
    return m.run(calls.same, [0, False, "", b"", ()])


@row(
    "coroutine's value",
    differs={
        FAN_OUT: ("a coroutine", "a coroutine is a result, as in the standard library")
    },
)
def a_coroutine_function_is_awaited(m: Machine, _: Scratch):
    return _closed(m.one(calls.awaited, "coroutine's value").short)


@row(
    "coroutine's value",
    differs={
        FAN_OUT: ("a coroutine", "a coroutine is a result, as in the standard library"),
        FLOWS_HERE: ("a coroutine", UNSEEN),
        FLOWS_BY_VALUE: ("TypeError", UNSEEN),
    },
)
def a_coroutine_that_is_returned_is_awaited(m: Machine, _: Scratch):
    return _closed(m.one(calls.coroutine_of, "coroutine's value").short)


def _closed(value):
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine"
    return value


@row(["default"] * 4)
def context_variables_stay_in_their_call(m: Machine, _: Scratch):
    return m.run(calls.variable, range(4))


@row(
    (["caller's"] * 4, "caller's"),
    differs={
        BY_VALUE: (
            (["default"] * 4, "caller's"),
            "context variables can't be pickled: elsewhere there are none",
        )
    },
)
def calls_begin_with_the_context_of_the_caller(m: Machine, _: Scratch):
    def call():
        calls.VARIABLE.set("caller's")
        return m.run(calls.variable, range(4)), calls.VARIABLE.get()

    return contextvars.Context().run(call)


@row(
    ([40] * 4, 40),
    differs={
        BY_VALUE: (
            ([28] * 4, 40),
            "context variables can't be pickled: elsewhere there are none",
        )
    },
)
def the_decimal_context_stays_in_its_call(m: Machine, _: Scratch):
    def call():
        with decimal.localcontext() as context:
            context.prec = 40
            return m.run(calls.precision, range(4)), decimal.getcontext().prec

    return contextvars.Context().run(call)


@row([28] * 4, TRAVELS)
def the_decimal_context_of_a_worker_stays_its_own(m: Machine, _: Scratch):
    return m.run(calls.precision, range(4))


class Thing:
    """A value that can be watched."""


def _are_freed(things: list[Thing], drop: Callable[[], object]) -> bool:
    """Whether things go without the garbage collector's help, soon after `drop`."""
    gone = threading.Semaphore(0)
    watched = [weakref.ref(thing, lambda _: gone.release()) for thing in things]
    gc.collect()
    gc.disable()
    try:
        things.clear()
        drop()
        return all(gone.acquire(timeout=0.5) for _ in watched)
    finally:
        gc.enable()


@row(True)
def arguments_are_freed_with_the_run(m: Machine, _: Scratch):
    things = [Thing(), Thing()]
    kept = list(things)
    m.run(calls.nothing, kept)
    return _are_freed(things, kept.clear)


@row(True, BY_REFERENCE)
def results_are_freed_with_the_run(m: Machine, _: Scratch):
    found = m.run(calls.same, [Thing(), Thing()])
    return _are_freed(list(found), found.clear)


@row([[0, 1], [1, 2]], NESTED)
def a_call_may_run_the_same_machine(m: Machine, scratch: Scratch):
    """All workers are in outer calls while the inner ones wait."""

    def outer(base: int) -> list[int]:
        scratch.note("outer")
        if SIDE_BY_SIDE not in m.cannot:
            scratch.until("outer", WORKERS)
        return m.run(calls.same, [base, base + 1])

    return m.run(outer, range(WORKERS))


@row([[1, "a"], [2, "b"]], COLUMNS)
def several_iterables_are_read_like_zip(m: Machine, _: Scratch):
    return m.columns(lambda *items: list(items), iter([1, 2]), "abc")


@row([[0, 1], [2, 3]], COLUMNS)
def one_iterator_twice_gives_pairs(m: Machine, _: Scratch):
    numbers = iter(range(5))
    return m.columns(lambda *items: list(items), numbers, numbers)


@row((WORKERS, True), CANCEL, SIDE_BY_SIDE)
def what_is_cancelled_never_begins(m: Machine, scratch: Scratch):
    """The first has ended, two hang, and the rest waits for a worker."""
    hangs = [(scratch, number > 0, number) for number in range(WORKERS + 4)]
    handle = m.started(calls.hang_if, hangs)
    scratch.until("begun", WORKERS)
    told = m.cancelled(handle)
    scratch.release()
    m.wait_for_workers()
    return scratch.notes().count("begun"), told in ("CancelledError", "[]")


@row(
    "together",
    TRAVELS,
    differs={
        "flow tasks: *": ("one by one", "each task of a text is a function of its own"),
        STEPS: ("one by one", "each run sends its own step"),
    },
    drift={
        "flow items: cluster | @flow: cluster | builder for_each: cluster": "one by one"
    },
)
def short_calls_travel_together(m: Machine, _: Scratch):
    with counted(m.executor) as counts:
        assert m.run(calls.same, list(range(400))) == list(range(400))
    return "together" if 0 < counts[0] < 200 else "one by one"
