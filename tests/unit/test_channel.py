"""The rings between a process and its worker, as Python sees them."""

from __future__ import annotations

import array
import contextlib
import mmap
import os
import random
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading

import pytest

from fastflow import _core
from support import LIMIT, figure, run_script

pytestmark = pytest.mark.skipif(
    not _core.has_shared_memory(), reason="there is no memfd here"
)


class Pair:
    """A channel with both ends in this process."""

    def __init__(self, capacity=4096):
        self.sockets = socket.socketpair()
        self.here = _core.Channel.create(self.sockets[0].fileno(), capacity)
        self.there = _core.Channel.attach(
            self.sockets[1].fileno(), os.dup(self.here.memory_fd)
        )

    def close(self):
        self.here.abandon()
        self.there.abandon()
        for each in self.sockets:
            each.close()


@pytest.fixture
def pair():
    pair = Pair()
    yield pair
    pair.close()


@contextlib.contextmanager
def worker(text, capacity=1 << 16):
    """Run code in a process that has the other end as `channel`; yield ours, and it."""
    here, there = socket.socketpair()
    channel = _core.Channel.create(here.fileno(), capacity)
    fds = (there.fileno(), channel.memory_fd)
    begin = "import fastflow._core as core\nchannel = core.Channel.attach({}, {})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", begin.format(*fds) + textwrap.dedent(text)], pass_fds=fds
    )
    there.close()
    channel.release_fd()
    with here, process:
        try:
            yield channel, process
        finally:
            channel.abandon()
            process.kill()


ECHO = """
    try:
        while channel.wait():
            for message in channel.receive_many(100):
                while channel.send(message) is None:
                    channel.wait_for_room()
    except EOFError:
        pass
"""


def receive(channel):
    """Receive the next message; sleep until it is there."""
    while (message := channel.receive()) is None:
        _core.wait_channels([channel])
        if channel.closed_by_peer and channel.wait():
            continue
    return message


# --- messages -------------------------------------------------------------------------


def test_messages_come_in_order_with_rising_tickets(pair):
    tickets = [pair.here.send(b"%d" % n) for n in range(5)]
    assert tickets == sorted(set(tickets))
    assert tickets[0] > 0
    assert pair.here.unclaimed() == 5
    assert pair.here.taken_up_to() == 0
    assert pair.there.receive() == b"0"
    assert pair.here.taken_up_to() == tickets[0]
    assert pair.there.receive_many(2) == [b"1", b"2"]
    assert pair.there.receive_many(10) == [b"3", b"4"]
    assert pair.there.receive() is None
    assert pair.there.receive_many(10) == []
    assert pair.here.unclaimed() == 0


@pytest.mark.parametrize(
    "payload",
    [b"", bytearray(b"abc"), memoryview(b"abcdef")[2:4], array.array("i", [7])],
)
def test_a_payload_is_any_buffer_in_one_piece(pair, payload):
    assert pair.here.send(payload)
    assert pair.here.send_many([payload, b"x"])
    assert pair.there.receive_many(3) == [bytes(payload), bytes(payload), b"x"]


def test_other_payloads_are_refused(pair):
    with pytest.raises(TypeError):
        pair.here.send("text")
    with pytest.raises(BufferError):
        pair.here.send(memoryview(b"abcdef")[::2])
    with pytest.raises(TypeError):
        pair.here.send_many([b"x", None])
    assert pair.there.receive() is None


def test_a_message_that_never_fits_is_an_error(pair):
    longest = pair.here.max_payload
    assert pair.here.send(bytes(longest))
    assert pair.there.receive() == bytes(longest)
    with pytest.raises(ValueError, match="never fits"):
        pair.here.send(bytes(longest + 1))
    with pytest.raises(ValueError, match="never fits"):
        pair.here.send_many([b"x", bytes(longest + 1)])
    assert pair.there.receive() is None


def test_without_room_nothing_is_sent(pair):
    sent = 0
    while pair.here.send(bytes(100)) is not None:
        sent += 1
    assert pair.here.send_many([bytes(100)] * 3) == []
    assert len(pair.there.receive_many(1000)) == sent
    assert len(pair.here.send_many([bytes(100)] * 1000)) == sent
    assert len(pair.there.receive_many(1000)) == sent


def test_what_is_recalled_is_not_received(pair):
    tickets = pair.here.send_many([b"a", b"b", b"c"])
    assert pair.here.recall(tickets[1])
    assert not pair.here.recall(tickets[1])
    assert pair.here.unclaimed() == 2
    assert pair.there.receive_many(5) == [b"a", b"c"]
    assert not any(map(pair.here.recall, [*tickets, 0, 1 << 63]))
    for bad in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            pair.here.recall(bad)


# --- misuse ---------------------------------------------------------------------------


