"""Calls native entry points while memory runs out; run by test_nomem.py.

``nomem.py GROUP THREADS``: for each entry point of the group, lets the n-th allocation
of its call fail, for all n until a call gets through; prints a line for each.
"""

from __future__ import annotations

import array
import contextlib
import contextvars
import ctypes
import gc
import os
import pickle
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastflow
from fastflow import _core as core
from fastflow.base import recorders
from fastflow.base.nested import STATIC_CONTAINERS
from fastflow.engines import graph as graphs
from fastflow.pool import executor, future  # noqa: F401  (configures _core)

LIMIT = 4000  # allocations of one call; more: it never gets through
#: Not with its own thread out of memory: Python's Thread.start() waits for one that has
#: died at its start until fastflow's limit for that, 20 s each time.
STARTING = "ExecutorBase.submit first"
REPEATS = 8  # calls, each of which would leave something behind if it leaked

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")


@dataclass
class Entry:
    """An entry point of ``_core``.

    ``call`` gets what ``make`` returns, and ``ready`` before each try (if given);
    ``check`` looks whether all of that is in order, whether or not memory was short.
    """

    make: Callable[[], Any]
    call: Callable[[Any], Any]
    check: Callable[[Any], object] = lambda made: None
    ready: Callable[[Any], object] = lambda made: None
    lasting: bool = False  # something is meant to stay for the life of the process


def value(*args, **kwargs):
    return args


def fail(*args):
    raise ValueError("on purpose")


def kernel(address=core.NOOP_ADDRESS):
    return core.Kernel(address=address, data=0, keep=None, name="kernel")


# --- what is called -------------------------------------------------------------------


class Pool:
    """An executor whose threads have been started, as nobody starts one here."""

    def __init__(self, **options):
        self.executor = fastflow.Executor(2, blas_threads=None, **options)
        self.engine = self.executor._engine
        if options:  # one thread is enough
            self.executor.submit(value).result(30)
            return
        gate = threading.Barrier(3)
        futures = [self.executor.submit(gate.wait, 30) for _ in range(2)]
        gate.wait(30)
        for f in futures:
            f.result()

    def works(self):
        assert self.executor.submit(value, 1).result(30) == (1,)
        assert fastflow.map(value, range(3), executor=self.executor)


_pools: list[Pool] = []


def pool(**options) -> Pool:
    if options:
        return Pool(**options)
    if not _pools:
        _pools.append(Pool())
    return _pools[0]


class Bare:
    """An engine that asks for threads and gets none."""

    def __init__(self):
        self.engine = core.Engine(limit=2, spawner=self.spawn)
        self.asked = 0

    def spawn(self, engine):
        self.asked += 1


class Line(Bare):
    """The calling thread is the worker."""

    def ready(self):
        self.engine = core.Engine(limit=1, spawner=self.spawn)
        self.future = core.submit_scoped(self.engine, core.Scope(), value, 1)
        self.engine.stop(False)

    def check(self):
        if not self.future.done():  # it did not come to the call
            self.engine.run_worker(ticket=[None], begin=None, end=int)
        assert self.future.done()


class Futures:
    """One that has ended, one that failed, one that nobody ends."""

    def __init__(self):
        self.pool = pool()
        self.good = self.pool.executor.submit(value, 1)
        self.bad = self.pool.executor.submit(fail)
        self.good.result(30)
        self.bad.exception(30)
        self.open = fastflow.Future()

    def fresh(self):
        self.open = fastflow.Future()

    def check(self):
        assert self.good.result(0) == (1,)
        assert isinstance(self.bad.exception(0), ValueError)
        self.open.running()
        other = fastflow.Future()
        other.set_result(2)
        assert other.result(0) == 2


class Queued(Futures):
    """And one that waits in a queue."""

    def __init__(self):
        super().__init__()
        self.bare = Bare()
        self.fresh()

    def fresh(self):
        self.open = core.submit_scoped(self.bare.engine, core.Scope(), value, 1)


def sure_callback(f):
    pass


class Nodes:
    """A graph of a few nodes."""

    def __init__(self):
        self.graph = fastflow.Graph()
        self.first = self.graph.add(value, 1, name="first")
        self.second = self.graph.add(value, [self.first, 2], name="second")
        self.third = self.graph.add(value, self.second, after=self.first)
        self.states = bytearray(3)
        self.extra = None

    def check(self):
        n = len(self.graph)
        if self.extra is None:
            self.extra = self.graph.add(value, self.first)
            assert self.extra.index == n
            n += 1
        assert len(self.graph) == n
        result = self.graph.run(executor=pool().executor)
        assert result[self.extra] == ((1,),)
        assert all(isinstance(result[i], tuple) for i in range(n))
        assert self.graph.node(0).name == "first"
        assert [self.graph.node(i).index for i in range(n)] == list(range(n))


class Added(Nodes):
    def call(self):
        new = self.graph.add(
            value, self.first, [self.first, 2], {"k": self.first, "c": (1,)},
            *range(12), name="x", after=[self.first, self.second], word=self.first,
            other=3,
        )  # fmt: skip
        assert new.name == "x"


class Numbered:
    def __init__(self):
        self.ready()

    def ready(self):
        self.graph = core.Graph()
        self.src, self.dst = array.array("i", [0, 0, 1]), array.array("i", [1, 2, 2])

    def check(self):
        if self.graph.n_nodes == 0:  # not made
            self.graph.set_edges(n=3, src=self.src, dst=self.dst)
        assert self.graph.successors(0) == (1, 2)
        assert self.graph.n_edges == 3


