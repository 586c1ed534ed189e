"""Channels under many threads: each message arrives once, or was taken back."""

from __future__ import annotations

import os
import random
import socket
import threading

import pytest

from fastflow import _core
from support import LIMIT, figure

pytestmark = pytest.mark.skipif(
    not _core.has_shared_memory(), reason="there is no memfd here"
)


class Worker:
    """The other end, on a thread: sends back what it receives."""

    def __init__(self):
        here, there = socket.socketpair()
        self.sockets = here, there
        self.channel = _core.Channel.create(here.fileno(), 4096)
        self._other = _core.Channel.attach(
            there.fileno(), os.dup(self.channel.memory_fd)
        )
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self):
        other = self._other
        try:
            while other.wait():
                while (message := other.receive()) is not None:
                    while other.send(message) is None:
                        other.wait_for_room()
        except EOFError:
            pass

    def close(self):
        self.sockets[0].shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        for each in self.sockets:
            each.close()


@pytest.mark.parametrize("seed", range(figure(2, 10)))
def test_senders_receivers_and_recalls(seed):
    """Three threads send and recall, two receive, on two channels."""
    count = figure(1_500, 6_000)
    workers = [Worker() for _ in range(2)]
    channels = [worker.channel for worker in workers]
    lock = threading.Lock()
    open_messages = {(sender, n) for sender in range(3) for n in range(count)}
    recalled, echoed = [], []
    over = threading.Event()

    def settle(key, into):
        with lock:
            into.append(key)
            open_messages.discard(key)
            if not open_messages:
                over.set()

    def send(sender):
        rnd = random.Random(seed * 10 + sender)
        tickets = []
        for n in range(count):
            channel = rnd.choice(channels)
            payload = f"{sender},{n},".encode() + bytes(rnd.randrange(120))
            while (ticket := channel.send(payload)) is None:
                channel.wait_for_room()
            tickets.append((channel, ticket, (sender, n)))
            if rnd.random() < 0.3:
                channel, ticket, key = tickets[
                    -rnd.randrange(1, min(len(tickets), 9) + 1)
                ]
                if channel.recall(ticket):
                    settle(key, recalled)

    def receive():
        while not over.is_set():
            for index in _core.wait_channels(channels, (), 0.01):
                for message in channels[index].receive_many(20):
                    sender, n, _ = message.split(b",", 2)
                    settle((int(sender), int(n)), echoed)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(3)]
    threads += [threading.Thread(target=receive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not open_messages
    assert len(recalled) + len(echoed) == 3 * count
    assert recalled
    assert sum(channel.unclaimed() for channel in channels) == 0
    for worker in workers:
        worker.close()
