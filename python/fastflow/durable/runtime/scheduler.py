"""Which replay runs next, and on how many threads.

A *replay* is a function of the user that can be run again from its top: a branch, or a
handler that was started in the background.  Replays that are ready wait here, newest
first, so that what was begun is finished before more is begun.  A *source* stands for
many replays that need not exist yet: a batch, which makes its next branch when it is
asked.

The crew are tasks on the executor that take replays until there are none.  It begins
with one member; how many it should have is looked at every few milliseconds
(`worker_count`).  A
member that hangs in a replay which was given up is none any more: it leaves as soon as
it can, and others are called in its place.  One that waits for another execution in the
midst of a replay is none for as long as that takes (`blocking`), so that others can see
to what it waits for.  And a replay that goes on because a time limit is over has a
member of its own, so it waits for nobody.

*Activity* is what may lead to more without anybody's doing: members of the crew, calls
that run elsewhere, the thread of a handler that isn't blocked.  When there is none,
only timers and messages can change anything: what is queued for the journal is written,
and a virtual clock may go on.
"""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from fastflow.backends.choose import workers_of
from fastflow.base.timers import system_clock
from fastflow.durable.runtime.worker_count import WorkerCount
from fastflow.pool.dispatch import Dispatch, Dispatcher, is_after_limit

__all__ = ["Ready", "Scheduler", "blocking"]

_LOGGER = logging.getLogger("fastflow")

_LOOK = 0.002  # seconds until the first look at how the crew gets on
_LONGEST_LOOK = 0.008
_FULL = 256  # records that may wait for the next commit


class Ready(Protocol):
    """Something that has replays to run: a replay itself, or a source of them."""

    queued: bool
    """Whether the scheduler has it.  The scheduler's alone."""

    def next_replay(self) -> Callable[[], object] | None:
        """Return what is to be run, None if there is nothing more now."""

    @property
    def single(self) -> bool:
        """Whether there is one replay only."""


class _Member:
    """A task on the executor that takes replays."""

    __slots__ = ("blocks", "dispatch", "first", "gone", "running")

    def __init__(self, first: Callable[[], object] | None = None) -> None:
        self.first = first
        """A replay that is his."""
        self.running: Callable[[], object] | None = None
        self.gone = False
        """Whether he isn't counted any more, as he hangs."""
        self.blocks = False
        """Whether he isn't counted now, as he waits for others."""
        self.dispatch: Dispatch | None = None


class _Here(threading.local):
    scheduler: Scheduler | None = None
    """Of which this thread is a member."""


_here = _Here()


@contextlib.contextmanager
def blocking() -> Iterator[None]:
    """Say that this thread waits for an execution, perhaps in the midst of a replay.

    Whoever it waits for may need a place in the crew.
    """
    scheduler = _here.scheduler
    member = None if scheduler is None else scheduler.lend()
    try:
        yield
    finally:
        if scheduler is not None and member is not None:
            scheduler.take_back(member)


