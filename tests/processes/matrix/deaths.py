"""Workers that die: at each stage of a call, in each way."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario

add = partial(scenario, group="deaths")
WAYS = ("SIGKILL", "SIGSEGV", "os._exit", "MemoryError")
DEADLY = WAYS[:3]

for how in WAYS:
    died = "MemoryError" if how == "MemoryError" else "BrokenProcessPool"

    add(
        f"{how} while the arguments are unpickled",
        f"""
        class Deadly:
            def __reduce__(self):
                return die, ({how!r},)

        def main():
            with Pool(2) as pool:
                outcome(pool.submit(same, Deadly()).result)
                health(pool)
        """,
        "BrokenProcessPool",
        "well",
    )
    add(
        f"{how} in the call",
        f"""
        def main():
            with Pool(2) as pool:
                before = [pool.submit(same, n) for n in range(20)]
                deadly = pool.submit(die, {how!r})
                after = [pool.submit(same, n) for n in range(20)]
                outcome(deadly.result)
                outcome(lambda: sum(f.result() for f in [*before, *after]))
                health(pool)
        """,
        died,
        "380",
        "well",
    )
    add(
        f"{how} while the result is pickled",
        f"""
        class Deadly:
            def __reduce__(self):
                die({how!r})

        def make():
            return Deadly()

        def main():
            with Pool(2) as pool:
                outcome(pool.submit(make).result)
                health(pool)
        """,
        died,
        "well",
    )
    add(
        f"{how} once during the start",
        f"""
        if __name__ == "__mp_main__" and first_time("start"):
            die({how!r})

        def main():
            with Pool(1, multiprocessing.get_context("spawn")) as pool:
                health(pool)
        """,
        "well",
        stderr="MemoryError" if how == "MemoryError" else "",
    )
    add(
        f"{how} at every start",
        f"""
        if __name__ == "__mp_main__":
            die({how!r})

        def main():
            with Pool(2, multiprocessing.get_context("spawn")) as pool:
                future = pool.submit(same, 1)
                outcome(future.result)
                outcome(pool.submit, same, 1)
        """,
        "BrokenProcessPool",
        "BrokenProcessPool",
        stderr="MemoryError" if how == "MemoryError" else "",
    )
    add(
        f"{how} in the initializer",
        f"""
        def set_up(how):
            until("queued")
            die(how)

        def main():
            with Pool(2, initializer=set_up, initargs=({how!r},)) as pool:
                futures = [pool.submit(same, n) for n in range(5)]
                mark("queued")
                for future in futures:
                    outcome(future.result)
                outcome(pool.submit, same, 1)
        """,
        *["BrokenProcessPool"] * 6,
    )

for how in DEADLY:
    add(
        f"{how} between two calls",
        f"""
        def wait_and_die():
            until("now")
            die({how!r})

        def prepare():
            threading.Thread(target=wait_and_die, daemon=True).start()
            return os.getpid()

        def main():
            with Pool(1) as pool:
                pid = pool.submit(prepare).result()
                mark("now")
                until(is_gone, pid)
                health(pool)
        """,
        "well",
    )
    add(
        f"{how} once in the initializer",
        f"""
        def set_up():
            if first_time("died"):
                die({how!r})

        def main():
            with Pool(1, initializer=set_up) as pool:
                health(pool)
        """,
        "well",
    )

add(
    "SIGKILL of all workers with a thousand calls pending",
    """
    def main():
        with Pool(2) as pool:
            pids = workers_of(pool)
            futures = [pool.submit(hold, "go", n) for n in range(1000)]
            until("go-begun")
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            mark("go")
            failed = sum(future.exception() is not None for future in futures)
            say("at most those that ran" if failed <= 2 else failed)
            health(pool)
    """,
    "at most those that ran",
    "well",
)
add(
    "SIGKILL under a map",
    """
    def main():
        with Pool(2) as pool:
            outcome(list, pool.map(die, ["SIGKILL"] * 3, chunksize=1))
            outcome(lambda: sum(pool.map(same, range(1000))))
    """,
    "BrokenProcessPool",
    "499500",
)
add(
    "a call that leaves by sys.exit or KeyboardInterrupt",
    """
    def leave(kind):
        raise kind

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(leave, SystemExit).result)
            outcome(pool.submit(leave, KeyboardInterrupt).result)
            outcome(pool.submit(leave, GeneratorExit).result)
            health(pool)
    """,
    "SystemExit",
    "KeyboardInterrupt",
    "GeneratorExit",
    "well",
)
add(
    "real exhaustion of a worker's memory",
    """
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    def use():
        return len(bytes(8 << 30))

    def main():
        with Pool(1, initializer=limit) as pool:
            outcome(pool.submit(use).result)
            health(pool)
    """,
    "MemoryError",
    "well",
)
add(
    "the forkserver is killed",
    """
    def main():
        context = multiprocessing.get_context("forkserver")
        with Pool(2, context) as pool:
            before = workers_of(pool)
            from multiprocessing.forkserver import _forkserver
            os.kill(_forkserver._forkserver_pid, signal.SIGKILL)
            until(is_gone, _forkserver._forkserver_pid)
            health(pool)
            for pid in before:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in before:
                until(is_gone, pid)
            health(pool)
    """,
    "well",
    "well",
)
add(
    "a worker closes all its descriptors",
    """
    def close_all():
        os.closerange(3, 1000)
        until("never")

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(close_all).result)
            health(pool)
    """,
    "BrokenProcessPool",
    "well",
)
add(
    "a killed worker leaves a child that lives on",
    """
    def beget():
        if not os.fork():
            until("over")
            os._exit(0)
        die("SIGKILL")

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(beget).result)
            health(pool)
            pool.shutdown()
        mark("over")
    """,
    "BrokenProcessPool",
    "well",
)
add(
    "a worker is stopped and goes on",
    """
    def main():
        with Pool(1) as pool:
            (pid,) = workers_of(pool)
            os.kill(pid, signal.SIGSTOP)
            futures = [pool.submit(same, n) for n in range(100)]
            say("done" if any(f.done() for f in futures) else "nothing done")
            os.kill(pid, signal.SIGCONT)
            outcome(lambda: sum(f.result() for f in futures))
            say(pool.submit(getpid).result() == pid)
    """,
    "nothing done",
    "4950",
    "True",
)
add(
    "one of two workers is stopped: the other makes its calls",
    """
    def main():
        pool = Pool(2)
        stopped, _ = workers_of(pool)
        os.kill(stopped, signal.SIGSTOP)
        futures = [pool.submit(same, n) for n in range(1000)]
        until(lambda: sum(future.done() for future in futures) >= 998)
        say("most are done")
        os.kill(stopped, signal.SIGCONT)
        outcome(lambda: sum(f.result() for f in futures))
        pool.shutdown()
    """,
    "most are done",
    "499500",
)
add(
    "a killed worker's call is made again",
    """
    def once():
        if first_time("died"):
            die("SIGKILL")
        return 5

    def main():
        with Pool(1, on_worker_death="retry") as pool:
            outcome(pool.submit(once).result)
            outcome(pool.submit(die, "SIGKILL").result)
            health(pool)
    """,
    "5",
    "BrokenProcessPool",
    "well",
    peer=False,
)
