"""How the parameters of a task are filled from results and from the flow's input.

By name first, then by position:

1. ``<ancestor>`` or ``<ancestor>_result`` gets that task's result, ``inputs`` all
   results of ancestors, ``input_data`` the flow's input;
2. a key of a dict input;
3. a key of a parent's dict result, if one parent alone has it;
4. what is still required: the results of the parents that no name has taken;
5. defaults; ``*args`` and ``**kwargs`` get what is left.

Four steps: `Signature` looks at a function once; `Recipe` is made when a flow is
compiled, and shared by all tasks with equal functions and numbers of parents; `Layout`
applies the rules when it is known which keys the input has, and is kept; `BoundRecipe`
holds the values of a run's input. What remains for the moment of the call is rule 3, as
it depends on results.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, NamedTuple

from fastflow.base.signatures import signature

__all__ = [
    "INPUTS",
    "INPUT_DATA",
    "BoundRecipe",
    "Layout",
    "Parameter",
    "Recipe",
    "Signature",
    "Source",
    "Unfilled",
]

INPUTS = "inputs"
INPUT_DATA = "input_data"


class Parameter(NamedTuple):
    """A parameter of a task's function."""

    name: str
    required: bool
    by_keyword: bool
    """Can only be given by keyword."""
    default: Any


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes.

    A callable without a signature (some builtins) is treated as ``f(*args)``.
    """

    parameters: tuple[Parameter, ...]
    positional_only: frozenset[str]
    star: bool
    double_star: bool

    @classmethod
    def of(cls, fn: Callable[..., Any]) -> Signature:
        """Look at a callable."""
        if type(fn) is FunctionType and not fn.__dict__:
            return cls._of_function(fn)
        try:
            found = signature(fn).parameters.values()
        except (TypeError, ValueError):
            return cls((), frozenset(), True, False)
        kinds = inspect.Parameter
        named = [
            Parameter(
                p.name, p.default is p.empty, p.kind is kinds.KEYWORD_ONLY, p.default
            )
            for p in found
            if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        ]
        return cls(
            tuple(named),
            frozenset(p.name for p in found if p.kind is kinds.POSITIONAL_ONLY),
            any(p.kind is kinds.VAR_POSITIONAL for p in found),
            any(p.kind is kinds.VAR_KEYWORD for p in found),
        )

    @classmethod
    def _of_function(cls, fn: FunctionType) -> Signature:
        """Look at a plain function; much quicker than `inspect.signature`."""
        code = fn.__code__
        shape = (
            code.co_varnames[: code.co_argcount + code.co_kwonlyargcount],
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS),
        )
        if not fn.__defaults__ and not fn.__kwdefaults__:
            return _without_defaults(*shape)
        names = reversed(shape[0][: code.co_argcount])
        given = reversed(fn.__defaults__ or ())
        return cls._make(
            *shape,
            {**dict(zip(names, given, strict=False)), **(fn.__kwdefaults__ or {})},
        )

    @classmethod
    def _make(
        cls,
        names: tuple[str, ...],
        positional: int,
        positional_only: int,
        flags: int,
        defaults: Mapping[str, Any],
    ) -> Signature:
        empty = inspect.Parameter.empty
        parameters = [
            Parameter(
                name, name not in defaults, i >= positional, defaults.get(name, empty)
            )
            for i, name in enumerate(names)
        ]
        return cls(
            tuple(parameters),
            frozenset(names[:positional_only]),
            bool(flags & inspect.CO_VARARGS),
            bool(flags & inspect.CO_VARKEYWORDS),
        )


@functools.lru_cache(1_024)
def _without_defaults(
    names: tuple[str, ...], positional: int, positional_only: int, flags: int
) -> Signature:
    """Share one signature among all functions of these parameters."""
    return Signature._make(names, positional, positional_only, flags, {})


class Source(NamedTuple):
    """Where a parameter comes from by its name (rule 1)."""

    kind: str
    """``parent``, ``ancestor``, ``inputs`` or ``input_data``."""
    number: int = 0
    """Position among the parents, or number of the task."""


class Unfilled(Exception):  # noqa: N818  (becomes a ParameterError where names are known)
    """Some parameters remain."""

    def __init__(self, names: Sequence[str], parents: Sequence[int]) -> None:
        super().__init__(names, parents)
        self.names = tuple(names)
        self.parents = tuple(parents)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a task's parameters are filled, as far as the flow alone tells.

    Attributes
    ----------
    signature : Signature
    parents : int
        How many there are.
    sources : dict
        Parameter -> where it comes from (rule 1).
    """

    signature: Signature
    parents: int
    sources: Mapping[str, Source]
    layouts: dict[tuple[str, ...], Layout] = field(
        default_factory=dict, repr=False, compare=False
    )
    """By the keys of the input that are used; made when they are first met."""

    @property
    def names(self) -> list[str]:
        """The parameters that a key of a dict input could fill."""
        sources = self.sources
        return [p.name for p in self.signature.parameters if p.name not in sources]

    @property
    def depends_on_input(self) -> bool:
        """Whether the flow's input matters even without a key of that name."""
        signature = self.signature
        if not self.parents and (signature.parameters or signature.star):
            return True
        return signature.double_star or any(
            source.kind == "input_data" for source in self.sources.values()
        )

    def bind(self, input_data: Any) -> BoundRecipe:
        """Return what remains to do when the flow's input is known.

        Raises
        ------
        Unfilled
            If a task without parents can't be called.
        """
        given: Mapping[Any, Any] = {}
        keys: tuple[str, ...] = ()
        if isinstance(input_data, Mapping):
            given = input_data
            keys = tuple([name for name in self.names if name in given])
        layout = self.layouts.get(keys)
        if layout is None:
            layout = self.layouts[keys] = Layout(self, keys)
        constants = (input_data, *[given[key] for key in keys])
        return BoundRecipe(
            layout, constants, self._rest(input_data), self._extra(given)
        )

    def _extra(self, given: Mapping[Any, Any]) -> dict[str, Any]:
        if not self.signature.double_star:
            return {}
        names = {p.name for p in self.signature.parameters}
        return {
            key: value
            for key, value in given.items()
            if isinstance(key, str) and key not in names
        }

    def _rest(self, input_data: Any) -> tuple[Any, ...]:
        """Return what a root that takes ``*args`` alone gets."""
        opaque = self.signature.star and not self.signature.parameters
        if opaque and not self.parents and input_data is not None:
            return () if self.signature.double_star else (input_data,)
        return ()


