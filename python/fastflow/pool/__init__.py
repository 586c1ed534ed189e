"""The native pool: executor, futures, fan-out, groups, kernels."""
