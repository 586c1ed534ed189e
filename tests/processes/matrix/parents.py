"""A program that is killed: its workers end by themselves."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import interrupt_all, kill, scenario

add = partial(scenario, group="parents")

KILLED = """
{functions}

def main():
    pool = Pool(2, multiprocessing.get_context({method!r}))
    workers_of(pool)  # a fork server whose program dies while it forks would say so
    {calls}
    say("ready")
    threading.Event().wait()
"""
BUSY = {
    "while its workers idle": ("", ""),
    "while calls sleep": (
        "def work():\n    mark('begun')\n    time.sleep(1000)",
        "[pool.submit(work) for _ in range(4)]; until('begun')",
    ),
    "while calls compute": (
        "def work():\n    mark('begun')\n    while True: sum(range(1000))",
        "[pool.submit(work) for _ in range(4)]; until('begun')",
    ),
    "while calls keep the interpreter to themselves": (
        "def work():\n    mark('begun')\n    sum(range(10**13))",
        "[pool.submit(work) for _ in range(2)]; until('begun')",
    ),
    "while a map runs": (
        "def work(n):\n    mark('begun')\n    time.sleep(0.001)",
        "keep = pool.map(work, range(10**6), chunksize=100); until('begun')",
    ),
    "while workers are initialized": (
        "def work():\n    mark('begun')\n    time.sleep(1000)",
        "pool.shutdown(); pool = Pool(1, initializer=work); pool.submit(same, 1);"
        "until('begun')",
    ),
    "with arrays in shared memory": (
        "import numpy\n"
        "def work(array):\n    mark('begun')\n    time.sleep(1000)\n    return array",
        "[pool.submit(work, numpy.ones(10**6)) for _ in range(4)]; until('begun')",
    ),
    "with answers that nobody takes": (
        "def work(n):\n    mark('begun')\n    return b'x' * 100_000",
        "keep = [pool.submit(work, n) for n in range(200)]; until('begun')",
    ),
}
for name, (functions, calls) in BUSY.items():
    add(
        f"the program is killed {name}",
        KILLED.format(functions=functions, calls=calls, method="forkserver"),
        "ready",
        status=-9,
        stimuli=(("ready", kill),),
    )
for method in ("fork", "spawn"):
    functions, calls = BUSY["while calls compute"]
    add(
        f"the program is killed while calls compute, {method}",
        KILLED.format(functions=functions, calls=calls, method=method),
        "ready",
        status=-9,
        stimuli=(("ready", kill),),
    )
add(
    "the program is killed while workers start",
    """
    if __name__ == "__mp_main__":
        program = os.getppid()
        say("ready")
        until(lambda: os.getppid() != program)

    def main():
        pool = Pool(1, multiprocessing.get_context("spawn"))
        pool.submit(same, 1)
        threading.Event().wait()
    """,
    "ready",
    status=-9,
    stimuli=(("ready", kill),),
)
add(
    "the program is killed while a call's child lives on",
    """
    def beget():
        if not os.fork():
            until("over")
            os._exit(0)
        say("ready")
        until("over")

    def main():
        pool = Pool(1)
        pool.submit(beget)
        threading.Event().wait()
    """,
    "ready",
    status=-9,
    stimuli=(("ready", lambda pid: _kill_and_end(pid)),),
)
add(
    "the program is killed after a child of it was forked",
    """
    def main():
        pool = Pool(1)
        (worker,) = workers_of(pool)
        pool.submit(hold, "never")
        until("never-begun")
        program = os.getpid()
        if not os.fork():
            say("ready")
            until(is_gone, program)
            until(is_gone, worker)
            say("the worker is gone")
            os._exit(0)
        threading.Event().wait()
    """,
    "ready",
    "the worker is gone",
    status=-9,
    stimuli=(("ready", kill),),
)
add(
    "Ctrl-C to all, not handled, while calls compute",
    """
    def work():
        mark("begun")
        while True:
            sum(range(1000))

    def main():
        pool = Pool(2)
        futures = [pool.submit(work) for _ in range(2)]
        until("begun")
        until(lambda: all(future.running() for future in futures))
        say("ready")
        futures[0].result()
    """,
    "ready",
    status=-2,
    stderr="KeyboardInterrupt",
    stimuli=(("ready", interrupt_all),),
)


def _kill_and_end(pid: int) -> None:
    from pathlib import Path

    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    (folder,) = (w.partition(b"=")[2] for w in words if b"_MATRIX_FOLDER=" in w)
    kill(pid)
    Path(folder.decode(), "over").touch()
