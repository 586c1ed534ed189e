"""How programs are started, and where their functions are."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario

add = partial(scenario, group="starts")

WITHOUT_GUARD = """
pool = Pool(2, multiprocessing.get_context({method!r}))
outcome(pool.submit(same, 1).result)
pool.shutdown()
"""
for method in ("spawn", "forkserver"):
    add(
        f"a script without a guard, {method}",
        WITHOUT_GUARD.format(method=method),
        "BrokenProcessPool",
        guarded=False,
    )
add(
    "a script without a guard says what to do",
    """
    pool = Pool(2)
    print(pool.submit(same, 1).result())
    """,
    guarded=False,
    status=1,
    stderr="BrokenProcessesError: .*__name__ == .__main__.",
    peer=False,
)

CALLS_OF_MAIN = """
def twice(n):
    return 2 * n

def main():
    with Pool(2) as pool:
        refused(pool.submit(twice, 4).result)
        refused(lambda: list(pool.map(twice, range(5))))
        refused(pool.submit(lambda: 9).result)
        health(pool)
"""
WITHOUT_CLOUDPICKLE = "sys.modules['cloudpickle'] = None\n" + CALLS_OF_MAIN
for run in ("file", "-m", "-c", "stdin"):
    add(
        f"functions of __main__ with cloudpickle, {run}",
        CALLS_OF_MAIN,
        "8",
        "[0, 2, 4, 6, 8]",
        "9",
        "well",
        run=run,
    )
for run in ("file", "-m"):
    add(
        f"functions of __main__ without cloudpickle, {run}",
        WITHOUT_CLOUDPICKLE,
        "8",
        "[0, 2, 4, 6, 8]",
        "can't be pickled",
        "well",
        run=run,
    )
for run in ("-c", "stdin"):
    add(
        f"functions of __main__ without cloudpickle, {run}",
        WITHOUT_CLOUDPICKLE,
        "can't be pickled",
        "can't be pickled",
        "can't be pickled",
        "well",
        run=run,
    )
add(
    "classes of __main__ travel in both directions",
    """
    class Point:
        def __init__(self, x):
            self.x = x

    def move(point):
        return Point(point.x + 1)

    def main():
        with Pool(1) as pool:
            moved = pool.submit(move, Point(4)).result()
            say(type(moved) is Point, moved.x)
    """,
    "True 5",
)
add(
    "an executor made at the import of a module that workers import",
    """
    import shared_pool

    def main():
        outcome(shared_pool.POOL.submit(shared_pool.work, 3).result)
        health(shared_pool.POOL)
        shared_pool.POOL.shutdown()
    """,
    "6",
    "well",
    modules={
        "shared_pool.py": "from stage import Pool\n\nPOOL = Pool(2)\n\n\n"
        "def work(n):\n    return 2 * n\n"
    },
)
add(
    "a module that makes calls when workers import it says what to do",
    """
    import eager

    def main():
        say(eager.VALUE)
    """,
    status=1,
    stderr="BrokenProcessesError: .*__name__ == .__main__.",
    modules={
        "eager.py": "from stage import Pool, same\n\n"
        "with Pool(2) as pool:\n    VALUE = list(pool.map(same, range(3)))\n"
    },
    peer=False,
)
add(
    "the current folder is gone",
    """
    def main():
        folder = os.path.join(HERE, "gone")
        os.mkdir(folder)
        os.chdir(folder)
        os.rmdir(folder)
        with Pool(2, multiprocessing.get_context("fork")) as pool:
            health(pool)
        with Pool(2, multiprocessing.get_context("spawn")) as pool:
            error = outcome(pool.submit, same, 1)
            say("folder" in str(error) or error)
    """,
    "well",
    "FileNotFoundError",
    "True",
)
add(
    "the current folder and the path were changed by the program",
    """
    def main():
        folder = os.path.join(HERE, "a folder")
        os.mkdir(folder)
        with open(os.path.join(folder, "found_later.py"), "w") as file:
            file.write("def work(n):\\n    return n + 1\\n")
        sys.path.insert(0, folder)
        os.chdir("/")
        import found_later
        with Pool(1) as pool:
            outcome(pool.submit(found_later.work, 1).result)
            outcome(pool.submit(os.getcwd).result)
    """,
    "2",
    "/",
)
add(
    "-X dev, -W error",
    """
    def main():
        with Pool(2) as pool:
            health(pool)
            outcome(lambda: sum(pool.map(same, range(1000))))
            outcome(pool.submit(die, "SIGKILL").result)
            health(pool)
    """,
    "well",
    "499500",
    "BrokenProcessPool",
    "well",
    flags=("-X", "dev", "-W", "error"),
)
add(
    "stdin is closed",
    """
    def main():
        with Pool(2) as pool:
            health(pool)
    """,
    "well",
    before=("sh", "-c", 'exec "$@" <&-', "sh"),
)
add(
    "stdin and stderr are closed",
    """
    def main():
        with Pool(2) as pool:
            health(pool)
            outcome(pool.submit(die, "SIGKILL").result)
            health(pool)
    """,
    "well",
    "BrokenProcessPool",
    "well",
    before=("sh", "-c", 'exec "$@" <&- 2>&-', "sh"),
)
add(
    "an initializer that fails says why",
    """
    def set_up():
        raise ValueError("not today")

    def main():
        with Pool(2, initializer=set_up) as pool:
            error = outcome(pool.submit(same, 1).result)
            say("not today" in str(error.__cause__))
    """,
    "BrokenProcessPool",
    "True",
    peer=False,
)
add(
    "an initializer that hangs, and shutdown(kill=True)",
    """
    def main():
        pool = Pool(2, initializer=until, initargs=("never",))
        futures = [pool.submit(same, n) for n in range(5)]
        pool.shutdown(kill=True)
        say(all(future.done() for future in futures))
    """,
    "True",
    peer=False,
)
add(
    "an initializer that hangs for a while",
    """
    def set_up():
        mark("hangs")
        until("go")

    def main():
        with Pool(2, initializer=set_up) as pool:
            futures = [pool.submit(same, n) for n in range(5)]
            until("hangs")
            say(any(future.done() for future in futures))
            mark("go")
            outcome(lambda: sum(future.result() for future in futures))
    """,
    "False",
    "10",
)
add(
    "the first calls come from eight threads at once",
    """
    def main():
        gate = threading.Barrier(8)

        def begin(n):
            gate.wait()
            return [pool.submit(same, n).result() for _ in range(50)]

        with Pool(2) as pool, cf.ThreadPoolExecutor(8) as threads:
            say(all(list(found) == [n] * 50 for n, found in
                    enumerate(threads.map(begin, range(8)))))
    """,
    "True",
)
for method in ("fork", "spawn", "forkserver"):
    add(
        f"start method {method}",
        f"""
        def main():
            with Pool(2, multiprocessing.get_context({method!r})) as pool:
                health(pool)
                outcome(lambda: sum(pool.map(same, range(1000))))
        """,
        "well",
        "499500",
    )
