"""What each operation of a durable context does."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

import fastflow
from fastflow.durable import (
    CallbackConfig,
    CallbackExternalError,
    CallbackSubmitterError,
    CallbackTimeoutError,
    Cancelled,
    ChildConfig,
    ChildContextError,
    CompletionConfig,
    Duration,
    InvalidStateError,
    InvokeConfig,
    InvokeError,
    MapConfig,
    ParallelConfig,
    RetryDecision,
    RetryStrategyConfig,
    SerDes,
    SerDesError,
    StepConfig,
    StepError,
    ValidationError,
    WaitForConditionConfig,
    WaitForConditionDecision,
    WaitForConditionError,
    WaitStrategyConfig,
    WithRetryConfig,
    durable_execution,
    durable_parallel_branch,
    durable_step,
    durable_wait_for_callback,
    durable_with_child_context,
    with_retry,
)
from fastflow.durable.config import ItemBatcher
from fastflow.testing import (
    DurableFunctionTestRunner,
    OperationStatus,
    SimulatedCrash,
)


@pytest.fixture
def run():
    """Run a body as a durable function on a virtual clock; return its result."""
    runners = []

    def call(body, event=None, **options):
        handler = durable_execution(name=f"body-{len(runners)}")(body)
        runner = DurableFunctionTestRunner(handler, **options)
        runners.append(runner)
        return runner.run(event)

    yield call
    for runner in runners:
        runner.close()


def good(result):
    assert result.error is None, result.error
    return result.result


class TestSteps:
    def test_a_failed_step_raises_what_it_will_raise_in_a_replay(self, run):
        def fail(_):
            raise KeyError("k")

        def body(event, context):
            with pytest.raises(StepError) as caught:
                context.step(fail, name="bad")
            error = caught.value
            assert isinstance(error.__cause__, KeyError)
            return [error.error_type, str(error), bool(error.stack_trace)]

        assert good(run(body)) == ["KeyError", "'k'", True]

    def test_retries_follow_the_strategy(self, run):
        seen = []

        def flaky(step):
            seen.append(step.attempt)
            if step.attempt < 4:
                raise OSError("not yet")
            return "there"

        def strategy(error, attempts_made):
            assert isinstance(error, OSError)
            assert attempts_made == seen[-1]
            return RetryDecision.retry(Duration.from_hours(1))

        def body(event, context):
            return context.step(flaky, name="f", config=StepConfig(strategy))

        result = run(body)
        assert good(result) == "there"
        assert seen == [1, 2, 3, 4]
        step = result.get_step("f")
        assert (step.attempt, step.status) == (4, OperationStatus.SUCCEEDED)
        assert step.ended - step.started > 3 * 3599

    def test_a_strategy_configuration_is_a_strategy(self, run):
        calls = []

        def fail(step):
            calls.append(step.attempt)
            raise ValueError("no")

        def body(event, context):
            config = StepConfig(RetryStrategyConfig(max_attempts=2))
            with pytest.raises(StepError):
                context.step(fail, config=config)

        good(run(body))
        assert calls == [1, 2]

    def test_without_a_strategy_there_is_one_attempt_unless_the_runner_has_one(
        self, run
    ):
        calls = []

        def fail(step):
            calls.append(step.attempt)
            raise ValueError("no")

        def body(event, context):
            with pytest.raises(StepError):
                context.step(fail)

        good(run(body))
        good(run(body, default_retry=RetryStrategyConfig(max_attempts=3)))
        assert calls == [1, 1, 2, 3]

    def test_a_coroutine_is_awaited(self, run):
        async def work(step):
            await asyncio.sleep(0)
            return step.attempt

        def body(event, context):
            branches = [lambda c: c.step(work)] * 5
            return [context.step(work), context.parallel(branches).get_results()]

        assert good(run(body)) == [1, [1] * 5]

    def test_coroutines_of_many_branches_run_at_once(self, run):
        """None could end before all have begun, and there are two threads."""
        began = 0
        everybody = None

        async def work(step):
            nonlocal began, everybody
            everybody = everybody or asyncio.Event()
            began += 1
            if began == 200:
                everybody.set()
            await everybody.wait()

        def body(event, context):
            return context.parallel([lambda c: c.step(work)] * 200).success_count

        with fastflow.Executor(2) as executor:
            assert good(run(body, executor=executor)) == 200

    @pytest.mark.parametrize("kind", ["coroutine", "time limit", "poll"])
    def test_an_attempt_that_a_branch_waits_for_is_made_once(self, run, kind):
        """Though the branch runs again from its top while the attempt goes on."""
        seen = []

        async def slow(step):
            await asyncio.sleep(0.01)
            return plain(step)

        def plain(step):
            seen.append(step.attempt)
            if step.attempt < 3:
                raise OSError("not yet")
            return "there"

        def limited(step):
            time.sleep(0.01)
            return plain(step)

        async def check(state, poll):
            await asyncio.sleep(0.01)
            seen.append(poll.attempt)
            return "there" if poll.attempt == 3 else "not yet"

        def branch(context):
            if kind == "poll":
                polls = WaitStrategyConfig(lambda state: state != "there")
                return context.wait_for_condition(
                    check, WaitForConditionConfig(polls, None)
                )
            retries = RetryStrategyConfig(max_attempts=5)
            if kind == "coroutine":
                return context.step(slow, config=StepConfig(retries))
            return context.step(limited, config=StepConfig(retries, timeout=60))

        def body(event, context):
            return context.parallel([branch]).get_results()

        assert good(run(body)) == ["there"]
        assert seen == [1, 2, 3]

    def test_a_branch_may_be_a_coroutine(self, run):
        async def branch(context):
            await asyncio.sleep(0)
            context.wait(3600)
            return context.step(lambda _: 7)

        def body(event, context):
            return context.parallel([branch, branch]).get_results()

        assert good(run(body)) == [7, 7]

    def test_a_handler_may_be_a_coroutine(self, run):
        async def body(event, context):
            await asyncio.sleep(0)
            return context.step(lambda _: event)

        assert good(run(body, 5)) == 5

    def test_a_step_that_takes_too_long_fails(self, run):
        release = threading.Event()

        def body(event, context):
            config = StepConfig(timeout="10s")
            with pytest.raises(StepError) as caught:
                context.step(lambda _: release.wait(), name="slow", config=config)
            assert isinstance(caught.value.__cause__, fastflow.TaskTimeout)
            return str(caught.value)

        try:
            assert good(run(body)) == "Step 'slow' did not finish within 10 s"
        finally:
            release.set()

    def test_a_quick_step_with_a_time_limit_succeeds(self, run):
        def body(event, context):
            return context.step(lambda _: 3, config=StepConfig(timeout=60))

        assert good(run(body)) == 3

    def test_operations_can_not_be_nested_in_a_step(self, run):
        def body(event, context):
            with pytest.raises(StepError) as caught:
                context.step(lambda _: context.step(lambda _: 1), name="outer")
            return [caught.value.error_type, str(caught.value)]

        kind, message = good(run(body))
        assert kind.endswith(InvalidStateError.__name__)
        assert "Step 'outer'" in message
        assert "run_in_child_context" in message

    def test_a_result_that_can_not_be_stored_names_the_step(self, run):
        def body(event, context):
            context.step(lambda _: {"a": [1, object()]}, name="odd")

        with pytest.raises(SerDesError, match=r"Step 'odd'.*result\['a'\]\[1\]"):
            run(body)

    def test_a_serdes_of_ones_own(self, run):
        class Reversed(SerDes):
            def serialize(self, value, serdes_context):
                assert "Step 'r'" in serdes_context.name
                return value[::-1]

            def deserialize(self, data, serdes_context):
                return data[::-1]

        class Broken(Reversed):
            def serialize(self, value, serdes_context):
                raise RuntimeError("broken")

        def body(event, context):
            return context.step(lambda _: "abc", "r", StepConfig(serdes=Reversed()))

        result = run(body)
        assert good(result) == "abc"
        assert result.get_step("r").raw_result == b"\x01cba"

        def bad(event, context):
            context.step(lambda _: 1, "bad", StepConfig(serdes=Broken()))

        with pytest.raises(SerDesError, match=r"'bad'.*broken"):
            run(bad)

    def test_run_equals_replay(self, run):
        """What a step returns is what comes back from the journal, not the object."""
        kept = {"list": [1]}

        def body(event, context):
            found = context.step(lambda _: kept)
            found["list"].append(2)
            return [kept, found]

        assert good(run(body)) == [{"list": [1]}, {"list": [1, 2]}]

    @pytest.mark.parametrize("name", ["", "a\0b", "\ud800", "x" * 1025, 5], ids=repr)
    def test_impossible_names(self, run, name):
        def body(event, context):
            with pytest.raises(ValidationError):
                context.step(lambda _: 1, name=name)

        assert run(body).operations == []


class TestWaits:
    def test_waits_pass_at_once_on_a_virtual_clock(self, run):
        def body(event, context):
            context.wait(Duration.from_days(30), name="month")
            context.wait("90s")
            context.wait(0.001)

        result = run(body)
        good(result)
        month = result.get_wait("month")
        assert month.ended - month.started == pytest.approx(30 * 86400, abs=60)

    def test_what_is_done_in_finally_waits_as_well(self, run):
        done = []

        def branch(context):
            try:
                context.wait(5)
                done.append("waited")
            finally:
                context.step(lambda _: done.append("cleaned up"), name="clean")

        def body(event, context):
            return context.parallel([branch]).success_count

        result = run(body)
        assert good(result) == 1
        assert done == ["waited", "cleaned up"]
        assert [op.name for op in result.operations][-2] == "clean"

    def test_nonsense(self, run):
        def body(event, context):
            for wrong in (-1, "soon", float("nan"), None):
                with pytest.raises(ValidationError):
                    context.wait(wrong)

        good(run(body))

    def test_real_time_is_real(self, run):
        def body(event, context):
            before = time.monotonic()
            context.wait(0.02)
            return time.monotonic() - before >= 0.02

        assert good(run(body, skip_time=False)) is True


class TestChildren:
    def test_results_and_failures(self, run):
        def fail(inner):
            inner.step(lambda _: 1, name="fine")
            raise LookupError("lost")

        def body(event, context):
            value = context.run_in_child_context(
                lambda inner: inner.step(lambda _: 5), name="good"
            )
            with pytest.raises(ChildContextError, match="lost") as caught:
                context.run_in_child_context(fail, name="bad")
            return [value, caught.value.error_type]

        result = run(body)
        assert good(result) == [5, "LookupError"]
        parent = result.get_context("bad")
        assert result.get_step("fine").parent_id == parent.operation_id

    def test_a_virtual_one_leaves_no_trace(self, run):
        def body(event, context):
            return context.run_in_child_context(
                lambda inner: inner.step(lambda _: 5, name="s"),
                config=ChildConfig(is_virtual=True),
            )

        result = run(body)
        assert good(result) == 5
        assert [op.name for op in result.operations] == ["s"]
        assert result.get_step("s").parent_id is None


class TestBatches:
    def test_branches_still_running_are_cancelled_at_their_next_operation(self, run):
        """And nothing of theirs is recorded after the batch's own record."""
        arrived, decided = threading.Event(), threading.Event()
        ended = []

        def slow(context):
            context.step(lambda _: arrived.set(), name="first")
            decided.wait(10)
            try:
                context.step(lambda _: ended.append("ran"), name="second")
            except Cancelled:
                ended.append("cancelled")
                raise
            finally:
                ended.append("left")

        def quick(context):
            context.step(lambda _: arrived.wait(10))
            return "won"

        left = threading.Event()

        def body(event, context):
            config = ParallelConfig(
                completion_config=CompletionConfig.first_successful()
            )
            batch = context.parallel([slow, quick], "race", config)
            decided.set()
            while "left" not in ended:
                left.wait(0.001)
            return [batch.get_results(), batch.started_count]

        with fastflow.Executor(4) as executor:
            result = run(body, executor=executor)
        assert good(result) == [["won"], 1]
        assert ended == ["cancelled", "left"]
        names = [op.name for op in result.operations]
        assert "second" not in names
        assert names.index("race") < len(names)

    def test_a_race_is_won_by_the_first_success(self, run):
        def fail(context):
            context.wait(1)
            raise ValueError("no")

        def after(seconds):
            def branch(context):
                context.wait(seconds)
                return seconds

            return branch

        def body(event, context):
            first = context.race([after(30), fail, after(20), after(40)], name="r")
            with pytest.raises(ChildContextError, match="no"):
                context.race([fail, fail])
            with pytest.raises(ValidationError):
                context.race([])
            return first

        assert good(run(body)) == 20

    def test_map_gives_item_index_and_all(self, run):
        def each(context, item, index, inputs):
            return context.step(lambda _: [item, index, len(inputs)])

        def body(event, context):
            config = MapConfig(item_namer=lambda item, index: f"{item}-{index}")
            return context.map("abc", each, "letters", config).get_results()

        result = run(body)
        assert good(result) == [["a", 0, 3], ["b", 1, 3], ["c", 2, 3]]
        assert result.get_context("b-1").parent_id is not None

    def test_map_in_portions(self, run):
        def body(event, context):
            config = MapConfig(item_batcher=ItemBatcher(max_items_per_batch=2))
            return context.map(
                [1, 2, 3], lambda c, item, index, inputs: item, config=config
            ).get_results()

        assert good(run(body)) == [[1, 2], [3]]

    def test_what_can_not_be_mapped(self, run):
        def body(event, context):
            with pytest.raises(ValidationError, match="write list"):
                context.map(iter([1]), lambda *args: 1)
            with pytest.raises(ValidationError, match=r"functions\[1\]"):
                context.parallel([str, 5])

        assert run(body).operations == []

    def test_max_concurrency_counts_waiting_branches(self, run):
        flying, most = set(), []

        def branch(number):
            def run_branch(context):
                flying.add(number)
                most.append(len(flying))
                context.wait(10)
                context.step(lambda _: flying.discard(number))

            return run_branch

        def body(event, context):
            config = ParallelConfig(max_concurrency=3)
            context.parallel([branch(n) for n in range(10)], config=config)

        good(run(body))
        assert max(most) == 3

    def test_max_concurrency_holds_after_a_crash(self):
        """Branches that had ended before others of lower index don't make room."""
        flying, most = set(), []

        def branch(number):
            def run_branch(context):
                flying.add(number)
                most.append(len(flying))
                context.wait(1000 if number == 0 else 1)
                flying.discard(number)
                return context.step(lambda _: number, name=f"end-{number}")

            return run_branch

        @durable_execution(name="limited")
        def handler(event, context):
            config = ParallelConfig(max_concurrency=2)
            functions = [branch(n) for n in range(8)]
            return context.parallel(functions, config=config).get_results()

        runner = DurableFunctionTestRunner(handler)
        runner.crash_at("end-4", "after_commit")
        with pytest.raises(SimulatedCrash):
            runner.run()
        flying.clear()
        assert good(runner.run()) == list(range(8))
        assert max(most) == 2
        runner.close()

    def test_a_branch_that_stops_of_its_own_accord_has_failed(self, run):
        def stop(context):
            raise Cancelled("enough")

        def body(event, context):
            batch = context.parallel([stop, lambda c: 1], config=ParallelConfig(
                completion_config=CompletionConfig.all_completed()))  # fmt: skip
            return [batch.failure_count, batch.get_errors()[0].message]

        assert good(run(body)) == [1, "enough"]

    def test_a_batch_that_takes_too_long(self, run):
        def never(context):
            context.wait(1e9)

        def body(event, context):
            config = ParallelConfig(
                timeout="1h",
                max_concurrency=2,
                completion_config=CompletionConfig.all_completed(),
            )
            quick = lambda c: 1  # noqa: E731
            batch = context.parallel([quick, never, never, quick], config=config)
            assert not batch.met_criteria
            return [
                [item.status.value for item in batch.all],
                batch.completion_reason.value,
                batch.get_errors()[0].type,
            ]

        states, reason, kind = good(run(body))
        assert states == ["SUCCEEDED", "FAILED", "FAILED"]
        assert reason == "FAILURE_TOLERANCE_EXCEEDED"
        assert kind.endswith("TaskTimeout")

    def test_an_empty_batch(self, run):
        def body(event, context):
            batch = context.parallel([])
            return [batch.all, batch.completion_reason.value, batch.status.value]

        assert good(run(body)) == [[], "ALL_COMPLETED", "SUCCEEDED"]

    def test_nesting_to_any_depth_needs_no_threads(self, run):
        depth = 60

        def level(n):
            def branch(context):
                if n == 0:
                    context.wait(60)
                    return context.step(lambda _: threading.active_count())
                return (
                    max(context.parallel([level(n - 1)] * 2).get_results())
                    if (n > depth - 3)
                    else context.parallel([level(n - 1)]).get_results()[0]
                )

            return branch

        def body(event, context):
            return level(depth)(context)

        before = threading.active_count()
        with fastflow.Executor(2) as executor:
            assert good(run(body, executor=executor)) <= before + 2 + 4

    def test_ten_thousand_waiting_branches_hold_no_thread(self, run):
        def body(event, context):
            def branch(inner):
                inner.wait(3600)
                return threading.active_count()

            return max(context.parallel([branch] * 10_000).get_results())

        before = threading.active_count()
        with fastflow.Executor(2) as executor:
            assert good(run(body, executor=executor)) <= before + 2 + 4

    def test_a_branch_that_uses_its_parents_context(self, run):
        """A mistake that would otherwise show much later, in a replay."""

        def body(event, context):
            def branch(inner):
                return context.step(lambda _: 1, name="wrong")

            return context.parallel([branch] * 2).get_errors()[0].message

        message = good(run(body))
        assert "Step 'wrong'" in message
        assert "the context that it is given" in message
        nested = lambda e, c: c.parallel(  # noqa: E731
            [lambda i: i.parallel([lambda _: i.step(lambda _: 1)]).get_errors()]
        ).get_results()[0]
        assert "it is given" in good(run(nested))[0].message

    def test_names_of_items_that_can_not_be(self, run):
        def body(event, context):
            for namer in (lambda item, index: "", lambda item, index: 1 // 0):
                with pytest.raises((ValidationError, ZeroDivisionError)):
                    context.map("ab", str, config=MapConfig(item_namer=namer))

        assert run(body).operations == []


class TestConditions:
    def test_polls_until_the_state_is_right(self, run):
        def body(event, context):
            config = WaitForConditionConfig(
                WaitStrategyConfig(lambda state: state["n"] < 3, initial_delay="1h"),
                initial_state={"n": 0},
            )

            def check(state, poll):
                state["n"] += 1
                assert poll.attempt == state["n"]
                return state

            return context.wait_for_condition(check, config, name="three")

        result = run(body)
        assert good(result) == {"n": 3}
        assert result.get_step("three").sub_type == "WaitForCondition"

    def test_giving_up_and_failing(self, run):
        def strategy(state, attempts_made):
            return WaitForConditionDecision.continue_waiting(Duration(1))

        def body(event, context):
            limited = WaitStrategyConfig(lambda state: True, max_attempts=2)
            with pytest.raises(WaitForConditionError, match="2 polls"):
                context.wait_for_condition(
                    lambda state, poll: state, WaitForConditionConfig(limited, 0)
                )
            with pytest.raises(WaitForConditionError, match="zero"):
                context.wait_for_condition(
                    lambda state, poll: 1 // state, WaitForConditionConfig(strategy, 0)
                )
            with pytest.raises(ValidationError):
                context.wait_for_condition(lambda state, poll: 1, None)

        good(run(body))


class TestCallbacks:
    def test_only_the_function_that_made_it_may_wait_for_it(self, run):
        def body(event, context):
            callback = context.create_callback("mine")
            batch = context.parallel([lambda _: callback.result()])
            return [item.error.type for item in batch.all]

        assert [kind.endswith("InvalidStateError") for kind in good(run(body))] == [
            True
        ]

    def start(self, body, **options):
        runner = DurableFunctionTestRunner(
            durable_execution(name="callbacks")(body), **options
        )
        return runner, runner.run_async(None)

    def test_what_is_sent_comes_back(self):
        def body(event, context):
            callback = context.create_callback("approval")
            return callback.result()

        runner, name = self.start(body)
        callback_id = runner.wait_for_callback(name, "approval")
        runner.send_callback_success(callback_id, {"by": "me"})
        result = runner.wait_for_result(name)
        assert good(result) == {"by": "me"}
        assert result.get_callback("approval").status is OperationStatus.SUCCEEDED
        runner.close()

    def test_a_failure_that_is_sent(self):
        def body(event, context):
            with pytest.raises(CallbackExternalError, match="declined"):
                context.create_callback().result()
            return "caught"

        runner, name = self.start(body)
        runner.send_callback_failure(runner.wait_for_callback(name), "declined")
        assert good(runner.wait_for_result(name)) == "caught"
        runner.close()

    def test_wait_for_callback_hands_the_id_over(self):
        sent = []

        def submit(callback_id, step, what):
            sent.append((callback_id, what))

        def body(event, context):
            submitter = durable_wait_for_callback(submit)("order")
            return context.wait_for_callback(submitter, name="w")

        runner, name = self.start(body)
        callback_id = runner.wait_for_callback(name)
        runner.send_callback_success(callback_id, 5)
        assert good(runner.wait_for_result(name)) == 5
        assert sent == [(callback_id, "order")]
        runner.close()

    def test_nobody_answers(self, run):
        def body(event, context):
            with pytest.raises(CallbackTimeoutError):
                context.create_callback("c", CallbackConfig(timeout="1d")).result()
            with pytest.raises(CallbackTimeoutError):
                config = CallbackConfig(heartbeat_timeout="1h")
                context.create_callback("d", config).result()

            def broken(callback_id, step):
                raise OSError("no network")

            with pytest.raises(CallbackSubmitterError, match="no network"):
                context.wait_for_callback(broken)

        result = run(body)
        good(result)
        assert result.get_callback("c").status is OperationStatus.TIMED_OUT

    def test_callbacks_of_branches(self):
        def body(event, context):
            def branch(inner):
                return inner.create_callback().result()

            return context.parallel([branch] * 3).get_results()

        with fastflow.Executor(1) as executor:
            runner, name = self.start(body, executor=executor)
            for number in range(3):
                runner.send_callback_success(runner.wait_for_callback(name), number)
            assert sorted(good(runner.wait_for_result(name))) == [0, 1, 2]
            runner.close()

    def test_an_id_that_is_none(self):
        runner = DurableFunctionTestRunner(durable_execution(lambda e, c: 1))
        for wrong in ("", "cb-1-zz", "x-1-00", None):
            with pytest.raises(ValidationError, match="not the id of a callback"):
                runner.send_callback_success(wrong)
        runner.close()


class TestInvoke:
    def test_another_function_as_an_execution_of_its_own(self, run):
        @durable_execution(name="square")
        def square(event, context):
            if event < 0:
                raise ValueError("negative")
            return context.step(lambda _: event * event)

        def body(event, context):
            with pytest.raises(InvokeError, match="negative"):
                context.invoke(square, -1)
            with pytest.raises(ValidationError):
                context.invoke(5, 1)
            batch = context.map([2, 3], lambda c, n, *_: c.invoke("square", n))
            return [context.invoke(square, 4, name="four"), batch.get_results()]

        result = run(body)
        assert good(result) == [16, [4, 9]]
        assert result.get_invoke("four").status is OperationStatus.SUCCEEDED

    def test_one_that_takes_too_long(self, run):
        @durable_execution(name="slow")
        def slow(event, context):
            context.wait("10h")

        def body(event, context):
            with pytest.raises(InvokeError, match="too long"):
                context.invoke(slow, 1, config=InvokeConfig(timeout="1h"))

        good(run(body))


class TestDecorators:
    def test_arguments_are_bound_and_names_kept(self, run):
        @durable_step
        def add(step, a, b=0):
            return a + b

        @durable_with_child_context
        def twice(inner, value):
            return 2 * inner.step(add(value))

        @durable_parallel_branch(name="branch-one")
        def one(inner, value):
            return value

        @durable_parallel_branch()
        def two(inner):
            return 2

        def body(event, context):
            batch = context.parallel([one(1), two()])
            return [
                context.step(add(1, b=2)),
                context.run_in_child_context(twice(4)),
                batch.get_results(),
            ]

        result = run(body)
        assert good(result) == [3, 8, [1, 2]]
        names = {op.name for op in result.operations}
        assert {"add", "twice", "branch-one", "two"} <= names

    def test_with_retry_repeats_a_block(self, run):
        seen = []

        def block(inner, attempt):
            seen.append(attempt)
            value = inner.step(lambda _: attempt)
            if attempt < 3:
                raise OSError("again")
            return value

        config = WithRetryConfig(RetryStrategyConfig(max_attempts=5))

        @with_retry(config, name="decorated")
        def decorated(inner, attempt, extra):
            if attempt < 2:
                raise OSError("again")
            return extra

        def body(event, context):
            return [with_retry(context, block, config, "block"), decorated(context, 7)]

        result = run(body)
        assert good(result) == [3, 7]
        assert [*dict.fromkeys(seen)] == [1, 2, 3]
        assert result.get_wait("block-backoff-2").status is OperationStatus.SUCCEEDED

    def test_what_is_no_function(self):
        with pytest.raises(TypeError):
            durable_execution(5)
        with pytest.raises(TypeError, match="parentheses"):
            durable_parallel_branch(lambda c: 1)


class TestLogging:
    def test_records_carry_ids_and_replays_are_silent(self, run, caplog):
        def work(step):
            step.logger.info("in the step")
            return 1

        def branch(context):
            context.logger.info("before the wait")
            context.step(work, name="s")
            context.wait(5)  # after it, the branch runs again from its top
            context.logger.info("after the wait")

        def body(event, context):
            context.logger.info("begin")
            context.parallel([branch])

        with caplog.at_level(logging.INFO, "fastflow.durable"):
            result = run(body)
        good(result)
        messages = [record.getMessage() for record in caplog.records]
        assert messages == [
            "begin", "before the wait", "in the step", "after the wait",
        ]  # fmt: skip
        step = caplog.records[2]
        assert step.operation_id == result.get_step("s").operation_id
        assert (step.durable_execution, step.attempt) == (result.execution_name, 1)