def call_run(graph, body):
    return core.CallRun(
        engine=pool().engine,
        graph=graph,
        fn=body,
        most=2,
        stop_on_error=False,
        keep=2,
        timings=None,
    )


class Calls:
    """A run of a graph of calls, and one that has ended."""

    def __init__(self, function=value):
        self.nodes = Nodes()
        self.wide = fastflow.Graph()
        begin = self.wide.add(value, 1)
        middle = [self.wide.add(function, begin, *range(12)) for _ in range(40)]
        self.wide.add(value, middle)
        self.ready()
        self.done = self.make()
        self.done.run(True)

    def make(self):
        return call_run(self.wide, None)

    def ready(self):
        self.run = self.make()

    def check(self):
        self.run = None
        self.wide.add(value, 0)  # nothing runs any more
        self.nodes.check()
        pool().works()

    def finish(self):
        self.run.run(True)
        assert self.run.done >= 40


class Deferred:
    """A run that goes on in another thread, with a node that is under way."""

    def __init__(self, outcome=core.DEFERRED):
        self.outcome = outcome
        self.wide = fastflow.Graph()
        src, dst = array.array("i", [0] * 40), array.array("i", range(1, 41))
        self.wide.set_edges(n=41, src=src, dst=dst)

    def ready(self):
        began, self.go = threading.Event(), threading.Event()

        def body(number):
            if number:
                return None
            began.set()
            if self.outcome is core.LOST:
                self.go.wait()
            return self.outcome

        self.run = call_run(self.wide, body)
        self.thread = threading.Thread(target=self.run.run, args=(2,))
        self.thread.start()
        began.wait()
        self.settled = self.lost = False

    def settle(self):
        self.run.settle(0, True)
        self.settled = True

    def post(self):
        self.run.post(77)

    def lose(self):
        self.run.lose(0)
        self.lost = True

    def check(self):
        if self.outcome is core.LOST and not self.lost:
            self.run.lose(0)
        self.go.set()
        if not self.settled:
            self.run.settle(0, True)
        self.thread.join()
        pool().works()


class Kernels:
    def __init__(self):
        self.graph = core.Graph()
        n = 500
        src = array.array("i", [0] * n + list(range(1, n)))
        dst = array.array("i", list(range(1, n + 1)) + [n] * (n - 1))
        self.graph.set_edges(n=n + 1, src=src, dst=dst)
        self.status = array.array("i", [0])
        self.kernel = kernel()
        self.failing = core.Kernel(
            address=core.NOOP_ADDRESS,
            data=0,
            keep=self.status,
            name="k",
            status=self.status.buffer_info()[0],
            status_count=1,
        )
        self.ready()
        self.done = self.make()
        self.done.run(True)

    def make(self, timings=None):
        return core.KernelRun(
            engine=pool().engine,
            graph=self.graph,
            kernel=self.kernel,
            most=2,
            stop_on_error=True,
            timings=timings,
        )

    def ready(self):
        self.run = self.make()

    def check(self):
        run = self.make()
        run.run(True)
        assert run.done == 501
        assert run.states() == b"\1" * 501
        pool().works()


class Maps:
    def __init__(self, keep=True, width=1):
        self.width, self.keep = width, keep
        self.ready()
        self.done = self.make()
        self.done.run(True, None)

    def make(self):
        columns = (list(range(100)), *([range(100)] * (self.width - 1)))
        return core.Map(
            engine=pool().engine,
            fn=value,
            columns=columns,
            star=False,
            keep=self.keep,
            return_exceptions=True,
            stop_on_error=True,
            chunk=0,
            most=2,
        )

    def ready(self):
        self.map = self.make()

    def check(self):
        result = self.make().run(True, None)
        assert not self.keep or len(result) == 100
        pool().works()

    def run(self):
        for item in self.map.run(True, 30) or ():
            # An item's own lack of memory is the item's.
            assert isinstance(item, (tuple, MemoryError))

    def take(self):
        self.map.start()
        assert isinstance(self.map.take(99, 30), (tuple, MemoryError))


class Streams:
    def __init__(self, width=1):
        self.width = width
        self.ready()

    def make(self):
        inputs = tuple(iter(range(50)) for _ in range(self.width))
        return self.over(inputs)

    def over(self, inputs):
        return core.Stream(
            engine=self.engine,
            fn=value,
            iterators=inputs,
            capacity=20,
            ordered=True,
            return_exceptions=True,
            caller_helps=True,
            most=2,
            timeout=None,
        )

    def ready(self):
        self.engine = pool().engine
        self.inputs = (iter(range(50)),)
        self.stream = self.make()

    def check(self):
        assert len(list(self.make())) == 50
        pool().works()

    def drain(self):
        for item in self.stream:
            assert isinstance(item, (tuple, MemoryError))


class RecordedStreams(Streams):
    """Those that were made while somebody records."""

    def ready(self):
        self.tape = core.Tape(size=100)
        super().ready()
        assert type(self.stream).__name__ == "RecordedStream"

    def check(self):
        self.tape.close()
        super().check()


class Sampled:
    def __init__(self):
        self.sampler = core.Sampler(every=1000, most=8)
        self.sampler.run(0.001, ())


class Taped:
    """A recording in which something has been written down."""

    def __init__(self):
        self.tape = core.Tape(size=100)
        pool().works()

    def check(self):
        self.tape.close()
        assert isinstance(self.tape.parts(), list)


