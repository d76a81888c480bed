"""Drawing over pixels: skeletons, heatmaps, contact sheets. Pictures are uint8 RGB."""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence

import cv2
import numpy as np

from tfpose.poses import Poses
from tfpose.skeletons import Skeleton

# Right in red, left in blue, the middle in green: as drawings of PoseTrack and COCO results commonly have it.
SIDE_COLORS = {"left": (70, 140, 255), "right": (255, 90, 70), None: (90, 220, 120)}
# OpenCV draws at fractions of a pixel given as whole numbers with this many binary places.
_SHIFT = 4
# Distance in pixels from which on the place of a joint outside a picture no longer matters.
_FARTHEST = 2.0**26
_GOLDEN_RATIO = 0.618034
_DASH_PIXELS, _MOST_DASHES = 3, 1000
_FONT = cv2.FONT_HERSHEY_SIMPLEX
# Longest side in pixels of a picture in which the names of 17 joints of a person find room.
_SIDE_WITH_NAMES = 640
_NAME_SCALE = 0.42
# Of a color's brightness (0 to 255): on darker ones white letters are easier to read.
_DARKEST_UNDER_BLACK = 120


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    is_drawn: np.ndarray,
    skeleton: Skeleton,
    color: tuple[int, int, int] | None = None,
    thickness: int | None = None,
    is_faint: np.ndarray | None = None,
) -> np.ndarray:
    """Draws one person over a picture.

    Args:
        image: [H, W, 3] uint8.
        keypoints: [J, 2] in pixels.
        is_drawn: [J]; a limb needs both of its joints.
        skeleton: Skeleton of the keypoints.
        color: Color of the limbs; None colors them by the side of the body.
        thickness: Thickness in pixels; None fits it to the picture.
        is_faint: [J] joints that are drawn as thin circles, and their limbs as thin dashed lines; None for none.

    Returns:
        A new picture.
    """
    image = image.copy()
    thickness = thickness or max(1, round(max(image.shape[:2]) / 320))
    is_finite = np.isfinite(keypoints).all(axis=-1)
    drawn = np.asarray(is_drawn, bool) & is_finite
    faint = (np.zeros(len(drawn), bool) if is_faint is None else np.asarray(is_faint, bool)) & is_finite & ~drawn
    known = _within_reach(np.where((drawn | faint)[:, None], keypoints, 0))
    points = np.round(known * 2**_SHIFT).astype(np.int64)
    for a, b in skeleton.limbs:
        limb_color = color or SIDE_COLORS[skeleton.sides[a] or skeleton.sides[b]]
        if drawn[a] and drawn[b]:
            cv2.line(image, points[a].tolist(), points[b].tolist(), limb_color, thickness, cv2.LINE_AA, _SHIFT)
        elif (drawn | faint)[[a, b]].all():
            _draw_dashes(image, points[a], points[b], limb_color)
    for joint in np.flatnonzero(drawn | faint):
        joint_color = SIDE_COLORS[skeleton.sides[joint]]
        radius, fill = (thickness + 1) << _SHIFT, -1 if drawn[joint] else 1
        cv2.circle(image, points[joint].tolist(), radius, joint_color, fill, cv2.LINE_AA, _SHIFT)
    return image


def _within_reach(points: np.ndarray) -> np.ndarray:
    """Returns points that OpenCV can draw to: its coordinates have 32 bits, of which `_SHIFT` are for fractions."""
    return np.clip(points, -_FARTHEST, _FARTHEST)


def _draw_dashes(image: np.ndarray, start: np.ndarray, end: np.ndarray, color: tuple[int, int, int]) -> None:
    """Draws a thin dashed line between points [2] in fractions of a pixel of `_SHIFT` binary places."""
    # A joint far outside the picture would take as many dashes as it is far.
    count = min(int(np.linalg.norm(end - start) / (2 * _DASH_PIXELS << _SHIFT)) + 1, _MOST_DASHES)
    ends = np.round(start + (end - start) * np.linspace(0, 1, 2 * count)[:, None]).astype(np.int64).tolist()
    for first, last in zip(ends[::2], ends[1::2], strict=True):
        cv2.line(image, first, last, color, 1, cv2.LINE_AA, _SHIFT)


