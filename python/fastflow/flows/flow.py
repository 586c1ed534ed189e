"""``Flow``: a text, compiled once and run often."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastflow.base import recorders
from fastflow.base.drawn import Drawn
from fastflow.base.durations import Time, limit_of
from fastflow.base.options import OnError, check_limit, check_on_error
from fastflow.base.progress import Progress
from fastflow.base.topology import sort_tasks
from fastflow.dsl.compiler import Allowed, compile_plan
from fastflow.dsl.reader import ReadFlow, check_text, choose, read
from fastflow.dsl.source import Problems, Source
from fastflow.dsl.spec import FlowSpec
from fastflow.engines.base import Engine, Run, RunOptions
from fastflow.engines.choose import choose_engine
from fastflow.errors import FlowError, ParameterError
from fastflow.flows import recorded
from fastflow.flows.history import history_dir, write_record
from fastflow.flows.outcome import error_of, result_of, timeout_of
from fastflow.run.events import LISTENING, RunAbout
from fastflow.run.plan import FlowPlan
from fastflow.run.registry import default_registry
from fastflow.run.results import FlowResult

__all__ = [
    "Flow",
    "OnError",
    "check_flows",
    "run_flow_from_dsl",
    "run_parallel_flow_from_dsl",
]

Registry = Mapping[str, Callable[..., Any]]


class Flow(Drawn):
    r"""A flow that is ready to run, any number of times, also from several threads.

    Parameters
    ----------
    definition : str or FlowSpec
        The text of a flow, or what ``parse_dsl`` returned.
    registry : TaskRegistry or mapping of str to callable, optional
        Where tasks are found by name. Default: all that ``@task`` has marked.
    flow : str, optional
        Which flow, if the text has several.
    allow_code : bool
        Whether ``code:`` blocks of the text may run.
    allow_import : bool or iterable of str
        The modules that ``run:`` and ``fallback:`` may import, their submodules
        included; what these modules have imported themselves stays out of reach.
        True allows everything: for texts that are to be trusted like code.
    file : str
        What errors call the text.

    Raises
    ------
    DslError
        With all that is wrong, by line and column: unknown tasks, cycles, ...

    Examples
    --------
    >>> flow = Flow(
    ...     "flow Sum:\n    numbers -> [low, high] -> span",
    ...     registry={
    ...         "numbers": lambda n: list(range(n)),
    ...         "low": min,
    ...         "high": max,
    ...         "span": lambda low, high: high - low,
    ...     },
    ... )
    >>> flow.run(10)["span"]
    9
    """

    def __init__(
        self,
        definition: str | FlowSpec,
        *,
        registry: Registry | None = None,
        flow: str | None = None,
        allow_code: bool = False,
        allow_import: bool | Iterable[str] = False,
        file: str = "<flow>",
    ) -> None:
        found = _check_registry(registry)
        if not isinstance(allow_import, bool):
            if isinstance(allow_import, str):
                allow_import = (allow_import,)
            allow_import = tuple(allow_import)
        allowed = Allowed(allow_code, allow_import)
        if isinstance(definition, FlowSpec):
            self._plan = _plan_of_spec(definition, found, allowed)
            self.spec = definition
        else:
            self.spec, self._plan = _plan_of_text(
                check_text(definition), flow, found, allowed, file
            )

    @property
    def name(self) -> str:
        """The name of the flow."""
        return self.spec.name

    def run(
        self,
        input_data: Any = None,
        *,
        executor: Any = None,
        max_workers: int | None = None,
        on_error: OnError = "raise",
        timeout: Time | None = None,
        progress: Progress = None,
        history: str | os.PathLike[str] | None = None,
    ) -> FlowResult:
        """Run the flow and wait for it.

        Parameters
        ----------
        input_data : optional
            The flow's input; see the guide for how parameters get it.
        executor : optional
            None or ``"threads"`` for the native pool, a `fastflow.Executor`, any other
            ``concurrent.futures.Executor``, or ``"serial"``: one task after another in
            this thread, for a debugger.  Tasks with an ``executor=`` of their own run
            there, except with ``"serial"``.
        max_workers : int, optional
            Tasks at a time, >= 1.
        on_error : {"raise", "continue", "return"}
            After a failure, start nothing more and raise; or run first all that does
            not depend on it; or do so and return the result in any case.
        timeout : time, optional
            Seconds, a text such as ``"5m"``, or a timedelta: for the whole run.
        progress : bool or callable, optional
            True shows a bar on a terminal; a callable gets (done, total) now and then.
        history : path, optional
            Directory that gets a JSON record of the run. Default:
            ``FASTFLOW_HISTORY_DIR``, else there is none.

        Returns
        -------
        FlowResult
            A mapping of task names to results.

        Raises
        ------
        TaskError
            If a task failed: its exception is the ``__cause__``, what did finish is in
            ``.result``. If several did: a `TaskErrorGroup`.
        ParameterError
            If it can't be told what a task is to be called with.
        TaskTimeout
            If the run's time was over; ``.result`` has what did finish.
        """
        return self._run(
            input_data,
            False,
            executor,
            max_workers,
            on_error,
            timeout,
            progress,
            history,
        )

    def _run(
        self,
        input_data: Any,
        sequential: bool,
        executor: Any,
        max_workers: int | None,
        on_error: OnError,
        timeout: Time | None,
        progress: Progress,
        history: str | os.PathLike[str] | None,
    ) -> FlowResult:
        after_failure = check_on_error(on_error)
        options = _options(max_workers, after_failure, timeout, progress)
        engine = choose_engine(self._plan, executor, options, sequential=sequential)
        directory = history_dir(history)
        started = time.time()
        try:
            run = Run(self._plan, input_data, options)
        except ParameterError as error:
            if after_failure != "return":
                raise
            run = Run(self._plan, input_data, options, bind=False)
            run.fail(self._plan.index[error.task], error)
            engine = _nothing
        events = options.events
        if events is not None:
            events.run_started(run.id, RunAbout("flow", self.name))
        result = None
        try:
            if recorders.RECORDERS:
                result = self._recorded(run, engine, started)
            else:
                engine(run)
                result = result_of(run, started)
        except BaseException as error:
            if events is not None:
                events.run_ended(run.id, error)
            raise
        finally:
            if directory is not None:  # Ctrl-C, too, leaves a record
                told = result or result_of(run, started, failed=True)
                write_record(directory, told, run.id)
        raises = after_failure != "return"
        failure = None
        if raises or events is not None:
            failure = self._failure(run, options, result)
        if events is not None:
            events.run_ended(run.id, failure)
        if raises and failure is not None:
            raise failure
        return result

    def _recorded(self, run: Run, engine: Engine, started: float) -> FlowResult:
        recorded.begin(run)
        result: FlowResult | None = None
        error: BaseException | None = None
        try:
            engine(run)
            result = result_of(run, started)
            error = next(iter(result.errors), None)
        except BaseException as raised:
            error = raised
            raise
        finally:
            recorded.end(run, result, error, self)
            del error
        return result

    def _failure(
        self, run: Run, options: RunOptions, result: FlowResult
    ) -> BaseException | None:
        if run.timed_out:
            return timeout_of(self.name, options.timeout or 0.0, result)
        if result.errors:
            return error_of(self.name, result.errors, result)
        return None

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}: {len(self._plan.names):,} tasks>"


def _nothing(_: Run) -> None:
    """Run nothing: it has failed before."""


def _check_registry(registry: Any) -> Registry:
    if registry is None:
        return default_registry
    if not isinstance(registry, Mapping):
        raise TypeError(
            "registry must be a TaskRegistry or a mapping of names to callables, not "
            f"{type(registry).__name__}"
        )
    return registry


def _options(
    max_workers: Any, on_error: str, timeout: Time | None, progress: Progress
) -> RunOptions:
    most = check_limit("max_workers", max_workers)
    seconds = limit_of("timeout", timeout)
    return RunOptions(on_error != "raise", most, seconds, progress, LISTENING.get())


def _plan_of_text(
    text: str, name: str | None, registry: Registry, allowed: Allowed, file: str
) -> tuple[FlowSpec, FlowPlan]:
    problems = Problems(Source(text, file))
    flows = read(problems)
    if problems and name is None and len(flows) != 1:
        problems.raise_if_any()
    try:
        chosen = choose(tuple(flow.spec for flow in flows), name)
    except FlowError:
        problems.raise_if_any()
        raise
    found = next(flow for flow in flows if flow.spec is chosen)
    plan = _compile(found, registry, allowed, problems)
    problems.raise_if_any()
    return chosen, plan


def check_flows(
    text: str,
    *,
    registry: Registry | None = None,
    file: str = "<flow>",
    allow_import: bool | Iterable[str] = False,
) -> tuple[FlowSpec, ...]:
    """Return the flows of a text after looking for all that could be wrong.

    With a registry (else only the text itself is judged) tasks are looked up as for a
    run. What `allow_import` does not allow is not looked at.

    Raises
    ------
    DslError
        With all that is wrong, in all flows.
    """
    problems = Problems(Source(check_text(text), file))
    flows = read(problems)
    if registry is not None:
        for flow in flows:
            allowed = Allowed(True, allow_import, unseen=True)
            _compile(flow, registry, allowed, problems)
    problems.raise_if_any()
    return tuple(flow.spec for flow in flows)


def _compile(
    flow: ReadFlow, registry: Registry, allowed: Allowed, problems: Problems
) -> FlowPlan:
    def report(name: str, message: str) -> None:
        problems.add_at(name, flow.lines[flow.spec.numbers[name]], message)

    return compile_plan(
        flow.spec, flow.structure, registry, allowed, report, problems.source.file
    )


def _plan_of_spec(spec: FlowSpec, registry: Registry, allowed: Allowed) -> FlowPlan:
    names, sources, targets = spec.columns
    found: list[str] = []

    def report(name: str, message: str) -> None:
        found.append(f"{name}: {message}")

    structure = sort_tasks(len(names), sources, targets)
    plan = compile_plan(spec, structure, registry, allowed, report)
    if found:
        # The text that the flow was read from is gone: point into the canonical one.
        _plan_of_text(
            spec.to_dsl(), spec.name, registry, allowed, f"<flow {spec.name}>"
        )
    return plan


def run_parallel_flow_from_dsl(
    dsl: str | FlowSpec,
    input_data: Any = None,
    *,
    executor: Any = None,
    max_workers: int | None = None,
    registry: Registry | None = None,
    on_error: OnError = "raise",
    timeout: Time | None = None,
    progress: Progress = None,
    flow: str | None = None,
    history: str | os.PathLike[str] | None = None,
    allow_code: bool = False,
    allow_import: bool | Iterable[str] = False,
) -> FlowResult:
    r"""Run the flow of a text; tasks run side by side as their inputs become ready.

    Parameters, result and errors are those of `Flow` and of ``Flow.run``.

    Examples
    --------
    >>> text = "flow F:\n    one -> [double, square]"
    >>> tasks = {"one": lambda: 3, "double": lambda n: 2 * n, "square": lambda n: n * n}
    >>> dict(run_parallel_flow_from_dsl(text, registry=tasks))
    {'one': 3, 'double': 6, 'square': 9}
    """
    compiled = Flow(
        dsl,
        registry=registry,
        flow=flow,
        allow_code=allow_code,
        allow_import=allow_import,
    )
    return compiled._run(
        input_data, False, executor, max_workers, on_error, timeout, progress, history
    )


def run_flow_from_dsl(
    dsl: str | FlowSpec,
    input_data: Any = None,
    *,
    executor: Any = None,
    registry: Registry | None = None,
    on_error: OnError = "raise",
    timeout: Time | None = None,
    progress: Progress = None,
    flow: str | None = None,
    history: str | os.PathLike[str] | None = None,
    allow_code: bool = False,
    allow_import: bool | Iterable[str] = False,
) -> FlowResult:
    """Run the flow of a text, one task after another.

    Without an executor the tasks run in the calling thread. All else is as for
    `run_parallel_flow_from_dsl`.
    """
    compiled = Flow(
        dsl,
        registry=registry,
        flow=flow,
        allow_code=allow_code,
        allow_import=allow_import,
    )
    return compiled._run(
        input_data, True, executor, None, on_error, timeout, progress, history
    )
