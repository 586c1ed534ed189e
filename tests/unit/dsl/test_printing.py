"""Texts that are printed and laid out, and read again."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastflow
from fastflow import parse_dsl
from fastflow.base.durations import parse_duration
from fastflow.dsl.formatter import format_dsl
from fastflow.dsl.values import print_duration, print_name, quote, unquote

NAMES = st.one_of(
    st.sampled_from(["a", "b", "c", "task", "flow", "e-f", "g.h", "ünï", "7", "_"]),
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8
    ).filter(str.strip),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SECONDS = st.floats(0.001, 1e9, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.floats(-1e9, 1e9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)
CODE = st.lists(
    st.sampled_from(["x = 1", "    y = '# -> :'", "", "return x", "\tz"]), min_size=1
).filter(lambda lines: any(line.strip() for line in lines))


@st.composite
def texts(draw):
    """A text with everything in it, in any order, with any layout."""
    import json

    names = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    indent = draw(st.sampled_from(["  ", "\t", "     "]))
    lines = []
    described = draw(st.lists(st.sampled_from(names), unique=True, max_size=4))
    for name in described:
        block = [f"{indent}task {print_name(name)}:"]
        inner = indent * 2
        options = {
            "description": draw(st.none() | TEXTS.map(quote)),
            "retries": draw(st.none() | st.integers(0, 10**9)),
            "timeout": draw(st.none() | SECONDS.map(lambda s: f"{s:f}")),
            "retry_delay": draw(
                st.none() | st.sampled_from(["0", "5ms", "1.25h", "3d"])
            ),
            "backoff": draw(st.none() | st.floats(1, 1e20).map(lambda f: f"{f:f}")),
            "fallback": draw(st.none() | JSON.map(json.dumps)),
        }
        for key, value in options.items():
            if value is not None:
                block.append(f"{inner}{key}: {value}")
        if draw(st.booleans()):
            block.append(f"{inner}code: |")
            block += [f"{inner} {line}" for line in draw(CODE)]
        lines.append(block)
    count = len(names)
    for _ in range(draw(st.integers(0, 8))):
        low = draw(st.integers(0, count - 1))
        high = draw(st.integers(0, count - 1))
        if low < high:
            arrow = draw(st.sampled_from(["->", " -> ", "\t->  "]))
            line = f"{print_name(names[low])}{arrow}{print_name(names[high])}"
        else:
            line = f"[{print_name(names[low])}]"
        lines.append([indent + line + draw(st.sampled_from(["", "  # why", " "]))])
    order = draw(st.permutations(lines))
    head = [f"flow {print_name(draw(NAMES))}:"]
    if draw(st.booleans()):
        head.append(f"{indent}description: {quote(draw(TEXTS))}")
    for block in order:
        head += draw(st.lists(st.sampled_from(["", "# c", indent]), max_size=1))
        head += block
    return "\n".join(head) + draw(st.sampled_from(["", "\n", "\r\n"]))


@settings(deadline=None)
@given(texts())
def test_reading_what_was_printed_gives_the_same_flow(text):
    spec = parse_dsl(text)
    printed = spec.to_dsl()
    again = parse_dsl(printed)
    assert again == spec
    assert again.to_dsl() == printed
    assert again.to_dict() == spec.to_dict()


@settings(deadline=None)
@given(texts())
@example('flow a:\n  task a:\n    fallback: "\\b\\f\\/"')
def test_layout_changes_no_meaning_and_is_stable(text):
    formatted = format_dsl(text)
    assert parse_dsl(formatted) == parse_dsl(text)
    assert format_dsl(formatted) == formatted


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("\\b")  # a backslash and a letter: not the escape that they spell
@example("\\\f\b/")
def test_quoting(text):
    quoted = quote(text)
    assert "\n" not in quoted
    assert unquote(quoted) == text


@settings(deadline=None)
@given(st.floats(0, 1e300))
def test_durations(seconds):
    assert parse_duration(print_duration(seconds)) == seconds


def test_layout_keeps_comments_where_they_are():
    text = """# head


# second
flow   F :#x
  # about the task
  task  a :
      # about the value
      retries:3 # three

  a->b   #why

      # deeper than what follows
  [ b,c ]->d[*]
  task "z":
      code: |
        if 1:
            # in the code
          return 2

  # last
"""
    assert format_dsl(text) == (
        """# head

# second
flow F:  # x
    # about the task
    task a:
        # about the value
        retries: 3  # three

    a -> b  # why

    # deeper than what follows
    [b, c] -> d[*]
    task z:
        code: |
            if 1:
                # in the code
              return 2

# last
"""
    )


def test_a_wrong_text_is_not_laid_out():
    with pytest.raises(fastflow.DslError):
        format_dsl("flow F:\n    a ->\n")


def test_tasks_are_numbered_again_as_they_were():
    text = "flow F:\n  a\n  z\n  c -> a\n  b -> c\n  task y:\n  q\n"
    spec = parse_dsl(text)
    assert list(spec.tasks) == ["y", "a", "z", "c", "b", "q"]
    assert list(parse_dsl(spec.to_dsl()).tasks) == list(spec.tasks)
