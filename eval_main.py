r"""Predicts the poses of a split with a trained network, tracks the people of its videos, and scores the result.

    python eval_main.py --config=two_stage_resnet50_coco --workdir=runs/resnet50_coco --output_dir=results
    python eval_main.py --config=two_stage_resnet50_coco --workdir=runs/resnet50_coco --output_dir=results \
        --boxes=detector --detector=runs/keypoint_rcnn
    python eval_main.py --config=single_network_posetrack17 --workdir=runs/single_network --output_dir=results \
        --split=test --tuned=tuned/tuning.json

Programs of their own work on files of poses, without a network:

    python -m tfpose.score    scores files of poses against annotations
    python -m tfpose.track    tracks files of poses
    python -m tfpose.tune     searches the best settings of the tracker, and of the single network

eval_main.py also takes their flags and hands over to them: --ground_truth with --predictions scores, --track with
--predictions tracks, --tune searches.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags

from tfpose import score, track, tune
from tfpose.flags.box_flags import BOX_FLAGS, box_settings, define_box_flags
from tfpose.flags.combinations import forbid_flags, require_flags
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import config_source, define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.scoring_flags import define_scoring_flags, scoring_settings
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import TRACKER_FLAGS, define_tracker_flags, tracker_from_flags

if TYPE_CHECKING:
    from tfpose.data.records import RecordTable
    from tfpose.evaluation.report_splits import TrainingRun
    from tfpose.evaluation.single_network import TrainedNetwork
    from tfpose.evaluation.splits import SplitPrediction
    from tfpose.tracking.choice import TrackerChoice


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_config_flag(values, "Config that the network was trained with. Required.")
    values.define_string("workdir", None, "Work folder of the training run whose weights are used. Required.")
    values.define_string("output_dir", None, "Folder for the predictions, metrics.json and the report. Required.")
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from its last step.",
    )
    values.define_string(
        "split", None, "Split of the dataset to predict. By default the validation split of the config."
    )
    values.define_enum("format", "2018", ["2017", "2018"], "Year of the PoseTrack format of the predicted files.")
    values.define_bool(
        "infer_head_joints",
        False,
        "Add the PoseTrack joints head_bottom and head_top, estimated from the other joints, to the poses of a network "
        "with the joints of COCO.",
    )
    values.define_bool(
        "tracking", True, "Give the people of videos identities. Without identities only AP is computed."
    )
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose.tune wrote; its best settings are used. Cannot be combined with --tracker flags.",
    )
    values.define_integer("num_pictures", 0, "Number of images to draw the poses over, in OUTPUT_DIR/pictures.", 0)
    values.define_integer("num_videos", 0, "Number of videos to draw the tracked poses over, in OUTPUT_DIR/videos.", 0)
    values.define_float(
        "video_rate",
        10.0,
        "Frame rate, in frames per second, of the videos that --num_videos writes and of the video in the report.",
        0.1,
    )
    values.begin_section("Flags of the boxes around people (two-stage system)", "boxes")
    values.define_string(
        "boxes",
        "ground_truth",
        "Source of the boxes: ground_truth takes the annotated boxes; detector runs --detector and also writes its "
        "boxes to OUTPUT_DIR/detections.json; anything else is a file of COCO results or of PoseTrack detections.",
    )
    define_box_flags(values)
    define_scoring_flags(values, "Flags of the metrics and the report")
    define_tracker_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Predicts a split with a network, tracks its videos, scores."""
    del inputs
    if values.config is None:
        raise ValueError(
            "nothing to do: give --config and --workdir to predict, --ground_truth and --predictions to score files, "
            "--track and --predictions to track, or --tune with --config and --workdir or with --predictions and "
            "--ground_truth"
        )
    require_flags(values, ("workdir", "output_dir"), "with --config")
    if values.tuned:
        forbid_flags(values, TRACKER_FLAGS, "--tuned")
    if choose_system(values) == "keypoint_rcnn":
        detect(values)
        return
    settings = scoring_settings(values)
    predict_split = {"two_stage": predict_two_stage, "single_network": predict_single_network}[choose_system(values)]
    tracker, inference = choose_settings(values)
    # Here and not above: TensorFlow takes seconds to import, wrong flags must not wait for it.
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.splits import SplitOutput, evaluate_split

    split = values.split or values.config.data.validation_split
    table = read_table(values.config.data.directory, split)
    prediction = predict_split(table, inference, values)
    output = SplitOutput(
        pathlib.Path(values.output_dir),
        values.format,
        values.infer_head_joints,
        values.num_pictures,
        values.num_videos,
        values.video_rate,
    )
    evaluate_split(
        table, split, prediction, output, settings, tracker if values.tracking else None, training_run(values)
    )


