"""What the changes of docs/patterns gain: the snippets of each page, side by side.

    python benchmarks/patterns.py [PAGE ...] [--rounds N]

The first Python block of a page is how not to do it, the second one how to do it. They
take turns in one process. Two ratios are printed: that of the fastest times, which
others on the machine disturb least, and the median of those formed in each round.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from fastflow.bench.measure import Times, interleave

PAGES = Path(__file__).resolve().parents[1] / "docs" / "patterns"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return _BLOCK.findall((PAGES / f"{page}.md").read_text("utf-8"))


def runner(source: str) -> Callable[[], None]:
    """Return a function that runs a block, as a program of its own."""
    code = compile(source, "<block>", "exec")
    return lambda: exec(code, {"__name__": "__main__"})


def times(page: str, rounds: int) -> Times:
    """The seconds of both blocks, in each round."""
    wrong, right = blocks(page)[:2]
    # The first round, of modules, workers and caches, is not counted.
    return interleave({"wrong": runner(wrong), "right": runner(right)}, rounds)


def main() -> None:
    """Print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    names = [path.stem for path in sorted(PAGES.glob("*.md")) if path.stem != "README"]
    for page in options.pages or names:
        found = times(page, options.rounds)
        wrong, right = (min(found.seconds[name]) for name in ("wrong", "right"))
        usual = found.ratio("wrong", "right").median
        print(
            f"{page:<20} {wrong / right:6.2f} x ({wrong * 1e3:.0f} to {right * 1e3:.0f}"
            f" ms), median {usual:.2f} x",
            flush=True,
        )


if __name__ == "__main__":
    main()
