"""The names under test, gathered in one place for the benchmarks and the demo."""

from fastflow import Executor, Kernel, for_each, imap, kernels, map

__all__ = ["Executor", "Kernel", "for_each", "imap", "kernels", "map"]
