"""Predicts the poses of a split and scores them; scores, tracks and tunes on files of poses without any network.

python eval_main.py --config=configs/two_stage_resnet50_coco.py --workdir=runs/resnet50_coco --output_dir=results
python eval_main.py --config=configs/two_stage_resnet50_coco.py --workdir=runs/resnet50_coco --output_dir=results \
    --boxes=detector --detector=runs/keypoint_rcnn
python eval_main.py --ground_truth=annotations/val --predictions=results/predictions --output_dir=scores
python eval_main.py --track --predictions=poses --output_dir=tracked --tracker.settings=offline
python eval_main.py --tune=max_age_frames=5,10,20 --predictions=poses --ground_truth=annotations/val --output_dir=tuned
python eval_main.py --tune=head_threshold=0.1,0.2,0.3 --config=configs/single_network_posetrack17.py \
    --workdir=runs/single_network --output_dir=tuned
python eval_main.py --tuned=tuned/tuning.json --config=configs/single_network_posetrack17.py \
    --workdir=runs/single_network --split=test --output_dir=results
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfpose.evaluation.flag_modes import OPTIONAL, choose_mode
from tfpose.flags.box_flags import BOX_FLAGS, box_settings, define_box_flags
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import config_source, define_config_flag
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.search_flags import parse_search_choices, parse_tracker_choices
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import define_tracker_flags, tracker_from_flags
from tfpose.metrics.catalog import DEFAULT_METRICS, DEFAULT_OBJECTIVE, describe_metrics, objectives

if TYPE_CHECKING:
    from tfpose.data.records import RecordTable
    from tfpose.evaluation.report_splits import TrainingRun
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.evaluation.single_network import TrainedNetwork
    from tfpose.evaluation.splits import SplitPrediction
    from tfpose.tracking.choice import TrackerChoice


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_config_flag(values, "The experiment, to predict with its network.")
    values.define_string("workdir", None, "Folder of the training run whose weights are evaluated.")
    values.define_string("output_dir", None, "Folder for the results: predictions, metrics.json, tuning.json, pages.")
    values.define_enum("weights", "best", ["best", "last"], "Which weights of the run.")
    values.define_string("split", None, "Split of the data; default: the config's validation split.")
    values.define_string(
        "boxes",
        "ground_truth",
        "Where people are: 'ground_truth', a file of COCO results or PoseTrack detections, or 'detector', whose boxes "
        "are also left in OUTPUT_DIR/detections.json.",
    )
    define_box_flags(values)
    values.define_bool(
        "infer_head_joints", False, "PoseTrack output of a network with COCO's joints: guess head_bottom and head_top."
    )
    values.define_bool("tracking", True, "Give the people of videos identities; without, only AP can be told.")
    values.define_integer("num_pictures", 0, "How many images to draw the poses over.", lowest=0)
    values.define_integer("num_videos", 0, "How many videos to draw the poses and identities over.", lowest=0)
    values.define_float("video_rate", 10.0, "Frames per second of these.", lowest=0.1)
    values.define_enum("format", "2018", ["2017", "2018"], "Of PoseTrack files that are written.")
    values.define_string("ground_truth", None, "Folder of PoseTrack annotations, one *.json or *.json.gz per sequence.")
    values.define_string("predictions", None, "Folder of PoseTrack predictions of the same names.")
    values.define_string("compare", None, "A second folder of predictions: by how much it is better, and at what.")
    values.define_list(
        "metrics", list(DEFAULT_METRICS), f"Metrics to compute, separated by commas: {describe_metrics()}."
    )
    values.define_bool("per_sequence", False, "Figures of each sequence alone as well.")
    values.define_bool("clean_figures", False, "Beside the official figures those without the official tools' slips.")
    values.define_list(
        "table", ["text"], "How tables are printed: text, latex, markdown, csv; several at once if you like."
    )
    values.define_bool(
        "report",
        False,
        "Write report.html: curves, bars, timelines of tracks, best and worst frames, a video; docs/report.md.",
    )
    values.define_string(
        "images",
        None,
        "Of files of poses: folder that the names of pictures in the ground truth are below of, for --report.",
    )
    values.define_integer("num_processes", None, "Default: as many as there are cores.", lowest=1)
    values.define_bool(
        "track", False, "Give the people of the predictions new identities, and score them if annotated."
    )
    values.define_texts(
        "tune",
        "Setting and values to try, such as max_age_frames=5,10,20: of the tracker on --predictions, of the tracker "
        "and of the single network's thresholds with a --config.",
    )
    values.define_enum(
        "tune_method",
        "grid",
        ["grid", "coordinates"],
        "With a --config: every combination, or one setting at a time until nothing gets better.",
    )
    values.define_string("tuned", None, "A tuning.json that --tune wrote, whose best settings are used.")
    values.define_enum("tune_objective", DEFAULT_OBJECTIVE, list(objectives()), "Metric that --tune optimizes.")
    define_tracker_flags(values)


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Does what the flags ask for."""
    del inputs
    mode = choose_mode(values)
    {"tune": tune, "tune and --config": tune_network, "track": track, "config": predict}.get(mode, score)(values)


