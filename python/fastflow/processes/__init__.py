"""Calls in other processes: `ProcessExecutor` and what it stands on."""
