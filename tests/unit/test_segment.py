"""Segments: pieces of shared memory for large buffers."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastflow import _core

pytestmark = pytest.mark.skipif(
    not _core.has_shared_memory(), reason="there is no memfd here"
)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def mapped():
    return Path("/proc/self/maps").read_text("utf-8").count("fastflow-segment")


def test_what_one_writes_the_other_reads():
    segment = _core.Segment(10_000)
    assert segment.size == 10_000
    assert not segment.readonly
    view = memoryview(segment)
    assert not view.readonly
    assert bytes(view) == bytes(10_000)
    other = _core.Segment.open(os.dup(segment.fd), 10_000)
    view[5000:5003] = b"abc"
    assert bytes(memoryview(other)[4999:5004]) == b"\0abc\0"
    segment.write(b"xyz", 5001)
    assert bytes(memoryview(other)[4999:5005]) == b"\0axyz\0"
    segment.write(data=bytearray(2), offset=9_998)


def test_readers_can_not_write():
    segment = _core.Segment(100)
    other = _core.Segment.open(os.dup(segment.fd), 100)
    assert other.readonly
    assert memoryview(other).readonly
    with pytest.raises(TypeError):
        memoryview(other)[0] = 1
    with pytest.raises(TypeError, match="reading only"):
        other.write(b"x")
    writer = _core.Segment.open(os.dup(segment.fd), 50, readonly=False)
    memoryview(writer)[0] = 1
    assert memoryview(other)[0] == 1


def test_what_is_larger_than_a_page_or_than_the_lock_is_held_for():
    data = os.urandom(3_000_001)
    segment = _core.Segment(len(data) + 7)
    segment.write(data, 7)
    assert memoryview(segment)[7:] == data


def test_the_memory_lives_as_long_as_a_view():
    segment = _core.Segment(100)
    segment.write(b"abc")
    view = memoryview(_core.Segment.open(os.dup(segment.fd), 100))
    segment.close_fd()
    assert segment.fd == -1
    segment.close_fd()
    assert bytes(memoryview(segment)[:3]) == b"abc"
    with pytest.raises(OSError, match="writing"):
        segment.write(b"x")
    del segment
    gc.collect()
    assert bytes(view[:3]) == b"abc"
    assert mapped() == 1
    del view
    gc.collect()
    assert mapped() == 0


def test_nothing_is_left():
    files = open_files()
    for _ in range(100):
        segment = _core.Segment(1 << 16)
        segment.write(bytes(1 << 16))
        memoryview(_core.Segment.open(os.dup(segment.fd), 1 << 16)).release()
    del segment
    gc.collect()
    assert open_files() == files
    assert mapped() == 0


def test_a_segment_that_is_only_written_is_not_mapped():
    segment = _core.Segment(1 << 16)
    segment.write(bytes(1 << 16))
    assert mapped() == 0
    del segment


def test_wrong_sizes():
    for size in (0, -1):
        with pytest.raises(ValueError, match="one byte"):
            _core.Segment(size)
    segment = _core.Segment(100)
    with pytest.raises(ValueError, match="has 100 bytes, not 101"):
        _core.Segment.open(os.dup(segment.fd), 101)
    for offset in (-1, 100, 1 << 62):
        with pytest.raises(ValueError, match="do not fit"):
            segment.write(b"x", offset)
    with pytest.raises(ValueError, match="do not fit"):
        segment.write(bytes(101))
    segment.write(b"", 100)
    with pytest.raises(OSError, match="mapping 1152921504606846976 bytes"):
        memoryview(_core.Segment(1 << 60))
    with pytest.raises(OSError, match="looking at shared memory"):
        _core.Segment.open(-1, 1)


def test_its_size_is_sealed():
    segment = _core.Segment(10_000)
    for size in (0, 20_000):
        with pytest.raises(PermissionError):
            os.ftruncate(segment.fd, size)


def test_refused_descriptors_are_told():
    code = """
import os, resource
from fastflow import _core
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
for make in (lambda: _core.Segment(10), lambda: _core.Channel.create(0, 4096)):
    try:
        make()
    except OSError as error:
        print(error.errno, error.strerror)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("24 creating shared memory (memfd_create)") == 2
