"""`ProcessExecutor`: what its users rely on."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import functools
import gc
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastflow
import process_calls as calls
from fastflow import ProcessExecutor, TransferError, WorkerDiedError

PIPES = not hasattr(fastflow._core, "Channel") or (
    os.environ.get("FASTFLOW_TRANSPORT") == "pipe"
)
METHODS = [
    method
    for method in ("forkserver", "spawn", "fork")
    if method in multiprocessing.get_all_start_methods()
]


@pytest.fixture(scope="module")
def executor():
    with ProcessExecutor(2) as made:
        yield made


@pytest.fixture
def paths(tmp_path):
    """Names of files that aren't there yet."""
    return [str(tmp_path / f"file{n}") for n in range(8)]


def touch(path):
    Path(path).touch()


def wait_for(condition):
    """Wait until something holds; the test's own limit ends it otherwise."""
    gate = threading.Event()
    while not condition():
        gate.wait(0.002)


class TestCalls:
    def test_it_is_the_standard_class(self, executor):
        assert isinstance(executor, cf.ProcessPoolExecutor)
        assert fastflow.ProcessPoolExecutor is ProcessExecutor
        future = executor.submit(pow, 2, 10)
        assert isinstance(future, cf.Future)
        assert future.result() == 1024

    @pytest.mark.parametrize("method", METHODS)
    def test_every_start_method(self, method):
        with ProcessExecutor(2, start_method=method) as executor:
            assert executor.submit(calls.pid).result() != os.getpid()
            assert list(executor.map(calls.same, range(1000))) == list(range(1000))

    def test_arguments_of_every_kind(self, executor):
        sent = executor.submit(calls.both, 1, "b", key=[1, 2])
        assert sent.result() == ((1, "b"), {"key": [1, 2]})
        assert executor.submit(calls.both).result() == ((), {})

    def test_functions_with_contents_are_not_mixed_up(self, executor):
        adder = calls.Adder(1)
        first = executor.submit(adder.add, 1)
        adder.value = 10
        second = executor.submit(adder.add, 1)
        third = executor.submit(functools.partial(calls.both, 5), 6)
        assert [first.result(), second.result()] == [2, 11]
        assert third.result() == ((5, 6), {})

    def test_many_calls_end_in_their_places(self, executor):
        futures = [executor.submit(calls.same, n) for n in range(20_000)]
        assert [future.result() for future in futures] == list(range(20_000))

    def test_calls_from_many_threads(self, executor):
        def work(n):
            futures = [executor.submit(calls.same, (n, i)) for i in range(500)]
            return [future.result() for future in futures] == [
                (n, i) for i in range(500)
            ]

        with cf.ThreadPoolExecutor(8) as threads:
            assert all(threads.map(work, range(8)))

    def test_an_exception_has_the_traceback_of_the_worker(self, executor):
        error = executor.submit(calls.fail, "this").exception()
        assert isinstance(error, ValueError)
        assert str(error) == "this"
        assert "in fail" in str(error.__cause__)

    def test_an_exception_that_cannot_travel(self, executor):
        with pytest.raises(fastflow.FastflowError, match="1 and 2"):
            executor.submit(calls.special).result()

    def test_a_value_that_cannot_be_pickled_fails_its_call_only(self, executor):
        bad = executor.submit(calls.unpicklable)
        assert executor.submit(calls.same, 1).result() == 1
        assert isinstance(bad.exception(), (TypeError, pickle.PicklingError))

    def test_arguments_that_cannot_be_pickled(self, executor):
        assert isinstance(
            executor.submit(calls.same, threading.Lock()).exception(),
            (TypeError, pickle.PicklingError, RuntimeError),
        )

    def test_a_function_that_the_worker_cannot_find(self, executor, monkeypatch):
        def gone():
            return 1

        gone.__module__, gone.__qualname__ = calls.__name__, "gone"
        monkeypatch.setattr(calls, "gone", gone, raising=False)
        with pytest.raises(TransferError, match="gone"):
            executor.submit(gone).result()
        with pytest.raises(cf.process.BrokenProcessPool):
            executor.submit(gone).result()
        assert executor.submit(calls.same, 2).result() == 2

    def test_messages_of_megabytes(self, executor):
        text = b"x" * 5_000_000
        assert executor.submit(calls.size, text).result() == len(text)
        assert executor.submit(calls.same, text).result() == text

    def test_asyncio(self, executor):
        async def main():
            loop = asyncio.get_running_loop()
            return await asyncio.gather(
                *(loop.run_in_executor(executor, calls.same, n) for n in range(50))
            )

        assert asyncio.run(main()) == list(range(50))

    def test_callbacks_come_without_anybody_waiting(self, executor):
        done = threading.Event()
        executor.submit(calls.same, 1).add_done_callback(lambda _: done.set())
        assert done.wait(30)

    def test_waits_of_both_libraries(self, executor):
        futures = [executor.submit(calls.same, n) for n in range(30)]
        assert cf.wait(futures, 30).not_done == set()
        futures = [executor.submit(calls.same, n) for n in range(30)]
        assert {f.result() for f in cf.as_completed(futures, 30)} == set(range(30))
        futures = [executor.submit(calls.same, n) for n in range(30)]
        assert {f.result() for f in fastflow.as_completed(futures, 30)} == set(
            range(30)
        )
        futures = [executor.submit(calls.same, n) for n in range(30)]
        assert fastflow.wait(futures, 30).not_done == set()

    def test_calls_of_workers_run_in_their_threads(self, executor):
        assert executor.submit(calls.nested, [1, 2, 3]).result() == ([1, 2, 3], True)

    def test_logs_of_workers_reach_handlers(self, executor, caplog):
        with caplog.at_level(logging.WARNING):
            executor.submit(calls.log, "this").result()
            wait_for(
                lambda: executor.submit(calls.same, 0).result() == 0 and caplog.records
            )
        assert [record.getMessage() for record in caplog.records] == ["it says this"]

    def test_workers_share_the_cores(self):
        with ProcessExecutor(2, blas_threads=3) as executor:
            assert executor.submit(calls.blas_threads).result() == "3"


