"""Every way to have a function called for each of some items, under one form.

``ENTRY_POINTS[name](fn, items)`` returns the results in the order of the items, or
raises what the entry point raises.
"""

from __future__ import annotations

import concurrent.futures

import numpy as np

import fastflow


def _submit(fn, items):
    with fastflow.Executor(2) as executor:
        futures = [executor.submit(fn, item) for item in items]
        return [future.result() for future in futures]


def _caller_runs(fn, items):
    with fastflow.Executor(1, max_pending=1, on_full="caller_runs") as executor:
        futures = [executor.submit(fn, item) for item in items]
        return [future.result() for future in futures]


def _executor_map(fn, items, **options):
    with fastflow.Executor(2) as executor:
        return list(executor.map(fn, items, **options))


def _inside_a_task(fn, items):
    """The waiting worker runs the items itself."""
    with fastflow.Executor(1) as executor:
        return executor.submit(lambda: list(executor.map(fn, items))).result()


def _imap(fn, items, **options):
    return list(fastflow.imap(fn, items, **options))


def _unordered(fn, items):
    numbered = fastflow.imap(
        lambda pair: (pair[0], fn(pair[1])), enumerate(items), ordered=False
    )
    return [result for _, result in sorted(numbered, key=lambda pair: pair[0])]


def _starmap(fn, items):
    return fastflow.starmap(fn, [(item,) for item in items])


def _for_each(fn, items):
    results = {}
    fastflow.for_each(lambda pair: results.update({pair[0]: fn(pair[1])}),
                      list(enumerate(items)))  # fmt: skip
    return [results[i] for i in range(len(results))]


def _map_array(fn, items):
    items = list(items)
    results = {}

    def piece(view):
        results[int(view[0])] = fn(items[int(view[0])])
        return view

    fastflow.map_array(piece, np.arange(len(items)), chunks=1)
    return [results[i] for i in range(len(items))]


def _group(fn, items):
    with fastflow.TaskGroup() as group:
        futures = [group.create_task(fn, item) for item in items]
    return [future.result() for future in futures]


def _graph(fn, items, **options):
    graph = fastflow.Graph()
    nodes = [graph.add(fn, item) for item in items]
    done = graph.run(**options)
    return [done[node] for node in nodes]


def _graph_from_edges(fn, items):
    items = list(items)
    edges = np.array([], dtype=np.int64)
    graph = fastflow.Graph.from_edges(len(items), edges, edges)
    return list(graph.run(lambda i: fn(items[i])).results.values())


def _flow(executor):
    def run(fn, items):
        results = fastflow.run_parallel_flow_from_dsl(
            "flow f:\n    source -> work[*]",
            list(items),
            registry={"source": lambda input_data: input_data, "work": fn},
            executor=executor() if callable(executor) else executor,
        )
        return results["work"]

    return run


def _flow_tasks(executor):
    """A task per item, none depends on another."""

    def run(fn, items):
        items = list(items)
        text = "flow f:\n" + "".join(f"    task t{i}:\n" for i in range(len(items)))
        registry = {f"t{i}": lambda i=i: fn(items[i]) for i in range(len(items))}
        results = fastflow.run_parallel_flow_from_dsl(
            text, None, registry=registry, executor=executor
        )
        return [results[f"t{i}"] for i in range(len(items))]

    return run


def _flow_function(fn, items):
    task = fastflow.TaskRegistry().task(lambda item: fn(item), name="work")

    @fastflow.flow
    def flow():
        return [task(item) for item in items]

    return flow()


def _builder(executor=None):
    def run(fn, items):
        workflow = fastflow.workflow("w")
        workflow.for_each("each", lambda ctx: list(items), lambda ctx, item: fn(item))
        return workflow.run(None, executor=executor() if executor else None).last

    return run


def _builder_steps(executor=None, **options):
    def run(fn, items):
        workflow = fastflow.workflow("w")
        for i, item in enumerate(items):
            workflow.step(f"s{i}", lambda ctx, item=item: fn(item), **options)
        done = workflow.run(None, executor=executor() if executor else None)
        return [step.output for step in done.steps.values()]

    return run


def _builder_parallel(fn, items):
    workflow = fastflow.workflow("w")
    workflow.parallel([lambda ctx, item=item: fn(item) for item in items])
    return workflow.run(None).last


def _durable(operation):
    def run(fn, items):
        from fastflow.durable import DurableRunner, durable_execution

        items = list(items)

        @durable_execution
        def handler(event, context):
            return getattr(_Durable, operation)(context, fn, items)

        with DurableRunner(":memory:") as runner:
            return runner.run(handler, None, execution_name="e")

    return run


class _Durable:
    @staticmethod
    def step(context, fn, items):
        return [context.step(lambda _, item=item: fn(item)) for item in items]

    @staticmethod
    def limits(context, fn, items):
        from fastflow.durable import StepConfig

        config = StepConfig(timeout=60)
        return [context.step(lambda _, item=item: fn(item), config=config)
                for item in items]  # fmt: skip

    @staticmethod
    def map(context, fn, items):
        def branch(ctx, item, index, _):
            return ctx.step(lambda _: fn(item))

        return context.map(items, branch).get_results()


#: The executor, and what stands on nothing else.
FAN_OUT = {
    "submit": _submit,
    "submit, caller_runs": _caller_runs,
    "Executor.map": _executor_map,
    "Executor.map, inside a task": _inside_a_task,
    "Executor.map, buffersize": lambda fn, items: _executor_map(
        fn, items, buffersize=3
    ),
    "map": lambda fn, items: fastflow.map(fn, items),
    "map, one worker": lambda fn, items: fastflow.map(fn, items, max_workers=1),
    "map, chunks": lambda fn, items: fastflow.map(fn, items, chunksize=3),
    "starmap": _starmap,
    "for_each": _for_each,
    "imap": _imap,
    "imap, progress": lambda fn, items: _imap(fn, items, progress=lambda *_: None),
    "imap, timeout": lambda fn, items: _imap(fn, items, timeout=60),
    "imap, unordered": _unordered,
    "map_array": _map_array,
    "TaskGroup": _group,
    "Graph": _graph,
    "Graph.from_edges": _graph_from_edges,
}

#: What stands on the executor.
MACHINES = {
    "flow, serial": _flow_tasks("serial"),
    "flow, native": _flow_tasks(None),
    "flow items, serial": _flow("serial"),
    "flow items, native": _flow(None),
    "flow items, pool": _flow(lambda: concurrent.futures.ThreadPoolExecutor(2)),
    "@flow": _flow_function,
    "builder, steps": _builder_steps(),
    "builder, retried steps": _builder_steps(retries=1),
    "builder, steps with limits": _builder_steps(timeout=60),
    "builder, steps on a pool": _builder_steps(
        lambda: concurrent.futures.ThreadPoolExecutor(2)
    ),
    "builder, for_each": _builder(),
    "builder, pool": _builder(lambda: concurrent.futures.ThreadPoolExecutor(2)),
    "builder, parallel": _builder_parallel,
    "durable, steps": _durable("step"),
    "durable, steps with limits": _durable("limits"),
    "durable, map": _durable("map"),
}

ENTRY_POINTS = FAN_OUT | MACHINES
