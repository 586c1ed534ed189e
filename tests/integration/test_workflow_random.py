"""Random workflows do what a tiny interpreter says they do.

The interpreter below walks the tree of verbs recursively and knows nothing of programs,
lines or threads.
"""

from __future__ import annotations

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow
from fastflow import TaskError

# What functions do with a number: the value, or a failure.
FUNCTIONS = {
    "add": lambda x: x + 3,
    "double": lambda x: (2 * x) % 1009,
    "constant": lambda x: 7,
    "odd only": lambda x: x if x % 2 else fail("even"),
    "fails": lambda x: fail("always"),
}
PREDICATES = {
    "odd": lambda x: x % 2 == 1,
    "big": lambda x: x > 20,
    "never": lambda x: False,
    "always": lambda x: True,
}


class Broken(Exception):  # noqa: N818
    pass


def fail(why):
    raise Broken(why)


def number(value):
    """A number made of any value."""
    return sum(map(number, value)) if isinstance(value, list) else value


# The tree: nested lists of tuples (verb, ...).

names = st.sampled_from(sorted(FUNCTIONS))
tests = st.sampled_from(sorted(PREDICATES))
modes = st.sampled_from(["plain", "async", "returns a coroutine"])
call = st.tuples(st.just("step"), names, modes, st.booleans())
leaf = st.one_of(
    call,
    st.tuples(st.just("on_error"), names, modes),
    st.tuples(st.just("sleep")),
    st.tuples(
        st.just("parallel"),
        st.lists(st.tuples(names, modes), max_size=4),
        st.booleans(),
        st.sampled_from([None, 1, 2]),
    ),
    st.tuples(st.just("race"), names, modes),
    st.tuples(st.just("batch"), names, st.integers(0, 5), st.integers(1, 3)),
)


def blocks(children):
    body = st.lists(children, max_size=4)
    conditions = st.lists(st.tuples(tests, body), min_size=1, max_size=3)
    limits = st.sampled_from([None, 1])
    return st.one_of(
        st.tuples(st.just("if"), conditions, st.none() | body),
        st.tuples(st.just("for_each"), st.integers(0, 3), body, limits),
        st.tuples(st.just("while"), st.integers(0, 3), body),
        st.tuples(st.just("subflow"), body),
    )  # fmt: skip


programs = st.lists(st.recursive(leaf, blocks, max_leaves=12), max_size=6)


# Writing it down as a workflow.


def function(name, mode):
    work = FUNCTIONS[name]

    def plain(ctx, *item):
        return work(number(item[0] if item else ctx.last))

    async def later(ctx, *item):
        await asyncio.sleep(0)
        return plain(ctx, *item)

    def returns(ctx, *item):
        return later(ctx, *item)

    return {"plain": plain, "async": later, "returns a coroutine": returns}[mode]


class Writer:
    def __init__(self):
        self.names = (f"n{i}" for i in itertools.count())

    def write(self, flow, tree):
        for verb, *rest in tree:
            getattr(self, f"{verb}_")(flow, *rest)
        return flow

    def name(self):
        return next(self.names)

    def step_(self, flow, fn, mode, limited):
        flow.step(self.name(), function(fn, mode), timeout="1h" if limited else None)

    def on_error_(self, flow, fn, mode):
        flow.on_error(function(fn, mode), name=self.name())

    def sleep_(self, flow):
        flow.sleep(0, name=self.name())

    def parallel_(self, flow, branches, settle, limit):
        flow.parallel(
            [function(*branch) for branch in branches], self.name(),
            max_concurrency=limit, on_error="settle" if settle else "fail_fast",
        )  # fmt: skip
        # Exceptions in the list become numbers, too.
        flow.step(
            self.name(),
            lambda ctx: [-1 if isinstance(v, Broken) else v for v in ctx.last],
        )

    def race_(self, flow, fn, mode):
        # One that never ends, and one that decides.
        async def never(ctx):
            await asyncio.Event().wait()

        flow.race([never, function(fn, mode)], self.name(), win="settled")

    def batch_(self, flow, fn, n, size):
        flow.batch(self.name(), range(n), size, function(fn, "plain"))

    def if_(self, flow, conditions, otherwise):
        for position, (test, body) in enumerate(conditions):
            begin = flow.if_ if position == 0 else flow.elif_
            begin(self.name(), lambda ctx, t=test: PREDICATES[t](number(ctx.last)))
            self.write(flow, body)
        if otherwise is not None:
            self.write(flow.else_(), otherwise)
        flow.end_if()

    def for_each_(self, flow, n, body, limit):
        flow.for_each(
            self.name(), range(n), build=lambda inner: self.write(inner, body),
            max_concurrency=limit,
        )  # fmt: skip

    def while_(self, flow, n, body):
        count = self.name()  # of the iterations, kept in the record of the loop

        def more(ctx):
            return ctx.steps[count].attempts < n

        flow.while_(count, more, build=lambda inner: self.write(inner, body))

    def subflow_(self, flow, body):
        inner = fastflow.workflow("inner")
        flow.subflow(self.name(), self.write(inner, body))


