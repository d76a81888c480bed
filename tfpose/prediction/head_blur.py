"""Blurs the heads of people so that their faces cannot be recognized."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, names_part

_HEAD_PARTS = ("head", "face", "nose", "eye", "ear", "neck", "chin", "mouth")
# Smallest radius as a share of the person's size, the square root of the area of the joints' extent: the head of a
# standing person is about a seventh of the height. Joints of the head may lie close together, as in profile.
_LEAST_RADIUS = 0.13
_RADIUS_OF_EXTENT = 0.75
_RADIUS_OF_SHOULDERS = 0.55
_LEAST_PIXELS = 6
# A head is reduced to this many cells per side, too few for eyes and mouth.
_CELLS = 4


def blur_heads(image: np.ndarray, poses: Poses, skeleton: Skeleton) -> None:
    """Blurs the heads of all people in place, even where the score of a joint is low.

    Args:
        image: Image [H, W, 3] uint8, which is changed.
        poses: Poses in pixels of the image.
        skeleton: Skeleton of the poses.

    Raises:
        ValueError: The skeleton has no joint of the head or of a shoulder.
    """
    is_head, is_shoulder = head_joints(skeleton)
    for keypoints, scores in zip(poses.keypoints, poses.joint_scores, strict=True):
        circle = head_circle(keypoints, scores > 0, is_head, is_shoulder)
        if circle is not None:
            _blur_circle(image, *circle)


@functools.lru_cache
def head_joints(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Returns which joints are of the head and which are shoulders, [J] bool each.

    Raises:
        ValueError: No joint is, so that no head would be blurred.
    """
    is_head = np.array([names_part(joint, _HEAD_PARTS) for joint in skeleton.joints])
    is_shoulder = np.array([names_part(joint, ("shoulder",)) for joint in skeleton.joints])
    if not (is_head | is_shoulder).any():
        raise ValueError(
            f"--blur_heads requires a joint of the head or of a shoulder, such as nose, got a model with "
            f"{', '.join(skeleton.joints):.200}"
        )
    return is_head, is_shoulder


def head_circle(
    keypoints: np.ndarray, is_present: np.ndarray, is_head: np.ndarray, is_shoulder: np.ndarray
) -> tuple[float, float, float] | None:
    """Returns a generous circle around a person's head.

    Args:
        keypoints: Keypoints [J, 2] in pixels.
        is_present: Whether each joint was found, [J].
        is_head: Whether each joint belongs to the head, [J].
        is_shoulder: Whether each joint is a shoulder, [J].

    Returns:
        x, y and radius in pixels; None if neither head nor shoulders were found.
    """
    head, shoulders = keypoints[is_present & is_head], keypoints[is_present & is_shoulder]
    extent = np.ptp(keypoints[is_present], axis=0) if is_present.any() else np.zeros(2)
    radius = max(_LEAST_PIXELS, _LEAST_RADIUS * float(np.sqrt(extent.prod())))
    if len(shoulders) == 2:
        radius = max(radius, _RADIUS_OF_SHOULDERS * float(np.linalg.norm(shoulders[0] - shoulders[1])))
    if len(head):
        radius = max(radius, _RADIUS_OF_EXTENT * float(np.ptp(head, axis=0).max()))
        x, y = ((head.min(axis=0) + head.max(axis=0)) / 2).tolist()
        return x, y, radius
    if len(shoulders):
        x, y = shoulders.mean(axis=0).tolist()
        return x, y - radius, 1.3 * radius
    return None


def _blur_circle(image: np.ndarray, x: float, y: float, radius: float) -> None:
    height, width = image.shape[:2]
    if not (-radius < x < width + radius and -radius < y < height + radius):
        return
    left, top = max(0, int(x - radius)), max(0, int(y - radius))
    region = image[top : max(0, int(y + radius) + 1), left : max(0, int(x + radius) + 1)]
    if not region.size:
        return
    cells = cv2.resize(region, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
    blurred = cv2.resize(cells, region.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.circle(mask, (round(x) - left, round(y) - top), round(radius), 255, -1)
    cv2.copyTo(blurred, mask, region)
