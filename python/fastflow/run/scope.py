"""``Scope``: what ends together; the tree in which cancelling goes down."""

from __future__ import annotations

__all__ = ["Scope"]


class Scope:
    """A part of a run that can end, or be cancelled, as a whole.

    A run, a branch of a fan-out and an attempt have one each, below that of what they
    belong to. Ending one takes no time, whatever is below: who is below looks up.

    Parameters
    ----------
    parent : Scope, optional
        Around it.

    Attributes
    ----------
    closed : bool
        Whether it has ended itself.

    Notes
    -----
    Thread-safe: there is one flag, which is set and never taken back, and `parent`
    never changes.
    """

    __slots__ = ("closed", "parent")

    def __init__(self, parent: Scope | None = None) -> None:
        self.closed = False
        self.parent = parent

    def close(self) -> None:
        """End it, and with it all that is below."""
        self.closed = True

    @property
    def over(self) -> bool:
        """Whether this scope or one around it is closed."""
        scope: Scope | None = self
        while scope is not None:
            if scope.closed:
                return True
            scope = scope.parent
        return False
