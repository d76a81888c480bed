"""Says aloud that training mirrors images of joints whose left and right it does not know."""

from __future__ import annotations

from ml_collections import ConfigDict

from tfpose.skeletons import Skeleton, choose_skeleton, unpaired_sided_joints

# The section of poses, and that of detectors, which may have a head for keypoints.
_OF_POSES, _OF_DETECTORS = "augmentation", "input"


def mirror_note(config: ConfigDict, of_data: Skeleton) -> str:
    """Returns a note if mirrored training images leave joints unswapped that may be left and right; else empty.

    A network cannot learn such joints: in half of the images the left one is where the right one should be.

    Args:
        config: Config of an experiment.
        of_data: Skeleton of the training data.
    """
    section = _OF_POSES if _OF_POSES in config else _OF_DETECTORS
    has_joints = section == _OF_POSES or config.network.get("keypoint_head_widths", ())
    if not (has_joints and config[section].mirror_probability):
        return ""
    skeleton = choose_skeleton(config.skeleton, of_data)
    unpaired = unpaired_sided_joints(skeleton)
    if skeleton.num_joints == 1 or (skeleton.left_right_pairs and not unpaired):
        return ""
    joints = ", ".join(unpaired or skeleton.joints)
    return (
        f"note: mirrored training images do not swap the joints {joints}, because skeleton {skeleton.name} has no "
        "pairs of them; if some are left and right, convert the data with --left_right_pairs=LEFT:RIGHT,... or train "
        f"with --config.{section}.mirror_probability=0"
    )
