"""``Graph``: calls or kernels that wait for each other, run in parallel."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from fastflow import _core
from fastflow.base import recorders
from fastflow.base.drawn import Drawn
from fastflow.base.nested import STATIC_CONTAINERS, Kind, template_of
from fastflow.base.options import OnError, check_choice, check_on_error
from fastflow.base.progress import Monitor, Progress
from fastflow.errors import (
    GraphError,
    KernelFailedError,
    TaskError,
    group_of,
    portable,
    task_error,
)
from fastflow.pool.executor import Executor
from fastflow.pool.named import engine_of
from fastflow.run.results import Result, TaskRecord
from fastflow.run.status import Status

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Graph", "GraphResult", "Node", "NodeResults", "NodeTimings"]

Node = _core.Node

Keep = Literal["all", "sinks", "none"]

_NODES = Kind(Node, lambda node: f"a node (here {node!r})", "add a node that makes it")


def _nodes_in(value: Any) -> tuple[tuple[Node, ...], Callable[..., Any]] | None:
    template = template_of(value, _NODES)
    return None if template is None else (template.references, template.fill)


_core.configure_graph(_nodes_in, STATIC_CONTAINERS)

_MOST = 2**31
_KEEP = {"all": 0, "sinks": 1, "none": 2}
_STATES = (Status.CANCELLED, Status.COMPLETED, Status.FAILED, Status.SKIPPED)


class Graph(_core.Graph, Drawn):
    """A directed acyclic graph of calls.

    Two kinds: nodes added one by one with ``add``, each with a call of its own; or
    numbered nodes with edges from arrays (`from_edges`), all of which run one function
    or kernel.  The compiled plan is kept: run a graph as often as you like, also
    several times at once.

    Examples
    --------
    >>> import fastflow
    >>> g = fastflow.Graph()
    >>> a = g.add(pow, 2, 5)
    >>> b = g.add(pow, 3, 2)
    >>> total = g.add(sum, [a, b])
    >>> g.run().results[total]
    41
    """

    @classmethod
    def from_edges(cls, n: int, src: Any, dst: Any) -> Graph:
        """Make a graph of the nodes 0 to ``n - 1`` from arrays of its edges.

        Parameters
        ----------
        n : int
            Number of nodes, below 2**31.
        src, dst : array_like of int, one-dimensional, of one length m
            Node ``dst[k]`` waits for node ``src[k]``.  Arrays of int32 or int64 are
            read in place.

        Raises
        ------
        CycleError
            If nodes wait for each other; it names them.
        GraphError
            If an edge's end is not a node, or the arrays do not fit together.
        TypeError
            If the arrays hold anything else than integers.

        Notes
        -----
        Takes time linear in n + m, and 4 bytes for each edge and 5 for each node (a run
        takes 1 more).  Repeated edges are allowed.
        """
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"n must be an int, not {type(n).__name__}")
        n = n.__index__()
        if not 0 <= n < _MOST:
            raise GraphError(f"n must be from 0 to 2**31 - 1, not {n}")
        sources, targets = _edge_array(src, "src"), _edge_array(dst, "dst")
        if sources.shape != targets.shape:
            raise GraphError(
                f"src has length {len(sources)} and dst has length {len(targets)}; "
                "they need one entry for each edge"
            )
        if sources.dtype != targets.dtype:
            sources, targets = sources.astype("int64"), targets.astype("int64")
        if len(sources) >= _MOST:
            raise GraphError("a graph has fewer than 2**31 edges")
        graph = cls()
        graph.set_edges(n=n, src=sources, dst=targets)
        return graph

    def run(
        self,
        body: Callable[[int], object] | _core.Kernel | Executor | None = None,
        *,
        executor: Executor | str | None = None,
        max_workers: int | None = None,
        on_error: OnError = "stop",
        keep: Keep = "all",
        timings: bool = False,
        progress: Progress = None,
    ) -> GraphResult:
        """Run every node once all the nodes that it waits for are done.

        The calling thread takes part, unless the executor has an initializer.

        Parameters
        ----------
        body : callable or Kernel, optional
            For graphs made by `from_edges`: called with the number of each node.  A
            `Kernel` runs without touching the interpreter.
        executor : Executor, optional
            Default: ``default_executor(max_workers)``.
        max_workers : int, optional
            Nodes that run at a time at most.
        on_error : {"stop", "continue", "return"}
            After a failure, start nothing more and raise ("raise" is another word for
            it); or run first all that does not depend on the failed node; or do so and
            return the result in any case.
        keep : {"all", "sinks", "none"}
            Which results stay in the result: all, those of nodes that nobody waits for,
            or none.  The others are dropped as soon as their last reader is done.
        timings : bool
            Record when and where each node ran.
        progress : bool or callable, optional
            True shows a bar on a terminal; a callable gets (done, total) now and then.

        Returns
        -------
        GraphResult

        Raises
        ------
        CycleError
            Before anything runs.
        TaskError
            If a node failed: its exception is the ``__cause__``, and ``.result`` is the
            partial `GraphResult`.  Several failures: `TaskErrorGroup`.
        """
        if isinstance(body, Executor):  # run(executor)
            body, executor = None, body
        self._check_run(body, keep)
        engine, most = engine_of(executor, max_workers)
        recorded = _new_timings(self.n_nodes) if timings else None
        arrays = recorded.arrays if recorded else None
        after_failure = check_on_error(on_error)
        stop = after_failure == "raise"
        work: _core.KernelRun | _core.CallRun
        run = recorders.begin_run("graph", "graph")
        if isinstance(body, _core.Kernel):
            work = _core.KernelRun(
                engine=engine,
                graph=self,
                kernel=body,
                most=most,
                stop_on_error=stop,
                timings=arrays,
                run=run,
            )
        else:
            work = _core.CallRun(
                engine=engine,
                graph=self,
                fn=body,
                most=most,
                stop_on_error=stop,
                keep=_KEEP[keep],
                timings=arrays,
                run=run,
            )
        # The interpreter leaves a handler beyond the 256th instruction of a function
        # only if it can allocate a number, else it tries for ever.  Handlers that
        # MemoryError passes, with all results still there, are in short functions.
        works = [work]
        del work
        if after_failure == "return":
            return _ended(self, works, engine, progress, recorded, run)
        return _checked(self, _ended(self, works, engine, progress, recorded, run))

    def _check_run(self, body: object, keep: str) -> None:
        check_choice("keep", keep, tuple(_KEEP))
        if self.is_numbered:
            if not callable(body):
                raise TypeError(
                    "this graph's nodes are numbers: run(fn) or run(kernel) needs what "
                    f"to do with them, not {type(body).__name__}"
                )
        elif body is not None:
            raise TypeError(
                "this graph's nodes have calls of their own: run() takes no function "
                "(an executor goes to executor=)"
            )

    def __repr__(self) -> str:
        return f"<Graph of {self.n_nodes:,} nodes and {self.n_edges:,} edges>"


def _ended(
    graph: Graph,
    works: list[_core.KernelRun | _core.CallRun],
    engine: _core.Engine,
    progress: Progress,
    timings: NodeTimings | None,
    run: int,
) -> GraphResult:
    work = works.pop()
    try:
        times = _to_end(graph, work, engine, progress)
        return _told(GraphResult(graph, work, timings, times), graph, run)
    except BaseException:
        if run:
            recorders.end_run(run, sys.exception(), graph)
        raise
    finally:
        del work  # it has the nodes' exceptions, whose tracebacks have this frame


def _to_end(
    graph: Graph,
    work: _core.KernelRun | _core.CallRun,
    engine: _core.Engine,
    progress: Progress,
) -> tuple[float, float, float]:
    """Return when it began, by both clocks, and how long it took."""
    # The clock of the timings may be a coarse one.
    started, origin, start = time.time(), time.monotonic(), time.perf_counter()
    try:
        if progress:
            with Monitor(progress, work, graph.n_nodes, "graph"):
                work.run(engine.caller_may_run)
        else:
            work.run(engine.caller_may_run)
    finally:
        del work  # as in `_ended`
    return started, origin, time.perf_counter() - start


def _told(result: GraphResult, graph: Graph, run: int) -> GraphResult:
    """Tell those who record of the end of a run; return its result."""
    if run:
        result.recording = recorders.newest()
        error = next(iter(result.errors.values()), None)
        recorders.end_run(run, error, graph)
    return result


def _checked(graph: Graph, result: GraphResult) -> GraphResult:
    if not result.errors:
        return result
    try:
        raise _error_of(graph, result)
    finally:
        del result  # likewise


class GraphResult(Result):
    """What became of the nodes of one run.

    Attributes
    ----------
    results : NodeResults
        Mapping from node (or its number) to the result of its call.
    status : Status
        Of the run: COMPLETED, FAILED or CANCELLED.
    started : float
        Seconds since the epoch.
    duration : float
        Seconds.
    errors : dict
        The exceptions of failed nodes, by node, in the order in which they came.
    timings : NodeTimings or None
        With ``run(timings=True)``.
    recording : Recording or None
        That of the ``with fastflow.record()`` block that it was run in.
    """

    def __init__(
        self,
        graph: Graph,
        work: _core.KernelRun | _core.CallRun,
        timings: NodeTimings | None,
        times: tuple[float, float, float],
    ) -> None:
        self._graph: Graph | _Copy = graph
        self._work: _Work = work
        self._states: bytes | bytearray | None = None
        self.started, self.origin, self.duration = times
        self.recording: Any = None
        self.timings = timings
        self.results = NodeResults(graph, work)
        self.errors = {
            self._key(index): _exception(work, index, failure)
            for index, failure in work.failures()
        }
        if self.errors:
            self.status = Status.FAILED
        elif work.done < graph.n_nodes:
            self.status = Status.CANCELLED
        else:
            self.status = Status.COMPLETED

    def _key(self, index: int) -> Any:
        return _key(self._graph, index)

    @property
    def name(self) -> str:
        """What a graph is called: it has no name of its own."""
        return "graph"

    @property
    def value(self) -> NodeResults:
        """Another name of `results`."""
        return self.results

    @property
    def records(self) -> Mapping[Any, TaskRecord]:
        """What became of each node, by node or by number; made when asked for.

        Times and workers are known after ``run(timings=True)``.
        """
        return _NodeRecords(self)

    def state(self, node: Node | int) -> Status:
        """Return what became of `node`.

        Returns
        -------
        Status
            COMPLETED, FAILED, SKIPPED (it waited for a failed node) or CANCELLED (the
            run ended before).
        """
        return _STATES[self.states[index_of(self._graph, node)]]

    @property
    def states(self) -> bytes | bytearray:
        """One byte for each node: 0 cancelled, 1 completed, 2 failed, 3 skipped."""
        if self._states is None:
            states = bytearray(self._work.states())
            if self.errors and not isinstance(self._graph, _Copy):
                self._graph.mark_behind(states, 2)
            self._states = states
        return self._states

    @property
    def counts(self) -> dict[Status, int]:
        """How many nodes are in each state."""
        return {name: self.states.count(code) for code, name in enumerate(_STATES)}

    def __getitem__(self, node: Node | int) -> Any:
        return self.results[node]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what came out, without the graph: nodes are their numbers there."""
        errors = {
            index_of(self._graph, key): portable(error)
            for key, error in self.errors.items()
        }
        nothing = object()
        results = {
            index: result
            for index, result in enumerate(self.results.to_list(nothing))
            if result is not nothing
        }
        copy = _Copy(self._graph.n_nodes, results, bytes(self.states), self._work.done)
        times = self.started, self.origin, self.duration
        return _restored, (copy, self.status, times, errors, self.timings)

    def __repr__(self) -> str:
        return (
            f"<GraphResult {self.status}: {self._work.done:,} of "
            f"{self._graph.n_nodes:,} nodes in {self.duration:.3g} s>"
        )


