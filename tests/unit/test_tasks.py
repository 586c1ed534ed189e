"""``@task``: its options, and what a decorated function still is."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import threading

import pytest

import fastflow
import flow_tasks
from fastflow.run.registry import TaskRegistry
from fastflow.run.task import task_of


@pytest.fixture
def tasks():
    return TaskRegistry()


def test_bare_and_called(tasks, monkeypatch):
    monkeypatch.setattr(fastflow.default_registry, "_found", {})
    monkeypatch.setattr(fastflow.default_registry, "_names", set())

    @fastflow.task
    def one():
        return 1

    @fastflow.task(name="second", tags=("x",))
    def two():
        return 2

    assert (one(), two()) == (1, 2)
    assert set(fastflow.default_registry) == {"one", "second", "two"}
    assert len(fastflow.default_registry) == 3
    assert fastflow.default_registry["two"] is fastflow.default_registry["second"]
    assert task_of(two).tags == ("x",)


def test_it_stays_a_plain_function(tasks):
    @tasks.task(description="adds")
    def add(a: int, b: int = 2) -> int:
        """Return the sum."""
        return a + b

    assert inspect.isfunction(add)
    assert str(inspect.signature(add)) == "(a: 'int', b: 'int' = 2) -> 'int'"
    assert (add.__name__, add.__doc__) == ("add", "Return the sum.")
    assert add(1) == 3
    assert add(a=1, b=1) == 2
    with pytest.raises(TypeError):
        add()


def test_it_is_pickled_by_reference():
    assert pickle.loads(pickle.dumps(flow_tasks.square)) is flow_tasks.square
    assert len(pickle.dumps(flow_tasks.square)) < 60


def test_a_later_definition_wins_with_a_warning(tasks):
    @tasks.task
    def work():
        return 1

    with pytest.warns(UserWarning, match="task 'work' is defined again") as caught:

        @tasks.task(name="work")
        def other():
            return 2

    assert caught[0].filename == __file__
    assert tasks["work"]() == 2
    assert tasks["other"]() == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"retries": -1}, ValueError),
        ({"retries": "3"}, TypeError),
        ({"retries": True}, TypeError),
        ({"retry_delay": "soon"}, ValueError),
        ({"backoff": 0.5}, ValueError),
        ({"jitter": 2}, ValueError),
        ({"retry_on": (int,)}, TypeError),
        ({"retry_on": BaseException}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"validate_input": 3}, TypeError),
        ({"validate_output": "x"}, TypeError),
        ({"cache": object()}, TypeError),
        ({"cache": "forever"}, ValueError),
        ({"tags": "one"}, TypeError),
        ({"tags": (1,)}, TypeError),
        ({"name": ""}, ValueError),
        ({"name": "a\0"}, ValueError),
        ({"name": "\ud800"}, ValueError),
        ({"name": "x" * 1_025}, ValueError),
        ({"name": 3}, TypeError),
        ({"description": 3}, TypeError),
        ({"retrys": 1}, TypeError),
    ],
)
def test_bad_options_are_refused_where_they_are_given(tasks, options, error):
    with pytest.raises(error):
        tasks.task(**options)(lambda: None)
    assert len(tasks) == 0


def test_what_is_not_callable_is_refused(tasks):
    with pytest.raises(TypeError, match="must be callable"):
        tasks.task()(3)
    with pytest.raises(TypeError, match="@task"):
        fastflow.task(len, retries=3)
    with pytest.raises(TypeError, match="no __name__"):
        import functools

        tasks.task(functools.partial(max, 1))


def test_retries_hold_when_called_directly(tasks):
    calls = []

    @tasks.task(retries=2, retry_delay=0)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError("not yet")
        return "done"

    assert flaky() == "done"
    assert len(calls) == 3


def test_only_the_given_exceptions_are_retried(tasks):
    calls = []

    @tasks.task(retries=5, retry_delay=0, retry_on=OSError)
    def wrong():
        calls.append(1)
        raise ValueError

    with pytest.raises(ValueError):
        wrong()
    assert len(calls) == 1


def test_validators(tasks):
    calls = []

    @tasks.task(
        validate_input=lambda n: n >= 0,
        validate_output=lambda n: n < 100,
        retries=1,
        retry_delay=0,
    )
    def work(n):
        calls.append(n)
        return n * 10

    assert work(3) == 30
    with pytest.raises(fastflow.ValidationError, match="its input"):
        work(-1)
    assert calls == [3], "what is refused is not tried"
    with pytest.raises(ValueError, match="its output"):
        work(10)
    assert calls == [3, 10, 10]


def test_a_validator_may_raise_what_it_likes(tasks):
    def validate(n):
        if n < 0:
            raise LookupError("too small")

    @tasks.task(validate_input=validate)
    def work(n):
        return n

    assert work(0) == 0
    with pytest.raises(LookupError, match="too small"):
        work(-1)


def test_fallback(tasks):
    seen = []

    def recover(error, inputs):
        seen.append((str(error), inputs))
        return "plan b"

    @tasks.task(fallback=recover, retries=1, retry_delay=0)
    def work(n, m=2):
        raise ValueError(f"no {n}")

    @tasks.task(fallback=0)
    def constant():
        raise ValueError

    assert work(7) == "plan b"
    assert seen == [("no 7", {"n": 7, "m": 2})]
    assert constant() == 0


def test_a_fallback_that_fails_is_the_failure(tasks):
    @tasks.task(fallback=lambda error, inputs: 1 // 0)
    def work():
        raise ValueError

    with pytest.raises(ZeroDivisionError):
        work()


def test_cache(tasks):
    calls = []

    @tasks.task(cache=True)
    def work(*args, **kwargs):
        calls.append(args)
        return len(calls)

    assert work(1) == work(1) == 1
    assert work(1.0) == 2, "1 and 1.0 are different arguments"
    assert work([1, 2]) == work([1, 2]) == 3, "lists are compared by their pickles"
    assert work(a=1, b=2) == work(b=2, a=1) == 4
    unpicklable = [threading.Lock()]
    assert work(unpicklable) != work(unpicklable)


def test_cache_in_a_mapping_and_with_an_end(tasks, monkeypatch):
    store, now = {}, [1000.0]
    monkeypatch.setattr("fastflow.run.cache.time.time", lambda: now[0])

    @tasks.task(cache=store)
    def kept(n):
        return object()

    @tasks.task(cache="5m")
    def timed(n):
        return object()

    assert kept(1) is kept(1)
    assert len(store) == 1
    first = timed(1)
    now[0] += 299
    assert timed(1) is first
    now[0] += 2
    assert timed(1) is not first


def test_a_cache_knows_the_same_call_however_it_is_written(tasks):
    calls = []

    @tasks.task(cache=True)
    def work(a, b=2, *rest, c=3, **more):
        calls.append((a, b, rest, c, more))
        return len(calls)

    same = [work(3), work(a=3), work(3, 2), work(3, b=2), work(b=2, a=3), work(3, c=3)]
    assert same == [1] * 6
    assert work(3, 2, 4) == 2
    assert work(3, c=4) == 3
    assert work(3, d=4) == work(d=4, a=3) == 4
    with pytest.raises(TypeError):
        work()


@pytest.mark.parametrize("executor", [None, "serial"])
def test_a_cache_knows_the_same_call_in_flows(tasks, executor):
    calls = []

    @tasks.task(cache=True)
    def a(n):
        calls.append(n)
        return n

    fastflow.Flow("flow F:\n    a", registry={"a": a}).run({"n": 3}, executor=executor)
    assert a(3) == a(n=3) == 3
    assert calls == [3]


@pytest.mark.parametrize("cache", [True, "1h"])
def test_a_cache_keeps_what_was_used_last(tasks, cache):
    calls = []

    @tasks.task(cache=cache)
    def work(n):
        calls.append(n)
        return n

    size = 1_024
    for n in range(size):
        work(n)
    work(0)  # used again, so not the first to go
    work(size)
    del calls[:]
    work(0)
    work(size)
    work(2)
    assert calls == []
    work(1)
    assert calls == [1]


def test_methods_of_two_objects_share_no_results(tasks):
    class Adder:
        def __init__(self, more):
            self.more = more

        @tasks.task(cache=True)
        def add(self, n):
            return self.more + n

    text = "flow F:\n    add"
    for more in (1, 2):
        flow = fastflow.Flow(text, registry={"add": Adder(more).add})
        assert flow.run({"n": 1}, executor="serial")["add"] == 1 + more


def test_failures_are_not_cached(tasks):
    calls = []

    @tasks.task(cache=True, fallback="b")
    def work():
        calls.append(1)
        raise ValueError

    assert work() == work() == "b"
    assert len(calls) == 2


def test_timeout_when_called_directly(tasks):
    release = threading.Event()

    @tasks.task(timeout=0.01)
    def work():
        release.wait()

    with pytest.raises(fastflow.TaskTimeout, match=r"'work'.*0\.01 s"):
        work()
    release.set()


def test_a_timeout_error_of_the_task_itself_is_another_thing(tasks):
    @tasks.task(timeout=60)
    def work():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        work()
    assert not isinstance(caught.value, fastflow.TaskTimeout)


def test_async_tasks_are_awaited_by_their_caller(tasks):
    calls = []

    @tasks.task(retries=1, retry_delay=0, validate_output=lambda n: n > 0)
    async def work(n):
        await asyncio.sleep(0)
        calls.append(n)
        if len(calls) == 1:
            raise OSError
        return n

    assert asyncio.run(work(3)) == 3
    assert calls == [3, 3]


def test_async_timeout_and_fallback(tasks):
    @tasks.task(timeout=0.01)
    async def slow():
        await asyncio.Event().wait()

    async def recover(error, inputs):
        return type(error).__name__

    @tasks.task(timeout=0.01, fallback=recover)
    async def rescued():
        await asyncio.Event().wait()

    with pytest.raises(fastflow.TaskTimeout):
        asyncio.run(slow())
    assert asyncio.run(rescued()) == "TaskTimeout"


def test_registries_are_values(tasks):
    other = TaskRegistry()

    @tasks.task
    def work():
        return 1

    other.register(len, name="size")
    assert list(tasks) == ["work"]
    assert list(other) == ["size", "len"]
    text = "flow F:\n    {}\n"
    assert fastflow.Flow(text.format("work"), registry=tasks).run()["work"] == 1
    with pytest.raises(fastflow.DslError, match="unknown task 'work'"):
        fastflow.Flow(text.format("work"), registry=other)
