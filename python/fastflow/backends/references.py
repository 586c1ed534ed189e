"""Large results that stay on a cluster, and what stands for them in other calls.

A chunk of calls for a cluster comes back as a `Returned`.  If the value of a call is
larger than `LARGE`, packed, the chunk ends with that call and comes to a `Keeping`:
the `Returned`, in which a `Stays` takes the value's place, and the value.  The cluster
keeps that; what comes here is the first part and a reference to the whole, of which a
`Kept` is made.

Arguments in which a `Kept` is are packed with a number in its place, and leave with the
reference: the cluster sees to it that what it stands for is there before the call is
made, where that is unpacked.  So each call has a copy of its own, as it has of other
arguments, whatever the one before did to it.

What a worker kept may be lost with it.  A cluster that makes calls again then makes the
whole chunk again.  It may come to something else the second time: the value is small,
or an error, or the chunk has taken longer and has ended before.  `value_of` looks.
"""

from __future__ import annotations

import contextlib
import functools
import pickle
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, NamedTuple, Protocol

from fastflow.backends.travel import BYTES
from fastflow.run.kept import Keeper, Kept
from fastflow.run.remote import Outcome, Packing, Returned, opened, packed, run_chunk

__all__ = [
    "LARGE", "Keeping", "Parcel", "Stays", "lost", "parcel_of", "returned_of",
    "run_and_stay", "run_far", "value_of", "with_kept",
]  # fmt: skip

LARGE = BYTES
"""Bytes of a packed value from which it stays."""
_KEYS = 1_000  # of a dict; one that has more comes along


class Stays(NamedTuple):
    """Stands for a value in its outcome."""

    keys: frozenset[str] | None
    """Those of a dict: a task's parameters may be filled from them."""


class Keeping:
    """What a chunk came to, with the value of its last call, packed.

    Parameters
    ----------
    returned : Returned
    parts : list of buffer
        The pickle, and what it has out of band: those of the value itself, until they
        are `copied`.
    """

    __slots__ = ("parts", "returned")

    def __init__(self, returned: Returned, parts: list[Any]) -> None:
        self.returned = returned
        self.parts = parts

    def copied(self) -> Keeping:
        """Return one that whoever still has the value can't change."""
        data, *buffers = self.parts
        return Keeping(self.returned, [data, *[bytes(_flat(b)) for b in buffers]])

    def value(self) -> Any:
        """Return the value, a new one each time: it may be changed."""
        data, *buffers = map(_flat, self.parts)
        return pickle.loads(data, buffers=[bytearray(buffer) for buffer in buffers])

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # The value goes beside the pickle where that can be: it is not copied.
        kind: Any = pickle.PickleBuffer if protocol >= 5 else bytes
        return Keeping, (self.returned, [kind(_flat(part)) for part in self.parts])

    def __sizeof__(self) -> int:  # which Dask asks
        return object.__sizeof__(self) + sum(_flat(part).nbytes for part in self.parts)


def _flat(part: Any) -> memoryview:
    return part.raw() if isinstance(part, pickle.PickleBuffer) else memoryview(part)


def value_of(held: Keeping | Returned, index: int, task: str) -> Any:
    """Return the value of a call of a chunk; in whichever process.

    Raises
    ------
    RuntimeError
        If it was made again, and came to something else.
    """
    returned = held.returned if isinstance(held, Keeping) else held
    if index == len(returned.outcomes) - 1 and isinstance(held, Keeping):
        return held.value()
    cause: BaseException | None = None
    if index < len(returned.outcomes):
        outcome = opened(returned.outcomes[index])
        if outcome.failure is None and type(outcome.value) is not Stays:
            return outcome.value
        cause = None if outcome.failure is None else outcome.failure.error()
    raise lost(task) from cause


def lost(*tasks: str) -> RuntimeError:
    """Return the error of values that are nowhere any more."""
    names = ", ".join(map(repr, sorted(set(tasks))))
    return RuntimeError(
        f"the result of task {names} stayed on the cluster and is lost: a worker that "
        "had it has died, or the cluster is shut down. Run the flow again; results "
        "that are read while the cluster is there are kept here, and so are all of a "
        "task with cache="
    )


# Where calls are made.

_here = threading.local()  # .held: what the numbers in arguments stand for


def _referred(number: int, index: int, task: str) -> Any:
    return value_of(_here.held[number], index, task)


