"""What surrounds an executor: threads, event loops, forks, other libraries."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario

add = partial(scenario, group="hosts")

add(
    "sixteen threads submit at once",
    """
    def main():
        with Pool(2) as pool:
            def feed(n):
                futures = [pool.submit(same, n) for _ in range(200)]
                return sum(future.result() for future in futures)

            with cf.ThreadPoolExecutor(16) as threads:
                say(list(threads.map(feed, range(16))) == [200 * n for n in range(16)])
    """,
    "True",
)
add(
    "asyncio: run_in_executor, and a cancelled task",
    """
    import asyncio

    async def use():
        loop = asyncio.get_running_loop()
        with Pool(1) as pool:
            calls = [loop.run_in_executor(pool, same, n) for n in range(100)]
            say(sum(await asyncio.gather(*calls)))
            held = loop.run_in_executor(pool, hold, "go", 5)
            late = loop.run_in_executor(pool, same, 6)
            await asyncio.to_thread(until, "go-begun")
            late.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await late
            mark("go")
            say(await held)
            try:
                await asyncio.wait_for(loop.run_in_executor(pool, hold, "stop"), 0.01)
            except TimeoutError:
                say("late")
            mark("stop")

    def main():
        asyncio.run(use())
    """,
    "4950",
    "5",
    "late",
)
add(
    "asyncio: a worker dies",
    """
    import asyncio

    async def use():
        loop = asyncio.get_running_loop()
        with Pool(1) as pool:
            try:
                await loop.run_in_executor(pool, die, "SIGKILL")
            except BrokenProcessPool:
                say("died")
            say(await loop.run_in_executor(pool, same, 6))

    def main():
        asyncio.run(use())
    """,
    "died",
    "6",
)
FORK = """
def main():
    pool = Pool(2)
    assert pool.submit(same, 1).result() == 1
    futures = [pool.submit(hold, "go", n) for n in range(4)]
    pid = os.fork()
    if not pid:
        {child}
    say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    mark("go")
    outcome(lambda: sum(future.result() for future in futures))
    health(pool)
    pool.shutdown()
