"""Nothing that a foreign store holds controls the terminal it is shown on."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tracemalloc

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fastflow.base import terminal
from fastflow.base.terminal import printable, printable_json, write_lines
from fastflow.cli import main
from fastflow.durable import DurableRunner, durable_execution
from fastflow.journal import sqlite
from fastflow.journal.journal import Change, End
from fastflow.journal.records import BEGUN, FAILED, SUCCEEDED, Failure, Record
from fastflow.journal.sqlite import SqliteJournal
from support import LIMIT

ESCAPES = (
    "\x1b[2J", "\x1b]0;mine\x07", "\x9b31m", "\r", "\n", "\b", "\x7f", "\x85", "\t",
    "\u202e", "\u2066", "\u200b", "\u2028", "\x0e", "\x1bP", "\ufeff", "\U000e0041",
)  # fmt: skip
hostile = st.lists(
    st.one_of(st.sampled_from(ESCAPES), st.text(max_size=3)), max_size=6
).map("".join)
# What every store refuses, so that a stranger's can't have it either.
names = hostile.map(
    lambda text: "".join(c for c in text if c != "\0" and not "\ud800" <= c <= "\udfff")
)
texts = names
failures = st.builds(
    Failure, texts, texts, texts, st.lists(texts, max_size=2).map(tuple)
)
records = st.builds(
    Record,
    id=st.binary(min_size=16, max_size=16),
    parent=st.sampled_from([bytes(16), b"p" * 16]),
    kind=st.one_of(st.sampled_from(["STEP", "CONTEXT", "CALLBACK"]), texts),
    subtype=texts,
    name=st.one_of(st.none(), texts),
    action=st.sampled_from([BEGUN, SUCCEEDED, FAILED, 77]),
    at=st.integers(0, 2**64 - 1),
    attempt=st.integers(0, 3),
    payload=st.one_of(st.none(), texts.map(str.encode), st.binary(max_size=8)),
    error=st.one_of(st.none(), failures),
)


def run(*arguments):
    """Run a command; return its exit code and what it has printed, checked."""
    done = CliRunner().invoke(main, ["runs", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), (
        done.exception
    )
    wrong = [c for c in done.output if not c.isprintable() and c != "\n"]
    assert wrong == []
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def make_store(folder, name, function, status, data, error, made):
    path = folder / "foreign.db"
    for part in folder.glob("foreign.db*"):
        part.unlink()
    journal = SqliteJournal(path)
    owner = journal.enter(60)
    entry = journal.begin(name, function, data, owner)
    end = None if status == "RUNNING" else End(status, data, error, entry.created)
    journal.write([Change(entry.number, entry.fence, 0, made, end)])
    journal.leave(owner)
    journal.close()
    return path


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    names.filter(bool), names.filter(bool), st.one_of(st.just("RUNNING"), texts),
    texts.map(str.encode), failures, st.lists(records, min_size=1, max_size=4),
)  # fmt: skip
@example(
    "\x1b[2Jname", "\x1b[2Jfunction", "\x1b[31mSTATUS", b"\x1b[2J",
    Failure("\x1b[2J", "\x1b]0;type\x07", None, ("\x1b[2J",)),
    [Record(b"i" * 16, bytes(16), "STEP", "\x1b[sub", "\x1b[name", FAILED, 1,
            error=Failure("\x1b[2J", "\x1b[2J"))],
)  # fmt: skip
def test_a_hostile_store(folder, name, function, status, data, error, made):
    store = make_store(folder, name, function, status, data, error, made)
    code, _ = run("ls", "--store", store)
    assert code == 0
    code, output = run("ls", "--store", store, "--json")
    assert (code, json.loads(output)[0]["name"]) == (0, name)
    for options in ((), ("--events",), ("--json",), ("--json", "--events")):
        code, output = run("show", "--store", store, *options, "--", name)
        assert code in (0, 2)  # 2: there is a record that means nothing
        if code == 0 and "--json" in options:
            found = json.loads(output)
            assert (found["name"], found["function"]) == (name, function)
    assert run("show", "--store", store, "--", f"{name}\x1b[2J")[0] == 2
    assert run("gc", "--store", store, "--older-than", "0s", "--dry-run")[0] == 0
    if status != "RUNNING":
        assert run("cancel", "--store", store, "--", name)[0] == 2


@pytest.mark.parametrize("command", ["ls", "show", "resume", "cancel", "gc"])
def test_a_path_that_would(tmp_path, command):
    more = {
        "show": ("x",), "cancel": ("x",), "resume": ("x", "--tasks", "json"),
    }.get(command, ())  # fmt: skip
    folder = tmp_path / "\x1b[2J"
    assert run(command, *more, "--store", folder / "none.db")[0] == 2
    folder.mkdir()
    assert run(command, *more, "--store", folder / "\x1b[31m.db")[0] == 2
    (folder / "junk.db").write_bytes(b"\x1b[2J" * 1000)
    assert run(command, *more, "--store", folder / "junk.db")[0] == 2


@pytest.mark.parametrize(
    "value", ["\x1b[2J", "a\u202eb", "\x7f\x9b", "\U000e0041", {"k\x85": ["\u200b"]}]
)
def test_a_resumed_result_is_the_same_json(tmp_path, value):
    @durable_execution(name="tests.terminal.value")
    def function(event, context):
        if not event_seen:
            event_seen.append(event)
            raise SystemExit
        return event

    @durable_execution(name="tests.terminal.error")
    def failing(event, context):
        raise ValueError(f"{event}\x1b[2J\nand a line")

    event_seen = []
    store = tmp_path / "runs.db"
    with DurableRunner(store) as runner, pytest.raises(SystemExit):
        runner.run(function, value, "it")
    code, output = run("resume", "it", "--store", store, "--tasks", "json")
    assert (code, json.loads(output)) == (0, value)
    with DurableRunner(store) as runner, pytest.raises(ValueError):
        runner.run(failing, value, "bad")
    code, output = run("resume", "bad", "--store", store, "--tasks", "json")
    assert (code, len(output.splitlines())) == (1, 2)


COUNT = 10_000
VALUE = b'"' + b"x" * 4000 + b'"'


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A store of very many executions, every other of which has ended."""
    path = tmp_path_factory.mktemp("many") / "runs.db"
    journal = SqliteJournal(path)
    owner = journal.enter(600)
    for number in range(COUNT):
        entry = journal.begin(f"run-{number}", "function", VALUE, owner)
        if number % 2:
            end = End("SUCCEEDED", VALUE, None, entry.created)
            journal.write([Change(entry.number, entry.fence, 0, [], end)])
    journal.leave(owner)
    journal.close()
    return path