class Scopes:
    def __init__(self):
        self.scope = core.Scope()
        future = core.submit_scoped(pool().engine, self.scope, fail)
        future.exception(30)
        self.scope.wait(30)

    def check(self):
        assert self.scope.open == 0
        assert self.scope.cancelled
        assert len(self.scope.failures()) == 1


class Blocks:
    """The end of a group's block, whose task has ended."""

    def ready(self):
        self.group = fastflow.TaskGroup(pool().executor)
        self.group.__enter__()
        self.group.create_task(value, 1).result(30)

    def leave(self):
        self.group.__exit__(None, None, None)

    def check(self):
        assert self.group._scope.open == 0
        pool().works()


class InTask:
    """What a task sees."""

    def __init__(self):
        self.task = pool().executor.submit(core.current_task).result(30)

    def check(self):
        assert not self.task.cancelled
        pool().works()


class Submitting:
    def __init__(self, **options):
        self.pool = pool(**options)
        self.kernel = kernel()
        self.fresh()

    def fresh(self):
        self.scope = core.Scope()  # the failure of a task cancels it

    def check(self):
        self.pool.works()
        assert self.scope.wait(30)

    def call(self, submit):
        submit(value, 1).result(30)
        submit(value, *range(9), word=1).result(30)
        submit(self.kernel, 1).result(30)


class Full(Submitting):
    """Up to its limit, submit() makes room by running tasks itself."""

    def __init__(self):
        super().__init__(max_pending=1, on_full="caller_runs")


class Starting:
    """The first thread of an executor."""

    def __init__(self):
        self.executor = None

    def ready(self):
        if self.executor is not None:
            self.executor.shutdown()
        self.executor = fastflow.Executor(1, blas_threads=None)

    def call(self):
        self.executor.submit(value, 1)

    def check(self):
        assert self.executor.submit(value, 2).result(30) == (2,)


def engine(options=()):
    return core.Engine(
        limit=2,
        spawner=value,
        activity=value,
        caller_may_run=True,
        max_pending=3,
        on_full=0,
        propagate_context=True,
    )


def kernel_loop(pool, kernel):
    core.kernel_loop(
        engine=pool.engine,
        kernel=kernel,
        start=0,
        step=1,
        n=9999,
        most=2,
        caller_helps=True,
    )


def getter(make, name):
    return Entry(make, lambda made: getattr(made, name))


def futures(call, *, fresh=False, kind=Futures, check=Futures.check):
    ready = (lambda made: made.fresh()) if fresh else (lambda made: None)
    return Entry(kind, call, check, ready)


def graph(call):
    return Entry(Nodes, call, Nodes.check)


def calls(call, lasting=False):
    return Entry(Calls, call, Calls.check, Calls.ready, lasting)


def kernels(call):
    return Entry(Kernels, call, Kernels.check, Kernels.ready)


def maps(call, **options):
    return Entry(lambda: Maps(**options), call, Maps.check, Maps.ready)


def streams(call, lasting=False, **options):
    return Entry(
        lambda: Streams(**options), call, Streams.check, Streams.ready, lasting
    )


def recorded_streams(call):
    return Entry(RecordedStreams, call, RecordedStreams.check, RecordedStreams.ready)


def release(condition):
    with contextlib.suppress(RuntimeError):  # it is not held
        condition.release()


def held(condition, call):
    with condition:
        return call()


def conditions(call):
    def check(condition):
        release(condition)  # whether or not it came so far
        with condition:
            condition.notify_all()

    return Entry(lambda: fastflow.Future()._condition, call, check)


def bad(text):
    raise AssertionError(text)


def lend():
    place = core.place()
    core.lend(place)
    while True:
        try:
            return core.take_back(place)
        except MemoryError:
            pass


def unobserved(made):
    made.executor.submit(fail).exception  # noqa: B018  (dropped: nobody asks)
    made.works()


#: Every public name of _core and every member, as in _core.pyi; a space may follow.
class Talk:
    """Both ends of a channel, and messages on their way in both directions."""

    def __init__(self):
        self.sockets = socket.socketpair()
        here, there = (each.fileno() for each in self.sockets)
        self.here = core.Channel.create(here, 1 << 16)
        self.there = core.Channel.attach(there, os.dup(self.here.memory_fd))
        self.tickets = [self.here.send(b"x" * 100) for _ in range(50)]

    def fresh(self):
        """Have something to receive, and room."""
        self.there.receive_many(1000)
        self.here.receive_many(1000)
        self.tickets = [self.here.send(b"x" * 100) for _ in range(20)]

    def check(self):
        self.there.receive_many(1000)
        assert self.here.send(b"once more") > 0
        assert self.there.receive_many(1000)[-1] == b"once more"


def talk(call):
    return Entry(Talk, call, Talk.check, Talk.fresh)


class Half:
    """An end to which nobody has attached."""

    def __init__(self):
        self.sockets = socket.socketpair()

    def fresh(self):
        self.here = core.Channel.create(self.sockets[0].fileno(), 1 << 16)
        self.memory = os.dup(self.here.memory_fd)

    def attach(self):
        core.Channel.attach(self.sockets[1].fileno(), self.memory)


