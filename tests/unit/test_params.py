"""How parameters are filled: the rules, one by one."""

from __future__ import annotations

import pytest

import fastflow
from fastflow import Flow


def run(text, data=None, /, **tasks):
    lines = "".join(f"    {line.strip()}\n" for line in text.split(";"))
    return Flow(f"flow F:\n{lines}", registry=tasks).run(data, executor="serial")


def one():
    return 1


def two():
    return 2


# Rule 1: names.


def test_a_parameter_named_after_a_parent():
    assert run("a -> c; b -> c", a=one, b=two, c=lambda b, a: (a, b))["c"] == (1, 2)


def test_a_parameter_named_after_a_result():
    result = run("[a, b] -> c", a=one, b=two, c=lambda b_result, a: (a, b_result))
    assert result["c"] == (1, 2)


def test_a_parameter_named_after_a_distant_ancestor():
    tasks = {"a": one, "b": lambda x: x + 10, "c": lambda b, a_result: (a_result, b)}
    assert run("a -> b -> c", **tasks)["c"] == (1, 11)


def test_a_task_of_that_name_that_is_no_ancestor_does_not_count():
    result = run("a -> c; b", a=one, b=two, c=lambda b: b)
    assert result["c"] == 1


def test_inputs_has_all_ancestors_and_is_read_only():
    seen = {}

    def c(inputs):
        seen.update(inputs)
        assert list(inputs) == ["a", "b"]
        with pytest.raises(TypeError):
            inputs["a"] = 3
        with pytest.raises(KeyError, match="does not wait"):
            inputs["z"]
        assert "nobody" not in inputs
        return len(inputs)

    assert run("a -> b -> c; z", a=one, b=lambda x: x, c=c, z=two)["c"] == 2
    assert seen == {"a": 1, "b": 1}


def test_input_data_by_name_anywhere():
    result = run("a -> b", 5, a=one, b=lambda a, input_data: (a, input_data))
    assert result["b"] == (1, 5)


def test_a_default_yields_to_a_name():
    result = run("a -> b -> c", a=one, b=two, c=lambda x, a=7: (x, a))
    assert result["c"] == (2, 1)


# Rule 2: keys of the input.


def test_keys_of_the_input():
    result = run("a", {"n": 3, "m": 4}, a=lambda n, m=0: (n, m))
    assert result["a"] == (3, 4)


def test_keys_of_the_input_beside_a_parent():
    result = run("a -> b", {"factor": 3}, a=lambda: 5, b=lambda x, factor: x * factor)
    assert result["b"] == 15


# Rule 3: keys of a parent's dict.


def test_keys_of_a_parent():
    tasks = {"a": lambda: {"x": 1, "y": 2}, "b": lambda y, x: (x, y)}
    assert run("a -> b", **tasks)["b"] == (1, 2)


def test_one_parent_alone_has_the_key():
    tasks = {"a": lambda: {"x": 1}, "b": lambda: {"y": 2}, "c": lambda x, y: (x, y)}
    assert run("[a, b] -> c", **tasks)["c"] == (1, 2)


def test_two_parents_with_the_key_leave_it_to_position():
    tasks = {"a": lambda: {"x": 1}, "b": lambda: {"x": 2}, "c": lambda x, y: (x, y)}
    assert run("[a, b] -> c", **tasks)["c"] == ({"x": 1}, {"x": 2})


def test_a_key_for_a_parameter_with_a_default():
    tasks = {"a": lambda: {"x": 1}, "b": lambda whole, x=0: (whole, x)}
    assert run("a -> b", **tasks)["b"] == ({"x": 1}, 1)


# Rule 4: position.


def test_one_parameter_and_one_parent():
    assert run("a -> b", a=one, b=lambda anything: anything)["b"] == 1


def test_as_many_parameters_as_parents_in_the_order_of_the_edges():
    assert run("b -> c; a -> c", a=one, b=two, c=lambda x, y: (x, y))["c"] == (2, 1)


def test_one_parameter_and_several_parents():
    assert run("[b, a] -> c", a=one, b=two, c=lambda rest: rest)["c"] == [2, 1]


def test_parents_that_a_name_has_taken_are_not_given_twice():
    assert run("[a, b] -> c", a=one, b=two, c=lambda x, a: (x, a))["c"] == (2, 1)


def test_the_input_for_the_single_parameter_of_a_root():
    for data in (None, 0, [], {"other": 1}):
        assert run("a", data, a=lambda n: n)["a"] == data


