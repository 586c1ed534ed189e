"""Models of runs that participants join: ranges, claims from a counter, graphs.

The words are those of cpp/core/{range,claim_queue,graph_run,mailbox,attendance}.hpp and
of cpp/bindings/map.hpp.
"""

from __future__ import annotations

from collections.abc import Iterator

from machine import Core, Costs, Line, Machine
from pool_model import PACE, Load, Outcome, Steps, most_coming


class _Run:
    """Participants: the first is there, each that comes queues tokens for more.

    ``calls``: how many tokens.  ``pace``: of the pool that wakes workers for them.
    """

    def __init__(self, load: Load, costs: Costs, calls: int, pace: int = PACE) -> None:
        self.machine = Machine(costs)
        self.costs = costs
        self.load = load
        self.calls = calls
        self.pace = pace
        self.tokens = 0  # queued
        self.coming = 0  # workers on their way
        self.outcome = Outcome(load)
        self.joined = 1
        self.called = 1  # tokens made, and the first participant

    def run(self) -> Outcome:
        """To the end."""
        self.machine.resume(self._first())
        self.machine.run()
        return self.outcome

    def _first(self) -> Core:
        self.outcome.awake.append(0)
        yield from self._invite()
        yield from self._take_part(0)

    def _newcomer(self) -> Core:
        me = self._arrived()
        if not self._anything_left():
            return
        self.outcome.awake.append(self.machine.now)
        yield self._wake()  # found a job, and there are more
        yield from self._invite()
        yield from self._take_part(me)

    def _arrived(self) -> int:
        self.coming -= 1
        self.tokens -= 1
        me, self.joined = self.joined, self.joined + 1
        return me

    def _invite(self) -> Iterator[float | None]:
        for _ in range(self.calls):
            if self.called == self.load.workers or not self._anything_left():
                return
            self.called += 1
            self.tokens += 1
            yield self._wake()

    def _wake(self) -> float:
        """What it costs the waker; 0 if none is wanted."""
        # The first participant is a thread from outside, which the pool doesn't count.
        may_come = most_coming(self.joined - 1, self.pace)
        if self.tokens <= self.coming or self.coming >= may_come:
            return 0
        self.coming += 1
        self.outcome.wakes += 1
        self.machine.resume(self._newcomer(), self.costs.land)
        return self.costs.issue

    def _anything_left(self) -> bool:
        raise NotImplementedError

    def _take_part(self, me: int) -> Iterator[float | None]:
        raise NotImplementedError


