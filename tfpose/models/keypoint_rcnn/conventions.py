"""The different conventions of the original Detectron and of Detectron2 for boxes, anchors and samples.

Girshick et al., Detectron, 2018; Wu et al., Detectron2, 2019. Weights belong to the conventions that they were trained
with: with the other conventions they load without an error, but find people less well.

Boxes of the original Detectron name their first and last pixel, and are x2 - x1 + 1 wide. Here such a box is kept as
(x1, y1, x2 + 1, y2 + 1), up to the far edge of the last pixel: its width, area, overlaps and offsets are then computed
as those of any other box, and it goes into a COCO file as it is. `Conventions` holds the other differences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Conventions:
    """One of the two sets of conventions.

    Attributes:
        last_pixel: Distance from the corner that the original stores to the far edge of a box: 1 where boxes name
            pixels, otherwise 0. The network looks for features and keypoints up to this corner, and a clipped box is at
            least this long.
        has_rounded_anchors: Whether anchors consist of whole numbers around the middle of a cell. Otherwise they are
            around its corner.
        level_epsilon: Number added to the relative size of a box that chooses its level.
        is_aligned: Field of `RoiAlignSettings`.
        samples_per_bin: Field of `RoiAlignSettings`.
        has_filtered_images: Whether images are resized with a filter that widens where it shrinks, and rounded.
            Otherwise both axes are resized by one factor with plain bilinear interpolation.
        has_clamped_maps: Whether the last doubling of the keypoint maps repeats their border. Otherwise there are zeros
            outside the maps.
        sums_enlarged_map: Whether a keypoint's score is its share of the enlarged map. Otherwise it is its share of the
            small one.
    """

    last_pixel: float = 0.0
    has_rounded_anchors: bool = False
    level_epsilon: float = 1e-8
    is_aligned: bool = True
    samples_per_bin: int = 0
    has_filtered_images: bool = True
    has_clamped_maps: bool = True
    sums_enlarged_map: bool = False


CONVENTIONS: Mapping[str, Conventions] = {
    "detectron2": Conventions(),
    "detectron": Conventions(
        last_pixel=1.0,
        has_rounded_anchors=True,
        level_epsilon=1e-6,
        is_aligned=False,
        samples_per_bin=2,
        has_filtered_images=False,
        has_clamped_maps=False,
        sums_enlarged_map=True,
    ),
}
DETECTRON2 = CONVENTIONS["detectron2"]
