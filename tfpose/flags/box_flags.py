"""The flags that say where the two-stage system looks for people; of eval_main.py and the export program."""

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
        "Finds the people: work folder of a Keypoint R-CNN, as a training or python -m tfpose.pretrained leaves it; "
        "or keras_hub:PRESET, such as keras_hub:dfine_medium_coco (needs tfpose[keras_hub]).",
    )
    values.define_enum("detector_weights", "best", ["best", "last"], "Which weights of the detector's run.")
    values.define_float(
        "box_score_threshold",
        None,
        "Boxes with a lower score are left out; default: the detector's own threshold (0.05 in Detectron2), and "
        "config.evaluation.box_score_threshold.",
        lowest=0.0,
        highest=1.0,
    )
    values.define_float(
        "box_nms",
        None,
        "A box goes if its overlap (IoU) with a better one of its image is larger; default: the detector's own "
        "threshold (0.5 in Detectron2), all boxes of a file.",
        lowest=0.0,
        highest=1.0,
    )
    values.define_float(
        "box_extension_pixels",
        None,
        "Pixels of the image by which every side of a box moves outwards for the crop; default: as the network was "
        "trained, crop.margin_pixels in its config (60 in Honda et al., 2018).",
        lowest=0.0,
    )


def box_settings(values: flags.FlagValues) -> BoxSettings:
    """What the flags say.

    Raises:
        ValueError: naming flags that do not go together.
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
