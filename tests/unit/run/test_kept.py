"""Values that are elsewhere until somebody reads them."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest

from fastflow.run.kept import Kept, here


class Shelf:
    """A keeper whose references are the values; notes what is fetched together."""

    def __init__(self, hold=None):
        self.fetched = []
        self._hold = hold

    def fetch(self, many):
        if self._hold is not None:
            self._hold.wait()
        self.fetched.append([kept.reference for kept in many])
        return [kept.reference for kept in many]


class Empty:
    def fetch(self, many):
        raise RuntimeError("nothing is there")


def test_what_is_here_stays_the_same_object():
    arguments = (([1], {"a": (2,)}), {})
    assert here(arguments) is arguments


def test_only_what_holds_something_is_made_anew():
    shelf, mine = Shelf(), [1, 2]
    kept = Kept(shelf, "value", 0, None)
    (first, second, third), named = here(((kept, mine, [kept, mine]), {"x": kept}))
    assert (first, third, named) == ("value", ["value", mine], {"x": "value"})
    assert second is third[1] is mine
    assert shelf.fetched == [["value"]]


def test_all_of_one_keeper_are_fetched_in_one_go():
    one, other = Shelf(), Shelf()
    several = [
        Kept(one, "a", 0, None),
        Kept(other, "b", 0, None),
        Kept(one, "c", 0, None),
    ]
    assert here(several) == ["a", "b", "c"]
    assert here(several) == ["a", "b", "c"]
    assert (one.fetched, other.fetched) == ([["a", "c"]], [["b"]])


def test_pickles_and_copies_have_the_value():
    kept = Kept(Shelf(), {"a": [1]}, 0, frozenset("a"))
    assert pickle.loads(pickle.dumps([kept])) == [{"a": [1]}]
    assert copy.copy(kept) == {"a": [1]}


def test_who_fails_to_fetch_may_try_again():
    kept = Kept(Empty(), "value", 0, None)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="nothing is there"):
            here([kept])
    kept.keeper = Shelf()
    assert here([kept]) == ["value"]


def test_threads_that_want_some_of_the_same_fetch_each_once():
    hold = threading.Event()
    shelf = Shelf(hold)
    many = [Kept(shelf, number, 0, None) for number in range(20)]
    orders = [many, many[::-1], many[5:], many[15::-1]] * 3
    found = []
    threads = [
        threading.Thread(target=lambda own=order: found.append((own, here(list(own)))))
        for order in orders
    ]
    for thread in threads:
        thread.start()
    hold.set()
    for thread in threads:
        thread.join(60)
    assert len(found) == len(orders)
    assert all(values == [kept.reference for kept in own] for own, values in found)
    assert sorted(number for group in shelf.fetched for number in group) == [*range(20)]
