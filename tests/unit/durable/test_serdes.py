"""The default serdes at its edges: types, classes, depth, order, hostile data.

What holds for all values is in tests/property/test_serdes.py.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import importlib.util
import math
import os
import pathlib
import subprocess
import sys
import types
import typing
import zoneinfo

import msgspec
import numpy as np
import pytest

from fastflow.durable.exceptions import SerDesError
from fastflow.journal.decoding import find_class
from fastflow.journal.serdes import (
    ExtendedTypeSerDes,
    JsonSerDes,
    PassThroughSerDes,
    SerDes,
    SerDesContext,
    decode,
    encode,
    roundtrip,
)

ME = __name__.encode()


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Mode(enum.StrEnum):
    FAST = "fast"


class Coordinates(collections.namedtuple("Base", "x y")):
    __slots__ = ()

    def length(self):
        return math.hypot(self.x, self.y)


class Typed(typing.NamedTuple):
    x: int
    y: str = "y"


@dataclasses.dataclass
class Cached:
    x: int
    size: int = dataclasses.field(init=False)
    later: dataclasses.InitVar[int] = 1

    def __post_init__(self, later):
        self.size = self.x * later

    @functools.cached_property
    def twice(self):
        return self.x * 2


@dataclasses.dataclass
class Lossy:
    x: int

    def __post_init__(self):
        self.lookup = {}


@dataclasses.dataclass
class Failure(Exception):  # noqa: N818
    x: int


@dataclasses.dataclass(slots=True)
class Grown:
    old: int
    plain: str = "p"
    made: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Box(typing.Generic[typing.TypeVar("T")]):
    content: object


class Renamed(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    first_name: str


class Outer:
    @dataclasses.dataclass(frozen=True)
    class Inner:
        x: int


class Zone(dt.tzinfo):
    def utcoffset(self, when):
        return None if when is None else dt.timedelta(hours=1)

    def dst(self, when):
        return None

    def tzname(self, when):
        return "Z"


@pytest.mark.parametrize(
    "value",
    [
        True, 1, 1.0, -0.0, 1e22, 5e-324, 2**63 - 1, 2**63, -(2**63) - 1, 10**5000,
        math.inf, "", "\x00", "é\u2028", "\ud800", "$ff", b"", ["$ff"],
        {"$ff": 1}, {"$ff": ["tuple", [1]]}, {"$ff": {"$ff": ()}, "a": 1},
        {1: "int", "1": "str", 1.5: 0, None: 0, (1, b""): 0, frozenset("a"): 0},
        {"\udc00": 1}, (), ((),), [()], {True: 1}, range(0, -10**30, -3), 1j, set(),
        {frozenset()}, Access.READ, Access.READ | Access.WRITE, Access(0), Mode.FAST,
        Coordinates(3, 4), Typed(1), Box[int](5), Renamed(first_name="x"),
        Outer.Inner(1), dt.timedelta(-1, 1, 1), dt.time(1, 2, fold=1),
        dt.time(1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")), dt.datetime.min,
        dt.datetime(2024, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=-5))),
        pathlib.PurePath("a/b"), pathlib.Path("/x"),
        np.str_(""), np.str_("a\0"), np.str_("\ud800"), np.bytes_(b"a\0"),
        np.bool_(True), np.float32(1.5), np.datetime64("NaT", "s"),
        np.longdouble(1) / 3, np.timedelta64(5, "25s"), np.complex64(1j),
    ],
    ids=lambda value: hex(value)[:20] if type(value) is int else repr(value)[:40],
)  # fmt: skip
def test_the_same_value_of_the_same_type(value):
    data, found = roundtrip([value])
    assert data == encode([value])
    for again in (
        found[0],
        decode(data)[0],
        roundtrip(value)[1],
        decode(encode(value)),
    ):
        assert type(again) is type(value)
        if not (isinstance(value, np.datetime64) and np.isnat(value)):
            assert again == value
        if type(value) is not int:
            assert repr(again) == repr(value)
        assert encode([again]) == data


def test_not_a_number():
    for value in (math.nan, complex(math.nan, -0.0)):
        found = decode(encode([value]))[0]
        assert type(found) is type(value)
        assert repr(found) == repr(value)


def test_the_name_of_a_fixed_offset():
    zone = dt.timezone(dt.timedelta(hours=1), "CET")
    for value in (dt.datetime(2024, 1, 1, tzinfo=zone), dt.time(1, tzinfo=zone)):
        assert decode(encode(value)).tzname() == "CET"
    assert decode(encode(dt.datetime(2024, 1, 1, tzinfo=dt.UTC))).tzinfo is dt.UTC


def test_sets_are_written_in_the_same_order_in_each_process():
    code = (
        "from fastflow.durable.serdes import encode;"
        "print(encode({'a','b','c','d',(1,'e')}), encode({'k': frozenset('xyzw')}))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(texts) == 1


def test_classes_of_the_main_program():
    code = (
        "import dataclasses, enum\n"
        "from fastflow.durable.serdes import decode, encode\n"
        "@dataclasses.dataclass\nclass P:\n    x: int\n"
        "class E(enum.Enum):\n    A = 1\n"
        "assert decode(encode([P(1), E.A])) == [P(1), E.A]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


class TestDataclasses:
    def test_what_is_not_given_to_init(self):
        value = Cached(3, later=5)
        assert value.twice == 6
        found = decode(encode(value))
        assert (found.size, found.twice) == (15, 6)

    def test_what_would_be_lost_is_refused(self):
        with pytest.raises(SerDesError, match=r"result\[0\] has an attribute 'lookup'"):
            encode([Lossy(1)])
        with pytest.raises(SerDesError, match="derives from Exception"):
            encode(Failure(1))

    def test_a_field_without_a_value(self):
        value = Grown(1)
        del value.old
        with pytest.raises(SerDesError, match=r"result\.old has no value"):
            encode(value)

    def test_fields_that_came_later(self):
        text = b'{"$ff":["dataclass","%s:Grown",[["old",1]]]}' % ME
        first, second = decode(text), decode(text)
        assert first == Grown(1, "p", [])
        assert first.made is not second.made
        with pytest.raises(SerDesError, match="'old', which was not stored"):
            decode(b'{"$ff":["dataclass","%s:Grown",[]]}' % ME)
        with pytest.raises(SerDesError, match="has no field '__class__'"):
            decode(b'{"$ff":["dataclass","%s:Grown",[["__class__",1]]]}' % ME)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (dt.datetime(2024, 1, 1, tzinfo=Zone()), "time zone of type"),
        (dt.time(1, tzinfo=Zone()), "time zone of type"),
        (np.zeros(2, np.dtype([("a", "u1"), ("b", "f4")], align=True)), "padding"),
        (np.zeros(2, "V0"), "numpy type"),
        (np.zeros(2, object), "array of objects"),
        (np.ma.masked_array([1]), "MaskedArray"),
        (np.zeros((2, 2)).view(np.recarray), "recarray"),
        pytest.param(1 << 500_000, "int of 500,001 bits", id="a long int"),
        (pathlib.PureWindowsPath("c:/"), "PureWindowsPath"),
        (len, "builtin_function"),
        (int, "builtins.type"),
        (collections.deque(), "deque"),
        (iter([]), "iterator"),
        (memoryview(b""), "memoryview"),
    ],
)
def test_what_would_change_is_refused(value, message):
    with pytest.raises(SerDesError, match=message):
        encode({"a": value})


def test_the_place_in_deep_values_is_short():
    value = object()
    for _ in range(60):
        value = [value]
    with pytest.raises(SerDesError) as caught:
        encode(value)
    assert str(caught.value).startswith("something far inside of result[0][0]")
    assert len(str(caught.value)) < 300
    with pytest.raises(SerDesError) as caught:
        encode({"k" * 10**6: object()})
    assert len(str(caught.value)) < 300


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError(name)

    __class__ = property(lambda self: 1 // 0)


class Unhashable(str):
    __hash__ = None
    __slots__ = ()

    def __repr__(self):
        raise RuntimeError("no")


def test_code_of_values_that_fails():
    for value in (Hostile(), [Hostile()], {"a": (Hostile(),)}):
        with pytest.raises(SerDesError, match="ZeroDivisionError"):
            encode(value)
    assert decode(encode(Unhashable("x"))) == "x"


def nest(wrap, levels):
    value = 1
    for _ in range(levels):
        value = wrap(value)
    return value


WRAPPERS = {
    "list": lambda value: [value],
    "dict": lambda value: {"k": value},
    "marked": lambda value: [value, b""],
    "int keys": lambda value: {1: value},
    "tuple": lambda value: (value,),
    "frozenset": lambda value: frozenset([value]),
    "dataclass": Box,
    "named tuple": lambda value: Typed(1, value),
    "key": lambda value: {(value,): 1} if value == 1 else (value,),
}


class TestDepth:
    @pytest.mark.parametrize("name", WRAPPERS)
    def test_what_can_be_written_can_be_read(self, name):
        wrap = WRAPPERS[name]

        def writable(levels):
            with contextlib.suppress(SerDesError):
                return bool(encode(nest(wrap, levels)))
            return False

        deepest = max(filter(writable, range(300)))
        assert 90 <= deepest < 250
        value = nest(wrap, deepest)

        def further_down(frames):
            # A program that reads has used some of the frames already.
            return further_down(frames - 1) if frames else roundtrip(value)[1]

        if name == "dataclass":
            return self.compare(value, further_down(300))
        assert encode(further_down(300)) == encode(value)
        return None

    def compare(self, value, found):
        while isinstance(value, Box):
            assert type(found) is Box
            value, found = value.content, found.content
        assert value == found

    @pytest.mark.parametrize("name", WRAPPERS)
    def test_a_hundred_thousand_levels(self, name):
        wrap = WRAPPERS[name]
        if name in ("frozenset", "key", "dataclass"):
            wrap = WRAPPERS["tuple"] if name != "dataclass" else wrap
        levels = [1]
        for _ in range(100_000):
            levels.append(wrap(levels[-1]))
        with pytest.raises(SerDesError, match="nested too deeply"):
            encode(levels[-1])
        while levels:  # or its end would recurse
            levels.pop()

    def test_cycles(self):
        items = []
        items.append(items)
        keys = {}
        keys[1] = [keys]
        box = Box(None)
        box.content = box
        for value in (items, [[], items], keys, box, {"a": (items,)}):
            with pytest.raises(SerDesError, match="contains itself"):
                encode(value)

    def test_no_frames_are_left(self):
        def fall(value):
            try:
                return fall(value)
            except RecursionError:
                try:
                    return roundtrip(value)
                except SerDesError:
                    raise ValueError from None  # any but a RecursionError

        with pytest.raises(ValueError):
            fall(nest(WRAPPERS["tuple"], 90))


BOMBS = {
    "a range as a tuple": b'{"$ff":["tuple",{"$ff":["range",0,100000000000000,1]}]}',
    "a range as a set": b'{"$ff":["set",{"$ff":["range",0,100000000000000,1]}]}',
    "a range as a batch": b'{"$ff":["batch","ALL_COMPLETED",[],"",'
    b'{"$ff":["range",0,100000000000000,1]},[]]}',
    "a range as a tag": b'{"$ff":{"$ff":["range",0,100000000000000,1]}}',
    "a large shape": b'{"$ff":["ndarray","<f8",[100000000000000],""]}',
    "large items": b'{"$ff":["number","|V999999999",""]}',
    "items of no size": b'{"$ff":["ndarray","|V0",[100000000000000],""]}',
    "texts of no size": b'{"$ff":["ndarray","<U0",[100000000000000],""]}',
    "no fields": b'{"$ff":["ndarray",[],[100000000000000],""]}',
    "a large field": b'{"$ff":["ndarray",[["a","<f8",[1000000000]]],[1],""]}',
    "many dimensions": b'{"$ff":["ndarray","<f8",[%s9],""]}' % (b"9," * 100_000),
    "a long type": b'{"$ff":["ndarray","%s<f8",[1],""]}' % (b"f8," * 100_000),
    "a long zone": b'{"$ff":["datetime","2024-01-01",0,"%s"]}' % (b"a" * 10**6),
    "a long int": b'{"$ff":["int","%s"]}' % (b"f" * 10**6),
    "a long unknown tag": b'{"$ff":["%s"]}' % (b"f" * 10**6),
    "a long class": b'{"$ff":["enum","sys:%s","A"]}' % (b"a." * 10**5),
    "nested tags": b'{"$ff":["tuple",[' * 50_000,
    "lists": b"[" * 10**6 + b"]" * 10**6,
    "objects": b'{"a":' * 10**6,
}


class TestHostileData:
    @pytest.mark.parametrize("name", BOMBS)
    def test_little_data_stays_little(self, name):
        with pytest.raises(SerDesError) as caught:
            decode(BOMBS[name])
        assert len(str(caught.value)) < 1000

    def test_ranges_are_not_expanded(self):
        assert decode(b'{"$ff":["range",0,100000000000000,1]}') == range(10**14)

    @pytest.mark.parametrize(
        "text",
        [
            b'{"$ff":"tuple"}',
            b'{"$ff":[["tuple"],[]]}',
            b'{"$ff":["tuple"]}',
            b'{"$ff":["tuple",[1],2]}',
            b'{"$ff":["tuple","abc"]}',
            b'{"$ff":["set",{"a":1}]}',
            b'{"$ff":["dict",["ab"]]}',
            b'{"$ff":["dict",{"ab":1}]}',
            b'{"$ff":["float","1.5"]}',
            b'{"$ff":["str","/w=="]}',
            b'{"$ff":["bytes","a"]}',
            b'{"$ff":["bytes","!!!!"]}',
            b'{"$ff":["uuid","x"]}',
            b'{"$ff":["decimal","x"]}',
            b'{"$ff":["decimal",{"$ff":["set",[]]}]}',
            b'{"$ff":["complex","1","2"]}',
            b'{"$ff":["timedelta",1e300]}',
            b'{"$ff":["range"]}',
            b'{"$ff":["range",1,2,0]}',
            b'{"$ff":["datetime","2024-01-01",7,null]}',
            b'{"$ff":["datetime","2024-01-01",0,["x"]]}',
            b'{"$ff":["datetime","2024-01-01",0,"os.path/x"]}',
            b'{"$ff":["datetime","2024-01-01",0,"/etc/localtime"]}',
            b'{"$ff":["ndarray",null,[1],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray",{"names":[],"formats":[]},[1],""]}',
            b'{"$ff":["ndarray","object",[1],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray",[["a","|O"]],[1],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray",[[["t","a"],"<f8"]],[1],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray","<f8",[true],"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray","<f8",1,"AAAAAAAAAAA="]}',
            b'{"$ff":["ndarray","<f8",[-1,-1],"AAAAAAAAAAA="]}',
            b'{"$ff":["enum","enum:Enum","mro"]}',
            b'{"$ff":["enum","%s:Mode","__doc__"]}' % ME,
            b'{"$ff":["enum","%s:Mode",["FAST"]]}' % ME,
            b'{"$ff":["flag","%s:Mode",1]}' % ME,
            b'{"$ff":["flag","%s:Access",64]}' % ME,
            b'{"$ff":["flag","%s:Access","READ"]}' % ME,
            b'{"$ff":["dataclass","%s:Mode",[]]}' % ME,
            b'{"$ff":["dataclass","%s:Failure",[["x",1]]]}' % ME,
            b'{"$ff":["dataclass","%s:Box",[[[],1]]]}' % ME,
            b'{"$ff":["dataclass","%s:Box",5]}' % ME,
            b'{"$ff":["struct","%s:Box",[["content",1]]]}' % ME,
            b'{"$ff":["struct","%s:Renamed",[["firstName","x"]]]}' % ME,
            b'{"$ff":["namedtuple","%s:Typed",[1]]}' % ME,
            b'{"$ff":["namedtuple","%s:Typed","ab"]}' % ME,
            b'{"$ff":["namedtuple","%s:Box",[]]}' % ME,
            b'{"$ff":["batch","ALL_COMPLETED",[]]}',
            b'{"$ff":["batch","NO",[0],"+",[1],[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[0],"?",[1],[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[0,1],"+",[1],[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[0],"+",[1,2],[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",["0"],"+",[1],[]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[0],"-",[null],[[0,"no"]]]}',
            b'{"$ff":["batch","ALL_COMPLETED",[0],"-",[null],[0]]}',
            b'{"$ff":["path",5,false]}',
            b'{"$ff":["npstr","!"]}',
        ],
    )
    def test_tags_that_do_not_fit(self, text):
        with pytest.raises(SerDesError):
            decode(text)

    def test_no_module_is_imported(self, tmp_path, monkeypatch):
        (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
        monkeypatch.syspath_prepend(tmp_path)
        for tag in (b"enum", b"flag", b"dataclass", b"struct", b"namedtuple"):
            for name in (b"evil_module:C", b"evil_module.sub:C", b"evil_module"):
                with pytest.raises(SerDesError, match="import its module"):
                    decode(b'{"$ff":["%s","%s",[]]}' % (tag, name))
        assert "evil_module" not in sys.modules

    def test_the_name_of_a_zone_names_no_module(self, monkeypatch):
        asked = []

        class Spy:
            def find_spec(self, name, path=None, target=None):
                asked.append(name)

        monkeypatch.setattr(sys, "meta_path", [Spy(), *sys.meta_path])
        for zone in (b"evil.module/x", b"evil.module", b"../evil", b"a/b.evil/c"):
            with pytest.raises(SerDesError, match="no name of a time zone"):
                decode(b'{"$ff":["datetime","2024-01-01",0,"%s"]}' % zone)
        assert not [name for name in asked if "evil" in name]

    def test_a_lazy_module_stays_unloaded(self, tmp_path, monkeypatch):
        path = tmp_path / "lazy_evil.py"
        path.write_text("raise SystemExit('loaded')")
        spec = importlib.util.spec_from_file_location("lazy_evil", path)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "lazy_evil", module)
        spec.loader.exec_module(module)
        with pytest.raises(SerDesError, match="no class"):
            decode(b'{"$ff":["enum","lazy_evil:C","A"]}')
        with pytest.raises(SystemExit):
            _ = module.C  # it was lazy indeed

    def test_hooks_of_modules_and_classes_are_not_run(self, monkeypatch):
        class Hooked(types.ModuleType):
            def __getattribute__(self, name):
                raise SystemExit(name)

        class Meta(type):
            def __getattribute__(cls, name):
                raise SystemExit(name)

        module = Hooked("hooked")
        names = object.__getattribute__(module, "__dict__")
        names["proxy"] = Hostile()
        names["Class"] = Meta("Class", (), {"Inner": Box})
        monkeypatch.setitem(sys.modules, "hooked", module)
        with pytest.raises(SerDesError, match="no class"):
            find_class("hooked:proxy")
        with pytest.raises(SerDesError, match="no class"):
            find_class("hooked:missing")
        assert find_class("hooked:Class.Inner") is Box

    def test_only_classes_of_the_right_kind_are_made(self):
        for name in (
            b"subprocess:Popen",
            b"builtins:eval",
            b"os:system",
            b"sys:modules",
        ):
            for tag in (b"enum", b"flag", b"dataclass", b"struct", b"namedtuple"):
                with pytest.raises(SerDesError):
                    decode(b'{"$ff":["%s","%s",[["args","true"]]]}' % (tag, name))


CONTEXT = SerDesContext("id", "arn", "name")


class TestSerDesClasses:
    def test_json(self):
        serdes = JsonSerDes()
        text = serdes.serialize({"a": (1, None)}, CONTEXT)
        assert text == '{"a": [1, null]}'
        assert serdes.deserialize(text, CONTEXT) == {"a": [1, None]}
        with pytest.raises(SerDesError):
            serdes.serialize(object(), CONTEXT)
        for data in ("{", 5, "[" * 100_000):
            with pytest.raises(SerDesError):
                serdes.deserialize(data, CONTEXT)

    def test_pass_through(self):
        serdes = PassThroughSerDes()
        for value in ("text", b"bytes"):
            data = serdes.serialize(value, CONTEXT)
            assert serdes.deserialize(data, CONTEXT) == value
        with pytest.raises(SerDesError, match="not int"):
            serdes.serialize(5, CONTEXT)

    def test_the_default_one(self):
        serdes = ExtendedTypeSerDes()
        text = serdes.serialize((1, b""), CONTEXT)
        assert type(text) is str
        assert serdes.deserialize(text, CONTEXT) == (1, b"")
        assert serdes.deserialize(text.encode()) == (1, b"")
        with pytest.raises(SerDesError):
            serdes.serialize(object())

    def test_all_are_serdes(self):
        for kind in (JsonSerDes, PassThroughSerDes, ExtendedTypeSerDes):
            assert issubclass(kind, SerDes)
        with pytest.raises(TypeError):
            SerDes()

    def test_the_context(self):
        assert CONTEXT.operation_id == "id"
        assert CONTEXT.durable_execution_arn == "arn"
        assert SerDesContext() == ("", "", "")
