"""How many threads should take replays, decided from what was done lately.

Company helps if replays mostly wait for something; if they don't, threads fight for the
interpreter lock and for the turn to commit.  That can't be known, but tried: one more
for the time of a look, and if not much more is done, one less again, and the next try
twice as late.  If nothing at all is done, all are stuck, and everybody is called.
"""

from __future__ import annotations

__all__ = ["EVERYBODY", "WorkerCount"]

EVERYBODY = 1_000_000
"""A change that means: as many as there may be."""
_FADING = 0.9  # how much of a rate is still remembered a look later
_LONG = 0.0005  # seconds per replay from which on a try is due at once
_SHARE = 0.5  # of the ideal gain that makes a try worth it
_FIRST = 8  # looks before the first try with short replays
_LAST = 512  # looks between tries at most, with short replays
_LAST_LONG = 16  # and with long ones


class WorkerCount:
    """Decides at each look whether the crew should grow or shrink."""

    __slots__ = (
        "_before",
        "_failed",
        "_good",
        "_idle",
        "_left",
        "_patience",
        "_trying",
    )

    def __init__(self) -> None:
        self._idle = 0  # looks in a row at which no replay had been finished
        self._good = 1  # members that are known to be worth it
        self._patience = _FIRST
        self._left = _FIRST
        self._trying = False
        self._failed = False  # whether the last try was in vain
        self._before = 0.0  # replays per second before the try

    def begin(self) -> None:
        """Forget what was under way: a crew of one begins anew."""
        self._idle = 0
        self._trying = False
        self._good = 1
        self._before = 0.0

    def change(self, replays: int, seconds: float, crew: int, most: int) -> int:
        """Return how many members more, or fewer, there should be.

        Parameters
        ----------
        replays : int
            Finished since the last look.
        seconds : float
            Since the last look, > 0.
        crew : int
            Members now, >= 1.
        most : int
            Members that there may be.
        """
        if replays == 0:
            self._idle += 1
            # Once may be by chance: a thread had to start.
            return 1 if self._idle == 1 else EVERYBODY
        self._idle = 0
        rate = replays / seconds
        if self._trying:
            return self._judge(rate, crew, most)
        if crew > self._good:
            return -1
        # The best of late: one look may have met a slow disk.
        self._before = max(rate, _FADING * self._before)
        self._left -= 1
        if crew / rate >= _LONG:
            self._left = min(self._left, _LAST_LONG if self._failed else 0)
        if self._left > 0 or crew >= most:
            return 0
        self._trying = True
        return 1

    def _judge(self, rate: float, crew: int, most: int) -> int:
        """Keep who came for a try, and try another one; or send him away."""
        if rate > self._before * (1 + _SHARE / max(crew - 1, 1)):
            self._good, self._before, self._patience = crew, rate, _FIRST
            self._trying, self._failed = crew < most, False
            return int(self._trying)
        self._trying, self._failed, self._good = False, True, max(crew - 1, 1)
        self._patience = min(2 * self._patience, _LAST)
        self._left = self._patience
        return -1
