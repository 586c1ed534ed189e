"""The default serdes: what goes in comes out, and nothing else does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import importlib.util
import math
import pathlib
import uuid
from collections import OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastflow.durable import BatchItem, BatchResult, CompletionReason, ErrorObject
from fastflow.durable.completion import BatchItemStatus
from fastflow.durable.exceptions import SerDesError
from fastflow.journal.serdes import decode, encode, roundtrip


class Colour(enum.Enum):
    RED = "red"
    BLUE = 2


class Number(enum.IntEnum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int
    y: object = None
    made: list = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self):
        self.made.append("constructed")


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int


class Record(msgspec.Struct):
    a: int
    b: str = "b"


Pair = namedtuple("Pair", "left right")


def same(a, b):
    """Equal, and of the same types all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        equal = np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
        return a.dtype == b.dtype and a.shape == b.shape and equal
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (
            a != a and b != b
        )
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, dict):
        return len(a) == len(b) and all(
            same(x, y) and same(v, w)
            for (x, v), (y, w) in zip(a.items(), b.items(), strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, set | frozenset):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, dt.datetime):
        return a == b and (a.tzinfo, a.fold) == (b.tzinfo, b.fold)
    return a == b


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(),
    st.text(st.characters(categories=["Cs", "Ll"])), st.binary(),
    st.integers(-(10**40), 10**40), st.complex_numbers(), st.decimals(allow_nan=False),
    st.dates(), st.datetimes(), st.timedeltas(), st.uuids(), st.times(),
    st.datetimes(timezones=st.sampled_from([dt.UTC, ZoneInfo("UTC")])),
    st.sampled_from([Colour.RED, Number.ONE, Pair(1, 2.0), Frozen(3), range(3)]),
)  # fmt: skip
KEYS = st.one_of(
    st.text(), st.integers(), st.sampled_from(["$ff", (1, "a"), None, 1.5])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(KEYS, inner),
        st.tuples(inner, inner),
        st.frozensets(st.integers()),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=15,
)


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_what_goes_in_comes_out(value):
    data, found = roundtrip(value)
    assert data == encode(value)
    assert same(value, found), (value, found)
    assert same(value, decode(data))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.arange(6).reshape(2, 3).T[::-1],
        np.array(5.0),
        np.zeros((0, 3), "f4"),
        np.array([1 + 2j]),
        np.array(["a", "bcd"]),
        np.array([b"x"]),
        np.array(["2024-01-01"], "M8[D]"),
        np.array([True, False]),
        np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", ">f8")]),
        np.array([(1, [[1, 2], [3, 4]])], dtype=[("a", "<i4"), ("b", "<i2", (2, 2))]),
        np.array([float("nan"), float("-inf")]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays(array):
    found = decode(encode({"deep": [array]}))["deep"][0]
    assert same(np.ascontiguousarray(array).reshape(array.shape), found)
    found[...] = found  # it may be written to
    for scalar in array.ravel()[:1]:
        assert same(scalar, decode(encode(scalar)))


@pytest.mark.parametrize(
    "value",
    [
        Point(1, [Colour.BLUE, {"k": (1,)}]),
        Record(5, "x"),
        Pair(Frozen(1), {1: 2}),
        pathlib.Path("/a/b"),
        pathlib.PurePosixPath("a"),
        dt.time(1, 2, tzinfo=dt.UTC),
        dt.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        uuid.UUID(int=5),
        Decimal("NaN"),
        bytearray(b"x"),
    ],
    ids=repr,
)
def test_objects(value):
    found = decode(encode([value]))[0]
    assert type(found) is type(value)
    assert str(found) == str(value)


def test_a_dataclass_is_filled_without_its_code():
    point = Point(1)
    assert decode(encode(point)).made == ["constructed"]


def test_batch_results():
    batch = BatchResult(
        [
            BatchItem(0, BatchItemStatus.SUCCEEDED, (1, 2)),
            BatchItem(1, BatchItemStatus.FAILED, None, ErrorObject("m", "ValueError")),
            BatchItem(2, BatchItemStatus.STARTED),
        ],
        CompletionReason.MIN_SUCCESSFUL_REACHED,
    )
    assert decode(encode(batch)) == batch
    assert BatchResult.from_dict(batch.to_dict()) == batch
    inferred = batch.to_dict()
    del inferred["completionReason"]
    reason = BatchResult.from_dict(inferred).completion_reason
    assert reason is CompletionReason.FAILURE_TOLERANCE_EXCEEDED


def test_subclasses_become_what_they_derive_from():
    class Text(str):
        __slots__ = ()

    counts = defaultdict(int, a=1)
    value = [OrderedDict(b=1), counts, Text("t"), np.float64(1.5)]
    found = decode(encode(value))
    assert [type(x) for x in found] == [dict, dict, str, np.float64]
    assert found == value


class TestWhatCanNotBeStored:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (object(), "result is a builtins.object"),
            ({"a": [1, {"b": object()}]}, r"result\['a'\]\[1\]\['b'\] is a"),
            (Point(1, object()), r"result\.y is a"),
            ({1: {2: print}}, r"result\[1\]\[2\]"),
            (np.array([object()]), "array of objects"),
            ({object(): 1}, "key"),
            (Exception("e"), "builtins.Exception"),
        ],
    )
    def test_the_place_is_named(self, value, message):
        with pytest.raises(SerDesError, match=message):
            encode(value)

    def test_a_class_that_can_not_be_found_again(self):
        @dataclasses.dataclass
        class Local:
            x: int

        with pytest.raises(SerDesError, match="top of a module"):
            encode(Local(1))

    def test_a_value_that_contains_itself(self):
        value = []
        value.append(value)
        with pytest.raises(SerDesError, match="contains itself"):
            encode(value)
        value = {}
        value["k"] = (value,)
        with pytest.raises(SerDesError, match="contains itself"):
            encode(value)

    def test_deep_nesting(self):
        value = []
        for _ in range(100_000):
            value = [value]
        with pytest.raises(SerDesError):
            encode(value)
        while value:  # else its end would be deep, too
            value = value[0]