class TestMap:
    def test_several_iterables_and_generators(self, executor):
        pairs = executor.map(calls.both, (n for n in range(100)), range(1000))
        assert list(pairs) == [((n, n), {}) for n in range(100)]
        assert list(executor.map(calls.same, [])) == []

    @pytest.mark.parametrize("size", [1, 7, 1000])
    def test_sizes_of_chunks(self, executor, size):
        assert list(executor.map(calls.same, range(500), chunksize=size)) == list(
            range(500)
        )
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(calls.same, range(5), chunksize=0)

    def test_it_raises_in_the_place_of_the_item(self, executor):
        values = executor.map(calls.size, ["a", "bb", 3, "dddd"])
        assert [next(values), next(values)] == [1, 2]
        with pytest.raises(TypeError):
            next(values)
        assert list(values) == []

    @pytest.mark.skipif(PIPES, reason="nothing can be taken back from a pipe")
    def test_items_behind_a_slow_one_are_made_elsewhere(self, executor, paths):
        # The first item of some waits for a file that is written when all others are
        # there: a chunk that kept them would hang.
        (path, *_) = paths
        done = []
        values = executor.map(functools.partial(calls.until_after, path), range(200))
        futures = [executor.submit(calls.same, n) for n in range(50)]
        for future in futures:
            done.append(future.result())
        assert done == list(range(50))
        touch(path)
        assert list(values) == list(range(200))

    def test_a_time_limit(self, executor, paths):
        (path, *_) = paths
        values = executor.map(calls.until, [path], timeout=0.05)
        with pytest.raises(TimeoutError):
            next(values)
        touch(path)

    def test_one_that_is_dropped_makes_no_more_chunks(self, paths):
        path, *_ = paths
        with ProcessExecutor(1) as executor:
            values = executor.map(
                functools.partial(calls.until_after, path), range(10**6), chunksize=1
            )
            del values
            touch(path)
            assert executor.submit(calls.same, 1).result() == 1