class Desk(core.Dispatcher):
    """A dispatcher with one worker, whose end is here as well."""

    def __init__(self):
        self.sockets = socket.socketpair()
        here, there = (each.fileno() for each in self.sockets)
        self.worker = core.Window()
        self.worker.channel = core.Channel.create(here, 1 << 16)
        self.there = core.Channel.attach(there, os.dup(self.worker.channel.memory_fd))
        self.calls = []
        self.bell = fastflow.Future()
        self.options = {
            "loads": pickle.loads,
            "dumps": pickle.dumps,
            "definitions": {0: pickle.dumps((-1, 0))},
            "graveyard": deque(),
            "stop": pickle.dumps((-4,)),
            "max_workers": 1,
            "max_tasks": 0,
            "retry": False,
            "watcher_bell": -1,
            "helper_bell": -1,
            "main_thread": threading.main_thread().ident,
            "piped": False,
        }
        super().__init__(**self.options)
        self.attach(self.worker)

    def told(self, *what):
        bad(f"{what} was told")

    def fresh(self):
        """Have calls at the worker and in the order, and one that has its answer."""
        self.there.receive_many(1000)
        for _ in range(5):
            call = fastflow.Future()
            self.add(call, 0, b"x" * 20)
            self.calls.append(call)
        if self.there.receive() is not None and self.worker.pending:
            self.there.send(pickle.dumps(7))

    def ready(self):
        while True:
            try:
                return self.fresh()
            except MemoryError:
                pass

    def answer_all(self):
        """Have all calls answered that are there."""
        self.take()
        while self.worker.pending or self.unsettled:
            for _ in range(self.worker.pending):
                self.there.send(pickle.dumps(7))
            self.there.receive_many(1000)
            self.take()
            if self.has_left:  # to any other thread
                other = threading.Thread(target=self.take)
                other.start()
                other.join()

    def check(self):
        """See that no call is lost."""
        self.answer_all()
        for call in self.calls:
            assert call.cancelled() or call.result(0) == 7
        self.calls.clear()

    def cancel(self):
        self.cancel_call(self.calls[-1])

    def add_one(self):
        self.add(fastflow.Future(), 0, b"y" * 20)


class Chunks:
    """A map of two chunks."""

    next = 0

    def measures(self):
        return 2, 4

    def next_chunk(self):
        stop = self.next + 1
        return Piece(), 0, b"z" * 20, stop, stop == 2


class Piece:
    def set_result(self, value):
        assert value == 7


def desk(call):
    return Entry(Desk, call, Desk.check, Desk.ready)


def emptied_desk(call):
    return Entry(Desk, call, Desk.answer_all, Desk.ready, lasting=True)


def lasting_desk(call):
    return Entry(Desk, call, lasting=True)


def hold(call):
    return Entry(core.Seats, lambda seats: call(seats.take(True, True)))


def used(hold):
    with hold:
        pass


def half(call):
    return Entry(Half, call, ready=Half.fresh, lasting=True)


def descriptor(made):
    made.here.send_descriptor(made.sockets[0].fileno())


def take(made):
    os.close(made.there.take_descriptor(10))


def prepare(made):
    if made.here.prepare_wait():
        made.here.finish_wait()


def segment():
    return core.Segment(10_000)


kept_pair = socket.socketpair()

CHANNELS: dict[str, Entry] = {
    "Channel.create": Entry(
        lambda: socket.socketpair(),
        lambda made: core.Channel.create(made[0].fileno(), 1 << 16),
    ),
    "Channel.attach": half(Half.attach),
    "Channel.abandon": half(lambda made: made.here.abandon()),
    "Channel.release_fd": half(lambda made: made.here.release_fd()),
    "Channel.capacity": talk(lambda made: made.here.capacity),
    "Channel.closed_by_peer": talk(lambda made: made.here.closed_by_peer),
    "Channel.max_payload": talk(lambda made: made.here.max_payload),
    "Channel.memory_fd": talk(lambda made: made.here.memory_fd),
    "Channel.prepare_wait": talk(prepare),
    "Channel.finish_wait": talk(prepare),
    "Channel.recall": talk(lambda made: made.here.recall(made.tickets[-1])),
    "Channel.receive": talk(lambda made: made.there.receive()),
    "Channel.receive_many": talk(lambda made: made.there.receive_many(5)),
    "Channel.send": talk(lambda made: made.here.send(b"y" * 50)),
    "Channel.send_many": talk(lambda made: made.here.send_many([b"y"] * 5)),
    "Channel.send_descriptor": Entry(Talk, descriptor),
    "Channel.take_descriptor": Entry(Talk, take, ready=descriptor),
    "Channel.taken_up_to": talk(lambda made: made.here.taken_up_to()),
    "Channel.unclaimed": talk(lambda made: made.here.unclaimed()),
    "Channel.wait": talk(lambda made: made.there.wait(0.0)),
    "Channel.wait_for_room": talk(lambda made: made.here.wait_for_room(0.0)),
    "wait_channels": talk(lambda made: core.wait_channels([made.there], (), 0.0)),
    "Segment.__init__": Entry(value, lambda made: segment()),
    "Segment.__buffer__": Entry(segment, lambda made: memoryview(made).release()),
    "Segment.close_fd": Entry(segment, lambda made: made.close_fd()),
    "Segment.fd": getter(segment, "fd"),
    "Segment.open": Entry(
        segment, lambda made: core.Segment.open(os.dup(made.fd), made.size)
    ),
    "Segment.readonly": getter(segment, "readonly"),
    "Segment.size": getter(segment, "size"),
    "Segment.write": Entry(segment, lambda made: made.write(b"z" * 9_000)),
    "has_shared_memory": Entry(value, lambda made: core.has_shared_memory()),
    # It ends the process with the other end, which is therefore kept.
    "end_with": Entry(
        lambda: kept_pair, lambda made: core.end_with(made[0].fileno()), lasting=True
    ),
}

