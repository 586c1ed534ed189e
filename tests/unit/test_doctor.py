"""What the doctor reads from the system."""

from __future__ import annotations

import pytest

from fastflow.base.doctor import (
    cgroup_quota,
    examine,
    gil_state,
    healthy,
    package_version,
)


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cgroup_quota(tmp_path, files, cores):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    assert cgroup_quota(tmp_path) == cores


def test_examination_has_every_section_once_and_in_order():
    sections = [section for section, _, _ in examine()]
    assert list(dict.fromkeys(sections)) == [
        "python",
        "machine",
        "thread pools",
        "fastflow",
        "versions",
    ]
    assert sections == sorted(sections, key=list(dict.fromkeys(sections)).index)


def test_this_installation_is_healthy():
    assert healthy()
    assert gil_state()
    assert package_version("no-such-distribution") == "not installed"
