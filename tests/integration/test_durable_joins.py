"""``invoke`` joins an execution that runs elsewhere: in another runner, in another
thread, or while it is just being recovered."""

from __future__ import annotations

import concurrent.futures as cf
import subprocess
import sys
import textwrap
import threading

import pytest

from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    InvokeConfig,
    InvokeError,
    MapConfig,
    MemoryJournal,
    SqliteJournal,
    durable_execution,
    exceptions,
)
from fastflow.journal.identity import ROOT, child_id
from fastflow.journal.journal import Change, End
from fastflow.journal.payloads import dump
from fastflow.journal.serdes import SerDesContext

SECONDS = 30  # a watchdog
EACH = MapConfig(completion_config=CompletionConfig.all_completed())
CHILD = f"it/{child_id(ROOT, 1).hex()}"
"""The name of the execution that the first operation of "it" invokes."""


class Work:
    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()
        self.calls = 0
        self.error = None

    def __call__(self, _):
        self.calls += 1
        self.begun.set()
        assert self.go.wait(SECONDS)
        if self.error is not None:
            raise self.error
        return 7


@pytest.fixture
def work():
    work = Work()
    yield work
    work.go.set()


@pytest.fixture(params=["memory", "file"])
def journals(request, tmp_path):
    """Return a function that gives a journal of the same store."""
    if request.param == "memory":
        shared = MemoryJournal()
        yield lambda: shared
        return
    opened = []

    def another():
        opened.append(SqliteJournal(tmp_path / "runs.db"))
        return opened[-1]

    yield another
    for journal in opened:
        journal.close()


def functions(work):
    @durable_execution(name="joins.child")
    def child(event, context):
        return context.step(work, name="work")

    @durable_execution(name="joins.parent")
    def parent(event, context):
        return context.invoke(child, event)

    return child, parent


def begun_elsewhere(runner, child, work):
    """Start what the parent will invoke, in another runner."""
    handle = runner.start(child, 1, CHILD)
    assert work.begun.wait(SECONDS)
    return handle


@pytest.mark.parametrize("way", ["run", "start"])
def test_one_that_another_runner_has(way, journals, work):
    child, parent = functions(work)
    with DurableRunner(journals()) as other, DurableRunner(journals()) as runner:
        theirs = begun_elsewhere(other, child, work)
        with cf.ThreadPoolExecutor(1) as pool:
            if way == "run":
                mine = pool.submit(runner.run, parent, 1, "it")
            else:
                mine = runner.start(parent, 1, "it")
            with pytest.raises(TimeoutError):  # it neither fails nor does it itself
                mine.result(0.2)
            work.go.set()
            assert mine.result(SECONDS) == 7
        assert theirs.result(SECONDS) == 7
        assert work.calls == 1


def test_one_that_fails_elsewhere(journals, work):
    child, _ = functions(work)
    work.error = ValueError("no")

    @durable_execution(name="joins.careful")
    def careful(event, context):
        try:
            context.invoke(child, event)
        except InvokeError as error:
            return [error.error_type, str(error), str(error.__cause__.__cause__)]

    with DurableRunner(journals()) as other, DurableRunner(journals()) as runner:
        theirs = begun_elsewhere(other, child, work)
        mine = runner.start(careful, 1, "it")
        work.go.set()
        expected = ["fastflow.durable.exceptions.StepError", "no", "no"]
        assert mine.result(SECONDS) == expected
        assert theirs.status == "FAILED"


def test_one_that_is_given_up_elsewhere_is_taken_over(journals, work):
    child, parent = functions(work)
    work.error = KeyboardInterrupt()
    with DurableRunner(journals()) as other, DurableRunner(journals()) as runner:
        theirs = begun_elsewhere(other, child, work)
        mine = runner.start(parent, 1, "it")
        with pytest.raises(TimeoutError):
            mine.result(0.1)
        work.go.set()
        assert isinstance(theirs.exception(SECONDS), KeyboardInterrupt)
        # This one's attempt is given up as well: it is the function that does it.
        assert isinstance(mine.exception(SECONDS), KeyboardInterrupt)
        assert mine.status == "INTERRUPTED"
        work.error = None
        assert runner.run(parent, 1, "it") == 7


def test_one_in_another_thread_of_this_runner(work):
    child, parent = functions(work)
    with DurableRunner(":memory:") as runner, cf.ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(runner.run, child, 1, CHILD)
        assert work.begun.wait(SECONDS)
        mine = runner.start(parent, 1, "it")
        with pytest.raises(TimeoutError):
            mine.result(0.1)
        work.go.set()
        assert (mine.result(SECONDS), theirs.result(SECONDS)) == (7, 7)
        assert work.calls == 1


def test_a_time_limit_holds_while_it_runs_elsewhere(journals, work):
    child, _ = functions(work)

    @durable_execution(name="joins.impatient")
    def impatient(event, context):
        try:
            context.invoke(child, event, config=InvokeConfig(timeout=0.05))
        except InvokeError as error:
            return error.error_type

    with DurableRunner(journals()) as other, DurableRunner(journals()) as runner:
        begun_elsewhere(other, child, work)
        assert runner.run(impatient, 1, "it") == "TimeoutError"
        work.go.set()


