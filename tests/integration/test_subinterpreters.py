"""In sub-interpreters of any kind the import is refused, and the main one goes on."""

from __future__ import annotations

import sys

import pytest

from support import run_script

# Python < 3.13 has _xxsubinterpreters, with the kind as a flag.
PROGRAM = """
    import sys, threading
    import fastflow
    if {first}:
        assert fastflow.Executor(1).submit(abs, -1).result() == 1
    try:
        import _interpreters as interpreters
        make = lambda kind: interpreters.create(kind)
    except ImportError:
        import _xxsubinterpreters as interpreters
        make = lambda kind: interpreters.create(isolated=kind == "isolated")
    code = '''
    import sys
    sys.path[:0] = {path!r}
    try:
        import fastflow
    except ImportError as error:
        print("refused", error, flush=True)
    else:
        print("taken", flush=True)
    '''
    import textwrap
    inner = make("{kind}")
    def run():
        interpreters.run_string(inner, textwrap.dedent(code))
    # In a thread of its own, as mod_wsgi does it, too.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    run()
    interpreters.destroy(inner)
    with fastflow.Executor(2) as executor:
        assert list(executor.map(abs, [-1, 2])) == [1, 2]
        print("works", executor.submit(pow, 2, 3).result())
"""


@pytest.mark.parametrize("kind", ["isolated", "legacy"])
@pytest.mark.parametrize("first", [True, False])
def test_a_sub_interpreter_is_refused(kind, first):
    result = run_script(PROGRAM.format(kind=kind, first=first, path=sys.path))
    assert result.returncode == 0, result.stderr
    assert "taken" not in result.stdout
    assert result.stdout.count("refused") == 2
    assert "works 8" in result.stdout
