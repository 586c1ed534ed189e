"""Groups inside a group's tasks: cancelling goes down, errors go up."""

from __future__ import annotations

import threading

import pytest

import fastflow
from fastflow import Cancelled, Executor, TaskGroup, current_task


class BoomError(Exception):
    pass


@pytest.fixture(params=[1, 2, 8], ids=lambda n: f"{n} workers")
def executor(request):
    with Executor(request.param) as running:
        yield running


def until_cancelled(began=None):
    """A task that goes on until it is asked to stop."""
    if began is not None:
        began.set()
    task, never = current_task(), threading.Event()
    while not task.cancelled:
        never.wait(0.001)
    task.check()


def fails_when_cancelled(began=None):
    try:
        until_cancelled(began)
    except Cancelled:
        raise BoomError from None


def nest(executor, depth, began, ends):
    """Groups in tasks of groups; the innermost task goes on until it is cancelled."""
    if depth == 0:
        until_cancelled(began)
    try:
        with TaskGroup(executor) as group:
            group.create_task(nest, executor, depth - 1, began, ends)
    except BaseException as error:
        ends.append(type(error))
        raise
    ends.append("went on")


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("how", ["failure", "block", "cancel()"])
def test_cancelling_reaches_all_groups_below(depth, how):
    began, ends = threading.Event(), []

    def fail():
        assert began.wait(60)
        raise BoomError

    with Executor(depth + 4) as executor:
        error = None
        try:
            with TaskGroup(executor) as group:
                future = group.create_task(nest, executor, depth, began, ends)
                if how == "failure":
                    group.create_task(fail)
                else:
                    assert began.wait(60)
                    if how == "block":
                        raise BoomError
                    group.cancel()
        except ExceptionGroup as raised:
            error = raised
        assert ends == [Cancelled] * depth
        assert future.cancelled()
        if how == "cancel()":
            assert error is None
        else:
            assert [type(each) for each in error.exceptions] == [BoomError]


def test_what_was_queued_below_never_starts(executor):
    began, ran = threading.Event(), []

    def inner():
        with TaskGroup(executor) as group:
            for i in range(1000):
                group.create_task(ran.append, i)
            began.set()
            until_cancelled()

    with TaskGroup(executor) as group:
        group.create_task(inner)
        if executor._max_workers > 1:
            assert began.wait(60)
        group.cancel()
    count = len(ran)
    executor.submit(int).result()
    assert len(ran) == count


def test_a_waiting_group_is_woken():
    inside = threading.Event()
    with Executor(1) as other, Executor(2) as executor:

        def inner():
            with TaskGroup(executor) as group:
                group.create_task(until_cancelled, inside)

        with TaskGroup(executor) as group:
            group.create_task(inner)
            other.submit(lambda: inside.wait(60) and group.cancel())


def test_a_group_opened_late_is_cancelled_at_once(executor):
    ran, outcome = [], []
    opened = threading.Event()

    def inner():
        try:
            until_cancelled(opened)
        except Cancelled:
            with pytest.raises(Cancelled), TaskGroup(executor) as late:
                outcome.append(late.cancelled)
                late.create_task(ran.append, 1)

    with Executor(1) as other, TaskGroup(other) as group:
        group.create_task(inner)
        assert opened.wait(60)
        group.cancel()
    assert (ran, outcome) == ([], [True])


def test_cancelling_does_not_go_up_or_aside(executor):
    def cancels_its_own():
        with TaskGroup(executor) as group:
            group.create_task(int)
            group.cancel()
        assert not current_task().cancelled
        return "went on"

    with TaskGroup(executor) as outer:
        first = outer.create_task(cancels_its_own)
        second = outer.create_task(cancels_its_own)
    assert first.result() == second.result() == "went on"
    assert not outer.cancelled


def test_a_group_that_has_ended_is_not_cancelled_afterwards(executor):
    groups = []

    def inner():
        with TaskGroup(executor) as group:
            groups.append(group)
            group.create_task(int)

    with TaskGroup(executor) as outer:
        outer.create_task(inner).result()
        outer.cancel()
    assert outer.cancelled
    assert not groups[0].cancelled


def test_a_plain_submit_belongs_to_no_group(executor):
    def alone():
        with TaskGroup(executor) as group:
            return group.create_task(int).result()

    with TaskGroup(executor) as outer:
        future = outer.create_task(lambda: executor.submit(alone))
        inner = future.result()
        outer.cancel()
    assert inner.result() == 0


def test_errors_below_are_not_lost(executor):
    """A task of the inner group fails because it was cancelled: that is reported."""
    began = threading.Event()

    def inner():
        with TaskGroup(executor) as group:
            group.create_task(fails_when_cancelled, began)

    def canceller(group):
        assert began.wait(60)
        group.cancel()

    with Executor(1) as other:
        with pytest.raises(ExceptionGroup) as caught, TaskGroup(executor) as outer:
            outer.create_task(inner)
            other.submit(canceller, outer)
    (below,) = caught.value.exceptions
    assert isinstance(below, ExceptionGroup)
    assert [type(each) for each in below.exceptions] == [BoomError]


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_in_no_group(kind, nested):
    def fail():
        raise kind("stop")

    def work():
        if not nested:
            fail()
        with TaskGroup(executor) as group:
            group.create_task(fail)

    with Executor(4) as executor:
        with pytest.raises(kind, match="stop"), TaskGroup(executor) as group:
            group.create_task(work)
            group.create_task(fails_when_cancelled)


def in_a_graph(fn, items):
    graph = fastflow.Graph()
    for item in items:
        graph.add(fn, item)
    graph.run()


RUNS = {
    "map": fastflow.map,
    "map, one at a time": lambda fn, items: fastflow.map(fn, items, max_workers=1),
    "for_each": fastflow.for_each,
    "starmap": lambda fn, items: fastflow.starmap(fn, [(item,) for item in items]),
    "imap": lambda fn, items: list(fastflow.imap(fn, items)),
    "Graph": in_a_graph,
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_runs_inside_a_groups_tasks_are_cancelled_with_it(run):
    """Items that run can see it, groups that they have opened are reached, and no item
    begins after it."""
    began, ran = threading.Event(), []

    def item(number):
        ran.append(number)
        with TaskGroup() as inner:
            inner.create_task(until_cancelled, began)
        until_cancelled()

    def task():
        run(item, range(1000))

    with pytest.raises(ExceptionGroup) as caught:
        with TaskGroup() as group:
            future = group.create_task(task)
            assert began.wait(60)
            raise BoomError
    assert [type(error) for error in caught.value.exceptions] == [BoomError]
    assert future.cancelled()
    assert len(ran) < 1000


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_a_run_whose_items_do_not_look_ends_early_all_the_same(run):
    reached, went_on, ran = threading.Event(), threading.Event(), []

    def item(number):
        ran.append(number)
        reached.set()
        assert went_on.wait(60)

    def task():
        run(item, range(1000))
        ran.append("the end")

    with TaskGroup() as group:
        future = group.create_task(task)
        assert reached.wait(60)
        group.cancel()
        went_on.set()
    assert future.cancelled()
    assert "the end" not in ran
    assert len(ran) < 1000


def test_results_of_executor_map_outlive_the_group():
    """Like futures of submit(), they belong to the executor."""
    with Executor(2) as executor:
        with TaskGroup() as group:
            future = group.create_task(lambda: executor.map(abs, range(5)))
            results = future.result()
            group.cancel()
        assert list(results) == list(range(5))