class _Copy:
    """What a `GraphResult` in another process has in place of its graph and its run."""

    is_numbered = True
    serial = -1

    def __init__(
        self, n_nodes: int, results: dict[int, Any], states: bytes, done: int
    ) -> None:
        self.n_nodes = n_nodes
        self.done = done
        self._results = results
        self._states = states

    def result(self, index: int) -> Any:
        return self._results[index]

    def results(self, missing: Any) -> list[Any]:
        return [self._results.get(index, missing) for index in range(self.n_nodes)]

    def states(self) -> bytes:
        return self._states


def _restored(
    copy: _Copy,
    status: Status,
    times: tuple[float, float, float],
    errors: dict[int, BaseException],
    timings: NodeTimings | None,
) -> GraphResult:
    made = GraphResult.__new__(GraphResult)
    made._graph = made._work = copy
    made._states = copy.states()
    made.status = status
    made.started, made.origin, made.duration = times
    made.errors, made.timings = errors, timings
    made.results = NodeResults(copy, copy)
    return made


class _NodeRecords(Mapping[Any, TaskRecord]):
    """Node, or its number -> `TaskRecord`."""

    def __init__(self, result: GraphResult) -> None:
        self._result = result

    def __getitem__(self, node: Node | int) -> TaskRecord:
        result = self._result
        graph = result._graph
        index = index_of(graph, node)
        key = result._key(index)
        name = graph.label(index) if isinstance(graph, Graph) else str(index)
        record = TaskRecord(name, result.state(index), None, result.origin)
        record.output = result.results.get(key)
        record.error = result.errors.get(key)
        record.attempts = int(record.status in (Status.COMPLETED, Status.FAILED))
        timings = result.timings
        if timings is not None and timings.start[index]:
            record.began, record.ended, record.worker = timings.of(index)
        return record

    def __iter__(self) -> Iterator[Any]:
        return map(self._result._key, range(len(self)))

    def __len__(self) -> int:
        return self._result._graph.n_nodes