class Scheduler:
    """Runs replays on the threads of an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor
        Of threads.
    flush : callable
        Writes what is queued for the journal.
    waiting : callable
        How many records are queued.
    on_idle : callable
        Called without locks when there is no activity.
    """

    def __init__(
        self,
        executor: cf.Executor,
        flush: Callable[[], object],
        waiting: Callable[[], int],
        on_idle: Callable[[], object],
    ) -> None:
        self._calls = Dispatcher(executor)
        self._members: dict[int, _Member] = {}  # by thread
        self._limit = workers_of(executor) or 1
        self._flush = flush
        self._waiting = waiting
        self._on_idle = on_idle
        self._lock = threading.Lock()
        self._ready: list[Ready] = []
        self._crew = 0
        self._active = 0
        self._looking = False
        self._look = _LOOK
        self._ran = 0  # replays, about
        self._seen = 0  # of these, at the last look
        self._looked = time.monotonic()
        self._size = WorkerCount()
        self._surplus = 0  # members that should leave

    # Activity

    def enter(self) -> None:
        """Count one more activity."""
        with self._lock:
            self._active += 1

    def leave(self) -> None:
        """Count one activity less; that is done even if what follows raises."""
        with self._lock:
            self._active -= 1
            idle = self._active <= 0
        if idle:
            self._on_idle()

    @property
    def idle(self) -> bool:
        """Whether there is no activity.

        Of several that pause, one may count for all: then there is less than none.
        """
        return self._active <= 0

    # Replays

    def push(self, item: Ready) -> None:
        """Have an item's replays run; it may be pushed already."""
        with self._lock:
            member = self._add(item)
        self._start(member)

    def _add(self, item: Ready) -> _Member | None:
        """Queue an item; return a member that the caller has to start."""
        if self._crew and item.single and not item.queued and is_after_limit():
            # All may be busy for as long as they like.
            return self._enlist(item.next_replay())
        if not item.queued:
            item.queued = True
            self._ready.append(item)
        if self._crew:
            self._keep_looking()
            return None
        return self._begin_crew()

    def _begin_crew(self) -> _Member:
        self._size.begin()
        self._seen, self._looked = self._ran, time.monotonic()
        self._look = _LOOK
        return self._enlist()

    def _enlist(self, first: Callable[[], object] | None = None) -> _Member:
        self._crew += 1
        self._active += 1
        return _Member(first)

    def park(self, replay: Any) -> None:
        """Let a replay rest until it is woken, unless it was already meanwhile."""
        member = None
        with self._lock:
            if replay.woken:
                member = self._add(replay)
            else:
                replay.parked = True
        self._start(member)

    def wake(self, replay: Any) -> None:
        """Have a parked replay run again; one that runs will when it wants to rest."""
        member = None
        with self._lock:
            if replay.parked:
                replay.parked = False
                member = self._add(replay)
            else:
                replay.woken = True
        self._start(member)

    def withdraw(self, replay: Any) -> bool:
        """Have a replay run no more, as its end is decided; whether it was queued."""
        with self._lock:
            was_queued: bool = replay.queued
            replay.queued = False  # its place in the queue will be passed over
        return was_queued

    def give_up(self, replay: Any) -> None:
        """Count on a replay no longer, which nobody waits for and which may hang."""
        with self._lock:
            member = self._members.get(replay.thread)
            if member is None or member.gone or member.running != replay.run:
                return  # it doesn't run, or not on our threads
            member.gone = True
            if not member.blocks:
                self._crew -= 1
            self._active -= 1
            idle = self._active == 0
            new = None
            if self._ready and not self._crew:
                new = self._begin_crew()
                idle = False
        if member.dispatch is not None:
            member.dispatch.give_up()
        self._start(new)
        if idle:
            self._on_idle()

    def lend(self) -> _Member | None:
        """Let another one be called in the place of this thread, if it is a member."""
        with self._lock:
            member = self._members.get(threading.get_ident())
            if member is None or member.gone or member.blocks:
                return None
            member.blocks = True
            self._crew -= 1
            new = None
            if self._ready:
                if self._crew:
                    self._keep_looking()
                else:
                    new = self._begin_crew()
        self._start(new)
        return member

    def take_back(self, member: _Member) -> None:
        """Count a member again."""
        with self._lock:
            member.blocks = False
            if member.gone:
                return
            self._crew += 1
            if self._crew > self._limit:
                self._surplus = 1

    def hold(self, change: Callable[[], Any]) -> Any:
        """Call a short function while no source is asked for replays."""
        with self._lock:
            return change()

    # The crew

    def _start(self, member: _Member | None) -> None:
        if member is None:
            return
        dispatch = member.dispatch = Dispatch(
            lambda: self._serve(member), lambda dispatch: self._left(member, dispatch)
        )
        try:
            self._calls.send(dispatch)
        except Exception:  # shut down, or out of threads or memory
            self._refused(member)
        except BaseException:
            with self._lock:  # nobody comes
                self._crew -= 1
                self._active -= 1
            raise

    def _left(self, member: _Member, dispatch: Dispatch) -> None:
        """Be told that a member has left, or that the executor has dropped him."""
        if not dispatch.made:
            self._refused(member)
        elif (error := dispatch.exception()) is not None:
            _LOGGER.error("a thread that runs replays has failed", exc_info=error)

    def _refused(self, member: _Member) -> None:
        # Shut down: those who wait for these replays must not wait for ever, but nobody
        # else's thread will see them through as surely as the crew.
        member.dispatch = None
        if member.first is not None or not self._dispensable():
            self._serve(member)

    def _dispensable(self) -> bool:
        """Give up one place in the crew, unless nobody would be left."""
        with self._lock:
            if self._crew == 1:
                return False
            self._crew -= 1
            self._active -= 1
            return True

    def _next(self, member: _Member) -> Callable[[], object] | None:
        with self._lock:
            member.running = None
            if member.gone:
                return None
            if member.first is not None:
                member.running, member.first = member.first, None
                return member.running
            leaves = self._surplus and self._crew > 1
            self._surplus = 0
            while self._ready and not leaves:
                item = self._ready[-1]
                if item.single:
                    self._ready.pop()
                    if not item.queued:  # withdrawn
                        continue
                    item.queued = False
                replay = item.next_replay()
                if replay is not None:
                    if self._ready and not self._looking:
                        self._keep_looking()
                    member.running = replay
                    return replay
                if item.queued:
                    self._ready.pop()
                    item.queued = False
            self._crew -= 1
            return None

    def _serve(self, member: _Member) -> None:
        thread = threading.get_ident()
        before = self._members.get(thread)  # if it serves in the middle of a replay
        outer = _here.scheduler
        self._members[thread] = member
        _here.scheduler = self
        try:
            self._take_replays(member)
        except BaseException:  # no memory for a replay
            with self._lock:
                if not member.gone:
                    self._crew -= 1
            raise
        finally:
            _here.scheduler = outer
            if before is None:
                self._members.pop(thread, None)
            else:
                self._members[thread] = before
            if self._waiting():
                self._flush_for_others()
            if not member.gone:
                self.leave()

    def _take_replays(self, member: _Member) -> None:
        while (replay := self._next(member)) is not None:
            try:
                replay()
            except BaseException:
                # A replay tells its end to whom it concerns.  Whatever comes out of it
                # beside that must cost neither a member nor the replays that wait.
                _LOGGER.exception("a thread that runs replays has met an error")
            self._ran += 1
            if self._waiting() >= _FULL:
                self._flush_for_others()

    def _flush_for_others(self) -> None:
        """Write what is queued; of a failure those know whom it concerns."""
        with contextlib.suppress(BaseException):
            self._flush()

    def _keep_looking(self) -> None:
        if self._looking:
            return
        try:
            system_clock.call_later(self._look, self._look_at_crew)
        except RuntimeError:  # no thread for timers: the crew stays as it is
            return
        self._looking = True  # under the lock, which the look needs, too

    def _look_at_crew(self) -> None:
        now = time.monotonic()
        with self._lock:
            self._looking = False
            replays, self._seen = self._ran - self._seen, self._ran
            seconds, self._looked = max(now - self._looked, 1e-4), now
            if not self._ready or not self._crew:
                return
            self._look = min(2 * self._look, _LONGEST_LOOK)
            more = self._size.change(replays, seconds, self._crew, self._limit)
            if more < 0:
                self._surplus = 1
            more = max(min(more, self._limit - self._crew, self._replays_ready()), 0)
            members = [self._enlist() for _ in range(more)]
            self._keep_looking()
        for member in members:
            self._start(member)

    def _replays_ready(self) -> int:
        """Return how many replays are waiting; many, if there is a source of them."""
        if all(item.single for item in self._ready):
            return len(self._ready)
        return self._limit
