"""What becomes of exceptions."""

from __future__ import annotations

import pickle
import traceback

from contract.behaviour import calls
from contract.behaviour.calls import SPECIAL, Scratch
from contract.behaviour.machines import (
    SETTLE,
    STATUS,
    TIMEOUT,
    TRAVELS,
    Machine,
)
from contract.behaviour.table import (
    BY_VALUE,
    DURABLE,
    ROWS,
    Row,
    row,
)

LONG = "1m"


def _special(name: str, limit: bool):
    def measure(m: Machine, _: Scratch):
        options = {"timeout": LONG} if limit else {}
        found = m.one(calls.fail, name, **options)
        ends = isinstance(found.raised, (KeyboardInterrupt, SystemExit))
        return found.kind, ends

    return measure


_DIFFERS = {
    "StopIteration": {
        "Executor.map: *": (
            ("RuntimeError", False),
            "it would end the iterator; it is the cause, as in generators",
        )
    },
    "fastflow.Cancelled": {
        "builder *": (
            ("CancelledError", False),
            "is how a step ends that was asked to stop: the run is cancelled",
        ),
        "submit: * | TaskGroup: *": (
            ("CancelledError", False),
            "is how a task ends that was asked to stop: its future is cancelled",
        ),
    },
}
#: These have no limits.
_UNLIMITED = ("Executor.map: *", "submit: * | TaskGroup: *", "durable branch*")


def _of(declared: dict, name: str, *, limit: bool) -> dict:
    found = declared.get(name, {})
    return {key: found[key] for key in found if not (limit and key in _UNLIMITED)}


for _name, _kind in SPECIAL.items():
    for _limit in (False, True):
        ROWS.append(
            Row(
                f"{_name} of a task" + (" with a limit" if _limit else ""),
                _special(_name, _limit),
                (_kind.__name__, _name in ("KeyboardInterrupt", "SystemExit")),
                (TIMEOUT,) if _limit else (),
                _of(_DIFFERS, _name, limit=_limit),
            )
        )


@row(("ValueError", ("the error",), ["the user's note"], "KeyError", ("the cause",)))
def an_error_keeps_notes_and_cause(m: Machine, _: Scratch):
    error = m.one(calls.fail_with_notes, 0).error
    notes = [note for note in getattr(error, "__notes__", []) if "user" in note]
    cause = error.__cause__
    args = getattr(cause, "args", ())
    return type(error).__name__, error.args, notes, type(cause).__name__, args


@row(True)
def the_traceback_reaches_the_function(m: Machine, _: Scratch):
    raised = m.one(calls.fail_if, ("ValueError", 0)).raised
    recorded = getattr(raised, "stack_trace", None) or []  # a durable journal's
    return "in fail_if" in "".join([*traceback.format_exception(raised), *recorded])


@row("Hostile")
def an_error_that_cannot_be_shown_is_reported(m: Machine, _: Scratch):
    return m.one(calls.fail_hostile, 0).kind


@row(
    ("Custom", 7, "seven"),
    differs={
        BY_VALUE: (
            ("RemoteError", 0, 0),
            "what can't be made from its args can't be pickled; its text travels",
        ),
        "durable step* | durable map*": (
            ("Custom", 0, 0),
            "it is made from the journal's record, which has classes by name only",
        ),
    },
)
def an_error_with_its_own_constructor_comes_through(m: Machine, _: Scratch):
    found = m.one(calls.fail_custom, 0)
    return (
        found.kind,
        getattr(found.error, "code", 0),
        getattr(found.error, "detail", 0),
    )


@row((True, "ValueError"))
def what_is_raised_can_be_pickled(m: Machine, _: Scratch):
    raised = m.one(calls.fail_if, ("ValueError", 0)).raised
    copy = pickle.loads(pickle.dumps(raised))
    return type(copy) is type(raised), type(m.unwrapped(copy)).__name__


@row([1, "ValueError", 3], SETTLE)
def finished_results_are_given_beside_an_error(m: Machine, _: Scratch):
    items = [("", 1), ("ValueError", 2), ("", 3)]
    return [each.short for each in m.settle(calls.fail_if, items)]


@row(
    ("COMPLETED", "FAILED"),
    SETTLE,
    STATUS,
    differs={
        DURABLE: (("SUCCEEDED", "FAILED"), "its words are those of the AWS service")
    },
)
def status_words(m: Machine, _: Scratch):
    done = m.settle(calls.fail_if, [("", 1)])[0].status
    return done, m.settle(calls.fail_if, [("ValueError", 1)])[0].status


@row(
    ["well", "refused", "well"],
    SETTLE,
    TRAVELS,
    differs={
        "flow items: *": (
            ["refused"] * 3,
            "items are the result of a task, which has to travel as a whole",
        )
    },
)
def an_argument_that_cannot_travel(m: Machine, _: Scratch):
    items = [0, calls.Unpicklable(), 2]
    found = m.settle(calls.is_there, items)
    return ["refused" if each.error else each.value for each in found]


@row(["well", "refused", "well"], SETTLE, TRAVELS)
def a_result_that_cannot_travel(m: Machine, _: Scratch):
    found = m.settle(calls.unpicklable_result, [False, True, False])
    return ["refused" if each.error else each.value for each in found]


@row(["well", "refused", "well"], SETTLE, TRAVELS)
def an_error_that_cannot_travel(m: Machine, _: Scratch):
    found = m.settle(calls.unpicklable_error, [False, True, False])
    return ["refused" if each.error else each.value for each in found]
