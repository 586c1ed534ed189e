"""Traces of runs that are over: of stores, records of flows, saved traces."""

from fastflow.seeing.past.reading import past

__all__ = ["past"]
