"""Who runs lines when the executor refuses."""

import concurrent.futures as cf
import threading

import pytest

from fastflow.durable.runtime.scheduler import Scheduler


class Source:
    """Lines that note the thread they ran on."""

    queued = False
    single = False

    def __init__(self, count, on_first=lambda: None):
        self.left = count
        self.on_first = on_first
        self.threads = []

    def next_replay(self):
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


class Death(BaseException):
    """What comes out of a write in the middle of everything."""


class TestErrorsFromBelow:
    """Whatever a write raises: nothing stays counted that is over."""

    def made(self, executor, *, waiting=lambda: 1):
        self.flushed = 0

        def flush():
            self.flushed += 1
            raise Death

        return Scheduler(executor, flush, waiting, lambda: None)

    def test_a_member_that_can_not_flush_leaves_even_so(self):
        with cf.ThreadPoolExecutor(2) as executor:
            runs = self.made(executor)
            runs.push(Source(3))
        assert self.flushed >= 1
        assert runs.idle
        assert runs._crew == 0

    def test_lines_go_on_when_a_flush_between_them_fails(self):
        with cf.ThreadPoolExecutor(1) as executor:
            runs = self.made(executor, waiting=lambda: 10**6)
            source = Source(5)
            runs.push(source)
        assert len(source.threads) == 5
        assert runs.idle

    def test_a_line_that_raises_costs_no_member(self, caplog):
        def fail():
            raise Death

        with cf.ThreadPoolExecutor(1) as executor:
            runs = scheduler(executor)
            source = Source(5, on_first=fail)
            runs.push(source)
        assert len(source.threads) == 5
        assert runs.idle
        assert "has met an error" in caplog.text

    def test_no_memory_for_a_line(self, caplog):
        class Full(Source):
            def next_replay(self):
                raise MemoryError

        with cf.ThreadPoolExecutor(1) as executor:
            runs = scheduler(executor)
            runs.push(Full(1))
        assert runs.idle
        assert runs._crew == 0

    @pytest.mark.parametrize("error", [RuntimeError, MemoryError, OSError])
    def test_an_executor_that_refuses_with_any_error(self, error):
        class Refusing(cf.ThreadPoolExecutor):
            def submit(self, *args, **kwargs):
                raise error("no")

        with Refusing(1) as executor:
            runs = scheduler(executor)
            source = Source(3)
            runs.push(source)
        assert source.threads == [threading.get_ident()] * 3
        assert runs.idle
