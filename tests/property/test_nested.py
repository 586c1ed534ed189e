"""Nodes and handles at any depth of arguments: the call gets their results."""

from __future__ import annotations

import collections
import dataclasses
import functools
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastflow
from fastflow.run.registry import TaskRegistry

Pair = collections.namedtuple("Pair", "left right")


class Names(list):
    """With an attribute."""


class Tags(set):
    """A set of its own kind."""


class Row(tuple):
    """A tuple without fields."""


@dataclasses.dataclass
class Box:
    content: object
    more: object = None
    made: object = dataclasses.field(default=0, init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: object
    y: object


def names(items):
    made = Names(items)
    made.title = "a title"
    return made


def default_dict(pairs):
    return collections.defaultdict(int, pairs)


def namespace(items):
    return types.SimpleNamespace(**dict(zip("abcdef", items, strict=False)))


def objects(items):
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array


# How to make containers of items, and which items they take.
OF_ANY = {
    list: list,
    tuple: tuple,
    Names: names,
    Row: Row,
    collections.deque: lambda items: collections.deque(items, maxlen=9),
    dict: lambda items: dict(enumerate(items)),
    collections.OrderedDict: lambda items: collections.OrderedDict(enumerate(items)),
    collections.defaultdict: lambda items: default_dict(enumerate(items)),
    types.MappingProxyType: lambda items: types.MappingProxyType(
        dict(enumerate(items))
    ),
    types.SimpleNamespace: namespace,
    collections.UserList: collections.UserList,
    collections.UserDict: lambda items: collections.UserDict(enumerate(items)),
    collections.ChainMap: lambda items: collections.ChainMap(
        *({i: item} for i, item in enumerate(items))
    ),
    functools.partial: lambda items: functools.partial(max, *items[:1], key=items[1:]),
    np.ndarray: objects,
    Box: lambda items: Box(items, items[:1]),
    Pair: lambda items: Pair(items, [*items]),
    slice: lambda items: slice(items[:1], None, items),
}
OF_HASHABLE = {
    set: set,
    frozenset: frozenset,
    Tags: Tags,
    tuple: tuple,
    Point: lambda items: Point(tuple(items), 0),
}
HASHABLE = (frozenset, tuple, Point)

constants = st.none() | st.integers() | st.text(max_size=2) | st.booleans()
references = st.integers(0, 3).map(lambda i: ("reference", i))
leaves = constants.map(lambda value: ("constant", value)) | references


def containers(kinds, items):
    return st.tuples(st.sampled_from(list(kinds)), st.lists(items, max_size=4))


hashable = st.recursive(leaves, lambda items: containers(HASHABLE, items), max_leaves=5)
# A value, told in words: "constant", "reference", or a type and what is in it.
values = st.recursive(
    leaves | containers(OF_HASHABLE, hashable),
    lambda items: containers(OF_ANY, items),
    max_leaves=12,
)


def make(value, given):
    kind, inside = value
    if kind == "constant":
        return inside
    if kind == "reference":
        return given[inside]
    items = [make(item, given) for item in inside]
    return (OF_HASHABLE if kind in (*OF_HASHABLE,) else OF_ANY)[kind](items)


_SEQUENCES = list | tuple | collections.deque | collections.UserList | np.ndarray


def shape(value):
    """What a value is, all the way down: equal for equal values of equal types only."""
    kind, extra = type(value), None
    if isinstance(value, collections.ChainMap):
        inside = [shape(part) for part in value.maps]
    elif isinstance(value, dict | types.MappingProxyType | collections.UserDict):
        extra = getattr(value, "default_factory", None)
        inside = [(key, shape(item)) for key, item in value.items()]
    elif isinstance(value, set | frozenset):
        inside = sorted(map(repr, map(shape, value)))
    elif isinstance(value, functools.partial):
        inside = [value.func, shape(value.args), shape(value.keywords)]
    elif isinstance(value, slice):
        inside = [shape(part) for part in (value.start, value.stop, value.step)]
    elif isinstance(value, types.SimpleNamespace):
        inside = shape(vars(value))
    elif dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        inside = [shape(getattr(value, name)) for name in names]
    elif isinstance(value, _SEQUENCES):
        extra = getattr(value, "maxlen", getattr(value, "title", None))
        inside = [shape(item) for item in value]
    else:
        inside = value
    return kind, extra, inside


RESULTS = ["first", 2, (3, "third"), frozenset([4])]


def received(*args, **kwargs):
    return args, kwargs


def by_graph(positional, named):
    graph = fastflow.Graph()
    nodes = [graph.add(lambda i=i: RESULTS[i]) for i in range(len(RESULTS))]
    last = graph.add(
        received,
        *[make(value, nodes) for value in positional],
        **{key: make(value, nodes) for key, value in named.items()},
    )
    first = graph.run(max_workers=2).results[last]
    again = graph.run(keep="sinks", max_workers=2).results[last]
    assert shape(first) == shape(again)
    return first


def by_flow(positional, named, executor):
    tasks = TaskRegistry()
    result = tasks.task(lambda i: RESULTS[i])
    gather = tasks.task(received)

    @fastflow.flow
    def body():
        handles = [result(i) for i in range(len(RESULTS))]
        args = [make(value, handles) for value in positional]
        kwargs = {key: make(value, handles) for key, value in named.items()}
        # What is returned is resolved, too.
        return gather(*args, **kwargs), (tuple(args), kwargs)

    called, returned = body.with_options(executor=executor)()
    assert shape(called) == shape(returned)
    return called


WAYS = {
    "graph": by_graph,
    "flow": lambda *arguments: by_flow(*arguments, None),
    "serial flow": lambda *arguments: by_flow(*arguments, "serial"),
}


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=150, deadline=None)
@given(
    st.lists(values, max_size=3),
    st.dictionaries(st.sampled_from("abc"), values, max_size=2),
)
def test_results_take_the_places_of_references(way, positional, named):
    expected = (
        tuple(make(value, RESULTS) for value in positional),
        {key: make(value, RESULTS) for key, value in named.items()},
    )
    assert shape(WAYS[way](positional, named)) == shape(expected)


