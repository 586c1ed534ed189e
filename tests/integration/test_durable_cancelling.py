"""Cancelling reaches what was invoked, and recovering doesn't revive it."""

from __future__ import annotations

import concurrent.futures as cf
import threading

import pytest
from click.testing import CliRunner

import fastflow
from fastflow.cli import main
from fastflow.durable import (
    CompletionConfig,
    DurableRunner,
    InvokeConfig,
    InvokeError,
    JournalError,
    ParallelConfig,
    durable_execution,
)
from fastflow.durable.callback import make_callback_id
from fastflow.journal.journal import Change, End
from fastflow.journal.sqlite import SqliteJournal
from support import LIMIT

DAYS = 30 * 24 * 3600
deepest_begun = threading.Event()


@durable_execution(name="cancelling.deepest")
def deepest(event, context):
    context.step(lambda _: deepest_begun.set())
    context.wait(DAYS)


@durable_execution(name="cancelling.middle")
def middle(event, context):
    return context.invoke(deepest, event, name="deepest")


def wait_for_deepest(context):
    """End once all are waiting: only then there is something to cancel."""
    context.step(lambda _: deepest_begun.wait(LIMIT))


def invoking(context):
    return context.invoke(middle, 1, name="middle")


@durable_execution(name="cancelling.waiting")
def waiting(event, context):
    return invoking(context)


@durable_execution(name="cancelling.racing")
def racing(event, context):
    won = context.race([invoking, lambda c: wait_for_deepest(c) or "won"])
    context.create_callback().result()
    return won


@durable_execution(name="cancelling.deciding")
def deciding(event, context):
    first = ParallelConfig(completion_config=CompletionConfig.first_successful())
    nested = [lambda c: c.parallel([invoking]), lambda c: wait_for_deepest(c)]
    context.parallel(nested, config=first)
    context.create_callback().result()


@durable_execution(name="cancelling.limited")
def limited(event, context):
    with pytest.raises(InvokeError):
        context.invoke(middle, 1, config=InvokeConfig(timeout=0.5))
    context.create_callback().result()


@durable_execution(name="cancelling.limited_batch")
def limited_batch(event, context):
    context.parallel([invoking], config=ParallelConfig(timeout=0.5))
    context.create_callback().result()


@pytest.fixture(autouse=True)
def forget():
    deepest_begun.clear()


def statuses(journal):
    """The statuses of the outermost, the middle and the deepest execution."""
    return [entry.status for entry in journal.entries()]


def ended(journal, wanted):
    """Wait until there is nothing more to happen: the statuses then."""
    tick, end = threading.Event(), threading.Event()
    timer = threading.Timer(LIMIT, end.set)
    timer.start()
    try:
        while (found := statuses(journal)) != wanted and not end.is_set():
            tick.wait(0.005)
    finally:
        timer.cancel()
    return found


DECIDING = [racing, deciding, limited, limited_batch]


