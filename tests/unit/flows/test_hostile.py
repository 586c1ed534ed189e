"""Tasks, arguments and stores that misbehave: the run ends, and says what happened."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures as cf
import contextvars
import copy
import dataclasses
import functools
import json
import operator
import pickle
import sys
import threading

import numpy as np
import pytest

import fastflow
from fastflow import Flow, TaskRegistry
from fastflow.run.task import task_of

tasks = TaskRegistry()


@tasks.task
def same(x):
    return x


@tasks.task
def tags():
    return ["a"]


def engines():
    return [None, "serial", cf.ThreadPoolExecutor(2)]


# Functions as flows.


def test_a_handle_of_the_flow_around():
    go = threading.Event()

    @tasks.task
    def load():
        assert go.wait(60)
        return 7

    @fastflow.flow
    def inner(handle):
        first, second = same(handle), same(handle)
        go.set()
        return [first, same(second)]

    @fastflow.flow
    def outer():
        return inner(load())

    assert outer() == [7, 7]


def test_lists_of_handles_are_those_of_the_call():
    go = threading.Event()

    @TaskRegistry().task
    def slow(x):
        assert go.wait(60)
        return x

    @fastflow.flow
    def body():
        found = [slow(1)]
        for _ in range(3):
            found.append(total(found))
        go.set()
        return found

    total = TaskRegistry().task(sum)
    assert body() == [1, 1, 2, 4]


def test_a_handle_of_a_parallel_flow_in_a_serial_one():
    go = threading.Event()

    @TaskRegistry().task
    def load():
        assert go.wait(60)
        return 7

    @fastflow.flow
    def inner(handle):
        go.set()
        return same(handle)

    @fastflow.flow
    def outer():
        return inner.with_options(executor="serial")(load())

    assert outer() == 7


def test_handles_are_no_keys():
    @fastflow.flow
    def body():
        return same({same(1): 2})

    with pytest.raises(TypeError, match=r"handle \(here of task 'same'\)"):
        body()


@pytest.mark.parametrize("executor", engines())
def test_errors_that_leave_the_function_know_the_run(executor):
    broken = TaskRegistry().task(lambda: 1 / 0)

    @fastflow.flow
    def body():
        same(1)
        return broken().result()

    with pytest.raises(fastflow.TaskError) as caught:
        body.with_options(executor=executor)()
    assert dict(caught.value.result) == {"same": 1}


def test_ctrl_c_leaves_no_handle_open():
    began, go, handles = threading.Event(), threading.Event(), []

    @TaskRegistry().task
    def slow():
        began.set()
        assert go.wait(60)

    @fastflow.flow
    def body():
        handles.append(slow())
        handles.append(same(handles[0]))
        assert began.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    for handle in handles:
        with pytest.raises(cf.CancelledError):
            handle.result(60)
    go.set()


def test_a_failed_handle_of_the_flow_around():
    go = threading.Event()

    @tasks.task
    def broken():
        assert go.wait(60)
        raise ValueError("outside")

    @fastflow.flow
    def inner(handle):
        found = same(handle)
        go.set()
        return found

    @fastflow.flow
    def outer():
        return inner(broken())

    with pytest.raises(fastflow.TaskError, match="broken"):
        outer()


@pytest.mark.parametrize("executor", engines())
def test_a_set_of_results_that_can_not_be_hashed(executor):
    @fastflow.flow
    def body():
        return same({tags()})

    with pytest.raises((fastflow.TaskError, TypeError), match="unhashable"):
        body.with_options(executor=executor)()


@pytest.mark.parametrize("pool", [fastflow.Executor, cf.ThreadPoolExecutor])
def test_an_executor_that_refuses_leaves_no_handle_open(pool):
    class Refusing(pool):
        def submit(self, fn, /, *args, **kwargs):
            raise RuntimeError("a bug of ours")

    @fastflow.flow
    def body():
        first = same(1)
        with pytest.raises(fastflow.TaskError, match="a bug of ours"):
            first.result()
        return same(2)

    with Refusing(1) as executor:
        with pytest.raises(fastflow.TaskError, match="a bug of ours"):
            body.with_options(executor=executor)()


def matches(handle):
    match handle:
        case "ready":
            return True
    return False


QUESTIONS = {
    "bool": bool,
    "not": lambda h: not h,
    "list": list,
    "len": len,
    "item": lambda h: h[0],
    "in": lambda h: "a" in h,
    "unpack": lambda h: [*h],
    "reversed": reversed,
    "==": lambda h: h == "ready",
    "== from the right": lambda h: operator.eq("ready", h),
    "== of two": lambda h: h == tags(),
    "!=": lambda h: h != "ready",
    "in a tuple": lambda h: h in ("ready", "done"),
    "<": lambda h: h < 1,
    "sorted": lambda h: sorted([tags(), h]),
    "max": lambda h: max(h, 3),
    "str": str,
    "f-string": lambda h: f"state: {h}",
    "format": lambda h: format(h, ">10"),
    "%": lambda h: operator.mod("%s", h),
    ".format": "{}".format,
    "print": print,
    "+": lambda h: h + 1,
    "+ from the right": lambda h: 1 + h,
    "sum": lambda h: sum([h, h]),
    "+=": lambda h: operator.iadd(h, 1),
    "-": operator.neg,
    "@": lambda h: h @ h,
    "numpy": lambda h: np.arange(3) + h,
    "array": np.asarray,
    "item =": lambda h: operator.setitem(h, 0, 1),
    "match": matches,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_handles_do_not_answer_for_results(question):
    @fastflow.flow
    def body():
        handle = tags()
        fix = r"handle of task 'tags(#2)?'.*\.result\(\)"
        with pytest.raises(TypeError, match=fix):
            QUESTIONS[question](handle)
        return handle.result()

    assert body() == ["a"]


def test_what_a_handle_still_answers():
    @fastflow.flow
    def body():
        handle = tags()
        with pytest.raises(AttributeError, match=r"\.result\(\)\.append"):
            handle.append(1)
        assert not hasattr(handle, "__float__")
        # What futures are used for.
        assert cf.wait({handle, handle}).done == {handle}
        assert list(fastflow.as_completed([handle])) == [handle]
        assert {handle: 1}[handle] == 1
        assert "Handle of 'tags'" in f"{handle!r}"
        return handle.result()

    assert body() == ["a"]


@dataclasses.dataclass
class Settings:
    tags: object


def test_copies_hold_the_same_handle():
    """A handle of their own would never be done: who waits for it waits for ever."""

    @fastflow.flow
    def body():
        settings = Settings([tags()])
        return [
            copy.copy(settings.tags[0]),
            copy.deepcopy(settings),
            dataclasses.asdict(settings),
            dataclasses.replace(settings),
        ]

    settings = Settings([["a"]])
    assert body() == [["a"], settings, {"tags": [["a"]]}, settings]


Pair = collections.namedtuple("Pair", "left right")


class Names(list):
    """A list of its own kind."""


def test_handles_inside_of_containers_of_their_own_kind():
    default = collections.defaultdict(int)

    @fastflow.flow
    def body():
        default["a"] = same(1)
        return [
            same(Pair(same(1), 2)),
            Pair(same(3), [same(4)]),
            collections.OrderedDict(b=same(5), a=6),
            default,
            Names([same(7)]),
        ]

    pair, other, ordered, counts, names = body()
    assert (type(pair), pair) == (Pair, (1, 2))
    assert (type(other), other) == (Pair, (3, [4]))
    assert (type(ordered), list(ordered.items())) == (
        collections.OrderedDict,
        [("b", 5), ("a", 6)],
    )
    assert (counts["a"], counts["missing"]) == (1, 0)
    assert (type(names), names) == (Names, [7])


def test_a_method_as_a_flow():
    class Pipe:
        factor = 3

        @fastflow.flow
        def run(self, x):
            return same(x * self.factor)

    assert Pipe().run(2) == 6
    assert Pipe().run.with_options(executor="serial")(Pipe(), 3) == 9
    assert isinstance(Pipe.run, fastflow.flows.function.FlowFunction)


VARIABLE = contextvars.ContextVar("VARIABLE", default="lost")


def read(fails):
    found = VARIABLE.get()
    if threading.current_thread() is not threading.main_thread():  # not "serial"
        VARIABLE.set("changed")
    if fails:
        fails.pop()
        raise OSError("once more")
    return found


async def read_soon(fails):
    await asyncio.sleep(0)
    return read(fails)


@pytest.mark.parametrize("fn", [read, read_soon])
@pytest.mark.parametrize("executor", engines())
def test_context_variables_reach_tasks(executor, fn):
    again = TaskRegistry().task(retries=1, retry_delay=0)(fn)

    @fastflow.flow
    def body():
        found = []
        for text in ("one", "two"):
            VARIABLE.set(text)
            found += [again([]), again([1])]
        return found

    def run():
        VARIABLE.set("there")
        flow = Flow("flow F:\n    again", registry={"again": again})
        text = [flow.run({"fails": fails}, executor=executor) for fails in ([], [1])]
        return [
            *(result["again"] for result in text),
            *body.with_options(executor=executor)(),
        ]

    found = contextvars.copy_context().run(run)
    assert found == ["there", "there", "one", "one", "two", "two"]


def test_many_fallbacks_of_coroutines():
    async def fails(_):
        raise ValueError

    task = TaskRegistry().task(fallback=lambda _error, _inputs: "instead")(fails)
    flow = Flow(
        "flow F:\n    numbers -> fails[*]",
        registry={"numbers": lambda: range(2_000), "fails": task},
    )
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert flow.run()["fails"] == ["instead"] * 2_000
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("executor", engines())
@pytest.mark.parametrize("soon", [False, True])
def test_context_variables_reach_fallbacks(executor, soon):
    async def awaited(_error, _inputs):
        await asyncio.sleep(0)
        return VARIABLE.get()

    def plain(_error, _inputs):
        return VARIABLE.get()

    broken = TaskRegistry().task(fallback=awaited if soon else plain)(lambda: 1 / 0)
    flow = Flow("flow F:\n    broken", registry={"broken": broken})

    def run():
        VARIABLE.set("there")
        return flow.run(executor=executor)["broken"]

    assert contextvars.copy_context().run(run) == "there"


def test_a_flow_of_coroutines_inside_of_a_coroutine_is_refused():
    async def fetch():
        return 1

    @fastflow.flow
    def function():
        return TaskRegistry().task(fetch)()

    inner = Flow("flow Inner:\n    fetch", registry={"fetch": fetch})

    async def waits():
        with pytest.raises(RuntimeError, match=r"'fetch'.*to_thread"):
            inner.run()
        with pytest.raises(RuntimeError, match=r"'fetch'.*to_thread"):
            function()
        return (await asyncio.to_thread(inner.run))["fetch"]

    outer = Flow("flow Outer:\n    waits", registry={"waits": waits})
    assert outer.run()["waits"] == 1


# Stores of caches.


class Full(dict):
    def __setitem__(self, key, value):
        raise OSError("disk full")


class Gone(dict):
    def get(self, key, default=None):
        raise OSError("no server")


@pytest.mark.parametrize(("store", "text"), [(Full, "disk full"), (Gone, "no server")])
@pytest.mark.parametrize("executor", engines())
def test_a_store_that_fails(executor, store, text):
    kept = TaskRegistry().task(cache=store())(same)
    flow = Flow(
        "flow F:\n    a -> kept\n    a -> d",
        registry={"a": lambda: 1, "kept": kept, "d": lambda a: a},
    )
    result = flow.run(executor=executor, on_error="return")
    assert result.status == "FAILED"
    assert dict(result) == {"a": 1, "d": 1}
    assert text in str(result.tasks["kept"].error)


def test_equal_arguments_of_other_types_have_results_of_their_own():
    kept = TaskRegistry().task(cache=True)(lambda p: type(p[0]))
    assert [kept((n,)) for n in (2, 2.0, 2)] == [int, float, int]


# Validators.


@pytest.mark.parametrize("refusal", [False, np.False_])
@pytest.mark.parametrize("option", ["validate_input", "validate_output"])
def test_any_false_refuses(option, refusal):
    checked = TaskRegistry().task(**{option: lambda _: refusal})(lambda x: x)
    with pytest.raises(fastflow.ValidationError):
        checked(1)


@pytest.mark.parametrize("verdict", [None, True, np.True_, 0, [], "text"])
def test_all_else_does_not(verdict):
    checked = TaskRegistry().task(validate_output=lambda _: verdict)(lambda x: x)
    assert checked(1) == 1


@pytest.mark.parametrize("option", ["validate_input", "validate_output"])
def test_validators_of_coroutines_may_be_coroutines(option):
    async def never(_):
        return False

    async def work(x):
        return x

    checked = TaskRegistry().task(**{option: never})(work)
    with pytest.raises(fastflow.ValidationError):
        asyncio.run(checked(1))
    with pytest.raises(TypeError, match="nobody would await"):
        TaskRegistry().task(**{option: never})(lambda x: x)


# What is a task.


class Service:
    factor = 10

    @tasks.task(retries=1)
    def scale(self, x):
        return x * self.factor


def twice(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return 2 * fn(*args)

    return wrapper


@tasks.task
async def add(x, y):
    return x + y


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (Service().scale, 30),
        (twice(same), 6),
        (functools.partial(add, y=5), 8),
        (functools.partial(same), 3),
    ],
)
@pytest.mark.parametrize("executor", engines())
def test_decorated_functions_in_disguise(executor, fn, expected):
    flow = Flow("flow F:\n    a -> t", registry={"a": lambda: 3, "t": fn})
    assert flow.run(executor=executor)["t"] == expected


def test_a_method_keeps_its_options():
    assert task_of(Service().scale).retry.retries == 1


def test_the_later_definition_wins_by_its_name_too():
    registry = TaskRegistry()

    @registry.task
    def load():
        return "old"

    with pytest.warns(UserWarning, match="'load' is defined again"):

        @registry.task(name="loader 2")
        def load():
            return "new"

    assert registry["load"]() == "new"


def test_functions_of_one_maker_do_not_warn(recwarn):
    registry = TaskRegistry()
    for n in range(3):
        registry.task(name=f"t{n}")(lambda n=n: n)
    assert [registry[f"t{n}"]() for n in range(3)] == [0, 1, 2]
    assert not recwarn


# Items.


@pytest.mark.parametrize("executor", engines())
@pytest.mark.parametrize("options", [{}, {"retries": 1, "retry_delay": 0}])
def test_failed_items_are_named_and_the_others_kept(executor, options):
    @TaskRegistry().task(**options)
    def picky(n):
        if n % 2:
            raise ValueError("bad")
        return n * n

    flow = Flow(
        "flow F:\n    numbers -> picky[*]",
        registry={"numbers": lambda: range(6), "picky": picky},
    )
    with pytest.raises(fastflow.TaskErrorGroup, match="3 items of task 'picky'") as e:
        flow.run(executor=executor, on_error="continue")
    assert [error.item for error in e.value.exceptions] == [1, 3, 5]
    assert "for item 3: ValueError" in str(e.value.exceptions[1])
    record = e.value.result.tasks["picky"]
    assert dict(record.partial) == {0: 0, 2: 4, 4: 16}
    json.dumps(e.value.result.summary())


@pytest.mark.parametrize("executor", engines())
def test_an_iterator_feeds_several_tasks(executor):
    flow = Flow(
        "flow F:\n    rows -> [a[*], b[*], c]",
        registry={
            "rows": lambda: (n for n in range(3)),
            "a": lambda n: n,
            "b": lambda n: -n,
            "c": sum,
        },
    )
    result = flow.run(executor=executor)
    assert (result["a"], result["b"], result["c"]) == ([0, 1, 2], [0, -1, -2], 3)


@pytest.mark.parametrize("executor", engines())
def test_a_cached_iterator_is_read_often(executor):
    cached = TaskRegistry().task(cache=True)(lambda: (n for n in range(3)))
    flow = Flow("flow F:\n    rows -> a[*]", registry={"rows": cached, "a": same})
    for _ in range(3):
        assert flow.run(executor=executor)["a"] == [0, 1, 2]
    assert cached() == [0, 1, 2]


@pytest.mark.parametrize("executor", engines())
def test_an_iterator_that_fails(executor):
    def rows():
        yield 1
        raise ValueError("torn")

    flow = Flow("flow F:\n    rows -> a[*]", registry={"rows": rows, "a": same})
    result = flow.run(executor=executor, on_error="return")
    assert str(result.tasks["rows"].error) == "torn"
    assert result.tasks["a"].status == "SKIPPED"


@pytest.mark.parametrize("executor", engines())
def test_attempts_are_the_most_of_all_items(executor):
    calls = collections.Counter()

    @TaskRegistry().task(retries=3, retry_delay=0)
    def flaky(n):
        calls[n] += 1
        if calls[n] < (4, 2, 1)[n]:
            raise OSError("once more")

    flow = Flow(
        "flow F:\n    numbers -> flaky[*]",
        registry={"numbers": lambda count: range(count), "flaky": flaky},
    )
    assert flow.run(3, executor=executor).tasks["flaky"].attempts == 4
    assert flow.run(0, executor=executor).tasks["flaky"].attempts == 0


def test_attempts_of_a_function_in_series():
    @TaskRegistry().task(retries=3, retry_delay=0)
    def flaky():
        raise OSError("again")

    @fastflow.flow
    def body():
        flaky()

    with pytest.raises(fastflow.TaskError) as caught:
        body.with_options(executor="serial")()
    assert caught.value.result.tasks["flaky"].attempts == 4


# Errors.


@pytest.mark.parametrize("executor", engines())
def test_errors_bear_no_names_of_ours(executor):
    fn = TaskRegistry().task(retries=1, retry_delay=0)(lambda: 1 / 0)
    flow = Flow("flow F:\n    broken", registry={"broken": fn})
    with pytest.raises(fastflow.TaskError) as caught:
        flow.run(executor=executor)
    assert not getattr(caught.value.__cause__, "__notes__", [])


class UnspeakableError(Exception):
    def __str__(self):
        return self.args[0]


@pytest.mark.parametrize("executor", engines())
def test_an_error_without_a_text(executor):
    def broken():
        raise UnspeakableError

    flow = Flow("flow F:\n    broken", registry={"broken": broken})
    with pytest.raises(fastflow.TaskError, match="UnspeakableError") as caught:
        flow.run(executor=executor)
    assert isinstance(caught.value.__cause__, UnspeakableError)


def test_errors_keep_their_causes_when_they_travel():
    flow = Flow(
        "flow F:\n    n -> [a, b]",
        registry={"n": lambda: 1, "a": lambda n: n / 0, "b": lambda n: n / 0},
    )
    with pytest.raises(fastflow.TaskErrorGroup) as caught:
        flow.run(on_error="continue")
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (again, *again.exceptions):
        assert isinstance(error.__cause__, ZeroDivisionError)
    assert dict(again.exceptions[0].result) == {"n": 1}


def test_nothing_is_raised_where_that_was_asked_for():
    flow = Flow("flow F:\n    a -> b", registry={"a": lambda x, y: x, "b": same})
    result = flow.run({"x": 1}, on_error="return")
    assert isinstance(result.errors[0], fastflow.ParameterError)
    assert [record.status for record in result.tasks.values()] == ["FAILED", "SKIPPED"]


def test_a_parameter_error_suggests_what_can_be_written():
    def two(x, y):
        return x, y

    flow = Flow(
        'flow F:\n    ["get-a", b, c] -> two',
        registry={"get-a": tags, "b": tags, "c": tags, "two": two},
    )
    with pytest.raises(fastflow.ParameterError) as caught:
        flow.run()
    assert "get-a" in str(caught.value)
    assert "get-a_result" not in str(caught.value)


# Records.


def test_a_directory_that_can_not_be_made_is_found_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    ran = []
    flow = Flow("flow F:\n    a", registry={"a": lambda: ran.append(1)})
    with pytest.raises(OSError) as caught:
        flow.run(history=tmp_path / "file" / "below")
    assert "history=" in caught.value.__notes__[0]
    assert not ran


def test_a_record_that_can_not_be_written_is_logged(tmp_path, caplog):
    def fill():
        tmp_path.joinpath("records").rmdir()

    flow = Flow("flow F:\n    fill", registry={"fill": fill})
    result = flow.run(history=tmp_path / "records")
    assert result.status == "COMPLETED"
    assert "can't be written" in caplog.text


def test_the_record_of_an_error_without_a_text(tmp_path):
    def broken():
        raise UnspeakableError

    flow = Flow("flow F:\n    broken", registry={"broken": broken})
    flow.run(history=tmp_path, on_error="return")
    (record,) = fastflow.list_flows(tmp_path)
    assert record["tasks"]["broken"]["error"].startswith("UnspeakableError (")


def test_runs_that_are_broken_off_and_functions_leave_records(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTFLOW_HISTORY_DIR", str(tmp_path))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Flow("flow Stopped:\n    stop", registry={"stop": stop}).run()

    @fastflow.flow
    def body(fail):
        same(1)
        if fail:
            raise ValueError("its own")

    body(False)
    with pytest.raises(ValueError, match="its own"):
        body(True)
    found = [(record["flow"], record["status"]) for record in fastflow.list_flows()]
    assert found == [("Stopped", "FAILED"), ("body", "COMPLETED"), ("body", "FAILED")]


def test_code_keeps_texts_of_several_lines():
    text = (
        "flow F:\n    task t:\n        code: |\n"
        '            q = """select 1\n            from x"""\n            return q\n'
    )
    assert Flow(text, allow_code=True).run()["t"] == "select 1\nfrom x"
