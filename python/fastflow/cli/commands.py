"""The command line: ``fastflow`` and ``python -m fastflow``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

# As bench.runner has them, which takes its time to import.
_GROUPS = ["executor", "graph", "peers", "flows", "durable", "processes", "seeing"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fastflow", prog_name="fastflow")
def main() -> None:
    """Run flows and durable executions; demo, benchmarks, a look at this machine."""


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
@click.option(
    "--report",
    "report_to",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="Where to write the report of a few runs.",
)
def demo(tasks: int, records: int, workers: int | None, report_to: Path) -> None:
    """Find out which tool is for which work on this machine; takes < 30 s."""
    from fastflow.cli.demo import run

    run(tasks=tasks, records=records, workers=workers, report_to=report_to)


@main.command()
def doctor() -> None:
    """Report what decides how fast fastflow can be here; exit 1 if it can't run."""
    from rich.table import Table

    from fastflow.base.doctor import examine, healthy
    from fastflow.bench import report

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
    type=click.Choice(_GROUPS),
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


_FILE = click.Path(dir_okay=False, path_type=Path)

_ALLOW_IMPORT = click.option(
    "--allow-import",
    metavar="MODULE",
    multiple=True,
    help="Let 'run:' and 'fallback:' lines name what is in this module; repeatable.",
)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--tasks", metavar="MODULE", help="Where the tasks are, to check their names, too."
)
@_ALLOW_IMPORT
def check(file: Path, tasks: str | None, allow_import: tuple[str, ...]) -> None:
    """Report all that is wrong with the text of a flow."""
    from fastflow.cli import flows

    raise SystemExit(flows.check(file, tasks, allow_import))


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", "check_only", is_flag=True, help="Exit 1 if any differs.")
@click.option("--write", is_flag=True, help="Write the files in place of printing.")
def fmt(files: tuple[Path, ...], check_only: bool, write: bool) -> None:
    """Print the text of a flow in canonical layout."""
    from fastflow.cli import flows

    if check_only and write:
        raise click.UsageError("--check and --write exclude each other")
    raise SystemExit(flows.fmt(files, check_only, write))


@main.command()
@click.argument("file")
@click.option(
    "--input", "input_text", metavar="JSON|@FILE", help="What the flow works on."
)
@click.option("--flow", metavar="NAME", help="Which flow, if the text has several.")
@click.option(
    "--tasks", metavar="MODULE", help="A module, or a .py file, with the tasks."
)
@click.option("--workers", type=click.IntRange(min=1), help="Tasks at a time.")
@click.option(
    "--executor",
    type=click.Choice(["native", "threads", "processes", "serial"]),
    default="native",
    show_default=True,
    help="What runs the tasks.",
)
@click.option(
    "--on-error",
    type=click.Choice(["raise", "continue"]),
    default="raise",
    show_default=True,
    help="After a failure: stop, or run what does not depend on it.",
)
@click.option("--timeout", metavar="TIME", help="For the whole run: 30s, 5m, ...")
@click.option(
    "--history",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory that gets a record of the run.",
)
@click.option("--allow-code", is_flag=True, help="Let 'code:' blocks of the text run.")
@_ALLOW_IMPORT
@click.option(
    "--progress/--no-progress", default=True, help="Show a bar on a terminal."
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--report", type=_FILE, help="Write an HTML report of the run.")
@click.option("--timeline", type=_FILE, help="Draw who did what when (.svg).")
@click.option(
    "--trace", type=_FILE, help="Write a trace for Perfetto; .json for Chrome's."
)
def run(
    file: str,
    timeout: str | None,
    report: Path | None,
    timeline: Path | None,
    trace: Path | None,
    **options: Any,
) -> None:
    """Run a .flow file, or module.py:NAME; print its tasks and the result."""
    from fastflow.base.durations import limit_of
    from fastflow.base.options import checked
    from fastflow.cli.run import Files
    from fastflow.cli.run import run as run_flow

    seconds = checked(click.UsageError, limit_of, "--timeout", timeout)
    files = Files(report, timeline, trace)
    raise SystemExit(run_flow(file, timeout=seconds, files=files, **options))


@main.command()
@click.argument("file")
@click.option("--flow", metavar="NAME", help="Which flow, if the text has several.")
@click.option("--svg", type=_FILE, help="Draw into this file.")
@click.option("--mermaid", "as_mermaid", is_flag=True, help="Print it for Mermaid.")
@click.option("--dot", "as_dot", is_flag=True, help="Print it for Graphviz.")
@_ALLOW_IMPORT
def show(file: str, as_mermaid: bool, as_dot: bool, **options: Any) -> None:
    """Draw the flow of a .flow file, or of module.py:NAME."""
    from fastflow.cli.show import show as show_flow

    if as_mermaid and as_dot:
        raise click.UsageError("--mermaid and --dot exclude each other")
    raise SystemExit(show_flow(file, as_mermaid=as_mermaid, as_dot=as_dot, **options))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--run", "run_id", metavar="ID", help="Which one, if there are several. [the last]"
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="report.html",
    show_default=True,
    help="The page.",
)
@click.option("--title", help="What the page is called. [the name of the run]")
def report(file: Path, run_id: str | None, output: Path, title: str | None) -> None:
    """Write the HTML report of a past run.

    FILE is a store of durable executions, a saved trace, the record of a flow, or the
    directory of such records.
    """
    from fastflow.cli.report import report

    raise SystemExit(report(file, run_id, output, title))


