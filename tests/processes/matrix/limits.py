"""Little memory, few descriptors, few processes; and nothing that grows."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario

add = partial(scenario, group="limits")

USE = """
import numpy

def main():
    array = numpy.ones(1_000_000)
    with Pool(2) as pool:
        outcome(lambda: sum(f.result().nbytes for f in
                            [pool.submit(same, array) for _ in range(50)]))
        health(pool)
"""
for name, shm in (
    ("of 64 MB", "size=64m"),
    ("that is full", "size=4k,nr_inodes=1"),
    ("that can't be written to", "size=64m,ro"),
):
    add(f"a /dev/shm {name}", USE, "400000000", "well", shm=shm)

add(
    "ulimit -n 64",
    """
    import numpy

    def main():
        arrays = [numpy.full(20_000, n) for n in range(200)]
        with Pool(2) as pool:
            futures = [pool.submit(numpy.sum, array) for array in arrays]
            say(sum(int(future.result()) for future in futures))
            health(pool)
    """,
    "398000000",
    "well",
    before=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"),
)
add(
    "ulimit -n 64, more workers than it allows",
    """
    def main():
        with Pool(60) as pool:
            futures = [pool.submit(hold, "go", n) for n in range(60)]
            mark("go")
            say(sum(future.result() for future in futures))
    """,
    "1770",
    stderr="^(?s:.*)$",  # of the forkserver, whose client hangs up
    before=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"),
    peer=False,
)
_AS_ANOTHER = (
    "setpriv", "--reuid=54321", "--inh-caps=+dac_read_search,+dac_override",
    "--ambient-caps=+dac_read_search,+dac_override",
    "prlimit", "--nproc={n}:{n}",
)  # fmt: skip
add(
    "no process can be started (RLIMIT_NPROC)",
    """
    def main():
        pool = Pool(2, multiprocessing.get_context("spawn"))
        try:
            say(pool.submit(same, 1).result())
        except (OSError, RuntimeError) as error:
            say("refused")
        pool.shutdown()
    """,
    "refused",
    before=tuple(word.format(n=1) for word in _AS_ANOTHER),
    root=True,
)
for method in ("forkserver", "spawn", "fork"):
    add(
        f"fewer processes than wanted can be started (RLIMIT_NPROC), {method}",
        f"""
        def main():
            pool = Pool(30, multiprocessing.get_context({method!r}))
            try:
                futures = [pool.submit(hold, "go", n) for n in range(30)]
                mark("go")
                for future in futures:
                    future.result()
            except (OSError, EOFError, RuntimeError) as error:
                pass
            mark("go")
            say("no hang")
            pool.shutdown()
        """,
        "no hang",
        stderr="^(?s:.*)$",  # of workers that have no thread
        before=tuple(word.format(n=16) for word in _AS_ANOTHER),
        root=True,
    )
add(
    "10^5 calls: nothing grows",
    """
    def look(pool, pids):
        gc.collect()
        return [(open_files(pid), resident(pid)) for pid in ["self", *pids]]

    def use(pool, count):
        futures = [pool.submit(job, n) for n in range(count)]
        for future in futures:
            future.result()
        sum(pool.map(job, range(count)))

    def main():
        with Pool(2) as pool:
            pids = workers_of(pool)
            use(pool, 50_000)
            before = look(pool, pids)
            for _ in range(2):
                use(pool, 50_000)
            after = look(pool, pids)
            say(workers_of(pool) == pids, os.listdir("/dev/shm"))
            for (files, size), (files_then, size_then) in zip(before, after):
                say(files_then - files, "MB" if size_then - size > 8 else "flat")
    """,
    "True []",
    "0 flat",
    "0 flat",
    "0 flat",
    slow=True,
)
add(
    "2000 calls with arrays: nothing grows",
    """
    import numpy

    def look(pids):
        gc.collect()
        return [(open_files(pid), resident(pid)) for pid in ["self", *pids]]

    def double(array):
        return array * 2

    def use(pool, count):
        for n in range(count):
            array = numpy.full(100_000, float(n))
            assert pool.submit(double, array).result()[-1] == 2 * n
        del array

    def main():
        with Pool(2) as pool:
            pids = workers_of(pool)
            use(pool, 500)
            before = look(pids)
            use(pool, 1500)
            after = look(pids)
            say(os.listdir("/dev/shm"))
            for (files, size), (files_then, size_then) in zip(before, after):
                say("files" if files_then - files > 12 else "few",
                    "MB" if size_then - size > 16 else "flat")
    """,
    "[]",
    "few flat",
    "few flat",
    "few flat",
    slow=True,
)
add(
    "fifty executors one after another: nothing is left",
    """
    def use(count):
        for _ in range(count):
            with Pool(2) as pool:
                health_of = [pool.submit(same, n) for n in range(20)]
                assert sum(future.result() for future in health_of) == 190
        gc.collect()

    def main():
        use(5)
        files, threads = open_files(), threading.active_count()
        use(50)
        say(open_files() - files, threading.active_count() - threads)
        say(multiprocessing.active_children())
    """,
    "0 0",
    "[]",
    slow=True,
)
add(
    "fifty executors dropped without shutdown: nothing is left",
    """
    def use(count):
        for n in range(count):
            Pool(1).submit(same, n).result()

    def main():
        use(3)
        gc.collect()
        until(lambda: not multiprocessing.active_children())
        until(lambda: threading.active_count() == 1)
        files = open_files()
        use(50)
        gc.collect()
        until(lambda: not multiprocessing.active_children())
        until(lambda: threading.active_count() == 1)
        gc.collect()
        say("more" if open_files() > files else "no more")
    """,
    "no more",
    slow=True,
)
add(
    "a hundred deaths: nothing grows",
    """
    def use(count):
        for _ in range(count):
            assert pool.submit(die, "os._exit").exception() is not None

    def main():
        global pool
        with Pool(1) as pool:
            use(5)
            files = look()
            use(100)
            say("more" if look() > files else "no more")

    def look():
        assert pool.submit(same, 1).result() == 1
        gc.collect()
        until(lambda: len(multiprocessing.active_children()) == 1)
        return open_files()
    """,
    "no more",
    slow=True,
)