# Saying what it does.


class Value:
    def __init__(self, last):
        self.last = last

    def apply(self, name):
        return FUNCTIONS[name](number(self.last))


def interpret(tree, value):
    """Carry out the tree; value.last is what the last step has made."""
    position = 0
    while position < len(tree):
        verb, *rest = tree[position]
        try:
            DO[verb](value, *rest)
        except Broken:
            position = handled(tree, position, value)
        position += 1
    return value.last


def handled(tree, position, value):
    """Position of the on_error that has handled it."""
    for i in range(position + 1, len(tree)):
        if tree[i][0] == "on_error":
            try:
                value.last = value.apply(tree[i][1])
            except Broken:
                continue
            return i
    raise Broken


def sets(make):
    """A verb that makes the new value from the old one."""

    def do(value, *rest):
        value.last = make(value, *rest)

    return do


@sets
def parallel(value, branches, settle, limit):
    values = []
    for name, _ in branches:
        try:
            values.append(value.apply(name))
        except Broken:
            if not settle:
                raise
            values.append(-1)
    return values


@sets
def batch(value, fn, n, size):
    chunks = [range(n)[start : start + size] for start in range(0, n, size)]
    return [FUNCTIONS[fn](sum(chunk)) for chunk in chunks]


def branch(value, conditions, otherwise):
    for test, body in conditions:
        if PREDICATES[test](number(value.last)):
            interpret(body, value)
            return
    interpret(otherwise or [], value)


def loop(value, n, body):
    for _ in range(n):
        interpret(body, value)


DO = {
    "step": sets(lambda value, fn, mode, limited: value.apply(fn)),
    "on_error": lambda value, fn, mode: None,
    "sleep": lambda value: None,
    "parallel": parallel,
    "race": sets(lambda value, fn, mode: value.apply(fn)),
    "batch": batch,
    "if": branch,
    "for_each": sets(
        lambda value, n, body, limit: [interpret(body, Value(i)) for i in range(n)]
    ),
    "while": loop,
    "subflow": sets(lambda value, body: interpret(body, Value(value.last))),
}


def root(error):
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@settings(max_examples=150, deadline=None)
@given(tree=programs, payload=st.integers(0, 50), started=st.booleans())
def test_random_workflows(tree, payload, started):
    wf = Writer().write(fastflow.workflow("random"), tree)
    expected = Value(payload)
    try:
        interpret(tree, expected)
        status = "COMPLETED"
    except Broken:
        status = "FAILED"
    try:
        run = wf.start(payload).result(60) if started else wf.run(payload)
        failure = None
    except TaskError as error:
        run, failure = error.result, root(error)
    assert (run.status, run.last) == (status, expected.last)
    assert isinstance(failure, Broken) is (status == "FAILED")
    assert {each.status for each in run.steps.values()} <= {"COMPLETED", "FAILED"}
    assert wf.runs == []