class NodeResults(Mapping[Any, Any]):
    """The kept results, by node or by number; a read-only mapping.

    Iterating gives the nodes (their numbers in a graph made by ``from_edges``) that
    have a result, in the order of their numbers.
    """

    def __init__(self, graph: Graph | _Copy, work: _Work) -> None:
        self._graph = graph
        self._work = None if isinstance(work, _core.KernelRun) else work

    def __getitem__(self, node: Node | int) -> Any:
        index = index_of(self._graph, node)
        if self._work is None:
            raise KeyError(node)
        try:
            return self._work.result(index)
        except KeyError:
            raise KeyError(node) from None

    def to_list(self, missing: Any = None) -> list[Any]:
        """Return all results in the order of the nodes' numbers.

        Parameters
        ----------
        missing
            What stands for nodes without a result.
        """
        if self._work is None:
            return [missing] * self._graph.n_nodes
        return self._work.results(missing)

    def __iter__(self) -> Iterator[Any]:
        nothing = object()
        for index, result in enumerate(self.to_list(nothing)):
            if result is not nothing:
                yield _key(self._graph, index)

    def __len__(self) -> int:
        nothing = object()
        if self._work is None:
            return 0
        return sum(result is not nothing for result in self.to_list(nothing))

    def __repr__(self) -> str:
        return f"<results of {len(self):,} nodes>"