class Range(_Run):
    """Slots with ranges: the owner takes grains from the front, thieves the back half.

    ``first_victim``: every thief begins at slot 0, or else at a slot of its own.
    """

    def __init__(
        self, load: Load, costs: Costs, calls: int, pace: int, first_victim: bool
    ) -> None:
        super().__init__(load, costs, calls, pace)
        self.first_victim = first_victim
        self.slots = [(0, load.tasks)] + [(0, 0)] * (load.workers - 1)
        self.lines = [Line() for _ in range(load.workers)]
        self.thefts = 0

    def _anything_left(self) -> bool:
        return any(begin < end for begin, end in self.slots)

    def _take_part(self, me: int) -> Iterator[float | None]:
        length, grain = self.load.length, 1
        while True:
            while self.slots[me][0] < self.slots[me][1]:
                begin, end = self.slots[me]
                n = min(grain, max((end - begin) // 4, 1))
                self.slots[me] = (begin + n, end)
                wait = self.machine.write(self.lines[me], me)
                took = wait + n * length + 30  # two looks at the clock
                yield took
                self.outcome.done += n
                self.outcome.took = max(self.outcome.took, self.machine.now)
                if took < self.costs.grain and n == grain:
                    grain *= 2
                elif took > 4 * self.costs.grain:
                    grain = max(grain // 2, 1)
            if not (yield from self._steal(me)):
                return

    def _steal(self, me: int) -> Steps:
        first = 0 if self.first_victim else me * 7919 % self.joined
        for k in range(self.joined):
            victim = (first + k) % self.joined
            if victim == me:
                continue
            yield self.machine.read(self.lines[victim], me)
            begin, end = self.slots[victim]
            if begin >= end:
                continue
            middle = begin + (end - begin) // 2
            self.slots[victim] = (begin, middle)
            self.slots[me] = (middle, end)
            self.thefts += 1
            yield self.machine.write(self.lines[victim], me)
            yield self.machine.write(self.lines[me], me)
            return True
        return False


class Claim(_Run):
    """One counter for all: map and imap of a build without the interpreter lock."""

    def __init__(self, load: Load, costs: Costs, calls: int, chunk: int = 1) -> None:
        super().__init__(load, costs, calls)
        self.next, self.line, self.chunk = 0, Line(), chunk

    def _anything_left(self) -> bool:
        return self.next < self.load.tasks

    def _take_part(self, me: int) -> Iterator[float | None]:
        while self.next < self.load.tasks:
            n = min(self.chunk, self.load.tasks - self.next)
            self.next += n
            cost = self.machine.write(self.line, me)
            self.outcome.waited += max(0.0, cost - self.costs.foreign)
            yield cost + n * self.load.length
            self.outcome.done += n
            self.outcome.took = max(self.outcome.took, self.machine.now)


class Wavefront(_Run):
    """A square of nodes, each after its left and its upper neighbour.

    ``one_victim``: who looks for work looks at one other participant between two looks
    into the own mailbox, or else at all of them.
    """

    def __init__(self, load: Load, costs: Costs, calls: int, one_victim: bool) -> None:
        self.side = round(load.tasks**0.5)
        super().__init__(Load(self.side**2, load.length, load.workers), costs, calls)
        self.one_victim = one_victim
        self.missing = [2] * self.load.tasks
        for k in range(self.side):
            self.missing[k] = self.missing[k * self.side] = 1
        self.counters = [Line() for _ in range(self.load.tasks // 64 + 1)]
        self.stacks: list[list[int]] = [[] for _ in range(load.workers)]
        self.stacks[0].append(0)
        self.hungry: set[int] = set()  # look for work and got no mail
        self.cores: dict[int, Core] = {}
        self.waiting: set[int] = set()  # ... and do nothing until some comes
        self.hungry_line = Line()
        self.mail: dict[int, int] = {}

    def _anything_left(self) -> bool:
        return self.outcome.done < self.load.tasks

    def _newcomer(self) -> Core:
        me = self._arrived()
        self._begin(self._guest(me), me)
        return
        yield

    def _first(self) -> Core:
        self._begin(self._guest(0), 0)
        return
        yield

    def _begin(self, core: Core, me: int) -> None:
        self.cores[me] = core
        self.machine.resume(core)

    def _guest(self, me: int) -> Core:
        self.outcome.awake.append(self.machine.now)
        yield self._wake()
        yield from self._invite()
        while self._anything_left():
            yield from self._work(me)
            self.hungry.add(me)
            yield self.machine.write(self.hungry_line, me)
            if me not in self.mail:
                self.waiting.add(me)
                yield None
            if me not in self.mail:
                return
            self.stacks[me].append(self.mail.pop(me))
            yield self.machine.write(self.hungry_line, me) + self._notice()

    def _notice(self) -> float:
        """From the moment that something lies in the mailbox to the look at it."""
        looks = 1 if self.one_victim else self.load.workers - 1
        return self.costs.foreign + looks * 3 * self.costs.hit

    def _take_part(self, me: int) -> Iterator[float | None]:
        raise NotImplementedError  # _guest does it

    def _work(self, me: int) -> Iterator[float | None]:
        stack = self.stacks[me]
        while stack:
            node = stack.pop()
            yield from self._give(me)
            yield self.costs.node + self.load.length
            self.outcome.end(self.machine.now)
            yield self._arrive(node, me)
            yield from self._give(me, spare=1)
        if not self._anything_left():
            for other in self.waiting:
                self.machine.resume(self.cores[other])
            self.waiting.clear()

    def _give(self, me: int, spare: int = 0) -> Iterator[float | None]:
        """All but what is needed, to those who look for work."""
        stack = self.stacks[me]
        while len(stack) > spare and self.hungry:
            other = min(self.hungry)
            self.hungry.remove(other)
            self.mail[other] = stack.pop(0)
            if other in self.waiting:
                self.waiting.remove(other)
                self.machine.resume(self.cores[other], self.costs.own)
            scan = self.costs.hit * self.load.workers / 2
            yield scan + self.costs.foreign + self.machine.write(self.hungry_line, me)

    def _arrive(self, node: int, me: int) -> float:
        cost = 0.0
        right = node + 1 if (node + 1) % self.side else self.load.tasks
        for successor in (node + self.side, right):
            if successor >= self.load.tasks:
                continue
            self.missing[successor] -= 1
            cost += self.machine.write(self.counters[successor // 64], me)
            if not self.missing[successor]:
                self.stacks[me].append(successor)
        return cost
