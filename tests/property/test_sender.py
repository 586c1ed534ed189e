"""Whatever becomes of chunks and calls, in whichever order: against a plain model."""

from __future__ import annotations

import random
from concurrent.futures.process import BrokenProcessPool

import pytest

from fastflow.backends import lanes
from fastflow.run.attempts import State
from fastflow.run.remote import Returned
from senders import NOTHING, Rig, Work, cube, square


class Model(Rig):
    """Does something at random, and knows what must hold all the time."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.capacity = self.random.randint(1, 3)
        super().__init__(self.capacity, starts=self.random.random() < 0.5)
        self.runs = [self.backend, self.another_run()]
        self.jobs = []
        self.cancelled = set()
        self.begun = set()  # futures
        self.broken = False

    def step(self):
        name = self.random.choices(
            ["start", "answer", "begin", "cancel", "stop", "wait", "settle", "lose",
             "break_", "shut_down"],
            [8, 8, 4, 2, 1, 1, 6, 0.5, 0.1, 0.1],
        )[0]  # fmt: skip
        getattr(self, name)()

    def start(self):
        self.backend = self.random.choice(self.runs)
        for _ in range(self.random.choice([1, 1, 3, 30])):
            job = Work(
                self,
                self.random.choice([square, cube]),
                (len(self.jobs),),
                self.random.choice([None, None, 5.0]),
                self.random.choice([0, 0, 2]),
            )
            self.jobs.append(job)
            job.start()

    def begin(self):
        """Have the next chunk taken by a process."""
        for future, *_ in self.executor.chunks:
            if not future.done() and future not in self.begun:
                if len(self.begun) < self.capacity:
                    future.set_running_or_notify_cancel()
                    self.begun.add(future)
                break

    def take(self):
        """Take any chunk out of the executor; those that begin do so in order."""
        self.executor.chunks = [
            chunk for chunk in self.executor.chunks if not chunk[0].cancelled()
        ]
        self.begin()
        if not self.begun:
            return None
        future = self.random.choice(sorted(self.begun, key=id))
        self.begun.discard(future)
        for number, chunk in enumerate(self.executor.chunks):
            if chunk[0] is future:
                return self.executor.chunks.pop(number)
        raise AssertionError("a future that nobody has submitted")

    def answer(self):
        if self.executor.questions and self.random.random() < 0.5:
            question = self.executor.questions.pop(0)
            if self.random.random() < 0.1:
                question.cancel()
            else:
                question.set_result(self.random.randint(1, self.capacity))
        elif (chunk := self.take()) is not None:
            future, _, (_, calls, seconds, *_) = chunk
            early = seconds < 1 and self.random.random() < 0.3
            count = self.random.randint(1, len(calls)) if early else len(calls)
            seconds = self.random.choice([1e-5, 0.01, 0.3]) * count
            future.set_result(Returned([NOTHING] * count, seconds))

    def shut_down(self):
        if not self.broken:
            self.executor.refusal = RuntimeError("shut down")

    def lose(self):
        if (chunk := self.take()) is not None:
            chunk[0].set_exception(RuntimeError("lost"))

    def break_(self):
        self.broken = True
        self.executor.refusal = BrokenProcessPool("dead")
        for future, *_ in self.executor.chunks:
            if not future.cancelled():
                future.set_exception(BrokenProcessPool("dead"))
        for future in self.executor.questions:
            future.set_exception(BrokenProcessPool("dead"))
        self.executor.chunks.clear()
        self.executor.questions.clear()
        self.begun.clear()

    def cancel(self):
        for job in self.random.sample(self.jobs, min(len(self.jobs), 3)):
            if job.cancel():
                self.cancelled.add(job)

    def stop(self):
        for job in self.random.sample(self.jobs, min(len(self.jobs), 3)):
            job.stop()

    def wait(self):
        self.clock.advance(self.random.choice([1, 6]))

    def settle(self):
        self.sender.settle()

    def check(self):
        assert len(set(self.ended)) == len(self.ended), "one has ended twice"
        assert self.cancelled.isdisjoint(self.ended)
        there = [chunk for chunk in self.executor.chunks if not chunk[0].done()]
        alone = [chunk for chunk in there if chunk[2][2] > 1]
        assert all(len(chunk[2][1]) == 1 for chunk in alone)
        assert len(alone) <= self.capacity
        assert len(there) <= 2 * self.capacity
        if self.broken:
            assert not self.executor.chunks

    def finish(self):
        """Let all come back that is there; nothing may be left then."""
        for _ in range(100_000):
            self.settle()
            if self.executor.questions:
                self.executor.questions.pop(0).set_result(1)
            elif (chunk := self.take()) is not None:
                count = len(chunk[2][1])
                chunk[0].set_result(Returned([NOTHING] * count, 0.01 * count))
            elif not self.clock.advance_to_next():
                break
            self.check()
        self.settle()


@pytest.mark.parametrize("seed", range(150))
def test_every_call_ends_once_and_nothing_is_left(seed):
    lanes._usual.start_over()
    model = Model(seed)
    for _ in range(model.random.choice([5, 50, 300])):
        model.step()
        model.check()
    model.finish()
    assert set(model.jobs) == {*model.ended, *model.cancelled}
    for job in model.jobs:
        assert job.attempts.ended
        if job in model.cancelled:
            assert job.attempts.state is State.DROPPED
    assert model.sender.is_empty
