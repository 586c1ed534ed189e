"""Random graphs, and what a run of them must give: a serial reference."""

from __future__ import annotations

import ctypes
import functools
import threading
from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

import fastflow


class BoomError(Exception):
    """What failing nodes raise; knows who raised it."""


@dataclass(frozen=True)
class Model:
    """A graph without cycles, and which of its nodes fail.

    ``inputs[i]`` are the nodes whose results node ``i`` gets, ``after[i]`` those which
    it only comes after. ``order`` is one valid order, for the reference.
    """

    inputs: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    failing: frozenset[int] = frozenset()

    @property
    def n(self):
        return len(self.inputs)

    @property
    def edges(self):
        return [
            (source, target)
            for target in range(self.n)
            for source in (*self.inputs[target], *self.after[target])
        ]

    @property
    def arrays(self):
        return self.arrays_of(self.edges)

    @staticmethod
    def arrays_of(edges):
        pairs = np.array(sorted(edges), dtype=np.int64).reshape(-1, 2)
        return pairs[:, 0].copy(), pairs[:, 1].copy()

    @property
    def sinks(self):
        return set(range(self.n)) - {source for source, _ in self.edges}

    def value(self, i, values):
        """What node ``i`` returns; depends on all that led to it."""
        return hash((i, *values))

    def states(self):
        """States of all nodes when a run goes on after failures."""
        states = {}
        for i in self.order:
            before = (*self.inputs[i], *self.after[i])
            if any(states[b] != "COMPLETED" for b in before):
                states[i] = "SKIPPED"
            else:
                states[i] = "FAILED" if i in self.failing else "COMPLETED"
        return states

    def results(self):
        """Results of all nodes that complete when a run goes on after failures."""
        states, results = self.states(), {}
        for i in self.order:
            if states[i] == "COMPLETED":
                results[i] = self.value(i, [results[b] for b in self.inputs[i]])
        return results

    def depths(self):
        """Number of nodes on the longest path that ends in each node."""
        depths = {}
        for i in self.order:
            before = (*self.inputs[i], *self.after[i])
            depths[i] = 1 + max((depths[b] for b in before), default=0)
        return depths


@dataclass
class Recorder:
    """Notes when bodies start and end."""

    events: list[tuple[str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what, i):
        with self.lock:
            self.events.append((what, i))

    def body(self, model, i, values=()):
        self.note("start", i)
        try:
            if i in model.failing:
                raise BoomError(i)
            return model.value(i, values)
        finally:
            self.note("end", i)

    def ran(self):
        return [i for what, i in self.events if what == "start"]

    def check(self, model):
        """Every body ran at most once and after all its predecessors had ended."""
        assert len(set(self.events)) == len(self.events)
        place = {event: k for k, event in enumerate(self.events)}
        for source, target in model.edges:
            if ("start", target) in place:
                assert place["end", source] < place["start", target]


class Outcome:
    """How a run ended, with nodes told by their numbers in the model."""

    def __init__(self, graph, recorder, run):
        self.recorder = recorder
        self.nodes, self.name = graph.nodes, graph.name
        self.error = None
        try:
            self.result = run()
        except fastflow.TaskError as error:
            self.error, self.result = error, error.result

    def states(self):
        return {i: self.result.state(node) for i, node in self.nodes.items()}

    def results(self):
        found = {}
        for i, node in self.nodes.items():
            try:
                found[i] = self.result.results[node]
            except KeyError:
                assert node not in self.result.results
        assert len(self.result.results) == len(found)
        return found

    def failures(self):
        errors = {i: self.result.errors.get(node) for i, node in self.nodes.items()}
        assert len(self.result.errors) == sum(e is not None for e in errors.values())
        return {i: e.args for i, e in errors.items() if e is not None}


class NumberGraph:
    """A model as a graph made from arrays, with a Python body."""

    def __init__(self, model):
        self.model = model
        self.nodes = {i: i for i in range(model.n)}
        self.graph = fastflow.Graph.from_edges(model.n, *model.arrays)

    @staticmethod
    def models(**how):
        return models(data_edges=False, **how)

    def name(self, i):
        return str(i)

    def run(self, **how):
        recorder = Recorder()
        body = functools.partial(recorder.body, self.model)
        return Outcome(self, recorder, lambda: self.graph.run(body, **how))


class AddGraph:
    """A model as a graph made node by node, with results handed on."""

    def __init__(self, model):
        self.model = model
        self.graph = fastflow.Graph()
        self.nodes = {}
        self.recorder = Recorder()
        for i in model.order:
            inputs = [self.nodes[k] for k in model.inputs[i]]
            self.nodes[i] = self.graph.add(
                self.body,
                i,
                *inputs[:1],
                inputs[1:2],
                name=self.name(i),
                after=[self.nodes[k] for k in model.after[i]],
                more=dict(enumerate(inputs[2:3])),
                last=tuple(inputs[3:]),
            )

    @staticmethod
    def models(**how):
        return models(**how)

    def body(self, i, *values, more, last):
        *first, second = values  # results come in every place that an argument has
        inputs = (*first, *second, *more.values(), *last)
        return self.recorder.body(self.model, i, inputs)

    def name(self, i):
        return f"node {i}"

    def run(self, **how):
        self.recorder = Recorder()
        return Outcome(self, self.recorder, lambda: self.graph.run(**how))


@st.composite
def models(draw, *, most=24, failures=False, data_edges=True):
    """Graphs of up to ``most`` nodes, numbered in any order."""
    n = draw(st.integers(min_value=0, max_value=most))
    order = draw(st.permutations(range(n)))
    inputs: list[tuple[int, ...]] = [()] * n
    after: list[tuple[int, ...]] = [()] * n
    for k, node in enumerate(order):
        earlier = st.sampled_from(order[:k]) if k else st.nothing()
        if k:
            if data_edges:
                inputs[node] = tuple(draw(st.lists(earlier, max_size=4)))
            after[node] = tuple(draw(st.lists(earlier, max_size=3, unique=True)))
    failing = (
        draw(st.sets(st.sampled_from(order), max_size=4)) if failures and n else ()
    )
    return Model(tuple(inputs), tuple(after), tuple(order), frozenset(failing))


#: Kernel: depth[i] = 1 + the largest depth of i's predecessors, in plain accesses, so
#: that a missing ordering gives a wrong number or a report of the thread sanitizer.
DEPTHS = """
#include <stdint.h>
struct graph { const int64_t *first, *before; int64_t *depth, *calls; };
void depths(int64_t i, void *data) {
  const struct graph *g = data;
  int64_t longest = 0;
  for (int64_t k = g->first[i]; k < g->first[i + 1]; ++k) {
    const int64_t depth = g->depth[g->before[k]];
    longest = depth > longest ? depth : longest;
  }
  g->depth[i] = longest + 1;
  __atomic_fetch_add(&g->calls[i], 1, __ATOMIC_RELAXED);
}
"""


class DepthsData(ctypes.Structure):
    """The data of the kernel `DEPTHS`: four arrays of numpy."""

    _fields_ = [
        (name, ctypes.c_void_p) for name in ("first", "before", "depth", "calls")
    ]

    def __init__(self, n, src, dst):
        order = np.argsort(dst, kind="stable")
        self.arrays = {
            "first": np.searchsorted(dst[order], np.arange(n + 1)).astype(np.int64),
            "before": src[order].astype(np.int64),
            "depth": np.zeros(n, np.int64),
            "calls": np.zeros(n, np.int64),
        }
        super().__init__(*(array.ctypes.data for array in self.arrays.values()))
