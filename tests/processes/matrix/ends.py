"""How executors and programs end."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario, terminate

add = partial(scenario, group="ends")

PENDING = """
def slow():
    time.sleep(0.05)
    say("done")

def main():
    pool = Pool(2)
    for _ in range(6):
        pool.submit(slow)
    {then}
"""
for name, then, status, stderr, done in (
    ("the program falls off its end", "", 0, "", 6),
    ("sys.exit(3)", "sys.exit(3)", 3, "", 6),
    ("an exception", "raise ValueError('x')", 1, "ValueError: x", 6),
    ("shutdown(wait=False)", "pool.shutdown(wait=False)", 0, "", 6),
    ("shutdown()", "pool.shutdown()", 0, "", 6),
    ("the executor is dropped", "del pool", 0, "", 6),
    ("the executor is in a cycle",
     "held = [pool]; held.append(held); del pool, held; gc.collect()", 0, "", 6),
):  # fmt: skip
    add(
        f"calls pending, and then: {name}",
        PENDING.format(then=then),
        *["done"] * done,
        status=status,
        stderr=stderr,
    )

add(
    "shutdown(cancel_futures=True)",
    """
    def main():
        pool = Pool(1)
        first = pool.submit(hold, "go", 5)
        others = [pool.submit(same, n) for n in range(100)]
        until("go-begun")
        pool.shutdown(wait=False, cancel_futures=True)
        say(sum(other.cancelled() for other in others) > 90)
        mark("go")
        outcome(first.result)
    """,
    "True",
    "5",
)
add(
    "shutdown(kill=True)",
    """
    def main():
        pool = Pool(2)
        stuck = [pool.submit(hold, "never") for _ in range(2)]
        others = [pool.submit(same, n) for n in range(100)]
        until("never-begun")
        pool.shutdown(kill=True)
        say(all(future.done() for future in stuck + others))
        outcome(pool.submit, same, 1)
    """,
    "True",
    "RuntimeError",
    peer=False,
)
add(
    "shutdown(kill=True) with a worker that is stopped",
    """
    def main():
        pool = Pool(1)
        (pid,) = workers_of(pool)
        os.kill(pid, signal.SIGSTOP)
        future = pool.submit(same, 1)
        pool.shutdown(kill=True)
        say(future.done(), is_gone(pid))
    """,
    "True True",
    peer=False,
)
add(
    "shutdown(wait=False), then shutdown(kill=True)",
    """
    def main():
        pool = Pool(1)
        stuck = pool.submit(hold, "never")
        until("never-begun")
        pool.shutdown(wait=False)
        pool.shutdown(wait=False, kill=True)
        outcome(stuck.result)
        pool.shutdown()
        pool.shutdown()
    """,
    "BrokenProcessPool",
    peer=False,
)
add(
    "shutdown(kill=True) while the first workers start",
    """
    def main():
        for _ in range(5):
            pool = Pool(2)
            futures = [pool.submit(same, n) for n in range(10)]
            pool.shutdown(kill=True)
            say(all(future.done() for future in futures))
    """,
    *["True"] * 5,
    peer=False,
)
add(
    "shutdown from a callback",
    """
    def main():
        pool = Pool(2)
        gone = threading.Event()

        def end(_):
            pool.shutdown(wait=False)
            gone.set()

        pool.submit(same, 1).add_done_callback(end)
        gone.wait()
        outcome(pool.submit, same, 1)
        pool.shutdown()
    """,
    "RuntimeError",
)
add(
    "shutdown(wait=True) from a callback",
    """
    def main():
        pool = Pool(1)
        gone = threading.Event()

        def end(_):
            try:
                pool.shutdown(wait=True)
            except RuntimeError as error:
                say(error)
            gone.set()

        first = pool.submit(hold, "go", 3)
        first.add_done_callback(end)
        mark("go")
        outcome(first.result)
        gone.wait()
        say("over")
    """,
    "3",
    "over",
)
add(
    "shutdown by several threads, while others submit",
    """
    def main():
        pool = Pool(2)
        made = []

        def feed():
            with contextlib.suppress(RuntimeError):
                while True:
                    made.append(pool.submit(same, 1))

        threads = [threading.Thread(target=feed) for _ in range(3)]
        threads += [threading.Thread(target=pool.shutdown) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say(sum(future.result() for future in made) == len(made))
    """,
    "True",
)
add(
    "an executor dropped without shutdown: its workers end",
    """
    def main():
        pool = Pool(2)
        pids = workers_of(pool)
        del pool
        gc.collect()
        for pid in pids:
            until(is_gone, pid)
        say("gone")
    """,
    "gone",
)
add(
    "an executor dropped with calls pending: they are made",
    """
    def main():
        pool = Pool(2)
        futures = [pool.submit(job, n) for n in range(1000)]
        del pool
        gc.collect()
        say(sum(future.result() for future in futures) == sum(map(job, range(1000))))
    """,
    "True",
)
add(
    "an executor made, used and dropped in a thread",
    """
    def use():
        pool = Pool(2)
        for _ in range(4):
            pool.submit(say, "done")

    def main():
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    """,
    *["done"] * 4,
)
add(
    "os._exit with calls running",
    """
    def main():
        pool = Pool(2)
        for _ in range(4):
            pool.submit(hold, "never")
        until("never-begun")
        os._exit(5)
    """,
    status=5,
)
add(
    "os.execv with calls running",
    """
    def main():
        pool = Pool(2)
        for _ in range(4):
            pool.submit(hold, "never")
        until("never-begun")
        os.execv("/bin/true", ["true"])
    """,
)
add(
    "sys.exit in a thread while the main thread waits",
    """
    def main():
        pool = Pool(1)
        future = pool.submit(hold, "go", 4)

        def end():
            until("go-begun")
            mark("go")
            sys.exit(1)

        threading.Thread(target=end).start()
        outcome(future.result)
    """,
    "4",
)
add(
    "a daemon thread waits for a call when the program ends",
    """
    def main():
        pool = Pool(1)
        future = pool.submit(hold, "go", 4)
        threading.Thread(target=future.result, daemon=True).start()
        until("go-begun")
        mark("go")
    """,
)
add(
    "a daemon thread submits when the program ends",
    """
    def main():
        pool = Pool(2)
        begun = threading.Event()

        def feed():
            with contextlib.suppress(RuntimeError):
                while True:
                    pool.submit(same, 1).result()
                    begun.set()

        threading.Thread(target=feed, daemon=True).start()
        begun.wait()
    """,
)
add(
    "an atexit handler submits: refused",
    """
    import atexit

    def main():
        pool = Pool(1)
        outcome(pool.submit(same, 1).result)
        atexit.register(outcome, pool.submit, same, 1)
    """,
    "1",
    "RuntimeError",
)
add(
    "ten thousand calls queued when the program ends",
    """
    import atexit

    def main():
        pool = Pool(2)
        futures = [pool.submit(job, n) for n in range(10_000)]
        atexit.register(lambda: say(sum(future.done() for future in futures)))
    """,
    "10000",
)
add(
    "SIGTERM, its usual action",
    """
    def main():
        pool = Pool(2)
        futures = [pool.submit(hold, "never") for _ in range(4)]
        until("never-begun")
        say("ready")
        futures[0].result()
    """,
    "ready",
    status=-15,
    stimuli=(("ready", terminate),),
)
add(
    "SIGTERM, with a handler that shuts down",
    """
    def main():
        pool = Pool(2)

        def end(*_):
            pool.shutdown(wait=False, cancel_futures=True)
            mark("go")
            sys.exit(4)

        signal.signal(signal.SIGTERM, end)
        futures = [pool.submit(hold, "go") for _ in range(100)]
        until("go-begun")
        say("ready")
        for future in futures:
            future.result()
    """,
    "ready",
    status=4,
    stimuli=(("ready", terminate),),
)
add(
    "future.terminate()",
    """
    def main():
        with Pool(1) as pool:
            stuck = pool.submit(hold, "never")
            waits = pool.submit(same, 1)
            until("never-begun")
            until(stuck.running)
            say(stuck.terminate(), waits.terminate() or waits.result() == 1)
            outcome(stuck.result)
            say(stuck.terminate())
            health(pool)
    """,
    "True True",
    "BrokenProcessPool",
    "False",
    "well",
    peer=False,
)
add(
    "cancel before a call begins",
    """
    def main():
        with Pool(1) as pool:
            first = pool.submit(hold, "go", 1)
            others = [pool.submit(mark, f"made-{n}") for n in range(100)]
            until("go-begun")
            cancelled = [n for n, other in enumerate(others) if other.cancel()]
            say(len(cancelled) > 90, first.cancel())
            mark("go")
            cf.wait(others)
            say(any(marked(f"made-{n}") for n in cancelled))
            health(pool)
    """,
    "True False",
    "False",
    "well",
)
add(
    "max_tasks_per_child",
    """
    def main():
        with Pool(1, max_tasks_per_child=10) as pool:
            pids = [pool.submit(getpid).result() for _ in range(50)]
            say(len(set(pids)), max(map(pids.count, pids)))
            futures = [pool.submit(getpid) for _ in range(100)]
            say(len({future.result() for future in futures}))
    """,
    "5 10",
    "10",
)
add(
    "memory_limit",
    """
    KEPT = []

    def grow():
        KEPT.append(b"x" * 40_000_000)
        return os.getpid()

    def main():
        with Pool(1, memory_limit=int(resident() * 1e6) + 150_000_000) as pool:
            pids = [pool.submit(grow).result() for _ in range(20)]
            say(1 < len(set(pids)) < 20)
            health(pool)
    """,
    "True",
    "well",
    peer=False,
)
add(
    "idle_timeout ends workers, and calls start others",
    """
    def main():
        with Pool(2, idle_timeout=0.05) as pool:
            for _ in range(3):
                pids = workers_of(pool)
                for pid in pids:
                    until(is_gone, pid)
                health(pool)
    """,
    "well",
    "well",
    "well",
    peer=False,
)
