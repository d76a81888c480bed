"""The flags of the person detector and its boxes, which the two-stage system needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags

from tfpose.flags.program_flags import ProgramFlags

if TYPE_CHECKING:
    from tfpose.inference.detected_boxes import BoxSettings

BOX_FLAGS = ("detector", "detector_weights", "box_score_threshold", "box_nms", "box_extension_pixels")


def define_box_flags(values: ProgramFlags) -> None:
    """Defines `BOX_FLAGS`."""
    values.define_string(
        "detector",
        None,
        "Person detector: the work folder of a Keypoint R-CNN, which a training run or tfpose.pretrained wrote, or "
        "keras_hub:PRESET, such as keras_hub:dfine_medium_coco (requires the extra tfpose[keras_hub]).",
    )
    values.define_enum(
        "detector_weights",
        "best",
        ["best", "last"],
        "Weights of --detector to use: best has the best validation score of its run, last is from its last step.",
    )
    values.define_float(
        "box_score_threshold",
        None,
        "Smallest score of the boxes that are used, from 0 to 1. By default, the threshold of the detector (0.05 for "
        "Keypoint R-CNN); an evaluation then also removes the boxes below config.evaluation.box_score_threshold.",
        0.0,
        1.0,
    )
    values.define_float(
        "box_nms",
        None,
        "Largest overlap (intersection over union, from 0 to 1) of a box with a box of the same image that has a "
        "higher score; boxes that overlap more are removed. By default, the threshold of the detector (0.5 for "
        "Keypoint R-CNN); the boxes of a file are all kept.",
        0.0,
        1.0,
    )
    values.define_float(
        "box_extension_pixels",
        None,
        "Distance, in pixels of the image, by which each side of a box moves outward before the box is cropped. By "
        "default, crop.margin_pixels of the config that the network was trained with.",
        0.0,
    )


def box_settings(values: flags.FlagValues) -> BoxSettings:
    """Returns the settings of the boxes that the flags ask for.

    Raises:
        ValueError: Flags cannot be combined; the message names them.
    """
    from tfpose.inference.detected_boxes import BoxSettings

    return BoxSettings(
        values.boxes,
        values.detector or "",
        values.detector_weights,
        values.box_score_threshold,
        values.box_nms,
        values.box_extension_pixels,
    )