def test_one_that_is_just_being_recovered(work):
    """The child is claimed, but has no handle yet, when its parent asks for it."""
    child, parent = functions(work)

    class Slow(MemoryJournal):
        claims = 0

        def claim(self, number, owner):
            entry = super().claim(number, owner)
            if entry is not None and entry.name == CHILD:
                self.claims += 1
                if self.claims == 1:
                    claimed.set()
                    assert asked.wait(SECONDS)
            return entry

    claimed, asked = threading.Event(), threading.Event()
    journal = Slow()
    work.error = KeyboardInterrupt()
    work.go.set()
    with DurableRunner(journal) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(parent, 1, "it")
    work.error = None
    with DurableRunner(journal) as runner, cf.ThreadPoolExecutor(2) as pool:
        runner.register(child, parent)
        refused = runner._reserved

        def reserved(name):
            if name == CHILD and claimed.is_set():
                asked.set()
            return refused(name)

        runner._reserved = reserved
        entry = journal.find(CHILD)
        recovery = pool.submit(runner._recover, entry, child)
        assert claimed.wait(SECONDS)
        assert runner.resume("it").result(SECONDS) == 7
        assert recovery.result(SECONDS).result(SECONDS) == 7
    assert {entry.status for entry in journal.entries()} == {"SUCCEEDED"}


def test_parents_and_children_recovered_by_two_runners_at_once(tmp_path, work):
    """Whoever gets which: all end well, and no step is done twice."""
    done = []
    lock = threading.Lock()

    @durable_execution(name="joins.leaf")
    def leaf(event, context):
        def step(_):
            with lock:
                done.append(event)
            if stopping:
                raise KeyboardInterrupt
            return event

        return context.step(step)

    @durable_execution(name="joins.tree")
    def tree(event, context):
        batch = context.map(
            range(event), lambda c, n, *_: c.invoke(leaf, n), config=EACH
        )
        return [batch.failure_count, *batch.get_results()]

    store = tmp_path / "runs.db"
    stopping = [True]
    with DurableRunner(store) as runner:
        handles = [runner.start(tree, 5, f"tree-{n}") for n in range(6)]
        for handle in handles:
            assert isinstance(handle.exception(SECONDS), KeyboardInterrupt)
    stopping.clear()
    done.clear()
    with DurableRunner(store) as one, DurableRunner(store) as two:
        with cf.ThreadPoolExecutor(2) as pool:
            started = list(pool.map(lambda runner: runner.recover(), (one, two)))
        for handle in [handle for handles in started for handle in handles]:
            assert handle.exception(SECONDS) is None, handle
        for number in range(6):
            assert one.run(tree, 5, f"tree-{number}") == [0, 0, 1, 2, 3, 4]
        assert {entry.status for entry in one.journal.entries()} == {"SUCCEEDED"}
    assert sorted(done) == sorted(list(range(5)) * 6)


def test_a_child_under_this_name_with_another_input(journals, work):
    """The program has changed: that is no outcome of the parent."""
    child, parent = functions(work)
    work.go.set()
    with DurableRunner(journals()) as runner:
        assert runner.run(child, 2, CHILD) == 7
        with pytest.raises(exceptions.InvocationError, match="another input"):
            runner.run(parent, 1, "it")
        assert runner.journal.find("it").status == "RUNNING"


class Lost(MemoryJournal):
    """Another process takes the child over in the middle of it."""

    def write(self, changes):
        for change in changes:
            if CHILD in self._names and change.number == self._names[CHILD]:
                taken, self.taken = self.taken, True
                if not taken:
                    entry = self._look(change.number)
                    self._take(entry, self.enter(1))
        return super().write(changes)

    taken = False


def test_a_child_whose_lease_is_lost_is_joined(work):
    _, parent = functions(work)
    journal = Lost()
    work.go.set()
    with DurableRunner(journal) as runner:
        mine = runner.start(parent, 1, "it")
        with pytest.raises(TimeoutError):
            mine.result(0.2)
        entry = journal.find(CHILD)
        assert entry.owned
        # The other one finishes it.
        result = dump(8, None, lambda: SerDesContext("result", CHILD, "result"))
        end = End("SUCCEEDED", result, None, 1)
        assert journal.write([Change(entry.number, entry.fence, 0, [], end)]) == []
        assert mine.result(SECONDS) == 8


def test_one_of_another_process_that_is_killed(tmp_path):
    """It is joined as long as its process lives, and taken over then."""
    store = tmp_path / "runs.db"
    child, parent = functions(lambda _: 7)
    script = textwrap.dedent(f"""
        import threading
        from fastflow.durable import DurableRunner, durable_execution

        @durable_execution(name="joins.child")
        def child(event, context):
            print("begun", flush=True)
            return context.step(lambda _: threading.Event().wait())

        DurableRunner({str(store)!r}).run(child, 1, {CHILD!r})
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout.readline() == "begun\n"
            with DurableRunner(store) as runner:
                runner.register(child)
                mine = runner.start(parent, 1, "it")
                with pytest.raises(TimeoutError):
                    mine.result(0.5)
                other.kill()
                assert mine.result(SECONDS) == 7
        finally:
            other.kill()