class TestCancelling:
    def test_what_has_not_begun_can_be_cancelled(self, paths):
        said, path, *_ = paths
        with ProcessExecutor(1) as executor:
            first = executor.submit(calls.say_and_wait, said, path)
            others = [executor.submit(calls.same, n) for n in range(10)]
            wait_for(lambda: Path(said).exists())
            assert first.running()
            assert not first.cancel()
            assert not others[0].running()
            if not PIPES:
                assert all(other.cancel() for other in others[::2])
                assert all(other.cancelled() for other in others[::2])
            touch(path)
            assert [other.result() for other in others[1::2]] == [1, 3, 5, 7, 9]

    def test_terminate_ends_the_call_and_no_other(self, paths):
        said, path, *_ = paths
        with ProcessExecutor(1) as executor:
            stuck = executor.submit(calls.say_and_wait, said, path)
            after = executor.submit(calls.same, 1)
            wait_for(lambda: Path(said).exists() and stuck.running())
            assert stuck.terminate()
            with pytest.raises(WorkerDiedError, match="SIGKILL"):
                stuck.result()
            assert after.result() == 1
            assert not after.terminate()

    def test_shutdown_that_kills(self, paths):
        said, path, *_ = paths
        executor = ProcessExecutor(1)
        stuck = executor.submit(calls.say_and_wait, said, path)
        others = [executor.submit(calls.same, n) for n in range(100)]
        wait_for(lambda: Path(said).exists())
        executor.shutdown(kill=True)
        assert isinstance(stuck.exception(), WorkerDiedError)
        assert all(other.done() for other in others)
        with pytest.raises(RuntimeError, match="shutdown"):
            executor.submit(calls.same, 1)


class TestDeaths:
    def test_a_death_costs_one_call(self):
        with ProcessExecutor(2) as executor:
            before = [executor.submit(calls.same, n) for n in range(500)]
            deadly = executor.submit(calls.leave, 3)
            after = [executor.submit(calls.same, n) for n in range(500)]
            assert [f.result() for f in [*before, *after]] == [*range(500), *range(500)]
            with pytest.raises(WorkerDiedError, match=r"leave has exited with code 3"):
                deadly.result()

    def test_signals_have_names(self):
        with ProcessExecutor(1) as executor:
            with pytest.raises(cf.process.BrokenProcessPool, match="SIGSEGV"):
                executor.submit(calls.end_by, signal.SIGSEGV).result()
            assert executor.submit(calls.same, 1).result() == 1

    def test_retry_makes_the_call_again(self, paths):
        path, *_ = paths
        with ProcessExecutor(1, on_worker_death="retry") as executor:
            assert executor.submit(calls.once, path, 5).result() == 5
            with pytest.raises(WorkerDiedError):  # not for ever
                executor.submit(calls.leave, 1).result()

    def test_a_map_whose_worker_dies_raises(self):
        with ProcessExecutor(2) as executor:
            values = executor.map(calls.leave, [1, 2, 3], chunksize=1)
            with pytest.raises(WorkerDiedError):
                list(values)
            assert list(executor.map(calls.same, range(100))) == list(range(100))

    def test_an_initializer(self):
        with ProcessExecutor(2, initializer=calls.set_up, initargs=(5,)) as executor:
            assert executor.submit(calls.what_is_set_up).result() == [5]

    def test_an_initializer_that_fails_breaks_the_pool(self):
        with ProcessExecutor(
            2, initializer=calls.fail, initargs=("set-up",)
        ) as executor:
            future = executor.submit(calls.same, 1)
            with pytest.raises(
                cf.process.BrokenProcessPool, match="initialized"
            ) as told:
                future.result()
            assert "set-up" in str(told.value.__cause__)
            with pytest.raises(fastflow.BrokenProcessesError):
                executor.submit(calls.same, 1)

    def test_workers_that_die_at_their_start_break_the_pool(self):
        with ProcessExecutor(2, initializer=calls.leave, initargs=(7,)) as executor:
            future = executor.submit(calls.same, 1)
            with pytest.raises(fastflow.BrokenProcessesError, match="code 7"):
                future.result()

    def test_workers_are_replaced_after_some_calls(self):
        with ProcessExecutor(1, max_tasks_per_child=3) as executor:
            pids = [executor.submit(calls.pid).result() for _ in range(9)]
            assert len(set(pids)) == 3
            futures = [executor.submit(calls.pid) for _ in range(30)]
            counts = {f.result(): 0 for f in futures}
            assert len(counts) >= 10

    @pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
    def test_workers_that_have_grown_are_replaced(self):
        with ProcessExecutor(1, memory_limit=150 << 20) as executor:
            pids = [executor.submit(calls.grow, 30 << 20).result() for _ in range(12)]
            assert 1 < len(set(pids)) < 12

    def test_workers_that_idle_end(self):
        with ProcessExecutor(2, idle_timeout=0.05) as executor:
            first = executor.submit(calls.pid).result()
            wait_for(lambda: not executor._desk.workers)
            assert executor.submit(calls.pid).result() != first