class TestReaches:
    def test_by_the_handle(self, journal):
        with DurableRunner(journal) as runner:
            handle = runner.start(waiting, None, "order")
            assert deepest_begun.wait(LIMIT)
            assert handle.cancel()
            with pytest.raises(cf.CancelledError):
                handle.result(LIMIT)
            assert ended(journal, ["CANCELLED"] * 3) == ["CANCELLED"] * 3

    def test_of_a_blocking_run(self, journal):
        with DurableRunner(journal) as runner, cf.ThreadPoolExecutor(1) as thread:
            run = thread.submit(runner.run, waiting, None, "order")
            assert deepest_begun.wait(LIMIT)
            assert runner.cancel("order")
            with pytest.raises(cf.CancelledError):
                run.result(LIMIT)
            assert ended(journal, ["CANCELLED"] * 3) == ["CANCELLED"] * 3

    @pytest.mark.parametrize("function", DECIDING, ids=lambda f: f.function_name)
    def test_by_a_decision(self, journal, function):
        wanted = ["RUNNING", "CANCELLED", "CANCELLED"]
        with DurableRunner(journal) as runner:
            runner.start(function, None, "order")
            assert ended(journal, wanted) == wanted

    def test_when_all_threads_are_busy(self, journal):
        release = threading.Event()

        @durable_execution(name="cancelling.busy")
        def busy(event, context):
            def block(c):
                c.step(lambda _: release.wait(LIMIT))

            def both(c):
                c.race([invoking, wait_for_deepest])
                c.parallel([block] * 4)

            context.parallel([both])

        wanted = ["RUNNING", "CANCELLED", "CANCELLED"]
        with (
            cf.ThreadPoolExecutor(2) as pool,
            DurableRunner(journal, executor=pool) as runner,
        ):
            handle = runner.start(busy, None, "order")
            try:
                assert ended(journal, wanted) == wanted
            finally:
                release.set()
            handle.result(LIMIT)

    def test_what_a_dead_process_has_left(self, journal):
        die(journal, waiting)
        with DurableRunner(journal) as runner:
            assert runner.cancel("order")
        assert statuses(journal) == ["CANCELLED"] * 3

    def test_from_the_shell(self, tmp_path):
        path = tmp_path / "runs.db"
        journal = SqliteJournal(path)
        die(journal, waiting)
        done = CliRunner().invoke(
            main, ["runs", "cancel", "order", "--store", str(path)]
        )
        assert done.exit_code == 0, done.output
        assert statuses(journal) == ["CANCELLED"] * 3
        journal.close()


def die(journal, function):
    """Begin, and let the process die while all three are waiting."""
    with DurableRunner(journal) as runner:
        handle = runner.start(function, None, "order")
        assert deepest_begun.wait(LIMIT)
    with pytest.raises(JournalError):
        handle.result(LIMIT)
    assert statuses(journal) == ["RUNNING"] * 3


class TestRecovery:
    def test_what_is_wanted_goes_on_with_its_caller(self, journal):
        die(journal, waiting)
        deepest_begun.clear()
        with DurableRunner(journal) as runner:
            handles = runner.recover()
            assert [handle.name for handle in handles] == ["order"]
            # All three run again: a name that is taken can't be begun.
            handles[0].cancel()
            with pytest.raises(cf.CancelledError):
                handles[0].result(LIMIT)
            assert ended(journal, ["CANCELLED"] * 3) == ["CANCELLED"] * 3

    @pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "CANCELLED"])
    def test_what_has_lost_its_caller_is_not_revived(self, journal, status):
        die(journal, waiting)
        end_alone(journal, "order", status)
        with DurableRunner(journal) as runner:
            assert runner.recover() == []
            assert ended(journal, [status, "CANCELLED", "CANCELLED"])[1:] == [
                "CANCELLED", "CANCELLED",
            ]  # fmt: skip

    def test_the_end_of_the_caller_ends_what_a_crash_has_left(self, journal):
        # Decided, and dead before what had lost could be cancelled.
        @durable_execution(name="cancelling.left")
        def left(event, context):
            context.race([invoking, lambda c: wait_for_deepest(c) or "won"])
            return context.create_callback(name="go on").result()

        with DurableRunner(journal) as runner:
            runner._runtime.cancel_execution = lambda name: None
            handle = runner.start(left, None, "order")
            callback = the_callback(journal)
        assert statuses(journal) == ["RUNNING"] * 3
        with DurableRunner(journal) as runner:
            handles = runner.recover()
            assert [handle.name for handle in handles] == ["order"]
            assert statuses(journal) == ["RUNNING"] * 3
            runner.send_callback_success(callback, "done")
            assert handles[0].result(LIMIT) == "done"
            assert statuses(journal) == ["SUCCEEDED", "CANCELLED", "CANCELLED"]
        assert isinstance(handle.exception(LIMIT), JournalError)

    def test_a_cancellation_that_came_before_the_first_record(self, journal):
        owner = journal.enter(60)
        entry = journal.begin("order", waiting.function_name, b"null", owner)
        journal.post(entry.number, "cancel")
        journal.leave(owner)
        with DurableRunner(journal) as runner:
            (handle,) = runner.recover()
            with pytest.raises(cf.CancelledError):
                handle.result(LIMIT)

    def test_a_name_that_only_looks_like_an_invoked_one(self, journal):
        name = f"folder/{'0' * 32}"
        owner = journal.enter(60)
        journal.begin(name, "cancelling.quick", b"null", owner)
        journal.leave(owner)

        @durable_execution(name="cancelling.quick")
        def quick(event, context):
            return 5

        with DurableRunner(journal) as runner:
            (handle,) = runner.recover()
            assert handle.result(LIMIT) == 5


