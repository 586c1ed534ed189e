"""The long run of imap."""

from __future__ import annotations

import pytest

from support import figure, run_script

ITEMS = figure(10**7, 10**8)


@pytest.mark.slow
def test_millions_of_items_in_constant_memory():
    ended = run_script(f"""
        import collections, itertools, resource
        import fastflow
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream = fastflow.imap(abs, itertools.count(), max_workers=2)
        collections.deque(itertools.islice(stream, 10**6), maxlen=0)
        before = peak()
        last = collections.deque(itertools.islice(stream, {ITEMS}), maxlen=1)
        assert last[0] == {ITEMS} + 10**6 - 1, last
        print(peak() - before)
    """)
    assert ended.returncode == 0
    assert int(ended.stdout) < 2048  # KiB
