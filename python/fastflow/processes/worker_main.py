"""What a worker does: take calls, make them, answer, one after another.

It takes a call only when it is about to make it, so those behind a slow one can be
taken back. An answer is sent as soon as it is there, for the same reason.

A second thread, the guard, gives back the rest of a chunk that takes too long. A third,
which needs no interpreter, ends the process when the program is gone, whatever the call
does meanwhile.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from fastflow import _core, errors
from fastflow.pool.blas import limited
from fastflow.processes import place, sigint
from fastflow.processes.buffers import (
    LargeBufferError,
    Mapped,
    Packed,
    Shares,
    refusal_from,
)
from fastflow.processes.guard import Guard
from fastflow.processes.messages import (
    CALL,
    CHUNK,
    DEFINE,
    FAILED,
    FORGET,
    LOG,
    READY,
    REFUSED,
    RETIRES,
    SHARED,
    STARTED,
    STOP,
    LongNote,
    note,
    times,
)
from fastflow.processes.packing import dumps
from fastflow.processes.transport import MOST, Endpoint

__all__ = ["Setup", "run"]

_REPORT = 0.005  # seconds of work, after which the program is told how long calls take


class Setup(NamedTuple):
    """What a worker is started with."""

    initializer: Callable[..., object] | bytes | None
    """Pickled if it has to be by value."""
    initargs: tuple[Any, ...]
    blas_threads: int | None
    memory_limit: int | None
    log_level: int
    share_arrays: int | None


def run(endpoint: Endpoint, setup: Setup) -> None:
    """Serve until told to stop; the target of the process."""
    place.enter_worker()
    try:
        channel = endpoint.attach()
        worker = _Worker(channel, setup)
        signal.signal(signal.SIGINT, worker.interrupted)
        sigint.unblock()
        end_with = getattr(_core, "end_with", None)
        if end_with is not None:
            end_with(endpoint.connection.fileno())
        with limited(setup.blas_threads):
            if worker.begin():
                worker.serve()
        worker.flush()
    except ConnectionError:  # the program is gone
        os._exit(1)


class _Worker:
    def __init__(self, channel: Any, setup: Setup) -> None:
        self._channel = channel
        self._setup = setup
        self._functions: dict[int, Callable[..., Any]] = {}
        self._sending = threading.Lock()  # the guard and loggers send, too
        self._running = False
        self._guard = Guard(self._send)
        self._retires = False
        self._shares = Shares(setup.share_arrays, MOST)
        self._refuse = refusal_from(setup.share_arrays)
        self._mapped = Mapped(lambda: channel.take_descriptor(30.0), readonly=True)
        # Since the last report: calls, seconds, and when to report.
        self._made = 0
        self._busy = 0.0
        self._report_at = 1
        self._began = 0.0
        self._in_chunk = False

    def interrupted(self, *_: Any) -> None:
        """Handle Ctrl-C: it ends the call that runs, and nothing else."""
        if self._running:
            self._running = False
            raise KeyboardInterrupt

    def begin(self) -> bool:
        """Initialize; return whether that worked."""
        setup = self._setup
        self._guard.start()
        try:
            initializer = setup.initializer
            if isinstance(initializer, bytes):
                initializer = pickle.loads(initializer)
            if initializer is not None:
                initializer(*setup.initargs)
        except BaseException as error:
            self._send(note(REFUSED, *_told(error)))
            return False
        if not logging.root.handlers:
            logging.root.addHandler(_Forward(self._send))
            logging.root.setLevel(setup.log_level)
        place.on_begun(lambda: self._send(note(STARTED)))
        self._send(note(READY, os.getpid()))
        return True

    def serve(self) -> None:
        """Make calls until told to stop."""
        receive, loads, pickled = self._channel.receive, pickle.loads, pickle.dumps
        functions, send, refuse = self._functions, self._send, self._refuse
        self._began = time.perf_counter()
        while True:
            message = receive()
            if message is None:
                if not self._sleep():
                    return
                continue
            try:
                self._running = True
                try:
                    call = loads(message)
                except BaseException as error:
                    raise _unreadable("the call", error) from error
                number = call[0]
                if number >= 0:
                    if len(call) == 2:
                        value = functions[number](*call[1])
                    else:
                        value = functions[number](*call[1], **call[2])
                    try:
                        answer = pickled(value, 5, buffer_callback=refuse)
                    except Exception:
                        answer = self._packed(value)
                    else:
                        if len(answer) > MOST:
                            answer = self._sent(self._shares.packed(answer, []))
                    del call, value
                else:
                    found = self._special(call)
                    del call
                    if found is None:
                        continue
                    if not found:
                        return
                    answer = found
                self._running = False
            except BaseException as error:
                self._running = False
                answer = self._failure(error)
                call = value = None
            send(answer)
            if self._in_chunk:  # that says itself how long it took
                self._in_chunk = False
                self._began = time.perf_counter()
                continue
            self._made += 1
            if self._made >= self._report_at:
                self._report()

    def flush(self) -> None:
        """Have all answers leave."""
        flush = getattr(self._channel, "flush", None)
        if flush is not None:
            flush()

    def _special(self, call: tuple[Any, ...]) -> bytes | None:
        """Do what isn't a call of a numbered function; b"": stop."""
        kind = call[0]
        if kind == DEFINE:
            self._define(call[1], call[2])
            return None
        if kind == FORGET:
            self._mapped.forget(call[1])
            return None
        if kind == STOP:
            return b""
        return self._packed(self._value(call))

    def _value(self, call: tuple[Any, ...]) -> Any:
        """Return the value of a call of any kind."""
        kind = call[0]
        if kind >= 0:
            kwargs = call[2] if len(call) > 2 else {}
            return self._functions[kind](*call[1], **kwargs)
        if kind == CALL:
            _, fn, args, kwargs = call
            return fn(*args, **kwargs)
        if kind == CHUNK:
            return self._chunk(call[1], call[2])
        try:
            data, buffers = self._mapped.opened(call)
            call = pickle.loads(data, buffers=buffers)
        except BaseException as error:
            raise _unreadable("the call", error) from error
        return self._value(call)

    def _packed(self, value: Any) -> bytes:
        """Return the answer that has a value of any kind."""
        if type(value) is _Part:
            done = value.values, value.began, value.ended, os.getpid()
            told = note(FAILED, *_told(value.error), dumps(done))
            return self._fitting(told)
        try:
            data = dumps(value, self._refuse)
        except LargeBufferError:
            return self._sent(self._shares.pack(dumps, value))
        return data if len(data) <= MOST else self._sent(self._shares.packed(data, []))

    def _failure(self, error: BaseException) -> bytes:
        """Return the answer of a call that has raised."""
        try:
            return self._fitting(note(FAILED, *_told(error)))
        except OSError as failed:  # no descriptor is left
            return note(FAILED, *_told(_unreadable("the exception", failed)))

    def _fitting(self, told: bytes) -> bytes:
        """Return a note as it can be sent, however long it is."""
        if len(told) <= MOST:
            return told
        return self._sent(self._shares.packed(dumps(LongNote(told)), []))

    def _sent(self, packed: Packed) -> bytes:
        """Send the descriptors of what an answer refers to; return the answer."""
        with self._sending:
            for share in packed.shares:
                self._channel.send_descriptor(share.segment.fd)
        self._shares.graveyard.clear()  # the program keeps none of them
        return bytes((SHARED,)) + packed.message

    def _define(self, number: int, pickled: bytes) -> None:
        try:
            self._functions[number] = pickle.loads(pickled)
        except BaseException as error:
            self._functions[number] = _Missing(error)

    def _chunk(self, fn: Any, columns: tuple[Any, ...]) -> Any:
        """Call for each item; return when that began and ended, and the values."""
        self._in_chunk = True
        function = self._functions[fn] if isinstance(fn, int) else fn
        began = time.perf_counter()
        values: list[Any] = []
        try:
            self._guard.make(function, columns, values)
        except BaseException as error:
            self._running = False
            return _Part(values, error, began, time.perf_counter())
        return began, time.perf_counter(), os.getpid(), values

    def _send(self, payload: bytes) -> None:
        with self._sending:
            while self._channel.send(payload) is None:
                self._wait_for_room()

    def _wait_for_room(self) -> None:
        flush = getattr(self._channel, "flush", None)
        if flush is not None:
            flush()
            return
        self._channel.wait_for_room()  # calls that are there must not end this wait

    def _sleep(self) -> bool:
        """Wait for a message; return whether one can come."""
        self._running = False
        now = time.perf_counter()
        self._busy += now - self._began
        limit = self._setup.memory_limit
        if limit is not None and not self._retires and _resident() > limit:
            self._retires = True
            self._send(note(RETIRES, _resident()))
        try:
            self._channel.wait(None)
        except EOFError:
            return False
        self._began = time.perf_counter()
        return True

    def _report(self) -> None:
        now = time.perf_counter()
        seconds = self._busy + now - self._began
        self._send(times(self._made, seconds))
        self._report_at = max(1, int(_REPORT * self._made / (seconds or 1e-6)))
        self._made, self._busy, self._began = 0, 0.0, now
        limit = self._setup.memory_limit
        if limit is not None and not self._retires and _resident() > limit:
            self._retires = True
            self._send(note(RETIRES, _resident()))


class _Part(NamedTuple):
    """What comes of a chunk when an item raises."""

    values: list[Any]
    error: BaseException
    began: float
    ended: float


class _Missing:
    """Stands for a function that this process can't import."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise _unreadable("the function", self._error) from self._error


def _unreadable(what: str, error: BaseException) -> Exception:
    return errors.TransferError(f"a worker can't read {what}: {errors.shown(error)}")


class _Forward(logging.Handler):
    """Sends records to the program, whose handlers are to have them."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send_note = send

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            state = dict(record.__dict__)
            state["msg"], state["args"] = record.getMessage(), None
            if record.exc_info:
                state["exc_text"] = logging.Formatter().formatException(record.exc_info)
                state["exc_info"] = None
            self._send_note(note(LOG, state))
        except Exception:
            self.handleError(record)


def _told(error: BaseException) -> tuple[BaseException, str]:
    """Return an exception as it can travel, and the text of its traceback."""
    text = "".join(traceback.format_exception(error))
    return errors.portable(error), text


def _resident() -> int:
    """Return the bytes of memory that this process has."""
    try:
        text = Path("/proc/self/statm").read_text("ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
