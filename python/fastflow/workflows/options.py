"""Options of the verbs, as the instructions keep them."""

from __future__ import annotations

from dataclasses import dataclass

from fastflow.run.retry import RetryPolicy
from fastflow.workflows.cache import StepCache

__all__ = ["LOG_FIELDS", "CallOptions", "FanOptions"]

LOG_FIELDS = ("payload", "last", "steps", "run", "item", "index", "state")
"""What the text of ``log`` may refer to."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a function is called: what comes before, between and around the calls."""

    retry: RetryPolicy | None = None
    timeout: float | None = None
    delay: float = 0.0
    cache: StepCache | None = None


@dataclass(frozen=True, slots=True)
class FanOptions:
    """Limits of a fan-out, and what a failed branch means."""

    max_concurrency: int | None = None
    timeout: float | None = None
    on_error: str = "raise"
    """"raise", "continue" or "return"."""
