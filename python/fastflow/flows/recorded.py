"""Runs of flows, told to those who record.

The tasks' times are in the run's own columns anyway, so nothing is told of each: they
are told at the end, all at once, but for those that were jobs and told of themselves.
"""

from __future__ import annotations

from fastflow.base import recorders
from fastflow.base.recorders import Noted
from fastflow.engines.base import Run
from fastflow.flows.calls import Call, Calls
from fastflow.run.events import JobKey
from fastflow.run.job_spans import JobSpans, Lane, lane_of
from fastflow.run.results import FlowResult

__all__ = ["begin", "begin_calls", "end", "end_calls"]

_RUNNING = 5


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
    track, nodes, told = run.track, run.plan.nodes, spans.told
    recorders.tell_columns(
        recorders.Columns(
            spans.run,
            track.names,
            track.starts,
            track.ends,
            track.workers,
            bytes(track.states),
            track.attempts,
            {
                number: recorders.failure_of(errors[0])
                for number, errors in track.errors.items()
                if errors and str(number) not in told
            },
            lambda number: nodes[number].each >= 0 or str(number) in told,
            recorders.now(),
        )
    )
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
