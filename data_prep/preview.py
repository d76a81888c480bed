"""Draws what a network sees of a dataset.

    python -m data_prep.preview --data DIR --output DIR --num 20 --config=configs/two_stage_resnet50_coco.py

Each picture shows one person: the augmented crop with its keypoints, and the target heatmaps over it. The config says
how crops are cut and augmented; without one they are cut as in Xiao et al., 2018, at 256x192, without augmentation.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

import cv2
import numpy as np

from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.program_flags import ProgramFlags


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string("data", None, "Folder of a dataset that data_prep.build made. Required.", required=True)
    values.define_string("output", None, "Folder for the pictures. Required.", required=True)
    values.define_integer("num", 20, "Number of people or images to draw.", 1)
    values.define_string(
        "split",
        None,
        "Split of the dataset to draw. By default the training split of the config, or train without a config.",
    )
    define_config_flag(values, "Config whose network input is drawn.")


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Draws people of a split."""
    del inputs
    from tfpose.crops import CropSettings
    from tfpose.data.augmentation import NO_AUGMENTATION, Augmentation
    from tfpose.data.person_crops import PersonCrops
    from tfpose.data.records import read_table
    from tfpose.skeletons import choose_skeleton
    from tfpose.training.two_stage import TargetSettings, build_target_function

    config = values.config
    split = values.split or (config.data.train_split if config else "train")
    table = read_table(values.data, split)
    skeleton, crop = table.skeleton, CropSettings((256, 192), margin_scale=1.25)
    augmentation, target, seed = NO_AUGMENTATION, TargetSettings(sigma_cells=2.0), 0
    if config:
        skeleton = choose_skeleton(config.skeleton, skeleton)
        crop = CropSettings(crop_size=tuple(config.network.input_size), **config.crop)
        augmentation, seed = Augmentation(**config.augmentation), config.seed
        target = TargetSettings(**config.target)
    people = PersonCrops(table, skeleton, crop, augmentation, seed)
    count = min(values.num, len(people))
    batch = people.batch(0, count, slice(0, count))
    height, width = crop.crop_size
    targets, weights = build_target_function(crop, (height // 4, width // 4), target)(batch)
    paths = write_pictures(pathlib.Path(values.output), batch, np.asarray(targets), np.asarray(weights), skeleton)
    print(f"{len(paths)} pictures of {len(people)} people in split {split}: {values.output}")


def write_pictures(
    directory: pathlib.Path, batch: dict[str, np.ndarray], targets: np.ndarray, weights: np.ndarray, skeleton
) -> list[pathlib.Path]:
    """Writes one picture per person of a batch: crop with keypoints, target heatmaps."""
    from tfpose.visualization import draw_pose, overlay_heatmaps, tile_pictures

    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for person in range(len(targets)):
        gains = batch["color_gains"][person]
        crop = np.clip(batch["crops"][person] * gains, 0, 255).round().astype(np.uint8)
        drawn = draw_pose(crop, batch["keypoints"][person], weights[person] > 0, skeleton)
        sheet = tile_pictures([drawn, overlay_heatmaps(crop, targets[person])], columns=2)
        path = directory / f"person_{batch['person'][person]:06d}.png"
        if not cv2.imwrite(str(path), sheet[..., ::-1]):
            raise OSError(f"{path}: cannot write the picture")
        paths.append(path)
    return paths


PROGRAM = Program("data_prep.preview", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
