"""Finds the poses in images and videos, tracks the people, and draws the poses.

    tfpose predict clip.mp4
    tfpose predict clip.mp4 --model=mmpose_hrnet_w48_384x288 --detector=detectron2_r50_3x
    tfpose predict photos --model=runs/single --output=poses --outputs=coco,csv,video
    tfpose predict photos --model=runs/two_stage --boxes=detections.json
    tfpose predict 0 --model=exported

INPUT is an image, a folder of images, a pattern such as 'frames/*.jpg', a video in any format that FFmpeg opens, the
http address of an image or a video, the address of a stream, or the number of a camera. Several inputs may be given.

Without --model, tfpose uses two small public checkpoints of PaddleDetection, which tfpose downloads once (10 MB): the
person detector picodet_s_320 and the keypoint network tinypose_256x192. On a CPU they run in LiteRT, which starts
sooner than TensorFlow; their joints differ by less than 0.1 pixels from those of --model=tinypose_256x192. --model
names another model: a SavedModel, the work folder of a training run, or a public checkpoint. `tfpose pretrained list`
prints the names, scores and licenses of the public checkpoints.

A two-stage system detects the people, and then finds the joints of each person. The work folder of a two-stage system
requires --detector or --boxes. A single network finds the joints of all people without a detector.

tfpose writes these results:

- OUTPUT/predictions/NAME.json: a PoseTrack file, the input of tfpose score and tfpose track;
- OUTPUT/videos/NAME.mp4, or OUTPUT/pictures/ for images: the frames with poses, identities and past paths;
- OUTPUT/coco/NAME.json (COCO results) and OUTPUT/csv/NAME.csv (a table): if --outputs names them, or if the model has
  joints that PoseTrack files lack.

tfpose omits images that it cannot read and names them on stderr; the exit code is then 1. Ctrl-C, SIGTERM and a
lost connection end a run early: the files hold the frames that were processed, and the exit code is 130, 143 or 129.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfpose.file_names import check_output
from tfpose.flags.box_flags import BOX_FLAGS, define_box_flags
from tfpose.flags.cache_flag import define_cache_flag, fetch_models
from tfpose.flags.combinations import forbid_flags, require_companion
from tfpose.flags.command_line import EXPECTED_ERRORS, Program, describe_error, run_program
from tfpose.flags.dtype_flags import define_dtype_data_flags, dtype_from_flags
from tfpose.flags.program_flags import ProgramFlags
from tfpose.flags.startup_messages import start_tensorflow
from tfpose.flags.tracker_flags import NAME_FLAG, TRACKER_FLAGS, define_tracker_flags, tracker_from_flags
from tfpose.interruption import SignalWatch
from tfpose.messages import print_notes
from tfpose.pretrained.public_checkpoints import (
    DEFAULT_DETECTOR,
    DEFAULT_MODEL,
    choose_system,
    is_public_name,
    suggest_names,
)

if TYPE_CHECKING:
    from tfpose.prediction.model import PoseModel
    from tfpose.prediction.run import PredictionSettings, PredictionSummary
    from tfpose.prediction.sources import Source

OUTPUTS = ("posetrack", "coco", "csv", "video")


def define_flags(values: ProgramFlags) -> None:
    """Defines the flags of the program."""
    define_prediction_flags(values)


def define_prediction_flags(values: ProgramFlags, takes_boxes: bool = True) -> None:
    """Defines the flags of a program that predicts.

    Args:
        values: The flags of the program.
        takes_boxes: Whether there is a flag --boxes.
    """
    values.define_string(
        "model",
        None,
        "Folder of a SavedModel, work folder of a training run, or name of a public checkpoint. A SavedModel must have "
        f"the signature serving_default that tfpose export writes. By default the public checkpoint {DEFAULT_MODEL}.",
    )
    values.define_string("output", "results", "Folder for the results. By default results, in the current folder.")
    values.define_list(
        "outputs",
        None,
        "Results to write, separated by commas: posetrack (PoseTrack files), coco (files of COCO results), "
        "csv (one row for each person), video (drawn videos; drawn images for image inputs). By default posetrack and "
        "video, and also coco and csv if the model has joints that PoseTrack files lack.",
    )
    values.define_enum(
        "format",
        "2018",
        ["2017", "2018"],
        "Year of the PoseTrack format of the prediction files. Only with posetrack in --outputs.",
    )
    values.define_integer("batch_size", 4, "Largest number of frames that the network processes at once.", 1)
    _define_span_flags(values)
    values.define_bool(
        "tracking",
        None,
        "Give each person a track identity: a number that is the same in all frames. By default only people in videos "
        "get track identities.",
    )
    _define_model_flags(values)
    _define_drawing_flags(values)
    _define_box_flags(values, takes_boxes)
    define_tracker_flags(values, "online without --model and with a public checkpoint in --model, otherwise payer2017")


def _define_model_flags(values: ProgramFlags) -> None:
    """Defines the flags that say more about the model."""
    values.define_enum(
        "weights",
        "best",
        ["best", "last"],
        "Weights to use: best has the best validation score of the run, last is from the last step of the "
        "run. Only with a work folder in --model.",
    )
    values.define_string(
        "tuned",
        None,
        "File tuning.json that tfpose tune wrote for the single network in --model. tfpose uses the thresholds of the "
        "network in this file, but not the tracker settings. Requires the work folder of a single network in --model.",
    )
    values.define_bool(
        "flip_test",
        None,
        "Run the network also on the mirror image of each image and average the heatmaps: a little more exact, about "
        "twice the time. By default the setting in the work folder of --model (true for public checkpoints); without "
        "--model, false. Cannot be combined with a SavedModel in --model.",
    )
    define_dtype_data_flags(values)
    define_cache_flag(values)
    values.define_string(
        "skeleton",
        "",
        "Names and order of the model's joints: coco17 (COCO), posetrack15 (PoseTrack 2017) or posetrack18 (PoseTrack "
        "2018). Only with a SavedModel that tfpose export did not write.",
    )


def _define_span_flags(values: ProgramFlags) -> None:
    """Defines the flags that select frames."""
    values.define_integer(
        "start",
        0,
        "Number of the first frame to process in each input, counted from 0. The images of a folder count as frames.",
    )
    values.define_integer(
        "end",
        None,
        "Number of the frame after the last frame to process in each input, counted from 0. By default each "
        "input is processed to its end.",
    )
    values.define_integer(
        "every", 1, "Step between the processed frames of each input: 1 takes every frame, 2 takes every other frame."
    )


def _define_box_flags(values: ProgramFlags, takes_boxes: bool) -> None:
    """Defines the flags of the person detector and of the boxes that replace it."""
    values.begin_section("Flags of the person detector (two-stage system)", BOX_FLAGS[0])
    or_boxes, and_of_file = (" or --boxes", ", and no {} for the boxes of a file") if takes_boxes else ("", "")
    define_box_flags(
        values,
        f"The work folder of a two-stage system requires --detector{or_boxes}. With a public checkpoint in --model, "
        f"and without --model, the default is {DEFAULT_DETECTOR}.",
        f"By default 0.5 for the boxes of a detector{and_of_file.format('threshold')}. Requires --detector{or_boxes}.",
        "By default the value in the settings of the detector (0.5 for a Keypoint R-CNN, 0.6 for a "
        f"PicoDet){and_of_file.format('suppression')}. Requires --detector{or_boxes}.",
    )
    if takes_boxes:
        values.define_string(
            "boxes",
            None,
            "JSON file with the boxes of the people, which replaces the detector. The file is a list of objects with "
            "image_id, bbox (x, y, width, height) and score, as COCO results and PoseTrack detections are. In a "
            "video, image_id is the number of the frame, counted from 0. For images, image_id is the number in the "
            "file name (139 for 000000000139.jpg). If a file name is not a number, or two file names are the same "
            "number, image_id is the position of the image in the order of the names, counted from 0. Requires images "
            "or one video as INPUT, and the work folder of a two-stage system or a public checkpoint as the model. "
            "Cannot be combined with --detector.",
        )


def _define_drawing_flags(values: ProgramFlags) -> None:
    values.begin_section("Flags of the drawn videos and images (only with video in --outputs)", "joint_threshold")
    values.define_float(
        "joint_threshold",
        None,
        "Smallest score of the joints that are drawn. By default the threshold in the settings of the model.",
    )
    values.define_integer(
        "trail_frames",
        30,
        "Length, in frames, of the trail that shows the past path of a tracked person. 0 draws no trails.",
    )
    values.define_bool(
        "blur_heads", False, "Blur the heads of all detected people. People who are not detected stay visible."
    )
    values.define_enum(
        "video_format",
        "mp4",
        ["mp4", "webm", "avi"],
        "Format of the drawn videos: mp4 (H.264 where PyAV is installed, otherwise MPEG-4 Part 2, which browsers do "
        "not play) is the fastest to write; webm (VP8) plays in every browser; avi (Motion JPEG) stores each frame as "
        "a JPEG image.",
    )
    values.define_float(
        "video_rate",
        None,
        "Frame rate of the drawn videos, in frames per second. By default each frame keeps its time in the input.",
        0.1,
    )
    values.define_bool(
        "sound",
        True,
        "Copy the sound of an input video to the drawn video. Requires PyAV (pip install 'tfpose[video]') or the "
        "program ffmpeg. With --video_rate the drawn video is silent.",
    )


def run(values: ProgramFlags, inputs: Sequence[str]) -> int:
    """Predicts all inputs; returns the exit code."""
    is_default_model = values.model is None
    choose_models(values)
    if not inputs:
        raise ValueError("INPUT must be an image, a folder of images, a video or the number of a camera, got nothing")
    check_flags(values)
    # Here and not above: wrong flags and files should not wait for TensorFlow.
    from tfpose.prediction.frame_span import FrameSpan
    from tfpose.prediction.run import check_source, predict_source
    from tfpose.prediction.sources import open_sources, silence_opencv

    silence_opencv()
    settings = _settings(values)
    sources = open_sources(inputs, FrameSpan(values.start, values.end, values.every))
    for source in sources:
        check_source(source, _settings_of(settings, source, values), values.boxes)
    check_output("output", settings.directory)
    check_model(values.model)
    fetch_models(values, "model")
    model, settings = load_model(values, is_default_model, _count_frames(sources))
    has_problems = False
    # Also around what is written at the end.
    with SignalWatch() as watch:
        model.check_sources(sources)
        for position, source in enumerate(sources, 1):
            settings_here = _settings_of(settings, source, values)
            try:
                summary = predict_source(
                    source, model.predict_frames, model.skeleton, settings_here, lambda: watch.stop_requested, True
                )
            except EXPECTED_ERRORS as error:
                print(f"error: {describe_error(error)}", file=sys.stderr)
                has_problems = True
            else:
                notes, problems = [*summary.notes, *model.notes], [*summary.problems, *model.problems]
                _report(dataclasses.replace(summary, notes=notes, problems=problems), watch.stop_requested)
                has_problems |= bool(problems)
            if watch.stop_requested:
                if left := [other.name for other in sources[position:]]:
                    print(f"error: interrupted before {', '.join(left)}", file=sys.stderr)
                return watch.exit_code
    return 1 if has_problems else 0


def _count_frames(sources: Sequence[Source]) -> int | None:
    """Returns the number of frames of all sources; None if one of them does not know it."""
    counts = [source.num_frames for source in sources]
    return None if None in counts else sum(filter(None, counts))


def load_model(
    values: ProgramFlags, is_default_model: bool, num_frames: int | None = None
) -> tuple[PoseModel, PredictionSettings]:
    """Starts TensorFlow and loads the model; returns the model and the settings of predictions with it.

    Args:
        values: The parsed flags, after `choose_models`.
        is_default_model: Whether the user gave no --model.
        num_frames: Number of frames to process; None if it is not known.

    Raises:
        OSError, ValueError: The model cannot be loaded, or does not fit the flags.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    start_tensorflow()
    from tfpose.flags.run_flags import run_choice
    from tfpose.systems.loading import load_pose_model

    choice = dataclasses.replace(run_choice(values, "model"), prefers_litert=is_default_model, num_frames=num_frames)
    model = load_pose_model(choice, values.skeleton)
    return model, _settings_of_model(_settings(values), model, values)


