"""How the parameters of a task are filled from results and from the flow's input.

By name first, then by position:

1. ``<ancestor>`` or ``<ancestor>_result`` gets that task's result, ``inputs`` all
   results of ancestors, ``input_data`` the flow's input;
2. a key of a dict input;
3. a key of a parent's dict result, if one parent alone has it;
4. what is still required: the results of the parents that no name has taken;
5. defaults; ``*args`` and ``**kwargs`` get what is left.

Three steps: `Signature` looks at a function once; `Recipe` is made when a flow is
compiled, and shared by all tasks with equal functions and numbers of parents;
`BoundRecipe` is made when a run starts and the input is known. What remains for the
moment of the call is rule 3, as it depends on results.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple

__all__ = [
    "INPUTS",
    "INPUT_DATA",
    "BoundRecipe",
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
            found = inspect.signature(fn).parameters.values()
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
        count = code.co_argcount
        names = code.co_varnames[: count + code.co_kwonlyargcount]
        defaults = dict(
            zip(reversed(names[:count]), reversed(fn.__defaults__ or ()), strict=False)
        )
        defaults.update(fn.__kwdefaults__ or {})
        empty = inspect.Parameter.empty
        return cls(
            tuple(
                Parameter(
                    name, name not in defaults, i >= count, defaults.get(name, empty)
                )
                for i, name in enumerate(names)
            ),
            frozenset(names[: code.co_posonlyargcount]),
            bool(code.co_flags & inspect.CO_VARARGS),
            bool(code.co_flags & inspect.CO_VARKEYWORDS),
        )


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

    def bind(self, input_data: Any) -> BoundRecipe:
        """Return what remains to do when the flow's input is known.

        Raises
        ------
        Unfilled
            If a task without parents can't be called.
        """
        given = input_data if isinstance(input_data, Mapping) else {}
        constants = {}
        open_ = []
        for parameter in self.signature.parameters:
            name = parameter.name
            source = self.sources.get(name)
            if source is not None:
                if source.kind == "input_data":
                    constants[name] = input_data
            elif name in given:
                constants[name] = given[name]
            else:
                open_.append(parameter)
        missing = [parameter.name for parameter in open_ if parameter.required]
        if missing and not self.parents:
            required = [p for p in self.signature.parameters if p.required]
            if len(required) != 1:
                raise Unfilled(missing, ())
            constants[missing[0]] = input_data
            open_ = [p for p in open_ if p.name != missing[0]]
        return BoundRecipe(
            self, constants, tuple(open_), self._extra(given), self._rest(input_data)
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


class BoundRecipe:
    """Makes the arguments of a call; see `arguments`."""

    __slots__ = (
        "_constants", "_extra", "_free", "_leading", "_open", "_recipe", "_required",
        "_rest", "plain",
    )  # fmt: skip

    def __init__(
        self,
        recipe: Recipe,
        constants: dict[str, Any],
        open_: tuple[Parameter, ...],
        extra: dict[str, Any],
        rest: tuple[Any, ...],
    ) -> None:
        self._recipe = recipe
        self._constants = constants
        self._open = open_
        self._extra = extra
        self._rest = rest
        taken = {s.number for s in recipe.sources.values() if s.kind == "parent"}
        self._free = tuple(i for i in range(recipe.parents) if i not in taken)
        self._required = tuple(p.name for p in open_ if p.required)
        #: Whether the results of the parents are the arguments, one by one, unless one
        #: of them is a dict.
        self.plain = self._is_plain()

    def _is_plain(self) -> bool:
        signature = self._recipe.signature
        if self._recipe.sources or self._constants or self._extra or self._rest:
            return False
        if any(p.by_keyword and p.required for p in signature.parameters):
            return False
        if signature.star:
            return not self._open
        return len(self._required) == self._recipe.parents

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
        if self.plain and not (
            self._open and any(isinstance(value, dict) for value in values)
        ):
            return tuple(values), {}
        filled = dict(self._constants)
        for name, source in self._recipe.sources.items():
            if source.kind == "parent":
                filled[name] = values[source.number]
            elif source.kind == "ancestor":
                filled[name] = results[source.number]
            elif source.kind == "inputs":
                filled[name] = inputs()
        self._from_dicts(values, filled)
        rest = self._by_position(values, filled)
        return self._in_order(filled, rest)

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
            return (*self._rest, *free[len(missing) :])
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
        self, filled: dict[str, Any], rest: tuple[Any, ...]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        signature = self._recipe.signature
        args: list[Any] = []
        kwargs = dict(self._extra)
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
