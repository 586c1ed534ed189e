"""What ends together."""

from fastflow.run.scope import Scope


def test_what_is_below_is_over_with_what_is_around_it():
    run = Scope()
    branch = Scope(run)
    attempt, other = Scope(branch), Scope(run)
    assert not attempt.over
    branch.close()
    assert (run.over, branch.over, attempt.over, other.over) == (
        False, True, True, False,
    )  # fmt: skip
    assert (branch.closed, attempt.closed) == (True, False)
    run.close()
    assert other.over


def test_a_chain_of_any_length_can_be_looked_up():
    last = first = Scope()
    for _ in range(100_000):
        last = Scope(last)
    assert not last.over
    first.close()
    assert last.over