def test_what_is_no_channel_is_refused(pair, tmp_path):
    fd = pair.sockets[1].fileno()
    with pytest.raises(ValueError, match="attached"):
        _core.Channel.attach(fd, os.dup(pair.here.memory_fd))
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, bytes(100_000))
    with pytest.raises(ValueError, match="no channel"):
        _core.Channel.attach(fd, file)
    with pytest.raises(OSError, match="descriptor"):  # it was closed
        os.fstat(file)
    with pytest.raises(ValueError, match="capacity"):
        _core.Channel.create(fd, -1)
    with pytest.raises(ValueError, match="2 GiB"):
        _core.Channel.create(fd, 1 << 40)
    with pytest.raises(TypeError):
        _core.Channel()


def test_an_abandoned_channel_can_not_be_used(pair):
    pair.here.abandon()
    pair.here.abandon()
    calls = [
        lambda: pair.here.send(b"x"),
        lambda: pair.here.send_many([]),
        lambda: pair.here.receive(),
        lambda: pair.here.receive_many(1),
        lambda: pair.here.recall(1),
        lambda: pair.here.unclaimed(),
        lambda: pair.here.taken_up_to(),
        lambda: pair.here.wait(0),
        lambda: pair.here.wait_for_room(0),
        lambda: pair.here.prepare_wait(),
        lambda: pair.here.finish_wait(),
        lambda: pair.here.send_descriptor(0),
        lambda: pair.here.take_descriptor(0),
        lambda: pair.here.release_fd(),
        lambda: pair.here.memory_fd,
        lambda: pair.here.capacity,
        lambda: pair.here.max_payload,
        lambda: pair.here.closed_by_peer,
        lambda: _core.wait_channels([pair.here], (), 0),
    ]
    for call in calls:
        with pytest.raises(_core.ChannelError, match="abandoned"):
            call()


def test_what_is_received_is_not_lost_when_nobody_can_be_called(pair):
    """The owner has closed the socket, though the channel is in use."""
    while pair.here.send(bytes(100)) is not None:
        pass
    assert pair.here.prepare_wait(for_room=True)
    pair.sockets[1].close()
    assert set(pair.there.receive_many(1000)) == {bytes(100)}
    with pytest.raises(OSError, match="listening for the other process"):
        pair.there.wait(0)


def test_abandoning_ends_a_wait(pair):
    ended = []

    def wait():
        try:
            pair.here.wait()
        except _core.ChannelError:
            ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    pair.here.abandon()
    thread.join(LIMIT)
    assert ended == [True]


@pytest.mark.parametrize("seed", range(20))
def test_damage_is_found_and_not_interpreted(pair, seed):
    rnd = random.Random(seed)
    for _ in range(rnd.randrange(200)):
        pair.here.send(bytes(50))
        pair.there.receive()
    messages = [rnd.randbytes(rnd.randrange(200)) for _ in range(5)]
    for message in messages:
        assert pair.here.send(message)
    memory = mmap.mmap(pair.here.memory_fd, 0)
    front = len(memory) - 2 * pair.here.capacity
    # Whatever the bytes are: a message is the one that was sent, or an error.
    for _ in range(rnd.randrange(1, 30)):
        place = rnd.randrange(front, front + pair.here.capacity)
        memory[place] ^= 1 << rnd.randrange(8)
    memory.close()
    got = []
    with contextlib.suppress(_core.ChannelError):
        while (message := pair.there.receive()) is not None:
            got.append(message)
    # A flipped bit may also say that a message was recalled, which it then is.
    rest = iter(messages)
    assert all(message in rest for message in got)


def test_damage_says_what_is_wrong(pair):
    assert pair.here.send(b"whole")
    assert pair.here.send(b"torn")
    memory = mmap.mmap(pair.here.memory_fd, 0)
    memory[memory.find(b"torn")] ^= 255
    assert pair.there.receive_many(5) == [b"whole"]
    for _ in range(2):
        with pytest.raises(_core.ChannelError, match="checksum is wrong"):
            pair.there.receive()
        with pytest.raises(_core.ChannelError, match="damaged"):
            pair.there.receive_many(5)
    assert pair.there.wait()  # it is there to be raised
    memory[memory.find(b"\x8born")] ^= 255
    assert pair.there.receive() == b"torn"
    memory.close()


# --- waits ----------------------------------------------------------------------------


def test_a_wait_ends_with_a_message_or_its_time(pair):
    assert not pair.here.wait(0)
    assert not pair.here.wait(timeout=0.001)
    assert pair.there.send(b"x")
    assert pair.here.wait(0)
    assert pair.here.wait()
    with pytest.raises(ValueError, match="NaN"):
        pair.here.wait(float("nan"))


