"""One table of behaviour for every backend that is installed.

A row that has no meaning for some backends names those for which it has one.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import threading
import traceback

import numpy as np
import pytest

import fastflow
from backends import tasks
from backends.places import PLACES, available
from fastflow import Flow, TaskError, TaskTimeout

ALL = tuple(PLACES)
CONCURRENT = tuple(name for name, place in PLACES.items() if place.concurrent)
PROCESSES = tuple(name for name, place in PLACES.items() if place.processes)
GROWING = tuple(name for name, place in PLACES.items() if place.add_worker)


@pytest.fixture
def own(pools):
    """An executor for a test after which nobody else can use it."""
    with contextlib.ExitStack() as stack:

        def pool(name):
            if PLACES[name].only_one:
                return pools(name)
            available(name)
            return stack.enter_context(PLACES[name].make())

        yield pool


def on(names):
    return pytest.mark.parametrize("name", names)


def one(work):
    """A flow of one task, which gets the input."""
    return Flow("flow F:\n    work\n", registry={"work": work})


def each(work):
    """A flow that calls a function for each item of its input."""
    registry = {"given": tasks.given, "work": work, "total": tasks.total}
    return Flow("flow F:\n    given -> work[*]\n", registry=registry)


def items(values):
    return {"items": list(values)}


# Results.


@on(ALL)
def test_results_come_in_order(pools, name):
    text = "flow F:\n    given -> square[*]\n    square -> total\n"
    registry = {"given": tasks.given, "square": tasks.square, "total": tasks.total}
    flow = Flow(text, registry=registry)
    result = flow.run(items(range(100)), executor=pools(name))
    assert result["square"] == [n * n for n in range(100)]
    assert result["total"] == sum(n * n for n in range(100))


@on(ALL)
def test_ten_thousand_items(pools, name):
    result = each(tasks.square).run(items(range(10_000)), executor=pools(name))
    assert result["work"] == [n * n for n in range(10_000)]


@on(ALL)
@pytest.mark.parametrize("count", [0, 1])
def test_no_item_and_one(pools, name, count):
    result = each(tasks.square).run(items(range(count)), executor=pools(name))
    assert result["work"] == [0] * count


@on(ALL)
def test_equal_items_run_each(pools, name, tmp_path):
    pairs = [(str(tmp_path), 1)] * 20
    result = each(tasks.count_item).run(items(pairs), executor=pools(name))
    assert result["work"] == [1] * 20
    assert tasks.noted(tmp_path, "item") == 20


@on(ALL)
def test_a_flow_runs_again(pools, name, tmp_path):
    flow = one(tasks.count_call)
    counts = [flow.run(str(tmp_path), executor=pools(name))["work"] for _ in range(3)]
    assert counts == [1, 2, 3]


@on(ALL)
def test_an_array_of_200_mb(pools, name):
    array = np.ones(25_000_000)
    text = "flow F:\n    doubled -> summed\n"
    registry = {"doubled": tasks.doubled, "summed": tasks.summed}
    result = Flow(text, registry=registry).run(array, executor=pools(name))
    assert result["summed"] == 50_000_000


@on(ALL)
def test_two_flows_at_once(pools, name):
    pool, results = pools(name), {}

    def run(number):
        flow = each(tasks.square)
        results[number] = flow.run(items(range(number, number + 500)), executor=pool)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        expected = [n * n for n in range(number, number + 500)]
        assert results[number]["work"] == expected


# Large results, which clusters keep.


def flow_of(*lines, **more):
    """A flow of functions of `tasks`, by their names without a number."""
    text = "flow F:\n" + "".join(f"    {line}\n" for line in lines)
    names = {name for line in lines for name in line.replace("[*]", "").split(" -> ")}
    registry = {name: getattr(tasks, name.rstrip("_12")) for name in names - set(more)}
    return Flow(text, registry={**registry, **more})


@on(ALL)
def test_large_results_in_a_diamond(pools, name):
    flow = flow_of(
        "large -> doubled_1 -> both", "large -> doubled_2 -> both", "both -> summed"
    )
    result = flow.run(2, executor=pools(name))
    assert result["summed"] == 8_000_000
    assert result["both"].sum() == result.tasks["both"].output.sum() == 8_000_000
    assert result["large"] is result["large"]
    assert len(result.value) == 5


@on(ALL)
def test_large_results_of_items_are_joined(pools, name):
    flow = flow_of(
        "given -> large_item[*]", "large_item -> sums", "large_item -> doubled[*]"
    )
    result = flow.run(items(range(6)), executor=pools(name))
    assert result["sums"] == [0, 1, 2, 3, 4, 5]
    assert [array[0] for array in result["doubled"]] == [0, 2, 4, 6, 8, 10]
    assert [array[0] for array in result["large_item"]] == [0, 1, 2, 3, 4, 5]


@on(
    [name for name in PROCESSES if name != "processes"]
)  # there arguments are read-only
def test_what_a_task_does_to_its_argument_no_other_sees(pools, name):
    flow = flow_of(
        "large -> doubled_in_place_1 -> summed_1", "large -> doubled_in_place_2"
    )
    result = flow.run(1, executor=pools(name))
    assert result["large"].sum() == 1_000_000
    assert result["doubled_in_place_2"].sum() == result["summed_1"] == 2_000_000


@on(ALL)
def test_a_large_dict_fills_parameters_by_its_keys(pools, name):
    flow = flow_of("pairs_of -> ends_of")
    assert flow.run(1, executor=pools(name))["ends_of"] == 1_000_020


@on(ALL)
def test_large_results_by_the_names_of_ancestors(pools, name):
    flow = flow_of("large -> summed -> sum_of_ancestor", "summed -> of_all")
    result = flow.run(1, executor=pools(name))
    assert result["sum_of_ancestor"] == 2_000_000
    assert result["of_all"] == [("large", 1_000_000.0), ("summed", 1_000_000.0)]


@on(ALL)
def test_large_arguments_of_fallbacks_caches_and_coroutines(pools, name):
    flow = flow_of("large -> recovered_from", "large -> cached_sum -> summed",
                   "large -> awaited_sum")  # fmt: skip
    result = flow.run(1, executor=pools(name))
    assert result["recovered_from"] == ("of 8,000,000 bytes", 1_000_000)
    assert result["summed"] == 2_000_000
    assert result["awaited_sum"] == 1_000_000


@on(ALL)
def test_large_results_of_items_before_one_failed(pools, name):
    flow = flow_of("given -> work[*]", work=tasks.large_item)
    with pytest.raises(TaskError) as caught:
        flow.run(items([0, 1, "two"]), executor=pools(name), on_error="continue")
    partial = caught.value.result.tasks["work"].partial
    assert [partial[number][0] for number in sorted(partial)] == [0, 1]


# Failures.


@on(ALL)
def test_retries_call_again(pools, name, tmp_path):
    result = one(tasks.flaky).run(str(tmp_path), executor=pools(name))
    assert result["work"] == "at last"
    assert tasks.noted(tmp_path, "flaky") == 3
    assert result.tasks["work"].attempts == 3


@on(ALL)
def test_a_fallback_takes_the_place(pools, name):
    assert one(tasks.recovered).run(executor=pools(name))["work"] == "instead"


@on(ALL)
def test_an_exception_keeps_its_constructor(pools, name):
    with pytest.raises(TaskError) as caught:
        one(tasks.raise_odd).run(executor=pools(name))
    cause = caught.value.__cause__
    assert type(cause) is tasks.OddError
    assert (cause.code, cause.reason) == (7, "lunch")


@on(ALL)
def test_an_exception_that_cannot_be_pickled_is_told_all_the_same(pools, name):
    with pytest.raises(TaskError) as caught:
        one(tasks.raise_unruly).run(executor=pools(name))
    assert "8" in str(caught.value.__cause__)
    assert "Unruly" in "".join(traceback.format_exception(caught.value))


@on(ALL)
def test_notes_causes_and_tracebacks_come_along(pools, name):
    with pytest.raises(TaskError) as caught:
        one(tasks.raise_noted).run(executor=pools(name))
    cause = caught.value.__cause__
    assert type(cause) is ValueError
    assert "the note" in cause.__notes__
    assert isinstance(cause.__cause__, KeyError)
    text = "".join(traceback.format_exception(caught.value))
    assert "in raise_noted" in text
    assert "the cause" in text


@on(CONCURRENT)
def test_a_limit_is_told_while_the_call_goes_on(pools, name, tmp_path):
    go = tmp_path / "go"
    try:
        with pytest.raises(TaskError) as caught:
            one(tasks.limited).run(str(go), executor=pools(name))
        assert isinstance(caught.value.__cause__, TaskTimeout)
        assert not go.exists()
    finally:
        go.touch()


@on(CONCURRENT)
def test_the_time_of_an_attempt_runs_from_its_start(pools, name, tmp_path):
    text = "flow F:\n    hold_1\n    hold_2\n    quick_limited\n"
    hold = tasks.hold
    registry = {"hold_1": hold, "hold_2": hold, "quick_limited": tasks.quick_limited}
    result = Flow(text, registry=registry).run(str(tmp_path), executor=pools(name))
    assert result["quick_limited"] == "quick"


@on(ALL)
def test_after_a_failure_nothing_more_begins(pools, name, tmp_path):
    pairs = [(str(tmp_path), n) for n in range(2_000)]
    with pytest.raises(TaskError) as caught:
        each(tasks.slow_item).run(items(pairs), executor=pools(name))
    assert "the first one" in str(caught.value.__cause__)
    assert tasks.noted(tmp_path, "slow") < 1_000


@on(CONCURRENT)
def test_what_is_cancelled_ends_before_its_calls(pools, name, tmp_path):
    go = tmp_path / "go"
    text = "flow F:\n    hang -> quick\n"
    registry = {"hang": tasks.hang, "quick": tasks.quick}
    try:
        with pytest.raises(TaskTimeout):
            Flow(text, registry=registry).run(
                str(go), timeout=0.3, executor=pools(name)
            )
        assert not go.exists()
    finally:
        go.touch()


# Workers.


@on(PROCESSES)
def test_a_worker_is_killed_in_the_middle(own, name, tmp_path):
    pairs = [(str(tmp_path), n) for n in range(200)]
    flow, pool = each(tasks.die_once_of_many), own(name)
    if PLACES[name].heals:
        assert flow.run(items(pairs), executor=pool)["work"] == list(range(200))
        return
    with pytest.raises(TaskError) as caught:
        flow.run(items(pairs), executor=pool)
    assert isinstance(caught.value.__cause__, cf.BrokenExecutor)


@on(GROWING)
def test_a_worker_is_added_in_the_middle(own, name):
    place, pool = PLACES[name], own(name)
    added = threading.Thread(target=place.add_worker, args=(pool,))
    added.start()
    result = each(tasks.where).run(items(range(300)), executor=pool)
    added.join()
    before = len(set(result["work"]))
    after = len(set(each(tasks.where).run(items(range(300)), executor=pool)["work"]))
    assert before <= after == 3


@on(CONCURRENT)
def test_a_shutdown_with_work_pending(own, name):
    pool = own(name)
    if PLACES[name].only_one:
        pool = fastflow.ray()
    futures = [pool.submit(tasks.square, n) for n in range(50)]
    pool.shutdown(wait=True)
    assert [future.result(60) for future in futures] == [n * n for n in range(50)]
    with pytest.raises(RuntimeError):
        pool.submit(tasks.square, 1)
    with pytest.raises((RuntimeError, TaskError)) as caught:
        one(tasks.square).run(3, executor=pool)
    assert "shutdown" in str(caught.value)
