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
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from absl import flags
from ml_collections import config_flags

from tfpose.evaluation.flag_modes import OPTIONAL, choose_mode
from tfpose.flags.box_flags import BOX_FLAGS, box_settings, define_box_flags
from tfpose.flags.command_line import run_program
from tfpose.flags.search_flags import parse_search_choices, parse_tracker_choices
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import define_tracker_flags, tracker_from_flags

if TYPE_CHECKING:
    from tfpose.data.records import RecordTable
    from tfpose.evaluation.report_splits import TrainingRun
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.evaluation.single_network import TrainedNetwork
    from tfpose.evaluation.splits import SplitPrediction
    from tfpose.tracking.choice import TrackerChoice

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "The experiment, to predict with its network; see configs/.", lock_config=True
)
flags.DEFINE_string("workdir", None, "Folder of the training run whose weights are evaluated.")
flags.DEFINE_string("output_dir", None, "Folder for the results: predictions, metrics.json, tuning.json, pages.")
flags.DEFINE_enum("weights", "best", ["best", "last"], "Which weights of the run.")
flags.DEFINE_string("split", None, "Split of the data; default: the config's validation split.")
flags.DEFINE_string(
    "boxes",
    "ground_truth",
    "Where people are: 'ground_truth', a file of COCO results or PoseTrack detections, or 'detector', whose boxes are "
    "also left in OUTPUT_DIR/detections.json.",
)
define_box_flags()
flags.DEFINE_bool(
    "infer_head_joints", False, "PoseTrack output of a network with COCO's joints: guess head_bottom and head_top."
)
flags.DEFINE_bool("tracking", True, "Give the people of videos identities; without, only AP can be told.")
flags.DEFINE_integer("num_pictures", 0, "How many images to draw the poses over.", lower_bound=0)
flags.DEFINE_integer("num_videos", 0, "How many videos to draw the poses and identities over.", lower_bound=0)
flags.DEFINE_float("video_rate", 10.0, "Frames per second of these.", lower_bound=0.1)
flags.DEFINE_enum("format", "2018", ["2017", "2018"], "Of PoseTrack files that are written.")
flags.DEFINE_string("ground_truth", None, "Folder of PoseTrack annotations, one *.json or *.json.gz per sequence.")
flags.DEFINE_string("predictions", None, "Folder of PoseTrack predictions of the same names.")
flags.DEFINE_string("compare", None, "A second folder of predictions: by how much it is better, and at what.")
flags.DEFINE_list(
    "metrics", ["ap", "mot"], "What to compute: ap, mot (MOTA and the like), hota (and PoseTrack21's mAP)."
)
flags.DEFINE_bool("per_sequence", False, "Figures of each sequence alone as well.")
flags.DEFINE_bool("clean_figures", False, "Beside the official figures those without the official tools' slips.")
flags.DEFINE_list("table", ["text"], "How tables are printed: text, latex, markdown, csv; several at once if you like.")
flags.DEFINE_bool(
    "report",
    False,
    "Write report.html: curves, bars, timelines of tracks, best and worst frames, a video; docs/report.md.",
)
flags.DEFINE_string(
    "images",
    None,
    "Of files of poses: folder that the names of pictures in the ground truth are below of, for --report.",
)
flags.DEFINE_integer("num_processes", None, "Default: as many as there are cores.", lower_bound=1)
flags.DEFINE_bool("track", False, "Give the people of the predictions new identities, and score them if annotated.")
flags.DEFINE_multi_string(
    "tune",
    None,
    "Setting and values to try, such as max_age_frames=5,10,20: of the tracker on --predictions, of the tracker and of "
    "the single network's thresholds with a --config.",
)
flags.DEFINE_enum(
    "tune_method",
    "grid",
    ["grid", "coordinates"],
    "With a --config: every combination, or one setting at a time until nothing gets better.",
)
flags.DEFINE_string("tuned", None, "A tuning.json that --tune wrote, whose best settings are used.")
flags.DEFINE_enum("tune_objective", "mota", ["mota", "ap", "hota"], "What the best settings are best at.")
define_tracker_flags()


def main(argv: Sequence[str]) -> None:
    """Does what the flags ask for."""
    del argv
    mode = choose_mode(FLAGS)
    {"tune": tune, "tune and --config": tune_network, "track": track, "config": predict}.get(mode, score)()


