"""What comes of a callback: recorded when it happens, and only once."""

from __future__ import annotations

import contextlib
import threading

import pytest

from fastflow.durable import (
    CallbackAlreadyCompletedError,
    CallbackConfig,
    CallbackExternalError,
    CallbackTimeoutError,
    CompletionConfig,
    DurableRunner,
    ErrorObject,
    ParallelConfig,
    ValidationError,
    durable_execution,
)
from fastflow.journal.records import BEGUN, SUCCEEDED, TIMED_OUT
from fastflow.testing import DurableFunctionTestRunner, SimulatedCrash
from support import LIMIT

HOUR = 3600


def outcomes(journal, kind="CALLBACK"):
    """The actions that were recorded of callbacks, in order."""
    return [
        record.action
        for entry in journal.entries()
        for frame in journal.frames(entry.number)
        for record in frame
        if record.kind == kind
    ]


def run(handler, journal=None, **options):
    runner = DurableFunctionTestRunner(handler, store=journal)
    try:
        result = runner.run(timeout=LIMIT, **options)
        if result.error is not None:
            raise AssertionError(result.error)
        return result.result
    finally:
        runner.close()


class TestWhenItIsRecorded:
    def test_an_answer_when_it_arrives(self, journal):
        seen = []

        @durable_execution(name="callbacks.arrives")
        def handler(event, context):
            callback = context.create_callback()

            def answer(_):
                runner.send_callback_success(callback.callback_id, "early")
                seen.extend(outcomes(journal))

            context.step(answer)
            return callback.result()

        runner = DurableRunner(journal)
        with runner:
            assert runner.run(handler) == "early"
        assert seen == [BEGUN, SUCCEEDED]  # before anybody has read it
        assert outcomes(journal) == seen  # and reading records nothing

    def test_one_that_nobody_reads(self, journal):
        @durable_execution(name="callbacks.unread")
        def handler(event, context):
            callback = context.create_callback()
            context.step(lambda _: runner.send_callback_success(callback.callback_id))
            return "done"

        with DurableRunner(journal) as runner:
            assert runner.run(handler) == "done"
        assert outcomes(journal) == [BEGUN, SUCCEEDED]

    @pytest.mark.parametrize(
        "config",
        [CallbackConfig(timeout=HOUR), CallbackConfig(heartbeat_timeout=HOUR)],
        ids=["timeout", "heartbeat"],
    )
    def test_a_limit_when_it_passes(self, journal, config):
        @durable_execution(name="callbacks.limit")
        def handler(event, context):
            callback = context.create_callback(config=config)
            context.wait(2 * HOUR)
            before = outcomes(journal)
            with pytest.raises(CallbackAlreadyCompletedError, match="limit has passed"):
                runner.send_callback_success(callback.callback_id, "late")
            with pytest.raises(CallbackAlreadyCompletedError, match="limit has passed"):
                runner.send_callback_heartbeat(callback.callback_id)
            with pytest.raises(CallbackTimeoutError):
                callback.result()
            return before

        runner = DurableFunctionTestRunner(handler, store=journal)
        assert runner.run(timeout=LIMIT).result == [BEGUN, TIMED_OUT]
        assert outcomes(journal) == [BEGUN, TIMED_OUT]
        runner.close()

    def test_heartbeats_hold_off_the_silence_though_nobody_reads(self):
        @durable_execution(name="callbacks.heartbeats")
        def handler(event, context):
            config = CallbackConfig(heartbeat_timeout=HOUR)
            callback = context.create_callback(config=config)
            for _ in range(5):
                context.wait(0.9 * HOUR)
                key = callback.callback_id
                context.step(lambda _, key=key: runner.send_callback_heartbeat(key))
            context.step(lambda _: runner.send_callback_success(key, "at last"))
            return callback.result()

        runner = DurableFunctionTestRunner(handler)
        assert runner.run(timeout=LIMIT).result == "at last"
        runner.close()

    def test_in_a_branch_and_in_the_middle_of_a_batch(self, journal):
        @durable_execution(name="callbacks.batch")
        def handler(event, context):
            outer = context.create_callback(config=CallbackConfig(timeout=HOUR))

            def branch(c):
                inner = c.create_callback(config=CallbackConfig(timeout=HOUR))
                c.wait(2 * HOUR)
                with pytest.raises(CallbackTimeoutError):
                    inner.result()
                return 1

            done = context.parallel([branch] * 3).get_results()
            with pytest.raises(CallbackTimeoutError):
                outer.result()
            return done

        runner = DurableFunctionTestRunner(handler, store=journal)
        runner.crash_at("end", "before_commit")
        assert runner.run(timeout=LIMIT).result == [1, 1, 1]
        assert outcomes(journal).count(TIMED_OUT) == 4
        runner.close()

    @pytest.mark.parametrize("when", ["before_commit", "after_commit"])
    @pytest.mark.parametrize("record", [1, 2])
    @pytest.mark.parametrize("answered", [True, False])
    def test_the_same_after_a_crash(self, journal, when, record, answered):
        @durable_execution(name="callbacks.crash")
        def handler(event, context):
            config = CallbackConfig(timeout=HOUR)
            callback = context.create_callback("callback", config)

            def answer(_):
                if answered:
                    with contextlib.suppress(CallbackAlreadyCompletedError):
                        runner.send_callback_success(callback.callback_id, "answer")

            context.step(answer, name="answer")
            context.wait(2 * HOUR)
            context.parallel([lambda c: c.wait(HOUR)])
            try:
                return callback.result()
            except CallbackTimeoutError as error:
                return error.error_type

        runner = DurableFunctionTestRunner(handler, store=journal)
        runner.crash_at("callback", when, record=record)
        with pytest.raises(SimulatedCrash):
            runner.run(timeout=LIMIT)
        runner.crash_at("answer", "after_commit")
        try:
            result = runner.run(timeout=LIMIT)
        except SimulatedCrash:
            result = runner.run(timeout=LIMIT)
        assert result.result == ("answer" if answered else "Callback.Timeout")
        runner.close()


