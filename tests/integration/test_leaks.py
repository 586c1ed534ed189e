"""Nothing is left of tasks that are over: counted with the garbage collector off."""

from __future__ import annotations

from support import run_script

SCRIPT = """
    import gc, sys, threading
    import concurrent.futures as cf
    import fastflow

    class Token:
        pass

    token = Token()
    executor = fastflow.Executor(2)

    def ok(t, *more, **named):
        return t

    class Failure(Exception):
        pass

    def fail(t):
        raise Failure

    def in_rounds(one, n, size=1000):
        for _ in range(n // size):
            one(size)

    def succeed(n):
        for f in [executor.submit(ok, token, 1, 2, 3, k=token) for _ in range(n)]:
            assert f.result() is token

    def failing(n):
        for f in [executor.submit(fail, token) for _ in range(n)]:
            assert type(f.exception()) is Failure

    def cancelled(n):
        gate = threading.Event()
        blocked = [executor.submit(gate.wait) for _ in range(2)]
        futures = [executor.submit(ok, token) for _ in range(n)]
        for f in futures:
            f.cancel()
        gate.set()
        cf.wait(blocked)

    def with_callbacks(n):
        futures = [executor.submit(ok, token) for _ in range(n)]
        for f in futures:
            f.add_done_callback(lambda f, t=token: None)
        cf.wait(futures)

    def mapped(n):
        assert len(fastflow.map(ok, [token] * n, executor=executor)) == n
        assert sum(1 for _ in executor.map(ok, [token] * n)) == n
        assert sum(1 for _ in fastflow.imap(ok, [token] * n, executor=executor)) == n

    def grouped(n):
        with fastflow.TaskGroup(executor) as group:
            for _ in range(n):
                group.create_task(ok, token)

    def kernels(n):
        for f in [executor.submit(fastflow.kernels.noop, i) for i in range(n)]:
            f.result()

    def dropped(n):
        for _ in range(n):
            executor.submit(ok, token)
        executor.submit(ok, token).result()

    def settle():
        # Workers drop their last references before they go to sleep.
        parked = executor.stats().parked
        executor.submit(ok, None).result()
        while executor.stats().parked == parked:
            threading.Event().wait(0.001)
        # Without the lock, references that other threads have dropped are counted off
        # when their owner comes to it, at the latest here.
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            gc.collect()

    def measure():
        settle()
        return sys.getrefcount(token), sys.getrefcount(ok), sys.getrefcount(None)

    kinds = [succeed, failing, cancelled, with_callbacks, mapped, grouped, kernels,
             dropped]
    gc.disable()
    for kind in kinds:
        in_rounds(kind, 2000)
        settle()
        blocks = sys.getallocatedblocks()
        before = measure()
        in_rounds(kind, {n})
        after = measure()
        growth = sys.getallocatedblocks() - blocks
        alive = sum(isinstance(o, (fastflow.Future, Token)) for o in gc.get_objects())
        assert after[:2] == before[:2], (kind.__name__, before, after)
        assert abs(after[2] - before[2]) < 1000, (kind.__name__, before, after)
        assert alive <= 1, (kind.__name__, alive)
        assert growth < 2000, (kind.__name__, growth)
    gc.enable()
    print("clean")
"""


def test_no_object_and_no_reference_is_left():
    # 125,000 of each of eight kinds: 10^6 tasks.
    ended = run_script(SCRIPT.replace("{n}", "125_000"))
    assert ended.returncode == 0, ended.stderr
    assert "clean" in ended.stdout


def test_a_future_that_refers_to_itself_is_collected():
    ended = run_script("""
        import gc, weakref
        import fastflow
        executor = fastflow.Executor(1)
        class Box:
            pass
        def cycle():
            box = Box()
            future = executor.submit(lambda: box)
            future.result()
            box.future = future
            other = executor.submit(pow, 1, 1)
            other.add_done_callback(lambda _, o=other: o)
            other.result()
            return weakref.ref(box)
        watches = [cycle() for _ in range(100)]
        executor.submit(pow, 1, 1).result()
        gc.collect()
        print(sum(w() is not None for w in watches))
    """)
    assert ended.stdout.strip() == "0"
