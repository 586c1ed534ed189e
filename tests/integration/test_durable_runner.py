"""Executions and their store: names, conflicts, recovery, cancelling, the shell."""

from __future__ import annotations

import concurrent.futures as cf
import json
import signal
import subprocess
import sys
import textwrap
import threading

import pytest
from click.testing import CliRunner

import fastflow
from fastflow.cli import main
from fastflow.durable import (
    DurableRunner,
    ExecutionConflictError,
    ExecutionInProgress,
    JournalError,
    MemoryJournal,
    SqliteJournal,
    StepError,
    ValidationError,
    durable_execution,
)
from fastflow.durable.runtime import runtime
from fastflow.journal import records
from fastflow.testing import (
    DurableFunctionTestRunner,
    InvocationStatus,
    SimulatedCrash,
)

CALLS = []


@durable_execution(name="tests.double")
def double(event, context):
    return context.step(lambda _: CALLS.append(event) or 2 * event, name="double")


@durable_execution(name="tests.fail")
def fail(event, context):
    raise ValueError("not today")


@durable_execution(name="tests.two-steps")
def two_steps(event, context):
    first = context.step(lambda _: CALLS.append("one") or 1, name="one")
    return first + context.step(lambda _: CALLS.append("two") or 2, name="two")


@pytest.fixture(autouse=True)
def _no_calls():
    CALLS.clear()


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryJournal() if request.param == "memory" else tmp_path / "runs.db"


