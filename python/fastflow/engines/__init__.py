"""What runs plans: one after another, on any executor, or on the native graph engine.

`base` chooses, `serial` and `native` are loops, `events` runs everything that waits
(retries, timeouts, coroutines, other executors) from one event loop of its own.
"""
