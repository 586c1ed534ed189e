"""Explanations of runs in which one thing was wrong, or nothing."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastflow.seeing.explain import causes as explain_causes
from fastflow.seeing.explain import explain
from fastflow.seeing.explain import shape as explain_shape
from fastflow.seeing.trace import SPAN, Dag, Kind, Lane, Run, State, Total, Trace
from seeing import explain_traces
from seeing.explain_traces import PLANTED, Simulation, Task, machine, many, with_counter

ROOT = Path(__file__).resolve().parents[2]


def pages(found):
    return [Path(cause.page).stem for cause in found.causes]


@pytest.mark.parametrize("page", PLANTED)
def test_the_planted_cause_is_the_first(page):
    found = explain(PLANTED[page]())
    assert pages(found)[:1] == [page]
    first = found.causes[0]
    assert 0.05 * found.wall < first.lost < found.wall
    assert any(letter.isdigit() for letter in first.evidence)
    assert (ROOT / first.page).is_file()
    assert first.advice in " ".join(found.text().split())


def test_a_healthy_run_has_nothing_to_gain():
    found = explain(explain_traces.healthy())
    assert found.causes == ()
    assert "Nothing to gain: workers did work for 99 %" in found.text()
    assert found.speedup == pytest.approx(4, rel=0.02)


def test_every_page_that_a_rule_names_exists_and_every_page_is_named():
    named = set()
    for module in (explain_causes, explain_shape):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr) and len(node.values) == 2:
                text = getattr(node.values[1], "value", "")
                if isinstance(text, str) and text.endswith(".md"):
                    named.add(text.removeprefix("/"))
    there = {path.name for path in (ROOT / "docs" / "patterns").glob("*.md")}
    assert named == there - {"README.md"}
    assert named == {f"{page}.md" for page in PLANTED}


@pytest.mark.parametrize("make", [explain_traces.healthy, *PLANTED.values()])
def test_the_account_is_all_the_time_of_all_workers(make):
    found = explain(make())
    total = found.workers * found.wall
    assert sum(found.account.values()) == pytest.approx(total, rel=1e-9)
    assert min(found.account.values()) >= 0


def test_what_the_account_says_of_a_call_that_waits_for_another():
    tasks = [Task("outer", 100, children=(1,)), Task("inner", 500)]
    found = explain(Simulation(tasks, 2, machine=machine(2)).run())
    assert found.account["in calls"] == pytest.approx(600e-6)
    assert found.account["waiting for other calls"] == pytest.approx(500e-6)


def test_a_call_within_a_call_counts_once():
    spans = np.zeros(3, SPAN)
    spans["ready"] = spans["cpu"] = -1
    spans["start"], spans["end"] = [0, 2, 3], [10, 8, 5]
    spans["kind"] = [Kind.CALL, Kind.BLOCKED, Kind.CALL]
    found = explain(Trace(spans, ("f",), (Lane("w", "worker"),)))
    assert found.account["in calls"] == pytest.approx(6e-9)
    assert found.account["waiting for other calls"] == pytest.approx(4e-9)


# --- the critical path ----------------------------------------------------------------


def diamond():
    tasks = [
        Task("load", 100),
        Task("short", 100, after=(0,)),
        Task("long", 300, after=(0,)),
        Task("save", 100, after=(1, 2)),
    ]
    return Simulation(tasks, 2, machine=machine(2)).run()


def test_the_critical_path_of_a_graph():
    trace = diamond()
    order = [trace.labels.index(name) for name in ("load", "short", "long", "save")]
    edges = np.array([(0, 1), (0, 2), (1, 3), (2, 3)])
    dag = Dag(("load", "short", "long", "save"), edges, (1,) * 4, tuple(order))
    path = explain(
        replace(trace, runs=(trace.runs[0]._replace(kind="flow", dag=dag),))
    ).critical_path
    assert path.from_graph
    assert str(path) == "load → long → save"
    assert path.length == 500_000


def test_the_nodes_of_a_graph_are_found_by_name():
    trace = diamond()
    edges = np.array([(0, 1), (0, 2), (1, 3), (2, 3)])
    dag = Dag(("load", "short[*]", "long", "save"), edges)
    run = trace.runs[0]._replace(kind="flow", dag=dag)
    path = explain(replace(trace, runs=(run,))).critical_path
    assert path.from_graph
    assert str(path) == "load → long → save"


def test_nodes_that_were_made_one_are_not_told_by_items():
    count = 100
    tasks = [Task("step", 10, after=(n - 1,) if n else ()) for n in range(count)]
    trace = Simulation(tasks, 2, machine=machine(2)).run()
    dag = Dag(("step", "step"), np.array([(0, 1)]), (50, 50))
    run = trace.runs[0]._replace(kind="graph", dag=dag)
    path = explain(replace(trace, runs=(run,))).critical_path
    assert not path.from_graph
    assert path.steps == (("step", count),)


def test_the_critical_path_of_times():
    path = explain(diamond()).critical_path
    assert not path.from_graph
    assert str(path) == "load → long → save"


def test_calls_that_don_t_depend_on_each_other_are_no_chain():
    found = explain(explain_traces.healthy())
    assert found.critical_path.calls == 1


def test_the_nodes_of_a_graph_may_share_a_name():
    count = 100
    tasks = [Task("step", 10, after=(n - 1,) if n else ()) for n in range(count)]
    trace = Simulation(tasks, 2, machine=machine(2)).run()
    edges = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    run = trace.runs[0]._replace(kind="graph", dag=Dag(("step",) * count, edges))
    path = explain(replace(trace, runs=(run,))).critical_path
    assert path.from_graph
    assert path.steps == (("step", count),)
    assert str(path) == "step × 100"


def test_a_large_graph_has_the_path_that_was_waited_for(monkeypatch):
    from fastflow.seeing.explain import path as explain_path

    trace = diamond()
    order = tuple(map(trace.labels.index, ("load", "short", "long", "save")))
    edges = np.array([(0, 1), (0, 2), (1, 3), (2, 3)])
    dag = Dag(("load", "short", "long", "save"), edges, (1,) * 4, order)
    trace = replace(trace, runs=(trace.runs[0]._replace(kind="flow", dag=dag),))
    exact = explain(trace).critical_path
    monkeypatch.setattr(explain_path, "_LARGE", 0)
    assert explain(trace).critical_path == exact


def test_the_attempts_of_an_item_follow_each_other():
    spans = np.zeros(3, SPAN)
    spans["cpu"] = spans["ready"] = -1
    spans["start"], spans["end"] = [0, 10, 30], [10, 30, 60]
    spans["attempt"] = [1, 1, 2]
    spans["item"] = [0, 1, 0]
    dag = Dag(("each",), np.zeros((0, 2), int), (2,), (0,))
    run = Run("r", "flow", "", 0, 60, dag=dag)
    found = explain(Trace(spans, ("each",), (Lane("w", "worker"),), (run,)))
    assert found.critical_path.length == 40


# --- who counts -----------------------------------------------------------------------


def test_workers_that_did_nothing_count_if_their_executor_did_something():
    trace = explain_traces.healthy()
    lanes = (*trace.lanes, Lane("worker 4", "worker"), Lane("other 0", "worker"))
    more = replace(trace, lanes=lanes, machine={**trace.machine, "cpus": 5})
    assert explain(more).workers == 5


def test_the_time_of_the_program_s_own_thread_is_not_idle_time():
    trace = explain_traces.healthy()
    spans = np.concatenate([trace.spans, trace.spans[:1]])
    spans["lane"][-1] = len(trace.lanes)
    with_main = replace(
        trace, spans=spans, lanes=(*trace.lanes, Lane("main", "thread"))
    )
    assert explain(with_main).workers == explain(trace).workers


def test_the_program_s_own_thread_counts_if_it_takes_part():
    trace = explain_traces.healthy()
    lanes = (trace.lanes[0]._replace(name="main", kind="thread"), *trace.lanes[1:])
    assert explain(replace(trace, lanes=lanes)).workers == 4


def test_calls_on_an_event_loop_take_nobody_s_time():
    trace = explain_traces.healthy()
    loop = replace(trace, lanes=(Lane("loop", "loop"),) * len(trace.lanes))
    found = explain(loop)
    assert found.workers == 0
    assert found.tasks == 400
    assert found.causes == ()
    assert any("event loop, 4.0 at a time" in note for note in found.notes)
    assert "no worker made a call" in found.text()


def test_a_pause_between_two_attempts_is_no_serial_section():
    spans = np.zeros(3, SPAN)
    spans["cpu"] = spans["ready"] = -1
    spans["start"], spans["end"] = [0, 0, 100], [10, 100, 110]
    spans["kind"] = [Kind.CALL, Kind.PAUSE, Kind.CALL]
    spans["lane"] = [0, 2, 0]
    lanes = (Lane("w0", "worker"), Lane("w1", "worker"), Lane("waits", "waits"))
    found = explain(Trace(spans, ("f",), lanes, machine={"workers": 2}))
    serial = [cause for cause in found.causes if "serial" in cause.name]
    assert [round(cause.lost * 1e9) for cause in serial] == [10]


# --- the text -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [explain_traces.healthy, *PLANTED.values()])
def test_the_text_fits_a_terminal(make):
    text = str(explain(make()))
    assert max(map(len, text.splitlines())) <= 100
    assert text.replace("\n", " ").isprintable()


def test_names_of_strangers_do_no_harm():
    trace = explain_traces.serial_section()
    names = tuple(f"<script>\x1b[31m{name}\nx" for name in trace.labels)
    found = explain(replace(trace, labels=names))
    assert "\x1b" not in found.text()
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


def test_a_name_of_any_length_fits():
    trace = explain_traces.serial_section()
    names = tuple(name * 300 for name in trace.labels)
    text = explain(replace(trace, labels=names)).text()
    assert max(map(len, text.splitlines())) <= 100


def test_html_has_the_same_figures():
    found = explain(explain_traces.straggler())
    page = found._repr_html_()
    for cause in found.causes:
        assert cause.page in page
        assert cause.advice in page


def test_a_sampled_trace_says_so():
    trace = replace(explain_traces.healthy(), dropped=600)
    found = explain(trace)
    assert f"of {len(trace.spans) + 600:,} spans were kept" in found.notes[0]
    assert found.notes[0][:40] in found.text()


def test_totals_complete_a_sampled_trace():
    trace = explain_traces.few_workers()
    whole = explain(trace)
    calls = trace.spans["kind"] == Kind.CALL
    kept = np.flatnonzero(~calls | (np.arange(len(calls)) % 3 == 0))
    time = int((trace.spans["end"] - trace.spans["start"])[calls].sum())
    sampled = replace(
        trace,
        spans=trace.spans[kept],
        dropped=len(calls) - len(kept),
        totals=(Total(int(calls.sum()), 0, time, 0),),
    )
    found = explain(sampled)
    assert found.tasks == whole.tasks
    assert found.account["in calls"] == pytest.approx(
        whole.account["in calls"], rel=0.05
    )
    assert "are exact" in found.text()
    assert "are too small" in explain(replace(sampled, totals=())).text()


def test_a_trace_of_few_calls_says_so():
    found = explain(Simulation(many(2, 100), 2, machine=machine(2)).run())
    assert "only a few calls" in found.text()


def test_an_empty_trace_says_so():
    found = explain(Trace(np.zeros(0, SPAN)))
    assert (found.tasks, found.wall, found.causes) == (0, 0, ())
    assert "nothing was called" in found.text()


def test_results_that_were_known_are_no_calls():
    trace = explain_traces.healthy()
    spans = trace.spans.copy()
    calls = np.flatnonzero(spans["kind"] == Kind.CALL)
    spans["state"][calls[:100]] = State.CACHED
    assert explain(replace(trace, spans=spans)).tasks == 300


def test_what_a_call_costs_depends_on_where_it_is_made():
    trace = explain_traces.small_tasks()
    found = explain(replace(trace, machine={**trace.machine, "overhead": {}}))
    assert pages(found) == ["small-tasks"]
    assert "2 µs" in found.causes[0].evidence
    slow = {"submit": 1, "process": 10_000}
    remote = replace(
        trace,
        lanes=tuple(lane._replace(kind="process") for lane in trace.lanes),
        machine={**trace.machine, "overhead": slow},
    )
    assert "10 µs" in explain(remote).causes[0].evidence


def test_threads_without_a_core_are_no_threads_without_the_lock():
    trace = explain_traces.interpreter_lock()
    starved = with_counter(trace, lock=0.95, starved=1.0)
    found = explain(starved)
    assert found.causes == ()
    assert found.account["waiting for a core"] == pytest.approx(0.1, rel=0.05)
    assert any("other programs had the cores" in note for note in found.notes)
    assert pages(explain(with_counter(trace, lock=0.95, starved=0.0))) == [
        "interpreter-lock"
    ]


def test_a_map_is_compared_with_what_an_item_of_a_map_costs():
    trace = explain_traces.small_tasks()
    table = {"submit": 2_000, "map": 30}
    trace = replace(trace, machine={**trace.machine, "overhead": table})
    assert pages(explain(trace))[:1] == ["small-tasks"]
    of_map = replace(trace, runs=(trace.runs[0]._replace(kind="map"),))
    assert "small-tasks" not in pages(explain(of_map))


def test_what_processes_do_between_calls_is_sending():
    tasks = many(100, 100)
    trace = Simulation(tasks, 2, overhead=100, kind="process", machine=machine(2)).run()
    assert pages(explain(trace)) == ["sending"]


def test_without_the_lock_nobody_waits_for_it():
    trace = explain_traces.interpreter_lock()
    free = replace(trace, machine={**trace.machine, "gil": False})
    assert "interpreter-lock" not in pages(explain(free))
