from __future__ import annotations

import pickle

import pytest

import fastflow
from fastflow import parse_dsl
from fastflow.dsl.reader import parse_flows
from fastflow.dsl.values import Constant, Reference


def flow(*lines):
    return "flow F:\n" + "".join(f"    {line}\n" for line in lines)


def edges(*lines):
    return parse_dsl(flow(*lines)).edges


def test_the_example_of_the_reference():
    spec = parse_dsl(
        """
# comment
flow DataProcessing:
    description: "Parallel data processing flow"   # at the end of a line
    task fetch_data:
        description: "Get it"
        retries: 3
        timeout: 30s
        run: mypkg.mymodule:fetch
    fetch_data -> split_data -> [process_a, process_b]
    [process_a, process_b] -> merge_results
    split_data -> work[*] -> collect
"""
    )
    assert spec.name == "DataProcessing"
    assert spec.description == "Parallel data processing flow"
    assert spec.tasks["fetch_data"].to_dict() == {
        "name": "fetch_data",
        "description": "Get it",
        "retries": 3,
        "timeout": 30.0,
        "run": "mypkg.mymodule:fetch",
    }
    assert spec.edges == (
        ("fetch_data", "split_data"),
        ("split_data", "process_a"),
        ("split_data", "process_b"),
        ("process_a", "merge_results"),
        ("process_b", "merge_results"),
        ("split_data", "work"),
        ("work", "collect"),
    )
    assert spec.tasks["work"].each == "split_data"


def test_lists_on_both_sides_are_all_pairs():
    assert edges("[a, b] -> [c, d]") == (
        ("a", "c"),
        ("a", "d"),
        ("b", "c"),
        ("b", "d"),
    )


def test_duplicate_edges_are_one():
    assert edges("a -> b", "[a, a] -> b", "a -> b -> c") == (("a", "b"), ("b", "c"))


def test_a_task_without_edges():
    spec = parse_dsl(flow("task alone:", "b", "[c, d]"))
    assert list(spec.tasks) == ["alone", "b", "c", "d"]
    assert spec.edges == ()


def test_an_empty_flow():
    for text in ("flow F:", "flow F:\n    # nothing\n", "flow F:\r\n"):
        spec = parse_dsl(text)
        assert (len(spec.tasks), spec.edges) == (0, ())


@pytest.mark.parametrize("indent", [" ", "  ", "\t", "        ", " \t"])
def test_any_indentation(indent):
    text = f"flow F:\n{indent}task a:\n{indent * 2}retries: 1\n{indent}a -> b\n"
    assert parse_dsl(text).edges == (("a", "b"),)


def test_an_indented_text():
    assert parse_dsl("\n    flow F:\n        a -> b\n").edges == (("a", "b"),)


def test_line_ends_and_byte_order_mark():
    text = "\ufeffflow F:\r\n    a -> b\r\n    task b:\r\n        retries: 2\r\n"
    spec = parse_dsl(text)
    assert spec.edges == (("a", "b"),)
    assert spec.tasks["b"].retries == 2


def test_words_of_the_language_are_names_too():
    text = flow("flow -> task -> description", "task task:", "    retries: 1")
    spec = parse_dsl(text)
    assert spec.edges == (("flow", "task"), ("task", "description"))
    assert spec.tasks["task"].retries == 1


def test_quoted_names_and_composed_letters():
    spec = parse_dsl('flow "My \\"flow\\"":\n  "two words" -> e\u0301 -> \'x\'\n')
    assert spec.name == 'My "flow"'
    assert spec.edges == (("two words", "é"), ("é", "x"))


def test_values():
    spec = parse_dsl(
        flow(
            "task a:",
            "    retries: 2   # comment",
            "    retry_delay: 500ms",
            "    backoff: 1.5",
            "    timeout: 2h",
            "    description: don't quote me # but not this",
            '    fallback: [1, {"a": null}]',
            "task b:",
            "    fallback: default_value",
            "task c:",
            "    fallback: 'text'",
            "task d:",
            "    fallback: pkg.module:function",
            "task e:",
            "    fallback: null",
            "a -> f[*]",
            "task f:",
            "    max_concurrency: 4",
        )
    )
    a = spec.tasks["a"]
    assert (a.retries, a.retry_delay, a.backoff, a.timeout) == (2, 0.5, 1.5, 7200.0)
    assert a.description == "don't quote me"
    assert a.fallback == Constant('[1, {"a": null}]')
    assert a.fallback.value == [1, {"a": None}]
    assert spec.tasks["b"].fallback == Reference("default_value")
    assert spec.tasks["c"].fallback == Constant('"text"')
    assert spec.tasks["d"].fallback == Reference("pkg.module:function")
    assert spec.tasks["e"].fallback == Constant("null")
    assert spec.tasks["f"].max_concurrency == 4


