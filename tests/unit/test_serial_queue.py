from __future__ import annotations

import threading

import pytest

from fastflow.base.serial_queue import SerialQueue


def test_events_are_handled_in_order_and_one_at_a_time():
    inside, seen = [], []

    def handle(event):
        inside.append(1)
        assert len(inside) == 1
        seen.append(event)
        inside.pop()

    box = SerialQueue(handle)
    threads = [
        threading.Thread(target=lambda n=n: [box.send((n, i)) for i in range(500)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 2_000
    for n in range(4):
        assert [i for who, i in seen if who == n] == list(range(500))


def test_an_event_that_is_sent_while_one_is_handled_comes_after_it():
    seen = []

    def handle(event):
        if event < 3:
            box.send(event + 1)
            assert seen[-1:] != [event + 1]
        seen.append(event)

    box = SerialQueue(handle)
    box.send(0)
    assert seen == [0, 1, 2, 3]


def test_an_event_that_can_not_be_handled_does_not_stop_the_others():
    seen = []

    def handle(event):
        if event == "bad":
            raise ValueError(event)
        seen.append(event)

    box = SerialQueue(handle)
    with pytest.raises(ValueError):
        box.send("bad")
    box.send("good")
    assert seen == ["good"]