def test_from_above_one_after_the_other(journal, monkeypatch):
    # A caller that has not ended may be just beginning what is below it: its own end
    # sees to that. Else both would want the same name at the same moment.
    die(journal, waiting)
    cancelled = []
    with DurableRunner(journal) as runner:
        cancel = runner.cancel
        monkeypatch.setattr(
            runner, "cancel", lambda name: cancelled.append(name) or cancel(name)
        )
        names = [entry.name for entry in journal.entries()]
        end_alone(journal, "order", "SUCCEEDED")
        runner._cancel_below("order")
    assert cancelled == names[1:]
    assert statuses(journal) == ["SUCCEEDED", "CANCELLED", "CANCELLED"]


def end_alone(journal, name, status):
    """Let an execution have ended just before its process died."""
    owner = journal.enter(60)
    entry = journal.claim(journal.find(name).number, owner)
    end = End(status, b"null", None, entry.created)
    journal.write([Change(entry.number, entry.fence, entry.frames, [], end)])
    journal.leave(owner)


def the_callback(journal):
    """Wait until there is a callback; its id."""
    tick, end = threading.Event(), threading.Event()
    timer = threading.Timer(LIMIT, end.set)
    timer.start()
    try:
        while not end.is_set():
            for entry in journal.entries():
                for frame in journal.frames(entry.number):
                    for record in frame:
                        if record.kind == "CALLBACK":
                            return make_callback_id(entry.number, record.id)
            tick.wait(0.005)
    finally:
        timer.cancel()
    raise AssertionError("no callback was made")


def test_names_below(journal):
    owner = journal.enter(60)
    names = ["a", "a/1", "a/1/2", "a0", "a.", "ab", "a/\u00fc", "A/1", "b/1"]
    for name in names:
        journal.begin(name, "f", b"null", owner)
    assert journal.below("a") == ["a/1", "a/1/2", "a/\u00fc"]
    assert journal.below("a/1") == ["a/1/2"]
    assert journal.below("%") == []


@pytest.mark.parametrize("pool", [fastflow.Executor, cf.ThreadPoolExecutor])
def test_one_that_waits_for_a_worker_ends_at_once(pool):
    hangs, may_end, ran = threading.Event(), threading.Event(), []

    @durable_execution(name="tests.hanging")
    def hanging(event, context):
        hangs.set()
        return context.step(lambda _: may_end.wait(LIMIT))

    @durable_execution(name="tests.never")
    def never(event, context):
        ran.append(event)

    with pool(1) as executor, DurableRunner(":memory:", executor) as runner:
        try:
            first = runner.start(hanging)
            assert hangs.wait(LIMIT)
            others = [runner.start(never, n, f"x{n}") for n in range(3)]
            assert others[1].cancel()
            assert isinstance(others[1].exception(LIMIT), cf.CancelledError)
            assert not others[1].cancel()
            assert others[1].status == "CANCELLED"
            assert not may_end.is_set()
            assert ran == []
        finally:
            may_end.set()
        assert first.result(LIMIT) is True
        assert [others[n].result(LIMIT) for n in (0, 2)] == [None, None]
        assert sorted(ran) == [0, 2]
