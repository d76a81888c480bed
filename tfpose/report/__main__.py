"""Joins the results of several evaluations into one HTML page.

    tfpose report --results=results/two_stage,results/single_network --output=report.html

The page needs no other file and no network connection.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import sys
from collections.abc import Sequence

from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.report.evaluation_file import REPORT_DATA_FILE, Evaluation, read_evaluation
from tfpose.report.overview import names_of_results, write_overview
from tfpose.report.page import check_page_name
from tfpose.report.training import read_training_tables
from tfpose.running_command import running_command


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_list(
        "results",
        None,
        "Folders that tfpose evaluate, tfpose score or tfpose track wrote with --report, separated by commas. A folder "
        "that contains several of these folders stands for all of them. The page shows the results in the given order. "
        "Required.",
    )
    values.define_list(
        "runs",
        [],
        "Work folders of the training runs whose training curves are shown, separated by commas, one for "
        "each folder of results. By default the page shows the training curves that the results contain.",
    )
    values.define_list(
        "names",
        [],
        "Titles of the results on the page, separated by commas, one for each folder of results. By default "
        "the names of the folders are shown, with the names of the folders above where two are the same.",
    )
    values.define_string("output", "report.html", "HTML file that tfpose writes.")
    values.define_string("title", "Results of pose estimation", "Title that the page shows.")


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Writes the page."""
    del inputs
    if not values.results:
        raise ValueError("--results must name at least one folder that tfpose evaluate wrote with --report, got none")
    output = pathlib.Path(values.output)
    check_page_name("output", output)
    folders = [folder for name in values.results for folder in _find_results(pathlib.Path(name))]
    for flag in ("runs", "names"):
        given = len(values.get_flag_value(flag, []))
        if given and given != len(folders):
            raise ValueError(f"--{flag} must have one entry for each of the {len(folders)} --results, got {given}")
    names = values.names or names_of_results(folders)
    if len(set(names)) != len(names):
        flag = "--names must be distinct" if values.names else "--results must be different folders"
        raise ValueError(f"{flag}, got {', '.join(names)}")
    runs = values.runs or [""] * len(folders)
    read = [_read(folder, run) for folder, run in zip(folders, runs, strict=True)]
    output.parent.mkdir(parents=True, exist_ok=True)
    origin = f"{running_command()}, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC".removeprefix(", ")
    write_overview(output, values.title, dict(zip(names, read, strict=True)), origin)
    print(f"written: {output} ({output.stat().st_size / 1e6:.1f} MB)")


def _find_results(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folder itself, or those in it that hold results."""
    if (folder / REPORT_DATA_FILE).is_file():
        return [folder]
    return [path.parent for path in sorted(folder.glob(f"*/{REPORT_DATA_FILE}"))] or [folder]


def _read(folder: pathlib.Path, run: str) -> Evaluation:
    evaluation = read_evaluation(folder)
    return dataclasses.replace(evaluation, training=read_training_tables(run)) if run else evaluation


PROGRAM = Program("tfpose report", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
