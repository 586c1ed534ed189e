"""What OpenTelemetry is told: spans, metrics, and that nobody is hurt by it."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import json
import pickle
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

import fastflow
from fastflow.base.timers import VirtualClock
from fastflow.durable import (
    DurableRunner,
    RetryPresets,
    StepConfig,
    StepError,
    durable_execution,
)
from fastflow.journal.memory import MemoryJournal
from fastflow.run.events import LISTENING
from fastflow.seeing.otel.ids import SpanIds, span_id_of, trace_id_of
from support import figure

pytest.importorskip("opentelemetry.sdk", reason="[test-telemetry] is not installed")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode


class Seen:
    """A telemetry, and what it has told."""

    def __init__(self, **options):
        self._spans = InMemorySpanExporter()
        self._metrics = InMemoryMetricReader()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._metrics])
        self.telemetry = fastflow.telemetry(self.provider, self.meters)

    @property
    def spans(self):
        return self._spans.get_finished_spans()

    def span(self, name):
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def tree(self):
        """Name of each span -> name of its parent."""
        names = {span.context.span_id: span.name for span in self.spans}
        return {
            span.name: span.parent and names.get(span.parent.span_id, "elsewhere")
            for span in self.spans
        }

    @property
    def metrics(self):
        """Name -> sum of its values, or of its counts."""
        data = self._metrics.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = sum(
                        point.count if hasattr(point, "count") else point.value
                        for point in metric.data.data_points
                    )
        return found


@pytest.fixture
def seen():
    return Seen()


def current():
    return trace.get_current_span().get_span_context().span_id


def task(*args, **options):
    return fastflow.TaskRegistry().task(*args, **options)


FLOW = """flow Shop:
    load1 -> flaky
    load2 -> flaky
    flaky -> each[*]
    load1 -> waits
    load2 -> limited
