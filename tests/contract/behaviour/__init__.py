"""One table of behaviours: what every way to have a function called has in common.

* `calls`: the functions that rows have called, importable in other processes, and the
  files by which they tell what has happened;
* `backends`: the executors; `machines` and its neighbours: an adapter for each machine;
* `rows_*`: the behaviours, each a measurement and what it should give;
* `table`: one verdict for each cell of rows x machines.
"""
