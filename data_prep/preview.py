"""Draws the training input and the training targets of a network for examples of a dataset.

    tfpose preview --data=DIR --output=DIR --num=20 --config=two_stage_resnet50_coco

The content of a picture depends on the network that the config describes:

- keypoint network of a two-stage system: the augmented crop of one person, with the joints and the target heatmaps
  drawn over the crop;
- single network: one augmented frame, with a row for each person. A row shows the annotated joints of the person, the
  target heatmap of the heads of all people, and the target heatmaps of the person's joints;
- person detector: one training image with the boxes and, for a Keypoint R-CNN, the joints that the network learns.

The color of a joint name says whether the joint is on the left side of the body, on the right side, or on neither.

Without a config, tfpose draws crops as in Simple Baselines (Xiao et al. 2018), 256 pixels high and 192 pixels wide,
without augmentation.

    tfpose preview --data=DIR --html=FILE

--html writes a page about the dataset itself instead of the pictures: people by size, visibility of the joints, boxes,
and labels that look wrong, with pictures. The page is one file that needs no network.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfpose.file_names import check_output
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.messages import count_of, print_notes
from tfpose.picture_files import write_picture

if TYPE_CHECKING:
    from tfpose.data.records import RecordTable

# Without a config: crops as in Xiao et al., 2018, without augmentation.
DEFAULTS: dict[str, Any] = {
    "system": "two_stage",
    "data": {"directory": ""},
    "network": {"input_size": (256, 192)},
    "crop": {"margin_scale": 1.25},
    "target": {"sigma_cells": 2.0},
    "batch_size": 1,
    "optimization": {"learning_rate": 1e-3},
    "run": {"total_steps": 1},
}


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string(
        "data",
        None,
        "Folder of a dataset that tfpose build wrote. The --output folder of tfpose build also works if the folder "
        "contains only one dataset. Required.",
        required=True,
    )
    values.define_string("output", None, "Folder for the pictures. Required without --html.")
    values.define_string(
        "html",
        None,
        "HTML file for a page about the labels of the split: sizes, visibility, boxes, and suspicious labels, such as "
        "joints outside their box or the picture, swapped sides, people labeled twice, and tiny boxes. With --html, "
        "tfpose draws the training input only if --output is given too.",
    )
    values.define_integer(
        "num",
        20,
        "Number of pictures to draw. A picture shows one person for a two-stage system, one frame for a single "
        "network, and one image for a person detector. For --html: largest number of pictures of each kind of "
        "suspicious label, and of examples.",
        1,
    )
    values.define_string(
        "split",
        None,
        "Split of the dataset to draw. By default the training split of the config; without --config, the split train.",
    )
    define_config_flag(
        values,
        "Config of the network whose input is drawn. By default crops as in Simple Baselines are drawn.",
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Draws examples of a split, or writes a page about it."""
    del inputs
    if not (values.output or values.html):
        raise ValueError("--output must be a folder for the pictures, or --html a file for a page, got neither")
    if values.html:
        from tfpose.report.page import check_page_name

        check_page_name("html", pathlib.Path(values.html))
    if values.output:
        check_output("output", pathlib.Path(values.output))
    start_tensorflow()
    from tfpose import systems
    from tfpose.data.records import read_table

    config = values.config or systems.build_config(**DEFAULTS)
    split = values.split or config.data.train_split
    table = read_table(values.data, split)
    if values.html:
        _write_page(pathlib.Path(values.html), table, split, values.num)
    if not values.output:
        return
    pictures = systems.from_config(config).draw_inputs(config, table, values.num)
    directory = pathlib.Path(values.output)
    directory.mkdir(parents=True, exist_ok=True)
    names = set()
    for name, picture in pictures:
        write_picture(directory / f"{name}.png", picture)
        names.add(f"{name}.png")
    print(f"{len(names)} pictures of split {split}: {directory}")
    if others := sorted(path.name for path in directory.glob("*.png") if path.name not in names):
        print_notes([f"{directory}: holds {count_of(len(others), 'picture')} of an earlier run, such as {others[0]}"])


def _write_page(path: pathlib.Path, table: RecordTable, split: str, most_pictures: int) -> None:
    from data_prep.dataset_page import write_dataset_page

    path.parent.mkdir(parents=True, exist_ok=True)
    findings = write_dataset_page(path, table, split, most_pictures)
    print(f"{len(findings)} suspicious labels in split {split}: {path} ({path.stat().st_size / 1e6:.1f} MB)")


PROGRAM = Program("tfpose preview", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
