"""Converts a dataset to TFRecord files.

    python -m data_prep.build DATASET --source=DIR --output=DIR
    python -m data_prep.build synthetic --output=DIR

DATASET is one of
  coco_keypoints  COCO, and any dataset in its layout with any skeleton
  posetrack17     PoseTrack 2017
  posetrack18     PoseTrack 2018
  posetrack21     PoseTrack21
  synthetic       videos that this program draws itself; needs no --source
The files go to OUTPUT/DATASET/VERSION in the layout of tensorflow-datasets. An interrupted run leaves no files that
look complete; the same command starts again. data_prep/DATASET/README.md says what the folder of each dataset must
contain.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pathlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn

from data_prep.annotations import count_split
from data_prep.source import Source
from data_prep.synthetic.scenes import SceneOptions
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow

DATASETS = ("coco_keypoints", "posetrack17", "posetrack18", "posetrack21", "synthetic")


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    values.define_string("source", None, "Folder of the published dataset. Required except for synthetic.")
    values.define_string("output", None, "Folder for the result, which goes to OUTPUT/DATASET/VERSION. Required.")
    values.define_bool("overwrite", False, "Replace a result that is already there. By default it is an error.")
    values.define_bool("beam", False, "Write the files in parallel with Apache Beam. Requires the extra tfpose[beam].")
    values.define_list(
        "beam_options",
        [
            *("runner=DirectRunner", "direct_running_mode=multi_processing", "direct_num_workers=0"),
            "default_sdk_harness_log_level=WARNING",
        ],
        "Options of the Beam pipeline, as NAME=VALUE; direct_num_workers=0 starts one process for each core. Only with "
        "--beam.",
    )
    values.begin_section("Flags of coco_keypoints", "left_right_pairs")
    values.define_list(
        "left_right_pairs",
        None,
        "Pairs of joints that a mirrored image swaps, as LEFT:RIGHT,LEFT:RIGHT. By default, joints whose names differ "
        "only in the words left and right.",
    )
    values.define_list(
        "sigmas",
        None,
        "Constants of the object keypoint similarity, one number for each joint. By default, those of the COCO joints "
        "with similar names.",
    )
    _define_synthetic_flags(values)


def _define_synthetic_flags(values: ProgramFlags) -> None:
    values.begin_section("Flags of synthetic", "videos")
    values.define_string(
        "videos",
        None,
        "Folder for the frames and the annotation files, in the layout of PoseTrack 2018. Finished videos in the "
        "folder are used again. By default OUTPUT/synthetic/videos.",
    )
    values.define_integer("num_train_videos", 40, "Number of videos in the split train.", 1)
    values.define_integer("num_val_videos", 10, "Number of videos in the split val.", 1)
    values.define_integer("num_test_videos", 0, "Number of videos in the split test. With 0 there is no such split.", 0)
    values.define_integer("num_frames", 15, "Number of frames in each video of the split train.", 1, 9999)
    values.define_integer(
        "num_unseen_frames",
        None,
        "Number of frames in each video of the splits val and test. By default the same as --num_frames.",
        1,
        9999,
    )
    values.define_integer("height", 270, "Height of the frames, in pixels.", 16)
    values.define_integer("width", 480, "Width of the frames, in pixels.", 16)
    values.define_integer("max_people", 5, "Largest number of labeled people in a video.", 1)
    values.define_float(
        "frames_per_second",
        10.0,
        "Frame rate of the videos, in frames per second. People move at the same speed at every rate, so a lower rate "
        "means larger motion between frames.",
        1.0,
    )
    values.define_float("mean_props", 1.0, "Mean number of objects in a scene that can hide people.", 0.0)
    values.define_list(
        "person_sizes",
        ["0.23", "0.8"],
        "Smallest and largest height of a person, as shares of the height of the frame.",
    )
    values.define_integer(
        "min_joints",
        5,
        "Smallest number of annotated joints of a labeled person. People with fewer are covered by an ignore region.",
        1,
        15,
    )
    values.define_integer(
        "num_processes", None, "Number of processes that draw videos at the same time. By default one per core.", 1
    )
    values.define_integer("seed", 0, "Seed of the random scenes. Equal seeds give equal videos.", 0, 200_000)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Reads, checks, writes and counts."""
    dataset = _dataset_argument(inputs)
    with _sigterm_as_interruption():
        _build(dataset, values)


