"""Benchmarks against peers, interleaved in one run: what ``fastflow bench`` runs."""
