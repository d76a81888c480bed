r"""Predicts the poses of a dataset with a trained network, tracks the people in videos, and scores the poses.

    tfpose evaluate --workdir=runs/resnet50_coco --output_dir=results
    tfpose evaluate --workdir=runs/resnet50_coco --output_dir=results --config.data.directory=data/mine
    tfpose evaluate --workdir=runs/resnet50_coco --output_dir=results \
        --boxes=detector --detector=runs/keypoint_rcnn
    tfpose evaluate --config=single_network_posetrack17 --workdir=runs/single_network --output_dir=results \
        --split=test --tuned=tuned/tuning.json
    tfpose evaluate --config=two_stage_resnet50_coco --model=exported/assets.extra/keypoints.tflite --output_dir=results

tfpose evaluates the dataset in the folder config.data.directory. For the config of a person detector, tfpose writes and
scores bounding boxes instead of poses.

Three other commands work on PoseTrack prediction files and need no neural network:

    tfpose score     scores prediction files against annotations
    tfpose track     assigns track identities to the people in prediction files
    tfpose tune      searches for the best tracker settings

Commands of earlier versions still work: tfpose evaluate runs tfpose tune if --tune is given, and tfpose track if
--track is given. Without --config, tfpose evaluate runs tfpose score if --ground_truth or --predictions is given.
`python eval_main.py` takes the same arguments as tfpose evaluate.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags

from tfpose import track, tune
from tfpose.file_names import check_output
from tfpose.flags.box_flags import BOX_FLAGS, box_settings, define_box_flags
from tfpose.flags.cache_flag import define_cache_flag, fetch_models
from tfpose.flags.combinations import forbid_flags, require_flags
from tfpose.flags.command_line import Program, run_program
from tfpose.flags.config_flag import define_config_flag
from tfpose.flags.dtype_flags import define_dtype_flags
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.scoring_flags import define_scoring_flags, scoring_settings
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import TRACKER_FLAGS, define_tracker_flags, request_from_flags
from tfpose.metrics.catalog import METRICS
from tfpose.score import PROGRAM as score_program

if TYPE_CHECKING:
    from tfpose.evaluation.scoring import ScoringSettings
    from tfpose.evaluation.tuned_settings import TunedSettings
    from tfpose.systems.system import TrackerRequest

_FLAGS_OF_VIDEOS = (
    *("metrics", "per_sequence", "clean_figures", "table", "format"),
    *("infer_head_joints", "tracking", "num_videos", *TRACKER_FLAGS),
)
_DTYPE_OF_DETECTORS = (
    " With the config of a Keypoint R-CNN, the flag concerns this network, and auto measures the AP of its boxes."
)


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    help_text = "Config of the network. By default the config of the run in --workdir."
    define_config_flag(values, help_text, is_that_of_run=True)
    values.define_string(
        "workdir",
        None,
        "Work folder of the training run whose weights are used, or the name of a public checkpoint "
        "(tfpose pretrained list prints the names). tfpose evaluate requires --workdir or --model.",
    )
    values.define_string(
        "model",
        None,
        "Exported model to evaluate instead of the run in --workdir: a .tflite file of a keypoint network, or the "
        "folder of a SavedModel. tfpose uses the crops, decoding and skeleton of the export. A keypoint network uses "
        "the boxes of --boxes; a single network finds people itself. Requires --config, which names the dataset. "
        "Cannot be combined with --workdir, --weights, --tuned or --inference_dtype.",
    )
    values.define_string("output_dir", None, "Folder for the predictions, metrics.json and the report. Required.")
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from the last step of the run.",
    )
    values.define_string(
        "split",
        None,
        "Split of the dataset in config.data.directory to predict, such as val. By default the validation split of the "
        "config.",
    )
    values.define_enum(
        "format",
        "2018",
        ["2017", "2018"],
        "Year of the PoseTrack format of the prediction files. Only for splits with videos.",
    )
    values.define_bool(
        "infer_head_joints",
        False,
        "Add the PoseTrack joints head_bottom and head_top, estimated from the shoulders, eyes and ears, to "
        "the poses of a network with the joints of COCO. Only for splits with videos.",
    )
    values.define_bool(
        "tracking",
        True,
        "Give each person in a video a track identity: a number that is the same in all frames. Without identities "
        "only average precision (AP) is computed.",
    )
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose tune wrote; tfpose uses the best tracker settings in the file and, for a single "
        "network, the best thresholds. Cannot be combined with --tracker flags.",
    )
    define_dtype_flags(values, "the split that it evaluates", _DTYPE_OF_DETECTORS)
    _define_drawing_flags(values)
    define_cache_flag(values)
    _define_box_and_scoring_flags(values)


def _define_drawing_flags(values: ProgramFlags) -> None:
    """Defines the flags of drawn images and videos."""
    values.define_integer(
        "num_pictures",
        0,
        "Number of images, evenly spread over the split, that are drawn with their poses to "
        "OUTPUT_DIR/pictures. 0 draws no images.",
        0,
    )
    values.define_integer(
        "num_videos",
        0,
        "Number of videos, evenly spread over the split, that are drawn with their tracked poses to "
        "OUTPUT_DIR/videos. 0 draws no videos.",
        0,
    )
    values.define_float(
        "video_rate",
        10.0,
        "Frame rate, in frames per second, of the drawn videos and of the video in the report. Only with "
        "--num_videos or --report.",
        0.1,
    )


def _define_box_and_scoring_flags(values: ProgramFlags) -> None:
    """Defines the flags of boxes, metrics and tracker."""
    values.begin_section("Flags of the boxes around people (two-stage system)", "boxes")
    values.define_string(
        "boxes",
        "ground_truth",
        "Source of the boxes around people: ground_truth (the annotated boxes), detector (requires "
        "--detector; the boxes are also written to OUTPUT_DIR/detections.json), model (the person detector in the "
        "SavedModel of --model), or the path of a file of COCO results or PoseTrack detections.",
    )
    define_box_flags(
        values,
        "Requires --boxes=detector.",
        "By default config.evaluation.box_score_threshold or the value in the settings of the detector (0.05 for a "
        "Keypoint R-CNN, 0.025 for a PicoDet), whichever is larger. Cannot be combined with --boxes=ground_truth.",
        "By default the value in the settings of the detector (0.5 for a Keypoint R-CNN, 0.6 for a PicoDet), and no "
        "suppression for the boxes of a file. Cannot be combined with --boxes=ground_truth.",
        takes_keras_hub=True,
    )
    define_scoring_flags(values, "Flags of the metrics and the report")
    values["metrics"].help += (
        " Only for splits with videos. Of every split, tfpose computes COCO's AP and AR, and with --boxes=ground_truth "
        "also PCK and PCKh."
    )
    define_tracker_flags(values, "payer2017, or for a single network the section tracker of the config")


def run(values: ProgramFlags, inputs: Sequence[str]) -> None:
    """Predicts a split with a network, tracks its videos, scores."""
    del inputs
    if values.config is None and values.workdir is None and values.model is None:
        raise ValueError(
            "nothing to do: give --workdir or --model to predict, --ground_truth and --predictions to score files, "
            "--track and --predictions to track, or --tune with --workdir or with --predictions and "
            "--ground_truth"
        )
    _check_model_flags(values)
    scoring = scoring_settings(values)
    _check_tracking_flags(values)
    # The config says which kind of network is evaluated.
    fetch_models(values, "model" if values.model else "workdir", checks_kind=values.config is None)
    # Here and not above: TensorFlow takes seconds to import, wrong flags must not wait for it.
    start_tensorflow()
    from tfpose import systems
    from tfpose.data.records import read_table
    from tfpose.evaluation.report_splits import TrainingRun
    from tfpose.evaluation.splits import SplitOutput
    from tfpose.flags.run_flags import choose_config
    from tfpose.inference.inference_dtype import InferenceDtype
    from tfpose.systems.exported import evaluate_exported
    from tfpose.systems.loading import resolve_names
    from tfpose.systems.system import EvaluationRequest, RunChoice

    tuned = read_tuned(values)
    box_flags = tuple(name for name in ("boxes", *BOX_FLAGS) if values[name].present)
    boxes = box_settings(values, values.boxes) if box_flags else None
    chosen = RunChoice(pathlib.Path(values.model or values.workdir), values.weights, boxes, tuned, box_flags)
    wants_detector = values.config is not None and values.config.system not in systems.POSE_SYSTEMS
    chosen = resolve_names(chosen, "--workdir", values.cache, wants_detector)
    config, source = choose_config(values, chosen.workdir)
    split = values.split or config.data.validation_split
    dtype = InferenceDtype(values.inference_dtype, config.data.directory, split)
    request = EvaluationRequest(
        run=dataclasses.replace(chosen, inference_dtype=dtype),
        split=split,
        output=SplitOutput(
            pathlib.Path(values.output_dir),
            values.format,
            values.infer_head_joints,
            values.num_pictures,
            values.num_videos,
            values.video_rate,
        ),
        scoring=scoring,
        tracker=tracker_request(values, tuned),
        provenance=TrainingRun(chosen.workdir, *source),
        given_flags=[name for name in values if values[name].present and not name.startswith("config.")],
    )
    table = read_table(config.data.directory, split)
    note_flags_of_videos(values, split, any(table.images["sequence"]))
    if table.teacher:
        _announce_teacher(table.teacher, split, scoring)
    system = systems.from_config(config)
    if values.model:
        evaluate_exported(pathlib.Path(values.model), config, table, request)
    else:
        system.evaluate(config, table, request)


def _check_model_flags(values: ProgramFlags) -> None:
    """Checks the flags that name what is evaluated and where the results are written.

    Raises:
        OSError: The results cannot be written.
        ValueError: A flag is missing, or cannot be combined with another.
    """
    if values.model:
        forbid_flags(values, ("workdir", "weights", "tuned", "inference_dtype"), "--model")
        require_flags(values, ("config", "output_dir"), "with --model")
    else:
        require_flags(values, ("workdir", "output_dir"), "with --config" if values.config else "with --workdir")
        if values.boxes == "model":
            raise ValueError("--boxes=model requires --model, got none")
    check_output("output_dir", pathlib.Path(values.output_dir))


def _check_tracking_flags(values: ProgramFlags) -> None:
    """Checks that --tuned and --notracking leave out no other flag.

    Raises:
        ValueError: Names the flag.
    """
    if values.tuned:
        forbid_flags(values, TRACKER_FLAGS, "--tuned")
    if values.tracking:
        return
    forbid_flags(values, TRACKER_FLAGS, "--notracking")
    lacking = [name for name in values.metrics if METRICS[name].needs_identities]
    if values["metrics"].present and lacking:
        raise ValueError(f"--metrics={','.join(lacking)} cannot be combined with --notracking: it requires identities")


def note_flags_of_videos(values: ProgramFlags, split: str, has_videos: bool) -> None:
    """Names the given flags that have no effect on a split without videos."""
    given = [f"--{name}" for name in _FLAGS_OF_VIDEOS if values[name].present]
    if given and not has_videos:
        print(f"note: split {split} has no videos; tfpose does not use {', '.join(given)}", file=sys.stderr)


def _announce_teacher(teacher: str, split: str, scoring: ScoringSettings) -> None:
    """Says whose labels those of the split are.

    Raises:
        ValueError: A report is asked for, whose scores would look like those of labels by people.
    """
    from tfpose.evaluation.teacher_agreement import teacher_note

    if scoring.has_page:
        raise ValueError(f"--report requires labels by people, got those of teacher {teacher}")
    print(teacher_note(teacher, split), file=sys.stderr)


def tracker_request(values: ProgramFlags, tuned: TunedSettings | None = None) -> TrackerRequest:
    """Returns what the flags, or tuned settings in their place, say about the tracker."""
    from tfpose.systems.system import TrackerRequest

    if tuned is not None:
        return TrackerRequest(tuned.tracker.name, tuned.tracker.changes, values.tracking)
    return request_from_flags(values, values.tracking)


def read_tuned(values: ProgramFlags) -> TunedSettings | None:
    """Reads the settings of --tuned; None without it.

    Raises:
        ValueError: The file is damaged, or a flag sets one of its settings too.
    """
    if not values.tuned:
        return None
    from tfpose.evaluation.tuned_settings import read_tuned_settings

    tuned = read_tuned_settings(values.tuned)
    for name in tuned.inference:
        flag = f"config.inference.{name}"
        if flag in values and values[flag].present:
            raise ValueError(f"--{flag} cannot be combined with --tuned={tuned.path}")
    return tuned


PROGRAM = Program("tfpose evaluate", __doc__, define_flags, run)


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
        return score_program, words
    return PROGRAM, words


if __name__ == "__main__":
    sys.exit(main())
