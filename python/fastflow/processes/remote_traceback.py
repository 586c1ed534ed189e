"""What an exception of a worker tells of where it was raised."""

from __future__ import annotations

from concurrent.futures.process import _RemoteTraceback

__all__ = ["with_traceback"]


def with_traceback(error: BaseException, text: str) -> BaseException:
    """Give an exception the text of its traceback as its cause, and return it."""
    error.__cause__ = _RemoteTraceback(f'\n"""\n{text}"""')  # type: ignore[arg-type]
    return error