class TestRun:
    def test_the_same_name_never_runs_twice(self, store):
        with DurableRunner(store) as runner:
            assert runner.run(double, 21, "it") == 42
            assert runner.run(double, 21, "it") == 42
        with DurableRunner(store) as runner:
            assert runner.run(double, 21, execution_name="it") == 42
        assert CALLS == [21]

    def test_without_a_name_each_run_is_a_new_one(self, store):
        with DurableRunner(store) as runner:
            assert [runner.run(double, 1), runner.run(double, 1)] == [2, 2]
        assert CALLS == [1, 1]

    def test_a_failure_is_kept_like_a_result(self, store):
        with DurableRunner(store) as runner:
            for _ in range(2):
                with pytest.raises(ValueError, match="not today"):
                    runner.run(fail, None, "it")

    def test_a_step_error_comes_back_as_one(self, store):
        @durable_execution(name="tests.bad-step")
        def bad(event, context):
            context.step(lambda _: 1 / 0)

        with DurableRunner(store) as runner:
            for _ in range(2):
                with pytest.raises(StepError) as caught:
                    runner.run(bad, None, "it")
                assert str(caught.value) == "division by zero"

    def test_conflicts(self, store):
        with DurableRunner(store) as runner:
            runner.run(double, 1, "it")
            with pytest.raises(ExecutionConflictError, match="input"):
                runner.run(double, 2, "it")
            with pytest.raises(ExecutionConflictError, match="function"):
                runner.run(fail, 1, "it")

    def test_an_execution_that_is_running(self, store):
        entered, leave = threading.Event(), threading.Event()

        @durable_execution(name="tests.blocked")
        def blocked(event, context):
            entered.set()
            return leave.wait(10)

        with DurableRunner(store) as runner:
            handle = runner.start(blocked, None, "it")
            entered.wait(10)
            with pytest.raises(ExecutionInProgress, match="'it'"):
                runner.run(blocked, None, "it")
            with DurableRunner(store) as other:
                with pytest.raises(ExecutionInProgress, match="'it'"):
                    other.run(blocked, None, "it")
                assert other.recover() == []
            leave.set()
            assert handle.result(10) is True

    def test_what_is_no_durable_function(self, store):
        with DurableRunner(store) as runner:
            with pytest.raises(ValidationError, match="durable_execution"):
                runner.run(lambda event, context: 1)

    def test_an_input_that_can_not_be_stored(self, store):
        with DurableRunner(store) as runner:
            with pytest.raises(fastflow.durable.SerDesError, match="execution's input"):
                runner.run(double, {"a": object()}, "it")
            assert runner.run(double, 1, "it") == 2  # nothing had been recorded

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "n" * 1025])
    def test_impossible_names(self, store, name):
        with DurableRunner(store) as runner, pytest.raises(ValueError):
            runner.run(double, 1, name)

    def test_bad_arguments(self, tmp_path):
        for wrong in (
            {"executor": cf.ProcessPoolExecutor},
            {"executor": 5},
            {"default_retry": 5},
            {"store": 5},
        ):
            with pytest.raises(TypeError):
                DurableRunner(**wrong)
        for wrong in ({"durability": "some"}, {"lease": 0}):
            with pytest.raises(ValueError):
                DurableRunner(tmp_path / "runs.db", **wrong)
        assert list(tmp_path.iterdir()) == []

    def test_a_result_that_can_not_be_stored_can_be_mended(self, store):
        wrong = True

        @durable_execution(name="tests.odd")
        def odd(event, context):
            value = context.step(lambda _: CALLS.append(1) or 1)
            return object() if wrong else value

        with DurableRunner(store) as runner:
            with pytest.raises(
                fastflow.durable.SerDesError, match="execution's result"
            ):
                runner.run(odd, None, "it")
            wrong = False
            assert runner.run(odd, None, "it") == 1
        assert CALLS == [1]

    def test_ctrl_c_leaves_it_to_be_resumed(self, store):
        stop = True

        @durable_execution(name="tests.interrupted")
        def interrupted(event, context):
            context.step(lambda _: CALLS.append(1))
            if stop:
                raise KeyboardInterrupt
            return "done"

        with DurableRunner(store) as runner:
            with pytest.raises(KeyboardInterrupt):
                runner.run(interrupted, None, "it")
            stop = False
            assert runner.run(interrupted, None, "it") == "done"
        assert CALLS == [1]

    def test_a_signal_ends_a_wait_and_leaves_the_execution(self, tmp_path):
        program = textwrap.dedent("""
            import sys
            from fastflow.durable import DurableRunner, durable_execution

            @durable_execution(name="tests.signal")
            def waits(event, context):
                context.step(lambda _: print("ready", flush=True))
                context.wait("10d")

            with DurableRunner(sys.argv[1]) as runner:
                try:
                    runner.run(waits, None, "it")
                except KeyboardInterrupt:
                    print("interrupted", flush=True)
        """)
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "runs.db")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "interrupted\n"
        journal = SqliteJournal(tmp_path / "runs.db")
        assert (journal.find("it").status, journal.find("it").owned) == (
            "RUNNING", False,
        )  # fmt: skip
        journal.close()

    def test_at_exit_what_waits_is_left_and_what_runs_is_finished(self, tmp_path):
        program = textwrap.dedent("""
            import sys
            from fastflow.durable import DurableRunner, durable_execution

            @durable_execution(name="tests.exit-waits")
            def waits(event, context):
                context.wait("10d")

            @durable_execution(name="tests.exit-runs")
            def runs(event, context):
                batch = [lambda inner: inner.step(lambda _: 1)] * 300
                return context.parallel(batch).success_count

            runner = DurableRunner(sys.argv[1])
            runner.start(waits, None, "waits")
            runner.start(runs, None, "runs")
        """)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program, str(tmp_path / "runs.db")],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        journal = SqliteJournal(tmp_path / "runs.db")
        assert not journal.find("waits").owned
        assert journal.find("runs").status == "SUCCEEDED"
        journal.close()

    def test_a_direct_call_needs_no_store(self):
        assert double(4) == 8
        assert double({"n": 1}["n"], object()) == 2  # whatever Lambda gives


