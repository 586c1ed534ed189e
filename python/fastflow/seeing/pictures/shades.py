"""How nodes are coloured: by what became of them, or by their share of the time.

The colours are told apart with any kind of colour vision (after Okabe and Ito), and a
mark says the same. Texts keep a contrast of at least 7 to 1, in light and in dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fastflow.seeing.texts import time_text

__all__ = ["Shade", "Shading", "shading_of", "sheet"]


class Shade(NamedTuple):
    """A look: class in the style sheet, word in the legend, mark beside the name."""

    key: str
    word: str
    mark: str
    light: tuple[str, str, str]
    """Fill, line and text."""
    dark: tuple[str, str, str]


PLAIN = Shade(
    "plain",
    "",
    "",
    ("#ffffff", "#57606a", "#1f2328"),
    ("#21262d", "#8b949e", "#f0f6fc"),
)

_STATES = (
    Shade(
        "done", "completed", "✓",
        ("#dff3eb", "#008060", "#06281e"), ("#0d3b2e", "#2fbf94", "#eafff7"),
    ),
    Shade(
        "failed", "failed", "✗",
        ("#fde5d8", "#c24a00", "#3d1700"), ("#4f2206", "#ff8a4c", "#fff1e8"),
    ),
    Shade(
        "running", "running", "▸",
        ("#dcebf9", "#0063a8", "#04233d"), ("#0f3152", "#58a6ff", "#ecf5ff"),
    ),
    Shade(
        "cancelled", "cancelled", "⊘",
        ("#f7e3ef", "#a3457f", "#3b0f2a"), ("#43203a", "#dd8bbd", "#fff0f9"),
    ),
    Shade(
        "skipped", "skipped", "–",
        ("#eceff2", "#6e7781", "#24292f"), ("#2b3138", "#8b949e", "#e6edf3"),
    ),
    Shade(
        "cached", "cached", "≡",
        ("#e1f3fb", "#22799f", "#06283a"), ("#12384b", "#67c1e8", "#eaf8ff"),
    ),
    Shade("pending", "pending", "…", PLAIN.light, PLAIN.dark),
)  # fmt: skip

_WORDS = {
    "completed": "done", "done": "done", "succeeded": "done",
    "failed": "failed", "retried": "failed", "timed_out": "failed",
    "running": "running", "started": "running",
    "cancelled": "cancelled", "stopped": "cancelled",
    "skipped": "skipped", "cached": "cached", "pending": "pending",
}  # fmt: skip

# One hue from pale to strong: told apart by lightness alone.
_TIMES = (
    (("#f4f8fc", "#7a96b3", "#0b1f33"), ("#16202b", "#52708f", "#eef6ff")),
    (("#d6e6f4", "#5f86ad", "#0b1f33"), ("#1b3550", "#5b87b4", "#eef6ff")),
    (("#a9cce8", "#3f77a8", "#06182a"), ("#214d78", "#6aa3d8", "#f2f8ff")),
    (("#185a96", "#0d3f6e", "#ffffff"), ("#8fc4f2", "#c6e2fb", "#04182b")),
    (("#0a3561", "#05213e", "#ffffff"), ("#d3e9fd", "#ffffff", "#04182b")),
)
_BOUNDS = (0.02, 0.1, 0.3, 0.6)  # shares of the longest time


class Shading(NamedTuple):
    """The looks of all nodes."""

    shades: tuple[Shade, ...]
    """By node."""
    notes: tuple[str, ...]
    """By node: what is written below the name."""
    legend: tuple[Shade, ...]


def shading_of(colors: Sequence[str] | Sequence[float] | None, count: int) -> Shading:
    """Return the looks of nodes.

    Parameters
    ----------
    colors : sequence of str or float, optional
        By node: words (those of `Status` or of `State`), or seconds.
    count : int
        Of nodes.

    Raises
    ------
    ValueError
        If there is not one for each node.
    """
    if colors is None or not len(colors):
        return Shading((PLAIN,) * count, ("",) * count, ())
    if len(colors) != count:
        raise ValueError(f"{len(colors)} colors for {count} nodes: give one for each")
    if isinstance(colors[0], str):
        return _by_state([str(color) for color in colors])
    return _by_time([float(color) for color in colors])


def _by_state(words: list[str]) -> Shading:
    known = {shade.key: shade for shade in _STATES}
    shades = tuple(
        known.get(_WORDS.get(word.rpartition(".")[2].lower(), ""), PLAIN)
        for word in words
    )
    there = set(shades)
    legend = tuple(shade for shade in _STATES if shade in there)
    return Shading(shades, ("",) * len(words), legend)


def _by_time(seconds: list[float]) -> Shading:
    longest = max(seconds)
    if longest <= 0:
        return Shading((PLAIN,) * len(seconds), ("",) * len(seconds), ())
    edges = [bound * longest for bound in _BOUNDS]
    scale = []
    for number, (light, dark) in enumerate(_TIMES):
        word = f"to {time_text(longest)}"
        if number < len(edges):
            word = f"< {time_text(edges[number])}"
        scale.append(Shade(f"t{number}", word, "", light, dark))
    shades = tuple(scale[sum(s >= edge for edge in edges)] for s in seconds)
    notes = tuple(time_text(s) if s > 0 else "" for s in seconds)
    return Shading(shades, notes, tuple(s for s in scale if s in shades))


def sheet(root: str, shades: Sequence[Shade]) -> str:
    """Return the style rules for elements of the classes of `shades` below `root`."""
    used = sorted({PLAIN, *shades})
    light = "".join(_rules(f".{root}", shade.key, shade.light) for shade in used)
    return light + in_dark(
        root, "".join(_rules("&", shade.key, shade.dark) for shade in used)
    )


def _rules(root: str, key: str, colors: tuple[str, str, str]) -> str:
    fill, line, ink = colors
    return (
        f"{root} .{key} rect{{fill:{fill};stroke:{line}}}"
        f"{root} .{key} text{{fill:{ink}}}"
    )


def in_dark(root: str, rules: str) -> str:
    """Return rules for dark surroundings; in them, & stands for the picture.

    Dark is what the system says, unless a page with a switch of its own says otherwise
    (JupyterLab, and pages with ``data-theme``).
    """
    light_page = ':is([data-theme="light"],[data-jp-theme-light="true"])'
    dark_page = ':is([data-theme="dark"],[data-jp-theme-light="false"])'
    system = rules.replace("&", f".{root}:not({light_page} *)")
    asked = rules.replace("&", f"{dark_page} .{root}")
    return f"@media (prefers-color-scheme:dark){{{system}}}{asked}"