@contextlib.contextmanager
def _sigterm_as_interruption() -> Iterator[None]:
    """Within, a stopped program tidies up as an interrupted one does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _dataset_argument(inputs: Sequence[str]) -> str:
    if len(inputs) != 1 or inputs[0] not in DATASETS:
        raise ValueError(
            f"DATASET must be one of {', '.join(DATASETS)}, got {' '.join(inputs) or 'nothing'}; see --help"
        )
    return inputs[0]


def _build(dataset: str, values: ProgramFlags) -> None:
    from data_prep.writing import write_dataset

    output = _required(values, "output", "a folder to write to")
    beam_options = values.beam_options if values.beam else None
    source = _read_source(dataset, output, values)
    _print_source(source)
    start_tensorflow()
    builder = importlib.import_module(f"data_prep.{dataset}.builder").Builder
    directory = write_dataset(builder, source, output, values.overwrite, beam_options)
    print(count_table({name: count_split(split) for name, split in source.splits.items()}))
    print(directory)


def _required(values: ProgramFlags, name: str, meaning: str) -> pathlib.Path:
    text = values.get_flag_value(name, "")
    if not text:
        raise ValueError(f"--{name} must be {meaning}, got nothing")
    return pathlib.Path(text).expanduser()


def _read_source(dataset: str, output: pathlib.Path, values: ProgramFlags) -> Source:
    read_source = importlib.import_module(f"data_prep.{dataset}.builder").read_source
    if dataset == "synthetic":
        unseen = values.num_unseen_frames or values.num_frames
        num_videos = {"train": values.num_train_videos, "val": values.num_val_videos, "test": values.num_test_videos}
        return read_source(
            pathlib.Path(values.videos or output / dataset / "videos").expanduser(),
            num_videos={split: count for split, count in num_videos.items() if count},
            num_frames={"train": values.num_frames, "val": unseen, "test": unseen},
            image_size=(values.height, values.width),
            max_people=values.max_people,
            options=_scene_options(values),
            seed=values.seed,
            num_processes=values.num_processes or os.cpu_count() or 1,
        )
    folder = _required(values, "source", "the folder of the published dataset")
    if not folder.is_dir():
        raise FileNotFoundError(f"--source must be a folder, got no such folder: {folder}")
    if dataset == "coco_keypoints":
        return read_source(folder, _left_right_pairs(values), _sigmas(values))
    return read_source(folder)


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


def _left_right_pairs(values: ProgramFlags) -> list[list[str]] | None:
    if values.left_right_pairs is None:
        return None
    pairs = [pair.split(":") for pair in values.left_right_pairs]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"--left_right_pairs must be left:right,left:right, got {','.join(values.left_right_pairs)}")
    return pairs


def _sigmas(values: ProgramFlags) -> list[float] | None:
    try:
        return None if values.sigmas is None else [float(value) for value in values.sigmas]
    except ValueError as error:
        raise ValueError(f"--sigmas must be numbers, got {','.join(values.sigmas)}") from error


def _print_source(source: Source) -> None:
    """Says what the skeleton was understood to be, since a wrong mirror order spoils training in silence."""
    skeleton = source.skeleton
    pairs = ", ".join(f"{left}/{right}" for left, right in skeleton.left_right_pairs)
    print(f"skeleton {skeleton.name}: {skeleton.num_joints} joints: {', '.join(skeleton.joints)}")
    print(f"swapped by a mirror: {pairs or 'none; if that is wrong, give --left_right_pairs'}")
    for name, split in source.splits.items():
        for note in split.notes:
            print(f"{name}: {note}")


def count_table(counts: Mapping[str, Mapping[str, int]]) -> str:
    """Counts per split as lines of text, one column per split."""
    width = max(len(name) for name in next(iter(counts.values())))
    lines = [" " * width + "".join(f"{split:>12}" for split in counts)]
    for name in next(iter(counts.values())):
        numbers = "".join(f"{split[name]:>12,}" for split in counts.values())
        lines.append(f"{name:<{width}}{numbers}")
    return "\n".join(lines)


PROGRAM = Program(
    "data_prep.build",
    __doc__,
    define_flags,
    run,
    takes_inputs=True,
    interruption="interrupted; the dataset was not written",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