class TestBackground:
    def test_handles(self, store):
        with DurableRunner(store) as runner:
            handle = runner.start(double, 4, "it")
            assert handle.result(10) == 8
            assert (handle.status, handle.name) == ("SUCCEEDED", "it")
            assert runner.start(double, 4, "it").result() == 8
            failed = runner.start(fail)
            assert isinstance(failed.exception(10), ValueError)
            assert failed.status == "FAILED"
            assert not failed.cancel()

    def test_many_executions_wait_without_threads(self):
        @durable_execution(name="tests.waiting")
        def waiting(event, context):
            context.wait(0.05)
            return context.step(lambda _: threading.active_count())

        before = threading.active_count()
        with fastflow.Executor(2) as executor:
            with DurableRunner(executor=executor) as runner:
                handles = [runner.start(waiting) for _ in range(500)]
                assert max(h.result(30) for h in handles) <= before + 2 + 4

    def test_cancelling(self, store):
        entered = threading.Event()

        @durable_execution(name="tests.long")
        def long(event, context):
            context.step(lambda _: entered.set())
            context.wait("10d")

        with DurableRunner(store) as runner:
            handle = runner.start(long, None, "it")
            entered.wait(10)
            assert handle.cancel()
            with pytest.raises(cf.CancelledError):
                handle.result(10)
            assert handle.status == "CANCELLED"
            assert not runner.cancel("it")
            with pytest.raises(cf.CancelledError):
                runner.run(long, None, "it")
            with pytest.raises(ValidationError, match="no execution"):
                runner.cancel("nothing")

    def test_cancelling_a_thread_that_waits(self, store):
        entered = threading.Event()

        @durable_execution(name="tests.blocking")
        def blocking(event, context):
            context.step(lambda _: entered.set())
            context.wait("10d")

        with DurableRunner(store) as runner:

            def cancel():
                entered.wait(10)
                runner.cancel("it")

            thread = threading.Thread(target=cancel)
            thread.start()
            with pytest.raises(cf.CancelledError):
                runner.run(blocking, None, "it")
            thread.join()

    def test_closing_leaves_it_to_be_resumed(self, store):
        entered, go = threading.Event(), threading.Event()

        @durable_execution(name="tests.closed")
        def closed(event, context):
            context.step(lambda _: CALLS.append(1))
            entered.set()
            go.wait(10)
            return context.step(lambda _: "end")

        runner = DurableRunner(store)
        handle = runner.start(closed, None, "it")
        entered.wait(10)
        runner.close()
        go.set()
        with pytest.raises(JournalError, match="closed"):
            handle.result(10)
        with DurableRunner(store) as again:
            assert again.run(closed, None, "it") == "end"
        assert CALLS == [1]


