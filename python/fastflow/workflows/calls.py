"""One call of a user's function: attempts, delays, time limit, cancelling.

A limit is the time of an attempt: it begins when the function is called, not while that
waits for a thread.

A `Call` waits for nothing: delays and limits are timers, coroutines run on the event
loop, and other functions on the run's executor.  It reports once, by calling
``done(error, value)``, unless it is cancelled first; then it reports nothing.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextvars
import inspect
import threading
from collections.abc import Callable
from types import CoroutineType, FunctionType
from typing import Any

from fastflow import _core
from fastflow.blas import limited
from fastflow.dispatch import Dispatch, after_limit, given_up
from fastflow.errors import TaskTimeout
from fastflow.portable import raising_portable
from fastflow.timers import Clock, Timer
from fastflow.workflows.context import Context, Token
from fastflow.workflows.options import CallOptions
from fastflow.workflows.places import Home, Places
from fastflow.workflows.turns import Turns

__all__ = ["Call", "Done", "is_async"]

Done = Callable[[BaseException | None, Any], object]

_PLAIN = CallOptions()


def is_async(fn: object) -> bool:
    """Whether calling fn returns at once, with a coroutine."""
    if type(fn) is FunctionType and not fn.__dict__:  # asked for each item of a fan
        return bool(fn.__code__.co_flags & inspect.CO_COROUTINE)
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004  (an object with an async __call__)
    )


class Call:
    """A call of ``fn(ctx, *args)``.

    Parameters
    ----------
    name : str
        For messages.
    places : Places
        Where it is executed.
    clock : Clock
        For delays and limits.
    ctx : Context
        Its token is set when the result isn't wanted any more.
    context : contextvars.Context
        Copied for each attempt.
    home : Home, optional
        Make the calls here in place of the executor.
    """

    __slots__ = (
        "_args", "_clock", "_context", "_ctx", "_done", "_fn", "_given_up", "_home",
        "_lock",
        "_name", "_options", "_over", "_places", "_ticket", "_timer", "_token",
        "_under_way", "attempts",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        fn: Callable[..., Any],
        ctx: Context,
        args: tuple[Any, ...],
        done: Done,
        *,
        places: Places,
        clock: Clock,
        context: contextvars.Context,
        options: CallOptions = _PLAIN,
        home: Home | None = None,
    ) -> None:
        self._name = name
        self._fn = fn
        self._ctx = ctx
        self._token = ctx._token
        self._args = args
        self._done = done
        self._places = places
        self._clock = clock
        self._context = context
        self._options = options
        self._home = home
        self._lock = threading.Lock()
        self._over = False
        self._ticket = 0  # number of the attempt whose outcome counts; 0: none
        self._given_up = 0  # the last attempt that nobody waits for any more
        self._under_way: Dispatch | cf.Future[Any] | None = None
        self._timer: Timer | None = None
        self.attempts = 0

    def start(self) -> None:
        """Begin; ``done`` may be called before this returns."""
        if self._options.delay:
            self._set_timer(self._options.delay, self._attempt)
        else:
            self._attempt()

    def cancel(self) -> None:
        """Ask the function to stop; nothing is reported from now on."""
        self._token.set()
        with self._lock:
            self._over = True
            self._ticket = 0
            self._given_up = self.attempts
        self._done = _nobody
        self._stop(self._drop())

    def _set_timer(self, seconds: float, fn: Callable[..., object], *args: Any) -> None:
        timer = self._clock.call_later(seconds, fn, *args)
        with self._lock:
            self._timer = timer
            over = self._over
        if over:
            timer.cancel()

    def _drop(self) -> Dispatch | cf.Future[Any] | None:
        """Forget the timer and what is being executed; return the latter."""
        with self._lock:
            timer, self._timer = self._timer, None
            under_way, self._under_way = self._under_way, None
        if timer is not None:
            timer.cancel()
        return under_way

    def _stop(self, under_way: Dispatch | cf.Future[Any] | None) -> None:
        """Wait no longer for what is being executed."""
        if isinstance(under_way, Dispatch):
            under_way.give_up()
        elif under_way is not None and not under_way.cancel():
            turns = self._places.turns
            if turns is not None and not under_way.done():
                turns.hangs(under_way)

    def _attempt(self) -> None:
        with self._lock:
            if self._over:
                return
            self.attempts += 1
            ticket = self._ticket = self.attempts
            self._timer = None
        if self._options.timeout is not None:
            # A token for each attempt: one whose time is up must stop, the next not.
            self._ctx = self._ctx.branch(Token(self._token))
        try:
            self._launch(ticket)
        except BaseException as error:  # the executor refused
            self._failed(ticket, error)

    def _launch(self, ticket: int) -> None:
        if is_async(self._fn):
            self._call(ticket)
        elif self._home is not None:
            self._hold(ticket, self._home.post(self._call, ticket), False)
        elif self._places.threads:
            self._hold(
                ticket,
                self._places.submit(
                    lambda: self._call(ticket), lambda d: self._left(ticket, d)
                ),
                False,
            )
        elif (turns := self._places.turns) is None:
            self._limit(ticket)
            self._send(ticket)
        elif self._options.timeout is None:
            turns.enter()
            self._send(ticket, turns)
        else:
            turns.wait(
                lambda: self._send_in_turn(ticket, turns),
                lambda: self._limit_waiting(ticket),
            )

    def _send_in_turn(self, ticket: int, turns: Turns) -> None:
        if self._ticket != ticket:
            turns.leave()  # its time is over, or nobody wants it any more
            return
        self._limit(ticket)
        try:
            self._send(ticket, turns)
        except BaseException as error:  # the executor refused
            self._failed(ticket, error)

    def _limit_waiting(self, ticket: int) -> None:
        with self._lock:
            if self._ticket != ticket or self._timer is not None:
                return
        self._limit(ticket)

    def _send(self, ticket: int, turns: Turns | None = None) -> None:
        """Send the call to another process."""
        try:
            future = self._places.send(
                lambda future: self._arrived(ticket, future),
                _call_elsewhere, self._fn, self._ctx, self._args,
                self._places.threads_each,
            )  # fmt: skip
        except BaseException:
            if turns is not None:
                turns.leave()
            raise
        if turns is not None:
            turns.sent(future)
        self._hold(ticket, future, False)

    def _limit(self, ticket: int) -> None:
        """Let the time of an attempt begin, anew if it has."""
        if self._options.timeout is not None:
            with self._lock:
                timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
            self._set_timer(self._options.timeout, self._expired, ticket)

    def _hold(
        self, ticket: int, under_way: Dispatch | cf.Future[Any] | None, replace: bool
    ) -> None:
        """Keep it for ``cancel``; the future of a coroutine replaces its call's."""
        with self._lock:
            if self._ticket == ticket:
                if replace or self._under_way is None:
                    self._under_way = under_way
                return
            unwanted = ticket <= self._given_up
        # Its outcome is known already, or it was given up before this could keep it.
        if unwanted or not isinstance(under_way, Dispatch):
            self._stop(under_way)

    def _left(self, ticket: int, dispatch: Dispatch) -> None:
        """Be told that the call will not be made, or what else went wrong."""
        self._failed(ticket, dispatch.exception() or given_up())

    def _call(self, ticket: int) -> None:
        if self._ticket != ticket:
            return
        self._limit(ticket)
        try:
            context = _core.task_context(self._context)
            value = context.run(self._fn, self._ctx, *self._args)
            if type(value) is CoroutineType:
                context.run(self._await, ticket, value)
                return
        except BaseException as error:
            self._failed(ticket, error)
        else:
            self._succeeded(ticket, value)

    def _await(self, ticket: int, coroutine: Any) -> None:
        self._hold(
            ticket,
            self._places.run_coroutine(
                lambda future: self._arrived(ticket, future), coroutine
            ),
            True,
        )

    def _arrived(self, ticket: int, future: cf.Future[Any]) -> None:
        if self._ticket != ticket:
            return
        try:
            value = future.result()
        except BaseException as error:
            self._failed(ticket, error)
        else:
            self._succeeded(ticket, value)

    def _take(self, ticket: int, over: bool, given_up: bool = False) -> bool:
        """Whether the outcome of this attempt is the one that counts."""
        with self._lock:
            if self._over or self._ticket != ticket:
                return False
            self._ticket = 0
            self._over = over
            if given_up:
                self._given_up = ticket
            return True

    def _succeeded(self, ticket: int, value: Any) -> None:
        if self._take(ticket, over=True):
            self._drop()
            self._tell(None, value)

    def _failed(
        self, ticket: int, error: BaseException, *, stop: Token | None = None
    ) -> None:
        """End an attempt; `stop` tells it so, as its time is over and it may go on."""
        policy = self._options.retry
        again = policy is not None and policy.wants(error, self.attempts)
        if not self._take(ticket, over=not again, given_up=stop is not None):
            return
        under_way = self._drop()
        if stop is not None:
            stop.set()  # not before: what the function returns then is no result
            self._stop(under_way)
        if again:
            assert policy is not None
            self._set_timer(policy.delay(self.attempts), self._attempt)
        else:
            self._tell(error, None)

    def _tell(self, error: BaseException | None, value: Any) -> None:
        # The callback may refer to this call; finished runs are freed at once.
        done, self._done = self._done, _nobody
        done(error, value)

    def _expired(self, ticket: int) -> None:
        with self._lock:
            if self._ticket != ticket:
                return
            token = self._ctx._token  # of this attempt
        error = TaskTimeout(
            f"{self._name} did not finish within {self._options.timeout:g} s; "
            "a function on a thread runs on, its result is dropped"
        )
        with after_limit():
            self._failed(ticket, error, stop=token)


def _nobody(_: BaseException | None, __: Any) -> None:
    pass


def _call_elsewhere(
    fn: Callable[..., Any], ctx: Context, args: tuple[Any, ...], threads: int | None
) -> Any:
    with raising_portable(), limited(threads):
        value = fn(ctx, *args)
        if type(value) is CoroutineType:
            import asyncio

            return asyncio.run(value)
        return value
