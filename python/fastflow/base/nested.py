"""References to results that are not there yet, at any depth of a value.

Nodes of a graph and handles of a flow stand for results. A value that holds some of
them becomes a `Template`, which makes the value anew from their results: lists, tuples,
dicts, sets, deques, their subclasses, UserList, UserDict, ChainMap, named tuples,
dataclasses, namespaces, slices, partial functions, arrays of objects. What can't be
made anew is refused, and so is an object that keeps a reference in an attribute:
nothing hands a reference to a function that waits for its result.

Nothing here is recursive, and a container without references stays the object it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastflow.base.containers import (
    LEAVES,
    STATIC_CONTAINERS,
    Kind,
    Make,
    Opened,
    open_container,
)

__all__ = [
    "STATIC_CONTAINERS", "FlatTemplate", "Kind", "Template", "template_of",
    "template_of_call",
]  # fmt: skip


_PLAIN = (list, tuple, dict)


class Template:
    """A value with places for the results of references.

    Attributes
    ----------
    references : tuple
        Each one once, in the order in which they were met.
    is_plain : bool
        Whether they are in lists, tuples and dicts only: no code of the user's sees
        what they are filled with.
    """

    __slots__ = ("_pool", "_root", "_slots", "_steps", "is_plain", "references")

    def __init__(
        self,
        references: tuple[Any, ...],
        slots: tuple[int, ...],
        steps: Sequence[tuple[int, Make, list[int]]],
        pool: list[Any],
        root: int,
        *,
        is_plain: bool,
    ) -> None:
        self.references = references
        self.is_plain = is_plain
        self._slots = slots
        self._steps = steps
        self._pool = pool
        self._root = root

    def fill(self, results: Sequence[Any]) -> Any:
        """Return the value with results in place of the references.

        Parameters
        ----------
        results : sequence
            In the order of `references`.

        Raises
        ------
        TypeError
            If a set is to hold a result that can't be hashed.
        """
        pool = self._pool.copy()
        for slot, result in zip(self._slots, results, strict=True):
            pool[slot] = result
        for slot, make, places in self._steps:
            pool[slot] = make([pool[place] for place in places])
        return pool[self._root]


class FlatTemplate:
    """Arguments of a call some of which are references, and none a container.

    Attributes
    ----------
    references : tuple
        As often as they occur.
    is_plain : bool
        See `Template`.
    """

    __slots__ = ("_args", "_kwargs", "_type", "references")
    is_plain = True

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], kind: Kind
    ) -> None:
        self._args = args
        self._kwargs = kwargs
        self._type = kind.type
        values = (*args, *kwargs.values())
        self.references: tuple[Any, ...] = tuple(
            [value for value in values if type(value) is kind.type]
        )

    def fill(self, results: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with results in place of the references."""
        own, left = self._type, iter(results)
        args = [next(left) if type(v) is own else v for v in self._args]
        kwargs = {
            name: next(left) if type(v) is own else v
            for name, v in self._kwargs.items()
        }
        return tuple(args), kwargs


def template_of_call(
    args: tuple[Any, ...], kwargs: dict[str, Any], kind: Kind
) -> FlatTemplate | Template | None:
    """Return a template of a call's arguments; None if there are no references."""
    some = False
    for value in (*args, *kwargs.values()) if kwargs else args:
        if type(value) is kind.type:
            some = True
        elif type(value) not in LEAVES:
            return template_of((args, kwargs), kind)
    return FlatTemplate(args, kwargs, kind) if some else None


def template_of(value: Any, kind: Kind) -> Template | None:
    """Return a template of a value; None if there are no references in it.

    The template does not change with the containers that it was made of.

    Raises
    ------
    TypeError
        If a reference is where no result can be put: in the key of a dict, in an
        attribute of an unknown object, in a container that contains itself.
    """
    if type(value) in LEAVES:
        return None
    if type(value) is kind.type:
        return Template((value,), (0,), (), [None], 0, is_plain=True)
    opened = _holding(value, kind)
    return _Compiler(kind, opened).compile(value) if opened else None


def _opened(value: Any, kind: Kind) -> Opened | None:
    """Open a container; refuses references where no results can be put."""
    opened = open_container(value, kind)
    for item in opened.fixed if opened is not None else ():
        template = template_of(item, kind)
        if template is not None:
            place = opened.place if opened is not None else ""
            raise TypeError(
                f"{kind.describe(template.references[0])} can't be {place}; {kind.fix}"
            )
    return opened


def _holding(value: Any, kind: Kind) -> dict[int, Opened]:
    """Return the containers that references are in, or further down, by identity."""
    first = _opened(value, kind)
    if first is None:
        return {}
    opened = {id(value): first}
    around: dict[int, list[int]] = {id(value): []}
    holding: list[int] = []
    waiting = [id(value)]
    wanted, leaves = kind.type, LEAVES
    while waiting:
        own = waiting.pop()
        for item in opened[own].inside:
            if type(item) in leaves:
                continue
            if type(item) is wanted:
                holding.append(own)
                continue
            number = id(item)
            if number not in opened:
                container = _opened(item, kind)
                if container is None:
                    continue
                opened[number] = container
                around[number] = []
                waiting.append(number)
            around[number].append(own)
    found: dict[int, Opened] = {}
    while holding:
        own = holding.pop()
        if own not in found:
            found[own] = opened[own]
            holding += around[own]
    return found


class _Compiler:
    """Goes through the containers that hold references, inner ones first."""

    def __init__(self, kind: Kind, opened: dict[int, Opened]) -> None:
        self._kind = kind
        self._opened = opened
        self._pool: list[Any] = []
        self._steps: list[tuple[int, Make, list[int]]] = []
        self._slots: dict[Any, int] = {}  # of references
        self._made: dict[int, int] = {}  # of containers

    def compile(self, value: Any) -> Template:
        # Containers that have been begun: what is left of each, and its places so far.
        frames: list[tuple[Opened, Iterator[Any], list[int]]] = []
        begun: set[int] = set()
        self._begin(value, frames, begun)
        while True:  # until the outermost one is made
            container, rest, places = frames[-1]
            for item in rest:
                place = self._place(item)
                if place is None:
                    self._begin(item, frames, begun)
                    break
                places.append(place)
            else:
                frames.pop()
                slot = self._made[id(container.value)] = self._slot(None)
                self._steps.append((slot, container.prepare(), places))
                if not frames:
                    break
                frames[-1][2].append(slot)
        return Template(
            tuple(self._slots), tuple(self._slots.values()), tuple(self._steps),
            self._pool, slot,
            is_plain=all(type(c.value) in _PLAIN for c in self._opened.values()),
        )  # fmt: skip

    def _begin(self, value: Any, frames: list[Any], begun: set[int]) -> None:
        if id(value) in begun:
            raise TypeError(
                f"a {type(value).__name__} contains itself, and "
                f"{self._kind.describe(self._some_reference())}; {self._kind.fix}"
            )
        begun.add(id(value))
        container = self._opened[id(value)]
        frames.append((container, iter([*container.inside]), []))

    def _some_reference(self) -> Any:
        inside = (i for opened in self._opened.values() for i in opened.inside)
        return next(item for item in inside if type(item) is self._kind.type)

    def _place(self, item: Any) -> int | None:
        """Return where the item is; None for a container that has not been begun."""
        if type(item) is self._kind.type:
            place = self._slots.get(item)
            if place is None:
                place = self._slots[item] = self._slot(None)
            return place
        if id(item) in self._opened:
            return self._made.get(id(item))
        return self._slot(item)

    def _slot(self, value: Any) -> int:
        self._pool.append(value)
        return len(self._pool) - 1
