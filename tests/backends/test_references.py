"""Results that stay on a cluster until somebody reads them."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

import fastflow
from backends import tasks
from backends.places import PLACES, is_there
from backends.test_conformance import flow_of, items
from fastflow import TaskError

CLUSTERS = ("dask", "ray")
MB = 1_000_000


@pytest.fixture
def network(monkeypatch):
    """Bytes that Dask reads and writes in this process, where its scheduler is, too."""
    tcp = pytest.importorskip("distributed.comm.tcp")
    passed = {"bytes": 0}
    read, write = tcp.read_bytes_rw, tcp.TCP.write

    async def count_read(stream, count):
        passed["bytes"] += count
        return await read(stream, count)

    async def count_written(self, *args, **kwargs):
        count = await write(self, *args, **kwargs)
        passed["bytes"] += count
        return count

    monkeypatch.setattr(tcp, "read_bytes_rw", count_read)
    monkeypatch.setattr(tcp.TCP, "write", count_written)
    return passed


on_clusters = pytest.mark.parametrize("name", CLUSTERS)


def diamond():
    return flow_of(
        "large -> doubled_1 -> both", "large -> doubled_2 -> both", "both -> summed"
    )


@on_clusters
def test_large_results_do_not_pass_the_driver_before_they_are_read(
    pools, name, traffic
):
    pool = pools(name)
    result = diamond().run(6, executor=pool)
    assert result["summed"] == 24 * MB
    assert result.summary()["status"] == "COMPLETED"
    assert len(result.timeline()) == 5
    assert traffic["fetched"] == 0
    assert traffic["bytes"] < 0.1 * MB
    assert result["both"].nbytes == 48 * MB
    assert result["both"] is result["both"] is result.tasks["both"].output
    assert traffic["fetched"] == 1


def test_dask_moves_them_past_the_driver(pools, network):
    pool = pools("dask")
    result = diamond().run(6, executor=pool)
    assert network["bytes"] < 2 * MB
    assert result["both"].nbytes == 48 * MB
    assert 48 * MB <= network["bytes"] < 60 * MB


@on_clusters
def test_large_items_are_passed_on_as_references(pools, name, traffic):
    flow = flow_of(
        "given -> large_item[*]", "large_item -> doubled[*]", "doubled -> sums"
    )
    result = flow.run(items(range(5)), executor=pools(name))
    assert result["sums"] == [0, 2, 4, 6, 8]
    assert traffic["fetched"] == 0
    assert traffic["bytes"] < 0.1 * MB
    assert [array[1] for array in result["doubled"]] == [0, 2, 4, 6, 8]
    assert traffic["fetched"] == 5


@on_clusters
def test_small_results_come_along(pools, name, traffic):
    flow = flow_of("given -> square[*]", "square -> total")
    result = flow.run(items(range(10)), executor=pools(name))
    assert result["total"] == 285
    assert traffic["fetched"] == 0


@on_clusters
def test_a_local_task_fetches_once_what_it_needs(pools, name, traffic):
    registry = fastflow.TaskRegistry()
    pool = pools(name)
    there = {
        task: registry.task(name=task, executor=pool)(getattr(tasks, task.rstrip("_1")))
        for task in ("large", "doubled", "large_item", "summed_1")
    }
    flow = flow_of(
        "large -> doubled -> summed_1", "doubled -> summed", "doubled -> doubled_2",
        "given -> large_item[*]", "large_item -> sums", "large_item -> summed_2[*]",
        **there,
    )  # fmt: skip
    result = flow.run({"n": 1, "items": [1, 2]}, executor="threads")
    assert result["summed"] == result["summed_1"] == 2 * MB
    assert result["doubled_2"].sum() == 4 * MB
    assert result["sums"] == [1, 2]
    assert result["summed_2"] == [0.5 * MB, MB]
    assert traffic["fetched"] == 3
    assert result["large"].sum() == MB
    assert traffic["fetched"] == 4


@on_clusters
def test_a_result_that_is_pickled_has_the_values(pools, name):
    flow = flow_of("large -> doubled", "doubled -> summed")
    result = flow.run(1, executor=pools(name))
    again = pickle.loads(pickle.dumps(result))
    assert again["doubled"].sum() == again["summed"] == 2 * MB
    record = pickle.loads(
        pickle.dumps(flow.run(1, executor=pools(name)).tasks["large"])
    )
    assert record.output.sum() == MB


@on_clusters
def test_another_executor_gets_the_values(pools, name):
    registry = fastflow.TaskRegistry()
    with fastflow.ProcessExecutor(1) as processes:
        far = registry.task(name="summed", executor=processes)(tasks.summed)
        flow = flow_of("large -> doubled -> summed", summed=far)
        assert flow.run(1, executor=pools(name))["summed"] == 2 * MB


@pytest.fixture
def uncollected():
    """What is gone is so as nobody refers to it, without the collector of cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_dask_forgets_what_nobody_refers_to(pools, uncollected):
    client = pools("dask").client
    await_true(lambda: client.run_on_scheduler(_stored) < MB)  # of other tests
    result = diamond().run(1, executor=pools("dask"))
    assert client.run_on_scheduler(_stored) >= 4 * 8 * MB
    del result
    await_true(lambda: client.run_on_scheduler(_stored) < MB)


