"""The command line; ``fastflow.cli:main`` is what the script ``fastflow`` calls."""

from __future__ import annotations

from fastflow.cli.commands import main

__all__ = ["main"]
