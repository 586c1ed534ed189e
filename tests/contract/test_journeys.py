"""The roads of docs/journeys.md: what they name exists, and imports in that order."""

from __future__ import annotations

import ast
import re

import pytest

from contract.test_layers import MODULES, PACKAGE, allowed, imported

ROOT = PACKAGE.parents[1]
TEXT = (ROOT / "docs" / "journeys.md").read_text("utf-8")
STEP = re.compile(r"^([▼◇▲]) +(\S+) +(\S+)", re.MULTILINE)

ROADS = {
    title: STEP.findall(road)
    for title, road in re.findall(
        r"^## (.+?)\n.*?^```text road\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL
    )
}
IMPORTS = {name: {other for _, other in imported(name)} for name in MODULES}


def dotted(file):
    return file.replace("/", ".")


def reaches(name, other):
    """Whether a module imports another one, itself or by way of others."""
    seen, left = set(), [name]
    while left:
        for found in IMPORTS.get(left.pop(), ()):
            if found == other:
                return True
            if found not in seen:
                seen.add(found)
                left.append(found)
    return False


def names_of(file):
    """The functions and classes of a module, and Class.method."""
    for node in ast.parse(MODULES[dotted(file)].read_text("utf-8")).body:
        name = getattr(node, "name", None)
        if name is not None:
            yield name
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{name}.{inner.name}"


def test_there_are_five():
    assert len(ROADS) == 5
    assert all(len(road) > 5 for road in ROADS.values())


@pytest.mark.parametrize("title", ROADS)
def test_files_and_functions_exist(title):
    for _, file, function in ROADS[title]:
        if file.startswith("cpp/"):
            source = (ROOT / file).read_text("utf-8")
            assert re.search(rf"\b{function}\(", source), (file, function)
        else:
            assert function in set(names_of(file)), (file, function)


@pytest.mark.parametrize("title", ROADS)
def test_no_file_twice_but_on_the_way_back(title):
    passed = []
    for sign, file, _ in ROADS[title]:
        if sign == "▲":
            assert file in passed, f"{file} is no way back"
        elif passed[-1:] != [file]:
            assert file not in passed, f"{file} comes twice"
            passed.append(file)


@pytest.mark.parametrize("title", ROADS)
def test_the_files_import_in_that_order(title):
    passed, last = [], None
    for sign, file, _ in ROADS[title]:
        ours = not file.startswith("cpp/")
        name = dotted(file)
        if sign == "▼" and passed and ours:
            above = [dotted(x) for x in passed if not x.startswith("cpp/")]
            assert any(
                reaches(other, name) and allowed(other, name) for other in above
            ), f"nothing before {file} imports it"
        if sign == "◇" and last != file:
            assert reaches(name, dotted(last)), f"{file} does not know {last}"
        passed.append(file)
        last = file