def test_code_is_kept_as_written():
    spec = parse_dsl(
        flow(
            "task a:",
            "    code: |",
            "        x = 1  # not a comment of the flow",
            "",
            "        if x:",
            "            return 'a -> b'",
            "    retries: 1",
            "a -> b",
        )
    )
    assert spec.tasks["a"].code == (
        "x = 1  # not a comment of the flow\n\nif x:\n    return 'a -> b'"
    )
    assert spec.tasks["a"].retries == 1
    assert spec.edges == (("a", "b"),)


def test_iteration_over_the_only_parent():
    spec = parse_dsl(flow("a -> b", "b[*] -> c"))
    assert spec.tasks["b"].each == "a"


def test_iteration_names_one_of_several_parents():
    spec = parse_dsl(flow("other -> b", "a -> b[*]"))
    assert spec.tasks["b"].each == "a"


def test_several_flows():
    text = "flow A:\n  a -> b\nflow B:\n  c\n"
    assert [spec.name for spec in parse_flows(text)] == ["A", "B"]
    assert list(parse_dsl(text, flow="B").tasks) == ["c"]
    with pytest.raises(fastflow.FlowError, match=r"2 flows.*'A', 'B'"):
        parse_dsl(text)
    with pytest.raises(fastflow.FlowError, match=r"no flow 'Bee'.*there is A, B"):
        parse_dsl(text, flow="Bee")


def test_a_spec_is_a_value():
    spec = parse_dsl(flow("a -> b"))
    same = parse_dsl(flow("a  ->  b  # the same"))
    assert spec == same
    assert hash(spec) == hash(same)
    assert spec != parse_dsl(flow("b -> a"))
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(AttributeError):
        spec.name = "other"
    with pytest.raises(TypeError):
        spec.tasks["a"] = None


def test_a_text_must_be_a_str():
    for wrong in (None, b"flow F:", 3):
        with pytest.raises(TypeError, match="must be a str"):
            parse_dsl(wrong)


def test_nothing_is_imported_when_a_text_is_read():
    import sys

    text = flow("task a:", "    run: antigravity:fly", "    fallback: this:that")
    assert parse_dsl(text).tasks["a"].run == "antigravity:fly"
    assert not {"antigravity", "this"} & sys.modules.keys()


def test_all_problems_are_told_in_the_order_of_the_text():
    with pytest.raises(fastflow.DslError) as caught:
        parse_dsl(flow("a -> -> b", "c -> d", "task e:", "    retires: 3"), file="x")
    problems = caught.value.problems
    assert [(p.file, p.line, p.column) for p in problems] == [("x", 2, 10), ("x", 5, 9)]
    assert "did you mean 'retries'" in problems[1].message
    assert "x:5:9: unknown property" in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)


def test_carets_stand_below_wide_characters():
    with pytest.raises(fastflow.DslError) as caught:
        parse_dsl(flow("数据 -> \t$"))
    line, carets = caught.value.problems[0].excerpt.split("\n")
    assert carets.index("^") == line.index("$") + 2  # two characters of two columns
    assert "\t" not in line


def test_cycles_show_their_path():
    with pytest.raises(fastflow.CycleError) as caught:
        parse_dsl(flow("a -> b -> c -> d", "d -> b"))
    assert "b -> c -> d -> b" in str(caught.value)
    assert caught.value.problems[0].line == 3
    assert set(caught.value.cycle) == {"b", "c", "d"}


def test_several_cycles_are_told_together():
    with pytest.raises(fastflow.DslError) as caught:
        parse_dsl(flow("a -> a", "b -> c -> b", "x -> y"))
    assert len(caught.value.problems) == 2


def test_a_million_problems_are_not_kept():
    with pytest.raises(fastflow.DslError) as caught:
        parse_dsl(flow(*["!"] * 3_000))
    assert len(caught.value.problems) == 1_000
    assert caught.value.omitted == 2_000
    assert "and 2,950 more problems" in str(caught.value)


def test_lists_times_lists_are_limited():
    names = ", ".join(f"t{i}" for i in range(3_000))
    with pytest.raises(fastflow.DslError, match="more than 5,000,000 edges"):
        parse_dsl(flow(f"[{names}] -> [{names.replace('t', 'u')}]"))
