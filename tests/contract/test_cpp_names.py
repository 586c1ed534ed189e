"""No two types of the native code have one name: the linker would take one for both.

Of two different structs with one qualified name, each file sees its own, but inline
functions and templates of them are merged by name, and memory is overwritten.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

CPP = Path(__file__).resolve().parents[2] / "cpp"
LINE = re.compile(
    r"^(?:namespace(?: (?P<space>[\w:]+))? \{"
    r"|(?P<end>\})  // namespace"
    r"|(?:struct|class|enum class|union) (?:alignas\(\w+\) )?"
    r"(?P<name>\w+(?:::\w+)*)\b[^;]*\{?$)"
)


def types():
    """Yield the qualified name of each type of a namespace, and its file."""
    for path in sorted([*CPP.rglob("*.hpp"), *CPP.rglob("*.cpp")]):
        around: list[str | None] = []
        for line in path.read_text("utf-8").splitlines():
            found = LINE.match(line)
            if found is None:
                continue
            if found["end"]:
                around.pop()
            elif found["name"] is None:
                around.append(found["space"])
            elif None not in around:  # in one without a name it is the file's own
                yield "::".join([*map(str, around), found["name"]]), path


def test_types_have_names_of_their_own():
    places = defaultdict(set)
    for name, path in types():
        places[name].add(path.relative_to(CPP).as_posix())
    assert "fastflow::GraphRun" in places
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