DISPATCHERS: dict[str, Entry] = {
    "Dispatcher.__init__": desk(lambda made: core.Dispatcher(**made.options)),
    "Dispatcher.add": desk(lambda made: made.add_one()),
    "Dispatcher.add_map": desk(lambda made: made.add_map(Chunks())),
    "Dispatcher.take": desk(lambda made: made.take()),
    "Dispatcher.give": desk(lambda made: made.give()),
    "Dispatcher.cancel_call": desk(Desk.cancel),
    "Dispatcher.is_running": desk(lambda made: made.is_running(made.calls[0])),
    "Dispatcher.worker_of": desk(lambda made: made.worker_of(made.calls[0])),
    "Dispatcher.take_waiting": emptied_desk(lambda made: made.take_waiting()),
    "Dispatcher.take_all": emptied_desk(lambda made: made.take_all()),
    "Dispatcher.take_dead": desk(lambda made: made.take_dead()),
    "Dispatcher.attach": lasting_desk(lambda made: made.attach(core.Window())),
    "Dispatcher.retire": lasting_desk(lambda made: made.retire()),
    "Dispatcher.disown": lasting_desk(lambda made: made.disown()),
    "Dispatcher.claim_start": desk(lambda made: used(made.claim_start())),
    "Dispatcher.add_bell": lasting_desk(lambda made: made.add_bell(fastflow.Future())),
    "Dispatcher.is_entered": desk(lambda made: made.is_entered()),
    "Dispatcher.is_settling": desk(lambda made: made.is_settling()),
    **{
        f"Dispatcher.{name}": desk(lambda made, name=name: getattr(made, name))
        for name in (
            "asleep", "burst", "early_deaths", "forked", "has_dead", "has_left",
            "holds", "is_uneven", "killed", "limit", "look_closer", "piped", "refusal",
            "seconds", "settles", "starting", "takes", "unsettled", "wants_worker",
            "workers",
        )
    },
    "Window.channel": desk(lambda made: made.worker.channel),
    "Window.gone": desk(lambda made: made.worker.gone),
    "Window.made": desk(lambda made: made.worker.made),
    "Window.pending": desk(lambda made: made.worker.pending),
    "Window.ready": desk(lambda made: made.worker.ready),
    "Window.retiring": desk(lambda made: made.worker.retiring),
    "Hold.__enter__": hold(used),
    "Hold.__exit__": hold(used),
    "Hold.granted": hold(lambda made: made.granted),
    "AtEnd.__new__": Entry(list, lambda made: core.AtEnd(made.append, 1)),
    "Seats.take": Entry(core.Seats, lambda seats: used(seats.take(True, True))),
    "Seats.watched": getter(core.Seats, "watched"),
    "Seats.sleepers": getter(core.Seats, "sleepers"),
}  # fmt: skip

