"""``telemetry()``: a subscriber that tells OpenTelemetry of runs.

A run is a span.  Inside of it, an operation of a durable function is one, and so is a
stage: tasks of a flow whose names differ by a number only, all calls of a step, or of a
task by a flow function, and all steps of one name within one fan-out of a durable
function.  A stage begins with its first call, and is closed with the run, as nobody
knows before whether there will be another call; its end is that of its last call.

Threads: what belongs to a run is changed under the run's lock.  Spans are begun under
it, so that of two calls of a stage only one begins its span.
"""

from __future__ import annotations

import contextlib
import threading
import time as clock
from typing import TYPE_CHECKING, Any, NoReturn

from fastflow.base.names import stem_of
from fastflow.errors import Cancelled
from fastflow.run.events import LISTENING, Events, JobKey, RunAbout
from fastflow.seeing.otel.ids import SpanIds, derived, span_id_of, trace_id_of
from fastflow.seeing.otel.meters import Meters
from fastflow.seeing.otel.spans import Shown, error_type, nanoseconds

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Telemetry", "telemetry"]

_NAME = "fastflow"


def telemetry(tracer_provider: Any = None, meter_provider: Any = None) -> Telemetry:
    r"""Return what tells OpenTelemetry of runs, as spans and metrics.

    In a with block it is told of the flows, flow functions and workflows that begin
    there; of durable functions, if it is one of a runner's ``subscribers``.  Make one
    for a program: each has instruments of its own.

    Parameters
    ----------
    tracer_provider, meter_provider : optional
        Of whoever implements the API. Default: the global ones.

    Raises
    ------
    ImportError
        If the API is not installed.

    Examples
    --------
    >>> import fastflow
    >>> flow = fastflow.Flow("flow F:\n    one -> two",
    ...                      registry={"one": lambda: 1, "two": lambda n: n + 1})
    >>> with fastflow.telemetry():  # doctest: +SKIP
    ...     flow.run()
    """
    return Telemetry(tracer_provider, meter_provider)


class _Job:
    """A job that is under way."""

    __slots__ = ("began", "labels", "own", "shown")

    def __init__(
        self, shown: Shown, labels: dict[str, str], began: float, *, own: bool
    ) -> None:
        self.shown = shown
        self.labels = labels
        self.began = began
        self.own = own
        """Whether the span is that of this job alone."""


class _Run:
    """A run that is under way."""

    def __init__(self, about: RunAbout, shown: Shown, began: float) -> None:
        self.about = about
        self.shown = shown
        self.began = began
        self.labels = {"fastflow.run.kind": about.kind, "fastflow.run.name": about.name}
        self.lock = threading.RLock()
        self.jobs: dict[str, _Job] = {}
        self.stages: dict[tuple[str | None, str], Shown] = {}
        self.scopes: dict[str, Shown] = {}
        self.recalled = 0

    def parent(self, key: JobKey) -> Any:
        """Return the span that a job's is inside of."""
        around = self.scopes.get(key.fan or key.parent or "")
        return (around or self.shown).span


