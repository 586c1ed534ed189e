"""README and docs: every Python block runs, every link leads somewhere."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import fastflow

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)[^)]*\)")


def python_blocks():
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start(1)) + 1
            name = f"{page.relative_to(ROOT)}:{line}"
            yield pytest.param(page, line, match.group(1), id=name)


@pytest.mark.parametrize(("page", "line", "source"), list(python_blocks()))
def test_python_block_runs(page, line, source):
    if "import joblib" in source:
        pytest.importorskip("joblib", reason="[test-cluster] is not installed")
    if "opentelemetry.sdk" in source:
        pytest.importorskip(
            "opentelemetry.sdk", reason="[test-telemetry] is not installed"
        )
    # Blank lines in front make tracebacks point into the page.
    code = compile("\n" * (line - 1) + source, str(page), "exec")
    exec(code, {"__name__": "__main__"})


def module_names():
    found = pkgutil.walk_packages(fastflow.__path__, "fastflow.")
    return ["fastflow", *(entry.name for entry in found)]


@pytest.mark.parametrize("name", module_names())
def test_examples_in_docstrings_run(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = LINK.findall(page.read_text("utf-8"))
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert missing == []


def test_ci_runs_the_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for phrase in ("fastflow demo", "-m pytest"):
        first = next(line for line in readme if phrase in line)
        assert first.startswith("python3 -m venv"), first
        assert f"readme_command '{phrase}'" in script


def test_docs_name_only_what_exists():
    missing = set()
    for page in PAGES:
        for code in BLOCK.findall(page.read_text("utf-8")):
            for name in re.findall(r"\bfastflow\.([a-zA-Z_]+)", code):
                if name != "benchmarks" and not hasattr(fastflow, name):
                    missing.add(name)
    assert missing == set()


def test_reference_names_every_export():
    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    missing = [
        name
        for name in fastflow.__all__
        if not name.startswith("__") and not re.search(rf"`{name}\b", page)
    ]
    assert missing == []


def test_reference_names_every_verb():
    from fastflow.workflows.verbs import Verbs

    page = (ROOT / "docs" / "reference" / "api.md").read_text("utf-8")
    rows = "".join(x for x in page.splitlines() if x.startswith("| `Workflow."))
    verbs = [name for name in vars(Verbs) if not name.startswith("_")]
    missing = [name for name in verbs if not re.search(rf"[`.]{name}\(", rows)]
    assert missing == [], "not in the table of workflows of docs/reference/api.md"


def test_reference_names_every_command_and_option():
    import click

    from fastflow.cli import main

    page = (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8")
    commands = {}
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                commands[f"{name} {inner.name}"] = inner
        else:
            commands[name] = command
    lines = {
        name: next((x for x in page.splitlines() if f"`fastflow {name}" in x), "")
        for name in commands
    }
    for name, command in commands.items():
        assert lines[name], f"docs/reference/cli.md lacks `fastflow {name}`"
        for option in command.params:
            if isinstance(option, click.Option):
                assert any(form in lines[name] for form in option.opts), (
                    f"the line of `fastflow {name}` in docs/reference/cli.md lacks "
                    f"{' or '.join(option.opts)}"
                )
