"""Exceptions that mean something to a protocol, raised by users' code in every entry
point: none ends a stream silently, none is lost, nothing hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest

import fastflow
from entry_points import FAN_OUT


class Stop(StopIteration):
    """A subclass is as dangerous as the thing itself."""


SPECIAL = [
    StopIteration,
    Stop,
    StopAsyncIteration,
    GeneratorExit,
    asyncio.CancelledError,
    concurrent.futures.CancelledError,
    concurrent.futures.TimeoutError,
    fastflow.Cancelled,
    KeyboardInterrupt,
    SystemExit,
]

#: Those that hand results out through an iterator's ``__next__``: StopIteration would
#: end it, so it becomes the cause of a RuntimeError, as in generators.
ITERATORS = {name for name in FAN_OUT if name.startswith(("imap", "Executor.map"))}

BAD = 3


def raising(kind):
    def fn(item):
        if item == BAD:
            raise kind("special")
        return item

    return fn


def causes(error):
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from causes(inner)
        error = error.__cause__


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", FAN_OUT)
def test_raised_by_an_item(name, kind):
    with pytest.raises(BaseException) as caught:
        FAN_OUT[name](raising(kind), range(8))
    error = caught.value
    if kind is fastflow.Cancelled:  # a task that gave up, as it was asked to
        expected = (fastflow.Cancelled, concurrent.futures.CancelledError)
        assert any(isinstance(each, expected) for each in causes(error)), error
        return
    assert any(type(each) is kind and each.args == ("special",)
               for each in causes(error)), error  # fmt: skip
    if name in ITERATORS and issubclass(kind, StopIteration):
        assert type(error) is RuntimeError
    elif kind in (KeyboardInterrupt, SystemExit):
        assert type(error) is kind


RETURNING = {
    "map": lambda fn, items: fastflow.map(fn, items, return_exceptions=True),
    "starmap": lambda fn, items: fastflow.starmap(
        fn, [(item,) for item in items], return_exceptions=True
    ),
    "imap": lambda fn, items: list(fastflow.imap(fn, items, return_exceptions=True)),
}


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL
                                  if issubclass(kind, Exception)])  # fmt: skip
@pytest.mark.parametrize("name", RETURNING)
def test_returned_in_its_place(name, kind):
    results = RETURNING[name](raising(kind), range(8))
    assert [type(result) for result in results] == [int] * BAD + [kind] + [int] * 4


class Source:
    """An iterator that raises in place of its fourth item."""

    def __init__(self, kind):
        self.kind, self.at = kind, -1

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        if self.at == BAD:
            raise self.kind("special")
        return self.at


def _executor_map(items, **options):
    with fastflow.Executor(2) as executor:
        yield from executor.map(abs, items, **options)


READERS = {
    "map": lambda items: iter(fastflow.map(abs, items)),
    "map of two": lambda items: iter(fastflow.map(max, items, [0] * 9)),
    "starmap": lambda items: iter(fastflow.starmap(max, zip(items, [0] * 9))),  # noqa: B905
    "for_each": lambda items: iter([fastflow.for_each(abs, items)]),
    "imap": lambda items: fastflow.imap(abs, items),
    "imap, progress": lambda items: fastflow.imap(abs, items, progress=lambda *_: None),
    "Executor.map": _executor_map,
    "Executor.map, buffersize": lambda items: _executor_map(items, buffersize=2),
}


@pytest.mark.parametrize("kind", [kind for kind in SPECIAL
                                  if not issubclass(kind, StopIteration)])  # fmt: skip
@pytest.mark.parametrize("name", READERS)
def test_raised_by_an_iterable(name, kind):
    """What was read before is handed out first, where results come one by one."""
    got = []
    with pytest.raises(kind, match="special"):
        for result in READERS[name](Source(kind)):
            got.append(result)
    lazy = name.startswith("imap") or "buffersize" in name
    assert got == (list(range(BAD)) if lazy else [])


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", ["map", "for_each", "imap"])
def test_raised_by_a_progress_function(name, kind, caplog):
    """Nothing is shown any more and the work goes on; what ends the program is raised
    by the call once the work is done."""
    ran = []

    def show(done, total):
        raise kind("special")

    def call():
        if name == "imap":
            return list(fastflow.imap(ran.append, range(8), progress=show))
        return getattr(fastflow, name)(ran.append, range(8), progress=show)

    if kind in (KeyboardInterrupt, SystemExit):
        with pytest.raises(kind):
            call()
    else:
        call()
        assert "progress is not shown any more" in caplog.text
    assert sorted(ran) == list(range(8))
