"""The verbs with which a workflow is written down."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from fastflow.base.durations import Time, limit_of, seconds_of
from fastflow.base.options import OnError as OnErrorWord
from fastflow.base.options import check_choice, check_count, checked
from fastflow.errors import FlowError
from fastflow.run.retry import Retries
from fastflow.workflows.branches import EnterLoop, LoopBody, Subflow, TestIf, TestLoop
from fastflow.workflows.checks import (
    check_function,
    check_functions,
    check_items,
    check_name,
    check_template,
    fan_options,
    option,
    retry_policy,
    step_cache,
    verb,
)
from fastflow.workflows.fans import ForEach, Parallel, Race
from fastflow.workflows.options import CallOptions, FanOptions
from fastflow.workflows.program import Assembler, Instruction, Jump, Program
from fastflow.workflows.steps import Action, GuardedStep, Log, OnError, Step
from fastflow.workflows.waits import Ask, Sleep, WaitForEvent

__all__ = ["Verbs"]

Function = Callable[..., Any]
Build = Callable[["Verbs"], object]
_LEVELS = ("debug", "info", "warning", "error", "critical")


class Verbs:
    """Steps in the order in which they run; every verb returns the object itself.

    Functions take ``ctx`` and may be async.  Mistakes raise `FlowError` at once.
    """

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler

    @verb
    def step(
        self,
        name: str,
        fn: Function,
        *,
        retries: Retries = 0,
        retry_delay: Time = 1.0,
        backoff: float = 2.0,
        max_delay: Time = 60.0,
        jitter: float | str = 0.1,
        retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
        timeout: Time | None = None,
        cache: Function | None = None,
        cache_ttl: Time | None = None,
        cache_size: int = 1024,
        delay: Time | None = None,
    ) -> Self:
        """Call a function; what it returns is the step's output and ``ctx.last``.

        Parameters
        ----------
        name : str
            Unique in the workflow.
        fn : callable
            Takes ctx.
        retries : int, RetryPolicy or callable
            Further attempts after a failure; the following options belong to a number.
            A callable is a strategy: ``(error, attempt)`` -> `RetryDecision`.
        retry_delay, backoff, max_delay, jitter, retry_on
            See `RetryPolicy`.
        timeout : time, optional
            Time for each attempt; then it fails with `TaskTimeout`.
        cache : callable, optional
            ``cache(ctx)`` returns a hashable key, and may be async; the outputs of runs
            that completed this step are used again for the same key.
        cache_ttl : time, optional
            How long.
        cache_size : int
            How many; the least recently used are dropped.
        delay : time, optional
            Wait before the first attempt.
        """
        what = f"step {name!r}"
        retry = retry_policy(
            what, retries, retry_delay=retry_delay, backoff=backoff,
            max_delay=max_delay, jitter=jitter, retry_on=retry_on,
        )  # fmt: skip
        seconds = option(limit_of, f"timeout of {what}", timeout)
        kept = step_cache(what, cache, cache_ttl, cache_size)
        before = option(limit_of, f"delay of {what}", delay) or 0.0
        check_function(f"fn of {what}", fn)
        options = CallOptions(retry, seconds, before, kept)
        name = self._name(name)
        if options == CallOptions():
            self._emit(Step(name, fn))
        else:
            self._emit(GuardedStep(name, fn, options))
        return self

    @verb
    def parallel(
        self,
        functions: Sequence[Function],
        name: str | None = None,
        *,
        max_concurrency: int | None = None,
        timeout: Time | None = None,
        on_error: OnErrorWord = "fail_fast",
    ) -> Self:
        """Call functions side by side; ``ctx.last`` becomes the list of their values.

        Parameters
        ----------
        functions : sequence of callables
            Each takes ctx; its `last` is that of before for all of them.
        name : str, optional
            Default: ``parallel-1``, ``parallel-2``, ...
        max_concurrency : int, optional
            Calls at a time.
        timeout : time, optional
            For all of them together.
        on_error : {"raise", "continue", "return"}
            The first failure cancels the others and fails the step ("fail_fast" is
            another word for it); or all go on to their ends, and then it fails; or
            ("settle") exceptions take the places of their values.
        """
        name = self._name(name, "parallel")
        options = fan_options(name, max_concurrency, timeout, on_error)
        branches = check_functions(name, functions)
        self._emit(Parallel(name, branches, options))
        return self

    @verb
    def race(
        self,
        functions: Sequence[Function],
        name: str | None = None,
        *,
        win: str = "success",
        timeout: Time | None = None,
    ) -> Self:
        """Call functions side by side; the value of the first becomes ``ctx.last``.

        The others are cancelled: coroutines by their event loop; functions on threads
        see it in ``ctx.cancelled``.

        Parameters
        ----------
        functions : sequence of callables
            At least one; each takes ctx.
        name : str, optional
            Default: ``race-1``, ``race-2``, ...
        win : {"success", "settled"}
            The first that succeeds (the step fails if none does, with an ExceptionGroup
            of all failures); or the first that ends, even if it fails.
        timeout : time, optional
            For a winner to be found.
        """
        name = self._name(name, "race")
        settled = (
            checked(FlowError, check_choice, "win", win, ("success", "settled"))
            == "settled"
        )
        branches = check_functions(name, functions)
        if not branches:
            raise FlowError(f"race {name!r} needs at least one function")
        options = FanOptions(timeout=option(limit_of, f"timeout of {name!r}", timeout))
        self._emit(Race(name, branches, options, settled))
        return self

    @verb
    def if_(self, name: str, predicate: Function) -> Self:
        """Begin steps that run if ``predicate(ctx)`` is true; end them by `end_if`.

        ``ctx.last`` stays what it was, also if nothing of it runs.
        """
        check_function(f"predicate of if_ {name!r}", predicate)
        name = self._assembler.claim(self._name(name))
        self._assembler.open_if(TestIf(name, predicate))
        return self

    @verb
    def elif_(self, name: str, predicate: Function) -> Self:
        """Begin steps that run if those before did not, and the predicate is true."""
        self._assembler.inner_if("elif_")
        check_function(f"predicate of elif_ {name!r}", predicate)
        test = TestIf(self._name(name), predicate)
        self._assembler.next_branch("elif_", test)
        self._assembler.claim(name)
        return self

    @verb
    def else_(self) -> Self:
        """Begin steps that run if none of those before did."""
        self._assembler.next_branch("else_", None)
        return self

    @verb
    def end_if(self) -> Self:
        """End the innermost `if_`."""
        self._assembler.close_if()
        return self

    @verb
    def for_each(
        self,
        name: str,
        items: Function | Iterable[Any],
        fn: Function | None = None,
        *,
        build: Build | None = None,
        max_concurrency: int | None = None,
        timeout: Time | None = None,
        on_error: OnErrorWord = "fail_fast",
    ) -> Self:
        """Do something for each of some items; ``ctx.last`` becomes the list of values.

        Parameters
        ----------
        name : str
            Unique in the workflow.
        items : callable or iterable
            ``items(ctx)`` returns them.  They are drawn one after another as the limit
            allows, on one thread (in ``run()`` that of plain steps); a generator is
            closed in the end.
        fn : callable, optional
            Called as ``fn(ctx, item)``.
        build : callable, optional
            In place of fn: gets an object with all these verbs and puts down a sub-flow
            that is run for each item.  Its functions find the item in ``ctx.item``; its
            steps have names of their own, the ones outside can be read.
        max_concurrency : int, optional
            Items at a time.
        timeout : time, optional
            For all of them together.
        on_error : {"raise", "continue", "return"}
            As for `parallel`.
        """
        name = self._name(name)
        options = fan_options(name, max_concurrency, timeout, on_error)
        body: Function | Program
        if build is None:
            body = check_function(f"fn of for_each {name!r}", fn)
        elif fn is not None:
            raise FlowError(f"for_each {name!r} takes fn or build=, not both")
        else:
            inner = Assembler()
            check_function(f"build of for_each {name!r}", build)(Verbs(inner))
            body = inner.program()
        check_items(name, items)
        self._emit(ForEach(name, items, body, None, options))
        return self

    @verb
    def batch(
        self,
        name: str,
        items: Function | Iterable[Any],
        size: int = 100,
        fn: Function | None = None,
        *,
        max_concurrency: int | None = None,
        timeout: Time | None = None,
        on_error: OnErrorWord = "fail_fast",
    ) -> Self:
        """Call ``fn(ctx, chunk)`` with lists of `size` items; the last may be shorter.

        ``ctx.last`` becomes the list of values, one per chunk; the other parameters are
        those of `for_each`.
        """
        name = self._name(name)
        options = fan_options(name, max_concurrency, timeout, on_error)
        check_function(f"fn of batch {name!r}", fn)
        assert fn is not None
        option(check_count, f"size of batch {name!r}", size)
        check_items(name, items)
        self._emit(ForEach(name, items, fn, size, options))
        return self

    @verb
    def while_(
        self,
        name: str,
        predicate: Function,
        fn: Function | None = None,
        *,
        build: Build | None = None,
        max_iterations: int = 10_000,
    ) -> Self:
        """Repeat while ``predicate(ctx)`` is true.

        Parameters
        ----------
        name : str
            Unique in the workflow.
        predicate : callable
            Called before each iteration.
        fn : callable, optional
            ``fn(ctx)``; its value is ``ctx.last`` for the next iteration.
        build : callable, optional
            In place of fn: puts down the steps of the body.  They are steps of this
            workflow; their records are those of the last iteration.
        max_iterations : int
            If the predicate is still true after so many, the step fails.
        """
        name = self._name(name)
        check_function(f"predicate of while_ {name!r}", predicate)
        most = option(check_count, f"max_iterations of while_ {name!r}", max_iterations)
        if (fn is None) == (build is None):
            raise FlowError(f"while_ {name!r} takes either fn or build=")
        check_function(f"body of while_ {name!r}", fn or build)
        with self._assembler.undone_on_error():
            self._loop(name, TestLoop(name, predicate, most), fn, build)
        return self

    @verb
    def sleep(self, time: Time | Function, *, name: str | None = None) -> Self:
        """Wait, without occupying a thread; ``ctx.last`` stays.

        `time` may be a function of ctx.  The default name is ``sleep-1``, ...
        """
        name = self._name(name, "sleep")
        seconds = (
            time if callable(time) else option(seconds_of, f"time of {name!r}", time)
        )
        self._emit(Sleep(name, seconds))
        return self

    @verb
    def action(self, name: str, fn: Function) -> Self:
        """Call a function in the background; ``ctx.last`` stays.

        The run goes on at once and does not wait for it at its end, either; a failure
        is logged and kept in the step's record.  ``wf.close()`` and the end of the
        program wait for it.
        """
        check_function(f"fn of action {name!r}", fn)
        self._emit(Action(self._name(name), fn))
        return self

    @verb
    def log(self, text: str | Function, *, level: str = "info") -> Self:
        """Write to the logger "fastflow".

        Parameters
        ----------
        text : str or callable
            May have fields as in ``"{last} of {payload[customer]}"``: payload, last,
            steps, run, item, index and state.  A function gets ctx.
        level : str
            debug, info, warning, error or critical.
        """
        checked(FlowError, check_choice, "level", level, _LEVELS)
        if isinstance(text, str):
            check_template(text)
        else:
            check_function("text of log", text)
        number = logging.getLevelNamesMapping()[level.upper()]
        self._emit(Log(text, number))
        return self

    @verb
    def subflow(
        self, name: str, workflow: Verbs, payload: Function | None = None
    ) -> Self:
        """Run another workflow as a step; its last value is the output.

        `payload` is a function of ctx; by default the other run gets ``ctx.last``.  If
        the other run is cancelled, this one is, too.
        """
        if not hasattr(workflow, "shared"):
            raise FlowError(
                f"subflow {name!r} needs a workflow, not {type(workflow).__name__}"
            )
        if payload is not None:
            check_function(f"payload of subflow {name!r}", payload)
        self._emit(Subflow(self._name(name), workflow, payload))
        return self

    @verb
    def wait_for_event(
        self,
        event: str,
        *,
        timeout: Time | None = None,
        name: str | None = None,
    ) -> Self:
        """Wait until ``run.emit(event, payload)``; the payload becomes ``ctx.last``.

        One that came before is not lost: it's taken then.  The step is called like the
        event unless it has a `name`.  After `timeout` it fails with `TaskTimeout`.
        """
        check_name(event)
        seconds = option(limit_of, f"timeout of wait_for_event {event!r}", timeout)
        step = self._name(event if name is None else name)
        self._emit(WaitForEvent(step, event, seconds))
        return self

    @verb
    def human_in_the_loop(
        self,
        name: str,
        on_pause: Function | None = None,
        *,
        timeout: Time | None = None,
    ) -> Self:
        """Pause until somebody answers; the answer becomes ``ctx.last``.

        Parameters
        ----------
        name : str
            Unique in the workflow.
        on_pause : callable, optional
            Called as ``on_pause(ctx, token)``, to tell the human.  The answer is given
            by ``run.resume(token, answer)`` or ``wf.resume(token, answer)``.  Open
            tokens are in ``run.pauses``, too.
        timeout : time, optional
            Then it fails with `TaskTimeout`.
        """
        if on_pause is not None:
            check_function(f"on_pause of {name!r}", on_pause)
        seconds = option(limit_of, f"timeout of human_in_the_loop {name!r}", timeout)
        self._emit(Ask(self._name(name), on_pause, seconds))
        return self

    @verb
    def on_error(self, handler: Function, *, name: str | None = None) -> Self:
        """Handle exceptions of the steps before, back to the on_error before.

        It covers the block that it stands in: the workflow, a branch of an `if_`, a
        sub-flow.  What ``handler(ctx)`` returns becomes ``ctx.last`` and the run goes
        on after it; what it raises goes to the next on_error, or fails the run.
        ``ctx.error`` is the exception, ``ctx.failed_step`` the name of the step.
        """
        check_function("the handler of on_error", handler)
        name = self._assembler.claim(self._name(name, "on_error"))
        self._assembler.emit_handler(OnError(name, handler))
        return self

    def _loop(
        self, name: str, test: TestLoop, fn: Function | None, build: Build | None
    ) -> None:
        assembler, enter = self._assembler, EnterLoop(name)
        self._emit(enter)
        head = assembler.emit(test)
        if fn is not None:
            assembler.emit(LoopBody(name, fn, head))
        elif build is not None:
            assembler.open_body(name)
            build(Verbs(assembler))
            assembler.close_body(name)
            assembler.emit(Jump(head))
        enter.retarget(assembler.here)
        test.retarget(assembler.here)
        assembler.note_loop(name, head)

    def _name(self, name: str | None, kind: str | None = None) -> str:
        """Return the name of a new step; it is taken when the step is emitted."""
        if name is None and kind is not None:
            return self._assembler.unused_name(kind)
        return self._assembler.check_unused(check_name(name))

    def _emit(self, instruction: Instruction) -> None:
        if instruction.name is not None:
            self._assembler.claim(instruction.name)
        self._assembler.emit(instruction)
