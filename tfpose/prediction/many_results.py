"""The results of `tfpose predict-many`: which inputs are done, and the report. Files appear when they are whole."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tfpose
from tfpose.messages import quote
from tfpose.prediction.many_files import SETTINGS_FILE, exists, is_elsewhere, join, read_bytes, write_whole_text
from tfpose.prediction.many_inputs import ManyInput

REPORT_FILE, DONE_FOLDER = "report.csv", "done"
# Whole results; results without some frames that are damaged; no results.
DONE, DAMAGED, FAILED = "done", "damaged", "failed"


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """What became of an input.

    Attributes:
        position: Position among all inputs.
        input: File or folder.
        name: Name of the results.
        status: `DONE`, `DAMAGED` or `FAILED`.
        frames: Number of frames in the results.
        people: Number of people in all frames.
        tracks: Number of identities.
        seconds: Time that the prediction took.
        message: What is wrong, otherwise a note for the user; '' if there is neither.
        is_earlier: Whether an earlier run predicted the input.
    """

    position: int
    input: str
    name: str
    status: str
    frames: int = 0
    people: int = 0
    tracks: int = 0
    seconds: float = 0.0
    message: str = ""
    is_earlier: bool = False


_COLUMNS = ("input", "name", "status", "frames", "people", "tracks", "seconds", "message")


def crashed_row(item: ManyInput, message: str) -> ReportRow:
    """Returns the row of an input at which the process of its worker ended."""
    return ReportRow(item.position, item.label, item.name, FAILED, message=message)


class DoneMarks:
    """The files OUTPUT/done/NAME.json. Each appears after the results of its input, which the same settings made."""

    def __init__(self, output: str, settings: str, overwrite: bool = False) -> None:
        """Remembers where the marks are.

        Args:
            output: Folder or address of the results.
            settings: Digest of the model and the settings.
            overwrite: Whether results may replace those of another input with the same name.
        """
        self._output, self._settings, self._overwrite = output, settings, overwrite

    def find(self, item: ManyInput) -> ReportRow | None:
        """Returns the row of an input that is done: same file, same model and settings, and all results are there."""
        try:
            mark = self._read(item)
            is_same = mark["settings"] == self._settings and mark["state"] == item.state()
            if not is_same or not all(exists(join(self._output, name)) for name in mark["files"]):
                return None
            row = {name: mark[name] for name in _COLUMNS if name not in ("input", "name")}
            return ReportRow(item.position, item.label, item.name, **row, is_earlier=True)
        except (OSError, ValueError, LookupError, TypeError):
            # Not there, or damaged: the input is predicted again.
            return None

    def has_results(self, item: ManyInput) -> bool:
        """Returns whether a run has written results of the name of an input, whatever they are of."""
        return exists(self._address(item))

    def check_name(self, item: ManyInput) -> None:
        """Checks that the results of an input replace none of another input that is still there.

        Raises:
            ValueError: They would.
        """
        try:
            other = str(self._read(item)["input"])
        except (OSError, ValueError, LookupError, TypeError):
            return
        if not self._overwrite and is_elsewhere(other, item.label):
            raise ValueError(
                f"{self._output} holds the results of {other} under the name {item.name}; choose another --output, or "
                "add --overwrite"
            )

    def _read(self, item: ManyInput) -> dict[str, Any]:
        return json.loads(read_bytes(self._address(item)))

    def write(self, item: ManyInput, row: ReportRow, state: str, files: Sequence[str]) -> None:
        """Marks an input as done.

        Args:
            item: The input.
            row: What became of it.
            state: State of the input before it was read, see `ManyInput.state`.
            files: Names of its results, relative to the output.

        Raises:
            OSError: The mark cannot be written.
        """
        mark = {name: getattr(row, name) for name in _COLUMNS}
        content = mark | {"settings": self._settings, "state": state, "files": list(files)}
        write_whole_text(self._address(item), json.dumps(content, indent=1))

    def _address(self, item: ManyInput) -> str:
        return join(self._output, DONE_FOLDER, f"{item.name}.json")


def digest_of_settings(settings: Mapping[str, Any]) -> str:
    """Returns digits that differ for other settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def claim_output(output: str, settings: Mapping[str, Any], overwrite: bool) -> str:
    """Writes into the output which model and settings its results are of.

    Args:
        output: Folder or address of the results.
        settings: What decides about the results, as JSON.
        overwrite: Whether results of other settings may be replaced.

    Returns:
        A note; '' if there is none.

    Raises:
        OSError: The file cannot be written.
        ValueError: The output holds results of another model or other settings.
    """
    address, note = join(output, SETTINGS_FILE), ""
    if exists(address) and not overwrite:
        found = _read_settings(address)
        differing = [name for name in settings if found["settings"].get(name) != settings[name]]
        if differing:
            was, wanted = found["settings"].get(differing[0]), settings[differing[0]]
            raise ValueError(
                f"{output}: holds results of another {'model' if differing[0] == 'model_digest' else 'setting'} "
                f"({differing[0]} {quote(was)}, now {quote(wanted)}); choose another --output, or add --overwrite"
            )
        if found["version"] == tfpose.__version__:
            return ""
        note = f"{output}: holds results of version {quote(found['version'])} of tfpose, which are kept"
    write_whole_text(address, json.dumps({"version": tfpose.__version__, "settings": settings}, indent=1))
    return note


def _read_settings(address: str) -> dict[str, Any]:
    try:
        content = json.loads(read_bytes(address))
        return {"version": str(content["version"]), "settings": dict(content["settings"])}
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{address}: must be a file that tfpose wrote, got a damaged one; choose another --output, or add "
            "--overwrite"
        ) from error


def write_report(rows: Iterable[ReportRow], output: str) -> str:
    """Writes the table of all inputs, in their order; returns its address."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in sorted(rows, key=lambda row: row.position):
        cells = [getattr(row, column) for column in _COLUMNS]
        writer.writerow([f"{cell:.3f}" if isinstance(cell, float) else cell for cell in cells])
    address = join(output, REPORT_FILE)
    write_whole_text(address, text.getvalue())
    return address


def count_statuses(output: str) -> dict[str, int]:
    """Returns how many inputs of the report have each status."""
    lines = read_bytes(join(output, REPORT_FILE)).decode("utf-8")
    statuses = [line["status"] for line in csv.DictReader(io.StringIO(lines, newline=""))]
    return {status: statuses.count(status) for status in (DONE, DAMAGED, FAILED)}
