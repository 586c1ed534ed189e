"""What runs plans: one after another, on any executor, or on the native graph engine.

`choose` says which: `serial` and `native` are loops, `hosted` runs everything on any
executor; tasks that wait become jobs by way of `host`.
"""