def scoring_settings() -> ScoringSettings:
    """What to compute and to show."""
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.metrics.posetrack import PoseTrackOptions

    try:
        options = PoseTrackOptions(FLAGS.metrics, FLAGS.clean_figures)
        settings = ScoringSettings(options, FLAGS.per_sequence, FLAGS.table, FLAGS.report, FLAGS.num_processes)
    except ValueError as error:
        raise ValueError(f"--{error}") from error
    images = pathlib.Path(FLAGS.images) if FLAGS.images else None
    return dataclasses.replace(settings, images=images, frames_per_second=FLAGS.video_rate)


# Each mode imports what it needs: TensorFlow takes seconds, and scoring files is done in less than one.
def score() -> None:
    """Scores files."""
    from tfpose.evaluation.scoring import score_folders

    folders = (pathlib.Path(path) for path in (FLAGS.ground_truth, FLAGS.predictions, FLAGS.output_dir))
    compared = pathlib.Path(FLAGS.compare) if FLAGS.compare else None
    score_folders(*folders, scoring_settings(), compared)


def track() -> None:
    """Tracks files, and scores the result where there is a ground truth."""
    from tfpose.evaluation.retracking import PREDICTIONS_FOLDER, track_folder
    from tfpose.evaluation.scoring import score_folders
    from tfpose.evaluation.tuned_settings import read_tuned_settings
    from tfpose.metrics.posetrack import pair_files

    tracker, predictions, output_dir = (
        tracker_from_flags(FLAGS) if not FLAGS.tuned else read_tuned_settings(FLAGS.tuned).tracker,
        pathlib.Path(FLAGS.predictions),
        pathlib.Path(FLAGS.output_dir),
    )
    settings = scoring_settings()
    if FLAGS.ground_truth:
        pair_files(FLAGS.ground_truth, predictions)
    tracked = output_dir / PREDICTIONS_FOLDER
    print(track_folder(predictions, tracked, tracker, FLAGS.format, FLAGS.num_processes))
    print(f"written: {tracked}")
    if FLAGS.ground_truth:
        score_folders(pathlib.Path(FLAGS.ground_truth), tracked, output_dir, settings, tracker=tracker.to_dict())


def tune() -> None:
    """Searches a grid of tracker settings."""
    from tfpose.evaluation.tracker_search import tune_tracker

    base = tracker_from_flags(FLAGS)
    choices = parse_tracker_choices(FLAGS.tune, base)
    folders = (pathlib.Path(path) for path in (FLAGS.ground_truth, FLAGS.predictions, FLAGS.output_dir))
    tune_tracker(*folders, choices, base, FLAGS.tune_objective, FLAGS.num_processes)


def tune_network() -> None:
    """Runs the single network over a split, then searches a grid of its thresholds and tracker settings."""
    tracker, config = tracker_from_flags(FLAGS), FLAGS.config
    if choose_system() != "single_network":
        raise ValueError("--tune with --config searches the thresholds of the single network, got a two-stage config")
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.single_network import tune_split
    from tfpose.evaluation.single_network_search import SearchSystem

    split = FLAGS.split or config.data.validation_split
    trained = load_single_network(config.inference.to_dict())
    base = SearchSystem(trained.system.skeleton, trained.system.inference, tracker)
    tune_split(
        read_table(config.data.directory, split),
        split,
        trained,
        config.evaluation.batch_size,
        base,
        parse_search_choices(FLAGS.tune, base),
        FLAGS.tune_objective,
        pathlib.Path(FLAGS.output_dir),
        FLAGS.tune_method,
        FLAGS.num_processes,
    )


def predict() -> None:
    """Predicts a split with a network, tracks its videos, scores."""
    if choose_system() == "keypoint_rcnn":
        detect()
        return
    settings = scoring_settings()
    predict_split = {"two_stage": predict_two_stage, "single_network": predict_single_network}[choose_system()]
    tracker, inference = choose_settings()
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.splits import SplitOutput, evaluate_split

    split = FLAGS.split or FLAGS.config.data.validation_split
    table = read_table(FLAGS.config.data.directory, split)
    prediction = predict_split(table, inference)
    output = SplitOutput(
        pathlib.Path(FLAGS.output_dir),
        FLAGS.format,
        FLAGS.infer_head_joints,
        FLAGS.num_pictures,
        FLAGS.num_videos,
        FLAGS.video_rate,
    )
    evaluate_split(table, split, prediction, output, settings, tracker if FLAGS.tracking else None, training_run())