"""


@pytest.fixture
def inside():
    """Which span was current, by task."""
    return {}


@pytest.fixture
def tasks(inside):
    failures = []

    def note(name):
        inside[name] = current()

    @task(retries=1, retry_delay=0)
    def flaky(load1, load2):
        note("flaky")
        if not failures:
            failures.append(1)
            raise OSError("not yet")
        return [1, 2, 3]

    @task
    async def waits(load1):
        await asyncio.sleep(0)
        note("waits")

    @task(timeout=60)
    def limited(load2):
        note("limited")

    return {
        "load1": lambda: note("load"), "load2": lambda: note("load"), "flaky": flaky,
        "each": lambda x: note("each"), "waits": waits, "limited": limited,
    }  # fmt: skip


@pytest.mark.parametrize("place", ["native", "serial", "one", "stdlib"])
def test_a_flow(seen, tasks, inside, place):
    flow = fastflow.Flow(FLOW, registry=tasks)
    with cf.ThreadPoolExecutor(2) as pool, seen.telemetry:
        executor = {"serial": "serial", "stdlib": pool}.get(place)
        flow.run(executor=executor, max_workers=1 if place == "one" else None)
    assert seen.tree == {
        "Shop": None, "load": "Shop", "flaky": "Shop", "each": "Shop", "waits": "Shop",
        "limited": "Shop",
    }  # fmt: skip
    assert len({span.context.trace_id for span in seen.spans}) == 1
    run = seen.span("Shop")
    assert run.attributes["fastflow.run.kind"] == "flow"
    assert run.attributes["fastflow.run.name"] == "Shop"
    assert run.status.status_code is StatusCode.UNSET
    for span in seen.spans:
        assert span.attributes["fastflow.run.id"] == run.attributes["fastflow.run.id"]
        assert run.start_time <= span.start_time <= span.end_time <= run.end_time
    assert seen.span("load").attributes["fastflow.stage.calls"] == 2
    flaky = seen.span("flaky")
    assert flaky.attributes["fastflow.stage.calls"] == 1
    assert flaky.attributes["fastflow.stage.retries"] == 1
    (retry,) = flaky.events
    assert dict(retry.attributes) == {
        "fastflow.attempt": 1, "error.type": "OSError", "exception.message": "not yet",
    }  # fmt: skip
    ids = {span.name: span.context.span_id for span in seen.spans}
    del ids["Shop"]
    assert inside == ids
    counted = seen.metrics
    assert counted["fastflow.task.started"] == 6
    assert counted["fastflow.task.duration"] == 6
    assert counted["fastflow.task.retried"] == 1
    assert counted["fastflow.task.active"] == counted["fastflow.run.active"] == 0
    assert counted["fastflow.run.started"] == counted["fastflow.run.duration"] == 1
    assert "fastflow.run.failed" not in counted


def fails(one):
    raise LookupError("sold out")


@pytest.mark.parametrize("executor", [None, "serial", "processes"])
def test_a_flow_that_fails(seen, executor):
    flow = fastflow.Flow(
        "flow F:\n    one -> fails -> never", registry={"one": int, "fails": fails,
                                                        "never": str},
    )  # fmt: skip
    with seen.telemetry, pytest.raises(fastflow.TaskError):
        flow.run(executor=executor)
    assert "never" not in seen.tree
    failed, run = seen.span("fails"), seen.span("F")
    assert failed.status.status_code is run.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "LookupError"
    assert failed.status.description == "sold out"
    (event,) = failed.events
    assert event.name == "exception"
    assert event.attributes["exception.message"] == "sold out"
    assert run.attributes["error.type"] == "fastflow.errors.TaskError"
    assert seen.metrics["fastflow.run.failed"] == 1
    assert seen.metrics["fastflow.task.failed"] == 1


def test_what_is_current_is_the_parent(seen):
    tracer = seen.provider.get_tracer("tests")
    flow = fastflow.Flow("flow F:\n    one", registry={"one": int})
    with seen.telemetry, tracer.start_as_current_span("request") as request:
        flow.run()
        assert current() == request.get_span_context().span_id
    assert seen.tree == {"F": "request", "one": "F", "request": None}


def test_spans_of_users_are_inside_of_the_task(seen):
    tracer = seen.provider.get_tracer("tests")

    def one():
        with tracer.start_as_current_span("query"):
            return fastflow.map(inner, range(3), max_workers=2)

    def inner(n):
        with tracer.start_as_current_span(f"part {n}"):
            return n

    flow = fastflow.Flow("flow F:\n    one", registry={"one": one})
    with seen.telemetry:
        flow.run()
    assert seen.tree == {
        "F": None, "one": "F", "query": "one",
        **{f"part {n}": "query" for n in range(3)},
    }  # fmt: skip


@pytest.mark.parametrize("executor", [None, "serial"])
def test_a_flow_function(seen, inside, executor):
    @task
    def square(n):
        inside[n] = current()
        return n * n

    @task
    async def later(n):
        await asyncio.sleep(0)
        inside["later"] = current()

    @fastflow.flow
    def squares():
        return [square(square(2)), later(1)]

    with seen.telemetry:
        squares.with_options(executor=executor)()
    assert seen.tree == {"squares": None, "square": "squares", "later": "squares"}
    span = seen.span("square")
    assert span.attributes["fastflow.stage.calls"] == 2
    assert inside == {
        2: span.context.span_id, 4: span.context.span_id,
        "later": seen.span("later").context.span_id,
    }  # fmt: skip


def test_a_workflow(seen, inside):
    failures = []

    def note(name):
        def step(ctx, *_):
            inside[name] = current()

        return step

    async def waits(ctx):
        await asyncio.sleep(0)
        inside["b"] = current()

    def flaky(ctx):
        inside["c"] = current()
        if not failures:
            failures.append(1)
            raise OSError("not yet")

    wf = (
        fastflow.workflow("W")
        .step("a", note("a"))
        .step("b", waits)
        .step("c", flaky, retries=1, retry_delay=0)
        .for_each("d", range(20), note("d"))
        .parallel([note("e")], "e")
        .sleep(0.001, name="f")
    )
    with seen.telemetry:
        wf.run()
    assert seen.tree == {"W": None, **dict.fromkeys("abcdef", "W")}
    assert seen.span("W").attributes["fastflow.run.kind"] == "workflow"
    assert [event.name for event in seen.span("c").events] == ["retry"]
    assert inside == {name: seen.span(name).context.span_id for name in "abcde"}


# --- durable functions ----------------------------------------------------------------


@durable_execution(name="tests.telemetry")
def order(event, context):
    def flaky(step):
        event_of["flaky"] = current()
        if step.attempt == 1:
            raise OSError("not yet")

    context.step(flaky, "charge", StepConfig(RetryPresets.fixed("1h")))
    context.wait("2h", "rest")

    def pack(child):
        child.step(lambda _: event_of.update(pack=current()), "box")

    context.run_in_child_context(pack, "pack")
    context.map(
        list(range(30)), lambda c, n, i, _: c.step(lambda _: n, f"item {i}"), "ship"
    )
    try:
        context.step(fails, "call")
    except StepError:
        return "done"


event_of = {}


@pytest.mark.parametrize("how", ["run", "start"])
def test_a_durable_function(seen, how):
    event_of.clear()
    with DurableRunner(
        MemoryJournal(), subscribers=[seen.telemetry], _clock=VirtualClock()
    ) as runner:
        if how == "run":
            runner.run(order, None, "order 7")
        else:
            runner.start(order, None, "order 7").result()
    assert seen.tree == {
        "tests.telemetry": "elsewhere", "charge": "tests.telemetry",
        "rest": "tests.telemetry", "pack": "tests.telemetry", "box": "pack",
        "ship": "tests.telemetry", "item": "ship", "call": "tests.telemetry",
    }  # fmt: skip
    assert len(seen.spans) == 8
    assert event_of == {
        "flaky": seen.span("charge").context.span_id,
        "pack": seen.span("box").context.span_id,
    }
    assert seen.span("tests.telemetry").attributes["durable.execution.arn"] == "order 7"
    said = dict(seen.span("charge").attributes)
    assert len(said.pop("durable.operation.id")) == 32
    assert said == {
        "fastflow.run.id": "order 7", "durable.execution.arn": "order 7",
        "durable.operation.type": "STEP", "durable.operation.name": "charge",
        "durable.operation.status": "SUCCEEDED", "durable.attempt.number": 2,
    }  # fmt: skip
    assert seen.span("item").attributes["fastflow.stage.calls"] == 30
    call = seen.span("call")
    assert call.attributes["durable.operation.status"] == "FAILED"
    assert call.status.status_code is StatusCode.ERROR
    rest, charge = seen.span("rest"), seen.span("charge")
    assert rest.attributes["durable.operation.type"] == "WAIT"
    assert rest.end_time - rest.start_time == pytest.approx(7200e9, rel=1e-3)
    assert charge.end_time - charge.start_time == pytest.approx(3600e9, rel=1e-3)
    assert seen.span("ship").attributes["durable.operation.subtype"] == "Map"


SCRIPT = """
import json, os, signal, sys
import fastflow
from fastflow.durable import DurableRunner, durable_execution
from fastflow.seeing.otel.ids import SpanIds
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.metrics import MeterProvider

