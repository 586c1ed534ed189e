"""Signatures of functions whose annotations need not make sense.

From Python 3.14 on, annotations are evaluated when somebody asks for them, and names
that are imported under ``if TYPE_CHECKING:`` are not there then. Nobody here wants the
values.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["signature"]


def signature(fn: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a callable, whatever its annotations name.

    Raises
    ------
    TypeError, ValueError
        If it has none.
    """
    if sys.version_info >= (3, 14):
        import annotationlib

        found: inspect.Signature = inspect.signature(
            fn, annotation_format=annotationlib.Format.FORWARDREF
        )
        return found
    return inspect.signature(fn)
