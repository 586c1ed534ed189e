"""Notebooks, executed by a real kernel: bars move, results draw, an interrupt ends."""

from __future__ import annotations

import asyncio
import re

import pytest

reason = "notebooks need nbclient and ipykernel: pip install 'fastflow[test-notebook]'"
nbclient = pytest.importorskip("nbclient", reason=reason)
pytest.importorskip("ipykernel", reason=reason)
nbformat = pytest.importorskip("nbformat", reason=reason)

SHOWN = ("display_data", "update_display_data")


class Client(nbclient.NotebookClient):
    """Executes a notebook, and keeps what it shows on the way."""

    def __init__(self, *cells, on_show=None):
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
        )
        super().__init__(notebook, timeout=100, allow_errors=True)
        self.on_show = on_show
        self.seen = []

    def process_message(self, message, cell, cell_index):
        if message["msg_type"] in SHOWN:
            content = message["content"]
            self.seen.append((message["msg_type"], content))
            if self.on_show is not None:
                self.on_show(self, content["data"]["text/html"])
        return super().process_message(message, cell, cell_index)

    @property
    def bars(self):
        return [content["data"]["text/html"] for _, content in self.seen]

    def outputs(self, number):
        return self.nb.cells[number].outputs


def values(bars):
    return [
        int(found[1]) for bar in bars if (found := re.search(r'value="(\d+)"', bar))
    ]


MAP = """
import time
import fastflow

def slow(n):
    time.sleep(0.01)
    return n

len(fastflow.map(slow, range(200), max_workers=2, progress=True))
"""


def test_a_bar_is_one_output_that_moves():
    client = Client(MAP)
    client.execute()
    kinds = [kind for kind, _ in client.seen]
    assert kinds[0] == "display_data"
    assert set(kinds[1:]) == {"update_display_data"}
    ids = {content["transient"]["display_id"] for _, content in client.seen}
    assert len(ids) == 1, "it is replaced in place"
    moved = values(client.bars)
    assert moved == sorted(moved)
    assert moved[0] == 0
    assert moved[-1] == 200
    assert len(set(moved)) >= 3, "it has moved on the way"
    # Calls of 0.01 s on two threads take a second at least: five updates, and the end.
    took = float(re.search(r"in ([\d.]+) s", client.bars[-1])[1])
    assert len(moved) - 2 <= 5 * took + 1
    bar, result = client.outputs(0)
    assert "<progress" in bar["data"]["text/html"]
    assert result["data"]["text/plain"] == "200"


FLOW = """
import time
import fastflow

tasks = fastflow.TaskRegistry()

@tasks.task
def load(n):
    return list(range(n))

@tasks.task
def double(x):
    time.sleep(0.02)
    return 2 * x

@tasks.task
def total(xs):
    return sum(xs)

flow = fastflow.Flow("flow F:\\n    load -> double[*] -> total", registry=tasks)
flow.run(100, progress=True, max_workers=2)
"""


def test_a_flow_has_a_line_for_each_stage_under_way():
    client = Client(FLOW)
    client.execute()
    inner = [bar for bar in client.bars if "double" in bar]
    assert inner, client.bars
    assert any(
        0 < int(n) < 100 for n in re.findall(r'value="(\d+)" max="100"', inner[0])
    )
    assert "double" not in client.bars[-1], "no stage is under way at the end"
    bar, result = client.outputs(0)
    assert "3 / 3" in bar["data"]["text/html"]
    assert "<svg" in result["data"]["text/html"]
    assert "× 100" in result["data"]["text/html"]
    assert result["data"]["image/svg+xml"].startswith("<svg")


@pytest.mark.parametrize(
    "slow",
    [
        MAP.replace("range(200)", "range(100_000)"),
        FLOW.replace("run(100", "run(100_000"),
    ],
    ids=["map", "flow"],
)
def test_an_interrupt_leaves_a_bar_that_says_so(slow):
    def interrupt(client, _):
        if not interrupted and len(client.seen) >= 3:
            interrupted.append(asyncio.ensure_future(client.km.interrupt_kernel()))

    interrupted = []
    client = Client(slow, "fastflow.map(abs, [-1])", on_show=interrupt)
    client.execute()
    assert interrupted
    outputs = client.outputs(0)
    errors = [output for output in outputs if output["output_type"] == "error"]
    assert [error["ename"] for error in errors] == ["KeyboardInterrupt"]
    last = client.bars[-1]
    # A flow may be over, as the call that was interrupted has failed, before its bar.
    words = ("interrupted",) if "map" in slow else ("interrupted", "stopped")
    assert any(f"{word} after" in last for word in words), last
    assert last.count("<progress") == 1
    if "map" in slow:
        assert 2 <= values([last])[0] < 100_000
    # The kernel goes on.
    assert client.outputs(1)[0]["data"]["text/plain"] == "[1]"


def test_no_bar_is_shown_unless_asked():
    client = Client("import fastflow\nfastflow.map(abs, [-1])")
    client.execute()
    assert client.bars == []


REPRS = """
import fastflow
graph = fastflow.Graph()
graph.add(print, "", name="<b>say</b>")
graph
"""


def test_graphs_and_results_are_drawn():
    client = Client(REPRS, "graph.run()", "fastflow.parse_dsl('flow F:\\n    a -> b')")
    client.execute()
    for number in range(3):
        data = client.outputs(number)[-1]["data"]
        assert data["image/svg+xml"].startswith("<svg"), data
        assert "<svg" in data["text/html"]
        assert "<b>" not in data["text/html"]
