"""One vocabulary of parameters: a name means the same, and takes the same, everywhere.

The public interface is looked at for parameters with these names; each must be in the
tables of `vocabulary`, which say how to call what has it, or among the exceptions, with
the reason.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import threading

import pytest

import fastflow
from contract.vocabulary import (
    BAD,
    BY_POSITION,
    CALLED,
    COUNT_CALLS,
    EXECUTOR_CALLS,
    GOOD,
    NOT_COUNTS,
    NOT_TIMES,
    ON_ERROR_CALLS,
    PROGRESS_CALLS,
    TIME_CALLS,
    WAITS,
    strategy,
)
from fastflow import durable

MODULES = (
    "fastflow",
    "fastflow.workflows",
    "fastflow.durable",
    "fastflow.testing",
)

TIMES = re.compile(
    r"timeout|(.*_)?delay|interval|increment|(.*_)?ttl|period|patience|time|duration"
    r"|seconds|lease|heartbeat_timeout|idle_timeout|recover_every"
)
COUNTS = re.compile(
    r"max_(workers|concurrency|pending|iterations|attempts)|concurrency|retries"
    r"|chunksize|buffersize|chunks|size|cache_size|min_successful"
    r"|tolerated_failure_count|max_items_per_batch"
)
OPTIONS = {"executor", "progress", "on_error", "max_workers", "max_concurrency"}


def public():
    """Names and objects of the public interface, with the methods of classes."""
    seen = set()
    for name in MODULES:
        module = importlib.import_module(name)
        for entry in module.__all__:
            found = getattr(module, entry)
            if id(found) in seen:
                continue
            seen.add(id(found))
            yield f"{name}.{entry}", found
            if inspect.isclass(found) and not issubclass(found, BaseException | str):
                for method, value in inspect.getmembers(found, callable):
                    if not method.startswith("_"):
                        yield f"{name}.{entry}.{method}", value


def parameters():
    """Map "function.parameter" -> its kind, without duplicates by inheritance."""
    found = {}
    for name, thing in public():
        if not callable(thing) or (
            inspect.isclass(thing) and issubclass(thing, BaseException)
        ):
            continue
        try:
            signature = inspect.signature(thing)
        except ValueError:  # native
            continue
        for parameter in signature.parameters.values():
            found[f"{name}.{parameter.name}"] = parameter
    # What the decorator takes is in the signature of what it returns at first.
    from fastflow.run.task import make_task

    for parameter in inspect.signature(make_task).parameters.values():
        found[f"fastflow.task.{parameter.name}"] = parameter
    return found


def named(pattern):
    return {
        name: parameter
        for name, parameter in parameters().items()
        if pattern.fullmatch(parameter.name)
    }


def test_every_time_is_in_the_table():
    assert sorted(named(TIMES)) == sorted(TIME_CALLS | NOT_TIMES)


@pytest.mark.parametrize("name", TIME_CALLS)
def test_a_time_is_a_number_a_text_a_timedelta_or_a_duration(name):
    parameter = name.rpartition(".")[2]
    for value in GOOD:
        TIME_CALLS[name](**{parameter: value})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        (name, bad)
        for name in TIME_CALLS
        for bad in BAD
        if not (bad == "negative" and name in WAITS)
    ],
)
def test_what_is_no_time_is_refused_in_the_same_words(name, bad):
    parameter = name.rpartition(".")[2]
    with pytest.raises((TypeError, ValueError)) as raised:
        TIME_CALLS[name](**{parameter: BAD[bad]})
    text = str(raised.value)
    assert CALLED.get(name, parameter) in text
    assert "duration" in text
    assert 'write for example "500ms", "30s"' in text


@pytest.mark.parametrize("name", sorted(WAITS))
def test_a_wait_takes_a_time_that_is_up(name):
    for value in (-1, 0, 0.0, -0.5):
        with contextlib.suppress(TimeoutError):
            TIME_CALLS[name](timeout=value)


ZERO_IS_ONE = ("retries", "tolerated_failure_count")


def test_every_count_is_in_the_table():
    assert sorted(named(COUNTS)) == sorted(COUNT_CALLS | NOT_COUNTS)


@pytest.mark.parametrize("name", COUNT_CALLS)
def test_a_count_is_an_int_and_none_no_limit(name):
    numpy = pytest.importorskip("numpy")
    call, optional = COUNT_CALLS[name]
    parameter = name.rpartition(".")[2]
    call(**{parameter: 2})
    call(**{parameter: numpy.int64(2)})
    if optional:
        call(**{parameter: None})
    for value in (True, 1.5, "2"):
        with pytest.raises(
            (TypeError, ValueError), match=f"{parameter}.* must be an int, not "
        ):
            call(**{parameter: value})
    rule = "must be greater than 0, not -1"
    if parameter in ZERO_IS_ONE:
        rule = "must not be negative: -1"
        call(**{parameter: 0})
    with pytest.raises(ValueError, match=f"{parameter}.* {rule}"):
        call(**{parameter: -1})


def test_every_on_error_is_in_the_table():
    assert sorted(named(re.compile("on_error"))) == sorted(ON_ERROR_CALLS)


@pytest.mark.parametrize("name", ON_ERROR_CALLS)
def test_on_error_takes_the_same_words_and_they_mean_the_same(name):
    run = ON_ERROR_CALLS[name]

    def outcome(word):
        ran = threading.Event()
        try:
            run(lambda *_: ran.set(), on_error=word)
        except fastflow.TaskError:
            return True, ran.is_set()
        return False, ran.is_set()

    assert outcome("raise")[0]
    assert outcome("stop")[0]
    assert outcome("fail_fast")[0]
    assert outcome("continue") == (True, True)
    assert outcome("return") == (False, True)
    assert outcome("settle") == (False, True)
    for wrong in ("ignore", "", None, True, ["raise"]):
        with pytest.raises(
            ValueError,
            match=r"on_error.* must be one of raise, continue, return; not ",
        ):
            run(print, on_error=wrong)


def test_every_executor_is_in_the_table():
    assert sorted(named(re.compile("executor"))) == sorted(EXECUTOR_CALLS)


@pytest.mark.parametrize("name", EXECUTOR_CALLS)
def test_an_executor_is_none_or_one_of_ours_or_the_reason_is_told(name):
    call = EXECUTOR_CALLS[name]
    call(executor=None)
    call(executor=fastflow.default_executor(2))
    call(executor="threads")
    with pytest.raises(TypeError, match=r"^executor must be .* not int"):
        call(executor=5)
    with pytest.raises(ValueError, match=r"^executor must be .* not 'nobody'"):
        call(executor="nobody")


def test_every_progress_is_in_the_table():
    assert sorted(named(re.compile("progress"))) == sorted(PROGRESS_CALLS)


@pytest.mark.parametrize("name", PROGRESS_CALLS)
def test_progress_is_a_bool_or_is_told_of_done_and_total(name):
    call = PROGRESS_CALLS[name]
    for value in (None, False, True):
        call(progress=value)
    told = []
    call(progress=lambda done, total: told.append((done, total)))
    assert told
    assert told[-1][0] >= 0
    assert all(total is None or total >= done for done, total in told)


@pytest.mark.parametrize("name", ["fastflow.Workflow.step", "fastflow.task"])
def test_retries_are_a_number_a_policy_or_a_strategy(name):
    call = COUNT_CALLS[f"{name}.retries"][0]
    config = durable.RetryStrategyConfig()
    for value in (0, 3, fastflow.RetryPolicy(3), strategy, config):
        call(retries=value)
    for value in (fastflow.RetryPolicy(3), strategy, config, None):
        durable.StepConfig(retry_strategy=value)


def test_options_are_given_by_name():
    by_position = {
        name
        for name, parameter in parameters().items()
        if parameter.name in OPTIONS and parameter.kind is not parameter.KEYWORD_ONLY
    }
    assert by_position == set(BY_POSITION)
