"""Runs that never were: workers are simulated, so that a trace of theirs is consistent.

Tasks make progress as fast as what they share lets them: a core each, the cores that
there are, or the interpreter lock. Times are microseconds here, and ns in the trace.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np

from fastflow.seeing.trace import SPAN, Kind, Lane, Run, State, Trace

US = 1_000


@dataclass
class Task:
    name: str
    cost: float
    """Time it takes if nothing holds it up."""
    cpu: float = 1.0
    """Share of that in which it uses a processor."""
    after: tuple[int, ...] = ()
    """Numbers of tasks that it waits for before it is ready."""
    children: tuple[int, ...] = ()
    """Numbers of tasks that it waits for half-way, and keeps its worker meanwhile."""
    send: float = 0.0
    """Time that sending takes, before and after."""
    ready: float = 0.0
    """When it is submitted."""


@dataclass
class Simulation:
    """`capacity`: so many tasks make progress at a time; more share it."""

    tasks: list[Task]
    workers: int
    capacity: float = 1e9
    overhead: float = 0.0
    kind: str = "worker"
    machine: dict = field(default_factory=dict)

    def run(self) -> Trace:
        self.spans = []
        self.left = [len(task.after) for task in self.tasks]
        self.followers: dict[int, list[int]] = {}
        for number, task in enumerate(self.tasks):
            for other in task.after:
                self.followers.setdefault(other, []).append(number)
        inner = {child for task in self.tasks for child in task.children}
        self.ready = {}
        self.queue: list[tuple[float, int]] = []
        for number, task in enumerate(self.tasks):
            if not task.after and number not in inner:
                self.submit(number, task.ready)
        self.done = {}
        self._loop()
        return self.trace()

    def submit(self, number, now):
        self.ready[number] = now
        heapq.heappush(self.queue, (now, number))

    def _loop(self):
        """Go from event to event; between two of them all speeds are constant."""
        now = 0.0
        free = list(range(self.workers))
        heapq.heapify(free)
        idle_since = dict.fromkeys(free, 0.0)
        phases: dict[int, list] = {}  # lane -> [number, phases left, time left, since]
        while True:
            while free and self.queue and self.queue[0][0] <= now:
                lane = heapq.heappop(free)
                _, number = heapq.heappop(self.queue)
                self.note(Kind.IDLE, lane, idle_since.pop(lane), now)
                task = self.tasks[number]
                half = task.cost / 2 if task.children else task.cost
                plan = [
                    ("overhead", self.overhead),
                    ("send", task.send),
                    ("call", half),
                ]
                if task.children:
                    plan += [("children", 0.0), ("call", half)]
                plan += [("send", task.send)]
                phases[lane] = [number, plan, now, now, 0.0]
            if not phases and not self.queue:
                break
            using = sum(p[1][0][0] == "call" for p in phases.values())
            rate = min(1.0, self.capacity / using) if using else 1.0
            steps = [
                p[1][0][1] / (rate if p[1][0][0] == "call" else 1.0)
                for p in phases.values()
                if p[1][0][0] != "children" or self.finished(p[0])
            ]
            if free and self.queue:
                steps.append(self.queue[0][0] - now)
            step = min(steps)
            now += step
            for lane in sorted(phases):
                self.advance(phases, lane, step, rate, now, free, idle_since)
        self.end = now
        for lane, since in idle_since.items():
            self.note(Kind.IDLE, lane, since, now)

    def finished(self, number):
        return all(child in self.done for child in self.tasks[number].children)

    def advance(self, phases, lane, step, rate, now, free, idle_since):
        number, plan, since, _, cpu = phases[lane]
        task = self.tasks[number]
        what, left = plan[0]
        if what == "children" and not self.finished(number):
            return
        speed = rate if what == "call" else 1.0
        left -= step * speed if what != "children" else 0
        if what == "call":
            phases[lane][4] = cpu + step * speed * task.cpu
        if left > 1e-9:
            plan[0] = (what, left)
            return
        plan.pop(0)
        if what == "send":
            self.note(Kind.SEND, lane, since, now, number)
        elif what == "children":
            self.note(Kind.BLOCKED, lane, since, now, number)
        if what != "call" and plan and plan[0][0] == "call" and what != "children":
            phases[lane][3] = now
        phases[lane][2] = now
        if what == "call" and plan and plan[0][0] == "children":
            for child in task.children:
                self.submit(child, now)
        if what == "call" and (not plan or plan[0][0] == "send"):
            self.note(Kind.CALL, lane, phases[lane][3], now, number, phases[lane][4])
            self.finish(number, now)
        if not plan:
            del phases[lane]
            heapq.heappush(free, lane)
            idle_since[lane] = now

    def finish(self, number, now):
        self.done[number] = now
        for other in self.followers.get(number, ()):
            self.left[other] -= 1
            if not self.left[other]:
                self.submit(other, now)

    def note(self, kind, lane, start, end, number=-1, cpu=-1.0):
        if end > start:
            self.spans.append((start, end, kind, lane, number, cpu))

    def trace(self) -> Trace:
        labels = tuple(dict.fromkeys(task.name for task in self.tasks))
        spans = np.zeros(len(self.spans), SPAN)
        spans["cpu"] = spans["ready"] = spans["item"] = spans["label"] = -1
        spans["run"] = -1
        for row, (start, end, kind, lane, number, cpu) in zip(
            spans, sorted(self.spans, key=lambda s: (s[0], -s[1])), strict=True
        ):
            row["start"], row["end"] = round(start * US), round(end * US)
            row["kind"], row["lane"], row["state"] = kind, lane, State.DONE
            if number >= 0:
                row["run"], row["attempt"], row["item"] = 0, 1, number
                row["label"] = labels.index(self.tasks[number].name)
            if kind == Kind.CALL:
                row["ready"] = round(self.ready[number] * US)
                row["cpu"] = min(round(cpu * US), row["end"] - row["start"])
        lanes = tuple(Lane(f"worker {n}", self.kind) for n in range(self.workers))
        length = round(self.end * US)
        machine = {"workers": self.workers, "gil": True, **self.machine}
        return Trace(
            spans,
            labels,
            lanes,
            (Run("planted", "executor", "1", 0, length),),
            length=length,
            machine=machine,
        )


def many(count, cost, name="work", spread=0.0, **more):
    """Equal tasks, but for some spread that is always the same."""
    around = np.random.default_rng(1).uniform(-spread, spread, count)
    return [Task(name, cost * (1 + x), **more) for x in around]


def with_counter(trace, **values):
    from dataclasses import replace

    from fastflow.seeing.trace import COUNTER

    counters = {}
    for name, value in values.items():
        counters[name] = np.zeros(10, COUNTER)
        counters[name]["time"] = np.linspace(0, trace.length, 10, endpoint=False)
        counters[name]["value"] = value
    return replace(trace, counters={**trace.counters, **counters})


# --- one cause each -------------------------------------------------------------------


def healthy():
    tasks = many(400, 500, spread=0.2)
    return Simulation(tasks, 4, overhead=1, machine=machine(4)).run()


def machine(cpus, **more):
    return {"cpus": cpus, "overhead": {"submit": 2_000, "process": 3_000}, **more}


def interpreter_lock():
    """Pure Python on two threads of four cores."""
    tasks = many(200, 500, spread=0.1)
    return Simulation(tasks, 2, capacity=1, machine=machine(4)).run()


def small_tasks():
    return Simulation(
        many(3_000, 0.8, spread=0.1), 2, overhead=2, machine=machine(2)
    ).run()


def straggler():
    tasks = [*many(80, 100, spread=0.1), Task("work", 3_000)]
    return Simulation(tasks, 4, overhead=1, machine=machine(4)).run()


def serial_section():
    """Fan-out, one call alone, fan-out."""
    first = many(40, 100, "map")
    alone = [Task("merge", 2_000, after=tuple(range(40)))]
    second = many(40, 100, "write", after=(40,))
    return Simulation(
        [*first, *alone, *second], 4, overhead=1, machine=machine(4)
    ).run()


def few_workers():
    return Simulation(
        many(200, 300, spread=0.1), 2, overhead=1, machine=machine(8)
    ).run()


def blocked_workers():
    """Two parents hold both workers of three while four children each wait."""
    tasks = []
    for _ in range(10):
        base = len(tasks)
        children = tuple(range(base + 1, base + 9))
        tasks.append(Task("parent", 50, children=children))
        tasks += many(8, 200, "child")
    # Parents come in pairs, so that a worker is left for children.
    for number, task in enumerate(tasks):
        if task.name == "parent":
            task.ready = number // 18 * 3_000
    return Simulation(tasks, 3, overhead=1, machine=machine(3)).run()


def blas_threads():
    """Four workers with four threads each on four cores: a quarter of a core each."""
    tasks = many(80, 500, "dot", spread=0.1)
    trace = Simulation(
        tasks, 4, capacity=1, machine=machine(4, blas={"openblas": 4})
    ).run()
    return with_counter(trace, cpu=3.9)


def sending():
    tasks = many(100, 100, send=300)
    return Simulation(tasks, 4, kind="process", machine=machine(4)).run()


def imbalance():
    return Simulation(many(5, 1_000, spread=0.02), 4, machine=machine(4)).run()


def many_workers():
    """Sixteen threads on four cores, of which switching takes a part."""
    tasks = many(320, 500, spread=0.1)
    return Simulation(tasks, 16, capacity=3, machine=machine(4)).run()


def waits():
    tasks = many(200, 1_000, "fetch", cpu=0.02)
    return Simulation(tasks, 2, overhead=1, machine=machine(2)).run()


def few_tasks():
    """Two chains on six workers."""
    tasks = []
    for n in range(60):
        tasks.append(Task("step", 200, after=(n - 2,) if n > 1 else ()))
    return Simulation(tasks, 6, overhead=1, machine=machine(6)).run()


def start_up():
    tasks = many(80, 100, spread=0.1)
    trace = Simulation(tasks, 4, kind="process", machine=machine(4)).run()
    spans = trace.spans.copy()
    for name in ("start", "end"):
        spans[name] += 4_000 * US
    spans["ready"][spans["ready"] >= 0] = 0
    length = trace.length + 4_000 * US
    from dataclasses import replace

    return replace(trace, spans=spans, length=length, runs=())


#: Page of the cause -> trace in which it is planted.
PLANTED = {
    "interpreter-lock": interpreter_lock,
    "small-tasks": small_tasks,
    "stragglers": straggler,
    "serial-section": serial_section,
    "few-workers": few_workers,
    "blocked-workers": blocked_workers,
    "blas-threads": blas_threads,
    "sending": sending,
    "imbalance": imbalance,
    "many-workers": many_workers,
    "waits": waits,
    "few-tasks": few_tasks,
    "start-up": start_up,
}
