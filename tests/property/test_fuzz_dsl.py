"""A part of the fuzzing, in every run; and texts that are meant to take long."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import fastflow
from fastflow import parse_dsl


def fuzz():
    path = Path(__file__).with_name("fuzz_dsl.py")
    spec = importlib.util.spec_from_file_location("fuzz_dsl", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", range(4))
def test_random_texts(seed):
    assert fuzz().run(5_000, seed) > 0


def test_a_crash_would_be_seen(monkeypatch):
    module = fuzz()
    monkeypatch.setattr(module, "parse_flows", lambda text: 1 // 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        module.run(1, 0)


F = "flow F:\n    "
MILLION = 1_000_000

BOMBS = {
    "nested lists": F + "[" * MILLION,
    "nested values": F + "task a:\n        fallback: " + "[" * MILLION,
    "nested objects": F + "task a:\n        fallback: " + '{"a":' * 200_000,
    "one long name": F + "x" * 10 * MILLION + " -> y",
    "one long string": F + '"' + "x" * 10 * MILLION,
    "one long escaped string": F + '"' + "\\u0041" * MILLION + '" -> b',
    "backslashes": F + '"' + "\\" * 5 * MILLION,
    "dashes": F + "a" + "-" * 10 * MILLION,
    "equals signs": F + "a " + "=" * 10 * MILLION,
    "marks": F + "a" + "\u0301" * MILLION + " -> b",
    "spaces": F + "a" + " " * 10 * MILLION + "$",
    "colons": F + ":" * MILLION,
    "a list of a million": F + "[" + ",".join(f"t{i}" for i in range(MILLION)) + "] ->",
    "lists times lists": F
    + f"[{','.join(f't{i}' for i in range(40_000))}] -> "
    + f"[{','.join(f'u{i}' for i in range(40_000))}]",
    "blank lines": "\n" * 5 * MILLION,
    "wrong lines": F + "$\n    " * 300_000,
    "wrong flows": "flow\n" * 300_000,
    "a cycle of 300,000": F
    + "".join(f"t{i} -> t{(i + 1) % 300_000}\n    " for i in range(300_000)),
    "iterating over many": F + f"[{','.join(f't{i}' for i in range(200_000))}] -> w[*]",
    "digits": F + "task a:\n        retries: " + "9" * 10 * MILLION,
    "many digits as a value": F + "task a:\n        fallback: " + "9" * 10 * MILLION,
    "a long duration": F + "task a:\n        timeout: " + "9" * 10 * MILLION,
    "comments": "#" * 10 * MILLION,
    "tabs": "\t" * 10 * MILLION + "x",
    "unknown properties": F
    + "task a:\n"
    + "".join(f"        retrie{i}: 1\n" for i in range(20_000)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_hostile_texts_end_soon_with_an_error(name):
    # None takes more than seconds; a hang is ended by faulthandler_timeout.
    with pytest.raises(fastflow.FlowError) as caught:
        parse_dsl(BOMBS[name])
    assert len(str(caught.value)) < 40_000
    assert caught.value.problems[0].line >= 1


@pytest.mark.slow
def test_a_million_names():
    text = "flow F:\n" + "".join(f"    t{i}\n" for i in range(MILLION))
    assert len(parse_dsl(text).tasks) == MILLION


def test_a_long_chain_in_one_line():
    text = F + " -> ".join(f"t{i}" for i in range(100_000))
    assert len(parse_dsl(text).edges) == 99_999
