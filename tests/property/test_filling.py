"""The short ways to fill parameters give what the rules give, one by one."""

from __future__ import annotations

import random

import pytest

import fastflow
from fastflow import Flow, ParameterError
from fastflow.run.params import Unfilled

NAMES = ("x", "y", "p0", "p1_result", "root", "input_data", "inputs", "key")


def random_function(rng, calls):
    """A function of random parameters that writes down what it gets."""
    names = rng.sample(NAMES, rng.randrange(5))
    parts, kinds = [], sorted(rng.choices("pnk", k=len(names)), key="pnk".index)
    defaults = False
    for i, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if kind == "k" and (i == 0 or kinds[i - 1] != "k"):
            parts.append(rng.choice(["*", "*rest"]))
            defaults = False
        defaults = rng.random() < 0.3 or (defaults and kind != "k")
        parts.append(f"{name}={-i - 1}" if defaults else name)
        if kind == "p" and (i + 1 == len(kinds) or kinds[i + 1] != "p"):
            parts.append("/")
    if "k" not in kinds and rng.random() < 0.3:
        parts.append("*rest")
    if rng.random() < 0.2:
        parts.append("**more")
    scope = {"calls": calls}
    source = (
        f"def f({', '.join(parts)}):\n"
        "    found = dict(locals())\n"
        "    found['inputs'] = dict(found.get('inputs') or {})\n"
        "    calls.append(found)\n"
    )
    exec(source, scope)
    return scope["f"]


def random_value(rng):
    if rng.random() < 0.7:
        return rng.randrange(100)
    return {name: rng.randrange(100) for name in rng.sample(NAMES, rng.randrange(4))}


def by_the_rules(flow, data):
    """Make the last call by the rules alone, without what speeds them up."""
    plan = flow._plan
    number = plan.index["f"]
    results = {**flow.run(data, executor="serial", on_error="return")}
    recipe = plan.bind(data)[id(plan.nodes[number].recipe)]
    every = [results.get(name) for name in plan.names]
    parents = plan.parents.of(number)
    return recipe.layout.fill(
        {name: recipe.constants[place] for name, place in recipe.layout.constants},
        [every[parent] for parent in parents],
        every,
        lambda: {plan.names[n]: every[n] for n in plan.ancestors(number)},
        recipe._rest,
        recipe._extra,
    )


@pytest.mark.parametrize("seed", range(20))
def test_serial_and_native_agree_with_the_rules(seed):
    rng = random.Random(seed)
    outcomes = set()
    with fastflow.Executor(2) as executor:
        for _ in range(150):
            calls = []
            function = random_function(rng, calls)
            values = {f"p{i}": random_value(rng) for i in range(rng.randrange(4))}
            root = random_value(rng)
            tasks = {name: lambda value=v: value for name, v in values.items()}
            tasks = {**tasks, "root": lambda root=root: root, "f": function}
            lines = [f"    root -> {name} -> f" for name in values] or ["    f"]
            data = rng.choice([None, 7, {"key": 1}, {"x": 2, "root": 3, "other": 4}])
            try:
                flow = Flow("flow F:\n" + "\n".join(lines), registry=tasks)
            except fastflow.FastflowError:
                outcomes.add("ambiguous")
                continue
            expected = []
            try:
                args, kwargs = by_the_rules(flow, data)
                calls.clear()
                function(*args, **kwargs)
                expected = calls.copy()
                outcomes.add("filled")
            except (Unfilled, ParameterError):
                outcomes.add("unfilled")
            for engine in ("serial", executor):
                calls.clear()
                try:
                    flow.run(data, executor=engine)
                except (ParameterError, fastflow.TaskError):
                    calls.append("failed")
                assert calls == (expected or ["failed"])
    assert outcomes >= {"filled", "unfilled"}
