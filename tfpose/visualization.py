"""Drawing over pixels: skeletons, heatmaps, contact sheets. Pictures are uint8 RGB."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

from tfpose.poses import Poses
from tfpose.skeletons import Skeleton, side_of

# Right in red, left in blue, the middle in green: as drawings of PoseTrack and COCO results commonly have it.
SIDE_COLORS = {"left": (70, 140, 255), "right": (255, 90, 70), None: (90, 220, 120)}
# OpenCV draws at fractions of a pixel given as whole numbers with this many binary places.
_SHIFT = 4
_GOLDEN_RATIO = 0.618034


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    is_drawn: np.ndarray,
    skeleton: Skeleton,
    color: tuple[int, int, int] | None = None,
    thickness: int | None = None,
) -> np.ndarray:
    """Draws one person over a picture.

    Args:
        image: [H, W, 3] uint8.
        keypoints: [J, 2] in pixels.
        is_drawn: [J]; a limb needs both of its joints.
        skeleton: of the keypoints.
        color: of limbs; None colours them by the side of the body.
        thickness: in pixels; None fits it to the picture.

    Returns:
        A new picture.
    """
    image = image.copy()
    thickness = thickness or max(1, round(max(image.shape[:2]) / 320))
    drawn = np.asarray(is_drawn, bool) & np.isfinite(keypoints).all(axis=-1)
    points = np.round(np.where(drawn[:, None], keypoints, 0) * 2**_SHIFT).astype(np.int64)
    for a, b in skeleton.limbs:
        if drawn[a] and drawn[b]:
            side = side_of(skeleton.joints[a]) or side_of(skeleton.joints[b])
            limb_color = color or SIDE_COLORS[side]
            cv2.line(image, points[a].tolist(), points[b].tolist(), limb_color, thickness, cv2.LINE_AA, _SHIFT)
    for joint in np.flatnonzero(drawn):
        joint_color = SIDE_COLORS[side_of(skeleton.joints[joint])]
        radius = (thickness + 1) << _SHIFT
        cv2.circle(image, points[joint].tolist(), radius, joint_color, -1, cv2.LINE_AA, _SHIFT)
    return image


def draw_poses(image: np.ndarray, poses: Poses, skeleton: Skeleton, joint_threshold: float = 0.2) -> np.ndarray:
    """Draws all people of a frame, coloured by track where there are tracks."""
    for person in range(len(poses)):
        track_id = int(poses.track_ids[person])
        color = identity_color(track_id) if track_id >= 0 else None
        is_drawn = poses.joint_scores[person] >= joint_threshold
        image = draw_pose(image, poses.keypoints[person], is_drawn, skeleton, color)
    return image


def draw_identities(image: np.ndarray, poses: Poses, joint_threshold: float = 0.2) -> np.ndarray:
    """Writes each tracked person's id above its highest drawn joint; returns a new picture."""
    image = image.copy()
    scale = max(image.shape[:2]) / 960
    for person in np.flatnonzero(np.asarray(poses.track_ids) >= 0):
        is_drawn = poses.joint_scores[person] >= joint_threshold
        if not is_drawn.any():
            continue
        points = poses.keypoints[person][is_drawn]
        x, y = points[points[:, 1].argmin()]
        place = (round(x - 8 * scale), max(round(y - 12 * scale), round(24 * scale)))
        for color, thickness in (((0, 0, 0), 3), (identity_color(int(poses.track_ids[person])), 1)):
            text = str(int(poses.track_ids[person]))
            cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9 * scale, color, thickness, cv2.LINE_AA)
    return image


def identity_color(track_id: int) -> tuple[int, int, int]:
    """A bright colour that stays with an identity; neighbouring ids differ clearly."""
    red, green, blue = colorsys.hsv_to_rgb((track_id * _GOLDEN_RATIO) % 1.0, 0.75, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay_heatmaps(image: np.ndarray, heatmaps: np.ndarray) -> np.ndarray:
    """Lays the maximum over all joints' maps [h, w, J] over a darkened picture [H, W, 3]."""
    strength = np.clip(heatmaps.max(axis=-1), 0, 1)
    strength = cv2.resize(strength.astype(np.float32), image.shape[1::-1])
    colors = cv2.applyColorMap(np.round(255 * strength).astype(np.uint8), cv2.COLORMAP_TURBO)
    weight = strength[..., None] * 0.7
    mixed = image * 0.6 * (1 - weight) + colors[..., ::-1] * weight
    return np.round(mixed).astype(np.uint8)


def tile_pictures(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Puts pictures of one size side by side, row by row; missing ones at the end stay black."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * height, (index % columns) * width
        sheet[top : top + height, left : left + width] = picture
    return sheet