def choose_models(values: ProgramFlags) -> None:
    """Gives flags of the model, the detector and the tracker their values for public checkpoints."""
    model, detector, use_flip_test = choose_system(values.model, values.detector, values.flip_test)
    if values.model is None:
        values.choose("model", model)
        values.choose("flip_test", bool(use_flip_test))
    if values.detector is None and detector is not None and getattr(values, "boxes", None) is None:
        values.choose("detector", detector)
    if is_public_name(model) and not values[NAME_FLAG].present:
        values.choose(NAME_FLAG, "online")


def check_model(model: str) -> None:
    """Checks that --model is a folder or the name of a public checkpoint.

    Raises:
        FileNotFoundError: It is neither.
    """
    if not pathlib.Path(model).is_dir() and not is_public_name(model):
        raise FileNotFoundError(
            "--model must be a SavedModel, the work folder of a run or the name of a public checkpoint, got "
            f"{model!r}: no folder{suggest_names(model)}"
        )


def check_flags(values: ProgramFlags) -> None:
    """Checks the flags of `define_prediction_flags`.

    Raises:
        FileNotFoundError: There is no file of boxes.
        ValueError: A flag has a wrong value, or cannot be combined with another.
    """
    for name in ("model", "output"):
        if not values[name].value:
            raise ValueError(f"--{name} must be given, got nothing")
    unknown = [kind for kind in values.outputs or () if kind not in OUTPUTS]
    if unknown or values.outputs == []:
        raise ValueError(f"--outputs must be some of {', '.join(OUTPUTS)}, got {unknown[0] if unknown else 'nothing'}")
    dtype_from_flags(values)
    boxes = ["boxes"] if "boxes" in values else []
    require_companion(values, [name for name in BOX_FLAGS if name != "detector"], "detector", *boxes)
    if boxes and values.boxes is not None:
        forbid_flags(values, ("detector", "detector_weights"), "--boxes")
        if not pathlib.Path(values.boxes).is_file():
            raise FileNotFoundError(f"--boxes must be a file of COCO results, got {values.boxes!r}: no file")
    if values.tracking is False:
        forbid_flags(values, TRACKER_FLAGS, "--notracking")


