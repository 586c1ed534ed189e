"""Random durable programs that look at everything they can see of errors.

What a program has seen is its result, and the names of its steps depend on it: if a
replay shows it anything else, it ends in NonDeterministicExecutionError at the latest.

Run as a program, it runs some of them in a store up to a crash, for another process to
go on with: ``python error_programs.py STORE COUNT``.
"""

from __future__ import annotations

import random
import sys
import zlib
from dataclasses import dataclass, field

from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    CallbackError,
    CallbackExternalError,
    ChildContextError,
    CompletionConfig,
    DurableRunner,
    InvokeConfig,
    InvokeError,
    MapConfig,
    NestingType,
    ParallelConfig,
    RetryDecision,
    StepConfig,
    StepError,
    WaitForConditionConfig,
    WaitForConditionDecision,
    durable_execution,
)
from fastflow.durable.config import ChildConfig, WaitForCallbackConfig

RUNNER: list[DurableRunner] = []
"""The one that runs the program, for answers to callbacks."""


class ShopError(Exception):
    def __init__(self, item, left):
        super().__init__(item, left)
        self.item = item

    def __str__(self):
        return f"{self.item} is sold out"


class MuteError(Exception):
    def __str__(self):
        raise RuntimeError


def _chained(outer, inner):
    outer.__cause__ = inner
    return outer


def _noted(error, *notes):
    for note in notes:
        error.add_note(note)
    return error


