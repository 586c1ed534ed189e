"""The layers of the package: a module imports lower numbers only.

Modules of one unit (a package such as ``bench``) may import each other. Nothing inside
imports the package itself, whose ``__init__`` is the top layer.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "fastflow"

#: Unit -> layer; see docs/architecture.md.
LAYERS = {
    "_core": 0,
    "active": 0,
    "benchmarks": 0,
    "columns": 0,
    "completion": 0,
    "doctor": 0,
    "durations": 0,
    "lifetime": 0,
    "errors": 0,
    "names": 0,
    "options": 0,
    "containers": 0,
    "modules": 0,
    "params": 1,
    "progress": 0,
    "scope": 0,
    "signatures": 0,
    "status": 0,
    "terminal": 0,
    "textfiles": 1,
    "topology": 1,
    "aio": 1,
    "arrays": 1,
    "blas": 1,
    "cache": 1,
    "future": 1,
    "interrupts": 1,
    "kernel": 1,
    "nested": 1,
    "results": 1,
    "retry": 1,
    "timers": 1,
    "waiting": 1,
    "workers": 1,
    "executor": 2,
    "handles": 2,
    "tasks": 2,
    "dispatch": 3,
    "fanout": 3,
    "graph": 3,
    "plan": 3,
    "taskgroup": 3,
    "run": 4,
    "dsl": 5,
    "registry": 5,
    "workflows": 6,
    "durable": 6,
    "engines": 6,
    "flows": 7,
    "bench": 8,
    "demo_durable": 8,
    "testing": 8,
    "pytest_plugin": 9,
    "demo": 9,
    "cli": 10,
    "__main__": 11,
    "__init__": 12,
}

#: Where Python.h and pybind11 may be included, and what the core must not know.
CORE = PACKAGE.parents[1] / "cpp" / "core"


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def absolute(node, path):
    """Dotted names, from the package on, that an import statement refers to."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level == 0:
        base = node.module or ""
    else:
        inside = ["fastflow", *path.relative_to(PACKAGE).parts[:-1]]
        parts = inside[: len(inside) - node.level + 1]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    # `from . import x` may name a module; `from .m import x` names m at least.
    return [f"{base}.{alias.name}" for alias in node.names]


def imported_units(path):
    """Pairs of (line, unit) for each import of the package's own modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for name in absolute(node, path):
            head, *rest = name.split(".")
            if head == "fastflow":
                known = rest and (
                    (PACKAGE / rest[0]).is_dir()
                    or (PACKAGE / f"{rest[0]}.py").exists()
                    or rest[0] == "_core"
                )
                yield node.lineno, rest[0] if known else "__init__"


def test_every_module_has_a_layer():
    units = {unit_of(path) for path in modules()}
    assert sorted(units - LAYERS.keys()) == []


@pytest.mark.parametrize(
    "path", modules(), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_a_module_imports_lower_layers_only(path):
    own = unit_of(path)
    wrong = [
        f"line {line}: layer {LAYERS[own]} imports {unit}, layer {LAYERS[unit]}"
        for line, unit in imported_units(path)
        if unit != own and LAYERS[unit] >= LAYERS[own]
    ]
    assert wrong == []


def test_the_native_core_knows_no_python():
    wrong = [
        f"{path.name}: {line}"
        for path in sorted(CORE.glob("*.[ch]pp"))
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("#include") and ("Python" in line or "pybind11" in line)
    ]
    assert wrong == []