def _settings(values: ProgramFlags) -> PredictionSettings:
    from tfpose.prediction.drawing import DrawingStyle
    from tfpose.prediction.run import PredictionSettings

    return PredictionSettings(
        directory=pathlib.Path(values.output),
        outputs=tuple(values.outputs or OUTPUTS),
        posetrack_format=values.format,
        batch_size=values.batch_size,
        tracker=tracker_from_flags(values),
        style=DrawingStyle(values.joint_threshold or 0.0, values.trail_frames, values.blur_heads),
        video_suffix=f".{values.video_format}",
        video_rate=values.video_rate,
        should_keep_sound=values.sound,
    )


def _settings_of_model(settings: PredictionSettings, model: PoseModel, values: ProgramFlags) -> PredictionSettings:
    """Returns the settings with the defaults that depend on the model."""
    from tfpose.prediction.head_blur import head_joints
    from tfpose.prediction.outputs import lost_joints
    from tfpose.skeletons import POSETRACK15

    if values.joint_threshold is None:
        style = dataclasses.replace(settings.style, joint_threshold=model.joint_threshold)
        settings = dataclasses.replace(settings, style=style)
    if values.outputs is None and set(model.skeleton.joints) <= set(POSETRACK15.joints):
        settings = dataclasses.replace(settings, outputs=("posetrack", "video"))
    if settings.style.should_blur_heads:
        head_joints(model.skeleton)
    if "posetrack" in settings.outputs:
        lost_joints(model.skeleton, settings.posetrack_format)
    return settings


def _settings_of(settings: PredictionSettings, source: Source, values: ProgramFlags) -> PredictionSettings:
    """Returns the settings of a source, which has a tracker only if the source is tracked."""
    is_tracked = source.is_video if values.tracking is None else values.tracking
    return settings if is_tracked else dataclasses.replace(settings, tracker=None)


def _report(summary: PredictionSummary, is_interrupted: bool) -> None:
    print(f"{summary}{' until it was interrupted' if is_interrupted else ''}")
    for path in summary.written:
        print(f"written: {path}")
    print_notes(summary.notes)
    for problem in summary.problems:
        print(f"error: {problem}", file=sys.stderr)


PROGRAM = Program("tfpose predict", __doc__, define_flags, run, takes_inputs=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    return run_program(PROGRAM, arguments)


if __name__ == "__main__":
    sys.exit(main())
