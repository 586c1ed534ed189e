"""A scenario: a program, what is done to it, and how it has to end.

The program is the text of a script. It may have functions, and a ``main()``, which is
called if the script is run (and not imported by a worker). All names of `stage` are
there: ``Pool`` is the class under test, `say` prints a line.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from textwrap import dedent

__all__ = [
    "SCENARIOS",
    "Scenario",
    "interrupt",
    "interrupt_all",
    "kill",
    "scenario",
    "terminate",
]

Action = Callable[[int], None]

HEAD = "from stage import *\n"
TAIL = '\nif __name__ == "__main__":\n    main()\n'


@dataclass(frozen=True)
class Scenario:
    """A program, and how it has to end."""

    name: str
    group: str
    program: str
    says: tuple[str, ...] = ()
    """The lines that it prints, workers included."""
    status: int = 0
    """The exit status; the negative number of a signal."""
    stderr: str = ""
    """What has to be found in stderr, as a regular expression; "": it stays empty."""
    stimuli: tuple[tuple[str, Action], ...] = ()
    """What is done to the program (its process group) after it has printed a line."""
    run: str = "file"
    """"file", "-c", "stdin" or "-m"."""
    flags: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    """A command that starts the program, which is added to it."""
    shm: str = ""
    """What is mounted at /dev/shm: options of a tmpfs."""
    modules: dict[str, str] = field(default_factory=dict)
    """Files beside the program."""
    peer: bool = True
    """Whether the standard library has what is used."""
    slow: bool = False
    needs: str = ""
    """A module that has to be installed."""
    root: bool = False
    """Whether only root can bring it about."""
    limit: float = 60.0
    """Seconds, after which it counts as hanging."""


SCENARIOS: list[Scenario] = []


def scenario(name: str, program: str, *says: str, guarded: bool = True, **more) -> None:
    """Add one; the group is the module that calls this."""
    text = HEAD + dedent(program) + (TAIL if guarded else "")
    found = Scenario(name, more.pop("group"), text, says, **more)
    assert name not in {other.name for other in SCENARIOS}, name
    SCENARIOS.append(found)


def interrupt(pid: int) -> None:
    """Ctrl-C, for the program only."""
    os.kill(pid, signal.SIGINT)


def interrupt_all(pid: int) -> None:
    """Ctrl-C as a terminal sends it: to the program and all its workers."""
    os.killpg(pid, signal.SIGINT)


def terminate(pid: int) -> None:
    """End the program in the usual way."""
    os.kill(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """End the program at once."""
    os.kill(pid, signal.SIGKILL)
