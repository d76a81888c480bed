"""Predicts the poses of a split and scores them; scores, tracks and tunes on files of poses without any network.

python eval_main.py --config=configs/two_stage_resnet50_coco.py --workdir=runs/resnet50_coco --output_dir=results
python eval_main.py --ground_truth=annotations/val --predictions=results/predictions --output_dir=scores
python eval_main.py --track --predictions=poses --output_dir=tracked --tracker.settings=offline
python eval_main.py --tune=max_age_frames=5,10,20 --predictions=poses --ground_truth=annotations/val --output_dir=tuned
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import config_flags

from tfpose.command_line import run_program
from tfpose.evaluation.tracker_flags import NAME_FLAG, PREFIX, define_tracker_flags, parse_choices, tracker_from_flags
from tfpose.tracking.settings import setting_types

if TYPE_CHECKING:
    from tfpose.evaluation.scoring import ScoringSettings

FLAGS = flags.FLAGS
config_flags.DEFINE_config_file(
    "config", None, "The experiment, to predict with its network; see configs/.", lock_config=True
)
flags.DEFINE_string("workdir", None, "Folder of the training run whose weights are evaluated.")
flags.DEFINE_string("output_dir", None, "Folder for the results: predictions, metrics.json, tuning.json, pages.")
flags.DEFINE_enum("weights", "best", ["best", "last"], "Which weights of the run.")
flags.DEFINE_string("split", None, "Split of the data; default: the config's validation split.")
flags.DEFINE_string(
    "boxes", "ground_truth", "Where people are: 'ground_truth', or a file of COCO results or PoseTrack detections."
)
flags.DEFINE_bool(
    "infer_head_joints", False, "PoseTrack output of a network with COCO's joints: guess head_bottom and head_top."
)
flags.DEFINE_bool("tracking", True, "Give the people of videos identities; without, only AP can be told.")
flags.DEFINE_integer("num_pictures", 0, "How many images to draw the poses over.", lower_bound=0)
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
flags.DEFINE_bool("report", False, "Write report.html with curves and bars.")
flags.DEFINE_integer("num_processes", None, "Default: as many as there are cores.", lower_bound=1)
flags.DEFINE_bool("track", False, "Give the people of the predictions new identities, and score them if annotated.")
flags.DEFINE_multi_string("tune", None, "Setting of the tracker and values to try, such as max_age_frames=5,10,20.")
flags.DEFINE_enum("tune_objective", "mota", ["mota", "ap", "hota"], "What the best settings are best at.")
define_tracker_flags()

_TRACKER = (NAME_FLAG, *(PREFIX + name for name in setting_types()))
_SCORING = ("metrics", "per_sequence", "clean_figures", "table", "report")
# What each mode must and may be given beside --output_dir, by the flag that asks for it.
_REQUIRED = {
    "tune": ("ground_truth", "predictions"),
    "track": ("predictions",),
    "config": ("workdir",),
    "predictions": ("ground_truth",),
    "ground_truth": ("predictions",),
}
_OPTIONAL = {
    "tune": ("tune_objective", "num_processes", *_TRACKER),
    "track": ("ground_truth", "format", "num_processes", *_SCORING, *_TRACKER),
    "config": (
        *("weights", "split", "boxes", "infer_head_joints", "tracking", "num_pictures", "format"),
        *(*_SCORING, *_TRACKER),
    ),
    "predictions": ("compare", "num_processes", *_SCORING),
    "ground_truth": ("compare", "num_processes", *_SCORING),
}
_NETWORK_ONLY = ("workdir", "weights", "split", "boxes", "infer_head_joints", "tracking", "num_pictures")
_ALL = {"output_dir", "compare", "tune_objective", "ground_truth", "predictions", "format", "num_processes"}
_ALL |= {*_REQUIRED, *_NETWORK_ONLY, *_SCORING, *_TRACKER}


def main(argv: Sequence[str]) -> None:
    """Does what the flags ask for."""
    del argv
    mode = choose_mode()
    {"tune": tune, "track": track, "config": predict}.get(mode, score)()


def choose_mode() -> str:
    """The flag that says what is asked for.

    Raises:
        ValueError: a flag is missing, or has no place beside the others; names it.
    """
    mode = next((name for name in _REQUIRED if FLAGS[name].value not in (None, False, [])), None)
    if mode is None:
        raise ValueError(
            "nothing to do: give --config and --workdir to predict, --ground_truth and --predictions to score files, "
            "--track and --predictions to track, or --tune with all three"
        )
    for name in (*_REQUIRED[mode], "output_dir"):
        if not FLAGS[name].value:
            raise ValueError(f"--{name} must be given with --{mode}, got nothing")
    allowed = {mode, "output_dir", *_REQUIRED[mode], *_OPTIONAL[mode]}
    surplus = [name for name in sorted(_ALL - allowed) if FLAGS[name].present]
    if surplus:
        raise ValueError(f"--{surplus[0]} has no meaning with --{mode}; leave one of them out")
    if mode == "track" and not FLAGS.ground_truth:
        lonely = [name for name in _SCORING if FLAGS[name].present]
        if lonely:
            raise ValueError(f"--{lonely[0]} needs --ground_truth, got nothing")
    return mode


def scoring_settings() -> ScoringSettings:
    """What to compute and to show."""
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.metrics.posetrack import PoseTrackOptions

    try:
        options = PoseTrackOptions(FLAGS.metrics, FLAGS.clean_figures)
        return ScoringSettings(options, FLAGS.per_sequence, FLAGS.table, FLAGS.report, FLAGS.num_processes)
    except ValueError as error:
        raise ValueError(f"--{error}") from error


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
    from tfpose.metrics.posetrack import pair_files

    tracker, predictions, output_dir = (
        tracker_from_flags(FLAGS),
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
    choices = parse_choices(FLAGS.tune, base)
    folders = (pathlib.Path(path) for path in (FLAGS.ground_truth, FLAGS.predictions, FLAGS.output_dir))
    tune_tracker(*folders, choices, base, FLAGS.tune_objective, FLAGS.num_processes)


def predict() -> None:
    """Predicts a split with a network, tracks its videos, scores."""
    settings, tracker = scoring_settings(), tracker_from_flags(FLAGS)
    from tfpose.data.records import read_table
    from tfpose.evaluation.splits import SplitOutput, evaluate_split
    from tfpose.evaluation.two_stage import predict_split

    config = FLAGS.config
    split = FLAGS.split or config.data.validation_split
    table = read_table(config.data.directory, split)
    prediction = predict_split(
        table,
        pathlib.Path(FLAGS.workdir),
        FLAGS.weights,
        FLAGS.boxes,
        inference=config.inference.to_dict(),
        selection=config.selection.to_dict(),
        **config.evaluation.to_dict(),
    )
    output = SplitOutput(pathlib.Path(FLAGS.output_dir), FLAGS.format, FLAGS.infer_head_joints, FLAGS.num_pictures)
    evaluate_split(table, split, prediction, output, settings, tracker if FLAGS.tracking else None)


if __name__ == "__main__":
    run_program(main)