ENTRIES: dict[str, Entry] = {
    **CHANNELS,
    **DISPATCHERS,
    "Engine.__init__": Entry(value, lambda made: engine()),
    "Engine.active": getter(engine, "active"),
    "Engine.broken": getter(engine, "broken"),
    "Engine.caller_may_run": getter(engine, "caller_may_run"),
    "Engine.forked": getter(engine, "forked"),
    "Engine.limit": getter(engine, "limit"),
    "Engine.shut_down": getter(engine, "shut_down"),
    "Engine.spawner": getter(engine, "spawner"),
    "Engine.keep_reservation": Entry(engine, lambda e: e.keep_reservation()),
    "Engine.mark_forked": Entry(engine, lambda e: e.mark_forked(), lasting=True),
    "Engine.report_unobserved": Entry(
        pool, lambda made: made.engine.report_unobserved(), Pool.works, unobserved
    ),
    "Engine.run_worker": Entry(
        Line,
        lambda made: made.engine.run_worker(ticket=[None], begin=None, end=int),
        Line.check,
        Line.ready,
    ),
    "Engine.set_broken": Entry(engine, lambda e: e.set_broken()),
    "Engine.stats": Entry(pool, lambda made: made.engine.stats(), Pool.works),
    "Engine.stop": Entry(engine, lambda e: e.stop(True)),
    "Engine.wait_stopped": Entry(engine, lambda e: e.wait_stopped(0.0)),
    "ExecutorBase._engine": Entry(pool, lambda made: made.executor._engine, Pool.works),
    "ExecutorBase._open": Entry(
        pool, lambda made: made.executor._open(made.engine), Pool.works
    ),
    "ExecutorBase.submit": Entry(
        Submitting, lambda made: made.call(made.pool.executor.submit), Submitting.check
    ),
    "ExecutorBase.submit full": Entry(
        Full, lambda made: made.call(made.pool.executor.submit), Submitting.check
    ),
    "ExecutorBase.submit first": Entry(
        # threading.Thread.start() leaves things behind when it fails half-way.
        Starting,
        Starting.call,
        Starting.check,
        Starting.ready,
        lasting=True,
    ),
    "FutureBase.number": futures(lambda made: made.good.number),
    "FutureBase.add_done_callback": futures(
        lambda made: made.open.add_done_callback(sure_callback), fresh=True
    ),
    "FutureBase.add_done_callback late": futures(
        lambda made: made.good.add_done_callback(sure_callback)
    ),
    "FutureBase.cancel": futures(lambda made: made.open.cancel(), fresh=True),
    "FutureBase.cancel queued": futures(
        lambda made: made.open.cancel(), fresh=True, kind=Queued
    ),
    "FutureBase.cancelled": futures(lambda made: made.open.cancelled()),
    "FutureBase.done": futures(lambda made: made.open.done()),
    "FutureBase.exception": futures(lambda made: made.bad.exception(1)),
    "FutureBase.result": futures(lambda made: made.good.result(timeout=1)),
    "FutureBase.running": futures(lambda made: made.open.running()),
    "FutureBase.set_exception": futures(
        lambda made: made.open.set_exception(made.bad.exception()), fresh=True
    ),
    "FutureBase.set_result": futures(lambda made: made.open.set_result(1), fresh=True),
    "FutureBase.set_running_or_notify_cancel": futures(
        lambda made: made.open.set_running_or_notify_cancel(), fresh=True
    ),
    "FutureBase._state": futures(lambda made: made.open._state),
    "FutureBase._condition": futures(lambda made: made.open._condition, fresh=True),
    "FutureBase._waiters": futures(lambda made: made.open._waiters, fresh=True),
    "FutureBase._done_callbacks": futures(lambda made: made.open._done_callbacks),
    "FutureBase._forget_callback": futures(
        lambda made: made.open._forget_callback(print)
    ),
    "FutureBase._result": futures(lambda made: made.good._result),
    "FutureBase._exception": futures(lambda made: made.bad._exception),
    "FutureBase.__init__": Entry(value, lambda made: fastflow.Future()),
    "Kernel.__init__": Entry(value, lambda made: kernel()),
    "Kernel.__call__": Entry(kernel, lambda made: made(1)),
    "Kernel.__name__": Entry(kernel, lambda made: made.__name__),
    "Kernel.__repr__": Entry(kernel, repr),
    "Kernel.address": getter(kernel, "address"),
    "Kernel.data": getter(kernel, "data"),
    "Node.name": graph(lambda made: made.first.name),
    "Node.index": graph(lambda made: made.first.index),
    "Node.graph_serial": graph(lambda made: made.first.graph_serial),
    "Node.__repr__": graph(lambda made: repr(made.first)),
    "Node.__hash__": graph(lambda made: hash(made.first)),
    "Node.__eq__": graph(lambda made: made.first == made.second),
    "Graph.__init__": Entry(value, lambda made: core.Graph()),
    "Graph.add": Entry(Added, Added.call, Nodes.check),
    "Graph.connect": graph(lambda made: made.graph.connect(made.first, made.third)),
    "Graph.set_edges": Entry(
        Numbered,
        lambda made: made.graph.set_edges(n=3, src=made.src, dst=made.dst),
        Numbered.check,
        Numbered.ready,
    ),
    "Graph.node": graph(lambda made: made.graph.node(1)),
    "Graph.label": graph(lambda made: made.graph.label(2)),
    "Graph.successors": Entry(
        Nodes,
        lambda made: made.graph.successors(0),
        Nodes.check,
        lambda made: made.graph.connect(made.first, made.second),  # plan anew
    ),
    "Graph.mark_behind": graph(lambda made: made.graph.mark_behind(made.states, 2)),
    "Graph.__len__": graph(lambda made: len(made.graph)),
    "Graph.n_nodes": graph(lambda made: made.graph.n_nodes),
    "Graph.n_edges": graph(lambda made: made.graph.n_edges),
    "Graph.nbytes": graph(lambda made: made.graph.nbytes),
    "Graph.serial": graph(lambda made: made.graph.serial),
    "Graph.is_numbered": graph(lambda made: made.graph.is_numbered),
    "CallRun.__init__": calls(Calls.make),
    # The results of other runs come and go on other threads meanwhile.
    "CallRun.run": calls(lambda made: made.run.run(True), lasting=True),
    "CallRun.run elsewhere": calls(lambda made: made.run.run(False)),
    "CallRun.run failing": Entry(
        lambda: Calls(fail),
        lambda made: made.run.run(True),
        Calls.check,
        Calls.ready,
        lasting=True,
    ),
    "CallRun.run alone": calls(lambda made: made.run.run(3), lasting=True),
    "CallRun.settle": Entry(Deferred, Deferred.settle, Deferred.check, Deferred.ready),
    "CallRun.post": Entry(Deferred, Deferred.post, Deferred.check, Deferred.ready),
    "CallRun.lose": Entry(
        lambda: Deferred(core.LOST), Deferred.lose, Deferred.check, Deferred.ready
    ),
    "CallRun.finish": calls(lambda made: made.run.finish()),
    "CallRun.finished": calls(lambda made: made.done.finished),
    "CallRun.cancel": calls(lambda made: made.run.cancel()),
    "CallRun.result": calls(lambda made: len(made.done.states())),
    "CallRun.results": calls(lambda made: made.done.results(None)),
    "CallRun.states": calls(lambda made: made.done.states()),
    "CallRun.failures": calls(lambda made: made.done.failures()),
    "CallRun.done": calls(lambda made: made.done.done),
    "CallRun.stopped": calls(lambda made: made.done.stopped),
    "KernelRun.__init__": kernels(lambda made: made.make()),
    "KernelRun.run": kernels(lambda made: made.run.run(True)),
    "KernelRun.run elsewhere": kernels(lambda made: made.run.run(False)),
    "KernelRun.cancel": kernels(lambda made: made.run.cancel()),
    "KernelRun.states": kernels(lambda made: made.done.states()),
    "KernelRun.failures": kernels(lambda made: made.done.failures()),
    "KernelRun.kernel_name": kernels(lambda made: made.done.kernel_name),
    "KernelRun.done": kernels(lambda made: made.done.done),
    "KernelRun.stopped": kernels(lambda made: made.done.stopped),
    "Map.__init__": maps(Maps.make),
    "Map.done": maps(lambda made: made.map.done),
    "Map.n": maps(lambda made: made.map.n),
    "Map.cancel": maps(lambda made: made.map.cancel()),
    "Map.run": maps(Maps.run),
    "Map.run wide": maps(Maps.run, width=9),
    "Map.run without results": maps(Maps.run, keep=False),
    "Map.start": maps(lambda made: made.map.start()),
    "Map.take": maps(Maps.take),
    "GroupBlock.__exit__": Entry(Blocks, Blocks.leave, Blocks.check, Blocks.ready),
    "Scope.__init__": Entry(value, lambda made: core.Scope()),
    "Scope.cancelled": Entry(Scopes, lambda made: made.scope.cancelled, Scopes.check),
    "Scope.open": Entry(Scopes, lambda made: made.scope.open, Scopes.check),
    "Scope.enter": Entry(Scopes, lambda made: made.scope.enter(), Scopes.check),
    "Scope.leave": Entry(Scopes, lambda made: made.scope.leave(), Scopes.check),
    "Scope.reached": Entry(Scopes, lambda made: made.scope.reached, Scopes.check),
    "Scope.cancel": Entry(Scopes, lambda made: made.scope.cancel(), Scopes.check),
    "Scope.failures": Entry(Scopes, lambda made: made.scope.failures(), Scopes.check),
    "Scope.wait": Entry(Scopes, lambda made: made.scope.wait(1), Scopes.check),
    # Not the generator of its inputs: that is the interpreter's own affair.
    "Stream.__init__": streams(lambda made: made.over(made.inputs)),
    "Stream.__iter__": streams(lambda made: iter(made.stream)),
    "Stream.__next__": streams(Streams.drain),
    "Stream.__next__ wide": streams(Streams.drain, width=3),
    "Stream.start": streams(lambda made: made.stream.start()),
    "Stream.done": streams(lambda made: made.stream.done),
    "Stream.close": streams(lambda made: made.stream.close()),
    "RecordedStream.__iter__": recorded_streams(lambda made: iter(made.stream)),
    "RecordedStream.__next__": recorded_streams(Streams.drain),
    "RecordedStream.start": recorded_streams(lambda made: made.stream.start()),
    "RecordedStream.done": recorded_streams(lambda made: made.stream.done),
    "RecordedStream.close": recorded_streams(lambda made: made.stream.close()),
    "Tape.__init__": Entry(value, lambda made: core.Tape(size=100).close()),
    "Tape.clock": Entry(
        Taped, lambda made: made.tape.clock, Taped.check, lambda made: made.tape.close()
    ),
    "Tape.parts": Entry(
        Taped,
        lambda made: made.tape.parts(),
        Taped.check,
        lambda made: made.tape.close(),
    ),
    "Tape.close": Entry(Taped, lambda made: made.tape.close(), Taped.check),
    "Sampler.__init__": Entry(value, lambda made: core.Sampler(every=1000, most=8)),
    "Sampler.run": Entry(Sampled, lambda made: made.sampler.run(0.001, (1, 2))),
    "Sampler.rows": Entry(Sampled, lambda made: made.sampler.rows()),
    "Sampler.end": Entry(Sampled, lambda made: made.sampler.end()),
    "recording_label": Entry(
        value, lambda made: core.recording_label(value), lasting=True
    ),
    "recording_labels": Entry(value, lambda made: core.recording_labels()),
    "recording_run": Entry(value, lambda made: core.recording_run()),
    "recording_on_failure": Entry(
        value, lambda made: core.recording_on_failure(recorders.failure_of)
    ),
    "CurrentTask.cancelled": Entry(
        InTask, lambda made: made.task.cancelled, InTask.check
    ),
    "CurrentTask.check": Entry(InTask, lambda made: made.task.check(), InTask.check),
    "Blocking.__init__": Entry(value, lambda made: core.Blocking()),
    "Blocking.__enter__": Entry(core.Blocking, lambda made: made.__enter__()),
    "Blocking.__exit__": Entry(
        core.Blocking, lambda made: made.__exit__(None, None, None)
    ),
    "Condition.acquire": conditions(lambda c: c.acquire()),
    "Condition.release": conditions(lambda c: c.acquire() and c.release()),
    "Condition.notify": conditions(lambda c: held(c, lambda: c.notify(1))),
    "Condition.notify_all": conditions(lambda c: held(c, c.notify_all)),
    "Condition.wait": conditions(lambda c: held(c, lambda: c.wait(0.0))),
    "Condition.wait_for": conditions(lambda c: held(c, lambda: c.wait_for(value, 0.0))),
    "Condition.__enter__": conditions(lambda c: held(c, value)),
    "Condition.__exit__": conditions(lambda c: held(c, value)),
    "ContextPerCall.__init__": Entry(value, lambda made: core.ContextPerCall()),
    "ContextPerCall.run": Entry(
        core.ContextPerCall,
        lambda made: made.run(value, 1),
        lambda made: made.run(variable.get) == 1 or bad("another value"),
    ),
    "place": Entry(value, lambda made: core.place()),
    "lend": Entry(
        value,
        lambda made: pool().executor.submit(lend).result(30),
        lambda m: pool().works(),
    ),
    "take_back": Entry(
        value,
        lambda made: pool().executor.submit(lend).result(30),
        lambda m: pool().works(),
    ),
    "task_context": Entry(value, lambda made: core.task_context()),
    "own_methods": Entry(
        lambda: type("Derived", (core.FutureBase,), {}),
        lambda made: core.own_methods(made),
    ),
    "configure": Entry(
        lambda: future.NAMES, lambda made: core.configure(fastflow.Future, made)
    ),
    "configure_graph": Entry(
        value, lambda made: core.configure_graph(graphs._nodes_in, STATIC_CONTAINERS)
    ),
    "current_task": Entry(value, lambda made: core.current_task()),
    "kernel_loop": Entry(
        lambda: (pool(), kernel()),
        lambda made: kernel_loop(*made),
        lambda made: made[0].works(),
    ),
    "submit_scoped": Entry(
        Submitting,
        lambda made: made.call(
            lambda *args, **kwargs: core.submit_scoped(
                made.pool.engine, made.scope, *args, **kwargs
            )
        ),
        Submitting.check,
        Submitting.fresh,
    ),
    "reset_after_fork": Entry(value, lambda made: core.reset_after_fork()),
    "set_interpreter_exiting": Entry(
        value, lambda made: core.set_interpreter_exiting(), lasting=True
    ),
}


