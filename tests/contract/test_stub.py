"""The stub of the native module says what the module has."""

from __future__ import annotations

import ast
from pathlib import Path

import fastflow
import fastflow._core as core

STUB = Path(fastflow.__file__).with_name("_core.pyi")


def declarations(body):
    """Name -> statement of what a class or a module declares."""
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = node
        elif isinstance(node, ast.Assign):
            found.update({target.id: node for target in node.targets})
    return found


def public(names):
    return {name for name in names if not name.startswith("_")}


def stub():
    return declarations(ast.parse(STUB.read_text("utf-8")).body)


def test_the_stub_declares_every_public_name():
    assert sorted(public(vars(core)) - stub().keys()) == []


def test_the_module_has_what_the_stub_declares():
    assert (
        sorted(
            name
            for name in stub()
            if not hasattr(core, name) and name not in {"_P", "_T"}
        )
        == []
    )


def test_the_stub_declares_every_public_member():
    wrong = []
    for name, node in stub().items():
        actual = getattr(core, name, None)
        if isinstance(node, ast.ClassDef) and isinstance(actual, type):
            declared = declarations(node.body)
            wrong += [f"{name}.{x}" for x in public(vars(actual)) - declared.keys()]
            wrong += [
                f"{name}.{x}"
                for x in declared
                if x != "__buffer__" and not hasattr(actual, x)  # it is there from 3.12
            ]
    assert sorted(wrong) == []
