"""The text language for flows: text -> tokens -> syntax -> specification -> plan.

Nothing here runs a flow. `parser` reads, `printer` and `formatter` write, `compiler`
binds names to callables.
"""
