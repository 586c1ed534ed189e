"""A run as one HTML file."""

from fastflow.seeing.report.file import write_report

__all__ = ["write_report"]
