"""What a script has begun goes on in other processes: they find its ``__main__``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap

import pytest

from fastflow.base import modules
from support import LIMIT

BODY = """
    import dataclasses
    import enum
    import os
    import signal
    import sys
    from pathlib import Path
    from typing import NamedTuple

    import msgspec
    from beside import GREETING
    from fastflow.durable import DurableRunner, durable_execution

    class Order(msgspec.Struct):
        class Size(enum.Enum):
            SMALL = 1

        size: Size
        number: int

    @dataclasses.dataclass
    class Line:
        order: Order
        place: "Place"

    class Place(NamedTuple):
        row: int

    def die_at(place):
        if Path("die").read_text() == place:
            os.kill(os.getpid(), signal.SIGKILL)

    @durable_execution
    def child(event, context):
        assert type(event) is Line, type(event)
        assert event.order.size is Order.Size.SMALL
        event.order.number += context.step(lambda _: 1, name="more")
        die_at("child")
        context.step(lambda _: die_at("child's end"), name="end")
        return event

    @durable_execution
    def order(event, context):
        first = context.step(lambda _: Line(event, Place(1)), name="first")
        die_at("first")
        again = context.invoke(child, first, name="one more")
        die_at("between")
        again = context.invoke(child, again, name="and one more")
        assert type(again) is Line, type(again)
        with open("greetings", "a") as file:
            file.write(GREETING)
        return [again.order.number, again.place.row]
"""
MAIN = """
    with DurableRunner("runs.db") as runner:
        begun = Order(Order.Size.SMALL, 40)
        print(runner.run(order, begun, execution_name="order-42"))
"""
GUARDED = (
    textwrap.dedent(BODY)
    + "\nif __name__ == '__main__':\n"
    + textwrap.indent(textwrap.dedent(MAIN), "    ")
)
OPEN = textwrap.dedent(BODY) + textwrap.dedent(MAIN)
PLACES = ["first", "child", "child's end", "between"]


class Folder:
    def __init__(self, path, text):
        self.path = path
        (path / "beside.py").write_text("GREETING = 'hello'\n")
        (path / "orders.py").write_text(text)

    def run(self, *arguments, die=""):
        (self.path / "die").write_text(die)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        if die:
            assert done.returncode == -signal.SIGKILL, done.stderr
        return done

    def script(self, die=""):
        return self.run("orders.py", die=die)

    def resume(self, tasks="orders.py", die=""):
        return self.run(
            "-m", "fastflow", "runs", "resume", "order-42", "--tasks", tasks, die=die
        )


@pytest.mark.parametrize("text", [GUARDED, OPEN], ids=["guarded", "open"])
@pytest.mark.parametrize("place", PLACES)
def test_the_command_goes_on_with_what_a_script_began(tmp_path, place, text):
    folder = Folder(tmp_path, text)
    folder.script(die=place)
    done = folder.resume()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [42, 1]
    assert (tmp_path / "greetings").read_text() == "hello"


@pytest.mark.parametrize("place", PLACES[1:])
def test_the_script_goes_on_with_what_the_command_has_done(tmp_path, place):
    folder = Folder(tmp_path, GUARDED)
    folder.script(die=PLACES[PLACES.index(place) - 1])
    folder.resume(die=place)
    done = folder.script()
    assert done.stdout == "[42, 1]\n", done.stderr


def test_a_module_that_was_run_and_is_given_by_its_name(tmp_path):
    folder = Folder(tmp_path, GUARDED)
    folder.run("-m", "orders", die="child")
    done = folder.resume("orders", die="between")
    done = folder.run("-m", "orders")
    assert done.stdout == "[42, 1]\n", done.stderr


@pytest.mark.parametrize(
    "text", ["import no_such_module", "raise SystemExit(3)", "1 +"]
)
def test_a_file_that_can_not_be_imported(tmp_path, text):
    folder = Folder(tmp_path, GUARDED)
    folder.script(die="first")
    (tmp_path / "broken.py").write_text(text)
    done = folder.resume("broken.py")
    assert done.returncode == 2
    assert "'broken.py' can't be imported" in done.stderr
    assert "Traceback" not in done.stderr
    assert folder.resume().returncode == 0  # nothing is lost


class TestNames:
    def test_a_stand_in(self):
        assert modules.main_name() != "json"
        with modules.standing_in("folder/json.py"):
            assert modules.main_name() == "json"
            assert modules.module_called("__main__") is json
            assert modules.other_name("__main__.f") == "json.f"
            assert modules.other_name("json.A.b") == "__main__.A.b"
            assert modules.other_name("jsonp.f") is None
        assert modules.module_called("__main__") is sys.modules["__main__"]

    def test_the_script_itself(self, monkeypatch):
        main = type(sys)("__main__")
        main.__file__ = "/somewhere/orders of 2026.py"
        monkeypatch.setitem(sys.modules, "__main__", main)
        assert modules.module_called("orders of 2026") is main
        assert modules.other_name("__main__.f") == "orders of 2026.f"
        main.__file__ = "/somewhere/json.py"  # one that is imported as well
        assert modules.module_called("json") is json

    def test_an_interactive_main_has_no_other_name(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
        assert modules.main_name() is None
        assert modules.other_name("__main__.f") is None
        assert modules.module_called("orders") is None

    def test_half_a_module_is_not_found(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "path", list(sys.path))
        broken = tmp_path / "half_of_it.py"
        broken.write_text("x = 1\nraise ValueError")
        with pytest.raises(ValueError):
            modules.import_target(str(broken))
        assert "half_of_it" not in sys.modules
