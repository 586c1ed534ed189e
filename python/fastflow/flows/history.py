"""Records of past runs: one JSON file for each."""

from __future__ import annotations

import json
import logging
import os
import time
import uuid
from pathlib import Path
from typing import Any

from fastflow.base.log_ids import extra
from fastflow.base.textfiles import write_text
from fastflow.run.results import FlowResult

__all__ = ["history_dir", "list_flows", "write_record"]

_LOGGER = logging.getLogger("fastflow")
_SUFFIX = ".flow.json"


def history_dir(given: str | os.PathLike[str] | None) -> Path | None:
    """Return where records go: the argument, else ``FASTFLOW_HISTORY_DIR``, or None.

    Raises
    ------
    OSError
        If the directory can't be made.
    """
    chosen = _chosen(given)
    if not chosen:
        return None
    try:
        Path(chosen).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        error.add_note(
            "This directory is for the record of the run (history=, or "
            "FASTFLOW_HISTORY_DIR); nothing has run."
        )
        raise
    return Path(chosen)


def _chosen(given: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    return given if given is not None else os.environ.get("FASTFLOW_HISTORY_DIR")


def write_record(directory: Path, result: FlowResult, run: str) -> None:
    """Write the record of a run: what ran when and how it ended, but no results.

    The file is made under another name and renamed, so that a reader never sees half of
    it; only its owner can read it. What goes wrong is logged, with the id of the `run`,
    which has ended.
    """
    try:
        _write(directory, result)
    except Exception:
        _LOGGER.exception(
            "the record of flow %r can't be written to %s", result.flow, directory,
            extra=extra(run),
        )  # fmt: skip


def _write(directory: Path, result: FlowResult) -> None:
    run = uuid.uuid4().hex
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(result.started))
    path = directory / f"{stamp}-{run}{_SUFFIX}"
    text = json.dumps({"run": run, **result.summary()}, indent=1, default=repr)
    write_text(path, text + "\n", private=True)


def list_flows(directory: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """Return the records of past runs, the oldest first.

    Parameters
    ----------
    directory : path, optional
        Where ``history=`` has put them. Default: ``FASTFLOW_HISTORY_DIR``.

    Returns
    -------
    list of dict
        Each with ``run``, ``flow``, ``status``, ``started`` (seconds since the epoch),
        ``duration``, ``tasks`` and ``file``. Files that are not such records are
        logged and left out.

    Raises
    ------
    ValueError
        If neither is given.
    FileNotFoundError, NotADirectoryError
        If the directory is not there.
    """
    chosen = _chosen(directory)
    if not chosen:
        raise ValueError(
            "say where the records are: list_flows(directory), or set "
            "FASTFLOW_HISTORY_DIR"
        )
    records = []
    for path in sorted(Path(chosen).iterdir()):
        if path.name.endswith(_SUFFIX):
            record = _read(path)
            if record is not None:
                records.append({**record, "file": str(path)})
    return sorted(records, key=lambda record: record["started"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text("utf-8"))
        if isinstance(record["started"], int | float) and isinstance(
            record["flow"], str
        ):
            return record  # type: ignore[no-any-return]
        reason: object = "it lacks 'flow' or 'started'"
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = error
    _LOGGER.warning("%s is not the record of a run: %s", path, reason)
    return None