class TestRecovery:
    def crash(self, store, name):
        runner = DurableFunctionTestRunner(two_steps, store=store)
        runner.crash_at("two")
        with pytest.raises(SimulatedCrash):
            runner.run(execution_name=name)
        runner.close()

    def test_all_that_is_known_goes_on(self, tmp_path):
        store = tmp_path / "runs.db"
        for name in "abc":
            self.crash(store, name)
        with DurableRunner(store) as runner:
            handles = runner.recover()
            assert sorted(h.name for h in handles) == ["a", "b", "c"]
            assert [h.result(10) for h in handles] == [3, 3, 3]
            assert runner.recover() == []
        assert CALLS.count("one") == 3

    def test_one_can_be_resumed_by_name(self, tmp_path):
        store = tmp_path / "runs.db"
        self.crash(store, "a")
        with DurableRunner(store) as runner:
            assert runner.resume("a").result(10) == 3
            assert runner.resume("a").result(10) == 3
            with pytest.raises(ValidationError, match="no execution"):
                runner.resume("b")

    def test_what_is_unknown_is_left_alone(self, tmp_path):
        store = tmp_path / "runs.db"
        journal = SqliteJournal(store)
        owner = journal.enter(10)
        journal.begin("x", "somewhere.else", b"null", owner)
        journal.leave(owner)
        journal.close()
        with DurableRunner(store) as runner:
            assert runner.recover() == []
            with pytest.raises(ValidationError, match=r"somewhere\.else"):
                runner.resume("x")

    def test_waits_are_not_prolonged(self, tmp_path):
        """A wait that was over while nobody ran it is over at once."""
        store = tmp_path / "runs.db"

        @durable_execution(name="tests.past")
        def past(event, context):
            context.step(lambda _: None, name="before")
            context.wait(0.001, name="short")
            return context.step(lambda _: "after", name="after")

        runner = DurableFunctionTestRunner(past, store=store)
        runner.crash_at("after")
        with pytest.raises(SimulatedCrash):
            runner.run(execution_name="it")
        runner.close()
        with DurableRunner(store) as again:
            assert again.run(past, None, "it") == "after"

    def test_a_clock_that_is_set_back_prolongs_no_wait(self, tmp_path, monkeypatch):
        """What is left of a wait is never more than the wait."""
        store = tmp_path / "runs.db"

        @durable_execution(name="tests.clock")
        def waits(event, context):
            context.parallel([lambda c: c.wait(0.01), dies], name="both")
            return "over"

        def dies(context):
            context.step(lambda _: CALLS.append("ran"))
            if not resumed:
                raise KeyboardInterrupt

        resumed = []

        with DurableRunner(store) as runner, pytest.raises(KeyboardInterrupt):
            runner.run(waits, 1, "it")
        real = records.now_us
        monkeypatch.setattr(runtime, "now_us", lambda: real() - 86_400_000_000)
        resumed.append(True)
        with DurableRunner(store) as again:
            assert again.start(waits, 1, "it").result(60) == "over"
        assert CALLS == ["ran"]

    def test_callbacks_survive(self, tmp_path):
        store = tmp_path / "runs.db"
        ids = []

        @durable_execution(name="tests.callback")
        def waits(event, context):
            callback = context.create_callback("c")
            ids.append(callback.callback_id)
            if len(ids) == 1:
                raise KeyboardInterrupt
            return callback.result()

        with DurableRunner(store) as runner, pytest.raises(KeyboardInterrupt):
            runner.run(waits, None, "it")
        with DurableRunner(store) as other:  # another process, say
            other.send_callback_success(ids[0], "answer")
        with DurableRunner(store) as again:
            assert again.run(waits, None, "it") == "answer"
        assert ids[0] == ids[1]

    def test_a_message_reaches_who_runs_it(self, tmp_path):
        store = tmp_path / "runs.db"
        ids = []
        known = threading.Event()

        @durable_execution(name="tests.message")
        def waits(event, context):
            callback = context.create_callback()
            ids.append(callback.callback_id)
            known.set()
            return callback.result()

        with DurableRunner(store) as runner, DurableRunner(store) as other:
            handle = runner.start(waits)
            known.wait(10)
            other.send_callback_success(ids[0], 5)
            assert handle.result(30) == 5


class TestTesting:
    def test_before_commit_runs_again_after_commit_does_not(self):
        for when, calls in (("before_commit", 2), ("after_commit", 1)):
            CALLS.clear()
            runner = DurableFunctionTestRunner(two_steps)
            runner.crash_at("two", when=when)
            with runner:
                with pytest.raises(SimulatedCrash):
                    runner.run()
                result = runner.run()
            assert (result.status, result.result) == (InvocationStatus.SUCCEEDED, 3)
            assert ["one"] + ["two"] * calls == CALLS
            runner.close()

    def test_golden_histories(self, tmp_path):
        golden = tmp_path / "golden.json"
        runner = DurableFunctionTestRunner(two_steps)
        assert runner.check_golden(golden).result == 3
        CALLS.clear()
        assert runner.check_golden(golden).result == 3
        assert CALLS == []
        assert "Step one: SUCCEEDED" in json.loads(golden.read_text())["operations"]
        runner.close()

        @durable_execution(name="tests.two-steps")
        def renamed(event, context):
            return context.step(lambda _: 1, name="uno")

        changed = DurableFunctionTestRunner(renamed)
        with pytest.raises(fastflow.durable.NonDeterministicExecutionError):
            changed.check_golden(golden)
        changed.close()

        @durable_execution(name="tests.two-steps")
        def longer(event, context):
            value = two_steps.handler(event, context)
            return value + context.step(lambda _: 0)

        more = DurableFunctionTestRunner(longer)
        with pytest.raises(AssertionError, match="does more"):
            more.check_golden(golden)
        more.close()

    def test_a_run_that_takes_too_long(self):
        release = threading.Event()

        @durable_execution(name="tests.stuck")
        def stuck(event, context):
            context.step(lambda _: release.wait(10))
            context.step(lambda _: None)

        runner = DurableFunctionTestRunner(stuck)
        with pytest.raises(TimeoutError):
            runner.run(timeout=0.01)
        release.set()
        runner.close()

    def test_looking_for_operations(self):
        runner = DurableFunctionTestRunner(two_steps)
        result = runner.run()
        assert result.get_step("one").result == 1
        assert result.get_operation_by_name("two").attempt == 1
        with pytest.raises(LookupError, match="'one'"):
            result.get_step("three")
        with pytest.raises(LookupError):
            result.get_wait("one")
        types = [event.event_type for event in result.events]
        assert types == [
            "ExecutionStarted", "StepStarted", "StepSucceeded", "StepStarted",
            "StepSucceeded", "ExecutionSucceeded",
        ]  # fmt: skip
        runner.close()

    def test_what_is_no_durable_function(self):
        with pytest.raises(ValidationError):
            DurableFunctionTestRunner(lambda event, context: 1)