class _Slot(NamedTuple):
    """Stands for a value when a `Template` is made: its place in the pool."""

    place: int


class _Places(dict[int, _Slot]):
    """A slot for each task that is asked for."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __missing__(self, number: int) -> _Slot:
        slot = self[number] = _Slot(self.first + len(self))
        return slot


Place = int | tuple[int, ...]
"""Of an argument in the pool; several make a list."""


def _place(filler: Any) -> Place:
    """Return where a filler will be found.

    Raises
    ------
    Unfilled
        If it is no slot: a default.
    """
    if isinstance(filler, _Slot):
        return filler.place
    if type(filler) is list and filler and isinstance(filler[0], _Slot):
        return tuple([slot.place for slot in filler])
    raise Unfilled((), ())


class Template(NamedTuple):
    """Arguments by their places in the pool: constants, parents, other results."""

    args: tuple[Place, ...]
    kwargs: tuple[tuple[str, Place], ...]
    ancestors: tuple[int, ...]
    """Tasks whose results come last in the pool."""

    @property
    def flat(self) -> list[int] | None:
        """The places, if all are one value each of the input or of parents."""
        places = [place for place in self.args if isinstance(place, int)]
        if self.kwargs or self.ancestors or len(places) < len(self.args):
            return None
        return places


_MANY = 32  # parents; more cost more than the template saves


class Layout:
    """The rules, applied to a recipe and the keys of the input that fill parameters.

    Attributes
    ----------
    constants : tuple of (str, int)
        Parameter -> place among the input and the values of these keys.
    open : bool
        Whether a dict among the results could fill a parameter (rule 3).
    plain : bool
        Whether the results of the parents are the arguments, one by one, unless
        `open` and one of them is a dict.
    template : Template or None
        The arguments, if that does not depend on values; with `open`: if none of the
        results is a dict.
    """

    __slots__ = (
        "_free", "_open", "_recipe", "_required", "constants", "open", "plain",
        "template",
    )  # fmt: skip

    def __init__(self, recipe: Recipe, keys: tuple[str, ...]) -> None:
        constants = {key: place for place, key in enumerate(keys, 1)}
        sources, signature = recipe.sources, recipe.signature
        for name, source in sources.items():
            if source.kind == "input_data":
                constants[name] = 0
        open_ = [
            p
            for p in signature.parameters
            if p.name not in sources and p.name not in constants
        ]
        missing = [p.name for p in open_ if p.required]
        if missing and not recipe.parents:
            if len([p for p in signature.parameters if p.required]) != 1:
                raise Unfilled(missing, ())
            constants[missing[0]] = 0
            open_ = [p for p in open_ if p.name != missing[0]]
        taken = {s.number for s in sources.values() if s.kind == "parent"}
        self._recipe = recipe
        self._open = tuple(open_)
        self._required = tuple(p.name for p in open_ if p.required)
        self._free = tuple(i for i in range(recipe.parents) if i not in taken)
        self.constants = tuple(constants.items())
        self.open = bool(open_)
        self.plain = self._is_plain()
        self.template = self._make_template(1 + len(keys))

    def _is_plain(self) -> bool:
        signature = self._recipe.signature
        if self._recipe.sources or self.constants:
            return False
        if any(p.by_keyword and p.required for p in signature.parameters):
            return False
        if signature.star:
            return not self._open
        return len(self._required) == self._recipe.parents

    def _make_template(self, constants: int) -> Template | None:
        """Fill the parameters with slots, by the same rules as with values."""
        parents = self._recipe.parents
        if parents > _MANY:
            return None
        if any(s.kind == "inputs" for s in self._recipe.sources.values()):
            return None
        slots = [_Slot(constants + i) for i in range(parents)]
        ancestors = _Places(constants + parents)
        filled: dict[str, Any] = {name: _Slot(place) for name, place in self.constants}
        try:
            args, kwargs = self.fill(filled, slots, ancestors, dict, (), {})
            return Template(
                tuple([_place(arg) for arg in args]),
                tuple([(name, _place(arg)) for name, arg in kwargs.items()]),
                tuple(ancestors),
            )
        except Unfilled:
            return None

    def fill(
        self,
        filled: dict[str, Any],
        values: Sequence[Any],
        results: Any,
        inputs: Callable[[], Any],
        rest: tuple[Any, ...],
        extra: Mapping[str, Any],
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments; `filled` has the constants, and is changed.

        Raises
        ------
        Unfilled
            If something required is left.
        """
        for name, source in self._recipe.sources.items():
            if source.kind == "parent":
                filled[name] = values[source.number]
            elif source.kind == "ancestor":
                filled[name] = results[source.number]
            elif source.kind == "inputs":
                filled[name] = inputs()
        self._from_dicts(values, filled)
        rest = (*rest, *self._by_position(values, filled))
        return self._in_order(filled, rest, extra)

    def _from_dicts(self, values: Sequence[Any], filled: dict[str, Any]) -> None:
        """Apply rule 3."""
        dicts = [value for value in values if isinstance(value, dict)]
        if not dicts:
            return
        for parameter in self._open:
            having = [value for value in dicts if parameter.name in value]
            if len(having) == 1:
                filled[parameter.name] = having[0][parameter.name]

    def _by_position(
        self, values: Sequence[Any], filled: dict[str, Any]
    ) -> tuple[Any, ...]:
        """Apply rule 4; returns what ``*args`` gets."""
        missing = [name for name in self._required if name not in filled]
        free = [values[i] for i in self._free]
        if self._recipe.signature.star:
            if len(missing) > len(free):
                raise Unfilled(missing, self._free)
            filled.update(zip(missing, free, strict=False))
            return tuple(free[len(missing) :])
        if not missing:
            return ()
        if len(missing) == len(free):
            filled.update(zip(missing, free, strict=True))
        elif len(missing) == 1 and free:
            filled[missing[0]] = free
        else:
            raise Unfilled(missing, self._free)
        return ()

    def _in_order(
        self, filled: dict[str, Any], rest: tuple[Any, ...], extra: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        signature = self._recipe.signature
        args: list[Any] = []
        kwargs = dict(extra)
        gap = False  # a default is used, so what follows goes by keyword
        for parameter in signature.parameters:
            name = parameter.name
            if name in filled:
                if parameter.by_keyword or gap:
                    kwargs[name] = filled[name]
                else:
                    args.append(filled[name])
            elif not parameter.by_keyword:
                if rest or name in signature.positional_only:
                    args.append(parameter.default)
                else:
                    gap = True
        return (*args, *rest), kwargs


class BoundRecipe:
    """Makes the arguments of a call; see `arguments`."""

    __slots__ = ("_extra", "_rest", "constants", "layout", "plain", "template")

    def __init__(
        self,
        layout: Layout,
        constants: tuple[Any, ...],
        rest: tuple[Any, ...],
        extra: dict[str, Any],
    ) -> None:
        self.layout = layout
        self.constants = constants
        self._rest = rest
        self._extra = extra
        simple = not rest and not extra
        self.plain = simple and layout.plain
        self.template = layout.template if simple else None

    def arguments(
        self, values: Sequence[Any], results: Sequence[Any], inputs: Callable[[], Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments.

        Parameters
        ----------
        values : sequence
            Results of the parents, in the order of the edges.
        results : sequence
            Results of all tasks, by number.
        inputs : callable
            Makes the mapping for a parameter called ``inputs``.

        Raises
        ------
        Unfilled
            If something required is left.
        """
        layout = self.layout
        if not layout.open or not any(isinstance(value, dict) for value in values):
            if self.plain:
                return tuple(values), {}
            if self.template is not None:
                return self._by_template(self.template, values, results)
        filled = {name: self.constants[place] for name, place in layout.constants}
        return layout.fill(filled, values, results, inputs, self._rest, self._extra)

    def _by_template(
        self, template: Template, values: Sequence[Any], results: Sequence[Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs, ancestors = template
        if not args and not kwargs:
            return (), {}
        pool = [*self.constants, *values, *[results[number] for number in ancestors]]
        found = [
            pool[place] if type(place) is int else _several(pool, place)
            for place in args
        ]
        if not kwargs:
            return tuple(found), {}
        return tuple(found), {
            name: pool[place] if type(place) is int else _several(pool, place)
            for name, place in kwargs
        }


def _several(pool: Sequence[Any], places: Any) -> list[Any]:
    return [pool[place] for place in places]
