"""What can't travel, or is too large."""

from __future__ import annotations

from functools import partial

from processes.matrix.scenario import scenario

add = partial(scenario, group="values")

add(
    "an argument that can't be pickled",
    """
    def main():
        with Pool(1) as pool:
            good = pool.submit(same, 1)
            bad = pool.submit(same, threading.Lock())
            outcome(bad.result)
            outcome(good.result)
            health(pool)
    """,
    "TypeError",
    "1",
    "well",
)
add(
    "items of a map that can't be pickled",
    """
    def main():
        with Pool(1) as pool:
            outcome(list, pool.map(same, [1, threading.Lock(), 3], chunksize=1))
            health(pool)
    """,
    "TypeError",
    "well",
)
add(
    "a result that can't be pickled",
    """
    def make():
        return threading.Lock()

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(make).result)
            health(pool)
    """,
    "TypeError",
    "well",
)
add(
    "an exception that can't be pickled",
    """
    class Odd(Exception):
        def __init__(self):
            super().__init__("odd")
            self.lock = threading.Lock()

    def fail():
        raise Odd

    def main():
        with Pool(1) as pool:
            error = pool.submit(fail).exception()
            say(isinstance(error, Exception), "odd" in str(error))
            health(pool)
    """,
    "True True",
    "well",
)
add(
    "exceptions with odd constructors",
    """
    class TwoArguments(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    class KeywordOnly(Exception):
        def __init__(self, *, code):
            super().__init__(f"code {code}")

    class SaysNothing(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    class Refuses(Exception):
        def __reduce__(self):
            raise RuntimeError("no")

    class ReducesToOther(Exception):
        def __reduce__(self):
            return int, ("7",)

    CASES = [
        lambda: TwoArguments(1, 2), lambda: KeywordOnly(code=3), SaysNothing, Refuses,
        ReducesToOther,
    ]

    def fail(n):
        raise CASES[n]()

    def main():
        with Pool(1) as pool:
            for n in range(len(CASES)):
                say(isinstance(pool.submit(fail, n).exception(), Exception))
            health(pool)
    """,
    *["True"] * 5,
    "well",
)
add(
    "an exception with a cause, a context that is a cycle, and notes",
    """
    def fail():
        first, second = ValueError("first"), KeyError("second")
        first.__context__, second.__context__ = second, first
        first.add_note("a note")
        raise first

    def main():
        with Pool(1) as pool:
            error = pool.submit(fail).exception()
            say(type(error).__name__, getattr(error, "__notes__", None))
            health(pool)
    """,
    "ValueError ['a note']",
    "well",
)
add(
    "an exception of 50 MB",
    """
    def fail():
        raise ValueError("x" * 50_000_000)

    def main():
        with Pool(1) as pool:
            error = pool.submit(fail).exception()
            say(type(error).__name__, len(error.args[0]))
            health(pool)
    """,
    "ValueError 50000000",
    "well",
)
add(
    "a result that unpickles with an error",
    """
    def fail():
        raise ValueError("not here")

    class Bad:
        def __reduce__(self):
            return fail, ()

    def make():
        return Bad()

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(make).result)
            health(pool)
    """,
    "BrokenProcessPool",
    "well",
)
add(
    "an argument that unpickles with an error",
    """
    def fail():
        raise ValueError("not there")

    class Bad:
        def __reduce__(self):
            return fail, ()

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(same, Bad()).result)
            health(pool)
    """,
    "BrokenProcessPool",
    "well",
)
add(
    "an exception that unpickles with an error, or ends the interpreter",
    """
    class Exits(Exception):
        def __reduce__(self):
            return sys.exit, (3,)

    def fail():
        raise Exits

    def main():
        with Pool(1) as pool:
            say(isinstance(pool.submit(fail).exception(), Exception))
            health(pool)
    """,
    "True",
    "well",
)
add(
    "a result that submits while it is pickled and unpickled",
    """
    def nested():
        POOLS[0].submit(same, 1).result()
        return "nested"

    POOLS = []

    class Submits:
        def __reduce__(self):
            return nested, ()

    def make():
        return Submits()

    def main():
        with Pool(1) as pool:
            POOLS.append(pool)
            outcome(pool.submit(make).result)
            health(pool)
    """,
    "nested",
    "well",
)
add(
    "an argument that waits for a call while it is pickled",
    """
    class Submits:
        def __init__(self, pool):
            self.pool = pool

        def __reduce__(self):
            return int, (self.pool.submit(same, 7).result(),)

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(same, Submits(pool)).result)
            outcome(list, pool.map(same, [Submits(pool), 1, 2]))
            health(pool)
    """,
    "7",
    "RuntimeError",
    "well",
)
add(
    "objects whose end submits, while the collector works in submit",
    """
    FUTURES = []

    class Submits:
        def __init__(self, pool):
            self.pool, self.me = pool, self

        def __del__(self):
            FUTURES.append(self.pool.submit(same, 1))

    def main():
        with Pool(1) as pool:
            gc.set_threshold(5)
            for n in range(500):
                Submits(pool)
                pool.submit(same, [[n]])
            gc.set_threshold(700)
            gc.collect()
            say(len(FUTURES), sum(future.result() for future in FUTURES))
            health(pool)
    """,
    "500 500",
    "well",
)
add(
    "an argument that is nested too deeply",
    """
    def main():
        value = []
        for _ in range(100_000):
            value = [value]
        with Pool(1) as pool:
            refused(pool.submit(same, value).result)
            health(pool)
        while value:  # without recursion
            value = value[0]
    """,
    "can't be pickled",
    "well",
)
add(
    "StopIteration from calls and items",
    """
    def stop(n):
        raise StopIteration(n)

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(stop, 1).result)
            error = outcome(list, pool.map(stop, [1, 2]))
            health(pool)
    """,
    "StopIteration",
    "RuntimeError",
    "well",
)
add(
    "an argument of 1 GB",
    """
    import numpy

    def size(array):
        return array.nbytes, float(array[-1])

    def main():
        array = numpy.ones(1 << 27)
        with Pool(1) as pool:
            outcome(pool.submit(size, array).result)
            health(pool)
    """,
    "(1073741824, 1.0)",
    "well",
    slow=True,
)
add(
    "bytes of 1 GB as an argument",
    """
    def main():
        text = b"x" * (1 << 30)
        with Pool(1) as pool:
            outcome(pool.submit(len, text).result)
            health(pool)
    """,
    "1073741824",
    "well",
    slow=True,
    limit=100.0,
)
add(
    "a result of 300 MB, as bytes and as an array",
    """
    import numpy

    def make(kind):
        return b"x" * 300_000_000 if kind == "bytes" else numpy.ones(37_500_000)

    def main():
        with Pool(1) as pool:
            say(len(pool.submit(make, "bytes").result()))
            say(pool.submit(make, "array").result().nbytes)
            health(pool)
    """,
    "300000000",
    "300000000",
    "well",
    slow=True,
)
add(
    "a worker is killed while it sends a large result",
    """
    class Late:
        def __reduce__(self):
            die("SIGKILL")

    def make():
        return [b"x" * 20_000_000, Late()]

    def main():
        with Pool(1) as pool:
            outcome(pool.submit(make).result)
            health(pool)
    """,
    "BrokenProcessPool",
    "well",
)
add(
    "an array that all calls have, of which some die",
    """
    import numpy

    def add_up(array, n):
        if n % 10 == 3:
            die("SIGKILL")
        return float(array.sum())

    def main():
        array = numpy.ones(100_000)
        with Pool(2) as pool:
            futures = [pool.submit(add_up, array, n) for n in range(30)]
            errors = [future.exception() for future in futures]
            say(sum(error is not None for error in errors))
            say({f.result() for f in futures if not f.exception()})
            health(pool)
    """,
    "3",
    "{100000.0}",
    "well",
)