def training_run() -> TrainingRun:
    """What the evaluated weights come from."""
    from tfpose.evaluation.report_splits import TrainingRun

    config = FLAGS["config"]
    changes = config_flags.get_override_values(config)
    return TrainingRun(pathlib.Path(FLAGS.workdir), config_flags.get_config_filename(config), changes)


def choose_system() -> str:
    """The system of the config."""
    systems = ("two_stage", "single_network", "keypoint_rcnn")
    name = FLAGS.config.get("system", "two_stage")
    if name not in systems:
        raise ValueError(f"config.system must be one of {', '.join(systems)}, got {name!r}")
    surplus = [flag for flag in ("boxes", *BOX_FLAGS) if FLAGS[flag].present]
    if name == "single_network" and surplus:
        raise ValueError(
            f"--{surplus[0]} has no meaning with a config of the single network, which finds people by itself"
        )
    return name


def choose_settings() -> tuple[TrackerChoice, dict[str, Any]]:
    """The tracker and the settings of inference: those of the flags and the config, or the tuned ones."""
    inference = FLAGS.config.inference.to_dict()
    if not FLAGS.tuned:
        return tracker_from_flags(FLAGS), inference
    from tfpose.evaluation.tuned_settings import read_tuned_settings

    tuned = read_tuned_settings(FLAGS.tuned)
    if tuned.inference and choose_system() != "single_network":
        raise ValueError(f"--tuned={tuned.path}: is of the single network, got a config of the two-stage system")
    for name in tuned.inference:
        flag = f"config.inference.{name}"
        if flag in FLAGS and FLAGS[flag].present:
            raise ValueError(f"--{flag} has no meaning with --tuned={tuned.path}; leave one of them out")
    return tuned.tracker, inference | tuned.inference


def detect() -> None:
    """Finds people with the detector alone and scores their boxes."""
    surplus = [name for name in OPTIONAL["config"] if name not in ("weights", "split") and FLAGS[name].present]
    if surplus:
        raise ValueError(f"--{surplus[0]} has no meaning with a config of the person detector alone")
    start_tensorflow()
    from tfpose.data.records import read_table
    from tfpose.evaluation.detection import evaluate_detector
    from tfpose.skeletons import choose_skeleton

    config = FLAGS.config
    split = FLAGS.split or config.data.validation_split
    table = read_table(config.data.directory, split)
    skeleton = choose_skeleton(config.skeleton, table.skeleton)
    folders = (pathlib.Path(FLAGS.workdir), pathlib.Path(FLAGS.output_dir))
    evaluate_detector(table, split, skeleton, folders[0], FLAGS.weights, folders[1], **config.evaluation.to_dict())


def predict_two_stage(table: RecordTable, inference: dict[str, Any]) -> SplitPrediction:
    """What the two-stage system finds."""
    from tfpose.evaluation.two_stage import predict_split

    return predict_split(
        table,
        pathlib.Path(FLAGS.workdir),
        FLAGS.weights,
        box_settings(FLAGS),
        pathlib.Path(FLAGS.output_dir),
        inference=inference,
        selection=FLAGS.config.selection.to_dict(),
        **FLAGS.config.evaluation.to_dict(),
    )


def predict_single_network(table: RecordTable, inference: dict[str, Any]) -> SplitPrediction:
    """What the single network finds."""
    from tfpose.evaluation.single_network import predict_split

    return predict_split(table, load_single_network(inference), **FLAGS.config.evaluation.to_dict())


def load_single_network(inference: dict[str, Any]) -> TrainedNetwork:
    """The trained network of the work folder."""
    from tfpose.evaluation.single_network import load_trained_network

    network = FLAGS.config.network.to_dict()
    return load_trained_network(pathlib.Path(FLAGS.workdir), FLAGS.weights, network, inference)


if __name__ == "__main__":
    run_program(main)
