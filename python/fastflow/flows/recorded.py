"""Runs of flows, told to those who record.

The tasks' times are in the run's own columns anyway, so nothing is told of each: they
are told at the end, all at once, but for those that were jobs and told of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastflow.base import recorders
from fastflow.base.recorders import Noted
from fastflow.engines.base import Run
from fastflow.flows.calls import Call, Calls
from fastflow.run.events import JobKey
from fastflow.run.job_spans import JobSpans, Lane, lane_of
from fastflow.run.results import CANCELLED, COMPLETED, FAILED, FlowResult

__all__ = ["begin", "begin_calls", "end", "end_calls"]

_STATES = {COMPLETED: 0, FAILED: 1, CANCELLED: 3}
_RUNNING, _CACHED = 5, 4


def begin(run: Run) -> None:
    """Tell that a run begins."""
    number = recorders.begin_run(run.plan.name, "flow")
    run.spans = JobSpans(number, run.first_attempt, _item)


def end(
    run: Run, result: FlowResult | None, error: BaseException | None, drawn: object
) -> None:
    """Tell what its tasks did, and that it is over."""
    spans = run.spans
    assert spans is not None
    told = spans.told
    recorders.tell(list(_spans(run, spans.run, lambda number: str(number) in told)))
    recorders.end_run(spans.run, error, drawn)
    if result is not None:
        result.recording = recorders.newest()


def begin_calls(calls: Calls) -> None:
    """Tell that a run of a flow function begins."""
    places: dict[str, int] = {}

    def item(key: JobKey) -> int:
        made = calls.made
        while key.id not in places and len(places) < len(made):
            places[made[len(places)].handle.name] = len(places)
        return places.get(key.id, -1)

    def first(key: JobKey) -> tuple[int, Lane] | None:
        place = item(key)
        call = None if place < 0 else calls.made[place]
        if call is None or not call.began:
            return None
        return round(call.began * 1e9), lane_of(call.worker)

    calls.spans = JobSpans(recorders.begin_run(calls.name, "flow"), first, item)


def end_calls(calls: Calls, error: BaseException | None) -> None:
    """Tell what its tasks did, and that it is over."""
    assert calls.spans is not None
    told, number = calls.spans.told, calls.spans.run
    recorders.tell(
        [
            _call(calls, call, place, number)
            for place, call in enumerate(calls.made)
            if call.began and call.handle.name not in told
        ]
    )
    recorders.end_run(number, error)


def _call(calls: Calls, call: Call, place: int, number: int) -> Noted:
    failed = calls.errors.get(call.handle)
    cause = None if failed is None else failed.__cause__ or failed
    return Noted(
        call.task.name,
        round(call.began * 1e9),
        round(call.ended * 1e9) if call.ended else recorders.now(),
        lane_of(call.worker),
        place,
        number,
        max(call.attempts, 1),
        0,
        (0 if call.ended else _RUNNING) if failed is None else 1,
        0 if cause is None else recorders.failure_of(cause),
    )


def _item(key: JobKey) -> int:
    """Return the node, or of those that run item by item the item."""
    return int(key.id.rpartition(".")[2])


def _spans(run: Run, number: int, told: Callable[[int], bool]) -> Iterator[Noted]:
    track = run.track
    starts, ends, workers, names = track.starts, track.ends, track.workers, track.names
    for task, start in enumerate(starts):
        if not start or told(task) or run.plan.nodes[task].each >= 0:
            continue
        ended = ends[task]
        state = _STATES.get(track.states[task], _RUNNING)
        failure = 0
        if task in track.errors:
            failure = recorders.failure_of(track.errors[task][0])
        worker = workers[task]
        if worker == "cache":
            state, worker = _CACHED, None
        yield Noted(
            names[task],
            round(start * 1e9),
            round(ended * 1e9) if ended else recorders.now(),
            lane_of(worker),
            task,
            number,
            track.attempts.get(task, 1) or 1,
            0,
            state,
            failure,
        )
