"""The table: each scenario, with `ProcessExecutor` and the standard library's pool."""

from __future__ import annotations

import argparse
import platform
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes.matrix.running import OURS, THEIRS, Verdict, run
from processes.matrix.scenario import SCENARIOS, Scenario


def both(scenario: Scenario, repeat: int) -> tuple[Verdict, Verdict | None]:
    """Run one with each; ours until it fails."""
    for _ in range(repeat):
        ours = run(scenario, OURS)
        if ours.why:
            break
    return ours, run(scenario, THEIRS) if scenario.peer else None


def cell(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    if not verdict.why:
        return f"ok, gone in {verdict.gone:.2f} s" if verdict.gone > 0.2 else "ok"
    return verdict.why.split(",")[0].split("[")[0].split(":")[0].strip()[:40]


def table(rows: list[tuple[Scenario, Verdict, Verdict | None]]) -> str:
    """Return the rows as Markdown."""
    lines = [
        f"# Python {platform.python_version()}, {sys.platform}",
        "",
        f"fastflow: {sum(not ours.why for _, ours, _ in rows)} of {len(rows)} pass. "
        f"concurrent.futures: {sum(bool(t and not t.why) for *_, t in rows)} of the "
        f"{sum(t is not None for *_, t in rows)} that are not about what it lacks.",
        "",
        "| | scenario | fastflow | concurrent.futures |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {found.group} | {found.name} | {cell(ours)} | {cell(theirs)} |"
        for found, ours, theirs in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started by `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [
        found for found in SCENARIOS if options.only in f"{found.group}: {found.name}"
    ]
    rows = []
    with ThreadPoolExecutor(options.jobs) as threads:
        verdicts = threads.map(lambda s: both(s, options.repeat), chosen)
        for found, (ours, theirs) in zip(chosen, verdicts, strict=True):
            rows.append((found, ours, theirs))
            print(f"{'FAILED' if ours.why else 'ok':7}{found.group}: {found.name}")
            print(f"{'':7}fastflow: {ours.why or cell(ours)}")
            print(
                f"{'':7}concurrent.futures: {(theirs and theirs.why) or cell(theirs)}"
            )
            sys.stdout.flush()
    text = table(rows)
    print(text.splitlines()[2])
    if options.write:
        options.write.write_text(text)
    return int(any(ours.why for _, ours, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
