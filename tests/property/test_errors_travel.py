"""Every exception of a user's × every way to run tasks.

The error tells of the task, can be shown, and reaches another process.
"""

from __future__ import annotations

import concurrent.futures as cf
import pickle
import threading
import traceback

import pytest

import fastflow
from fastflow.durable import DurableRunner, StepError, durable_execution
from fastflow.run.registry import TaskRegistry


class BadStr(Exception):  # noqa: N818
    def __str__(self):
        raise ValueError("no text")


class ExitingStr(Exception):  # noqa: N818
    def __str__(self):
        raise SystemExit(3)


class NoText(Exception):  # noqa: N818
    def __str__(self):
        return 7


class BadText(str):
    def __format__(self, spec):
        raise ValueError("no format")

    def __str__(self):
        raise ValueError("no str")


class OddText(Exception):  # noqa: N818
    def __str__(self):
        return BadText("odd")


class BadRepr(Exception):  # noqa: N818
    def __repr__(self):
        raise ValueError("no repr")


class BadInit(Exception):  # noqa: N818
    def __init__(self, code, *, needed):
        super().__init__(code)
        self.needed = needed


class RaisingInit(Exception):  # noqa: N818
    born = 0

    def __init__(self, *args):
        type(self).born += 1
        if type(self).born > 1:  # as when it is made again from a pickle
            raise RuntimeError("one is enough")
        super().__init__(*args)


class Holding(Exception):  # noqa: N818
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Half(Exception):  # noqa: N818
    """Of a surrogate pair."""

    def __init__(self):
        super().__init__("half \ud800")


def bad_init():
    return BadInit(3, needed=True)


def raising_init():
    RaisingInit.born = 0
    return RaisingInit("first")


MAKERS = {
    "plain": lambda: ValueError("plain"),
    "__str__ raises": BadStr,
    "__str__ exits": ExitingStr,
    "__str__ returns an int": NoText,
    "a str that can't be formatted": OddText,
    "__repr__ raises": BadRepr,
    "__init__ wants more": bad_init,
    "__init__ raises": raising_init,
    "holds a lock": lambda: Holding("locked"),
    "half a character": Half,
    "another run's error": lambda: fastflow.TaskError("inner", "t", threading.Lock()),
}


def raiser(make):
    def fail(*_):
        raise make()

    return fail


def of_graph(make, count):
    graph = fastflow.Graph()
    graph.add(threading.Lock)  # a result that can't be pickled
    for i in range(count):
        graph.add(raiser(make), name=f"n{i}")
    graph.run(on_error="continue")


def of_numbers(make, count):
    graph = fastflow.Graph.from_edges(count, [], [])
    graph.run(raiser(make), on_error="continue")


def of_flow(executor):
    def run(make, count):
        names = [f"n{i}" for i in range(count)]
        registry = dict.fromkeys(names, raiser(make)) | {"lock": threading.Lock}
        text = "flow F:\n" + "".join(f"    {name}\n" for name in registry)
        fastflow.Flow(text, registry=registry).run(
            executor=executor, on_error="continue"
        )

    return run


def of_function(executor):
    def run(make, count):
        task = TaskRegistry().task(raiser(make))

        @fastflow.flow
        def body():
            for _ in range(count):
                task()

        body.with_options(executor=executor)()

    return run


def of_workflow(make, count):
    wf = fastflow.workflow("w")
    wf.step("fails", raiser(make)) if count == 1 else wf.parallel([raiser(make)] * 2)
    wf.run()


WAYS = {
    "graph": of_graph,
    "graph of numbers": of_numbers,
    "flow": of_flow(None),
    "serial flow": of_flow("serial"),
    "flow on the standard library's pool": of_flow(cf.ThreadPoolExecutor(2)),
    "@flow": of_function(None),
    "serial @flow": of_function("serial"),
    "workflow": of_workflow,
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("made", MAKERS)
@pytest.mark.parametrize("way", WAYS)
def test_an_error_tells_of_its_task_and_travels(way, made, count):
    with pytest.raises(fastflow.TaskError) as caught:
        WAYS[way](MAKERS[made], count)
    error = caught.value
    cause = error.__cause__
    assert type(cause).__name__ == type(MAKERS[made]()).__name__ or count == 2
    assert "failed" in str(error)
    str(error).encode()
    assert "failed" in "".join(traceback.format_exception(error))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.task) == (
        type(error),
        str(error),
        error.task,
    )
    if made in ("plain", "__str__ raises", "__repr__ raises"):
        assert type(again.__cause__) is type(cause)
    else:
        assert again.__cause__ is not None
    errors = getattr(error, "exceptions", ())
    assert len(getattr(again, "exceptions", ())) == len(errors)


@pytest.mark.parametrize("made", MAKERS)
def test_a_durable_step_fails_with_any_error(made):
    @durable_execution
    def handler(event, context):
        return context.step(raiser(MAKERS[made]), name="fails")

    with DurableRunner(":memory:") as runner, pytest.raises(StepError) as caught:
        runner.run(handler, None, execution_name="one")
    str(caught.value).encode()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def graph_that_fails(kind):
    graph = fastflow.Graph()
    graph.add(int, "7", name="good")
    graph.add(threading.Lock if kind == "lock" else int, name="another")
    graph.add(int, "seven", name="bad")
    graph.run(on_error="continue", timings=True)


@pytest.mark.parametrize("kind", ["plain", "lock"])
def test_a_graph_fails_in_another_process(kind):
    with cf.ProcessPoolExecutor(1) as processes:
        error = processes.submit(graph_that_fails, kind).exception(60)
    assert type(error) is fastflow.TaskError
    assert error.task == "bad"
    assert str(error).startswith("node 'bad' failed: ValueError: invalid literal")
    if kind == "lock":
        assert error.result is None
        assert "can't be pickled" in error.__notes__[-1]
        return
    result = error.result
    assert (result.status, dict(result.results)) == ("FAILED", {0: 7, 1: 0})
    assert [result.state(i) for i in range(3)] == ["COMPLETED", "COMPLETED", "FAILED"]
    assert isinstance(result.errors[2], ValueError)
    assert (result[0], result.results.to_list()) == (7, [7, 0, None])
    assert len(result.timings.start) == 3
    assert "FAILED" in repr(result)
