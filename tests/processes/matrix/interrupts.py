"""Ctrl-C: for the program only, and for it and all its workers."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import interrupt, interrupt_all, scenario

add = partial(scenario, group="interrupts")

for who, action in (("the program", interrupt), ("all", interrupt_all)):
    add(
        f"Ctrl-C to {who} while it waits for a result",
        """
        def main():
            pool = Pool(1)
            try:
                future = pool.submit(hold, "go", 1)
                until("go-begun")
                say("ready")
                future.result()
            except KeyboardInterrupt:
                say("interrupted")
            mark("go")
            until(future.done)
            health(pool)
            pool.shutdown()
        """,
        "ready",
        "interrupted",
        "well",
        stimuli=(("ready", action),),
    )
    add(
        f"Ctrl-C to {who} in the middle of a map",
        """
        def main():
            pool = Pool(2)
            try:
                values = pool.map(partial_hold, range(100), chunksize=1)
                until("go-begun")
                say("ready")
                list(values)
            except KeyboardInterrupt:
                say("interrupted")
            mark("go")
            health(pool)
            pool.shutdown()

        def partial_hold(n):
            return hold("go", n)
        """,
        "ready",
        "interrupted",
        "well",
        stimuli=(("ready", action),),
    )
    add(
        f"Ctrl-C to {who} while calls are submitted",
        """
        def main():
            pool = Pool(2)
            futures = []
            try:
                futures.append(pool.submit(same, 0))
                say("ready")
                while True:
                    futures.append(pool.submit(same, 1))
                    if len(futures) % 5000 == 0:
                        cf.wait(futures[-5000:])
            except KeyboardInterrupt:
                say("interrupted")
            cf.wait(futures)
            health(pool)
            pool.shutdown()
        """,
        "ready",
        "interrupted",
        "well",
        stimuli=(("ready", action),),
    )
    add(
        f"Ctrl-C to {who} in shutdown",
        """
        def main():
            pool = Pool(1)
            try:
                future = pool.submit(hold, "go")
                until("go-begun")
                say("ready")
                pool.shutdown()
            except KeyboardInterrupt:
                say("interrupted")
            mark("go")
            until(future.done)
            pool.shutdown()
            say("over")
        """,
        "ready",
        "interrupted",
        "over",
        stimuli=(("ready", action),),
    )
    add(
        f"Ctrl-C to {who} at the end of a with block, not handled",
        """
        def main():
            with Pool(2) as pool:
                pool.submit(endless, "one")
                pool.submit(endless, "two")
                until("one")
                until("two")
                say("ready")

        def endless(name):
            try:
                mark(name)
                until("never")
            except KeyboardInterrupt:
                say("a call is interrupted")
                raise
        """
        if action is interrupt_all
        else """
        def main():
            sys.excepthook = let_go  # called before the end waits for the calls
            with Pool(2) as pool:
                for _ in range(4):
                    pool.submit(hold, "go")
                until("go-begun")
                say("ready")

        def let_go(*raised):
            mark("go")
            sys.__excepthook__(*raised)
        """,
        *(
            ["ready"]
            if action is interrupt
            else ["ready"] + ["a call is interrupted"] * 2
        ),
        status=-2,
        stderr="KeyboardInterrupt",
        stimuli=(("ready", action),),
    )

add(
    "Ctrl-C to all ends what a worker makes, and the worker goes on",
    """
    def main():
        signal.signal(signal.SIGINT, lambda *_: None)
        with Pool(1) as pool:
            pid = pool.submit(getpid).result()
            future = pool.submit(hold, "never")
            until("never-begun")
            say("ready")
            outcome(future.result)
            say(pool.submit(getpid).result() == pid)
            health(pool)
    """,
    "ready",
    "KeyboardInterrupt",
    "True",
    "well",
    stimuli=(("ready", interrupt_all),),
)
add(
    "Ctrl-C to all while the workers idle",
    """
    def main():
        pool = Pool(2)
        pids = workers_of(pool)
        try:
            say("ready")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("interrupted")
        say(workers_of(pool) == pids)
        pool.shutdown()
    """,
    "ready",
    "interrupted",
    "True",
    stimuli=(("ready", interrupt_all),),
)
add(
    "Ctrl-C to all while a worker is initialized",
    """
    def set_up():
        if first_time("starts"):
            until("go")

    def main():
        pool = Pool(1, initializer=set_up)
        try:
            future = pool.submit(same, 3)
            until("starts")
            say("ready")
            threading.Event().wait()
        except KeyboardInterrupt:
            say("interrupted")
        mark("go")
        outcome(future.result)
        pool.shutdown()
    """,
    "ready",
    "interrupted",
    "3",
    stimuli=(("ready", interrupt_all),),
)
for method in ("forkserver", "spawn"):
    add(
        f"Ctrl-C to all while workers start, {method}",
        f"""
        if __name__ == "__mp_main__":
            if first_time("starts"):
                until("submitted")
                say("ready")
            end = time.monotonic() + 0.3
            while time.monotonic() < end:
                pass

        def main():
            pool = Pool(2, multiprocessing.get_context({method!r}))
            try:
                futures = [pool.submit(same, n) for n in range(4)]
                mark("submitted")
                threading.Event().wait()
            except KeyboardInterrupt:
                say("interrupted")
            outcome(futures[3].result)
            health(pool)
            pool.shutdown()
        """,
        "ready",
        "interrupted",
        "3",
        "well",
        stimuli=(("ready", interrupt_all),),
    )
add(
    "Ctrl-C thrice, and out",
    """
    def main():
        count = 0
        pool = Pool(2)
        futures = [pool.submit(hold, "never") for _ in range(4)]
        until("never-begun")
        while count < 3:
            try:
                say("ready", count)
                futures[0].result()
            except KeyboardInterrupt:
                count += 1
        pool.shutdown(kill=True)
        say("over")
    """,
    "ready 0",
    "ready 1",
    "ready 2",
    "over",
    stimuli=(("ready 0", interrupt), ("ready 1", interrupt), ("ready 2", interrupt)),
    peer=False,
)
for error in ("Alarm", "KeyboardInterrupt", "TimeoutError"):
    add(
        f"a handler that raises {error} at any moment",
        f"""
        from alarms import *

        def main():
            disturb({len(error)}, 1500, {error})
        """,
        "well",
        "over",
        peer=False,
    )