ERRORS = [
    lambda: ValueError("wrong"),
    lambda: KeyError("k'ey"),
    lambda: KeyError(("a", 1)),
    lambda: KeyError(),
    lambda: OSError(2, "No such file", "a.txt"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    lambda: StopIteration(5),
    lambda: ShopError("apple", 0),
    lambda: MuteError("m"),
    lambda: ValueError("half a \ud800 pair"),
    lambda: ExceptionGroup("several", [ValueError("one"), ShopError("two", 2)]),
    lambda: _noted(ValueError("wrong"), "note 1", "note \ud800"),
    lambda: _chained(ValueError("outer"), _noted(KeyError("inner"), "deep")),
    lambda: _chained(ShopError("pear", 1), _chained(OSError("b"), MuteError())),
    lambda: _chained(ValueError("outer"), KeyboardInterrupt("base")),
    lambda: StepError("mine", "OwnType", "own data", ["a frame"]),
    lambda: StepError("nothing else"),
    lambda: _chained(CallbackExternalError("mine"), StepError("s", "T", "d")),
    lambda: _chained(InvokeError("i", "Remote", '{"a": 1}'), ShopError("fig", 3)),
    lambda: CallbackError(None, None, "data alone"),
    lambda: TypeError(),
]


def look(error, depth=0):
    """Return everything that can be seen of an error, as JSON has it."""
    if error is None or depth > 12:
        return None
    return [
        type(error).__module__ + "." + type(error).__qualname__,
        _text(error),
        getattr(error, "error_type", None),
        getattr(error, "message", None),
        getattr(error, "data", None),
        list(getattr(error, "__notes__", [])),
        look(error.__cause__, depth + 1),
        look(error.__context__, depth + 1),
        error.__suppress_context__,
    ]


def _text(error):
    try:
        return str(error)
    except RuntimeError:
        return "?"


def look_at_object(error, depth=0):
    """Return everything that can be seen of a branch's error."""
    if error is None:
        return None
    return [
        error.type,
        error.message,
        error.data,
        error.error_type,
        list(error.notes or ()),
        look_at_object(error.cause, depth + 1),
        look(error.to_durable_operation_error()),
    ]


@dataclass
class Node:
    kind: str
    error: int | None
    """Index of what it raises in the end; None: nothing."""
    ending: str
    """What whoever catches it does."""
    waits: bool
    body: list = field(default_factory=list)


LEAVES = [
    "step",
    "async",
    "retried",
    "condition",
    "submitter",
    "answer",
    "expired",
    "invoke",
    "late",
]
INNER = ["child", "virtual", "parallel", "flat", "map", "race"]
ENDINGS = ["go on", "raise", "from", "context", "none", "note", "cause"]


def program(rng, depth=0):
    """Return a random body."""
    found = []
    for _ in range(rng.randint(1, 3 if depth else 5)):
        inner = depth < 3 and rng.random() < 0.55
        kind = rng.choice(INNER if inner else LEAVES)
        found.append(
            Node(
                kind,
                rng.randrange(len(ERRORS)) if rng.random() < 0.85 else None,
                rng.choice(ENDINGS if depth else [*ENDINGS, *["go on"] * 20]),
                rng.random() < 0.4,
                program(rng, depth + 1) if inner else [],
            )
        )
    return found


def run_body(context, body):
    """Run nodes one after the other; return what was seen."""
    seen = []
    for node in body:
        try:
            seen.append(["value", perform(context, node)])
        except Exception as error:
            seen.append(look(error))
            digest = zlib.crc32(repr(seen).encode("utf-8", "backslashreplace"))
            context.step(lambda _: 0, name=f"saw {digest}")
            if node.waits:
                context.wait(0.001)
            finish(node.ending, error)
    return seen


def finish(ending, error):
    if ending == "raise":
        raise error
    if ending == "from":
        raise ShopError("plum", 7) from error
    if ending == "context":
        raise ValueError("meanwhile")
    if ending == "none":
        raise ValueError("no cause") from None
    if ending == "note":
        error.add_note("seen by the program")
        raise error
    if ending == "cause":
        raise error.__cause__ or error


def perform(context, node):
    return globals()["do_" + node.kind](context, node)


def fail(node):
    if node.error is not None:
        raise ERRORS[node.error]()
    return "good"


def do_step(context, node):
    return context.step(lambda _: fail(node), name="s")


def do_async(context, node):
    async def step(_):
        return fail(node)

    return context.step(step)


def do_retried(context, node):
    def strategy(error, attempt):
        return RetryDecision.retry(0.001) if attempt < 2 else RetryDecision.no_retry()

    return context.step(lambda _: fail(node), config=StepConfig(strategy))


def do_condition(context, node):
    def strategy(state, attempt):
        if attempt < 2:
            return WaitForConditionDecision.continue_waiting(0.001)
        return WaitForConditionDecision.stop_polling()

    def check(state, given):
        return fail(node) if given.attempt == 2 else state

    config = WaitForConditionConfig(wait_strategy=strategy, initial_state="begin")
    return context.wait_for_condition(check, config)


def do_submitter(context, node):
    def submit(callback_id, _):
        fail(node)
        _answer(callback_id, None)

    return context.wait_for_callback(submit, config=WaitForCallbackConfig())


def do_answer(context, node):
    return context.wait_for_callback(
        lambda callback_id, _: _answer(callback_id, node.error)
    )


def _answer(callback_id, error):
    try:
        if error is None:
            RUNNER[-1].send_callback_success(callback_id, "sent")
        else:
            RUNNER[-1].send_callback_failure(callback_id, ERRORS[error]())
    except ChildContextError:
        raise
    except Exception as refused:  # it was answered before the crash
        if "lready" not in type(refused).__name__:
            raise


@durable_execution(name="errors.invoked")
def invoked(event, context):
    context.step(lambda _: 0)
    if event is not None:
        raise ERRORS[event]()
    return "good"


def do_invoke(context, node):
    return context.invoke(invoked, node.error)


def do_expired(context, node):
    config = WaitForCallbackConfig(timeout=0.01)
    return context.wait_for_callback(lambda *_: fail(node), config=config)


@durable_execution(name="errors.never")
def never(event, context):
    context.create_callback().result()


def do_late(context, node):
    return context.invoke(never, node.error, config=InvokeConfig(timeout=0.01))


def _inside(node):
    def body(inner):
        seen = run_body(inner, node.body)
        fail(node)
        return seen

    return body


def do_child(context, node):
    return context.run_in_child_context(_inside(node), name="c")


def do_virtual(context, node):
    config = ChildConfig(is_virtual=True)
    return context.run_in_child_context(_inside(node), config=config)


ALL = CompletionConfig.all_completed()


def _batch(batch):
    found = [
        [item.status.value, item.result, look_at_object(item.error)]
        for item in batch.all
    ]
    try:
        batch.throw_if_error()
    except Exception as error:
        found.append(look(error))
        raise
    return found


def do_parallel(context, node, **config):
    branches = [_inside(node), lambda inner: inner.step(lambda _: "quick")]
    config = ParallelConfig(completion_config=ALL, **config)
    return _batch(context.parallel(branches, config=config))


def do_flat(context, node):
    return do_parallel(context, node, nesting_type=NestingType.FLAT)


def do_map(context, node):
    config = MapConfig(completion_config=ALL, max_concurrency=1)
    batch = context.map([1, 2], lambda inner, *_: _inside(node)(inner), config=config)
    return _batch(batch)


def do_race(context, node):
    return context.race([_inside(node)])


@durable_execution(name="errors.program")
def handler(seed, context):
    return run_body(context, program(random.Random(seed)))


class Crash(BaseException):
    pass


class Crasher:
    """A probe that crashes at the commit of some number, once."""

    def __init__(self, left, moment):
        self.left, self.moment = left, moment

    def __call__(self, moment, records):
        if moment == self.moment and self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.left = None
                raise Crash(moment)


def crasher(rng, most=12):
    moment = rng.choice(["before_commit", "after_commit"])
    return Crasher(rng.randint(0, most), moment)


def outcome(runner, seed, way="run"):
    """Return what an execution has seen, or its error; raise if it has no outcome."""
    RUNNER[:] = [runner]
    name = f"seed-{seed}"
    try:
        if way == "run":
            return ["returned", runner.run(handler, seed, name)]
        return ["returned", runner.start(handler, seed, name).result(60)]
    except Exception as error:
        if runner.journal.find(name).status != "FAILED":
            raise
        return ["raised", look(error)]


def main(store, count):
    for seed in range(count):
        probe = crasher(random.Random(seed), 20)
        with DurableRunner(store, _clock=VirtualClock(), _probe=probe) as runner:
            try:
                outcome(runner, seed, ("run", "start")[seed % 2])
            except BaseException:
                if probe.left is not None:
                    raise


if __name__ == "__main__":
    import error_programs  # its classes have the names that they have elsewhere

    error_programs.main(sys.argv[1], int(sys.argv[2]))
