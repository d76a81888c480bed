"""The flags of the person detector and its boxes, which the two-stage system needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from tfpose.inference.detected_boxes import BoxSettings

BOX_FLAGS = ("detector", "detector_weights", "box_score_threshold", "box_nms", "box_extension_pixels")


def define_box_flags(
    values: ProgramFlags, detector_need: str, score_default: str, overlap_default: str, takes_keras_hub: bool = False
) -> None:
    """Defines `BOX_FLAGS`.

    Args:
        values: The flags of the program.
        detector_need: Sentence of the help text about when the program needs --detector.
        score_default: Sentences of the help text about the default of --box_score_threshold and what the flag needs.
        overlap_default: Sentences of the help text about the default of --box_nms and what the flag needs.
        takes_keras_hub: Whether --detector can name a detector of KerasHub, which cannot be part of a SavedModel.
    """
    keras_hub = (
        "keras_hub:PRESET, a detector of KerasHub such as keras_hub:dfine_medium_coco (requires pip install "
        "'tfpose[keras_hub]'); "
    )
    values.define_string(
        "detector",
        None,
        "Person detector: the name of a public checkpoint, such as picodet_s_320; the work folder of a detector "
        "(Keypoint R-CNN or PicoDet) that tfpose train or tfpose pretrained wrote; "
        f"{keras_hub if takes_keras_hub else ''}or whole_image, which takes each image as the box of one person. "
        f"{detector_need}",
    )
    values.define_enum(
        "detector_weights",
        "best",
        ["best", "last"],
        "Weights of the person detector: best has the best validation score of the detector's training run, "
        "last is from the last step of the detector's training run. Only with a work folder in --detector.",
    )
    values.define_float(
        "box_score_threshold",
        None,
        f"Smallest score, from 0 to 1, of the detected boxes that are used. {score_default}",
        0.0,
        1.0,
    )
    values.define_float(
        "box_nms",
        None,
        "Threshold of non-maximum suppression: a box is removed if its intersection over union with a box of higher "
        f"score is larger than this value, from 0 to 1. {overlap_default}",
        0.0,
        1.0,
    )
    values.define_float(
        "box_extension_pixels",
        None,
        "Distance, in pixels of the image, by which each side of a box moves outward before the person is "
        "cropped. By default crop.margin_pixels of the config that the network was trained with.",
        0.0,
    )


def box_settings(values: flags.FlagValues, source: str) -> BoxSettings:
    """Returns the settings of the boxes that the flags ask for.

    Args:
        values: The parsed flags.
        source: Where the boxes come from, see `BoxSettings`.

    Raises:
        ValueError: Flags cannot be combined; the message names them.
    """
    from tfpose.inference.detected_boxes import BoxSettings

    return BoxSettings(
        source,
        values.detector or "",
        values.detector_weights,
        values.box_score_threshold,
        values.box_nms,
        values.box_extension_pixels,
    )
