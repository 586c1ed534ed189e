"""Durations: every form, and what is not one."""

from __future__ import annotations

import datetime

import pytest

from fastflow.base.durations import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        (" 10 s ", 10.0),
        ("7", 7.0),
        (0, 0.0),
        (2, 2.0),
        (0.25, 0.25),
        (datetime.timedelta(minutes=1), 60.0),
    ],
)
def test_forms(value, seconds):
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "not a duration"),
        ("soon", "not a duration"),
        ("5 5s", "not a duration"),
        ("nan", "not a duration"),
        ("1e3s", "not a duration"),
        ("٣s", "not a duration"),
        ("5 weeks", "unknown unit 'weeks'"),
        ("5M", "unknown unit 'M'"),
        ("-1s", "negative"),
        (-0.5, "negative"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (10**400, "finite"),
        ("9" * 400, "finite"),
    ],
)
def test_wrong_values(value, words):
    with pytest.raises(ValueError, match=words):
        parse_duration(value)


@pytest.mark.parametrize("value", [None, True, [1], b"5s", 1j])
def test_wrong_types(value):
    with pytest.raises(TypeError, match="duration can't be"):
        parse_duration(value)
