"""Wrong texts, and what is said about them.

Each ``tests/data/dsl_errors/*.flow`` has its message beside it. After a change of
messages: ``FASTFLOW_UPDATE_GOLDEN=1 python -m pytest tests/unit/dsl/test_errors.py``,
then read the differences.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fastflow
from fastflow.dsl.reader import parse_flows

CASES = sorted((Path(__file__).parents[2] / "data" / "dsl_errors").glob("*.flow"))
UPDATE = bool(os.environ.get("FASTFLOW_UPDATE_GOLDEN"))


def read(path):
    return path.read_bytes().decode("utf-8")


def test_there_are_many_cases():
    assert len(CASES) >= 100


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_message(path):
    with pytest.raises(fastflow.DslError) as caught:
        parse_flows(read(path), file=path.name)
    message = f"{caught.value}\n"
    golden = path.with_suffix(".txt")
    if UPDATE:
        golden.write_bytes(message.encode("utf-8"))
    assert message == read(golden)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_every_problem_has_a_place_in_the_text(path):
    text = read(path)
    lines = text.split("\n")
    with pytest.raises(fastflow.FlowError) as caught:
        parse_flows(text, file=path.name)
    for problem in caught.value.problems:
        assert problem.file == path.name
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.message
        assert problem.excerpt.count("\n") == 1
        assert problem.excerpt.isprintable() or "\n" in problem.excerpt


@pytest.mark.parametrize("character", ["\ud83d", "\x07", "\x85"])
def test_an_escape_that_cannot_be_shown_is_named(character):
    text = f'flow F:\n    description: "x \\{character}"\n    a -> b\n'
    with pytest.raises(fastflow.DslError, match="unknown escape") as caught:
        fastflow.Flow(text, registry={"a": len, "b": len})
    str(caught.value).encode()  # can be printed
    assert ascii(character)[1:-1] in str(caught.value)
