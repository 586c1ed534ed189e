"""Keeps this process's executions its own, and brings messages to them."""

from __future__ import annotations

import logging
import threading
import time

from fastflow.base.log_ids import extra
from fastflow.durable.exceptions import JournalError
from fastflow.durable.runtime.execution_state import Execution
from fastflow.journal.journal import Journal, Message

__all__ = ["LeaseKeeper"]

_LOGGER = logging.getLogger("fastflow.durable")
_POLL = 0.25  # seconds between looks for messages


class LeaseKeeper:
    """Renews a lease and polls for messages, on a thread that begins when needed.

    Parameters
    ----------
    lease : float
        Seconds after which others may take over what this process does not renew.
    poll : bool
        Whether others can have the journal open, too.
    """

    def __init__(self, journal: Journal, lease: float, *, poll: bool) -> None:
        self._journal = journal
        self._lease = lease
        self._poll = poll
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._executions: dict[int, Execution] = {}
        self._last = 0  # message that was brought
        self._renewed = time.monotonic()
        self.owner = journal.enter(lease)

    def ready(self) -> int:
        """Return the owner's id, after seeing to it that its lease holds."""
        if self._poll and time.monotonic() - self._renewed > self._lease / 2:
            self._renew()
        return self.owner

    def _renew(self) -> None:
        now = time.monotonic()
        if not self._journal.renew(self.owner):
            # Another process took this one for dead, and what it had with it.
            self.owner = self._journal.enter(self._lease)
        self._renewed = now

    def add(self, execution: Execution) -> None:
        """Bring messages to an execution from now on, and those that have come.

        Raises
        ------
        RuntimeError
            If there can't be a thread that renews the lease; the execution isn't
            known here then.
        """
        with self._lock:
            if self._poll and self._thread is None:
                thread = threading.Thread(
                    target=self._serve, name="fastflow-lease", daemon=True
                )
                thread.start()
                self._thread = thread
            self._executions[execution.number] = execution
        if execution.stream.fence > 1:  # else nobody can have known of it
            try:
                messages = self._journal.messages(execution.number, 0)
            except BaseException:
                self.remove(execution)
                raise
            for message in messages:
                self._deliver(execution, message)

    def remove(self, execution: Execution) -> None:
        """Forget an execution."""
        with self._lock:
            self._executions.pop(execution.number, None)

    def bring(self) -> None:
        """Look for messages and deliver them."""
        with self._lock:
            if not self._executions:
                return
            messages = self._journal.messages(None, self._last)
            targets = [(self._executions.get(m.execution), m) for m in messages]
            if messages:
                self._last = messages[-1].number
        told = None
        for execution, message in targets:
            if execution is not None:
                self._deliver(execution, message)
                told = execution
        if told is not None:
            told.runtime.flush()  # what has come of a callback, though nobody reads it

    def find(self, number: int) -> Execution | None:
        """Return the execution of that number, if it is one of this process."""
        with self._lock:
            return self._executions.get(number)

    @staticmethod
    def _deliver(execution: Execution, message: Message) -> None:
        try:
            execution.deliver(message)
        except Exception:
            # Of one message, which concerns one execution.
            _LOGGER.warning(
                "message %d for execution %r could not be delivered",
                message.number, execution.name, exc_info=True,
                extra=extra(execution.name),
            )  # fmt: skip

    def executions(self) -> list[Execution]:
        """Return the executions of this process."""
        with self._lock:
            return list(self._executions.values())

    def _serve(self) -> None:
        while not self._stop.wait(min(_POLL, self._lease / 4)):
            try:
                if time.monotonic() - self._renewed > self._lease / 4:
                    self._renew()
                self.bring()
            except JournalError as error:
                # Writers meet it, too, and tell whom it concerns.
                _LOGGER.warning("can't renew the lease: %s", error)
            except Exception:
                # Without this thread, others would take what runs here.
                _LOGGER.exception("can't look after the lease")
            except BaseException:
                # Out of a write for others, who find it in their streams.
                _LOGGER.debug("a write has failed", exc_info=True)

    def stop(self) -> None:
        """End the thread, and give up what this process owns."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        try:
            self._journal.leave(self.owner)
        except JournalError:
            _LOGGER.debug("the lease could not be given up", exc_info=True)
