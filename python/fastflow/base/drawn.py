"""How things show themselves in notebooks: what draws them stands above, and says so.

Flows, graphs and results know nothing of pictures. They have `Drawn` as a base, whose
methods IPython looks for; the package names the module that draws, which is loaded at
the first picture.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Drawn", "Painter", "register_painter"]


class Painter(Protocol):
    """Draws things."""

    def html(self, x: Any) -> str | None:
        """Return what a notebook shows; None: only its ``repr``."""

    def svg(self, x: Any) -> str | None:
        """Return a picture; None if there is none."""


_painter: list[Callable[[], Painter]] = []


def register_painter(load: Callable[[], Any]) -> None:
    """Say where things are drawn; loaded when needed."""
    _painter[:] = [load]


class Drawn:
    """A thing that notebooks show as a picture."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        return _painter[0]().html(self) if _painter else None

    def _repr_svg_(self) -> str | None:
        return _painter[0]().svg(self) if _painter else None
