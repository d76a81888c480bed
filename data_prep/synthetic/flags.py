"""The flags of `tfpose build` for synthetic videos."""

from __future__ import annotations

import os
import pathlib

from data_prep.source import Source
from data_prep.synthetic.posetrack_files import VideoSettings
from data_prep.synthetic.scenes import SceneOptions
from tfpose.flags.program_flags import ProgramFlags


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of synthetic."""
    values.begin_section("Flags of synthetic", "videos")
    values.define_string(
        "videos",
        None,
        "Folder for the drawn frames and the annotation files, in the layout of PoseTrack 2018. tfpose keeps videos in "
        "this folder that were drawn with the same flags. By default OUTPUT/synthetic/videos.",
    )
    values.define_integer("num_train_videos", 40, "Number of videos in the split train.", 1)
    values.define_integer("num_val_videos", 10, "Number of videos in the split val.", 1)
    values.define_integer("num_test_videos", 0, "Number of videos in the split test. 0 writes no split test.", 0)
    values.define_integer("num_frames", 15, "Number of frames in each video of the split train.", 1, 9999)
    values.define_integer(
        "num_unseen_frames",
        None,
        "Number of frames in each video of the splits val and test, which training does not see. By default "
        "the value of --num_frames.",
        1,
        9999,
    )
    values.define_integer("height", 270, "Height of the frames in pixels.", 16)
    values.define_integer("width", 480, "Width of the frames in pixels.", 16)
    values.define_integer("max_people", 5, "Largest number of annotated people in a video.", 1)
    values.define_float(
        "frames_per_second",
        10.0,
        "Frame rate of the videos, in frames per second. The speed of the people does not depend on the frame rate, so "
        "a lower rate means more motion between two frames.",
        1.0,
    )
    values.define_float("mean_props", 1.0, "Mean number of objects in a video that can hide people.", 0.0)
    values.define_list(
        "person_sizes",
        ["0.23", "0.8"],
        "Smallest and largest height of a person, as shares of the height of the frame, separated by a comma.",
    )
    values.define_integer(
        "min_joints",
        5,
        "Number of annotated joints that a person needs. A person with fewer joints is left out of the annotations and "
        "is covered by an ignore region, which marks an area without annotations.",
        1,
        15,
    )
    values.define_integer(
        "num_processes",
        None,
        "Number of processes that draw videos at the same time. By default one per processor core.",
        1,
    )
    values.define_integer("seed", 0, "Seed of the random scenes. Equal seeds give equal videos.", 0, 200_000)


def read_source(folder: pathlib.Path, values: ProgramFlags) -> Source:
    """Draws the videos that the flags ask for, unless they are there already, and reads them.

    Args:
        folder: Folder that contains the default folder of the videos.
        values: Flags of the program.

    Raises:
        ValueError: A flag is not valid.
    """
    settings = VideoSettings((values.height, values.width), values.max_people, _scene_options(values))
    # Imports tensorflow-datasets, which takes seconds.
    from data_prep.synthetic import builder

    num_videos = {"train": values.num_train_videos, "val": values.num_val_videos, "test": values.num_test_videos}
    num_unseen_frames = values.num_unseen_frames or values.num_frames
    return builder.read_source(
        pathlib.Path(values.videos or folder / "videos"),
        num_videos={split: count for split, count in num_videos.items() if count},
        num_frames={"train": values.num_frames, "val": num_unseen_frames, "test": num_unseen_frames},
        settings=settings,
        seed=values.seed,
        num_processes=values.num_processes or os.cpu_count() or 1,
        # The records of the dataset would no longer be those of its videos.
        replaces=values.overwrite or not (folder / str(builder.Builder.VERSION)).exists(),
    )


def _scene_options(values: ProgramFlags) -> SceneOptions:
    try:
        smallest, largest = map(float, values.person_sizes)
    except ValueError as error:
        raise ValueError(f"--person_sizes must be two numbers, got {','.join(values.person_sizes)}") from error
    return SceneOptions(
        frames_per_second=values.frames_per_second,
        mean_props=values.mean_props,
        person_sizes=(smallest, largest),
        min_joints=values.min_joints,
    )