"""
for name, child, status in (
    ("leaves by os._exit", "os._exit(7)", 7),
    ("ends as usual", "sys.exit(7)", 7),
    ("shuts the executor down", "pool.shutdown(); os._exit(7)", 7),
    ("drops the executor", "del pool, futures; gc.collect(); os._exit(7)", 7),
):
    add(
        f"a fork of the program {name}",
        FORK.format(child=child),
        f"{status}",
        "6",
        "well",
        peer="shuts" not in name and "usual" not in name,
    )
add(
    "a fork of the program uses the executor: a clear error",
    """
    def main():
        pool = Pool(2)
        assert pool.submit(same, 1).result() == 1
        future = pool.submit(hold, "go", 5)
        pid = os.fork()
        if not pid:
            outcome(pool.submit, same, 1)
            outcome(lambda: list(pool.map(same, [1])))
            outcome(future.result)
            os._exit(0)
        os.waitpid(pid, 0)
        mark("go")
        outcome(future.result)
        health(pool)
        pool.shutdown()
    """,
    "BrokenProcessPool",
    "BrokenProcessPool",
    "RuntimeError",
    "5",
    "well",
    peer=False,
)
add(
    "a fork of the program makes an executor of its own",
    """
    def main():
        with Pool(2) as pool:
            health(pool)
            pid = os.fork()
            if not pid:
                with Pool(2) as own:
                    health(own)
                sys.exit(3)
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            health(pool)
    """,
    "well",
    "well",
    "3",
    "well",
)
add(
    "forks while eight threads use the executor",
    """
    def main():
        over = []
        with Pool(2) as pool:
            def feed():
                while not over:
                    assert pool.submit(same, 1).result() == 1

            threads = [threading.Thread(target=feed) for _ in range(8)]
            for thread in threads:
                thread.start()
            codes = []
            for n in range(20):
                pid = os.fork()
                if not pid:
                    os._exit(n)
                codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            over.append(1)
            for thread in threads:
                thread.join()
            say(codes == list(range(20)))
            health(pool)
    """,
    "True",
    "well",
)
add(
    "a call forks",
    """
    def fork():
        pid = os.fork()
        if not pid:
            os._exit(7)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def fork_and_end():
        pid = os.fork()
        if not pid:
            sys.exit(8)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def main():
        with Pool(1) as pool:
            say(pool.submit(fork).result())
            health(pool)
    """,
    "7",
    "well",
)
add(
    "a call starts programs",
    """
    import subprocess

    def main():
        with Pool(2) as pool:
            say(sum(pool.map(subprocess.call, [["true"]] * 20)))
            health(pool)
    """,
    "0",
    "well",
)
for method in ("fork", "spawn", "forkserver"):
    add(
        f"an executor in a daemon process, {method}",
        """
        def use():
            with Pool(2) as pool:
                outcome(pool.submit(same, 4).result)
                health(pool)

        def main():
            process = multiprocessing.get_context(METHOD).Process(
                target=use, daemon=True)
            process.start()
            process.join()
            say(process.exitcode)
        """.replace("METHOD", repr(method)),
        "4",
        "well",
        "0",
    )
for method in ("fork", "spawn", "forkserver"):
    add(
        f"a process of multiprocessing does not shut its executor down, {method}",
        """
        def use():
            pool = Pool(2)
            outcome(pool.submit(same, 4).result)

        def main():
            process = multiprocessing.get_context(METHOD).Process(target=use)
            process.start()
            process.join()
            say(process.exitcode)
        """.replace("METHOD", repr(method)),
        "4",
        "0",
    )
add(
    "executors in workers",
    """
    def outer(depth):
        if not depth:
            return 1
        with Pool(2) as pool:
            return sum(pool.map(outer, [depth - 1] * 2))

    def main():
        with Pool(2) as pool:
            say(pool.submit(outer, 3).result())
            say(sum(pool.map(outer, [2] * 4)))
            health(pool)
    """,
    "8",
    "16",
    "well",
)
add(
    "no more processes than workers when executors are nested",
    """
    def pids(_):
        with Pool(4) as pool:
            return {os.getpid(), *pool.map(getpid, range(20))}

    def main():
        with Pool(2) as pool:
            say(len(set().union(*pool.map(pids, range(20)))) <= 2)
    """,
    "True",
    peer=False,
)
add(
    "multiprocessing beside an executor",
    """
    def main():
        with Pool(2) as pool:
            health(pool)
            with multiprocessing.get_context("fork").Pool(2) as other:
                say(sum(other.map(same, range(10))))
            with multiprocessing.get_context("forkserver").Pool(2) as other:
                say(sum(other.map(same, range(10))))
            health(pool)
    """,
    "well",
    "45",
    "45",
    "well",
)
add(
    "the program reaps all children",
    """
    def main():
        def reap(*_):
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

        signal.signal(signal.SIGCHLD, reap)
        with Pool(2, multiprocessing.get_context("spawn")) as pool:
            health(pool)
            outcome(pool.submit(die, "SIGKILL").result)
            health(pool)
    """,
    "well",
    "BrokenProcessPool",
    "well",
)
add(
    "the program ignores SIGCHLD",
    """
    def main():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with Pool(2) as pool:
            health(pool)
            outcome(pool.submit(die, "SIGKILL").result)
            health(pool)
    """,
    "well",
    "BrokenProcessPool",
    "well",
)
add(
    "logging: workers' records reach the handlers, once, and handlers may log",
    """
    class Handler(logging.Handler):
        def emit(self, record):
            if record.name == "of.worker":
                logging.getLogger("of.handler").warning("seen %s", record.getMessage())
            else:
                LINES.append(record.getMessage())

    LINES = []

    def work(n):
        logging.getLogger("of.worker").warning("call %s", n)
        return n

    def main():
        logging.getLogger().addHandler(Handler())
        with Pool(1) as pool:
            say(sum(pool.map(work, range(5), chunksize=1)))
        say(LINES)
    """,
    "10",
    "['seen call 0', 'seen call 1', 'seen call 2', 'seen call 3', 'seen call 4']",
    peer=False,
)
add(
    "logging: a handler that submits",
    """
    class Handler(logging.Handler):
        def emit(self, record):
            FUTURES.append(POOLS[0].submit(same, record.getMessage()))

    FUTURES, POOLS = [], []

    def work(n):
        logging.getLogger("of.worker").warning("call %s", n)
        return n

    def main():
        logging.getLogger().addHandler(Handler())
        with Pool(1) as pool:
            POOLS.append(pool)
            say(sum(pool.submit(work, n).result() for n in range(3)))
            until(lambda: pool.submit(same, 0).result() == 0 and len(FUTURES) == 3)
            say([future.result() for future in FUTURES])
    """,
    "3",
    "['call 0', 'call 1', 'call 2']",
    peer=False,
)
add(
    "logging: a call that logs without end, and a record that can't be made",
    """
    class Endless:
        def __str__(self):
            logging.getLogger("of.worker").warning("%s", self)
            return "endless"

    def work():
        logging.getLogger("of.worker").warning("%s", Endless())
        return 3

    def main():
        logging.raiseExceptions = False
        logging.getLogger().addHandler(logging.NullHandler())
        with Pool(1) as pool:
            error = pool.submit(work).exception()
            say(error is None or isinstance(error, RecursionError))
            health(pool)
    """,
    "True",
    "well",
    stderr="^(?s:.*)$",
    peer=False,
)
add(
    "what workers print arrives, in whole lines",
    """
    def work(n):
        print("line", "x" * 50)
        sys.stdout.write("without end")
        sys.stdout.write("\\n")

    def main():
        with Pool(1) as pool:
            for _ in range(3):
                pool.submit(work, 1).result()
        say("end")
    """,
    *["line " + "x" * 50, "without end"] * 3,
    "end",
)
add(
    "what a worker printed arrives though it retires",
    """
    def work():
        print("printed")

    def main():
        context = multiprocessing.get_context("spawn")
        with Pool(1, context, max_tasks_per_child=2) as pool:
            for _ in range(4):
                pool.submit(work).result()
    """,
    *["printed"] * 4,
)
add(
    "pytest-xdist",
    """
    import subprocess

    def main():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider",
             "test_it.py"],
            capture_output=True, text=True)
        say("8 passed" if "\\n8 passed" in done.stdout else done.stdout + done.stderr)
    """,
    "8 passed",
    modules={
        "test_it.py": "import pytest\nfrom stage import Pool, same, die\n\n\n"
        "@pytest.mark.parametrize('n', range(8))\n"
        "def test_calls(n):\n"
        "    with Pool(2) as pool:\n"
        "        assert list(pool.map(same, range(100))) == list(range(100))\n"
    },
    needs="xdist",
)
add(
    "a callback that fails is told, and nothing else",
    """
    def main():
        def fail(_):
            raise ValueError("in a callback")

        with Pool(1) as pool:
            future = pool.submit(hold, "go", 1)
            future.add_done_callback(fail)
            mark("go")
            outcome(future.result)
            health(pool)
    """,
    "1",
    "well",
    stderr="in a callback",
)
add(
    "callbacks that submit, a chain of a thousand",
    """
    def main():
        over = threading.Event()
        with Pool(1) as pool:
            def go_on(future):
                n = future.result()
                if n == 1000:
                    over.set()
                else:
                    pool.submit(same, n + 1).add_done_callback(go_on)

            pool.submit(same, 0).add_done_callback(go_on)
            over.wait()
        say("over")
    """,
    "over",
)
add(
    "signals arrive all the time",
    """
    def main():
        with Pool(2) as pool:
            signal.signal(signal.SIGALRM, lambda *_: pool.submit(same, 1))
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            for _ in range(20):
                assert sum(pool.map(same, range(1000))) == 499500
                assert sum(f.result() for f in
                           [pool.submit(same, n) for n in range(100)]) == 4950
            signal.setitimer(signal.ITIMER_REAL, 0)
            health(pool)
    """,
    "well",
)
