"""Graphs and timelines as SVG, as text for other tools, and for a terminal."""