class Telemetry:
    """A subscriber, and a with block in which it is one of all runs; see `telemetry`.

    What it has to do with the API is kept here: results and errors know nothing of it.
    """

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError as error:
            raise ImportError(
                "telemetry() needs OpenTelemetry's API: pip install "
                "'fastflow[opentelemetry]'"
            ) from error
        self._api = trace
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        self._derives = isinstance(
            getattr(tracer_provider, "id_generator", None), SpanIds
        )
        self._meters = Meters(metrics.get_meter(_NAME, meter_provider=meter_provider))
        self._about: dict[str, RunAbout] = {}
        self._runs: dict[str, _Run] = {}
        self._before = threading.local()

    # As a with block

    def __enter__(self) -> Telemetry:
        listening = LISTENING.get()
        events = Events((self,)) if listening is None else listening.also((self,))
        stack: list[Any] = vars(self._before).setdefault("tokens", [])
        stack.append(LISTENING.set(events))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        LISTENING.reset(self._before.tokens.pop())

    def __reduce__(self) -> NoReturn:
        raise TypeError("telemetry stays in the process that it was made in")

    # Runs

    def about_run(self, run: str, about: RunAbout) -> None:
        """See `fastflow.run.events.Subscriber`."""
        self._about[run] = about

    def run_started(self, run: str, time: float) -> None:
        """See `fastflow.run.events.Subscriber`."""
        about = self._about.pop(run, None) or RunAbout("run", run)
        said: dict[str, Any] = {
            "fastflow.run.id": run,
            "fastflow.run.kind": about.kind,
            "fastflow.run.name": about.name,
        }
        if about.seed is None:
            span = self._begin(about.name, None, said, time)
        else:
            said["durable.execution.arn"] = run
            said["fastflow.run.resumed"] = about.resumed > 0
            span = self._begin_execution(about, about.seed, said, time)
        begun = _Run(about, Shown(span, about.name, time, "fastflow.attempt"), time)
        self._runs[run] = begun
        self._meters.runs.begin(begun.labels)
        if about.resumed:
            self._meters.resumed.add(1, begun.labels)

    def _begin(
        self, name: str, context: Any, said: dict[str, Any], time: float, **more: Any
    ) -> Any:
        return self._tracer.start_span(
            name, context, attributes=said, start_time=nanoseconds(time), **more
        )

    def _begin_execution(
        self, about: RunAbout, seed: str, said: dict[str, Any], time: float
    ) -> Any:
        """Begin the span of an execution, in the trace that is its own.

        What is current here is linked to, as it may be of another trace.
        """
        from opentelemetry.context import Context

        trace, root = trace_id_of(seed), span_id_of(seed)
        here = self._api.get_current_span().get_span_context()
        links = [self._api.Link(here)] if here.is_valid else []
        if self._derives and not about.resumed:
            with derived(trace, root):
                return self._begin(about.name, Context(), said, time, links=links)
        nobodys = self._api.NonRecordingSpan(
            self._api.SpanContext(
                trace, root, True, self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
            )
        )
        context = self._api.set_span_in_context(nobodys, Context())
        return self._begin(about.name, context, said, time, links=links)

    def run_ended(self, run: str, time: float, error: BaseException | None) -> None:
        """See `fastflow.run.events.Subscriber`."""
        ended = self._runs.pop(run, None)
        if ended is None:
            return
        with ended.lock:
            self._end_rest(ended)
            shown = ended.shown
            said: dict[str, Any] = {}
            if ended.about.kind == "durable":
                said["fastflow.run.recalled"] = ended.recalled
            if error is not None:
                shown.fail(time, error)
            shown.end(said, time)
        failure = None if error is None else error_type(error)
        self._meters.runs.end(ended.labels, time - ended.began, failure)

    def _end_rest(self, run: _Run) -> None:
        """End what is open in a run that is over."""
        for job in run.jobs.values():
            self._meters.tasks.end(job.labels, 0.0, "interrupted")
            if job.own:
                job.shown.end({"fastflow.interrupted": True})
        run.jobs.clear()
        for (_, stem), shown in run.stages.items():
            shown.end(
                {
                    "fastflow.stage.name": stem,
                    "fastflow.stage.calls": shown.calls,
                    "fastflow.stage.failed": shown.failed,
                    "fastflow.stage.retries": shown.retries,
                    "fastflow.stage.cached": shown.cached,
                }
            )
        for shown in run.scopes.values():
            shown.end({"fastflow.interrupted": True})
        run.stages.clear()
        run.scopes.clear()

    # Jobs

    def job_started(self, key: JobKey, attempt: int, time: float) -> None:
        """See `fastflow.run.events.Subscriber`; further attempts are events."""
        run = self._runs.get(key.run)
        if run is None:
            return
        with run.lock:
            if key.id in run.jobs:
                return
            job = run.jobs[key.id] = self._job(run, key, time)
        self._meters.tasks.begin(job.labels)
        del attempt

    def _job(self, run: _Run, key: JobKey, time: float) -> _Job:
        own = key.kind is not None and key.fan is None
        name = key.name or key.kind or key.id
        stem = name if own else stem_of(name) or name
        labels = {**run.labels, "fastflow.task.name": stem}
        if own:
            shown = self._operation(run, key, name, time)
            shown.calls = 1
            return _Job(shown, labels, time, own=True)
        shown = self._stage(run, key, name, stem, time)
        shown.share(name, stem)
        return _Job(shown, labels, time, own=False)

    def _stage(
        self, run: _Run, key: JobKey, name: str, stem: str, time: float
    ) -> Shown:
        shown = run.stages.get((key.fan, stem))
        if shown is None:
            said = {"fastflow.run.id": key.run}
            if key.fan is not None:
                said["durable.execution.arn"] = key.run
                said["fastflow.stage.fan"] = key.fan
            context = self._api.set_span_in_context(run.parent(key))
            span = self._begin(name, context, said, time)
            shown = Shown(span, name, time, "fastflow.attempt")
            run.stages[key.fan, stem] = shown
        return shown

    def _operation(self, run: _Run, key: JobKey, name: str, time: float) -> Shown:
        said: dict[str, Any] = {
            "fastflow.run.id": key.run,
            "durable.execution.arn": key.run,
            "durable.operation.id": key.id,
            "durable.operation.type": key.kind or "STEP",
            "durable.operation.name": name,
        }
        context = self._api.set_span_in_context(run.parent(key))
        seed = run.about.seed
        known: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        if seed is not None:
            # Not of the operation alone: what was interrupted is begun again.
            operation = f"{key.id}/{run.about.resumed}"
            known = derived(trace_id_of(seed), span_id_of(seed, operation))
        with known:
            span = self._begin(name, context, said, time)
        return Shown(span, name, time, "durable.attempt.number")

    def around_job(
        self, key: JobKey, attempt: int
    ) -> contextlib.AbstractContextManager[Any]:
        """Make the span of a job the current one."""
        del attempt
        run = self._runs.get(key.run)
        job = None if run is None else run.jobs.get(key.id)
        if job is None:
            return contextlib.nullcontext()
        return self._api.use_span(
            job.shown.span, record_exception=False, set_status_on_exception=False
        )

    def job_retrying(
        self, key: JobKey, attempt: int, time: float, error: BaseException
    ) -> None:
        """See `fastflow.run.events.Subscriber`."""
        run = self._runs.get(key.run)
        if run is None:
            return
        with run.lock:
            job = run.jobs.get(key.id)
            if job is None:
                return
            job.shown.retry(attempt, time, error)
        self._meters.retried.add(1, {**job.labels, "error.type": error_type(error)})

    def job_recalled(self, key: JobKey, attempt: int, time: float) -> None:
        """See `fastflow.run.events.Subscriber`; another process has told of it."""
        del attempt, time
        run = self._runs.get(key.run)
        if run is not None:
            with run.lock:
                run.recalled += 1
            self._meters.recalled.add(1, run.labels)

    def job_waited(self, key: JobKey, seconds: float) -> None:
        """See `fastflow.run.events.Subscriber`."""
        run = self._runs.get(key.run)
        if run is None or key.fan is not None:
            return
        with run.lock:
            now = max(clock.time(), run.shown.last)
            shown = self._operation(run, key, key.name or "wait", now - seconds)
            shown.end({"durable.operation.status": "SUCCEEDED"}, now)

    def job_ended(
        self, key: JobKey, attempt: int, time: float, error: BaseException | None
    ) -> None:
        """See `fastflow.run.events.Subscriber`."""
        run = self._runs.get(key.run)
        if run is None:
            return
        with run.lock:
            run.shown.last = max(run.shown.last, time)
            job = run.jobs.pop(key.id, None)
            if job is None:
                if isinstance(error, Cancelled):
                    return  # it has never begun
                job = self._job(run, key, time)
                job.shown.cached += error is None
                self._meters.tasks.begin(job.labels)
            shown = job.shown
            shown.last = max(shown.last, time)
            if error is not None:
                shown.fail(time, error)
            if job.own:
                said = {"durable.attempt.number": attempt}
                self._end_operation(shown, said, time, error)
        failure = None if error is None else error_type(error)
        self._meters.tasks.end(job.labels, time - job.began, failure)

    @staticmethod
    def _end_operation(
        shown: Shown, said: dict[str, Any], time: float, error: BaseException | None
    ) -> None:
        status = "SUCCEEDED"
        if error is not None:
            status = "CANCELLED" if isinstance(error, Cancelled) else "FAILED"
        shown.end({**said, "durable.operation.status": status}, time)

    # Operations that have others in them

    def scope_started(self, key: JobKey, kind: str, time: float) -> None:
        """See `fastflow.run.events.Subscriber`."""
        run = self._runs.get(key.run)
        if run is None or key.fan is not None:
            return
        with run.lock:
            if key.id not in run.scopes:
                named = key if key.name else key._replace(name=kind)
                shown = self._operation(run, named, named.name or kind, time)
                shown.span.set_attribute("durable.operation.subtype", kind)
                run.scopes[key.id] = shown

    def scope_ended(
        self, key: JobKey, time: float, error: BaseException | None
    ) -> None:
        """See `fastflow.run.events.Subscriber`."""
        run = self._runs.get(key.run)
        if run is None:
            return
        with run.lock:
            shown = run.scopes.pop(key.id, None)
            if shown is not None:
                if error is not None:
                    shown.fail(time, error)
                self._end_operation(shown, {}, time, error)
