"""What happens to pools of processes when something dies, ends, or is missing.

    cd tests; python -m processes.matrix [--only TEXT] [--repeat N] [--write FILE]

prints `ProcessExecutor` and the standard library's pool beside each other; the tests
judge the former only.
"""

from processes.matrix import (  # noqa: F401  (they add their scenarios)
    deaths,
    ends,
    hosts,
    interrupts,
    limits,
    parents,
    starts,
    values,
)
