"""Models of the pool's roads: jobs on a worker's stack, and jobs from outside.

The words are those of cpp/core/{pool,sleep,worker,deque,ready_queue}.hpp.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from machine import Core, Costs, Line, Machine

Steps = Generator[float | None, None, bool]

PACE = 2  # proposed: one worker may be on its way for so many that run jobs; 0: one


@dataclass(frozen=True)
class Load:
    """What is to be done, by how many."""

    tasks: int
    length: float  # of a task, ns
    workers: int


@dataclass
class Outcome:
    """What came of it."""

    load: Load
    took: float = 0
    done: int = 0
    wakes: int = 0
    awake: list[float] = field(default_factory=list)  # when the k-th worker had work
    waited: float = 0  # for contended lines, all cores together

    @property
    def efficiency(self) -> float:
        """Of the ideal, in which nothing but tasks takes time."""
        return self.load.tasks * self.load.length / (self.load.workers * self.took)

    @property
    def throughput(self) -> float:
        """Tasks per microsecond."""
        return self.load.tasks / self.took * 1000

    def end(self, now: float) -> None:
        """One task more."""
        self.done += 1
        self.took = max(self.took, now)


def most_coming(running: int, pace: int) -> int:
    """How many workers may be on their way at a time; with no pace, one."""
    return max(1, running // pace) if pace else 1


class _Pool:
    """Workers, asleep to begin with, and one deque that jobs are taken from."""

    def __init__(self, load: Load, costs: Costs, pace: int) -> None:
        self.machine = Machine(costs)
        self.costs = costs
        self.load = load
        self.pace = pace
        self.outcome = Outcome(load)
        self.gauge, self.top, self.bottom = Line(), Line(), Line()
        self.active = self.searching = 0
        self.queued = 0  # to be had by everybody
        self.head, self.head_line = 0, Line()  # submitted and not yet taken over
        self.asleep: list[int] = list(range(load.workers - 1, -1, -1))
        self.spinning: dict[int, float] = {}  # worker: since when
        self.cores = [self._worker(i) for i in range(load.workers)]

    # --- cpp/core/sleep.hpp ---
    def wake_wanted(self) -> bool:
        most = most_coming(self.active - self.searching, self.pace)
        return self.searching < most and self.active < self.load.workers

    def wake(self) -> float:
        """Wakes one if that is wanted; what it costs the waker."""
        if not self.wake_wanted() or not self.asleep:
            return 0
        self.active += 1
        self.searching += 1
        self.outcome.wakes += 1
        self.machine.resume(self.cores[self.asleep.pop()], self.costs.land)
        return self.costs.issue

    def added(self) -> None:
        """Whoever looks on sees it."""
        for i in self.spinning:
            self.machine.resume(self.cores[i], self.costs.foreign)
        self.spinning.clear()

    # --- cpp/core/worker.cpp ---
    def _worker(self, me: int) -> Core:
        machine, costs = self.machine, self.costs
        begun = False
        ran = 0
        while True:
            yield costs.hit * 4 * self.load.workers  # has_work, of all
            found = False
            if self._available():
                found = yield from self._take(me)
            if not found:
                if not self._available():
                    yield from self._look_on(me, ran)
                    ran = 0
                continue
            if not begun:
                begun = True
                self.outcome.awake.append(machine.now)
            yield machine.write(self.gauge, me)
            was_last = self.searching == 1
            self.searching -= 1
            if (was_last or self.pace) and self._available():
                yield self.wake()
            while found:
                yield self.load.length
                ran += 1
                self.outcome.end(machine.now)
                found = False
                if self._available():
                    found = yield from self._take(me)
            yield machine.write(self.gauge, me)
            self.searching += 1

    def _look_on(self, me: int, ran: int) -> Generator[float | None, None, None]:
        """Spin if that is worth it, then sleep."""
        if ran > 1 and self.searching == 1:
            self.spinning[me] = self.machine.now
            self.machine.resume(
                self._end_of_spin(me, self.machine.now), self.costs.spin
            )
            yield None
            if self._available():
                return
        yield self.machine.write(self.gauge, me)
        self.searching -= 1
        self.active -= 1
        if self._available():  # it looks again before it sleeps
            self.searching += 1
            self.active += 1
            return
        self.asleep.append(me)
        yield None

    def _end_of_spin(self, me: int, since: float) -> Core:
        if self.spinning.get(me) == since:
            del self.spinning[me]
            self.machine.resume(self.cores[me])
        return
        yield

    def _available(self) -> bool:
        return self.queued > 0 or self.head > 0

    def _take(self, me: int) -> Steps:
        """Whether there was a job."""
        raise NotImplementedError

    def _steal(self, me: int) -> Steps:
        """One job off the old end; the compare-exchange may come too late."""
        while self.queued:
            yield self.machine.read(self.top, me) + self.machine.read(self.bottom, me)
            if not self.queued:
                break
            self.queued -= 1
            cost = self.machine.write(self.top, me)
            self.outcome.waited += max(0.0, cost - self.costs.foreign)
            yield cost
            return True
        return False


class Stack(_Pool):
    """A job pushes tasks onto its worker's stack; the others steal one by one."""

    def run(self) -> Outcome:
        """To the end."""
        self.asleep.remove(0)
        self.active = 1
        self.cores[0] = self._root()
        self.machine.resume(self.cores[0])
        self.machine.run()
        return self.outcome

    def _root(self) -> Core:
        self.outcome.awake.append(0)
        for _ in range(self.load.tasks):
            yield self.costs.push + self.machine.write(self.bottom, 0) - self.costs.own
            self.queued += 1
            self.added()
            yield self.machine.read(self.gauge, 0) + self.wake()
        while self.queued:
            self.queued -= 1
            yield self.costs.pop + self.machine.write(self.bottom, 0) - self.costs.own
            yield self.machine.read(self.top, 0) + self.load.length
            self.outcome.end(self.machine.now)
        self.active -= 1

    def _take(self, me: int) -> Steps:
        # The batches of all, and half of the stacks, are looked at on the way.
        yield self.costs.hit * 3 * self.load.workers
        return (yield from self._steal(me))


class Queue(_Pool):
    """Tasks from outside: one worker takes all there are, and all take from these."""

    def run(self) -> Outcome:
        """To the end."""
        self.machine.resume(self._submitter())
        self.machine.run()
        return self.outcome

    def _submitter(self) -> Core:
        outside = self.load.workers
        for _ in range(self.load.tasks):
            wait = self.machine.write(self.head_line, outside) - self.costs.own
            yield self.costs.submit + wait
            self.head += 1
            self.added()
            yield self.machine.read(self.gauge, outside) + self.wake()

    def _take(self, me: int) -> Steps:
        yield self.costs.pop + self.costs.hit * 2 * self.load.workers
        if (yield from self._steal(me)):
            return True
        n, self.head = self.head, 0
        if not n:
            return False
        yield self.machine.write(self.head_line, me) + n * self.costs.visit
        yield self.machine.write(self.bottom, me)
        self.queued += n - 1
        if n > 1:
            self.added()
            yield self.wake()
        return True