def test_a_wait_is_ended_from_elsewhere():
    with worker(ECHO) as (channel, _):
        for n in range(300):
            assert channel.send(b"%d" % n)
            assert channel.wait(LIMIT)
            assert channel.receive() == b"%d" % n


def test_the_end_comes_after_the_last_message():
    code = "channel.send(b'last'); channel.send(b'words')"
    with worker(code) as (channel, process):
        process.wait(LIMIT)
        assert channel.wait(LIMIT)
        assert channel.receive_many(5) == [b"last", b"words"]
        with pytest.raises(EOFError):
            channel.wait(LIMIT)
        assert channel.closed_by_peer
        with pytest.raises(BrokenPipeError):
            channel.send(b"x")
        with pytest.raises(BrokenPipeError):
            channel.send_many([b"x"])
        assert _core.wait_channels([channel], (), LIMIT) == [0]


def test_a_handler_of_a_signal_may_end_a_wait(pair):
    def handler(*_):
        raise InterruptedError("signal")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for wait in (
            pair.here.wait,
            pair.here.take_descriptor,
            lambda: _core.wait_channels([pair.here]),
        ):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(InterruptedError, match="signal"):
                wait()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_sleep_by_poll(pair):
    poll = select.poll()
    poll.register(pair.sockets[0], select.POLLIN)
    assert pair.here.prepare_wait()
    assert pair.there.send(b"x")
    assert poll.poll(LIMIT * 1000)
    pair.here.finish_wait()
    assert not poll.poll(0)
    assert not pair.here.prepare_wait()
    assert pair.here.receive() == b"x"
    # Nobody sleeps: nobody is rung.
    assert pair.there.send(b"y")
    assert not poll.poll(0)

    while pair.here.send(bytes(100)) is not None:
        pass
    pair.here.receive()
    assert pair.here.prepare_wait(for_room=True)
    pair.there.receive_many(1000)
    assert poll.poll(LIMIT * 1000)
    pair.here.finish_wait()
    assert not pair.here.prepare_wait(for_room=True)


def test_one_thread_sleeps_by_poll(pair):
    assert pair.here.prepare_wait()
    errors = []

    def second():
        try:
            pair.here.prepare_wait()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    assert errors == ["another thread sleeps on this channel"]
    pair.here.finish_wait()


def test_several_channels_and_descriptors_are_waited_for():
    pairs = [Pair() for _ in range(3)]
    channels = [pair.here for pair in pairs]
    read, write = os.pipe()
    try:
        assert _core.wait_channels(channels, [read], 0) == []
        assert _core.wait_channels([], (), 0) == []
        pairs[1].there.send(b"x")
        assert _core.wait_channels(channels, [read], LIMIT) == [1]
        os.write(write, b"x")
        assert _core.wait_channels(channels, extra_fds=[read], timeout=LIMIT) == [1, 3]
        pairs[1].here.receive()
        assert _core.wait_channels(channels, [read]) == [3]
        os.read(read, 1)
        pairs[2].sockets[1].close()
        assert _core.wait_channels(channels, [read]) == [2]
        with pytest.raises(TypeError, match="channels"):
            _core.wait_channels([None])
    finally:
        os.close(read)
        os.close(write)
        for each in pairs:
            each.close()


def test_room_is_waited_for_where_it_was_missing(pair):
    assert pair.here.wait_for_room(0)
    while pair.here.send(bytes(100)) is not None:
        pass
    assert not pair.here.wait_for_room(0.001)
    assert _core.wait_channels([pair.here], (), 0) == []
    pair.there.send(b"does not matter")
    assert not pair.here.wait_for_room(0.001)
    pair.here.receive()
    pair.there.receive_many(1000)
    assert _core.wait_channels([pair.here], (), LIMIT) == [0]
    assert pair.here.wait_for_room(LIMIT)
    assert pair.here.send(bytes(100))
    assert _core.wait_channels([pair.here], (), 0) == []


