"""Running flows: on every kind of executor, with every option."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import itertools
import json
import os
import pickle
import threading

import pytest

import fastflow
import flow_tasks
from fastflow import Flow, run_flow_from_dsl, run_parallel_flow_from_dsl
from fastflow.base.timers import VirtualClock
from fastflow.engines.hosted import run_hosted
from fastflow.run.registry import TaskRegistry

EXECUTORS = {
    "serial": lambda: "serial",
    "none": lambda: None,
    "native": lambda: fastflow.Executor(2),
    "threads": lambda: cf.ThreadPoolExecutor(2),
}


@pytest.fixture(params=EXECUTORS)
def executor(request):
    made = EXECUTORS[request.param]()
    yield made
    if isinstance(made, cf.Executor):
        made.shutdown()


def text(*lines):
    return "flow F:\n" + "".join(f"    {line}\n" for line in lines)


def statuses(result):
    return {name: record.status for name, record in result.tasks.items()}


def boom(*_):
    raise ValueError("no")


def test_diamond(executor):
    tasks = {
        "a": lambda n: n,
        "b": lambda n: n + 1,
        "c": lambda n: n * 2,
        "d": lambda b, c: (b, c),
    }
    result = run_parallel_flow_from_dsl(
        text("a -> [b, c] -> d"), 5, registry=tasks, executor=executor
    )
    assert dict(result) == {"a": 5, "b": 6, "c": 10, "d": (6, 10)}
    assert result.status == "COMPLETED"
    assert result.duration > 0
    assert statuses(result) == dict.fromkeys("abcd", "COMPLETED")
    record = result.tasks["d"]
    assert record.attempts == 1
    assert 0 <= record.start <= record.end <= result.duration
    assert record.duration == record.end - record.start
    assert record.worker
    assert next(span.task for span in result.timeline()) == "a"


def test_fan_out_and_fan_in(executor):
    names = [f"t{i}" for i in range(50)]
    tasks = {name: (lambda x, i=i: x + i) for i, name in enumerate(names)}
    result = run_parallel_flow_from_dsl(
        text(f"begin -> [{', '.join(names)}] -> end"),
        registry={**tasks, "begin": lambda: 1, "end": sum},
        executor=executor,
    )
    assert result["end"] == 50 + sum(range(50))


def test_dynamic_fan_out(executor):
    tasks = {"n": lambda n: range(n), "w": lambda x: x * x, "t": sum}
    flow = Flow(text("n -> w[*] -> t"), registry=tasks)
    for count in (0, 1, 7):
        result = flow.run(count, executor=executor)
        assert result["w"] == [x * x for x in range(count)]
        assert result["t"] == sum(x * x for x in range(count))


def test_dynamic_after_dynamic(executor):
    tasks = {"n": lambda: [1, 2], "a": lambda x: x + 1, "b": lambda x: x * 10}
    result = Flow(text("n -> a[*] -> b[*]"), registry=tasks).run(executor=executor)
    assert result["b"] == [20, 30]


def test_iterating_over_something_else_is_a_failure(executor):
    for value in (3, "text", None):
        tasks = {"n": lambda value=value: value, "w": lambda x: x}
        with pytest.raises(fastflow.TaskError, match="once per item") as caught:
            Flow(text("n -> w[*]"), registry=tasks).run({}, executor=executor)
        assert isinstance(caught.value.__cause__, TypeError)


def test_a_failing_item_is_the_failure_of_the_task(executor):
    def work(x):
        if x % 2:
            raise ValueError(x)
        return x

    flow = Flow(
        text("n -> w[*] -> t"),
        registry={"n": lambda: range(6), "w": work, "t": sum},
    )
    result = flow.run(executor=executor, on_error="return")
    assert statuses(result) == {"n": "COMPLETED", "w": "FAILED", "t": "SKIPPED"}
    assert [error.__cause__.args for error in result.errors] == [(1,), (3,), (5,)]
    with pytest.raises(fastflow.TaskError) as caught:
        flow.run(executor=executor)
    assert caught.value.task == "w"


def test_a_failure_skips_what_depends_on_it(executor):
    tasks = {"a": lambda: 1, "b": boom, "c": lambda x: x, "d": lambda x: x}
    with pytest.raises(fastflow.TaskError) as caught:
        run_parallel_flow_from_dsl(
            text("a -> b -> c -> d"), registry=tasks, executor=executor
        )
    error = caught.value
    assert error.task == "b"
    assert isinstance(error.__cause__, ValueError)
    assert error.__cause__.__traceback__ is not None
    assert dict(error.result) == {"a": 1}
    assert error.result.status == "FAILED"
    assert statuses(error.result) == {
        "a": "COMPLETED",
        "b": "FAILED",
        "c": "SKIPPED",
        "d": "SKIPPED",
    }
    assert isinstance(error.result.tasks["b"].error, ValueError)
    with pytest.raises(KeyError, match="SKIPPED"):
        error.result["c"]
    assert "c" not in error.result


def test_continue_runs_what_does_not_depend_on_a_failure(executor):
    tasks = {"a": boom, "b": lambda x: x, "c": lambda: 3, "d": lambda x: x, "e": boom}
    flow = Flow(
        text("a -> b", "c -> d", "[b, d] -> f", "e"), registry={**tasks, "f": max}
    )
    with pytest.raises(fastflow.TaskErrorGroup) as caught:
        flow.run(executor=executor, on_error="continue")
    group = caught.value
    assert {error.task for error in group.exceptions} == {"a", "e"}
    assert group.task in ("a", "e")
    assert isinstance(group, fastflow.TaskError)
    assert isinstance(group, ExceptionGroup)
    assert dict(group.result) == {"c": 3, "d": 3}
    assert statuses(group.result) == {
        "a": "FAILED",
        "b": "SKIPPED",
        "c": "COMPLETED",
        "d": "COMPLETED",
        "f": "SKIPPED",
        "e": "FAILED",
    }
    result = flow.run(executor=executor, on_error="return")
    assert statuses(result) == statuses(group.result)
    assert {error.task for error in result.errors} == {"a", "e"}


def test_each_task_runs_once(executor):
    calls = []
    tasks = {f"t{i}": (lambda *_, i=i: calls.append(i)) for i in range(30)}
    edges = [f"t{i} -> t{j}" for i in range(30) for j in range(i + 1, 30, 7)]
    Flow(text(*edges), registry=tasks).run(executor=executor)
    assert sorted(calls) == list(range(30))


def test_sys_exit_in_a_task_leaves(executor):
    def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        Flow(text("a"), registry={"a": leave}).run(executor=executor)
    assert caught.value.code == 3


def test_options_of_tasks_hold_everywhere(executor):
    tasks = TaskRegistry()
    calls = []

    @tasks.task(retries=2, retry_delay=0)
    def flaky():
        calls.append(1)
        if len(calls) < 3:
            raise OSError
        return len(calls)

    @tasks.task(fallback=lambda error, inputs: ("b", inputs))
    def rescued(x):
        raise ValueError

    @tasks.task(validate_input=lambda x: False)
    def invalid(x):
        raise AssertionError("does not run")

    @tasks.task
    async def awaited(x):
        await asyncio.sleep(0)
        return ("async", x)

    result = Flow(text("flaky -> [rescued, invalid, awaited]"), registry=tasks).run(
        executor=executor, on_error="return"
    )
    assert result["flaky"] == 3
    assert result.tasks["flaky"].attempts == 3
    assert result["rescued"] == ("b", {"x": 3})
    assert result["awaited"] == ("async", 3)
    assert isinstance(result.tasks["invalid"].error, fastflow.ValidationError)


def test_options_in_the_text_override_those_of_the_task(executor):
    tasks = TaskRegistry()

    @tasks.task(retries=0)
    def work(calls):
        calls.append(1)
        raise OSError

    @tasks.task
    def other(error, inputs):
        return "from other"

    calls = []
    flow = Flow(
        text(
            "task work:", "    retries: 2", "    retry_delay: 0", "    fallback: other"
        ),
        registry=tasks,
    )
    assert flow.run(calls, executor=executor)["work"] == "from other"
    assert len(calls) == 3
    constant = Flow(text("task work:", "    fallback: [1]"), registry=tasks)
    assert constant.run([], executor=executor)["work"] == [1]


def test_a_timed_out_task_is_reported_while_it_runs_on(executor):
    release = threading.Event()
    tasks = TaskRegistry()

    @tasks.task(timeout=0.01)
    def stuck():
        release.wait()

    with pytest.raises(fastflow.TaskError) as caught:
        Flow(text("stuck -> after"), registry={**tasks, "after": boom}).run(
            executor=executor
        )
    assert isinstance(caught.value.__cause__, fastflow.TaskTimeout)
    assert statuses(caught.value.result) == {"stuck": "FAILED", "after": "SKIPPED"}
    release.set()


def test_a_timeout_may_be_retried_and_the_late_result_is_dropped(executor):
    release = threading.Event()
    attempts = []
    tasks = TaskRegistry()

    @tasks.task(timeout=0.02, retries=1, retry_delay=0)
    def first_stuck():
        attempts.append(1)
        if len(attempts) == 1:
            release.wait()
            return "late"
        return "second"

    result = Flow(text("first_stuck"), registry=tasks).run(executor=executor)
    release.set()
    assert result["first_stuck"] == "second"
    assert result.tasks["first_stuck"].attempts == 2


def test_the_time_of_a_run(executor, monkeypatch):
    clock = VirtualClock()
    monkeypatch.setitem(run_hosted.__kwdefaults__, "clock", clock)
    begun, release = threading.Event(), threading.Event()

    def hang(_):
        begun.set()
        return release.wait()

    def let_time_pass():
        assert begun.wait(60)
        begun.clear()
        clock.advance(0.5)

    registry = {"a": lambda: 1, "b": hang, "c": lambda x: x}
    flow = Flow(text("a -> b -> c"), registry=registry)
    with cf.ThreadPoolExecutor(1) as other:
        passing = other.submit(let_time_pass)
        with pytest.raises(fastflow.TaskTimeout, match="did not finish") as caught:
            flow.run(executor=executor, timeout=0.5)
        result = caught.value.result
        assert statuses(result) == {"a": "COMPLETED", "b": "FAILED", "c": "SKIPPED"}
        assert isinstance(caught.value, TimeoutError)
        passing.result(60)
        passing = other.submit(let_time_pass)
        result = flow.run(executor=executor, timeout="500ms", on_error="return")
        assert result.status == "FAILED"
        passing.result(60)
    release.set()
    assert flow.run(executor=executor, timeout="1h")["c"] is True


def test_more_tasks_than_workers():
    together = threading.Barrier(2)
    running, most = set(), []
    lock = threading.Lock()

    def work(x, name):
        with lock:
            running.add(name)
            most.append(len(running))
        together.wait()  # breaks unless two run side by side
        with lock:
            running.discard(name)
        return name

    tasks = {f"t{i}": (lambda x=0, i=i: work(x, i)) for i in range(6)}
    for make in (fastflow.Executor, cf.ThreadPoolExecutor):
        with make(2) as executor:
            result = Flow(text(*tasks), registry=tasks).run({}, executor=executor)
        assert dict(result) == {f"t{i}": i for i in range(6)}
    assert max(most) == 2


@pytest.mark.parametrize("make", [lambda: None, lambda: cf.ThreadPoolExecutor(4)])
def test_max_workers(make):
    running, most, lock = [], [], threading.Lock()

    def work():
        with lock:
            running.append(1)
            most.append(len(running))
        with lock:
            running.pop()

    tasks = {f"t{i}": work for i in range(40)}
    executor = make()
    Flow(text(*tasks), registry=tasks).run(executor=executor, max_workers=1)
    assert max(most) == 1
    if executor is not None:
        executor.shutdown()


def test_max_workers_holds_for_items_on_a_larger_executor():
    running, most, lock = [], [], threading.Lock()

    def work(x):
        with lock:
            running.append(1)
            most.append(len(running))
        with lock:
            running.pop()

    flow = Flow(
        text("n -> [v[*], w[*]]"),
        registry={"n": lambda: range(50), "v": work, "w": work},
    )
    with fastflow.Executor(4) as executor:
        flow.run(executor=executor, max_workers=1)
    assert max(most) == 1


def test_max_concurrency_of_items(executor):
    running, most, lock = [], [], threading.Lock()

    def work(x):
        with lock:
            running.append(1)
            most.append(len(running))
        with lock:
            running.pop()
        return x

    flow = Flow(
        text("n -> w[*]", "task w:", "    max_concurrency: 1"),
        registry={"n": lambda: range(50), "w": work},
    )
    assert flow.run(executor=executor)["w"] == list(range(50))
    assert max(most) == 1


def test_sequential_runs_in_the_calling_thread_in_order():
    seen = []

    def note(*_):
        seen.append(threading.current_thread())

    run_flow_from_dsl(text("a -> [b, c] -> d"), registry=dict.fromkeys("abcd", note))
    assert set(seen) == {threading.current_thread()}
    with cf.ThreadPoolExecutor(3) as executor:
        result = run_flow_from_dsl(
            text("a -> [b, c, e]"),
            registry=dict.fromkeys("abce", note),
            executor=executor,
        )
    spans = result.timeline()
    assert all(x.end <= y.start for x, y in itertools.pairwise(spans))


def test_a_flow_runs_often_and_from_several_threads():
    flow = Flow(
        text("a -> b[*] -> c"),
        registry={"a": lambda n: range(n), "b": lambda x: x + 1, "c": sum},
    )
    with cf.ThreadPoolExecutor(4) as threads:
        results = list(threads.map(flow.run, range(40)))
    assert [result["c"] for result in results] == [n * (n + 1) // 2 for n in range(40)]


def test_flows_inside_of_tasks_on_the_same_pool():
    inner = Flow(text("x -> y"), registry={"x": lambda n: n, "y": lambda n: n + 1})
    with fastflow.Executor(1) as executor:
        outer = Flow(
            text("a[*] -> b", "s -> a"),
            registry={
                "s": lambda: range(5),
                "a": lambda n: inner.run(n, executor=executor)["y"],
                "b": sum,
            },
        )
        assert outer.run(executor=executor)["b"] == 15


def test_a_chain_of_100_000_tasks(executor):
    # The standard library's pool takes its time; depth shows up earlier, too.
    standard = type(executor) is cf.ThreadPoolExecutor
    length = 5_000 if standard else 100_000
    chain = text(*(f"t{i} -> t{i + 1}" for i in range(length)))
    step = lambda x: x + 1  # noqa: E731
    tasks = {f"t{i}": step for i in range(length + 1)}
    result = Flow(chain, registry=tasks).run(0, executor=executor)
    assert result[f"t{length}"] == length + 1


def test_a_long_chain_of_tasks_that_go_through_the_event_loop():
    tasks = TaskRegistry()

    @tasks.task(retries=1, cache={})
    def step(x):
        return x + 1

    chain = text(*(f"t{i} -> t{i + 1}" for i in range(5_000)))
    flow = Flow(chain, registry=dict.fromkeys([f"t{i}" for i in range(5_001)], step))
    assert flow.run(0)["t5000"] == 5_001
    again = flow.run(0)
    assert again["t5000"] == 5_001
    assert again.tasks["t5000"].worker == "cache"


def test_an_empty_flow(executor):
    result = run_parallel_flow_from_dsl("flow Nothing:\n", executor=executor)
    assert (dict(result), result.status) == ({}, "COMPLETED")


def test_unknown_tasks_are_told_together_and_nothing_runs():
    ran = []
    with pytest.raises(fastflow.DslError) as caught:
        run_parallel_flow_from_dsl(
            text("fetch -> proces_a -> merge", "x ->", "fetch -> process_b"),
            registry={"process_a": ran.append, "fetch": lambda: ran.append(1)},
        )
    messages = [p.message for p in caught.value.problems]
    places = [(p.line, p.column) for p in caught.value.problems]
    assert places == [(2, 14), (2, 26), (3, 9), (4, 14)]
    assert "unknown task 'proces_a'; did you mean 'process_a'?" in messages[0]
    assert ran == []


def test_a_spec_can_be_run_too():
    spec = fastflow.parse_dsl(text("a -> b"))
    assert Flow(spec, registry={"a": lambda: 1, "b": lambda x: x}).run()["b"] == 1
    with pytest.raises(fastflow.DslError, match="<flow F>:2:10: unknown task 'b'"):
        Flow(spec, registry={"a": len})


def test_several_flows_in_one_text():
    both = "flow A:\n    x\nflow B:\n    y\n"
    tasks = {"x": lambda: 1, "y": lambda: 2}
    assert dict(run_flow_from_dsl(both, registry=tasks, flow="B")) == {"y": 2}
    with pytest.raises(fastflow.FlowError, match="2 flows"):
        run_flow_from_dsl(both, registry=tasks)


def test_run_imports_what_it_names(tmp_path, monkeypatch):
    (tmp_path / "some_tasks.py").write_text("def load(n):\n    return n + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    bound = text("task a:", "    run: some_tasks:load")
    with pytest.raises(fastflow.DslError, match="allow_import"):
        Flow(bound, registry={})
    for allow in (False, (), ("other", "some"), "some_task"):
        with pytest.raises(fastflow.DslError, match="allow_import"):
            Flow(bound, registry={}, allow_import=allow)
    for allow in (True, "some_tasks", ["json", "some_tasks"]):
        assert Flow(bound, registry={}, allow_import=allow).run(1)["a"] == 2
    for wrong in ("some_tasks:save", "no_such_module:f", "some_tasks:__name__"):
        for allow in (True, ["some_tasks", "no_such_module"]):
            with pytest.raises(fastflow.DslError, match="run: "):
                definition = text("task a:", f"    run: {wrong}")
                Flow(definition, registry={}, allow_import=allow)


def test_code_runs_only_when_allowed(executor):
    code = text(
        "task b:",
        "    code: |",
        "        if input_data:",
        "            return inputs['a'] + input_data",
        "        return list(inputs)",
        "z -> a -> b",
    )
    tasks = {"z": lambda: 5, "a": lambda x: x}
    with pytest.raises(fastflow.DslError, match="allow_code=True"):
        Flow(code, registry=tasks)
    flow = Flow(code, registry=tasks, allow_code=True)
    assert flow.run({"x": 1}, executor=executor, on_error="return").status == "FAILED"
    assert flow.run(2, executor=executor)["b"] == 7
    assert flow.run(executor=executor)["b"] == ["z", "a"]


def test_wrong_code_is_told_with_the_rest():
    with pytest.raises(fastflow.DslError, match="the code of 'a', line 2"):
        Flow(
            text("task a:", "    code: |", "        x = 1", "        return ("),
            registry={},
            allow_code=True,
        )


def test_progress(executor):
    seen = []
    flow = Flow(text("a -> b"), registry={"a": lambda: 1, "b": lambda x: x})
    flow.run(executor=executor, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (2, 2)


def test_history(tmp_path, monkeypatch):
    flow = Flow(text("a -> b"), registry={"a": lambda: {"secret": 1}, "b": boom})
    flow.run(history=tmp_path / "runs", on_error="return")
    monkeypatch.setenv("FASTFLOW_HISTORY_DIR", str(tmp_path / "runs"))
    with pytest.raises(fastflow.TaskError):
        flow.run()
    records = fastflow.list_flows()
    assert [record["flow"] for record in records] == ["F", "F"]
    first = records[0]
    assert first["status"] == "FAILED"
    assert first["tasks"]["a"]["status"] == "COMPLETED"
    assert first["tasks"]["b"]["error"] == "ValueError: no"
    assert len({record["run"] for record in records}) == 2
    written = (tmp_path / "runs").iterdir()
    for path in written:
        assert "secret" not in path.read_text()
        if os.name == "posix":
            assert path.stat().st_mode & 0o077 == 0


def test_history_leaves_out_what_is_no_record(tmp_path, caplog):
    (tmp_path / "x.flow.json").write_text("[1, 2")
    (tmp_path / "y.flow.json").write_text('{"flow": 3}')
    (tmp_path / "other.json").write_text("{}")
    assert fastflow.list_flows(tmp_path) == []
    assert len(caplog.records) == 2
    with pytest.raises(FileNotFoundError):
        fastflow.list_flows(tmp_path / "missing")
    with pytest.raises(ValueError, match="FASTFLOW_HISTORY_DIR"):
        fastflow.list_flows()


def test_names_never_become_paths(tmp_path):
    flow = Flow('flow "../../evil":\n    a\n', registry={"a": lambda: 1})
    flow.run(history=tmp_path / "runs")
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "runs"]


def test_results_as_dicts(executor):
    result = Flow(text("a -> b"), registry={"a": lambda: 1, "b": boom}).run(
        executor=executor, on_error="return"
    )
    found = json.loads(json.dumps(result.to_dict()))
    assert found["results"] == {"a": 1}
    assert found["tasks"]["b"]["error"] == "ValueError: no"
    assert found["status"] == "FAILED"


def test_errors_and_results_can_be_pickled():
    with pytest.raises(fastflow.TaskError) as caught:
        Flow(text("a -> b"), registry={"a": lambda: 1, "b": boom}).run()
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.task, dict(copy.result)) == ("b", {"a": 1})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"executor": "nobody"}, ValueError),
        ({"executor": 3}, TypeError),
        ({"executor": cf.ThreadPoolExecutor}, TypeError),
        ({"max_workers": 0}, ValueError),
        ({"max_workers": "2"}, TypeError),
        ({"on_error": "ignore"}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"timeout": "soon"}, ValueError),
    ],
)
def test_bad_arguments(options, error):
    flow = Flow(text("a"), registry={"a": lambda: 1})
    with pytest.raises(error):
        flow.run(**options)


def test_bad_registries():
    for wrong in ([len], "tasks", len):
        with pytest.raises(TypeError, match="registry"):
            Flow(text("a"), registry=wrong)
    with pytest.raises(fastflow.DslError, match="not callable"):
        Flow(text("a"), registry={"a": 3})


def test_a_shut_down_executor_is_a_failure_not_a_hang():
    executor = cf.ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(fastflow.TaskError) as caught:
        Flow(text("a"), registry={"a": lambda: 1}).run(executor=executor)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_processes():
    flow = Flow(
        text(
            "numbers -> square[*] -> total",
            "numbers -> process_id",
            "[total, process_id] -> everything",
        ),
        registry=flow_tasks.registry,
    )
    with cf.ProcessPoolExecutor(2) as executor:
        result = flow.run(10, executor=executor)
        assert result["total"] == sum(n * n for n in range(10))
        assert result["process_id"] != os.getpid()
        assert result["everything"]["total"] == result["total"]
        assert result.tasks["total"].worker.startswith("process ")
        with pytest.raises(fastflow.TaskError) as caught:
            Flow(text("numbers -> fail"), registry=flow_tasks.registry).run(
                2, executor=executor
            )
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(fastflow.TaskError, match="its input") as caught:
            Flow(text("small"), registry=flow_tasks.registry).run(-1, executor=executor)
        assert isinstance(caught.value.__cause__, fastflow.ValidationError)
        code = text("task a:", "    code: |", "        return input_data + 1")
        inline = Flow(code, registry={}, allow_code=True)
        assert inline.run(1, executor=executor)["a"] == 2
        with pytest.raises(fastflow.TaskError):
            Flow(text("a"), registry={"a": lambda: 1}).run(executor=executor)


def test_a_timeout_in_a_process(tmp_path):
    flow = Flow(
        text("task wait_for_file:", "    timeout: 50ms", "wait_for_file -> total"),
        registry=flow_tasks.registry,
    )
    path = tmp_path / "release"
    with cf.ProcessPoolExecutor(1) as executor:
        with pytest.raises(fastflow.TaskError) as caught:
            flow.run(str(path), executor=executor)
        path.touch()
    assert isinstance(caught.value.__cause__, fastflow.TaskTimeout)
    assert statuses(caught.value.result)["total"] == "SKIPPED"


def test_fallbacks_of_tasks_in_processes_run_here():
    here = []

    def recover(error, inputs):
        here.append(os.getpid())
        return inputs["value"]

    tasks = TaskRegistry()
    tasks.register(flow_tasks.fail)
    tasks.register(recover, name="recover")
    flow = Flow(text("task fail:", "    fallback: recover"), registry=tasks)
    with cf.ProcessPoolExecutor(1) as executor:
        assert flow.run({"value": 3}, executor=executor)["fail"] == 3
    assert here == [os.getpid()]


def test_first_runs_at_the_same_time():
    """What a run makes of the plan, others see when it is complete."""
    names = [f"t{number}" for number in range(300)]
    tasks = dict.fromkeys(names, lambda x=0: x)
    with cf.ThreadPoolExecutor(8) as threads:
        for _ in range(20):
            flow = Flow(text(" -> ".join(names)), registry=tasks)
            both = threading.Barrier(8)

            def run(flow=flow, both=both):
                both.wait(60)
                return len(flow.run(7))

            found = [threads.submit(run) for _ in range(8)]
            assert [each.result(60) for each in found] == [300] * 8