class TestTwice:
    @pytest.fixture
    def waiting(self, journal):
        """A runner of an execution that waits, and its callback's id."""
        ids = []

        @durable_execution(name="callbacks.waiting")
        def handler(event, context):
            callback = context.create_callback()
            context.step(lambda _: ids.append(callback.callback_id))
            context.step(lambda _: begun.set())
            first = callback.result()
            context.step(lambda _: go.wait(LIMIT))
            return first

        begun, go = threading.Event(), threading.Event()
        with DurableRunner(journal) as runner:
            handle = runner.start(handler, None, "order")
            assert begun.wait(LIMIT)
            yield runner, ids[0], handle, go
            go.set()

    SECOND = ("success", "failure", "heartbeat")

    def send(self, runner, how, key):
        getattr(runner, f"send_callback_{how}")(key)

    @pytest.mark.parametrize("second", SECOND)
    @pytest.mark.parametrize("first", ["success", "failure"])
    def test_the_second_is_refused(self, waiting, first, second):
        runner, key, handle, go = waiting
        self.send(runner, first, key)
        with pytest.raises(CallbackAlreadyCompletedError, match=key):
            self.send(runner, second, key)
        go.set()
        if first == "success":
            assert handle.result(LIMIT) is None
        else:
            with pytest.raises(CallbackExternalError, match="failed"):
                handle.result(LIMIT)
        for how in self.SECOND:  # now that it has ended
            with pytest.raises(CallbackAlreadyCompletedError):
                self.send(runner, how, key)

    @pytest.mark.parametrize("second", SECOND)
    def test_from_another_process(self, waiting, journal, second):
        runner, key, handle, go = waiting
        with DurableRunner(journal) as other:
            other.send_callback_success(key, "first")
            with pytest.raises(CallbackAlreadyCompletedError):
                self.send(other, second, key)
            with pytest.raises(CallbackAlreadyCompletedError):
                self.send(runner, second, key)
            go.set()
            runner._keeper.bring()  # at once, not at the next look
            assert handle.result(LIMIT) == "first"
            with pytest.raises(CallbackAlreadyCompletedError):
                self.send(other, second, key)

    def test_only_one_of_many_at_a_time(self, waiting, journal):
        runner, key, handle, go = waiting
        taken, together = [], threading.Barrier(8)

        def send(number):
            together.wait(LIMIT)
            try:
                runner.send_callback_success(key, number)
                taken.append(number)
            except CallbackAlreadyCompletedError:
                pass

        threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        go.set()
        assert [handle.result(LIMIT)] == taken
        assert outcomes(journal) == [BEGUN, SUCCEEDED]

    def test_too_late_while_nobody_runs_it(self, journal):
        ids = []

        @durable_execution(name="callbacks.dead")
        def handler(event, context):
            config = CallbackConfig(timeout=0.001)
            callback = context.create_callback(config=config)
            ids.append(callback.callback_id)
            raise SystemExit

        with DurableRunner(journal) as runner:
            with pytest.raises(SystemExit):
                runner.run(handler, None, "order")
            threading.Event().wait(0.002)  # the limit itself
            with pytest.raises(CallbackAlreadyCompletedError, match="limit has passed"):
                runner.send_callback_success(ids[0])

    def test_what_lost_takes_no_answer(self, journal):
        ids, answered = [], []

        @durable_execution(name="callbacks.lost")
        def handler(event, context):
            def loser(c):
                callback = c.create_callback()
                ids.append(callback.callback_id)
                return callback.result()

            def winner(c):
                c.wait(HOUR)

            first = ParallelConfig(
                completion_config=CompletionConfig.first_successful()
            )
            context.parallel([loser, winner], config=first)
            with pytest.raises(CallbackAlreadyCompletedError, match="has ended"):
                runner.send_callback_success(ids[0])
            answered.append(True)

        runner = DurableFunctionTestRunner(handler, store=journal)
        runner.run(timeout=LIMIT)
        assert answered
        runner.close()

    @pytest.mark.parametrize(
        "wrong",
        [
            "cb-1-" + "0" * 32,
            "cb-99-" + "0" * 32,
            f"cb-{2**70}-" + "0" * 32,
            "cb-x-00",
            "",
            None,
        ],
    )
    def test_no_such_callback(self, waiting, wrong):
        runner, key, _, _ = waiting
        with pytest.raises(ValidationError, match="callback"):
            runner.send_callback_success(wrong)
        step = key.rpartition("-")[0] + "-" + "1" * 32
        with pytest.raises(ValidationError, match="no callback"):
            runner.send_callback_success(step)


