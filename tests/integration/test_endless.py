"""The long run of imap: 10^8 items (about ten seconds)."""

from __future__ import annotations

from support import run_script


def test_a_hundred_million_items_in_constant_memory():
    ended = run_script("""
        import collections, itertools, resource
        import fastflow
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        stream = fastflow.imap(abs, itertools.count(), max_workers=2)
        collections.deque(itertools.islice(stream, 10**6), maxlen=0)
        before = peak()
        last = collections.deque(itertools.islice(stream, 10**8), maxlen=1)
        assert last[0] == 10**8 + 10**6 - 1, last
        print(peak() - before)
    """)
    assert ended.returncode == 0
    assert int(ended.stdout) < 2048  # KiB
