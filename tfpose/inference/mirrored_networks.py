"""The flip test of the single heatmap network: every map is the mean over a picture and its mirror image."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from tfpose.frame_fit import HEATMAP_STRIDE
from tfpose.heatmaps import average_flipped, mirror_heatmaps
from tfpose.models.pose_unet import PoseUnet

Tensor = Any


class MirroredNetworks:
    """Both parts of a network, with the arguments and results of `PoseUnet.find_joints` and `filter_joints`.

    Each part runs on twice as many pictures or people. Mirrored pictures are moved so that their cells lie on the cells
    of the original pictures. No map needs the shift that crops need (`mirror_heatmaps`). `person_features` hold the
    features of the picture, then the features of its mirror image.

    Args:
        network: Network with its weights.
        flip_order: Joint that takes the place of each joint in the mirror image, [J].
    """

    def __init__(self, network: PoseUnet, flip_order: np.ndarray) -> None:
        self._network, self._flip_order = network, flip_order

    def find_joints(self, images: Tensor) -> dict[str, Tensor]:
        """Returns the maps of pictures [B, H, W, 3]: `head_maps` and `joint_maps` are means, see the class."""
        both = self._network.find_joints(ops.concatenate([images, _mirror_images(images)], axis=0))
        (heads, mirrored_heads), (joints, mirrored_joints), features = (
            ops.split(both[name], 2, axis=0) for name in ("head_maps", "joint_maps", "person_features")
        )
        return {
            "head_maps": average_flipped(heads, mirrored_heads, [0], shift_one_cell=False),
            "joint_maps": average_flipped(joints, mirrored_joints, self._flip_order, shift_one_cell=False),
            "person_features": ops.concatenate(features, axis=-1),
        }

    def filter_joints(self, person_features: Tensor, masked_heads: Tensor, joint_maps: Tensor) -> Tensor:
        """Returns the joint maps of one person each, [P, h, w, J], which are means."""
        both = self._network.filter_joints(
            ops.concatenate(ops.split(person_features, 2, axis=-1), axis=0),
            ops.concatenate([masked_heads, mirror_heatmaps(masked_heads, [0], shift_one_cell=False)], axis=0),
            ops.concatenate([joint_maps, mirror_heatmaps(joint_maps, self._flip_order, shift_one_cell=False)], axis=0),
        )
        joints, mirrored_joints = ops.split(both, 2, axis=0)
        return average_flipped(joints, mirrored_joints, self._flip_order, shift_one_cell=False)


def _mirror_images(images: Tensor) -> Tensor:
    """Returns mirror images whose pixel x shows pixel W - 4 - x, so that cell i shows cell w - 1 - i.

    Cell i lies over pixel 4 i. The last three columns of the picture are lost, its first three columns appear twice.
    """
    mirrored = ops.flip(images, axis=2)
    return ops.concatenate([mirrored[:, :, HEATMAP_STRIDE - 1 :], mirrored[:, :, 1 - HEATMAP_STRIDE :]], axis=2)
