"""A run as a file for other tools: Perfetto, and what reads Chrome's format."""