@main.group()
def runs() -> None:
    """Durable executions: list, show, resume, cancel, remove."""
    from fastflow.cli.runs import clean_log

    clean_log()


_STORE = click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    default="runs.db",
    show_default=True,
    envvar="FASTFLOW_STORE",
    help="The journal's file.",
)


@runs.command("ls")
@_STORE
@click.option(
    "--status",
    type=click.Choice(["RUNNING", "INTERRUPTED", "SUCCEEDED", "FAILED", "CANCELLED"]),
    help="Only these.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs_ls(store: Path, status: str | None, as_json: bool) -> None:
    """List executions."""
    from fastflow.cli import runs

    raise SystemExit(runs.ls(store, status, as_json))


@runs.command("show")
@click.argument("name")
@_STORE
@click.option("--events", "with_events", is_flag=True, help="What happened, in order.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs_show(name: str, store: Path, with_events: bool, as_json: bool) -> None:
    """Show an execution with its operations."""
    from fastflow.cli import runs

    raise SystemExit(runs.show(store, name, as_json, with_events))


@runs.command("resume")
@click.argument("name")
@_STORE
@click.option(
    "--tasks",
    metavar="MODULE",
    required=True,
    help="A module, or a .py file, with the durable functions.",
)
def runs_resume(name: str, store: Path, tasks: str) -> None:
    """Go on with an execution that was interrupted; print its result as JSON."""
    from fastflow.cli import runs

    raise SystemExit(runs.resume(store, name, tasks))


@runs.command("cancel")
@click.argument("name")
@_STORE
def runs_cancel(name: str, store: Path) -> None:
    """Have an execution end at its next operation, wherever it runs."""
    from fastflow.cli import runs

    raise SystemExit(runs.cancel(store, name))


@runs.command("gc")
@_STORE
@click.option(
    "--older-than",
    metavar="TIME",
    default="30d",
    show_default=True,
    help="How long ago it must have ended: 12h, 7d, ...",
)
@click.option("--dry-run", is_flag=True, help="Only count.")
def runs_gc(store: Path, older_than: str, dry_run: bool) -> None:
    """Remove executions that have ended; those that haven't stay."""
    from fastflow.base.durations import seconds_of
    from fastflow.base.options import checked
    from fastflow.cli import runs

    seconds = checked(click.UsageError, seconds_of, "--older-than", older_than)
    raise SystemExit(runs.collect(store, seconds, dry_run))


if __name__ == "__main__":
    main()
