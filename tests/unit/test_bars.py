"""Progress bars: where they are shown, and what they say of a flow's stages."""

from __future__ import annotations

import io
import sys
import types

import pytest

import fastflow
from fastflow.base import bars
from fastflow.base.bars import NotebookBar, Stage, TerminalBar, bar_for
from fastflow.engines.base import UNFINISHED, Run, RunOptions
from fastflow.run.results import COMPLETED


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def shown(monkeypatch):
    """What a notebook's bar displays: (text, whether it replaces the last one)."""
    found = []

    def display(data, *, raw, display_id, update):
        assert raw
        found.append((data["text/html"], display_id, update))

    shell = types.SimpleNamespace(kernel=object())
    package = types.ModuleType("IPython")
    package.get_ipython = lambda: shell
    package.display = types.ModuleType("IPython.display")
    package.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", package.display)
    return found


def test_a_bar_is_where_it_can_be_seen(monkeypatch, shown):
    assert isinstance(bar_for("x", 3), NotebookBar)
    monkeypatch.delitem(sys.modules, "IPython")
    assert bar_for("x", 3) is None
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = bar_for("x", 3)
    assert isinstance(bar, TerminalBar)
    bar.close()


def test_ipython_without_a_kernel_is_a_terminal(monkeypatch, shown):
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace()
    assert bar_for("x", 3) is None
    sys.modules["IPython"].get_ipython = lambda: None
    assert bar_for("x", 3) is None


def test_a_notebook_has_one_element(shown):
    bar = NotebookBar("<b>flow</b>", 10)
    bar.show(4, 10, [Stage(f"stage {n}", n, 9) for n in range(11)])
    bar.finish(10, 10, None)
    texts, ids, updates = zip(*shown, strict=True)
    assert len(set(ids)) == 1
    assert updates == (False, True, True)
    assert 'value="0" max="10"' in texts[0]
    assert 'value="4" max="10"' in texts[1]
    assert texts[1].count("<progress") == 9
    assert "… 3 more" in texts[1]
    assert texts[2].count("<progress") == 1
    assert all("&lt;b&gt;flow" in text and "<b>" not in text for text in texts)


def test_a_notebook_says_how_it_ended(shown):
    NotebookBar("x", 5).finish(3, 5, None)
    assert "3 / 5 stopped after" in shown[-1][0]
    NotebookBar("x", 5).finish(5, 5, None)
    assert "5 / 5 in 0.0 s" in shown[-1][0]
    for error, word in [
        (KeyboardInterrupt(), "interrupted"),
        (ValueError(), "stopped"),
    ]:
        NotebookBar("x", None).finish(3, None, error)
        assert f"{word} after" in shown[-1][0]
        assert "<progress></progress>" in shown[-1][0], "nobody knows of how many"


def test_a_terminal_has_a_line_for_each_stage(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = TerminalBar("flow [bold]", 10)
    bar.show(1, 10, [Stage("load", 0, 1), Stage("clean\x1b[31m", 5, 7)])
    assert "load" in terminal.getvalue()
    assert "5/7" in terminal.getvalue()
    terminal.truncate(0)
    bar.show(2, 10, [Stage("clean\x1b[31m", 6, 7)])
    bar.finish(10, 10, None)
    bar.close()
    last = terminal.getvalue()
    assert "flow [bold]" in last
    assert "\x1b[31m clean" not in last
    assert len(bar.rich.tasks) == 1


def test_stages_are_what_has_begun_and_not_ended():
    names = ["load", *(f"part{n}" for n in range(4)), "join"]
    text = "flow F:\n    load -> [part0, part1, part2, part3]\n"
    text += "    [part0, part1, part2, part3] -> join"
    flow = fastflow.Flow(text, registry=dict.fromkeys(names, lambda *xs: 1))
    run = Run(flow._plan, None, RunOptions())
    assert run.stages() == []
    number = flow._plan.index
    run.track.starts[number["load"]] = 1.0
    assert run.stages() == [Stage("load", 0, 1)]
    run.track.states[number["load"]] = COMPLETED
    run.track.starts[number["part0"]] = run.track.starts[number["part2"]] = 2.0
    run.track.states[number["part2"]] = COMPLETED
    assert run.stages() == [Stage("part", 1, 4)]


def test_items_are_counted_where_they_have_ended():
    flow = fastflow.Flow(
        "flow F:\n    load -> each[*]", registry={"load": list, "each": abs}
    )
    run = Run(flow._plan, None, RunOptions())
    number = flow._plan.index["each"]
    values = [UNFINISHED] * 10
    run.open_items[number] = values, 10
    assert run.stages() == [], "it has not begun"
    run.track.starts[number] = 1.0
    values[:4] = [1] * 4
    assert run.stages() == [Stage("each", 4, 10)]


@pytest.mark.parametrize("executor", [None, "serial"])
def test_engines_tell_which_items_are_under_way(executor, monkeypatch, shown):
    seen = []

    class Watching(NotebookBar):
        interval = 0.001

        def show(self, done, total, stages=()):
            seen.extend(stages)

    monkeypatch.setattr(bars, "NotebookBar", Watching)

    def each(x):
        # The last item waits until the others have been seen.
        while x == 9 and not any(s.name == "each" and s.done == 9 for s in seen):
            pass
        return x

    registry = {"load": lambda: list(range(10)), "each": each}
    flow = fastflow.Flow("flow F:\n    load -> each[*]", registry=registry)
    result = flow.run(progress=True, executor=executor, max_workers=1)
    assert result["each"] == list(range(10))
    assert Stage("each", 9, 10) in seen
    assert "2 / 2" in shown[-1][0]
