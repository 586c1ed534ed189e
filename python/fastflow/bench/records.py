"""A data job over real records: sensor readings with dirty fields.

One JSON object per line, as a logger writes them: ``sensor`` (0 to 63), ``t`` (in
seconds), ``temp`` (a number, sometimes text, ``null`` or ``"n/a"``), ``unit`` (``C``,
``F`` or missing) and ``rh`` (relative humidity, per cent).

The job parses, cleans and aggregates
them twice over: in pure Python from the text, and in numpy from the same readings as
columns.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SENSORS = 64
#: A reading outside this range (in hundredths of a degree Celsius) is an outlier.
PLAUSIBLE = (-4_000, 6_000)

Columns = NDArray[np.float64]
#: Sensor -> [readings, sum, smallest, largest], temperatures in 0.01 °C.
Summary = dict[int, list[int]]


def dirty_temperature(rng: random.Random, celsius: float) -> tuple[Any, str | None]:
    """Write a temperature as loggers do: value and unit, one in seven of them odd."""
    kind = rng.randrange(28)
    if kind == 0:
        return None, "C"
    if kind == 1:
        return rng.choice(["n/a", "", "ERR"]), "C"
    if kind == 2:
        return 999.9, "C"  # the sensor's own error code
    if kind == 3:
        return f" {celsius:.2f} ", "C"
    if kind < 10:
        return round(celsius * 9 / 5 + 32, 2), "F"
    return round(celsius, 2), None if kind == 10 else "C"


def generate(count: int, *, chunk: int = 5_000, seed: int = 2) -> list[bytes]:
    """Make ``count`` readings, the same ones for the same arguments.

    Parameters
    ----------
    count : int
        Number of records.
    chunk : int
        Records per block of text.
    seed : int
        Of the random generator.

    Returns
    -------
    list of bytes
        JSON lines in blocks, as they would be read from a file.
    """
    blocks = []
    for start in range(0, count, chunk):
        rng = random.Random(f"{seed}:{start}")
        lines = []
        for i in range(start, min(start + chunk, count)):
            value, unit = dirty_temperature(rng, rng.gauss(18.0, 7.0))
            reading = {"sensor": i % SENSORS, "t": 1_700_000_000 + i, "temp": value}
            if unit is not None:
                reading["unit"] = unit
            reading["rh"] = rng.randrange(20, 101)
            lines.append(json.dumps(reading))
        blocks.append("\n".join(lines).encode())
    return blocks


def clean(reading: dict[str, Any]) -> int | None:
    """Temperature in hundredths of a degree Celsius; None for a useless reading."""
    try:
        value = float(reading["temp"])
    except (KeyError, TypeError, ValueError):
        return None
    if reading.get("unit") == "F":
        value = (value - 32) * 5 / 9
    hundredths = round(value * 100)
    return hundredths if PLAUSIBLE[0] <= hundredths <= PLAUSIBLE[1] else None


def summarise(block: bytes) -> Summary:
    """Parse, clean and aggregate one block of text, in pure Python."""
    summary: Summary = {}
    for line in block.splitlines():
        reading = json.loads(line)
        value = clean(reading)
        if value is None:
            continue
        entry = summary.setdefault(reading["sensor"], [0, 0, value, value])
        entry[0] += 1
        entry[1] += value
        entry[2] = min(entry[2], value)
        entry[3] = max(entry[3], value)
    return summary


def merge(summaries: Iterable[Summary]) -> Summary:
    """Combine the summaries of all blocks; integers, so the order changes nothing."""
    total: Summary = {}
    for summary in summaries:
        for sensor, (count, added, low, high) in summary.items():
            entry = total.setdefault(sensor, [0, 0, low, high])
            entry[0] += count
            entry[1] += added
            entry[2] = min(entry[2], low)
            entry[3] = max(entry[3], high)
    return dict(sorted(total.items()))


def to_columns(blocks: Sequence[bytes], chunk: int = 25_000) -> list[Columns]:
    """Readings as columns: raw °C (NaN where not a number) and relative humidity.

    What a columnar file would hold; made once, outside every timed section.

    Parameters
    ----------
    blocks : sequence of bytes
        From `generate`.
    chunk : int
        Records per part, fewer when that would make fewer than four parts.

    Returns
    -------
    list of ndarray
        Parts of shape (2, records), views of one array.
    """
    readings = [json.loads(line) for block in blocks for line in block.splitlines()]
    table = np.array(
        [
            [as_celsius(reading) for reading in readings],
            [float(reading["rh"]) for reading in readings],
        ]
    )
    return np.array_split(table, max(4, len(readings) // chunk), axis=1)


def as_celsius(reading: dict[str, Any]) -> float:
    """Temperature of a reading without any check; NaN when it isn't a number."""
    try:
        value = float(reading["temp"])
    except (TypeError, ValueError):
        return float("nan")
    return (value - 32) * 5 / 9 if reading.get("unit") == "F" else value


@dataclass(frozen=True)
class Climate:
    """Aggregate of one block of columns (temperatures in °C)."""

    valid: int
    mean: float
    dew_point: float
    p95: float


def climate(columns: Columns) -> Climate:
    """Clean and aggregate one block of columns, in numpy.

    Outliers are dropped, the dew point follows the Magnus formula, and the mean, the
    mean dew point and the 95th percentile remain.
    """
    temperature, humidity = columns
    low, high = PLAUSIBLE[0] / 100, PLAUSIBLE[1] / 100
    good = (temperature >= low) & (temperature <= high)  # NaN compares false
    celsius = temperature[good]
    if not celsius.size:
        return Climate(0, 0.0, 0.0, 0.0)
    magnus = np.log(humidity[good] / 100) + 17.62 * celsius / (243.12 + celsius)
    dew_point = 243.12 * magnus / (17.62 - magnus)
    ordered = np.sort(celsius)
    return Climate(
        valid=int(celsius.size),
        mean=float(celsius.mean()),
        dew_point=float(dew_point.mean()),
        p95=float(ordered[int(0.95 * (ordered.size - 1))]),
    )
