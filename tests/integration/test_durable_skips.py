"""Who goes on with an execution reads nothing of what is below its finished batches."""

from __future__ import annotations

import signal
import threading

import pytest

from fastflow import Executor
from fastflow.durable import Cancelled, DurableRunner, durable_execution
from fastflow.journal.memory import MemoryJournal
from fastflow.journal.sqlite import SqliteJournal

BRANCHES = 60


@pytest.fixture(scope="module", autouse=True)
def alone():
    """With one worker, each step is a commit and so a frame of its own."""
    with Executor(1) as executor:
        Runner.executor = executor
        yield


class Runner(DurableRunner):
    """A runner with one worker."""

    def __init__(self, journal):
        super().__init__(journal, self.executor)


@pytest.fixture(params=[MemoryJournal, SqliteJournal])
def journal(request, tmp_path):
    class Counting(request.param):
        """Notes how many frames were read to go on."""

        read = 0

        def newest(self, number, before):
            for frame in super().newest(number, before):
                self.read += 1
                yield frame

    args = (tmp_path / "runs.db",) if request.param is SqliteJournal else ()
    made = Counting(*args)
    yield made
    made.close()


class Program:
    """Runs a body that may die at its end, and counts the calls of its steps."""

    def __init__(self, body):
        self.calls = 0
        self.dies = True
        self._count = threading.Lock()

        @durable_execution(name="skipping")
        def handler(event, context):
            found = body(context, self.step)
            if self.dies:
                raise KeyboardInterrupt
            return found

        self.handler = handler

    def step(self, value):
        def run(_):
            with self._count:
                self.calls += 1
            return value

        return run

    def die_and_go_on(self, journal, background=False):
        """Return the result, and how often steps ran after the death."""
        with Runner(journal) as runner, pytest.raises(KeyboardInterrupt):
            if background:
                runner.start(self.handler, None, "it").result()
            else:
                runner.run(self.handler, None, "it")
        before, self.calls, self.dies = self.calls, 0, False
        self.frames = frames_of(journal)
        journal.read = 0
        with Runner(journal) as runner:
            found = runner.run(self.handler, None, "it")
        assert before > 0
        return found


def fan(context, step, name="fan"):
    def branch(index):
        return lambda inner: inner.step(step(index), name="item")

    return context.parallel([branch(i) for i in range(BRANCHES)], name).get_results()


def frames_of(journal):
    return len(list(journal.frames(journal.find("it").number)))


@pytest.mark.parametrize("background", [False, True])
def test_finished_batches_are_passed_over(journal, background):
    def body(context, step):
        first = context.step(step("a"), name="a")
        one = fan(context, step, "one")
        second = context.step(step("b"), name="b")
        two = fan(context, step, "two")
        return [first, one, second, two, context.step(step("c"), name="c")]

    program = Program(body)
    items = list(range(BRANCHES))
    assert program.die_and_go_on(journal, background) == ["a", items, "b", items, "c"]
    assert program.calls == 0
    assert journal.read < 20
    assert program.frames > 2 * BRANCHES


def test_batches_in_child_contexts_and_in_branches_come_back(journal):
    def body(context, step):
        def child(inner):
            return [inner.step(step("before")), fan(inner, step)]

        def branch(inner):
            return fan(inner, step, "deep")

        inside = context.run_in_child_context(child, "child")
        nested = context.parallel([branch, branch], "outer").get_results()
        return [inside, nested]

    program = Program(body)
    items = list(range(BRANCHES))
    assert program.die_and_go_on(journal) == [["before", items], [items, items]]
    assert program.calls == 0


def test_a_batch_that_is_not_finished_is_read_whole(journal):
    def body(context, step):
        fan(context, step, "one")

        def branch(index):
            def run(inner):
                value = inner.step(step(index), name="item")
                if program.dies and index == BRANCHES // 2:
                    raise KeyboardInterrupt
                return value

            return run

        return context.parallel([branch(i) for i in range(BRANCHES)]).get_results()

    program = Program(body)
    assert program.die_and_go_on(journal) == list(range(BRANCHES))
    assert 0 < program.calls < BRANCHES
    assert 0 < journal.read < program.frames - BRANCHES + 5


def test_what_was_begun_before_a_batch_and_ends_after_it_is_kept(journal):
    def body(context, step):
        callback = context.create_callback("answer")
        found = fan(context, step)
        context.step(
            lambda _: runners[-1].send_callback_success(callback.callback_id, 42)
        )
        return [callback.result(), found]

    runners = []
    program = Program(body)

    class Remembered(Runner):
        def __init__(self, journal):
            super().__init__(journal)
            runners.append(self)

    with Remembered(journal) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(program.handler, None, "it")
    program.dies, program.calls, journal.read = False, 0, 0
    with Remembered(journal) as runner:
        found = runner.run(program.handler, None, "it")
    assert found == [42, list(range(BRANCHES))]
    assert program.calls == 0
    assert journal.read < 20


def test_a_program_can_not_go_on_beside_its_batch(journal):
    def body(context, step):
        caught = threading.Event()

        def branch(inner):
            if program.dies:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                caught.wait()
            return inner.step(step(1), name="item")

        try:
            found = context.parallel([branch] * 3).get_results()
        except (KeyboardInterrupt, Cancelled):
            # Cancelled: the signal came while the batch was being started.
            with pytest.raises(KeyboardInterrupt):
                context.step(step(2), name="beside")
            raise
        finally:
            caught.set()
        return found

    program = Program(body)
    with Runner(journal) as runner, pytest.raises(KeyboardInterrupt):
        runner.run(program.handler, None, "it")
    program.dies = False
    with Runner(journal) as runner:
        assert runner.run(program.handler, None, "it") == [1, 1, 1]
