"""What a text may reach: what is in allowed modules, and nothing else."""

from __future__ import annotations

import sys

import pytest

import fastflow
from fastflow import Flow, run_flow_from_dsl, run_parallel_flow_from_dsl
from fastflow.cli import flows as commands
from fastflow.cli.run import run as run_flow

MODULE = """
import functools
import json
import os
from os import getpid
from subprocess import Popen

def double(n):
    return 2 * n

class Tools:
    @staticmethod
    def triple(n):
        return 3 * n

    system = staticmethod(os.system)

    def method(self, n):
        return n

tools = Tools()
partial = functools.partial(double, 4)
encoder = json.JSONEncoder()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "toolbox_of_tests.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "toolbox_of_tests"
    sys.modules.pop("toolbox_of_tests", None)


def flow(target, key="run", **options):
    text = f"flow F:\n    task a:\n        {key}: {target}\n"
    return Flow(text, registry={"a": lambda: 1}, **options)


@pytest.mark.parametrize("key", ["run", "fallback"])
def test_nothing_is_imported_by_default(key, module, monkeypatch):
    for target in (f"{module}:double", "builtins:exec", "os:system"):
        with pytest.raises(fastflow.DslError, match="allow_import"):
            flow(target, key)
    assert module not in sys.modules


@pytest.mark.parametrize("run", [run_flow_from_dsl, run_parallel_flow_from_dsl])
def test_a_constant_fallback_does_not_hide_a_refusal(run):
    text = "flow F:\n    task a:\n        run: builtins:exec\n        fallback: 1\n"
    with pytest.raises(fastflow.DslError, match="allow_import"):
        run(text, "raise AssertionError('it ran')")


@pytest.mark.parametrize(
    ("path", "value"),
    [("double", 8), ("Tools.triple", 12), ("tools.method", 4), ("partial", 8)],
)
def test_allowed_modules_are_looked_into(module, path, value):
    options = {"allow_import": [module]}
    given = None if path == "partial" else 4
    assert flow(f"{module}:{path}", **options).run(given)["a"] == value


@pytest.mark.parametrize(
    "path",
    [
        "json",
        "json.dumps",
        "os.system",
        "json.codecs.builtins.exec",
        "Popen",
        "getpid",
        "Tools.system",
        "encoder.encode",
        "double.__globals__.get",
        "double.__class__",
        "Tools.__init__.__globals__.get",
        "__builtins__.get",
        "tools.__class__.triple",
    ],
)
def test_never_through(module, path):
    for allow in ([module], module):
        with pytest.raises(fastflow.DslError, match="goes through"):
            flow(f"{module}:{path}", allow_import=allow)


def test_the_standard_library_is_no_way_through():
    with pytest.raises(fastflow.DslError, match="goes through 'json'"):
        flow("json:codecs.builtins.exec", allow_import=["json"])


@pytest.mark.parametrize(
    ("allow", "target"),
    [
        ("json", "json:dumps"),
        ("json", "json.decoder:JSONDecoder"),
        ("operator", "operator:neg"),
        ("math", "math:sqrt"),
        ("os", "os.path:basename"),
        ("os", "os:getcwd"),
        ("datetime", "datetime:date.today"),
        ("random", "random:random"),
        ("numpy", "numpy:add"),
        ("numpy", "numpy:linalg.norm"),
    ],
)
def test_what_is_a_modules_own(allow, target):
    if target == "numpy:linalg.norm":  # the submodule has a name of its own
        target = "numpy.linalg:norm"
    assert flow(target, allow_import=[allow])


def test_everything_may_be_allowed(module):
    assert flow(f"{module}:json.dumps", allow_import=True).run(4)["a"] == "4"


def test_the_commands(module, tmp_path, capsys):
    path = tmp_path / "f.flow"
    path.write_text(f"flow F:\n    task a:\n        run: {module}:double\n")

    def run(**options):
        return run_flow(
            str(path), input_text="4", flow=None, executor="serial", workers=None,
            allow_code=False, as_json=True, **{"tasks": None, **options},
        )  # fmt: skip

    assert run() == commands.BAD
    assert "allow_import" in capsys.readouterr().err
    assert module not in sys.modules
    assert run(allow_import=(module,)) == commands.OK
    assert '"a": 8' in capsys.readouterr().out
    assert run(tasks=module) == commands.OK
    assert commands.check(path, None) == commands.OK


def test_a_check_imports_what_is_allowed_only(module, tmp_path, capsys):
    path = tmp_path / "f.flow"
    path.write_text(f"flow F:\n    task a:\n        run: {module}:missing\n")
    assert commands.check(path, "json") == commands.OK
    assert module not in sys.modules
    assert commands.check(path, "json", (module,)) == commands.BAD
    assert "missing" in capsys.readouterr().err
