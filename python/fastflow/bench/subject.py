"""The names under test, gathered in one place for the benchmarks and the demo."""

from fastflow.engines.graph import Graph
from fastflow.pool.executor import Executor
from fastflow.pool.fanout import for_each, imap, map  # noqa: A004
from fastflow.pool.kernel import Kernel, kernels

__all__ = ["Executor", "Graph", "Kernel", "for_each", "imap", "kernels", "map"]
