"""Converts a published dataset to TFRecord files.

    python -m data_prep.build DATASET --source DIR --output DIR

DATASET is one of
  coco_keypoints  COCO, and any dataset in its layout with any skeleton
  posetrack17     PoseTrack 2017
  posetrack18     PoseTrack 2018
  posetrack21     PoseTrack21
  synthetic       videos that this program draws itself; needs no --source
The records go to OUTPUT/DATASET/VERSION in the layout of tensorflow-datasets. An interrupted run leaves nothing that
looks whole; the same command starts it again. What each dataset's folder must contain is in
data_prep/DATASET/README.md.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from absl import app, flags, logging

from data_prep.annotations import count_split
from data_prep.source import Source
from data_prep.synthetic.scenes import SceneOptions
from tfpose.flags.command_line import describe_error
from tfpose.flags.startup_messages import start_tensorflow

DATASETS = ("coco_keypoints", "posetrack17", "posetrack18", "posetrack21", "synthetic")

_SOURCE = flags.DEFINE_string("source", None, "Folder of the published dataset.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write DATASET/VERSION into.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace a dataset that is already there.")
_LEFT_RIGHT_PAIRS = flags.DEFINE_list(
    "left_right_pairs",
    None,
    "coco_keypoints: joints that a mirror swaps, as left:right,left:right. Default: joints whose names differ only in "
    "the words left and right.",
)
_SIGMAS = flags.DEFINE_list(
    "sigmas",
    None,
    "coco_keypoints: constants of the object keypoint similarity, one per joint. Default: those of the COCO joints "
    "with similar names.",
)
_BEAM = flags.DEFINE_bool("beam", False, "Write shards in parallel with Apache Beam; needs 'tfpose[beam]'.")
_BEAM_OPTIONS = flags.DEFINE_list(
    "beam_options",
    ["runner=DirectRunner", "direct_running_mode=multi_processing", "direct_num_workers=0"]
    + ["default_sdk_harness_log_level=WARNING"],
    "Options of the Beam pipeline as name=value; 0 workers are one per processor core.",
)
_VIDEOS = flags.DEFINE_string(
    "videos",
    None,
    "synthetic: folder for frames and annotation files, in the layout of PoseTrack 2018; finished videos in it are "
    "used again. Default: OUTPUT/synthetic/videos.",
)
_NUM_TRAIN_VIDEOS = flags.DEFINE_integer("num_train_videos", 40, "synthetic: training videos.", 1)
_NUM_VAL_VIDEOS = flags.DEFINE_integer("num_val_videos", 10, "synthetic: validation videos.", 1)
_NUM_TEST_VIDEOS = flags.DEFINE_integer("num_test_videos", 0, "synthetic: videos of a third split, 'test'.", 0)
_NUM_FRAMES = flags.DEFINE_integer("num_frames", 15, "synthetic: frames of each video.", 1, 9999)
_NUM_UNSEEN_FRAMES = flags.DEFINE_integer(
    "num_unseen_frames",
    None,
    "synthetic: frames of the videos not for training; default: those of --num_frames.",
    1,
    9999,
)
_HEIGHT = flags.DEFINE_integer("height", 270, "synthetic: height of the frames in pixels.", 16)
_WIDTH = flags.DEFINE_integer("width", 480, "synthetic: width of the frames in pixels.", 16)
_MAX_PEOPLE = flags.DEFINE_integer("max_people", 5, "synthetic: most labeled people in a video.", 1)
_FRAMES_PER_SECOND = flags.DEFINE_float(
    "frames_per_second", 10.0, "synthetic: fewer spread the frames over more of the motion.", 1.0
)
_MEAN_PROPS = flags.DEFINE_float("mean_props", 1.0, "synthetic: mean number of objects to pass behind.", 0.0)
_PERSON_SIZES = flags.DEFINE_list(
    "person_sizes", ["0.23", "0.8"], "synthetic: smallest and largest person, as fractions of the frame's height."
)
_MIN_JOINTS = flags.DEFINE_integer(
    "min_joints", 5, "synthetic: people with fewer annotated joints lie under an ignore region instead.", 1, 15
)
_NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", None, "synthetic: processes that draw at once; default: one per core.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "synthetic: equal seeds give equal videos.", 0, 200_000)


def main(argv: Sequence[str]) -> int:
    """Reads, checks, writes and counts; returns the exit code."""
    # A stopped program should tidy up as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    # Nothing is computed here; otherwise TensorFlow prints a page about it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.set_verbosity(logging.WARNING)
    try:
        _build(_dataset_argument(argv))
    except KeyboardInterrupt:
        print("data_prep.build: interrupted; the dataset was not written", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"data_prep.build: {describe_error(error)}", file=sys.stderr)
        return 1
    return 0


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _dataset_argument(argv: Sequence[str]) -> str:
    if len(argv) != 2 or argv[1] not in DATASETS:
        raise ValueError(
            f"DATASET should be one of {', '.join(DATASETS)}, found {' '.join(argv[1:]) or 'nothing'}; see --help"
        )
    return argv[1]


def _build(dataset: str) -> None:
    from data_prep.writing import write_dataset

    output = _required(_OUTPUT, "a folder to write to")
    beam_options = _BEAM_OPTIONS.value if _BEAM.value else None
    source = _read_source(dataset, output)
    _print_source(source)
    start_tensorflow()
    builder = importlib.import_module(f"data_prep.{dataset}.builder").Builder
    directory = write_dataset(builder, source, output, _OVERWRITE.value, beam_options)
    print(count_table({name: count_split(split) for name, split in source.splits.items()}))
    print(directory)


def _required(flag: flags.FlagHolder, meaning: str) -> pathlib.Path:
    if not flag.value:
        raise ValueError(f"--{flag.name} should be {meaning}, found nothing")
    return pathlib.Path(flag.value).expanduser()


def _read_source(dataset: str, output: pathlib.Path) -> Source:
    read_source = importlib.import_module(f"data_prep.{dataset}.builder").read_source
    if dataset == "synthetic":
        unseen = _NUM_UNSEEN_FRAMES.value or _NUM_FRAMES.value
        num_videos = {"train": _NUM_TRAIN_VIDEOS.value, "val": _NUM_VAL_VIDEOS.value, "test": _NUM_TEST_VIDEOS.value}
        return read_source(
            pathlib.Path(_VIDEOS.value or output / dataset / "videos").expanduser(),
            num_videos={split: count for split, count in num_videos.items() if count},
            num_frames={"train": _NUM_FRAMES.value, "val": unseen, "test": unseen},
            image_size=(_HEIGHT.value, _WIDTH.value),
            max_people=_MAX_PEOPLE.value,
            options=_scene_options(),
            seed=_SEED.value,
            num_processes=_NUM_PROCESSES.value or os.cpu_count() or 1,
        )
    folder = _required(_SOURCE, "the folder of the published dataset")
    if not folder.is_dir():
        raise FileNotFoundError(f"--source should be a folder, found no such folder: {folder}")
    if dataset == "coco_keypoints":
        return read_source(folder, _left_right_pairs(), _sigmas())
    return read_source(folder)


def _scene_options() -> SceneOptions:
    try:
        smallest, largest = map(float, _PERSON_SIZES.value)
    except ValueError as error:
        raise ValueError(f"--person_sizes should be two numbers, found {','.join(_PERSON_SIZES.value)}") from error
    return SceneOptions(
        frames_per_second=_FRAMES_PER_SECOND.value,
        mean_props=_MEAN_PROPS.value,
        person_sizes=(smallest, largest),
        min_joints=_MIN_JOINTS.value,
    )


def _left_right_pairs() -> list[list[str]] | None:
    if _LEFT_RIGHT_PAIRS.value is None:
        return None
    pairs = [pair.split(":") for pair in _LEFT_RIGHT_PAIRS.value]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"--left_right_pairs should be left:right,left:right, found {','.join(_LEFT_RIGHT_PAIRS.value)}"
        )
    return pairs


def _sigmas() -> list[float] | None:
    try:
        return None if _SIGMAS.value is None else [float(value) for value in _SIGMAS.value]
    except ValueError as error:
        raise ValueError(f"--sigmas should be numbers, found {','.join(_SIGMAS.value)}") from error


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


def run() -> None:
    """Entry point."""
    app.run(main)


if __name__ == "__main__":
    run()