def test_threads_of_both_ends_share_a_channel(pair):
    """Two send at each end, two receive; they sleep for room and for messages."""
    count = figure(2_000, 20_000)
    sent = [f"{sender}:{n}".encode().ljust(60) for sender in "ab" for n in range(count)]
    received = {"here": [], "there": []}

    def send(channel, sender):
        for n in range(count):
            while channel.send(f"{sender}:{n}".encode().ljust(60)) is None:
                channel.wait_for_room()

    def take(channel, into):
        while len(into) < len(sent):
            if channel.wait(0.01):
                into.extend(channel.receive_many(10))

    threads = []
    for name in received:
        channel = getattr(pair, name)
        threads += [threading.Thread(target=send, args=(channel, s)) for s in "ab"]
        threads += [
            threading.Thread(target=take, args=(channel, received[name]))
            for _ in range(2)
        ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    for messages in received.values():
        assert sorted(messages) == sorted(sent)


# --- descriptors ----------------------------------------------------------------------


def test_descriptors_travel_in_order_between_messages():
    code = """
        import os
        for n in range(20):
            fd = channel.take_descriptor(60)
            channel.wait()
            channel.send(channel.receive() + os.read(fd, 100))
            os.close(fd)
    """
    with worker(code) as (channel, _):
        for n in range(20):
            read, write = os.pipe()
            os.write(write, b"%d" % n)
            os.close(write)
            channel.send_descriptor(read)
            os.close(read)
            channel.send(b"number ")
        for n in range(20):
            assert receive(channel) == b"number %d" % n


def test_a_descriptor_that_does_not_come(pair):
    with pytest.raises(TimeoutError):
        pair.here.take_descriptor(0)
    with pytest.raises(TimeoutError):
        pair.here.take_descriptor(timeout=0.001)
    with pytest.raises(ValueError, match="descriptor"):
        pair.here.send_descriptor(-1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        pair.here.send_descriptor(1 << 20)
    pair.there.send_descriptor(pair.sockets[1])
    pair.there.abandon()
    pair.sockets[1].close()
    os.close(pair.here.take_descriptor(LIMIT))
    with pytest.raises(EOFError):
        pair.here.take_descriptor(LIMIT)


# --- kills ----------------------------------------------------------------------------


def test_a_worker_that_is_killed_leaves_whole_messages_only():
    code = """
        n = 0
        while True:
            while channel.send(b"%d" % n + bytes(n % 500)) is None:
                channel.wait_for_room()
            n += 1
    """
    rnd = random.Random(17)
    for _ in range(figure(5, 40)):
        kill_at = rnd.randrange(5_000)
        with worker(code) as (channel, process):
            received = 0
            with contextlib.suppress(EOFError):
                while channel.wait():
                    for message in channel.receive_many(rnd.randrange(1, 50)):
                        assert message == b"%d" % received + bytes(received % 500)
                        if received == kill_at:
                            process.kill()
                        received += 1
            assert received > kill_at
            assert process.wait(LIMIT) == -signal.SIGKILL


def test_what_a_killed_worker_has_not_begun_is_recalled():
    code = """
        import os, signal
        while len(channel.receive_many(1)) == 0:
            channel.wait()
        channel.receive_many(2)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    with worker(code) as (channel, _):
        tickets = channel.send_many([b"%d" % n for n in range(10)])
        with pytest.raises(EOFError):
            channel.wait()
        assert channel.unclaimed() == 7
        assert channel.taken_up_to() == tickets[2]
        assert [channel.recall(ticket) for ticket in tickets] == [False] * 3 + [
            True
        ] * 7


def test_a_worker_outlives_nobody():
    """Its wait ends when the program that has it is killed."""
    program = """
        import os, socket, subprocess, sys
        import fastflow._core as core
        here, there = socket.socketpair()
        channel = core.Channel.create(here.fileno(), 4096)
        fds = (there.fileno(), channel.memory_fd)
        code = "import fastflow._core as core; c = core.Channel.attach(%d, %d)"
        code += "; print('ready', flush=True)"
        code += chr(10) + "try: c.wait()" + chr(10) + "except EOFError: print('end')"
        subprocess.Popen([sys.executable, "-c", code % fds], pass_fds=fds)
        there.close()
        channel.wait()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.kill()
    assert process.communicate(timeout=LIMIT)[0] == "end\n"


def test_threads_that_wait_at_the_end_of_the_interpreter():
    """Python ends them where they come back, by unwinding their stacks."""
    done = run_script("""
        import os, socket, sys, threading, time
        import fastflow._core as core

        pairs = []
        def pair():
            here, there = socket.socketpair()
            channel = core.Channel.create(here.fileno(), 4096)
            other = core.Channel.attach(there.fileno(), os.dup(channel.memory_fd))
            pairs.append((here, there, channel, other))
            return channel

        began = threading.Semaphore(0)
        def begin(call):
            def run():
                began.release()
                while True:
                    call()
            threading.Thread(target=run, daemon=True).start()

        class Late:  # meanwhile their slices of sleep end
            def __init__(self, sleep):
                self.sleep = sleep
            def __del__(self):
                self.sleep(0.3)

        sys.late = Late(time.sleep)
        one, full = pair(), pair()
        while full.send(bytes(100)) is not None:
            pass
        segment, data = core.Segment(1 << 26), bytes(1 << 26)
        calls = [
            one.wait, one.wait, one.take_descriptor, full.wait_for_room,
            lambda: core.wait_channels([pair(), pair()]),
            lambda: segment.write(data),
            lambda: memoryview(core.Segment(1 << 26)),
        ]
        for call in calls:
            begin(call)
        for _ in calls:
            began.acquire()
    """)
    assert (done.returncode, done.stderr) == (0, "")