def scoring_settings(values: ProgramFlags) -> ScoringSettings:
    """What to compute and to show."""
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.metrics.posetrack import PoseTrackOptions

    try:
        options = PoseTrackOptions(values.metrics, values.clean_figures)
        settings = ScoringSettings(options, values.per_sequence, values.table, values.report, values.num_processes)
    except ValueError as error:
        raise ValueError(f"--{error}") from error
    images = pathlib.Path(values.images) if values.images else None
    return dataclasses.replace(settings, images=images, frames_per_second=values.video_rate)


# Each mode imports what it needs: TensorFlow takes seconds, and scoring files is done in less than one.
def score(values: ProgramFlags) -> None:
    """Scores files."""
    from tfpose.evaluation.scoring import score_folders

    folders = (pathlib.Path(path) for path in (values.ground_truth, values.predictions, values.output_dir))
    compared = pathlib.Path(values.compare) if values.compare else None
    score_folders(*folders, scoring_settings(values), compared)


def track(values: ProgramFlags) -> None:
    """Tracks files, and scores the result where there is a ground truth."""
    from tfpose.evaluation.retracking import PREDICTIONS_FOLDER, track_folder
    from tfpose.evaluation.scoring import score_folders
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.metrics.posetrack import pair_files

    tracker, predictions, output_dir = (
        tracker_from_flags(values) if not values.tuned else read_tuned_settings(values.tuned).tracker,
        pathlib.Path(values.predictions),
        pathlib.Path(values.output_dir),
    )
    settings = scoring_settings(values)
    if values.ground_truth:
        pair_files(values.ground_truth, predictions)
    tracked = output_dir / PREDICTIONS_FOLDER
    print(track_folder(predictions, tracked, tracker, values.format, values.num_processes))
    print(f"written: {tracked}")
    if values.ground_truth:
        score_folders(pathlib.Path(values.ground_truth), tracked, output_dir, settings, tracker=tracker.to_dict())


def tune(values: ProgramFlags) -> None:
    """Searches a grid of tracker settings."""
    from tfpose.evaluation.tracker_search import tune_tracker

    base = tracker_from_flags(values)
    choices = parse_tracker_choices(values.tune, base)
    folders = (pathlib.Path(path) for path in (values.ground_truth, values.predictions, values.output_dir))
    tune_tracker(*folders, choices, base, values.tune_objective, values.num_processes)


def tune_network(values: ProgramFlags) -> None:
    """Runs the single network over a split, then searches a grid of its thresholds and tracker settings."""
    tracker, config = tracker_from_flags(values), values.config
    if choose_system(values) != "single_network":
        raise ValueError("--tune with --config searches the thresholds of the single network, got a two-stage config")
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.single_network import tune_split
    from tfpose.evaluation.single_network_search import SearchSystem

    split = values.split or config.data.validation_split
    trained = load_single_network(config.inference.to_dict(), values)
    base = SearchSystem(trained.system.skeleton, trained.system.inference, tracker)
    tune_split(
        read_table(config.data.directory, split),
        split,
        trained,
        config.evaluation.batch_size,
        base,
        parse_search_choices(values.tune, base),
        values.tune_objective,
        pathlib.Path(values.output_dir),
        values.tune_method,
        values.num_processes,
    )


def predict(values: ProgramFlags) -> None:
    """Predicts a split with a network, tracks its videos, scores."""
    if choose_system(values) == "keypoint_rcnn":
        detect(values)
        return
    settings = scoring_settings(values)
    predict_split = {"two_stage": predict_two_stage, "single_network": predict_single_network}[choose_system(values)]
    tracker, inference = choose_settings(values)
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
    surplus = [flag for flag in ("boxes", *BOX_FLAGS) if values[flag].present]
    if name == "single_network" and surplus:
        raise ValueError(
            f"--{surplus[0]} has no meaning with a config of the single network, which finds people by itself"
        )
    return name


def choose_settings(values: ProgramFlags) -> tuple[TrackerChoice, dict[str, Any]]:
    """The tracker and the settings of inference: those of the flags and the config, or the tuned ones."""
    inference = values.config.inference.to_dict()
    if not values.tuned:
        return tracker_from_flags(values), inference
    from tfpose.evaluation.tuned_settings import read_tuned_settings

    tuned = read_tuned_settings(values.tuned)
    if tuned.inference and choose_system(values) != "single_network":
        raise ValueError(f"--tuned={tuned.path}: is of the single network, got a config of the two-stage system")
    for name in tuned.inference:
        flag = f"config.inference.{name}"
        if flag in values and values[flag].present:
            raise ValueError(f"--{flag} has no meaning with --tuned={tuned.path}; leave one of them out")
    return tuned.tracker, inference | tuned.inference


def detect(values: ProgramFlags) -> None:
    """Finds people with the detector alone and scores their boxes."""
    surplus = [name for name in OPTIONAL["config"] if name not in ("weights", "split") and values[name].present]
    if surplus:
        raise ValueError(f"--{surplus[0]} has no meaning with a config of the person detector alone")
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


PROGRAM = Program(__doc__, define_flags, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
