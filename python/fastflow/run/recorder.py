"""What keeps how calls went, so that they need not be made again."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

__all__ = ["Recorder"]

K = TypeVar("K", contravariant=True)
R = TypeVar("R", covariant=True)


class Recorder(Protocol[K, R]):
    """The memory of the calls of one run: those of durable functions have a journal.

    Whoever makes a call asks first (`recall`), and makes it only as far as nothing is
    known.  Calls without a recorder ask nobody: there is no recorder that does nothing.

    Which of these have to wait until something is written, is said by each; what need
    not wait goes with whatever is written next.
    """

    def recall(self, key: K, /) -> R | None:
        """Return what was recorded last of a call; None: it is new.

        Raises
        ------
        Exception
            If what was recorded can't be of this call: the program has changed.
        """

    def began(self, key: K, attempt: int, /) -> None:
        """Record that an attempt begins, and return once that is kept.

        Only for calls that must not be made again if nobody knows how they ended.
        """

    def retrying(self, key: K, attempt: int, error: BaseException, due: int, /) -> None:
        """Record that an attempt failed, and when the next one begins.

        Nobody waits for it: if it is lost, the attempt is made once more.

        Parameters
        ----------
        due : int
            In microseconds since 1970, on the run's clock.
        """

    def ended(
        self, key: K, attempt: int, value: Any, error: Exception | None = None, /
    ) -> Any:
        """Record how a call ended after so many attempts; return once that is kept.

        Value and error are passed as they are, not as an object: this is on the road of
        calls that take microseconds.

        Returns
        -------
        object
            The value, as whoever recalls it will see it.

        Raises
        ------
        Exception
            For an error, likewise.
        """
