"""The data job: generation, cleaning, merging, and its numpy form."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastflow.bench.records import (
    SENSORS,
    clean,
    climate,
    generate,
    merge,
    summarise,
    to_columns,
)


def test_generation_repeats_itself_whatever_the_size():
    assert generate(700, chunk=100) == generate(700, chunk=100)
    assert generate(700, chunk=100)[:3] == generate(300, chunk=100)
    assert generate(300, chunk=100, seed=1) != generate(300, chunk=100, seed=2)


def test_generation_makes_exactly_so_many_records():
    blocks = generate(1_234, chunk=500)
    assert [len(block.splitlines()) for block in blocks] == [500, 500, 234]


def test_records_are_dirty():
    lines = [line for block in generate(2_000) for line in block.splitlines()]
    readings = [json.loads(line) for line in lines]
    kinds = {type(reading["temp"]).__name__ for reading in readings}
    assert kinds == {"NoneType", "str", "float"}
    assert {reading.get("unit") for reading in readings} == {"C", "F", None}
    useless = sum(clean(reading) is None for reading in readings)
    assert 0 < useless < len(readings) / 5


@pytest.mark.parametrize(
    ("reading", "hundredths"),
    [
        ({"temp": 21.5, "unit": "C"}, 2150),
        ({"temp": " 21.50 ", "unit": "C"}, 2150),
        ({"temp": 21.5}, 2150),
        ({"temp": 212.0, "unit": "F"}, None),  # 100 °C is not weather
        ({"temp": 50.0, "unit": "F"}, 1000),
        ({"temp": None, "unit": "C"}, None),
        ({"temp": "n/a", "unit": "C"}, None),
        ({"temp": "", "unit": "C"}, None),
        ({"temp": 999.9, "unit": "C"}, None),
        ({"unit": "C"}, None),
    ],
)
def test_cleaning(reading, hundredths):
    assert clean(reading) == hundredths


@given(
    st.lists(st.integers(min_value=-4_000, max_value=6_000), min_size=1),
    st.integers(min_value=1, max_value=7),
)
def test_summaries_of_parts_merge_to_that_of_the_whole(values, parts):
    lines = [
        json.dumps({"sensor": i % 3, "temp": value / 100})
        for i, value in enumerate(values)
    ]
    whole = summarise("\n".join(lines).encode())
    blocks = ["\n".join(lines[start::parts]).encode() for start in range(parts)]
    merged = merge(map(summarise, blocks))
    assert merged == dict(sorted(whole.items()))
    assert sum(entry[1] for entry in merged.values()) == sum(values)


def test_both_forms_count_the_same_valid_readings():
    blocks = generate(3_000, chunk=700)
    text = merge(map(summarise, blocks))
    columns = to_columns(blocks)
    assert len(text) == SENSORS
    assert sum(part.shape[1] for part in columns) == 3_000
    valid = sum(climate(part).valid for part in columns)
    # A Fahrenheit reading is rounded in one form only: a hundredth at the limits.
    assert valid == pytest.approx(sum(entry[0] for entry in text.values()), abs=1)


def test_columns_are_views_of_one_array():
    parts = to_columns(generate(100))
    assert len(parts) == 4
    assert all(part.base is parts[0].base for part in parts)


def test_a_part_without_a_valid_reading():
    empty = climate(np.array([[np.nan, 999.9], [50.0, 50.0]]))
    assert empty.valid == 0


def test_climate_of_known_readings():
    result = climate(np.array([[10.0, 20.0, np.nan], [100.0, 100.0, 50.0]]))
    assert result.valid == 2
    assert result.mean == 15.0
    assert result.dew_point == pytest.approx(15.0)  # saturated air
    assert result.p95 == 10.0
