"""`load_dsl` and `save_dsl`."""

from __future__ import annotations

import os
import stat

import pytest

import fastflow
from fastflow import DslError, Flow, FlowError, load_dsl, parse_dsl, save_dsl
from fastflow.base.textfiles import write_text

TEXT = "flow F:  # why\n    a -> [b, c]\n    b -> d\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "f.flow"


def test_a_text_is_kept_with_its_comments(path):
    save_dsl(TEXT, path)
    assert path.read_bytes() == TEXT.encode()
    assert load_dsl(path) == parse_dsl(TEXT)


@pytest.mark.parametrize("text", ["flow F:\n    a", "flow F:\r\n    a -> b\r\n"])
def test_ends_of_lines(path, text):
    save_dsl(text, path)
    assert path.read_bytes() == (text.rstrip("\n") + "\n").encode()
    assert load_dsl(path) == parse_dsl(text)


def test_a_specification_and_a_flow(path):
    spec = parse_dsl('flow "größer 🙂":\n    "日本" -> b\n')
    save_dsl(spec, path)
    assert load_dsl(path) == spec
    save_dsl(Flow(TEXT, registry=dict.fromkeys("abcd", lambda *_: 1)), str(path))
    assert load_dsl(os.fspath(path)) == parse_dsl(TEXT)


def test_several_flows(path):
    save_dsl("flow F:\n    a\nflow G:\n    b\n", path)
    assert load_dsl(path, flow="G").name == "G"
    with pytest.raises(FlowError, match=r"the text has 2 flows; .*'F', 'G'"):
        load_dsl(path)
    with pytest.raises(FlowError, match=r"there is no flow 'H'"):
        load_dsl(path, flow="H")


def test_errors_name_the_file(path):
    path.write_text("flow F:\n    a -> -> b\n")
    with pytest.raises(DslError) as caught:
        load_dsl(path)
    assert caught.value.problems[0].file == str(path)


def test_what_can_not_be_read(path):
    with pytest.raises(FlowError, match=r"can't read .*f.flow: No such file"):
        load_dsl(path)
    path.write_bytes(b"flow F:\n    \xff")
    with pytest.raises(FlowError, match=r"is not UTF-8 text"):
        load_dsl(path)
    with pytest.raises(FlowError, match=r"can't read .*: Is a directory"):
        load_dsl(path.parent)


def test_a_wrong_text_is_not_written(path):
    path.write_text("what was there")
    with pytest.raises(DslError):
        save_dsl("flow F:\n    a -> -> b", path)
    assert path.read_text() == "what was there"


@pytest.mark.parametrize("flow", [None, 5, b"flow F:\n    a", {"name": "F"}])
def test_what_is_no_flow(path, flow):
    with pytest.raises(
        TypeError, match=r"must be a Flow, a FlowSpec or the text of one"
    ):
        save_dsl(flow, path)
    assert not path.exists()


@pytest.mark.parametrize("path", [None, 5, 1.5])
def test_what_is_no_path(path):
    for call in (load_dsl, lambda path: save_dsl(TEXT, path)):
        with pytest.raises(TypeError, match=r"a path must be a str or a path, not"):
            call(path)


def test_what_can_not_be_written(tmp_path):
    with pytest.raises(FlowError, match=r"can't write .*: No such file"):
        save_dsl(TEXT, tmp_path / "no" / "f.flow")
    with pytest.raises(FlowError, match=r"can't write .*: Is a directory"):
        save_dsl(TEXT, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_of_a_character(path):
    text = 'flow F:\n    description: "\ud83d"\n    a\n'
    with pytest.raises(FlowError):
        save_dsl(text, path)
    assert not path.exists()


def test_nobody_sees_half_of_a_file(path, monkeypatch):
    save_dsl(TEXT, path)

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fails)
    with pytest.raises(FlowError, match=r"No space left"):
        save_dsl("flow G:\n    b", path)
    assert path.read_text() == TEXT
    assert list(path.parent.iterdir()) == [path]


def test_permissions_and_links_are_kept(path):
    save_dsl(TEXT, path)
    path.chmod(0o640)
    link = path.with_name("link")
    link.symlink_to(path)
    save_dsl("flow G:\n    b\n", link)
    assert link.is_symlink()
    assert path.read_text() == "flow G:\n    b\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_pipe_is_written_to(tmp_path):
    reading, writing = os.pipe()
    try:
        fastflow.save_dsl(TEXT, f"/dev/fd/{writing}")
        os.close(writing)
        assert os.read(reading, 1000) == TEXT.encode()
    finally:
        os.close(reading)


def test_a_private_file(path):
    write_text(path, "secret", private=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
