"""What happens when the disk is full or fails, and when the power goes.

A small library is put under a process that writes a journal (``faults.c``).  It lets
the n-th call of some kind fail, or keeps a trace of all changes of the files, from
which a crash of the whole machine is simulated: what was synced is there, and of what
was not any part, in any order, may be.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from crash.preload import preloadable
from fastflow.durable import JournalError, SqliteJournal

HERE = Path(__file__).resolve().parent
STEPS = 25
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("gcc"), reason="needs Linux and gcc"
)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The library that lets calls fail."""
    return preloadable(
        "faults",
        tmp_path_factory.mktemp("faults"),
        "import sqlite3; sqlite3.connect(':memory:')",
    )


def run_faulty(library, folder, durability="normal", **fault):
    env = {k: v for k, v in os.environ.items() if not k.startswith("FAULT_")}
    preload = [str(library), *env.get("LD_PRELOAD", "").split()]
    env |= {"LD_PRELOAD": " ".join(preload), "FAULT_FOLDER": f"{folder}/"}
    env |= {f"FAULT_{key.upper()}": str(value) for key, value in fault.items()}
    # A hang is a failure: the time is far beyond what it takes.
    outcome = subprocess.run(
        [sys.executable, str(HERE / "faulty.py"), str(folder), str(STEPS), durability],
        env=env, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stderr
    return json.loads(outcome.stdout)


def acknowledged(folder):
    log = folder / "log"
    return {int(line) for line in log.read_text().split()} if log.exists() else set()


def recorded(path):
    journal = SqliteJournal(path)
    try:
        return {
            int(record.name[1:])
            for entry in journal.entries()
            for frame in journal.frames(entry.number)
            for record in frame
            if record.kind == "STEP"
        }
    finally:
        journal.close()


FAULTS = {
    # kind, times -> the errors that may be seen
    ("enospc", 1): {"JournalFullError", "JournalIOError"},
    ("enospc", -1): {"JournalFullError", "JournalIOError"},
    ("eio_write", 1): {"JournalIOError"},
    ("eio_sync", 1): {"JournalIOError"},
    ("emfile", 1): {"JournalError"},
    ("short", 1): {"JournalFullError", "JournalIOError"},
}


@pytest.mark.parametrize(("kind", "times"), FAULTS, ids=[f"{k} {t}" for k, t in FAULTS])
@pytest.mark.parametrize("at", [0, 1, 3, 7, 20, 41])
def test_a_fault_loses_nothing_and_holds_up_nobody(library, tmp_path, kind, times, at):
    switch = tmp_path / "switch"
    switch.touch()
    folder = tmp_path / "runs"
    folder.mkdir()
    durability = "full" if kind == "eio_sync" else "normal"
    outcomes = run_faulty(
        library, folder, durability, kind=kind, at=at, times=times, switch=switch
    )
    errors = {o for o in outcomes if isinstance(o, str)}
    assert STEPS in outcomes, outcomes
    assert errors <= FAULTS[kind, times] | {"JournalError", "JournalReadOnlyError"}, (
        outcomes
    )
    assert acknowledged(folder) == recorded(folder / "runs.db") == set(range(STEPS))
    db = sqlite3.connect(folder / "runs.db")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def test_a_full_disk_is_over_when_there_is_space(library, tmp_path):
    switch = tmp_path / "switch"
    switch.touch()
    folder = tmp_path / "runs"
    folder.mkdir()
    outcomes = run_faulty(
        library, folder, kind="enospc", at=40, times=-1, switch=switch
    )
    # Twice no space, then the same connection goes on.
    assert outcomes == ["JournalFullError", "JournalFullError", STEPS]


def test_after_a_failed_sync_nothing_is_written_until_it_is_opened_anew(
    library, tmp_path
):
    switch = tmp_path / "switch"
    switch.touch()
    folder = tmp_path / "runs"
    folder.mkdir()
    outcomes = run_faulty(
        library, folder, "full", kind="eio_sync", at=12, times=1, switch=switch
    )
    assert outcomes == ["JournalIOError"] * 3 + [STEPS]


# Power cuts


def read_trace(path):
    data = path.read_bytes()
    found, at = [], 0
    while at < len(data):
        op, name_size, offset, size = struct.unpack_from("<cBqq", data, at)
        at += 18
        name = data[at : at + name_size].decode()
        at += name_size
        content = data[at : at + size] if op == b"W" else b""
        at += len(content)
        found.append((op, name, offset, content))
    return found


SECTOR = 512


def cut(trace, end, rng, folder):
    """Make the files that a power cut after `end` changes may leave."""
    files, unsynced, logged = {}, {}, set()
    for op, name, offset, content in trace[:end]:
        if name == "log":
            logged |= {int(n) for n in content.split()}
            continue
        if op == b"U":
            files.pop(name, None)
            unsynced.pop(name, None)
        elif op == b"S":
            for change in unsynced.pop(name, ()):
                apply(files, name, *change)
        else:
            unsynced.setdefault(name, []).append((op, offset, content))
    for name, changes in unsynced.items():
        rng.shuffle(changes)  # the disk may write in any order
        for op, offset, content in changes:
            if op == b"T":
                if rng.random() < 0.5:
                    apply(files, name, op, offset, content)
                continue
            for start in range(0, len(content), SECTOR):
                if rng.random() < 0.5:
                    part = content[start : start + SECTOR]
                    apply(files, name, op, offset + start, part)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return logged


def apply(files, name, op, offset, content):
    file = files.setdefault(name, bytearray())
    if op == b"T":
        del file[offset:]
        return
    if len(file) < offset + len(content):
        file.extend(bytes(offset + len(content) - len(file)))
    file[offset : offset + len(content)] = content


def verdict(folder, logged):
    """What became of the journal: "damaged", "gap", "lost" or "good"."""
    path = folder / "runs.db"
    try:
        if not path.exists():
            there = set()
        else:
            there = recorded(path)
            db = sqlite3.connect(path)
            ok = db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            db.close()
            if not ok:
                return "damaged"
    except (JournalError, sqlite3.Error):
        return "damaged"
    if there != set(range(len(there))):
        return "gap"
    return "good" if logged <= there else "lost"


@pytest.mark.parametrize("durability", ["full", "normal", "off"])
def test_power_cuts(library, tmp_path, durability):
    runs = tmp_path / "runs"
    runs.mkdir()
    outcomes = run_faulty(library, runs, durability, trace=tmp_path / "trace")
    assert outcomes == [STEPS]
    trace = read_trace(tmp_path / "trace")
    rng = random.Random(f"cuts of {durability}")
    found = {"good": 0, "lost": 0, "gap": 0, "damaged": 0}
    for number in range(CUTS):
        folder = tmp_path / f"cut-{number}"
        logged = cut(trace, rng.randrange(len(trace) + 1), rng, folder)
        result = verdict(folder, logged)
        found[result] += 1
        shutil.rmtree(folder)
    if durability == "full":
        assert found == {"good": CUTS, "lost": 0, "gap": 0, "damaged": 0}
    elif durability == "normal":
        assert found["gap"] == found["damaged"] == 0
        assert found["lost"] > 0, "else this test could not see what is lost"
    else:
        assert found["damaged"] > 0, "else this test could not see damage"


CUTS = 200
