"""The names under test, gathered in one place for the benchmarks and the demo."""

from fastflow.executor import Executor
from fastflow.fanout import for_each, imap, map  # noqa: A004
from fastflow.graph import Graph
from fastflow.kernel import Kernel, kernels

__all__ = ["Executor", "Graph", "Kernel", "for_each", "imap", "kernels", "map"]
