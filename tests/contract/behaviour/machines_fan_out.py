"""Graphs, and the functions that stand on nothing but the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastflow
from contract.behaviour.machines import (
    CANCEL,
    CLOCK,
    COLUMNS,
    EVENTS,
    FALLBACK,
    RECORDS,
    RETRIES,
    SETTLE,
    STATUS,
    TIMEOUT,
    WRAPS,
    Function,
    Machine,
    Outcome,
    behind,
)

_PLAIN = {
    RETRIES: "it takes a function, no policy: wrap it with @task",
    TIMEOUT: "its limit is that of the whole call, none of one item",
    FALLBACK: "it takes a function, no policy: wrap it with @task",
    RECORDS: "it returns values and keeps no records",
    STATUS: "it returns values and keeps no records",
    CLOCK: "it never waits, so it has no clock",
    CANCEL: "it blocks: there is nothing to cancel it by",
    WRAPS: "exceptions come out as they are",
}
_ONE = "it takes one argument per call"


class GraphMachine(Machine):
    """A node for each call."""

    family = "graph"
    cannot = {
        **_PLAIN,
        TIMEOUT: "nodes have no options: wrap the function with @task",
        COLUMNS: _ONE,
    }
    del cannot[WRAPS], cannot[STATUS]

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        graph = fastflow.Graph()
        nodes = [graph.add(fn, item) for item in items]
        done = graph.run(executor=self.executor)
        return [done[node] for node in nodes]

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        graph = fastflow.Graph()
        nodes = [graph.add(fn, item) for item in items]
        raised: BaseException | None = None
        try:
            done = graph.run(executor=self.executor, on_error="continue")
        except fastflow.TaskError as error:
            raised, done = error, error.result
        except BaseException as error:
            return [Outcome(error=error, raised=error) for _ in items]
        return [
            Outcome(error=done.errors[node], raised=raised, status=done.state(node))
            if node in done.errors
            else Outcome(done[node], status=done.state(node))
            for node in nodes
        ]

    def unwrapped(self, error: BaseException) -> BaseException:
        return behind(error)


class FromEdges(GraphMachine):
    """Nodes are numbers."""

    family = "graph from edges"
    cannot = {**GraphMachine.cannot}

    def _graph(self, count: int) -> fastflow.Graph:
        return fastflow.Graph.from_edges(count, [], [])

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        done = self._graph(len(items)).run(
            lambda number: fn(items[number]), executor=self.executor
        )
        return done.results.to_list()

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        raised: BaseException | None = None
        try:
            done = self._graph(len(items)).run(
                lambda number: fn(items[number]),
                executor=self.executor,
                on_error="continue",
            )
        except fastflow.TaskError as error:
            raised, done = error, error.result
        except BaseException as error:
            return [Outcome(error=error, raised=error) for _ in items]
        return [
            Outcome(error=done.errors[number], raised=raised, status=done.state(number))
            if number in done.errors
            else Outcome(done[number], status=done.state(number))
            for number in range(len(items))
        ]


class MapMachine(Machine):
    """``fastflow.map``."""

    family = "map"
    cannot = _PLAIN

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        return fastflow.map(fn, items, executor=self.executor)

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        return self._settled(
            lambda: fastflow.map(
                fn, items, executor=self.executor, return_exceptions=True
            ),
            len(items),
        )

    def _settled(self, call: Any, count: int) -> list[Outcome]:
        """Tell results from exceptions; what is no Exception ends the whole call."""
        try:
            results = call()
        except BaseException as error:
            return [Outcome(error=error, raised=error)] * count
        return [
            Outcome(error=result, raised=result)
            if isinstance(result, BaseException)
            else Outcome(result)
            for result in results
        ]

    def columns(self, fn: Any, *columns: Any) -> list[Any]:
        """Call fn with an item of each column."""
        return fastflow.map(fn, *columns, executor=self.executor)


class StarmapMachine(MapMachine):
    """``fastflow.starmap``."""

    family = "starmap"

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        return fastflow.starmap(fn, [(item,) for item in items], executor=self.executor)

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        rows = [(item,) for item in items]
        return self._settled(
            lambda: fastflow.starmap(
                fn, rows, executor=self.executor, return_exceptions=True
            ),
            len(items),
        )

    def columns(self, fn: Any, *columns: Any) -> list[Any]:
        return fastflow.starmap(fn, zip(*columns, strict=False), executor=self.executor)


class ImapMachine(MapMachine):
    """``fastflow.imap``."""

    family = "imap"
    cannot = {**_PLAIN}
    del cannot[CANCEL]

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        return list(fastflow.imap(fn, items, executor=self.executor))

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        return self._settled(
            lambda: list(
                fastflow.imap(fn, items, executor=self.executor, return_exceptions=True)
            ),
            len(items),
        )

    def columns(self, fn: Any, *columns: Any) -> list[Any]:
        return list(fastflow.imap(fn, *columns, executor=self.executor))

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        """Start calls that `cancelled` can cancel."""
        stream = fastflow.imap(fn, items, buffersize=len(items), executor=self.executor)
        next(stream)
        return stream

    def cancelled(self, handle: Any) -> str:
        """Cancel them; return what is told to whoever waits for results."""
        handle.close()
        return str(list(handle))


class ForEachMachine(MapMachine):
    """``fastflow.for_each``; results are those that the function has left behind."""

    family = "for_each"
    cannot = {
        **_PLAIN,
        SETTLE: "the first failure is raised, and no results are kept",
        COLUMNS: _ONE,
    }

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        results: dict[int, Any] = {}

        def keep(pair: tuple[int, Any]) -> None:
            results[pair[0]] = fn(pair[1])

        fastflow.for_each(keep, list(enumerate(items)), executor=self.executor)
        return [results[number] for number in range(len(items))]

    settle = Machine.settle


class ExecutorMapMachine(MapMachine):
    """``Executor.map``."""

    family = "Executor.map"
    cannot = {
        **_PLAIN,
        SETTLE: "the first exception ends the iterator, as in the standard library",
    }
    del cannot[CANCEL]

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        return list(self.executor.map(fn, items))

    settle = Machine.settle

    def columns(self, fn: Any, *columns: Any) -> list[Any]:
        return list(self.executor.map(fn, *columns))

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        stream = self.executor.map(fn, items)
        next(stream)
        return stream

    def cancelled(self, handle: Any) -> str:
        handle.close()
        return str(list(handle))


class SubmitMachine(Machine):
    """``Executor.submit``."""

    family = "submit"
    cannot = {
        **_PLAIN,
        TIMEOUT: "the limit of result() is that of the wait, not of the call",
        COLUMNS: _ONE,
    }
    del cannot[CANCEL]

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        futures = [self.executor.submit(fn, item) for item in items]
        return [future.result() for future in futures]

    def settle(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Outcome]:
        futures = [self.executor.submit(fn, item) for item in items]
        return [_outcome(future) for future in futures]

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        futures = [self.executor.submit(fn, item) for item in items]
        futures[0].result()
        return futures

    def cancelled(self, handle: Any) -> str:
        for future in handle:
            future.cancel()
        return str(_outcome(handle[-1]).kind)


class GroupMachine(SubmitMachine):
    """``TaskGroup``."""

    family = "TaskGroup"
    cannot = {
        **_PLAIN,
        TIMEOUT: "the limit of result() is that of the wait, not of the call",
        SETTLE: "the first failure cancels the rest: that is what a group is for",
        COLUMNS: _ONE,
    }
    del cannot[CANCEL], cannot[WRAPS]

    def run(self, fn: Function, items: Sequence[Any], **_: Any) -> list[Any]:
        with fastflow.TaskGroup(self.executor) as group:
            futures = [group.create_task(fn, item) for item in items]
        return [future.result() for future in futures]

    settle = Machine.settle

    def unwrapped(self, error: BaseException) -> BaseException:
        return error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error

    def started(self, fn: Function, items: Sequence[Any]) -> Any:
        group = fastflow.TaskGroup(self.executor)
        group.__enter__()
        futures = [group.create_task(fn, item) for item in items]
        futures[0].result()
        return group, futures

    def cancelled(self, handle: Any) -> str:
        group, futures = handle
        group.cancel()
        return str(_outcome(futures[-1]).kind)


def _outcome(future: Any) -> Outcome:
    try:
        return Outcome(future.result())
    except BaseException as error:
        return Outcome(error=error, raised=error)


FAN_OUT = [
    kind("own")
    for kind in (
        GraphMachine,
        FromEdges,
        MapMachine,
        StarmapMachine,
        ForEachMachine,
        ImapMachine,
        ExecutorMapMachine,
        SubmitMachine,
        GroupMachine,
    )
]
for _machine in FAN_OUT:
    _machine.cannot[EVENTS] = "its calls are no jobs: they are counted, not told of"