store, log, dies, derives = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])

class Lines(SpanExporter):
    def export(self, spans):
        with open(log, "a") as file:
            for span in spans:
                file.write(json.dumps([
                    span.name, span.context.trace_id, span.context.span_id,
                    span.parent and span.parent.span_id, dict(span.attributes),
                ]) + "\\n")

@durable_execution(name="killed")
def killed(event, context):
    def second(step):
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2
    def inside(child):
        child.step(lambda _: 1, "first")
        return child.step(second, "second")
    return context.run_in_child_context(inside, "around")

provider = TracerProvider(**({"id_generator": SpanIds()} if derives else {}))
provider.add_span_processor(SimpleSpanProcessor(Lines()))
telemetry = fastflow.telemetry(provider, MeterProvider())
with DurableRunner(store, subscribers=[telemetry]) as runner:
    print(runner.run(killed, None, "order 7"))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs SIGKILL")
@pytest.mark.parametrize("derives", [0, 1])
def test_a_run_goes_on_in_its_trace_in_another_process(tmp_path, derives):
    script, log = tmp_path / "script.py", tmp_path / "spans"
    script.write_text(SCRIPT, "utf-8")
    store = str(tmp_path / "runs.db")

    def run(dies):
        return subprocess.run(
            [sys.executable, script, store, log, str(dies), str(derives)],
            capture_output=True, text=True,
        )  # fmt: skip

    assert run(1).returncode == -9
    before = [json.loads(line) for line in log.read_text().splitlines()]
    assert [span[0] for span in before] == ["first"]
    done = run(0)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    spans = [json.loads(line) for line in log.read_text().splitlines()]
    assert [span[0] for span in spans[1:]] == ["second", "around", "killed"]
    assert len({trace for _, trace, *_ in spans}) == 1
    assert len({span for _, _, span, *_ in spans}) == 4
    second, around, resumed = spans[1:]
    assert second[3] == around[2]
    assert around[3] == resumed[2]
    assert resumed[4]["fastflow.run.resumed"] is True
    assert resumed[4]["fastflow.run.recalled"] == 1
    other = tmp_path / "other.db"
    store = str(other)
    log.unlink()
    assert run(0).returncode == 0
    elsewhere = [json.loads(line) for line in log.read_text().splitlines()]
    assert {trace for _, trace, *_ in elsewhere} != {spans[0][1]}
    root = elsewhere[-1]
    assert (root[3] is None) is bool(derives)