class TestShell:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "runs.db"
        with DurableRunner(path) as runner:
            runner.run(double, 3, "good")
            with pytest.raises(ValueError):
                runner.run(fail, None, "\x1b[31mbad".replace("\x1b", "\u241b"))
        TestRecovery().crash(path, "cut")
        return path

    def invoke(self, *arguments):
        return CliRunner().invoke(main, ["runs", *map(str, arguments)])

    def test_ls(self, path):
        outcome = self.invoke("ls", "--store", path)
        assert outcome.exit_code == 0
        for word in ("good", "SUCCEEDED", "FAILED", "INTERRUPTED", "tests.double"):
            assert word in outcome.output
        found = json.loads(self.invoke("ls", "--store", path, "--json").output)
        assert (found[0]["name"], found[0]["status"]) == ("good", "SUCCEEDED")
        only = self.invoke("ls", "--store", path, "--status", "FAILED", "--json")
        assert len(json.loads(only.output)) == 1

    def test_show(self, path):
        outcome = self.invoke("show", "good", "--store", path)
        assert outcome.exit_code == 0
        assert "Step double: SUCCEEDED" in outcome.output
        assert "result  6" in outcome.output
        outcome = self.invoke("show", "good", "--store", path, "--events")
        assert "StepStarted double" in outcome.output
        found = json.loads(self.invoke("show", "cut", "--store", path, "--json").output)
        assert [op["name"] for op in found["operations"]] == ["one"]

    def test_resume(self, path):
        outcome = self.invoke("resume", "cut", "--store", path, "--tasks", "json")
        assert (outcome.exit_code, outcome.output) == (0, "3\n")
        failed = self.invoke("resume", "nothing", "--store", path, "--tasks", "json")
        assert failed.exit_code == 2
        failed = self.invoke("resume", "cut", "--store", path, "--tasks", "no_such")
        assert failed.exit_code == 2

    def test_cancel(self, path):
        assert self.invoke("cancel", "cut", "--store", path).exit_code == 0
        assert self.invoke("cancel", "cut", "--store", path).exit_code == 2
        shown = self.invoke("show", "cut", "--store", path).output
        assert "CANCELLED" in shown

    def test_gc(self, path):
        run = self.invoke("gc", "--store", path, "--older-than", "0s", "--dry-run")
        assert "2 executions would be removed" in run.output
        assert "0 executions" in self.invoke("gc", "--store", path).output
        run = self.invoke("gc", "--store", path, "--older-than", "0s")
        assert "2 executions removed" in run.output
        left = json.loads(self.invoke("ls", "--store", path, "--json").output)
        assert [e["name"] for e in left] == ["cut"]
        assert self.invoke("gc", "--older-than", "soon", "--store", path).exit_code == 2

    def test_no_store_is_made_by_looking(self, tmp_path):
        path = tmp_path / "none.db"
        for arguments in (
            ("ls",), ("show", "x"), ("cancel", "x"), ("gc",),
            ("resume", "x", "--tasks", "json"),
        ):  # fmt: skip
            outcome = self.invoke(*arguments, "--store", path)
            assert outcome.exit_code == 2, arguments
        assert not path.exists()