def draw_poses(
    image: np.ndarray, poses: Poses, skeleton: Skeleton, joint_threshold: float = 0.2, shows_faint_joints: bool = False
) -> np.ndarray:
    """Draws all people of a frame, colored by track where there are tracks.

    Args:
        image: [H, W, 3] uint8 RGB.
        poses: The people, in pixels of the image.
        skeleton: Skeleton of the poses.
        joint_threshold: Smallest score of a joint that is drawn.
        shows_faint_joints: Whether joints below the threshold are drawn too, thin and with dashed limbs.

    Returns:
        A new picture; `image` itself if there are no people.

    Raises:
        ValueError: The number of joints is not that of the skeleton.
    """
    if poses.keypoints.shape[1] != skeleton.num_joints:
        raise ValueError(
            f"poses must have the {skeleton.num_joints} joints of skeleton {skeleton.name}, "
            f"got {poses.keypoints.shape[1]}"
        )
    for person in range(len(poses)):
        track_id = int(poses.track_ids[person])
        color = identity_color(track_id) if track_id >= 0 else None
        is_drawn = _are_shown(poses.joint_scores[person], joint_threshold)
        is_faint = poses.joint_scores[person] > 0 if shows_faint_joints else None
        image = draw_pose(image, poses.keypoints[person], is_drawn, skeleton, color, is_faint=is_faint)
    return image


def _are_shown(joint_scores: np.ndarray, joint_threshold: float) -> np.ndarray:
    """Returns whether joints are drawn, [J] bool; those of a score of 0 or less are not there."""
    return (joint_scores >= joint_threshold) & (joint_scores > 0)