def test_derived_ids():
    seen = Seen(id_generator=SpanIds())

    @durable_execution(name="tests.telemetry.ids")
    def program(_, context):
        context.step(lambda _: 1, "a")

    journal = MemoryJournal()
    with DurableRunner(journal, subscribers=[seen.telemetry]) as runner:
        runner.run(program, None, "x")
    seed = f"{journal.find('x').created}/x"
    run, step = seen.span("tests.telemetry.ids"), seen.span("a")
    assert run.context.trace_id == step.context.trace_id == trace_id_of(seed)
    assert run.context.span_id == span_id_of(seed)
    assert run.parent is None
    operation = step.attributes["durable.operation.id"]
    assert step.context.span_id == span_id_of(seed, f"{operation}/0")
    with seen.provider.get_tracer("tests").start_as_current_span("other") as other:
        assert other.get_span_context().trace_id != run.context.trace_id


def test_what_called_a_durable_function_is_linked_to(seen):
    @durable_execution(name="tests.telemetry.linked")
    def program(_, context):
        return 1

    tracer = seen.provider.get_tracer("tests")
    with DurableRunner(MemoryJournal(), subscribers=[seen.telemetry]) as runner:
        with tracer.start_as_current_span("request") as request:
            runner.run(program, None, "x")
    (link,) = seen.span("tests.telemetry.linked").links
    assert link.context.span_id == request.get_span_context().span_id


# --- fan-outs -------------------------------------------------------------------------


def test_many_items_are_few_spans(seen):
    count = 10_000
    flow = fastflow.Flow(
        "flow F:\n    make -> each[*]",
        registry={"make": lambda: range(count), "each": abs},
    )

    @task
    def square(n):
        return n * n

    @fastflow.flow
    def squares():
        return [square(n) for n in range(count)]

    with seen.telemetry:
        flow.run()
        squares()
        fastflow.workflow("W").for_each("d", range(count), lambda ctx, n: n).run()
    assert [span.name for span in seen.spans] == [
        "make", "each", "F", "square", "squares", "d", "W",
    ]  # fmt: skip
    assert seen.span("square").attributes["fastflow.stage.calls"] == count
    assert seen.metrics["fastflow.task.started"] == count + 3


def test_many_branches_that_fail_are_one_span(seen):
    count = figure(500, 10_000)

    @durable_execution(name="tests.telemetry.many")
    def program(_, context):
        def branch(c, n, i, _):
            try:
                c.step(fails, f"item {i}")
            except StepError:
                return n

        return len(context.map(list(range(count)), branch, "all").get_results())

    with DurableRunner(MemoryJournal(), subscribers=[seen.telemetry]) as runner:
        assert runner.run(program, None, "x") == count
    assert sorted(span.name for span in seen.spans) == [
        "all", "item", "tests.telemetry.many",
    ]  # fmt: skip
    item = seen.span("item")
    assert item.attributes["fastflow.stage.failed"] == count
    assert 0 < len(item.events) < 100
    assert item.status.status_code is StatusCode.ERROR


# --- nobody is hurt -------------------------------------------------------------------


class UnstableError(LookupError):
    def __str__(self):
        raise ArithmeticError


def test_errors_may_be_as_they_like(seen):
    def one():
        raise UnstableError

    flow = fastflow.Flow("flow F:\n    one", registry={"one": one})
    with seen.telemetry:
        for _ in range(2):
            with pytest.raises(fastflow.TaskError):
                flow.run()
    assert len(seen.spans) == 4
    assert seen.spans[0].attributes["error.type"].endswith("UnstableError")


