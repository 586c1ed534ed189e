"""docs/architecture.md is compared with the tree, and names in prose with the code."""

from __future__ import annotations

import ast
import importlib
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "fastflow"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = sorted(PACKAGE.rglob("*.py"))

# --- the tables of modules ------------------------------------------------------------

_HEAD = re.compile(r"^\| `python/fastflow/([a-z_/]*)` \| idea \|$")


def tables(text):
    """Pairs of a folder and the names in the first column below it."""
    folder = None
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            folder = head[1]
        elif not line.startswith("|"):
            folder = None
        elif folder is not None and not line.startswith("|---"):
            for name in re.findall(r"`([a-z_]+)`", line.split("|")[1]):
                yield folder + name


def test_every_module_is_in_one_table_and_every_name_in_a_table_is_a_module():
    named = list(tables((ROOT / "docs" / "architecture.md").read_text("utf-8")))
    there = [
        str(path.relative_to(PACKAGE).with_suffix(""))
        for path in SOURCES
        if not path.name.startswith("__")
    ]
    assert set(there) - set(named) == set(), "in no table of docs/architecture.md"
    assert set(named) - set(there) == set(), "in a table, but no module"
    assert len(named) == len(set(named)), "in two tables"


# --- names in backticks ---------------------------------------------------------------

_DOTTED = re.compile(r"`(fastflow(?:\.\w+)+)(?:\(\))?`")
_PATH = re.compile(
    r"`(?:python/fastflow/)?((?:[a-z_]+/)+[a-z_]+)"
    r"(?:\.py|\.([A-Za-z_][\w.]*))?(?:\(\))?`"
)
_MEMBER = re.compile(r"`([A-Z]\w+)\.(\w+)(?:\(\))?`")
_FUNCTION = re.compile(r"`([a-z_]+)\.([a-z_]+)(?:\(\))?`")


def prose_of(path):
    """Comments and docstrings of a module, all of a page."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return text
    found = [
        token.string
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found.append(str(node.value.value))
    return "\n".join(found)


def members():
    """Class name -> names that a class of that name defines, and those of its bases."""
    own, bases = {}, {}
    for path in [*SOURCES, PACKAGE / "_core.pyi"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                names = own.setdefault(node.name, set())
                names |= set(names_in(node))
                for base in node.bases:
                    plain = base.value if isinstance(base, ast.Subscript) else base
                    last = getattr(plain, "attr", getattr(plain, "id", None))
                    bases.setdefault(node.name, set()).add(last)
    # What comes from elsewhere is not looked into, as that of `concurrent.futures`.
    plain = own.keys() | {"ABC", "Enum", "Generic", "NamedTuple", "Protocol", None}
    ours = {name for name in own if not bases.get(name, set()) - (plain - {name})}
    return {name: with_bases(name, own, bases) for name in ours}


def names_in(node):
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield inner.name
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            yield inner.id
        elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            yield inner.attr


def with_bases(name, own, bases):
    found, left, seen = set(), [name], set()
    while left:
        at = left.pop()
        if at not in seen:
            seen.add(at)
            found |= own.get(at, set())
            left.extend(bases.get(at, ()))
    return found


def exists(dotted):
    """Whether an object of the package has that name."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        return has(found, parts[n:])
    return False


def has(found, parts):
    """Whether an attribute of an attribute is there; instances' count as there."""
    for n, part in enumerate(parts):
        if not hasattr(found, part):
            return isinstance(found, type) and n == len(parts) - 1
        found = getattr(found, part)
    return True


MEMBERS = members()
STEMS = {path.stem for path in SOURCES if not path.stem.startswith("__")}
FILES = {"py", "md", "hpp", "cpp"}
#: All names that are given to anything in the package.
NAMES = {
    name
    for path in [*SOURCES, PACKAGE / "_core.pyi"]
    for name in names_in(ast.parse(path.read_text("utf-8")))
}


@pytest.mark.parametrize(
    "path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_names_in_prose_exist(path):
    text = prose_of(path)
    wrong = {name for name in _DOTTED.findall(text) if not exists(name)}
    for folder, rest in _PATH.findall(text):
        top = folder.partition("/")[0]
        if (PACKAGE / top).is_dir():
            dotted = "fastflow." + folder.replace("/", ".")
            if not exists(dotted + ("." + rest if rest else "")):
                wrong.add(f"{folder}.{rest}")
    for kind, member in _MEMBER.findall(text):
        if kind in MEMBERS and member not in MEMBERS[kind]:
            wrong.add(f"{kind}.{member}")
    if path.suffix == ".py" or path.name in ("architecture.md", "journeys.md"):
        wrong |= {
            f"{module}.{name}"
            for module, name in _FUNCTION.findall(text)
            if module in STEMS and name not in NAMES | STEMS | FILES
        }
    assert sorted(wrong) == []