class _Keeps(Packing):
    """Packs outcomes but for the first large value."""

    def __init__(self, held: Sequence[Any], *, keeps: bool) -> None:
        self._held = held
        self._keeps = keeps
        self.parts: list[Any] = []
        self.full = False

    def load(self, call: bytes) -> tuple[Any, ...]:
        """See `Packing`."""
        with _holding(self._held):
            return super().load(call)

    def dump(self, outcome: Outcome) -> bytes:
        """See `Packing`."""
        value = outcome.value
        if not self._keeps:
            return packed(outcome)
        if _least(value) <= LARGE:
            small = packed(outcome)
            if len(small) <= LARGE or (isinstance(value, dict) and len(value) > _KEYS):
                return small
        import cloudpickle  # another worker may not have what defines it

        buffers: list[pickle.PickleBuffer] = []
        data = cloudpickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        self.parts = [data, *buffers]
        self.full = True
        return packed(outcome._replace(value=Stays(_keys(value))))


@contextlib.contextmanager
def _holding(held: Sequence[Any]) -> Iterator[None]:
    before = getattr(_here, "held", ())
    _here.held = held
    try:
        yield
    finally:
        _here.held = before


def _keys(value: object) -> frozenset[str] | None:
    if not isinstance(value, dict):
        return None
    return frozenset([key for key in value if isinstance(key, str)])


def _least(value: object) -> int:
    """Return about how large a value is at least, if it says so."""
    if isinstance(value, dict):
        return 0
    size = getattr(value, "nbytes", None)
    return size if type(size) is int else 0


def run_far(
    function: bytes,
    calls: list[bytes],
    seconds: float,
    size: int,
    keeps: bool,
    *held: Any,
) -> Returned | Keeping:
    """Make calls where they were sent; see `fastflow.run.remote.run_chunk`.

    Parameters
    ----------
    keeps : bool
        Whether a large value is to stay.
    held : Keeping or Returned
        What the numbers in the arguments stand for.
    """
    packing = _Keeps(held, keeps=keeps)
    returned = run_chunk(function, calls, seconds, size, None, packing)
    return Keeping(returned, packing.parts) if packing.parts else returned


def run_and_stay(*args: Any) -> Returned | Keeping:
    """Do the same where what is returned is kept as it is."""
    made = run_far(*args)
    return made.copied() if isinstance(made, Keeping) else made


def returned_of(held: Keeping | Returned) -> Returned:
    """Return the part that leaves; ``kept`` says whether there is another one."""
    return held.returned._replace(kept=True) if isinstance(held, Keeping) else held


# Where they come from.


class Holds(Keeper, Protocol):
    """What is needed of a `fastflow.backends.cluster.ClusterExecutor`."""

    def has(self, kept: Kept) -> bool:
        """Whether the calls made there can be given what stays."""


class Parcel:
    """The arguments of a call, packed, and what is not with them, by number."""

    __slots__ = ("data", "kept")

    def __init__(self, data: bytes, kept: tuple[Kept, ...]) -> None:
        self.data = data
        self.kept = kept

    def __len__(self) -> int:
        """Return bytes; what refers to something large is as large."""
        return len(self.data) + LARGE * len(self.kept)


def parcel_of(arguments: tuple[Any, ...], keeper: Holds) -> Parcel:
    """Pack arguments; what the keeper has stays where it is."""
    numbers: dict[Kept, int] = {}

    def reduced(kept: Kept) -> tuple[Any, ...]:
        if not keeper.has(kept):
            return kept.__reduce__()
        number = numbers.setdefault(kept, len(numbers))
        return _referred, (number, kept.index, kept.task)

    return Parcel(_pickled(arguments, reduced), tuple(numbers))


def _pickled(value: object, reduced: Callable[[Kept], tuple[Any, ...]]) -> bytes:
    file = BytesIO()
    _pickler()(file, reduced).dump(value)
    return file.getvalue()


@functools.cache
def _pickler() -> Any:
    import cloudpickle  # clusters have it

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """By value what the other side may not have, and as is said what is kept."""

        def __init__(self, file: Any, reduced: Callable[..., Any]) -> None:
            # It is looked at while the pickler is made.
            table: Any = type(self).dispatch_table  # type: ignore[misc,has-type]
            self.dispatch_table = ChainMap({Kept: reduced}, table)
            super().__init__(file)

    return Pickler


def with_kept(outcome: Outcome, index: int, reference: Any, keeper: Keeper) -> Outcome:
    """Return the outcome of a call of a chunk whose value stays, with a `Kept`."""
    return outcome._replace(value=Kept(keeper, reference, index, outcome.value.keys))