def training_run(values: ProgramFlags) -> TrainingRun:
    """What the evaluated weights come from."""
    from tfpose.evaluation.report_splits import TrainingRun

    return TrainingRun(pathlib.Path(values.workdir), *config_source(values))


def choose_system(values: ProgramFlags) -> str:
    """The system of the config."""
    systems = ("two_stage", "single_network", "keypoint_rcnn")
    name = values.config.get("system", "two_stage")
    if name not in systems:
        raise ValueError(f"config.system must be one of {', '.join(systems)}, got {name!r}")
    if name == "single_network":
        forbid_flags(values, ("boxes", *BOX_FLAGS), "a config of the single network, which finds people without boxes")
    return name


def choose_settings(values: ProgramFlags) -> tuple[TrackerChoice, dict[str, Any]]:
    """The tracker and the settings of inference: those of the flags and the config, or the tuned ones."""
    inference = values.config.inference.to_dict()
    if not values.tuned:
        return tracker_from_flags(values), inference
    from tfpose.evaluation.tuned_settings import read_tuned_settings

    tuned = read_tuned_settings(values.tuned)
    if tuned.inference and choose_system(values) != "single_network":
        raise ValueError(
            f"--tuned={tuned.path}: requires a config of the single network, got one of the two-stage system"
        )
    for name in tuned.inference:
        flag = f"config.inference.{name}"
        if flag in values and values[flag].present:
            raise ValueError(f"--{flag} cannot be combined with --tuned={tuned.path}")
    return tuned.tracker, inference | tuned.inference


def detect(values: ProgramFlags) -> None:
    """Finds people with the detector alone and scores their boxes."""
    taken = ("config", "workdir", "output_dir", "weights", "split", "verbosity", "v")
    others = [name for name in values if name not in taken and not name.startswith("config.")]
    forbid_flags(values, others, "a config of the person detector")
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.detection import evaluate_detector
    from tfpose.skeletons import choose_skeleton

    config = values.config
    split = values.split or config.data.validation_split
    table = read_table(config.data.directory, split)
    skeleton = choose_skeleton(config.skeleton, table.skeleton)
    folders = (pathlib.Path(values.workdir), pathlib.Path(values.output_dir))
    evaluate_detector(table, split, skeleton, folders[0], values.weights, folders[1], **config.evaluation.to_dict())


def predict_two_stage(table: RecordTable, inference: dict[str, Any], values: ProgramFlags) -> SplitPrediction:
    """What the two-stage system finds."""
    from tfpose.evaluation.two_stage import predict_split

    return predict_split(
        table,
        pathlib.Path(values.workdir),
        values.weights,
        box_settings(values),
        pathlib.Path(values.output_dir),
        inference=inference,
        selection=values.config.selection.to_dict(),
        **values.config.evaluation.to_dict(),
    )


def predict_single_network(table: RecordTable, inference: dict[str, Any], values: ProgramFlags) -> SplitPrediction:
    """What the single network finds."""
    from tfpose.evaluation.single_network import predict_split

    return predict_split(table, load_single_network(inference, values), **values.config.evaluation.to_dict())


def load_single_network(inference: dict[str, Any], values: ProgramFlags) -> TrainedNetwork:
    """The trained network of the work folder."""
    from tfpose.evaluation.single_network import load_trained_network

    network = values.config.network.to_dict()
    return load_trained_network(pathlib.Path(values.workdir), values.weights, network, inference)


PROGRAM = Program("eval_main.py", __doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program, or hands over to the program for files of poses; returns its exit code."""
    return run_program(*choose_program(sys.argv[1:] if arguments is None else arguments))


def choose_program(arguments: Sequence[str]) -> tuple[Program, list[str]]:
    """Returns the program that the arguments are for, and its arguments."""
    words = [str(argument) for argument in arguments]
    with contextlib.suppress(flags.Error):
        words = flags.FlagValues().read_flags_from_files(words, force_gnu=False)
    given = {match[1] for word in words if (match := re.match(r"--?(\w+)", word))}
    if "tune" in given:
        return tune.PROGRAM, words
    if "track" in given:
        return track.PROGRAM, [word for word in words if not re.fullmatch(r"--?track(=true)?", word)]
    if "config" not in given and given & {"ground_truth", "predictions"}:
        return score.PROGRAM, words
    return PROGRAM, words


if __name__ == "__main__":
    sys.exit(main())