# --- the same table of special cases for graphs and flows -----------------------------


class OneNode:
    """A graph with one node, and a call of it."""

    def one(self):
        self.graph = fastflow.Graph()
        return self.graph.add(int, "1")

    def call(self, fn, *args):
        node = self.graph.add(fn, *args)
        return self.graph.run().results[node]


class OneHandle:
    """A flow with one handle, and a call of it: both inside of the flow function."""

    def one(self):
        self.tasks = TaskRegistry()
        return self.tasks.task(int)("1")

    def call(self, fn, *args):
        return TaskRegistry().task(fn)(*args).result()


@pytest.fixture(params=[OneNode, OneHandle])
def inside(request):
    """Calls a function with `one` and `call` of a graph, or of a flow that runs."""

    def run(body):
        if request.param is OneNode:
            return body(OneNode())
        return fastflow.flow(lambda: body(OneHandle()))()

    return run


def test_any_depth_is_any_depth(inside):
    depth = 20_000

    def body(way):
        value = [way.one()]
        for _ in range(depth):
            value = [value]
        return way.call(lambda v: v, value)

    found, levels = inside(body), 0
    while isinstance(found, list):
        (found,), levels = found, levels + 1
    assert (found, levels) == (1, depth + 1)


def test_a_container_met_twice_is_made_once(inside):
    def body(way):
        inner = [way.one()]
        return way.call(lambda v: (v, v[0] is v[1]["again"]), [inner, {"again": inner}])

    assert inside(body) == ([[1], {"again": [1]}], True)


def test_what_happens_to_a_container_later_is_not_meant(inside):
    def body(way):
        one = way.one()
        lists, box = [[one]], Box([one])
        names_ = names([one, box])
        if isinstance(way, OneNode):
            node = way.graph.add(received, lists, names_)
            lists[0].append(2), box.content.append(2), names_.append(2)
            return way.graph.run().results[node]
        handle = way.tasks.task(received)(lists, names_)
        lists[0].append(2), box.content.append(2), names_.append(2)
        return handle.result()

    (found, others), _ = inside(body)
    assert (found, list(others)) == ([[1]], [1, Box([1])])


class Holder:
    def __init__(self, value):
        self.value = value


class Uncopied(list):
    def __copy__(self):
        raise RuntimeError("there is only one")


def circle(one):
    around = [one]
    around.append(around)
    return around


@pytest.mark.parametrize(
    ("wrap", "text"),
    [
        (lambda one: {one: 1}, "the key of a dict"),
        (lambda one: [{"a": {(1, one): 1}}], "the key of a dict"),
        (lambda one: collections.OrderedDict({Point(one, 1): 1}), "the key of a dict"),
        (Holder, "attribute 'value' of a Holder"),
        (lambda one: [{"a": Holder(one)}], "attribute 'value' of a Holder"),
        (lambda one: {"a": [one]}.values(), "dict_values: make a list of it"),
        (lambda one: Uncopied([one]), "a Uncopied, which can't be copied"),
        (circle, "a list contains itself"),
        (
            lambda one: np.array([(one, 1)], dtype=[("a", "O"), ("b", "i8")]),
            "array of records",
        ),
    ],
)
def test_what_no_result_can_be_put_into_is_refused(inside, wrap, text):
    def body(way):
        one = way.one()
        with pytest.raises(TypeError, match=text):
            way.call(received, wrap(one))
        return way.call(received, one)  # nothing of it is left

    assert inside(body) == ((1,), {})


def test_a_function_with_a_node_in_it_is_refused():
    graph = fastflow.Graph()
    node = graph.add(int, "1")
    with pytest.raises(TypeError, match=r"has <Node 0> with it"):
        graph.add(functools.partial(pow, node), 2)
    assert len(graph) == 1


def test_unhashable_results_in_a_set_fail_the_call_alone(inside):
    def body(way):
        if isinstance(way, OneNode):
            way.graph = fastflow.Graph()
            lists = way.graph.add(list)
        else:
            way.tasks = TaskRegistry()
            lists = way.tasks.task(list)()
        with pytest.raises(fastflow.TaskError) as caught:
            way.call(received, {lists, 1})
        return caught.value

    assert isinstance(inside(body).__cause__, TypeError)


def test_edges_come_from_any_depth():
    graph = fastflow.Graph()
    a, b = graph.add(int), graph.add(int)
    last = graph.add(np.block, [[a, b], [b, a]])
    assert graph.n_edges == 2
    assert graph.successors(a.index) == graph.successors(b.index) == (last.index,)
    np.testing.assert_array_equal(graph.run().results[last], np.zeros((2, 2)))
    other = fastflow.Graph()
    with pytest.raises(fastflow.GraphError, match="another graph"):
        other.add(received, {"k": [a]})


def test_wrappers_that_hold_nothing_yet_are_left_alone():
    class Late(collections.UserDict):
        def __init__(self):
            pass

    late = Late()
    graph = fastflow.Graph()
    node = graph.add(lambda value: value, late)
    assert graph.run()[node] is late
