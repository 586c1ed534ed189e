"""Time limits and retries."""

from __future__ import annotations

from contract.behaviour import calls
from contract.behaviour.backends import WORKERS
from contract.behaviour.calls import Scratch
from contract.behaviour.machines import (
    CLOCK,
    FALLBACK,
    IN_ORDER,
    RECORDS,
    RETRIES,
    SETTLE,
    SIDE_BY_SIDE,
    TIMEOUT,
    Machine,
)
from contract.behaviour.table import (
    BY_VALUE,
    DURABLE,
    STEPS,
    row,
)

LIMIT = "100ms"


@row(
    ["well"] * 16,
    SETTLE,
    TIMEOUT,
    SIDE_BY_SIDE,
    drift={
        "flow *: cluster | @flow: cluster | builder step, *: cluster": (
            "the limit runs from the submit, while the call waits for a worker"
        )
    },
)
def a_limit_is_the_time_of_one_attempt(m: Machine, _: Scratch):
    """Eight calls one after another on each worker last longer than the limit."""
    found = m.settle(
        calls.takes, [(0.025, number) for number in range(16)], timeout="150ms"
    )
    return [each.short for each in found]


@row(
    ["TaskTimeout"] * WORKERS + ["well"],
    SETTLE,
    TIMEOUT,
    SIDE_BY_SIDE,
    IN_ORDER,
    differs={
        BY_VALUE: (
            ["TaskTimeout"] * (WORKERS + 1),
            "nobody takes the place of a worker that hangs elsewhere and can't be "
            "killed: a call that can't begin is reported after its limit",
        )
    },
)
def hung_calls_leave_an_innocent_one_alone(m: Machine, scratch: Scratch):
    items = [(scratch, number < WORKERS, number) for number in range(WORKERS + 1)]
    return [each.short for each in m.settle(calls.hang_if, items, timeout=LIMIT)]


@row((["TaskTimeout"], False), TIMEOUT)
def the_report_of_a_limit_waits_for_nobody(m: Machine, scratch: Scratch):
    found = m.one(calls.hang_if, (scratch, True, 0), timeout=LIMIT)
    return [found.short], scratch.released


@row("second", RETRIES, TIMEOUT)
def a_late_result_is_never_delivered(m: Machine, scratch: Scratch):
    """It comes while the second attempt runs."""
    return m.one(calls.hang_first, scratch, retries=1, timeout=LIMIT).short


@row((["handled TaskTimeout"] * WORKERS, False), FALLBACK, TIMEOUT, SIDE_BY_SIDE)
def a_handler_after_a_limit_needs_no_free_worker(m: Machine, scratch: Scratch):
    items = [(scratch, True, number) for number in range(WORKERS)]
    found = m.run(calls.hang_if, items, timeout=LIMIT, fallback=True)
    return found, scratch.released


@row(("call 3", ["call"] * 3), RETRIES)
def a_retry_calls_the_function_again(m: Machine, scratch: Scratch):
    found = m.one(calls.fail_at_first, (scratch, 2), retries=2)
    return found.short, scratch.notes()


@row(3, RETRIES, RECORDS)
def attempts_are_recorded(m: Machine, scratch: Scratch):
    return m.one(calls.fail_at_first, (scratch, 2), retries=2).attempts


@row(("ValueError", ("call 2",), 2), RETRIES)
def the_error_is_that_of_the_last_attempt(m: Machine, scratch: Scratch):
    found = m.one(calls.fail_at_first, (scratch, 9), retries=1)
    return found.kind, found.error and found.error.args, len(scratch.notes())


@row("handled ValueError", RETRIES, FALLBACK)
def a_handler_comes_after_the_last_attempt(m: Machine, scratch: Scratch):
    return m.run(calls.fail_at_first, [(scratch, 9)], retries=1, fallback=True)[0]


@row(["call"], RETRIES)
def what_is_no_exception_is_not_tried_again(m: Machine, scratch: Scratch):
    m.one(calls.fail_noted, (scratch, "GeneratorExit"), retries=1)
    return scratch.notes()


@row(("call 2", True), CLOCK, RETRIES)
def retries_wait_on_the_clock_of_the_machine(m: Machine, scratch: Scratch):
    value, _, seconds = m.virtual(
        calls.fail_at_first, (scratch, 1), retries=1, retry_delay=60
    )
    return value, seconds >= 60


@row("call 2")
def a_task_retries_everywhere(m: Machine, scratch: Scratch):
    """What the function is decorated with holds wherever it is called."""
    return m.one(calls.retried_task, scratch).short


@row(
    2,
    RECORDS,
    drift={
        STEPS: "1: the step calls the task, which retries by itself",
        DURABLE: "1: the step calls the task, which retries by itself",
    },
)
def attempts_of_a_task_are_recorded(m: Machine, scratch: Scratch):
    """The machine's records tell of retries that the function is decorated with."""
    return m.one(calls.retried_task, scratch).attempts


@row(
    True,
    CLOCK,
    drift={"builder *": "it really sleeps under the virtual clock"},
)
def a_task_waits_on_the_clock_of_the_machine(m: Machine, scratch: Scratch):
    return round(m.virtual(calls.retried_task, scratch)[2], 3) >= 0.05
