"""Graphs as text: what is drawn is what is meant, and fits."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastflow.seeing.pictures.groups import tidy_edges
from fastflow.seeing.pictures.text import dot, mermaid, terminal
from fastflow.seeing.texts import cells
from fastflow.seeing.trace import Dag
from seeing.dag_pictures import dag, dags, edges_drawn

HOSTILE = ('<script>"x"</script>', "a\x1b[31mb", "q\\\"uote'", "né 名前", "#|`&;")


@settings(deadline=None, max_examples=150)
@given(dags())
def test_the_lines_of_a_drawing_are_the_edges(graph):
    drawing = terminal(graph, width=400, encoding="utf-8")
    drawn, names = edges_drawn(drawing)
    assert sorted(names) == sorted(graph.names)
    expected = {(graph.names[a], graph.names[b]) for a, b in tidy_edges(graph).tolist()}
    assert drawn == expected


@settings(deadline=None)
@given(dags(most=30, names=st.text(min_size=1, max_size=40)), st.integers(20, 120))
def test_a_drawing_fits_the_width(graph, width):
    for encoding in ("utf-8", "ascii"):
        lines = terminal(graph, width=width, encoding=encoding).split("\n")
        assert max(map(cells, lines)) <= width
        text = "\n".join(lines)
        text.encode(encoding)
        assert all(line.isprintable() for line in lines)


def test_a_diamond_is_drawn_so():
    found = terminal(dag("load > low, high > span"), width=40, encoding="utf-8")
    assert found.split("\n") == [
        "    ┌──────┐",
        "    │ load │",
        "    └──┬───┘",
        "   ┌───┴────┐",
        "   ▼        ▼",
        "┌─────┐  ┌──────┐",
        "│ low │  │ high │",
        "└──┬──┘  └──┬───┘",
        "   └───┬────┘",
        "       ▼",
        "    ┌──────┐",
        "    │ span │",
        "    └──────┘",
    ]


def test_what_is_too_wide_becomes_a_list():
    graph = dag("first_task > second_task, third_task > fourth_task")
    found = terminal(graph, width=30, encoding="utf-8").split("\n")
    assert found[0].strip().startswith("•") or "┌" in found[0]
    narrow = terminal(graph, width=24, encoding="utf-8").split("\n")
    assert narrow[0] == "• first_task"
    assert narrow[1].startswith("  • ")
    assert max(map(len, narrow)) <= 24


def test_words_and_counts_are_in_the_boxes():
    graph = dag("load > clean > report", (1, 100_000, 1))
    states = ["COMPLETED", "FAILED", "SKIPPED"]
    found = terminal(graph, colors=states, width=60, encoding="utf-8")
    assert "✓ load" in found
    assert "✗ clean × 100,000" in found
    plain = terminal(graph, colors=states, width=60, encoding="ascii")
    assert "FAILED clean x 100,000" in plain
    timed = terminal(graph, colors=[0.5, 12.0, 0.0], width=60, encoding="utf-8")
    assert "load (500 ms)" in timed


def test_nothing_is_drawn_as_nothing():
    assert terminal(Dag((), np.zeros((0, 2), int))) == "(nothing)"


MERMAID_NODE = re.compile(
    r'    n(\d+)(?:\["([^"<>&`\\|]*)"\]|\[\["([^"<>&`\\|]*)"\]\])'
)
DOT_NODE = re.compile(r'    n(\d+) \[label="((?:[^"\\]|\\.)*)"(?:, peripheries=2)?\];')


@pytest.mark.parametrize(
    ("make", "node", "edge", "head", "tail"),
    [
        (mermaid, MERMAID_NODE, r"    n(\d+) --> n(\d+)", 1, 0),
        (dot, DOT_NODE, r"    n(\d+) -> n(\d+);", 3, 1),
    ],
)
@settings(deadline=None)
@given(graph=dags(names=st.text(min_size=1, max_size=20) | st.sampled_from(HOSTILE)))
def test_texts_have_the_grammar(make, node, edge, head, tail, graph):
    text = make(graph)
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    inner = lines[head : len(lines) - tail]
    nodes, edges = inner[: len(graph.names)], inner[len(graph.names) :]
    assert [int(node.fullmatch(line)[1]) for line in nodes] == list(
        range(len(graph.names))
    )
    found = [tuple(map(int, re.fullmatch(edge, line).groups())) for line in edges]
    assert sorted(found) == sorted(map(tuple, tidy_edges(graph).tolist()))
    assert text.replace("\n", "").isprintable()


def test_counts_have_a_shape_of_their_own():
    graph = dag("load > clean", (1, 1000))
    assert 'n1[["clean × 1,000"]]' in mermaid(graph)
    assert 'n1 [label="clean × 1,000", peripheries=2];' in dot(graph)
    assert dot(graph, title='a "b"').startswith('digraph "a \\"b\\"" {')