class TestHostileData:
    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"{",
            b"\xff\xfe",
            b"[" * 100_000,
            b'{"$ff":[]}',
            b'{"$ff":5}',
            b'{"$ff":["nothing"]}',
            b'{"$ff":[["int"],"1"]}',
            b'{"$ff":["enum","os:system","x"]}',
            b'{"$ff":["enum","not_imported:Colour","RED"]}',
            b'{"$ff":["dataclass","builtins:object",[]]}',
            b'{"$ff":["namedtuple","builtins:tuple",[1]]}',
            b'{"$ff":["ndarray","|O",[1],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray","<f8",[1000000000000],""]}',
            b'{"$ff":["ndarray","<f8",[-1],""]}',
            b'{"$ff":["int","' + b"f" * 200_000 + b'"]}',
            b'{"$ff":["datetime","yesterday",0,null]}',
            b'{"$ff":["datetime","2024-01-01",0,"../../etc/passwd"]}',
            b'{"$ff":["set",[[1]]]}',
            b'{"$ff":["batch","NO",[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[1]]}',
        ],
        ids=lambda text: text[:40].decode("latin-1"),
    )
    def test_gives_the_documented_error(self, text):
        with pytest.raises(SerDesError):
            decode(text)

    def test_fields_that_a_dataclass_does_not_have(self):
        name = f"{Frozen.__module__}:Frozen"
        text = b'{"$ff":["dataclass","%s",[["__class__",1]]]}' % name.encode()
        with pytest.raises(SerDesError, match="no field"):
            decode(text)

    def test_a_share_of_the_fuzz_run(self):
        path = Path(__file__).with_name("fuzz_serdes.py")
        spec = importlib.util.spec_from_file_location("fuzz_serdes", path)
        fuzz_serdes = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(fuzz_serdes)
        counts = fuzz_serdes.fuzz(20_000, 7)
        assert min(counts.values()) > 1_000
