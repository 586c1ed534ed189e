"""What can go wrong in parallel tasks, and what becomes of it.

    python examples/error_handling.py

An archive of five readings is decoded: one is damaged, one comes from a source that
answers at the third attempt only, one from a source that never answers, one is so slow
that nobody waits for it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import threading

import fastflow

FLOW_DSL = """
flow Readings:
    open_archive -> [good, damaged, flaky, silent, slow]
    good -> average
    damaged -> repair
    [average, flaky, silent, slow] -> summary
    task flaky:
        retries: 3
        retry_delay: 1ms
    task silent:
        retries: 1
        retry_delay: 1ms
        fallback: {"value": 0.0, "estimated": true}
    task slow:
        timeout: 50ms
        fallback: last_known
"""

tasks = fastflow.TaskRegistry()
released = threading.Event()
answers = iter([OSError("busy"), OSError("busy"), {"value": 21.5}])


@tasks.task
def open_archive() -> dict[str, str]:
    """Return the raw records."""
    return {
        "good": '{"values": [20.5, 21.0, 21.5]}',
        "damaged": '{"values": [20.5, 21.',
    }


@tasks.task
def good(good: str) -> list[float]:
    """Decode a record: its key in the archive has the parameter's name."""
    values: list[float] = json.loads(good)["values"]
    return values


@tasks.task
def damaged(damaged: str) -> list[float]:
    """Decode a record that is cut off."""
    values: list[float] = json.loads(damaged)["values"]
    return values


@tasks.task
def repair(values: list[float]) -> list[float]:
    """Never run: what it waits for fails."""
    return values


@tasks.task(retry_on=OSError)
def flaky(_: dict[str, str]) -> dict[str, float]:
    """Ask a source that is busy at first."""
    answer = next(answers)
    if isinstance(answer, Exception):
        raise answer
    return answer


@tasks.task
def silent(_: dict[str, str]) -> dict[str, float]:
    """Ask a source that is not there."""
    raise ConnectionError("no answer")


@tasks.task
def slow(_: dict[str, str]) -> dict[str, float]:
    """Wait for a source that takes too long."""
    released.wait()
    return {"value": -1.0}


@tasks.task
def last_known(error: Exception, _: dict[str, object]) -> dict[str, object]:
    """Take the place of a failed reading."""
    return {"value": 19.0, "because": type(error).__name__}


@tasks.task(validate_input=len, validate_output=lambda value: value < 60)
def average(values: list[float]) -> float:
    """Return the mean of some values, if there are any."""
    return sum(values) / len(values)


@tasks.task
def summary(average: float, flaky: dict, silent: dict, slow: dict) -> list[float]:
    """Collect what there is."""
    return [average, flaky["value"], silent["value"], slow["value"]]


def tell() -> None:
    """Run to the end in spite of failures, and tell what became of each task."""
    try:
        fastflow.run_parallel_flow_from_dsl(
            FLOW_DSL, registry=tasks, on_error="continue"
        )
    except fastflow.TaskError as error:
        result = error.result
        print(f"{error.task}: {type(error.__cause__).__name__}")
    finally:
        released.set()  # the slow thread was given up, not stopped
    for name, record in result.tasks.items():
        print(f"  {name:<13} {record.status:<9} attempts: {record.attempts}")
    print(f"summary: {result['summary']}")
    print(f"in place of the slow one: {result['slow']['because']}")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    recording = fastflow.record() if options.report else None
    with recording or contextlib.nullcontext():
        tell()
    if recording:
        recording.report(options.report)


if __name__ == "__main__":
    main()