def _stored(dask_scheduler):
    return sum(max(task.nbytes, 0) for task in dask_scheduler.tasks.values())


def test_ray_forgets_what_nobody_refers_to(pools, uncollected):
    pools("ray")
    import ray

    def used():
        total = ray.cluster_resources()["object_store_memory"]
        return total - ray.available_resources().get("object_store_memory", 0)

    before = used()
    for _ in range(3):
        result = flow_of("large -> doubled").run(2, executor=pools("ray"))
        assert result["doubled"].sum() == 4 * MB
        del result
    await_true(lambda: used() <= before + MB)


def await_true(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def own_dask():
    if not is_there(PLACES["dask"]):
        pytest.skip("distributed is not installed")
    with PLACES["dask"].make() as pool:
        yield pool


def test_dask_makes_again_what_a_dead_worker_kept(own_dask, tmp_path):
    result = flow_of("noted_large").run(str(tmp_path), executor=own_dask)
    kill_all_workers(own_dask.client)
    assert result["noted_large"].sum() == MB
    assert tasks.noted(tmp_path, "made") == 2


def test_what_is_lost_is_told_with_the_task(own_dask):
    array = np.ones(2 * MB)  # it went to a worker, and can't be made again
    result = flow_of("doubled").run(array, executor=own_dask)
    kill_all_workers(own_dask.client)
    with pytest.raises(RuntimeError, match=r"task 'doubled' stayed on the cluster"):
        result["doubled"]


def test_after_the_client_is_closed_an_error_says_what_to_do(own_dask):
    result = flow_of("large -> summed").run(1, executor=own_dask)
    own_dask.client.close()
    assert result["summed"] == MB
    with pytest.raises(RuntimeError, match="read while the cluster is there"):
        result["large"]


def test_a_worker_dies_between_two_tasks(own_dask, tmp_path):
    registry = {"kill": lambda x: _kill_holder(own_dask.client, x)}
    kill = fastflow.TaskRegistry().task(executor="threads")(registry["kill"])
    flow = flow_of("noted_large -> kill", "kill -> both_of", "noted_large -> both_of",
                   kill=kill, both_of=_second_summed)  # fmt: skip
    result = flow.run(str(tmp_path), executor=own_dask)
    assert result["both_of"] == MB
    assert tasks.noted(tmp_path, "made") >= 2


def test_a_task_whose_argument_is_lost_fails_with_its_name(own_dask):
    kill = fastflow.TaskRegistry().task(executor="threads")(
        lambda x: _kill_workers(own_dask.client, x)
    )
    flow = flow_of("doubled -> summed -> kill -> both_of", "doubled -> both_of",
                   kill=kill, both_of=_second_summed)  # fmt: skip
    with pytest.raises(TaskError, match="task 'doubled' stayed on the cluster"):
        flow.run(np.ones(2 * MB), executor=own_dask)


def _kill_workers(client, value):
    kill_all_workers(client)
    return value


def _second_summed(_, array):
    return float(array.sum())


def _kill_holder(client, array):
    kill_all_workers(client)
    return float(array.sum())


def kill_all_workers(client):
    """Kill the workers; nannies start others."""
    before = set(client.run(os.getpid).values())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await_true(lambda: len(pids(client) - before) == 2)


def pids(client):
    with contextlib.suppress(Exception):
        return set(client.run(os.getpid).values())
    return set()


@on_clusters
def test_two_threads_fetch_the_same_once(pools, name, traffic):
    result = flow_of("large -> doubled").run(2, executor=pools(name))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(result["doubled"]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic["fetched"] == 1
    assert len({id(array) for array in found}) == 1


@on_clusters
def test_a_flow_that_fails_keeps_what_was_made(pools, name):
    flow = flow_of("large -> raise_about")
    with pytest.raises(TaskError, match="of 8,000,000 bytes") as caught:
        flow.run(1, executor=pools(name))
    assert caught.value.result["large"].sum() == MB