class NodeTimings:
    """When and where each node ran.

    Attributes
    ----------
    start, end : ndarray of int64, length n
        Nanoseconds of the monotonic clock (``time.monotonic_ns``); 0 for nodes that did
        not run.
    worker : ndarray of int32, length n
        Number of the worker, from 1; 0 for the calling thread; -1 for nodes that did
        not run.
    """

    def __init__(self, n: int) -> None:
        import numpy as np

        self.start: npt.NDArray[np.int64] = np.zeros(n, np.int64)
        self.end: npt.NDArray[np.int64] = np.zeros(n, np.int64)
        self.worker: npt.NDArray[np.int32] = np.full(n, -1, np.int32)

    def of(self, index: int) -> tuple[float, float, str]:
        """Return a node's start and end, in seconds of the clock, and its worker."""
        start, end, worker = (column[index].item() for column in self.arrays)
        return start / 1e9, end / 1e9, f"worker {worker}" if worker else "caller"

    @property
    def arrays(self) -> tuple[Any, Any, Any]:
        """Start, end and worker."""
        return self.start, self.end, self.worker


_Work = _core.KernelRun | _core.CallRun | _Copy


def _key(graph: Graph | _Copy, index: int) -> Any:
    if isinstance(graph, _Copy) or graph.is_numbered:
        return index
    return graph.node(index)


def index_of(graph: Graph | _Copy, node: Node | int) -> int:
    """Return the number of `node`, which may be a number already.

    Raises
    ------
    KeyError
        If the graph has no such node.
    """
    if isinstance(node, Node):
        if node.graph_serial != graph.serial:
            raise KeyError(f"{node!r} belongs to another graph")
        return node.index
    if hasattr(node, "__index__") and 0 <= node.__index__() < graph.n_nodes:
        return node.__index__()
    raise KeyError(node)


def _edge_array(values: Any, name: str) -> Any:
    import numpy as np

    array = np.asarray(values)
    if array.ndim != 1:
        raise GraphError(f"{name} must have one dimension, not {array.ndim}")
    if array.size == 0 and array.dtype.kind == "f":  # an empty list
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, not {array.dtype}")
    if array.dtype == np.uint64 and array.size and array.max() >= _MOST:
        raise GraphError(f"{name} holds {array.max()}, which is not a node")
    wanted = np.int32 if array.dtype == np.int32 else np.int64
    return np.ascontiguousarray(array, dtype=wanted)


def _new_timings(n: int) -> NodeTimings:
    return NodeTimings(n)


def _exception(
    work: _core.KernelRun | _core.CallRun, index: int, failure: Any
) -> BaseException:
    if isinstance(work, _core.KernelRun):
        return KernelFailedError(work.kernel_name, index, failure)
    assert isinstance(failure, BaseException)
    return failure


def _error_of(graph: Graph, result: GraphResult) -> TaskError:
    errors = [
        _task_error(graph, key, cause, result) for key, cause in result.errors.items()
    ]
    return group_of(f"{len(errors)} nodes of the graph", errors, result)


def _task_error(
    graph: Graph, key: Any, cause: BaseException, result: GraphResult
) -> TaskError:
    name = graph.label(index_of(graph, key))
    return task_error(f"node {name!r}", cause, name, result)
