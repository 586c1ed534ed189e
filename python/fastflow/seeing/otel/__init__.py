"""Runs told to OpenTelemetry, by its API alone."""

from fastflow.seeing.otel.telemetry import Telemetry, telemetry

__all__ = ["Telemetry", "telemetry"]