class TestFailures:
    OWN = "fastflow.durable.exceptions.CallbackExternalError"
    GIVEN = (
        (
            ErrorObject("declined", "BankError", "code 7", ("at the bank",)),
            ("declined", "BankError", "code 7", ["at the bank"]),
        ),
        (ErrorObject(), (None, OWN, None, None)),
        (ErrorObject.from_message("no"), ("no", OWN, None, None)),
        (ValueError("bad"), ("bad", "ValueError", None, None)),
        ("declined", ("declined", OWN, None, None)),
        (None, ("failed", OWN, None, None)),
    )

    @pytest.mark.parametrize(("error", "expected"), GIVEN)
    def test_an_error_of_any_form(self, journal, error, expected):
        @durable_execution(name="callbacks.failure")
        def handler(event, context):
            callback = context.create_callback()
            context.step(
                lambda _: runner.send_callback_failure(callback.callback_id, error)
            )
            try:
                callback.result()
            except CallbackExternalError as e:
                return [e.message, e.error_type, e.data, e.stack_trace]

        runner = DurableFunctionTestRunner(handler, store=journal)
        assert tuple(runner.run(timeout=LIMIT).result) == expected
        runner.close()

    @pytest.mark.parametrize("error", [5, {"message": "no"}, ValueError])
    def test_what_is_no_error(self, error):
        @durable_execution(name="callbacks.no_error")
        def handler(event, context):
            key = context.create_callback().callback_id
            with pytest.raises(ValidationError, match="ErrorObject"):
                runner.send_callback_failure(key, error)
            return "refused"

        runner = DurableFunctionTestRunner(handler)
        assert runner.run(timeout=LIMIT).result == "refused"
        runner.close()
