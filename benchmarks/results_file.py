r"""Reads and writes docs/results.json, which holds every measured number of README.md and docs/.

The benchmarks write to the file with `--record`, and benchmarks/demo_scores.py writes the scores of finished demos. For
a number that no script measures, give its values, one for each run:

    python benchmarks/results_file.py two_stage_resnet18_lspet.minutes 48.2 47.9 --unit=minutes \
        --command='tfpose train --config=two_stage_resnet18_lspet --workdir=runs/lspet'

A page quotes a number by a comment with its key, such as `91.6<!-- demo.two_stage.map -->` (the median),
`89.9 to 92.1<!-- KEY -->` (the smallest and the largest value) or `91.6 (89.9 to 92.1)<!-- KEY -->`. A test compares.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import os
import pathlib
import platform
import re
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence

from tfpose.json_files import read_json, write_text

PROJECT = pathlib.Path(__file__).resolve().parents[1]
RESULTS_FILE = PROJECT / "docs" / "results.json"
RECORD_HELP = (
    "Also write the numbers to docs/results.json, from which README.md and docs/ quote them. "
    "Use it only with the default settings and on a machine that does nothing else."
)
# 'demo.two_stage.map': what was measured, then which number of it.
KEY = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)+")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A measured number.

    Attributes:
        values: Value of each run or round, in the order of the runs.
        unit: Unit of the values.
        date: Day of the last run, YYYY-MM-DD.
        machine: Processor and number of cores.
        command: Command that measures the number.
        note: What else a reader must know to judge the number.
    """

    values: tuple[float, ...]
    unit: str
    date: str
    machine: str
    command: str
    note: str = ""

    @property
    def median(self) -> float:
        """Median of the values."""
        return statistics.median(self.values)


def read_results(path: pathlib.Path = RESULTS_FILE) -> dict[str, Measurement]:
    """Reads the file.

    Raises:
        ValueError: A key, field or value is not valid; the message names it.
    """
    results = {}
    for key, entry in read_json(path).items():
        try:
            results[key] = Measurement(**{**entry, "values": tuple(entry["values"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: {key} must have the fields of a measurement, got {sorted(entry)}") from error
        _check(path, key, results[key])
    return results


def record(
    measured: Mapping[str, tuple[Sequence[float], str]],
    command: str | None = None,
    note: str = "",
    path: pathlib.Path = RESULTS_FILE,
) -> None:
    """Puts measurements of today and of this machine into the file, in place of earlier ones with the same keys.

    Args:
        measured: Values and unit of each key.
        command: Command that measures the numbers; None takes the command line of this program, a benchmark.
        note: What else a reader must know to judge the numbers.
        path: The file.

    Raises:
        ValueError: A key, unit or value is not valid; the file is left as it was.
        SystemExit: A benchmark ran beside other work; the file is left as it was.
    """
    if command is None:
        _check_load()
    date, command = datetime.date.today().isoformat(), command or command_line(sys.argv)
    results = read_results(path) if path.exists() else {}
    for key, (values, unit) in measured.items():
        # More digits than a page prints, fewer than a clock claims.
        rounded = tuple(float(f"{value:.4g}") for value in values)
        results[key] = Measurement(rounded, unit, date, describe_machine(), command, note)
        _check(path, key, results[key])
    write_results(results, path)
    print(f"recorded {', '.join(measured)} in {path}")


def write_results(results: Mapping[str, Measurement], path: pathlib.Path = RESULTS_FILE) -> None:
    """Writes the file, one line for each key, sorted by key, so that a change is a change of few lines."""
    lines = []
    for key, measurement in sorted(results.items()):
        entry = {name: value for name, value in dataclasses.asdict(measurement).items() if value != ""}
        lines.append(f"  {json.dumps(key)}: {json.dumps(entry, allow_nan=False)}")
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Ratio of each round of two programs that ran in turn."""
    return [upper / lower for upper, lower in zip(numerators, denominators, strict=True)]


def describe_machine() -> str:
    """Model of the processor and number of cores."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return f"{match[1] if match else platform.machine()}, {os.cpu_count()} CPU cores"


def command_line(arguments: Sequence[str]) -> str:
    """The command line as a user types it in the project's folder, without --record."""
    script = pathlib.Path(arguments[0]).resolve()
    name = script.relative_to(PROJECT) if script.is_relative_to(PROJECT) else script.name
    return shlex.join(["python", str(name), *(word for word in arguments[1:] if word not in ("--record", "-record"))])


def _check_load() -> None:
    # A benchmark alone keeps at most every core busy.
    load, num_cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > num_cores + 1:
        raise SystemExit(
            f"not recorded: the load average must be at most {num_cores + 1} on {num_cores} CPU cores, got {load:.1f}; "
            "repeat the benchmark on a machine that does nothing else"
        )


def _check(path: pathlib.Path, key: str, measurement: Measurement) -> None:
    if not KEY.fullmatch(key):
        raise ValueError(f"{path}: a key must be lower-case names with a dot between them, got {key!r}")
    values = measurement.values
    if not values or not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        raise ValueError(f"{path}: values of {key} must be finite numbers, got {values}")
    for name in ("unit", "machine", "command"):
        if not getattr(measurement, name):
            raise ValueError(f"{path}: {name} of {key} must not be empty")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", measurement.date):
        raise ValueError(f"{path}: date of {key} must be YYYY-MM-DD, got {measurement.date!r}")


def main() -> None:
    """Records a number that was measured by hand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("key", help="what was measured, a dot, and which number of it")
    parser.add_argument("values", type=float, nargs="+", help="value of each run")
    parser.add_argument("--unit", required=True, help="unit of the values")
    parser.add_argument("--command", required=True, help="command that measures the number")
    parser.add_argument("--note", default="", help="what else a reader must know to judge the number")
    options = parser.parse_args()
    try:
        record({options.key: (options.values, options.unit)}, options.command, options.note)
    except ValueError as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {error}")


if __name__ == "__main__":
    main()
