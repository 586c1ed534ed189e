"""What workers say besides plain values, given to those whom it concerns."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

from fastflow.base.log_ids import NOBODY, extra
from fastflow.errors import TransferError, shown
from fastflow.processes import messages
from fastflow.processes.messages import read_note
from fastflow.processes.remote_traceback import with_traceback

__all__ = ["tell"]


def tell(
    target: Any,
    message: bytes,
    worker: Any,
    broken: Callable[[str, BaseException | None], object],
) -> None:
    """End a call, or pass on what a worker says.

    No signal handler disturbs the thread.

    Parameters
    ----------
    target
        The call, or the worker.
    message : bytes
    worker : Worker
        Whose message it is.
    broken : callable
        Is told, with the exception, why there is nobody to make calls.
    """
    kind = message[0]
    if kind == messages.PICKLE:
        try:
            value = pickle.loads(message)
        except BaseException as error:
            target.set_exception(_unreadable(error))
        else:
            target.set_result(value)
    elif kind == messages.LOG:
        _log(target, message)
    elif kind == messages.STARTED:
        target.begun()
    elif kind == messages.SHARED:
        _end_shared(target, message, worker)
    elif kind == messages.FAILED:
        _end_failed(target, message)
    else:
        why, text = _failure(message)[:2]
        broken("a worker could not be initialized", with_traceback(why, text))


def _log(call: Any, message: bytes) -> None:
    """Hand a record of a worker to the loggers, with the ids of the call it makes."""
    (state,) = read_note(message)
    about = getattr(call, "about", None)
    ids = NOBODY if about is None else about.ids()
    for name, value in extra(*ids).items():
        if state.get(name) is None:
            state[name] = value
    record = logging.makeLogRecord(state)
    logging.getLogger(record.name).handle(record)


def _end_shared(call: Any, message: bytes, worker: Any) -> None:
    try:
        data, buffers = worker.mapped.opened_once(read_note(message))
        value = pickle.loads(data, buffers=buffers)
    except BaseException as error:
        call.set_exception(_unreadable(error))
    else:
        if type(value) is messages.LongNote:
            _end_failed(call, value.message)
        else:
            call.set_result(value)


def _end_failed(call: Any, message: bytes) -> None:
    error, text, *before = _failure(message)
    with_traceback(error, text)
    if before:  # of a chunk: the values of the items before the one that failed
        values, *when = pickle.loads(before[0])
        call.set_partial(values, error, *when)
    else:
        call.set_exception(error)


def _failure(message: bytes) -> Any:
    try:
        return read_note(message)
    except BaseException as error:
        return _unreadable(error), ""


def _unreadable(error: BaseException) -> Exception:
    told = TransferError(f"the value of a call can't be read here: {shown(error)}")
    told.__cause__ = error
    return told
