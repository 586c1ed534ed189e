"""Who runs lines when the executor refuses."""

import concurrent.futures as cf
import threading

import pytest

from fastflow.durable.scheduler import Scheduler


class Source:
    """Lines that note the thread they ran on."""

    queued = False
    single = False

    def __init__(self, count, on_first=lambda: None):
        self.left = count
        self.on_first = on_first
        self.threads = []

    def next_line(self):
        if not self.left:
            return None
        self.left -= 1
        return self.line

    def line(self):
        self.threads.append(threading.get_ident())
        if len(self.threads) == 1:
            self.on_first()


class Closing(cf.ThreadPoolExecutor):
    """Takes so many tasks and refuses the rest, like a pool at exit."""

    def __init__(self, takes):
        super().__init__(max_workers=4)
        self.takes = takes

    def submit(self, *args, **kwargs):
        if not self.takes:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        self.takes -= 1
        return super().submit(*args, **kwargs)


def scheduler(executor):
    return Scheduler(executor, lambda: None, lambda: 0, lambda: None)


@pytest.fixture
def closing():
    with Closing(1) as executor:
        yield executor


class TestRefusals:
    def test_who_only_looks_at_the_crew_never_takes_its_lines(self, closing):
        # The looks are made on the clock's thread, which is cut off at exit; the crew's
        # threads are waited for.
        runs = scheduler(closing)
        looked = []

        def look():
            runs._look_at_crew()
            looked.append(threading.get_ident())

        def look_elsewhere():
            looker = threading.Thread(target=look)
            looker.start()
            looker.join()

        source = Source(50, on_first=look_elsewhere)
        runs.push(source)
        closing.shutdown()
        assert len(source.threads) == 50
        assert len(looked) == 1
        assert looked[0] not in source.threads
        assert runs.idle

    def test_who_pushes_runs_the_lines_if_nobody_else_can(self):
        with Closing(0) as executor:
            runs = scheduler(executor)
            source = Source(3)
            runs.push(source)
        assert source.threads == [threading.get_ident()] * 3
        assert runs.idle
