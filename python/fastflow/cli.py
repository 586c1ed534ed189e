"""The command line: ``fastflow`` and ``python -m fastflow``."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastflow", prog_name="fastflow")
def main() -> None:
    """Fast fan-out on threads: demo, benchmarks and a look at this machine."""


@main.command()
@click.option(
    "--tasks",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Tasks of the fan-out.",
)
@click.option(
    "--records",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Records of the data job.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    help="Worker threads and processes; default: the usable cores.",
)
def demo(tasks: int, records: int, workers: int | None) -> None:
    """Compare fastflow with concurrent.futures on this machine; takes < 30 s."""
    from fastflow.demo import run

    run(tasks=tasks, records=records, workers=workers)


@main.command()
def doctor() -> None:
    """Report what decides how fast fastflow can be here; exit 1 if it can't run."""
    from rich.table import Table

    from fastflow.bench import report
    from fastflow.doctor import examine, healthy

    table = Table(title="fastflow doctor")
    table.add_column("about")
    table.add_column("name")
    table.add_column("found", overflow="fold")
    last = ""
    for section, name, value in examine():
        if last and section != last:
            table.add_section()
        table.add_row("" if section == last else section, name, value)
        last = section
    report.console().print(table)
    if not healthy():
        raise SystemExit(1)


@main.command()
@click.option(
    "--group",
    "groups",
    multiple=True,
    type=click.Choice(["executor", "peers"]),
    help="Only this group; may be repeated.",
)
@click.option("--only", default="", metavar="TEXT", help="Only benchmarks named so.")
@click.option("--quick", is_flag=True, help="Smaller sizes, fewer rounds.")
@click.option(
    "--repeats", type=click.IntRange(min=1), help="Timed rounds. [7, quick 3]"
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Workers on both sides; the goals are written for 2.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all figures to this file.",
)
@click.option(
    "--plot",
    "plot_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the ratios (.svg, .png, .pdf); needs matplotlib.",
)
def bench(
    groups: tuple[str, ...],
    only: str,
    quick: bool,
    repeats: int | None,
    workers: int,
    json_path: Path | None,
    plot_path: Path | None,
) -> None:
    """Measure fastflow against its peers, interleaved in one run."""
    import importlib.util

    from rich.console import Console

    from fastflow.bench import report, runner
    from fastflow.bench.rows import Row, Settings

    if plot_path and importlib.util.find_spec("matplotlib") is None:
        raise click.UsageError('--plot needs matplotlib: pip install "fastflow[bench]"')
    benchmarks = runner.select(groups or runner.GROUPS, only)
    if not benchmarks:
        raise click.UsageError(f"no benchmark is named like {only!r}")
    settings = Settings(workers, repeats or (3 if quick else 7), quick)
    progress = Console(stderr=True)

    def announce(name: str) -> None:
        progress.print(f"running {name} ...", style="dim")

    outcome = list(runner.run(benchmarks, settings, announce))
    rows = [item for item in outcome if isinstance(item, Row)]
    console = report.console()
    console.print(report.table(rows))
    console.print(report.summary(outcome), highlight=False)
    if json_path:
        runner.save_json(json_path, outcome, settings)
    if plot_path:
        report.plot(plot_path, rows)


if __name__ == "__main__":
    main()
