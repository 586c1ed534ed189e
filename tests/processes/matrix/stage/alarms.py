"""Signal handlers that raise at random moments of the main thread."""

import concurrent.futures as cf
import random
import signal
import threading
import time
from fractions import Fraction

from stage import OURS, Pool, health, same, say

__all__ = ["Alarm", "disturb"]

_LONGEST = 0.003  # seconds until an alarm


class Alarm(BaseException):
    """What the handler raises, unless it is to raise something else."""


def disturb(seed, rounds, error=Alarm, **options):
    """Use a pool while alarms go off, then check that nothing was lost or mixed up."""
    choose = random.Random(seed)
    pool = Pool(2, **options)
    use = _Use(pool, choose)
    raised = 0

    def handler(*_):
        raise error

    signal.signal(signal.SIGALRM, handler)
    for _ in range(rounds):
        step = choose.choice(use.steps)
        late = choose.uniform(1e-5, _LONGEST) * choose.choice((0.05, 0.3, 1))
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, late)
                step()
            finally:
                # May be cut off itself; then there is no alarm left either.
                signal.setitimer(signal.ITIMER_REAL, 0)
        except error:
            raised += 1
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)
    wrong = use.check()
    if wrong or raised < rounds / 20:
        say(f"seed {seed}, {raised} alarms in {rounds}:", wrong)
    health(pool)
    pool.shutdown()
    left = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    say("threads left:", left) if left else say("over")


class _Use:
    """What is done with the pool; each step may be cut off anywhere."""

    def __init__(self, pool, choose):
        self.pool = pool
        self.choose = choose
        self.known = []  # futures, and what they are to give
        self.heard = []  # futures, and what their callbacks were given
        self.wrong = []
        self.count = 0
        self.steps = [
            self.submit, self.submit, self.submit_some, self.submit_long, self.map,
            self.result, self.result, self.results, self.cancel, self.hear,
            self.failure, self.value, self.ask,
        ]  # fmt: skip

    def submit(self):
        self.count += 1
        n = self.count
        self.known.append((self.pool.submit(same, n), n))

    def submit_some(self):
        for _ in range(self.choose.randrange(400)):
            self.submit()

    def submit_long(self):
        self.count += 1
        n = self.count
        self.known.append((self.pool.submit(slow, n), n))

    def value(self):
        """One that takes Python code to unpickle."""
        self.count += 1
        n = Fraction(self.count, 7)
        self.known.append((self.pool.submit(same, n), n))

    def failure(self):
        self.count += 1
        n = self.count
        self.known.append((self.pool.submit(fail, n), Failure(n)))

    def map(self):
        n = self.choose.randrange(2000)
        values = list(self.pool.map(same, range(self.count, self.count + n)))
        if values != list(range(self.count, self.count + n)):
            self.wrong.append(f"a map of {n}")

    def result(self):
        if self.known:
            self.compare(*self.known[-1])

    def results(self):
        for pair in self.known[-300:]:
            self.compare(*pair)

    def ask(self):
        for future, _ in self.known[-5:]:
            future.running()

    def cancel(self):
        for future, _ in self.known[-20:]:
            future.cancel()

    def hear(self):
        if self.known:
            future = self.known[-1][0]
            heard = []
            future.add_done_callback(heard.append)
            self.heard.append((future, heard))

    def compare(self, future, value, seconds=None):
        try:
            found = future.result(seconds)
        except cf.CancelledError:
            return
        except Failure as failure:
            found = failure
        if found != value:
            self.wrong.append(f"{found!r} instead of {value!r}")

    def check(self):
        """Return what is wrong, when no alarm comes any more."""
        for future, value in self.known:
            try:
                self.compare(future, value, 20)
            except BaseException as error:
                self.wrong.append(f"{value!r}: {error!r}")
                break
        if OURS and not self.wrong:
            # A call whose `submit` was cut off at its end may wait for the next one.
            self.pool.submit(same, 0).result(20)
            desk = self.pool._desk
            end = time.monotonic() + 10
            while desk.unsettled and time.monotonic() < end:
                time.sleep(0.01)
            if desk.unsettled:
                self.wrong.append(f"{desk.unsettled} calls are left")
        for future, heard in self.heard:
            end = time.monotonic() + 10
            while not heard and time.monotonic() < end:
                time.sleep(0.001)
            if heard != [future]:
                self.wrong.append(f"a callback has heard {heard}")
        return self.wrong[:5]


class Failure(Exception):  # noqa: N818
    def __eq__(self, other):
        return type(other) is Failure and self.args == other.args

    __hash__ = None


def slow(n):
    time.sleep(0.003)
    return n


def fail(n):
    raise Failure(n)