class TestBackPressure:
    def test_submit_waits_for_room(self):
        with ProcessExecutor(1, max_pending=4) as executor:
            futures = [executor.submit(calls.same, n) for n in range(300)]
            assert [future.result() for future in futures] == list(range(300))

    def test_it_raises_or_calls_here(self, paths):
        path, *_ = paths
        with ProcessExecutor(1, max_pending=2, on_full="raise") as executor:
            futures = [executor.submit(calls.until, path) for _ in range(3)]
            with pytest.raises(fastflow.QueueFullError):
                executor.submit(calls.same, 1)
            touch(path)
            assert [future.result() for future in futures] == [path] * 3
        with ProcessExecutor(1, max_pending=1, on_full="caller_runs") as executor:
            futures = [executor.submit(calls.pid) for _ in range(100)]
            assert os.getpid() in {future.result() for future in futures}


class TestArrays:
    def test_workers_see_views_that_they_cannot_write_to(self, executor):
        array = np.ones(100_000)
        assert executor.submit(calls.total, array).result() == (100_000.0, False)
        with pytest.raises(ValueError, match="read-only"):
            executor.submit(calls.write_to, array).result()
        small = np.ones(10)
        assert executor.submit(calls.total, small).result() == (10.0, True)

    def test_one_array_for_many_calls_lies_in_one_segment(self, executor):
        array = np.ones(100_000)
        futures = [executor.submit(calls.total, array) for _ in range(50)]
        shares = {share.inode for share in executor._packer.shares._known.values()}
        assert len(shares) <= 1
        assert {future.result() for future in futures} == {(100_000.0, False)}

    def test_an_array_that_was_changed_is_sent_again(self, executor, paths):
        array = np.zeros(100_000)
        first = executor.submit(calls.total, array)
        array[:] = 1
        second = executor.submit(calls.total, array)
        assert (first.result()[0], second.result()[0]) == (0.0, 100_000.0)

    def test_results_are_views_that_can_be_written_to(self, executor):
        found = [executor.submit(calls.numbers, 100_000) for _ in range(20)]
        for future in found:
            value = future.result()
            assert value[-1] == 99_999
            value[0] = 7

    @pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
    def test_nothing_is_left_of_them(self, executor):
        def descriptors():
            return len(list(Path("/proc/self/fd").iterdir()))

        executor.submit(calls.total, np.ones(100_000)).result()
        gc.collect()
        before = descriptors()
        for n in range(50):
            executor.submit(calls.total, np.full(100_000, n)).result()
            executor.submit(calls.numbers, 100_000).result()
        gc.collect()
        assert descriptors() <= before + 1
