from __future__ import annotations

import pytest

from fastflow.dsl.lexer import is_plain_name, tokenize


def kinds(line):
    return [(token.kind, token.text) for token in tokenize(line)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a->b", [("name", "a"), ("arrow", "->"), ("name", "b")]),
        ("a-b -> c", [("name", "a-b"), ("arrow", "->"), ("name", "c")]),
        ("work[*]", [("name", "work"), ("each", "[*]")]),
        ("work[ * ]", [("name", "work"), ("each", "[ * ]")]),
        ("[a,b]", [("[", "["), ("name", "a"), (",", ","), ("name", "b"), ("]", "]")]),
        ("a # b -> c", [("name", "a"), ("comment", "# b -> c")]),
        ('"a # b"', [("string", '"a # b"')]),
        (r'"a\"b" c', [("string", r'"a\"b"'), ("name", "c")]),
        ("'it'", [("string", "'it'")]),
        ('"open', [("open", '"open')]),
        ("a --> b", [("name", "a"), ("wrong", "-->")]),
        ("a → b", [("name", "a"), ("wrong", "→")]),
        ("a => b", [("name", "a"), ("wrong", "=>")]),
        ("a - b", [("name", "a"), ("bad", "-")]),
        ("a\u00a0b", [("name", "a"), ("bad", "\u00a0")]),
        ("", []),
        (" \t ", []),
    ],
)
def test_tokens(line, expected):
    assert kinds(line) == expected


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "_",
        "9lives",
        "a.b-c_d",
        "größe",
        "тест",
        "数据",
        "चरण-१",
        "ข้อมูล",
        "e\u0301t",
    ],
)
def test_names_of_any_script(name):
    assert kinds(f"{name} -> x")[0] == ("name", name)
    assert is_plain_name(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "-a", "a-", "a->b", "\u0301a", "a\u200db", "a:b", '"', "[*]"]
)
def test_names_that_need_quotes(name):
    assert not is_plain_name(name)


def test_positions_are_columns():
    tokens = tokenize("  ab -> [c]")
    assert [(token.start, token.end) for token in tokens] == [
        (2, 4),
        (5, 7),
        (8, 9),
        (9, 10),
        (10, 11),
    ]
