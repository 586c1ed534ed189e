"""Flows: texts and functions, ready to run."""
