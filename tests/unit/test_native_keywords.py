"""Native constructors and functions that take their arguments by keyword only."""

from __future__ import annotations

import ctypes
import gc
from array import array

import pytest

import fastflow
from fastflow import _core


@pytest.fixture
def executor():
    with fastflow.Executor(2) as made:
        yield made


def double(x):
    return 2 * x


def calls(executor):
    """Name -> what is called, its arguments by name, and which may be left out."""
    engine, graph, kernel = executor._engine, fastflow.Graph(), fastflow.kernels.noop
    numbers = fastflow.Graph()
    edges = array("i", [0]), array("i", [1])
    run = {"engine": engine, "most": 2, "stop_on_error": True, "timings": None}
    return {
        "Map": (
            _core.Map,
            {"engine": engine, "fn": double, "columns": ([1, 2],), "star": False,
             "keep": True, "return_exceptions": False, "stop_on_error": True,
             "chunk": 0, "most": 2},
            set(),
        ),
        "Stream": (
            _core.Stream,
            {"engine": engine, "fn": double, "iterators": (iter([1]),), "capacity": 2,
             "ordered": True, "return_exceptions": False, "caller_helps": True,
             "most": 2, "timeout": None},
            set(),
        ),
        "CallRun": (
            _core.CallRun, run | {"graph": graph, "fn": None, "keep": 0}, set()
        ),
        "KernelRun": (_core.KernelRun, run | {"graph": graph, "kernel": kernel}, set()),
        "Kernel": (
            _core.Kernel,
            {"address": _core.NOOP_ADDRESS, "data": 0, "keep": None, "name": "noop",
             "status": 0, "status_count": 0},
            {"status", "status_count"},
        ),
        "Engine": (
            _core.Engine,
            {"limit": 1, "spawner": print, "activity": None, "caller_may_run": True,
             "max_pending": 0, "on_full": 0, "propagate_context": True},
            {"activity", "caller_may_run", "max_pending", "on_full",
             "propagate_context"},
        ),
        "kernel_loop": (
            _core.kernel_loop,
            {"engine": engine, "kernel": kernel, "start": 0, "step": 1, "n": 3,
             "most": 2, "caller_helps": True},
            set(),
        ),
        "set_edges": (
            numbers.set_edges, {"n": 2, "src": edges[0], "dst": edges[1]}, set()
        ),
        "run_worker": (
            engine.run_worker, {"ticket": [], "begin": None, "end": int}, set()
        ),
    }  # fmt: skip


NAMES = (
    "Map", "Stream", "CallRun", "KernelRun", "Kernel", "Engine", "kernel_loop",
    "set_edges", "run_worker",
)  # fmt: skip


def fresh(text):
    """An equal string that is another object."""
    made = "".join(list(text))
    assert made is not text or len(text) == 1  # those are shared
    return made


@pytest.mark.parametrize("name", NAMES)
class TestCalls:
    def test_in_any_order_and_with_names_made_at_run_time(self, executor, name):
        function, arguments, _ = calls(executor)[name]
        function(**{fresh(x): arguments[x] for x in reversed(arguments)})

    def test_each_required_one_is_told_if_it_is_missing(self, executor, name):
        function, arguments, optional = calls(executor)[name]
        for left_out in arguments:
            given = {x: y for x, y in arguments.items() if x != left_out}
            if left_out in optional:
                function(**given)
                continue
            with pytest.raises(TypeError) as error:
                function(**given)
            assert str(error.value) == (
                f"{name}() missing required keyword argument '{left_out}'"
            )

    def test_an_unknown_one_is_told(self, executor, name):
        function, arguments, _ = calls(executor)[name]
        with pytest.raises(TypeError) as error:
            function(**arguments, colums=1)
        assert str(error.value) == (
            f"{name}() got an unexpected keyword argument 'colums'"
        )

    def test_none_by_position(self, executor, name):
        function, arguments, _ = calls(executor)[name]
        first, *others = arguments
        with pytest.raises(TypeError) as error:
            function(arguments[first], **{x: arguments[x] for x in others})
        assert str(error.value) == (
            f"{name}() takes keyword arguments only, not 1 positional"
        )

    def test_twice_the_same(self, executor, name):
        """Not from Python code, which sees to that itself; C code may."""
        function, arguments, _ = calls(executor)[name]
        for twice in arguments:
            with pytest.raises(TypeError) as error:
                vectorcall(function, (*arguments, fresh(twice)), arguments[twice])
            assert str(error.value) == (
                f"{name}() got multiple values for argument '{twice}'"
            )