def group_of(name: str) -> str:
    """The class, or ``module``."""
    return name.split(".")[0] if "." in name else "module"


# --- the sweep ------------------------------------------------------------------------

library = ctypes.PyDLL(None)  # nomem.c


def disarm() -> int:
    while True:  # the call itself may want memory
        try:
            return library.nomem_disarm()
        except MemoryError:
            continue


def tolerable(error: BaseException) -> bool:
    """What Python itself calls a lack of memory besides."""
    if isinstance(error, SystemError):  # of its loop: no room for a frame
        return str(error) == "error return without exception set"
    others = (
        "can't start new thread",
        "can't allocate lock",
        "cannot release un-acquired lock",  # threading.Condition.wait() lost it
    )
    return isinstance(error, RuntimeError) and str(error).startswith(others)


def attempt(entry: Entry, made: Any, n: int, times: int, everywhere: bool) -> int:
    """Call with the n-th allocation failing; returns how many did."""
    entry.ready(made)
    error = None
    try:
        library.nomem_arm(n, times, everywhere)
        entry.call(made)
    except MemoryError:
        pass
    except BaseException as other:
        error = other
    failed = disarm()
    if error is not None and not tolerable(error):
        raise error
    error = None
    entry.check(made)
    return failed


def sweep(entry: Entry, times: int, everywhere: bool) -> int:
    """Let each allocation of the call fail once; returns how many there are."""
    made = entry.make()
    for n in (*range(100), *range(100, LIMIT, 13)):  # many are alike
        if not attempt(entry, made, n, times, everywhere):
            return n
    raise AssertionError("no call has got through")


