"""Graphs as SVG."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastflow.seeing.pictures.shades import PLAIN, shading_of
from fastflow.seeing.pictures.svg import dag_svg
from fastflow.seeing.trace import Dag
from seeing.dag_pictures import SVG, Picture, dag, dags

HOSTILE = "<script>alert(\"x\")</script> & 'q' \x1b[31m \x00 \ud800 ]]>"


@settings(deadline=None)
@given(dags(most=30), st.sampled_from([True, False, None]))
def test_no_boxes_overlap_and_edges_never_turn_back(graph, rightwards):
    picture = Picture(dag_svg(graph, rightwards=rightwards))
    boxes = picture.boxes
    assert len(boxes) == len(graph.names)
    for n, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, high in boxes[:n]:
            apart = (
                x >= left + wide or left >= x + width or y >= top + high
                or top >= y + height
            )  # fmt: skip
            assert apart
    for points in picture.edges:
        right = [a <= b + 0.11 for (a, _), (b, _) in itertools.pairwise(points)]
        down = [a <= b + 0.11 for (_, a), (_, b) in itertools.pairwise(points)]
        assert all(right) or all(down)
        if rightwards is not None:
            assert all(right if rightwards else down)


@settings(deadline=None)
@given(dags(most=30))
def test_all_is_inside_of_the_picture(graph):
    picture = Picture(dag_svg(graph, colors=[1.0] * len(graph.names)))
    _, _, width, height = map(float, picture.root.get("viewBox").split())
    for x, y, wide, high in picture.boxes:
        assert min(x, y) >= -0.1
        assert x + wide <= width
        assert y + high <= height
    for points in picture.edges:
        assert all(-1 <= x <= width and -1 <= y <= height for x, y in points)


def test_names_are_texts():
    graph = Dag((HOSTILE, "b" * 500), np.array([[0, 1]]), (1, 1000))
    text = dag_svg(graph, title=HOSTILE)
    root = ET.fromstring(text)
    allowed = {"svg", "g", "rect", "text", "path", "title", "desc", "style"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    assert not any(
        key.lower().startswith("on")
        for element in root.iter()
        for key in element.attrib
    )
    picture = Picture(text)
    assert any("<script>" in title for title in picture.titles)
    assert any("b" * 500 in title for title in picture.titles), "the full name"
    assert all(len(text) < 60 for text in picture.texts), "shortened"
    assert "× 1,000" in picture.texts


def test_it_is_titled_and_described():
    picture = Picture(dag_svg(dag("load > report"), title="Flow Tiny"))
    assert picture.titles[0] == "Flow Tiny"
    (desc,) = picture.root.iter(f"{SVG}desc")
    assert desc.text == "2 nodes, 1 edges: load → report"
    assert picture.root.get("role") == "img"


def test_states_have_a_color_a_mark_and_a_legend():
    states = ["COMPLETED", "FAILED", "SKIPPED", "strange"]
    picture = Picture(dag_svg(dag("a > b > c > d"), colors=states))
    classes = [g.get("class") for g in picture.root.iter(f"{SVG}g")]
    for key in ("done", "failed", "skipped", "plain"):
        assert key in classes
    for text in ("✓ a", "✗ b", "– c", "d", "✓ completed", "✗ failed", "– skipped"):
        assert text in picture.texts


def test_times_are_five_steps():
    graph = dag("a > b > c")
    picture = Picture(dag_svg(graph, colors=[10.0, 1.5, 0.0]))
    classes = [g.get("class") for g in picture.root.iter(f"{SVG}g")]
    assert {"t4", "t2", "t0"} <= set(classes)
    assert "10 s" in picture.texts
    assert "to 10 s" in picture.texts
    assert "t4" not in dag_svg(graph, colors=[0.0] * 3).split("</style>")[1]


def test_without_a_style_sheet_it_looks_the_same_in_light():
    text = dag_svg(dag("a > b"), colors=["COMPLETED", "FAILED"])
    picture = Picture(text)
    fills = [r.get("fill") for r in picture.root.iter(f"{SVG}rect")]
    assert fills == ["#dff3eb", "#fde5d8"] * 2
    for fill in fills:
        assert f"rect{{fill:{fill};" in text


def test_one_color_for_each_node():
    with pytest.raises(ValueError, match="2 colors for 3 nodes"):
        dag_svg(dag("a > b > c"), colors=["COMPLETED", "FAILED"])


def test_large_graphs_are_small_pictures():
    count = 100_000
    names = ("load", *(f"part{n}" for n in range(count)), "join")
    parts = np.arange(1, count + 1)
    edges = np.concatenate(
        (np.stack((0 * parts, parts), 1), np.stack((parts, 0 * parts + count + 1), 1))
    )
    states = ["COMPLETED"] * (count + 2)
    states[500] = "FAILED"
    text = dag_svg(Dag(names, edges), colors=states)
    assert len(text) < 10_000
    assert "× 100,000" in text
    assert "✗ part" in text


def brightness(color):
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [
        p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
    ]
    return sum(p * w for p, w in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


def contrast(one, other):
    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


STATES = [
    "COMPLETED", "FAILED", "RUNNING", "CANCELLED", "SKIPPED", "CACHED", "PENDING",
]  # fmt: skip


def test_texts_can_be_read_in_light_and_dark():
    shades = {PLAIN, *shading_of(STATES, 7).shades}
    shades |= set(shading_of([0.0, 0.05, 0.2, 0.5, 1.0], 5).shades)
    assert len(shades) == 13
    for shade in shades:
        for fill, _, ink in (shade.light, shade.dark):
            assert contrast(fill, ink) >= 7, shade
        # Boxes are seen on the page, by their lines at least.
        fill, line, _ = shade.light
        assert max(contrast(fill, "#ffffff"), contrast(line, "#ffffff")) >= 3, shade
        fill, line, _ = shade.dark
        assert max(contrast(fill, "#0d1117"), contrast(line, "#0d1117")) >= 3, shade


def test_dark_is_what_the_system_or_the_page_says():
    text = dag_svg(dag("a > b"))
    assert "@media (prefers-color-scheme:dark)" in text
    assert re.search(r'\[data-theme="dark"\][^{]*\.ff-dag', text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