def vectorcall(function, names, value):
    call = ctypes.pythonapi.PyObject_Vectorcall
    call.restype = ctypes.py_object
    call.argtypes = [
        ctypes.py_object, ctypes.c_void_p, ctypes.c_size_t, ctypes.py_object,
    ]  # fmt: skip
    values = (ctypes.py_object * len(names))(*[value] * len(names))
    return call(function, values, 0, names)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("Map", {"engine": 1}, "Map() argument 'engine' must be fastflow._core.Engine, "
         "not int"),
        ("Map", {"columns": [[1]]}, "Map() argument 'columns' must be tuple, not list"),
        ("Map", {"most": "2"}, "Map() argument 'most' must be int, not str"),
        ("Map", {"most": 2.0}, "Map() argument 'most' must be int, not float"),
        ("CallRun", {"graph": None}, "CallRun() argument 'graph' must be "
         "fastflow._core.Graph, not NoneType"),
        ("KernelRun", {"kernel": print}, "KernelRun() argument 'kernel' must be "
         "fastflow._core.Kernel, not builtin_function_or_method"),
        ("Kernel", {"name": b"k"}, "Kernel() argument 'name' must be str, not bytes"),
        ("Kernel", {"data": "0"}, "Kernel() argument 'data' must be int, not str"),
        ("run_worker", {"ticket": ()}, "run_worker() argument 'ticket' must be list, "
         "not tuple"),
    ],
)  # fmt: skip
def test_a_wrong_type_names_the_parameter(executor, name, wrong, said):
    function, arguments, _ = calls(executor)[name]
    with pytest.raises(TypeError) as error:
        function(**arguments | wrong)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Map", {"most": 2**31}),
        ("Map", {"most": -(2**31) - 1}),
        ("Map", {"chunk": 2**63}),
        ("Stream", {"capacity": 10**30}),
        ("kernel_loop", {"start": -(2**63) - 1}),
    ],
)
def test_a_number_that_does_not_fit_names_the_parameter(executor, name, wrong):
    function, arguments, _ = calls(executor)[name]
    with pytest.raises(OverflowError) as error:
        function(**arguments | wrong)
    assert (
        str(error.value) == f"{name}() argument '{next(iter(wrong))}' is out of range"
    )


class Index:
    def __index__(self):
        return 2


class Bad:
    def __index__(self):
        raise ZeroDivisionError

    def __bool__(self):
        raise ZeroDivisionError


def test_what_has_an_index_is_a_number_and_its_own_errors_pass(executor):
    function, arguments, _ = calls(executor)["Map"]
    assert function(**arguments | {"most": Index()}).run(True, None) == [2, 4]
    for name in ("most", "star"):
        with pytest.raises(ZeroDivisionError):
            function(**arguments | {name: Bad()})


@pytest.mark.parametrize("name", ["Map", "Stream", "CallRun", "KernelRun", "Kernel",
                                  "Engine"])  # fmt: skip
def test_there_is_no_other_way_to_make_one(executor, name):
    """An object that no constructor has seen would end the process."""
    function = calls(executor)[name][0]
    with pytest.raises(TypeError):
        function.__new__(function)
    with pytest.raises(TypeError):
        object.__new__(function)
    with pytest.raises(TypeError):
        type.__call__(function)


def test_a_call_that_fails_keeps_nothing(executor):
    class Kept:
        pass

    function, arguments, _ = calls(executor)["Map"]
    for _ in range(3):
        with pytest.raises(TypeError):
            function(**arguments | {"fn": Kept(), "most": "2"})
    gc.collect()
    assert not [x for x in gc.get_objects() if type(x) is Kept]
