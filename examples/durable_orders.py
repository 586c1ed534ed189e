"""Orders that survive a crash.

A process works through orders: each is checked, charged exactly once, packed after a
short wait, and shipped by the first of two carriers that answers. In the middle of it,
the process is killed with SIGKILL. A second one goes on from the journal; no order is
charged twice.

    python examples/durable_orders.py [--orders N]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import fastflow
from fastflow.durable import (
    CompletionConfig,
    DurableContext,
    DurableRunner,
    MapConfig,
    RetryStrategyConfig,
    StepConfig,
    StepSemantics,
    durable_execution,
)

ONCE = StepConfig(step_semantics=StepSemantics.AT_MOST_ONCE_PER_RETRY)
PATIENT = StepConfig(RetryStrategyConfig(max_attempts=5, initial_delay=0.001))


class Ledger:
    """A bank that remembers every charge, and kills its client at one of them."""

    def __init__(self, path: Path, kill_at: int) -> None:
        self.path = path
        self.kill_at = kill_at

    def charge(self, order: int) -> str:
        """Book a charge."""
        if order == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        with self.path.open("a") as file:
            file.write(f"{order}\n")
        return f"receipt {order}"


def carrier(name: str, seconds: float):
    """Return a branch that asks a carrier, who takes his time."""

    def ask(context: DurableContext) -> str:
        context.wait(seconds)
        return name

    return ask


def work_off(ledger: Ledger):
    """Return the durable function, for a bank."""

    def one(context: DurableContext, order: int, _: int, __: object) -> str:
        def check(step) -> bool:
            if order % 4 == 0 and step.attempt == 1:
                raise ConnectionError("the warehouse does not answer")
            return order % 7 != 0

        if not context.step(check, "in stock", PATIENT):
            raise LookupError(f"order {order} is out of stock")
        receipt = context.step(lambda _: ledger.charge(order), "charge", ONCE)
        context.wait(0.002, "packing")
        name = context.race([carrier("north", 0.001), carrier("south", 0.05)])
        return f"{receipt}, by {name}"

    @durable_execution(name="orders")
    def orders(event: int, context: DurableContext) -> dict[str, object]:
        config = MapConfig(
            max_concurrency=8, completion_config=CompletionConfig.all_completed()
        )
        batch = context.map(range(1, event + 1), one, "orders", config)
        return {
            "shipped": batch.get_results(),
            "refused": [error.message for error in batch.get_errors()],
        }

    return orders


def run(folder: Path, count: int, kill_at: int) -> dict[str, object]:
    """Run the orders, or go on with them."""
    function = work_off(Ledger(folder / "ledger", kill_at))
    with DurableRunner(folder / "orders.db") as runner:
        found: dict[str, object] = runner.run(function, count, "today")
        return found


def main() -> None:
    """Kill one process, let another go on, and look at the ledger."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--report", metavar="FILE", help="write what was seen of it")
    options = parser.parse_args()
    if options.orders < 1:
        parser.error("--orders must be at least 1")
    kill_at = options.orders // 2 + 1
    if options.folder:  # the process that will be killed
        run(options.folder, options.orders, kill_at)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, __file__, f"--orders={options.orders}"]
        first = subprocess.run([*command, f"--folder={folder}"], check=False)
        ledger = folder / "ledger"
        charged = ledger.read_text().split() if ledger.exists() else []
        print(f"The first process ended with {first.returncode}, ", end="")
        print(f"after {len(charged)} charges.")
        # Whether the charge that it died in took effect is not known: it is not
        # made again, and that order is for a human to look at.
        recording = fastflow.record() if options.report else None
        with recording or contextlib.nullcontext():
            found = run(folder, options.orders, kill_at=0)
        if recording:
            recording.report(options.report)
        charged = ledger.read_text().split()
        for line in found["shipped"]:  # type: ignore[attr-defined]
            print("  shipped:", line)
        for line in found["refused"]:  # type: ignore[attr-defined]
            print("  refused:", line)
        twice = len(charged) - len(set(charged))
        print(f"{len(charged)} charges in the ledger, {twice} of them twice.")


if __name__ == "__main__":
    main()
