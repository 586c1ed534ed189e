"""What becomes of calls when a worker dies, and when an executor breaks.

What a dead worker had begun, one call, fails or is made again (`retry`). The others of
its window wait again. Workers that die before they are ready break the executor: after
so many there will be no others.

All of this is called in threads that no signal handler disturbs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import InvalidStateError
from typing import Any, Protocol

from fastflow.errors import BrokenProcessesError, WorkerDiedError
from fastflow.processes import place
from fastflow.processes.bell import Bell
from fastflow.processes.chunks import MapRun
from fastflow.processes.packing import Packer
from fastflow.processes.workers import Worker, ending_of

__all__ = ["break_", "bury"]

# Deaths in a row before a worker was ready, which break the pool: by itself, or by a
# signal, which may be somebody else's.
_EXITS = 3
_KILLS = 15

_UNGUARDED = (
    "a worker imports the script that is run, and this starts workers again; put what "
    "is to run once under: if __name__ == '__main__':"
)


class Desk(Protocol):
    """What is needed of `fastflow.processes.desk.Desk`."""

    packer: Packer
    bell: Bell
    early_deaths: int
    killed: bool
    refusal: Callable[[], Exception] | None

    @property
    def workers(self) -> list[Any]:
        """All that there are."""

    def take_all(self) -> list[Any]:
        """Take all calls away that have no answer."""

    def cancel_waiting(self) -> None:
        """Cancel all but what workers make, or are to make next."""

    def break_(self, why: str, error: BaseException | None) -> None:
        """Refuse all calls from now on, and those that have not ended."""


def bury(desk: Desk, worker: Worker, lost: list[tuple[Any, int]]) -> None:
    """End what a worker had begun that has ended.

    Parameters
    ----------
    desk : Desk
    worker : Worker
    lost : list of (call, int)
        The calls, and the numbers of their functions.
    """
    pid = worker.process.pid
    code, ending = ending_of(worker.process)
    worker.close()
    if not (worker.ready or worker.killed or worker.retiring):
        desk.early_deaths += _KILLS if code >= 0 else _EXITS
    for call, number in lost:
        what = desk.packer.name_of(number)
        text = f"the process {pid} that ran {what} {ending}"
        text += f"; it had made {worker.made} calls"
        with contextlib.suppress(InvalidStateError):
            call.set_exception(WorkerDiedError(text))
    if desk.killed:
        desk.cancel_waiting()
    if code == place.NO_GUARD:
        desk.break_(_UNGUARDED, None)
    elif desk.early_deaths >= _EXITS * _KILLS:
        desk.break_(f"workers end before they are ready: the last {ending}", None)
    desk.bell.ring()


def break_(desk: Desk, why: str, error: BaseException | None) -> None:
    """Refuse all calls from now on, and those that have not ended."""

    def broken() -> BrokenProcessesError:
        made = BrokenProcessesError(why)
        made.__cause__ = error
        return made

    desk.refusal = broken
    for worker in desk.workers:
        worker.kill()
    for call in desk.take_all():
        if type(call) is MapRun:
            call.fail(broken())
        else:
            with contextlib.suppress(InvalidStateError):  # it was cancelled
                call.set_exception(broken())
    desk.bell.ring()
