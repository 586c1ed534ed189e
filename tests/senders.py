"""A sender, its executor and its jobs, in the hands of a test."""

from __future__ import annotations

import concurrent.futures as cf
import pickle
import time
from collections import deque

from fastflow.backends.remote import RemoteBackend
from fastflow.backends.sender import Sender
from fastflow.backends.travel import Together
from fastflow.base.timers import VirtualClock
from fastflow.errors import TaskTimeout
from fastflow.run.attempts import Attempts
from fastflow.run.job import Job
from fastflow.run.remote import Outcome, Returned, packed, process_id
from fastflow.run.retry import RetryPolicy

NOTHING = packed(Outcome(None, None, 0.0, 0.0, 1))


def call(fn, *args):
    """Make an attempt in the other process."""
    return fn(*args)


def square(n):
    return n * n


def cube(n):
    return n**3


class Held(cf.Executor):
    """Runs nothing: the test says what comes of a chunk."""

    def __init__(self):
        self.chunks = []
        self.questions = []
        self.refusal = None

    def submit(self, fn, /, *args):
        if self.refusal is not None:
            raise self.refusal
        future = cf.Future()
        if fn is process_id:
            self.questions.append(future)
        else:
            self.chunks.append((future, fn, args))
        return future

    def sizes(self):
        """Return how many calls each chunk has."""
        return [len(args[1]) for _, _, args in self.chunks]

    def arguments(self, number):
        """Return the arguments of the calls of a chunk."""
        return [pickle.loads(call)[0] for call in self.chunks[number][2][1]]


class Here(Sender):
    """A sender without a thread: what has ended is opened when the test says so."""

    def __init__(self, travel, capacity, *, starts=False):
        super().__init__(travel, capacity, starts=starts)
        self.arrived = deque()

    def _hand_over(self, chunk):
        self.arrived.append(chunk)

    def _have_thread(self):
        pass

    def settle(self):
        while self.arrived:
            self._handle(self.arrived.popleft())

    @property
    def is_empty(self):
        """Whether nothing is left of all that it has sent."""
        return not (
            self._lanes
            or self._ready
            or self._limited
            or self._under_way
            or self._hanging
            or self._asking
            or self._sending
        )


class Work(Job):
    """A call of a function; writes down what it is told."""

    __slots__ = ("args", "fn", "log", "ran_at", "sent_at")

    def __init__(self, rig, fn, args, timeout=None, retries=0):
        super().__init__(
            Attempts(RetryPolicy(retries, delay=1, jitter=0), timeout),
            rig.backend,
            rig.clock,
            lambda job: rig.ended.append(job),
        )
        self.fn = fn
        self.args = args
        self.log = []
        self.sent_at = 0.0
        self.ran_at = None

    def remote_function(self):
        return call, self.fn

    def remote_arguments(self):
        return self.args

    def limit_error(self):
        return TaskTimeout("late")

    def sent(self, ticket):
        self.log.append(("sent", ticket))
        self.sent_at = time.perf_counter()

    def ran(self, ticket, start, end, where):
        self.log.append(("ran", ticket))
        self.ran_at = start, end, where

    @property
    def is_limited(self):
        return self.attempts.timeout is not None


class Rig:
    """All of them."""

    def __init__(self, capacity=2, *, starts=False, travel=None):
        self.executor = Held()
        self.clock = VirtualClock()
        self.ended = []
        self.sender = Here(travel or Together(), capacity, starts=starts)
        self.backend = self.another_run()

    def another_run(self):
        return RemoteBackend(self.executor, self.sender, local=True)

    def launch(self, count, fn=square, **options):
        jobs = [Work(self, fn, (n,), **options) for n in range(count)]
        for job in jobs:
            job.start()
        return jobs

    def answer(self, number=0, seconds=0.001, made=None):
        """Have a chunk come back, after so many seconds for each call."""
        future, _, args = self.executor.chunks.pop(number)
        count = len(args[1]) if made is None else made
        future.set_running_or_notify_cancel()
        future.set_result(Returned([NOTHING] * count, seconds * count))
        self.sender.settle()

    def answer_begun(self, number):
        """Likewise, of one call that has begun."""
        future, _, args = self.executor.chunks.pop(number)
        future.set_result(Returned([NOTHING] * len(args[1]), 0.001))
        self.sender.settle()

    def answer_all(self, seconds):
        """Have those come back that are there now."""
        chunks, self.executor.chunks = self.executor.chunks, []
        for future, _, args in chunks:
            future.set_running_or_notify_cancel()
            count = len(args[1])
            future.set_result(Returned([NOTHING] * count, seconds * count))
        self.sender.settle()

    def run(self, number=0):
        """Have a chunk run, for real."""
        future, fn, args = self.executor.chunks.pop(number)
        future.set_running_or_notify_cancel()
        future.set_result(pickle.loads(pickle.dumps(fn(*args))))
        self.sender.settle()

    def begin(self, *numbers):
        """Have chunks begin, so that they can't be cancelled."""
        for number in numbers:
            self.executor.chunks[number][0].set_running_or_notify_cancel()

    def fail(self, error, number=0):
        """Have an executor say why a chunk comes to nothing."""
        self.executor.chunks.pop(number)[0].set_exception(error)
        self.sender.settle()