@pytest.mark.parametrize("method", ["start_span", "end", "use_span"])
def test_a_tracer_that_raises_hurts_no_run(seen, method, monkeypatch, caplog):
    def broken(*_, **__):
        raise ArithmeticError("out of order")

    telemetry = seen.telemetry
    if method == "start_span":
        monkeypatch.setattr(telemetry, "_tracer", SimpleNamespace(start_span=broken))
    elif method == "end":
        monkeypatch.setattr("opentelemetry.sdk.trace.Span.end", broken)
    else:
        monkeypatch.setattr(telemetry._api, "use_span", broken)
    flow = fastflow.Flow("flow F:\n    one", registry={"one": lambda: 7})
    with telemetry:
        assert flow.run()["one"] == 7
    (record,) = caplog.records
    assert "told nothing any more" in record.getMessage()


def test_after_the_block_nobody_is_told(seen):
    flow = fastflow.Flow("flow F:\n    one", registry={"one": int})
    with seen.telemetry:
        with seen.telemetry:
            flow.run()
        flow.run()
    flow.run()
    assert LISTENING.get() is None
    assert [span.name for span in seen.spans] == ["one", "F"] * 2


def test_several_at_a_time(seen):
    flow = fastflow.Flow(FLOW, registry=dict.fromkeys(
        ("load1", "load2", "waits", "limited"), int
    ) | {"flaky": lambda load1, load2: [1], "each": abs} | {
        "waits": lambda load1: 1, "limited": lambda load2: 1,
    })  # fmt: skip
    runs = figure(20, 200)

    def many():
        with seen.telemetry:
            for _ in range(runs):
                flow.run()

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen.spans) == 4 * runs * 6
    by_run = {}
    for span in seen.spans:
        by_run.setdefault(span.attributes["fastflow.run.id"], set()).add(
            span.context.trace_id
        )
    assert len(by_run) == 4 * runs
    assert all(len(traces) == 1 for traces in by_run.values())
    assert seen.telemetry._runs == {}


def test_spans_are_in_no_pickle(seen):
    flow = fastflow.Flow("flow F:\n    one", registry={"one": int})
    with seen.telemetry:
        result = flow.run()
    assert pickle.loads(pickle.dumps(result))["one"] == 0
    assert b"opentelemetry" not in pickle.dumps(result)
    with pytest.raises(TypeError, match="stays in the process"):
        pickle.dumps(seen.telemetry)


def test_global_providers_are_left_alone(seen):
    code = (
        "import fastflow\n"
        "with fastflow.telemetry():\n"
        "    fastflow.Flow('flow F:\\n    one', registry={'one': int}).run()\n"
        "from opentelemetry import metrics, trace\n"
        "assert trace._TRACER_PROVIDER is None\n"
        "assert 'opentelemetry.sdk' not in __import__('sys').modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_the_api_the_fix_is_told():
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import fastflow\n"
        "try: fastflow.telemetry()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'fastflow[opentelemetry]'" in done.stdout


def test_pools_are_measured(seen):
    entered, leave = threading.Semaphore(0), threading.Event()

    def hold(_):
        entered.release()
        leave.wait(60)

    with fastflow.Executor(2) as executor:
        futures = [executor.submit(hold, n) for n in range(5)]
        for _ in range(2):
            entered.acquire()
        found = seen.metrics
        leave.set()
        cf.wait(futures)
    assert found["fastflow.pool.queue_depth"] >= 3
    assert found["fastflow.pool.running"] >= 2


def test_steals_only_grow(seen):
    def tree(executor, depth):
        if depth:
            for future in [executor.submit(tree, executor, depth - 1) for _ in "ab"]:
                future.result()

    before = seen.metrics["fastflow.pool.steals"]
    for _ in range(3):
        with fastflow.Executor(2) as executor:
            executor.submit(tree, executor, 8).result()
            stolen = executor.stats().stolen
            now = seen.metrics["fastflow.pool.steals"]
        assert now >= before + stolen
        before = now
        del executor
        assert seen.metrics["fastflow.pool.steals"] >= before


def test_a_recording_sees_the_same(seen):
    flow = fastflow.Flow("flow F:\n    one -> two", registry={"one": int, "two": str})
    with fastflow.record() as rec, seen.telemetry:
        flow.run()
    assert seen.tree == {"F": None, "one": "F", "two": "F"}
    assert len(rec.data.calls) == 2