def test_keyword_only_parameters():
    assert run("a -> b", a=one, b=lambda *, x: x)["b"] == 1


def test_positional_only_parameters():
    def b(x, y=5, /, z=6):
        return x, y, z

    assert run("a -> b", {"z": 7}, a=one, b=b)["b"] == (1, 5, 7)


# Rule 5: the rest.


def test_defaults():
    assert run("a -> b", a=one, b=lambda x, y=5: (x, y))["b"] == (1, 5)


def test_star_gets_the_results_in_order():
    assert run("[b, a] -> c", a=one, b=two, c=lambda *all_: all_)["c"] == (2, 1)
    assert run("[b, a] -> c", a=one, b=two, c=lambda x, *r: (x, r))["c"] == (2, (1,))
    assert run("[b, a] -> c", a=one, b=two, c=lambda a, *r: (a, r))["c"] == (1, (2,))


def test_double_star_gets_unused_keys():
    result = run("a", {"n": 1, "m": 2, 3: 4}, a=lambda n, **rest: (n, rest))
    assert result["a"] == (1, {"m": 2})


def test_callables_without_a_signature_get_the_results():
    assert run("[a, b] -> c", a=one, b=two, c=max)["c"] == 2
    assert run("a", "12", a=int)["a"] == 12


# What can't be told.


def test_two_meanings_are_an_error_at_once():
    ran = []
    tasks = {
        "a": lambda: ran.append(1),
        "a_result": lambda: ran.append(2),
        "c": lambda a_result: a_result,
    }
    with pytest.raises(fastflow.DslError, match="ambiguous") as caught:
        run("[a, a_result] -> c", **tasks)
    assert "the result of a_result, the result of a" in str(caught.value)
    assert ran == []


def test_a_task_called_inputs_is_ambiguous():
    with pytest.raises(fastflow.FlowError, match="all inputs, the result of inputs"):
        run("inputs -> c", inputs=one, c=lambda inputs: inputs)


def test_a_root_without_its_input_is_an_error_before_anything_runs():
    ran = []
    with pytest.raises(
        fastflow.ParameterError, match=r"'x', 'y'.*input_data"
    ) as caught:
        run("a; b", a=lambda: ran.append(1), b=lambda x, y: None)
    assert isinstance(caught.value, fastflow.FlowError)
    assert caught.value.task == "b"
    assert ran == []
    with pytest.raises(fastflow.ParameterError, match="'y'"):
        run("b", {"x": 1}, b=lambda x, y: None)


def test_too_few_parameters_for_the_parents_list_the_candidates():
    tasks = {"a": one, "b": two, "c": one, "d": lambda x, y: None}
    with pytest.raises(fastflow.ParameterError) as caught:
        run("[a, b, c] -> d", **tasks)
    error = caught.value
    assert "'x', 'y'" in str(error)
    assert "candidates, in this order: a, b, c" in str(error)
    assert (error.task, error.result["a"]) == ("d", 1)
    assert isinstance(error, fastflow.TaskError)


def test_more_parameters_than_parents():
    with pytest.raises(fastflow.ParameterError, match="'x', 'y'"):
        run("a -> b", a=one, b=lambda x, y: None)


def test_dicts_decide_where_positions_could_not():
    tasks = {"a": one, "b": lambda: {"x": 5}, "c": two, "d": lambda x, rest: (x, rest)}
    assert run("[a, b, c] -> d", **tasks)["d"] == (5, [1, {"x": 5}, 2])


# Tasks that run once per item.


def test_an_item_takes_the_place_of_the_result():
    tasks = {
        "a": lambda: [1, 2, 3],
        "k": lambda: 10,
        "w": lambda a, k: a * k,
        "t": lambda parts: parts,
    }
    assert run("k -> w; a -> w[*] -> t", **tasks)["t"] == [10, 20, 30]


def test_items_that_are_dicts_give_their_keys():
    tasks = {"a": lambda: [{"x": 1}, {"x": 2}], "w": lambda x: x}
    assert run("a -> w[*]", **tasks)["w"] == [1, 2]


def test_inputs_has_the_whole_list():
    tasks = {"a": lambda: [1, 2], "w": lambda item, inputs: (item, inputs["a"])}
    assert run("a -> w[*]", **tasks)["w"] == [(1, [1, 2]), (2, [1, 2])]