def growth(entry: Entry, made: Any, n: int, times: int) -> int:
    """How many blocks more there are after several attempts."""
    gc.collect()
    before = library.nomem_live()
    for _ in range(REPEATS):
        attempt(entry, made, n, times, False)
    gc.collect()
    return library.nomem_live() - before


def grows(entry: Entry, made: Any, n: int, looks: int) -> bool:
    """Whether each call with the n-th allocation failing leaves a block behind."""
    usual = max(growth(entry, made, n, 0) for _ in range(looks))
    return min(growth(entry, made, n, 1) for _ in range(looks)) - usual >= REPEATS


def persists(entry: Entry, made: Any, n: int) -> bool:
    """Whether it goes on for hundreds of calls; what caches keep does not."""
    calls = 50 * REPEATS
    gc.collect()
    before = library.nomem_live()
    for _ in range(calls):
        attempt(entry, made, n, 1, False)
    gc.collect()
    return library.nomem_live() - before > 0.8 * calls


def leaks(entry: Entry, points: int) -> list[int]:
    """The allocations that leave something behind when they fail, each time."""
    found = []
    for n in range(0, points, points // 30 + 1):
        made = entry.make()
        growth(entry, made, n, 1)  # what is made once is not meant
        # What a thread of the pool does meanwhile comes and goes; a leak stays, however
        # often one looks.
        if all(grows(entry, made, n, looks) for looks in (2, 4, 16)) and persists(
            entry, made, n
        ):
            found.append(n)
    return found


def main(group: str, threads: str) -> None:
    library.nomem_hook()
    everywhere = threads == "all"
    sys.unraisablehook = lambda hook: None  # a lack of memory that nobody is told of
    threading.excepthook = lambda hook: None
    # In the standard library's logging a lack of memory may become a SystemError.
    quiet = {"log_callback_error": value, "log_unobserved": value}
    core.configure(fastflow.Future, {**future.NAMES, **quiet})
    variable.set(1)
    for name, entry in ENTRIES.items():
        if group_of(name) != group or (everywhere and name == STARTING):
            continue
        print("begin", name, flush=True)
        points = sweep(entry, 1, everywhere)
        sweep(entry, 20, everywhere)
        leaking = [] if entry.lasting or everywhere else leaks(entry, points)
        print("end", name, "leaking at", leaking, "of", points, flush=True)
    for made in _pools:
        made.executor.shutdown()
    # A thread whose start() failed half-way may wait for ever in threading's own code.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