class TestManyExecutions:
    @pytest.mark.parametrize("options", [(), ("--json",)])
    def test_no_value_is_read_and_nothing_grows(self, many, monkeypatch, options):
        from fastflow.cli import runs as commands

        statements = []
        connect = sqlite.connect

        def watched(*args, **kwargs):
            db = connect(*args, **kwargs)
            db.set_trace_callback(statements.append)
            return db

        class Sink:
            encoding = "utf-8"
            lines = 0

            def write(self, text):
                self.lines += text.count("\n")

            def isatty(self):
                return True

        sink = Sink()
        monkeypatch.setattr(sqlite, "connect", watched)
        monkeypatch.setattr(sys, "stdout", sink)
        tracemalloc.start()
        try:
            assert commands.ls(many, None, bool(options)) == 0
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert sink.lines == COUNT + 1
        assert len(statements) < 20
        assert most < 6e6  # bytes; the values have 60 million

    def test_status_is_asked_of_the_store(self, many):
        for status, wanted in (("INTERRUPTED", 5000), ("SUCCEEDED", 5000),
                               ("RUNNING", 0), ("FAILED", 0)):  # fmt: skip
            code, output = run("ls", "--store", many, "--status", status)
            assert (code, len(output.splitlines())) == (0, wanted)

    def test_nothing_to_list(self, tmp_path):
        SqliteJournal(tmp_path / "runs.db").close()
        assert run("ls", "--store", tmp_path / "runs.db") == (0, "")
        code, output = run("ls", "--store", tmp_path / "runs.db", "--json")
        assert (code, json.loads(output)) == (0, [])


class TestInterrupting:
    def start(self, store):
        return subprocess.Popen(
            [sys.executable, "-m", "fastflow", "runs", "ls", "--store", str(store)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def test_a_pipe_in_the_place_of_a_store(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.db")
        process = self.start(tmp_path / "pipe.db")
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 2
        assert "regular file" in err

    def test_a_device_in_the_place_of_a_store(self):
        process = self.start("/dev/zero")
        _, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 2
        assert "regular file" in err

    def test_ctrl_c_in_the_middle_of_a_list(self, tmp_path):
        store = tmp_path / "runs.db"
        journal = SqliteJournal(store)
        owner = journal.enter(600)
        for number in range(3000):  # more than a pipe holds
            journal.begin(f"run-{number}", "f" * 200, b"null", owner)
        journal.leave(owner)
        journal.close()
        process = self.start(store)
        assert "INTERRUPTED" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 1
        assert out.count("\n") < 2999
        assert "Traceback" not in err


class TestPrintable:
    @settings(deadline=None)
    @given(st.text())
    def test_it_is(self, text):
        found = printable(text)
        assert found.isprintable()
        assert len(found) == len(text)
        assert printable(found) == found
        assert not text.isprintable() or found == text

    @settings(deadline=None)
    @given(st.text(), st.integers(3, 9))
    def test_the_longest(self, text, longest):
        assert len(printable(text, longest)) <= longest

    @pytest.mark.parametrize(
        ("given", "expected"),
        [(b"\x1b\xff", "\ufffd\ufffd"), (None, "None"), ("\ud800", "\ufffd"), (5, "5")],
    )
    def test_of_anything(self, given, expected):
        assert printable(given) == expected

    @settings(deadline=None)
    @given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(
        st.text(), inner)))  # fmt: skip
    def test_json_means_the_same(self, value):
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
            found = printable_json(text)
            assert json.loads(found) == value
            assert found.replace("\n", "").isprintable()

    def test_a_terminal_that_knows_few_characters(self):
        class Narrow:
            encoding = "ascii"
            text = ""

            def write(self, text):
                self.text += text

        stream = Narrow()
        write_lines("caf\u00e9", "\ufffd", to=stream)
        assert stream.text == "caf\\xe9\n\\ufffd\n"

    def test_what_is_logged(self, monkeypatch, capsys):
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        record = logging.makeLogRecord({"msg": "of %s", "args": ("\x1b[2J",)})
        terminal.CleanHandler().emit(record)
        assert capsys.readouterr().err == "of \ufffd[2J\n"
