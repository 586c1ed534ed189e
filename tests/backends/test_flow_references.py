"""Results that stay on a cluster, between the task calls of a flow function."""

from __future__ import annotations

import pytest

import fastflow
from backends import tasks
from fastflow import TaskError
from fastflow.run.handles import Handle

MB = 1_000_000
on_clusters = pytest.mark.parametrize("name", ["dask", "ray"])


def own_task(fn, **options):
    """Whatever others have made of the function."""
    return fastflow.TaskRegistry().task(**options)(fn)


REGISTRY = fastflow.TaskRegistry()
large, doubled, summed, square = (
    REGISTRY.task(name=name)(getattr(tasks, name))
    for name in ("large", "doubled", "summed", "square")
)


@REGISTRY.task
def all_summed(parts, *, more):
    return sum(part.sum() for part in [*parts, *more.values()])


class Table(dict):
    """Looks at what it is given."""

    def __setitem__(self, key, value):
        assert isinstance(value, Handle) or value.nbytes >= 8 * MB
        super().__setitem__(key, value)


@REGISTRY.task
def table_summed(table):
    return sum(column.sum() for column in table.values())


@REGISTRY.task(cache=True)
def cached(n):
    return tasks.large(n)


@on_clusters
def test_flow_functions_pass_large_results_on_as_references(pools, name, traffic):
    @fastflow.flow
    def body():
        first = large(3)
        second = doubled(first)
        nested = [[first], (second,)]
        total = all_summed([second, first], more={"more": first})
        depth = depth_summed(nested)
        return total, depth, square(3)

    run = body.with_options(executor=pools(name))
    assert run() == (12 * MB, 9 * MB, 9)
    assert traffic["fetched"] == 0
    assert traffic["bytes"] < 0.1 * MB


@REGISTRY.task
def depth_summed(nested):
    return nested[0][0].sum() + nested[1][0].sum()


@on_clusters
def test_what_a_flow_function_reads_or_returns_is_fetched_once(pools, name, traffic):
    @fastflow.flow
    def body():
        first = large(2)
        assert first.result().sum() == 2 * MB
        assert first.result() is first.result()
        assert traffic["fetched"] == 1
        return [first, {"twice": doubled(first)}]

    first, more = body.with_options(executor=pools(name))()
    assert first.sum() == 2 * MB
    assert more["twice"].sum() == 4 * MB
    assert traffic["fetched"] == 2


@on_clusters
def test_classes_in_arguments_are_given_values(pools, name):
    @fastflow.flow
    def body():
        return table_summed(Table(a=large(1), b=large(2)))

    assert body.with_options(executor=pools(name))() == 3 * MB


@on_clusters
def test_a_task_here_fetches_what_a_flow_function_passes_it(pools, name, traffic):
    there = own_task(tasks.large, executor=pools(name))
    kinds = {
        "bare": own_task(tasks.summed),
        "limited": own_task(tasks.summed, timeout=60),
        "cached": own_task(tasks.summed, cache=True),
        "async": own_task(_async_summed),
    }

    @fastflow.flow
    def body():
        array = there(2)
        return {kind: task(array) for kind, task in kinds.items()}

    assert body() == dict.fromkeys(kinds, 2 * MB)
    assert traffic["fetched"] == 1


async def _async_summed(array):
    return float(array.sum())


@on_clusters
def test_a_cached_result_of_a_flow_function_is_here(pools, name, traffic):
    @fastflow.flow
    def body(n):
        return summed(cached(n))

    run = body.with_options(executor=pools(name))
    assert run(1) == run(1) == MB
    assert traffic["fetched"] == 0


@on_clusters
def test_a_retry_here_has_the_values(pools, name, tmp_path):
    def at_the_second(array):
        tasks.note(tmp_path, "tries")
        if tasks.noted(tmp_path, "tries") < 2:
            raise OSError
        return float(array.sum())

    there = own_task(tasks.large, executor=pools(name))
    here = own_task(at_the_second, retries=2, retry_delay=0)

    @fastflow.flow
    def body():
        return here(there(1))

    assert body() == MB


@on_clusters
def test_a_flow_function_that_fails_keeps_what_was_made(pools, name):
    failing = own_task(tasks.raise_about)

    @fastflow.flow
    def body():
        return failing(large(1))

    with pytest.raises(TaskError, match="of 8,000,000 bytes") as caught:
        body.with_options(executor=pools(name))()
    assert caught.value.result["large"].sum() == MB