def draw_named_pose(image: np.ndarray, keypoints: np.ndarray, is_drawn: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Draws one person with the names of the joints, in the color of their side; for the arguments see `draw_pose`.

    Returns:
        A new picture, enlarged by `naming_factor` so that the names find room.
    """
    factor = naming_factor(image)
    # The center of pixel i of a picture is at factor * (i + 0.5) - 0.5 in the enlarged one.
    points = (np.asarray(keypoints, np.float64) + 0.5) * factor - 0.5
    picture = draw_pose(enlarge(image, factor), points, is_drawn, skeleton)
    labels, taken = [], np.zeros((0, 4))
    for joint in np.flatnonzero(np.asarray(is_drawn, bool) & np.isfinite(points).all(axis=-1)):
        color = SIDE_COLORS[skeleton.sides[joint]]
        label = _Label(skeleton.joints[joint], color, points[joint], picture.shape[:2], _NAME_SCALE)
        labels.append(label)
        taken = np.concatenate([taken, label.take_place(taken)[None]])
    for label in labels:
        label.draw_line(picture)
    for label in labels:
        label.draw(picture)
    return picture


def naming_factor(image: np.ndarray) -> int:
    """Returns how many times a picture [H, W, 3] is enlarged so that the names of joints find room."""
    return max(1, -(-_SIDE_WITH_NAMES // max(image.shape[:2])))


def enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    """Returns a picture [H, W, 3] that is `factor` times larger."""
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)


def add_side_legend(picture: np.ndarray) -> np.ndarray:
    """Adds a strip below a picture [H, W, 3] that tells which color is which side of the body."""
    texts = {"left": "left", "right": "right", None: "no side: not swapped by a mirror"}
    strip = np.zeros((24, picture.shape[1], 3), np.uint8)
    place = 6
    for side, color in SIDE_COLORS.items():
        cv2.rectangle(strip, (place, 7), (place + 10, 17), color, -1)
        cv2.putText(strip, texts[side], (place + 16, 16), _FONT, _NAME_SCALE, (230, 230, 230), 1, cv2.LINE_AA)
        place += cv2.getTextSize(texts[side], _FONT, _NAME_SCALE, 1)[0][0] + 34
    return np.concatenate([picture, strip])


def draw_identities(image: np.ndarray, poses: Poses, joint_threshold: float = 0.2) -> np.ndarray:
    """Writes each tracked person's id above its highest drawn joint; returns a new picture.

    Labels stay inside the picture and beside each other: one whose place is taken moves to the nearest free one, with
    a line to its person.
    """
    image = image.copy()
    write_identities(image, poses, joint_threshold)
    return image


def write_identities(image: np.ndarray, poses: Poses, joint_threshold: float = 0.2) -> None:
    """Does the same on the picture itself."""
    labels = []
    taken = np.zeros((0, 4))
    for person in np.flatnonzero(np.asarray(poses.track_ids) >= 0):
        points = poses.keypoints[person][_are_shown(poses.joint_scores[person], joint_threshold)]
        points = points[np.isfinite(points).all(axis=1)]
        if len(points):
            track_id, top = int(poses.track_ids[person]), points[points[:, 1].argmin()]
            # Legible on pictures shown at a third of their size, and no larger than need be on large ones.
            scale = max(0.5, max(image.shape[:2]) / 1100)
            label = _Label(str(track_id), identity_color(track_id), top, image.shape[:2], scale)
            labels.append(label)
            taken = np.concatenate([taken, label.take_place(taken)[None]])
    for label in labels:
        label.draw_line(image)
    # Over the lines of the others.
    for label in labels:
        label.draw(image)


class _Label:
    """A text on a box of its own, above a point of a picture."""

    def __init__(
        self, text: str, color: tuple[int, int, int], anchor: np.ndarray, image_size: tuple[int, int], scale: float
    ) -> None:
        # OpenCV's letters are those of ASCII.
        self._text, self._color = text.encode("ascii", "replace").decode(), color
        self._anchor, self._image_size, self._scale = _within_reach(anchor), image_size, scale
        self._thickness = max(1, round(1.6 * self._scale))
        width, ascent = _text_size(self._text, self._scale, self._thickness)
        self._margin = max(2, round(5 * self._scale))
        self._size = np.array([width, ascent]) + 2 * self._margin
        self._corner = np.zeros(2)

    def take_place(self, taken: np.ndarray) -> np.ndarray:
        """Places the label above the anchor, or at the nearest place that meets no box in `taken` [N, 4].

        Returns:
            Box [4] of the label in whole pixels.
        """
        wanted = self._anchor - self._size * (0.5, 1.0) - (0, 2 * self._margin)
        self._corner = np.round(self._inside(wanted))
        if _overlaps(self._corner[None], self._size, taken)[0]:
            grid = self._grid()
            free = grid[~_overlaps(grid, self._size, taken)]
            # With more labels than the picture can hold, they may meet.
            if len(free):
                self._corner = free[np.square(free - self._corner).sum(axis=1).argmin()]
        return np.concatenate([self._corner, self._corner + self._size])

    def _grid(self) -> np.ndarray:
        """Returns places [N, 2] all over the picture, a third of the label apart."""
        height, width = self._image_size
        steps = np.maximum(self._size // 3, 1)
        columns, rows = np.arange(0, max(width, 1), steps[0]), np.arange(0, max(height, 1), steps[1])
        return np.round(self._inside(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)))

    def _inside(self, corners: np.ndarray) -> np.ndarray:
        most = np.maximum(np.array(self._image_size[::-1]) - self._size - 1, 0)
        return np.clip(corners, 0, most)

    def draw_line(self, image: np.ndarray) -> None:
        """Draws a line to the anchor if that is not just below."""
        nearest = np.clip(self._anchor, self._corner, self._corner + self._size)
        if np.linalg.norm(nearest - self._anchor) > 2 * self._size[1]:
            start, end = (np.round(point).astype(int).tolist() for point in (nearest, self._anchor))
            cv2.line(image, start, end, self._color, self._thickness, cv2.LINE_AA)

    def draw(self, image: np.ndarray) -> None:
        """Draws the box and the text."""
        left, top, right, bottom = (int(value) for value in (*self._corner, *(self._corner + self._size)))
        cv2.rectangle(image, (left, top), (right, bottom), self._color, -1)
        red, green, blue = self._color
        ink = (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > _DARKEST_UNDER_BLACK else (255, 255, 255)
        place = (left + self._margin, bottom - self._margin)
        cv2.putText(image, self._text, place, _FONT, self._scale, ink, self._thickness, cv2.LINE_AA)


@functools.lru_cache(maxsize=4096)
def _text_size(text: str, scale: float, thickness: int) -> tuple[int, int]:
    """Returns width and height above the base line of a text, in pixels."""
    (width, ascent), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    return width, ascent


def _overlaps(corners: np.ndarray, size: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """Returns whether a box of a size at the corners [C, 2] meets one of the boxes `taken` [N, 4], [C] bool."""
    is_beside = (corners[:, None] > taken[None, :, 2:]) | (corners[:, None] + size < taken[None, :, :2])
    return (~is_beside.any(axis=2)).any(axis=1)


@functools.lru_cache(maxsize=4096)
def identity_color(track_id: int) -> tuple[int, int, int]:
    """Returns a bright color that belongs to an identity; the colors of neighboring ids differ clearly."""
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
