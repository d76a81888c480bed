"""Draws poses over uint8 RGB frames, fast enough for video: only the pixels around each limb change."""

from __future__ import annotations

import collections
import dataclasses
import itertools

import cv2
import numpy as np

from tfpose.poses import Poses
from tfpose.prediction.head_blur import blur_heads
from tfpose.skeletons import Skeleton
from tfpose.visualization import SIDE_COLORS, identity_color, write_identities

# OpenCV takes fractions of a pixel as whole numbers with this many binary places.
_SHIFT = 4
# Opacity of a joint with the lowest score, and the opacity from which a limb hides the image.
_LEAST_OPACITY, _CERTAIN = 0.25, 0.95
_OUTLINE = (20, 20, 20)
# Longer side of an image, and extent of a person, per pixel of line width; the smaller width is drawn.
_PICTURE_PER_THICKNESS, _PERSON_PER_THICKNESS = 360, 45
# Number of pieces of a trail, each thinner than the next.
_TRAIL_PIECES = 3
_TORSO_WORDS = ("hip", "shoulder")

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class DrawingStyle:
    """Settings of the drawings.

    Attributes:
        joint_threshold: Lowest score of a joint that is drawn.
        trail_frames: Number of past frames whose positions form a person's trail; 0 draws no trails.
        should_blur_heads: Whether heads are blurred so that faces cannot be recognized.

    Raises:
        ValueError: A setting is out of its range; the message names the flag.
    """

    joint_threshold: float = 0.2
    trail_frames: int = 30
    should_blur_heads: bool = False

    def __post_init__(self) -> None:
        if not self.joint_threshold >= 0:
            raise ValueError(f"--joint_threshold must be at least 0, got {self.joint_threshold}")
        if self.trail_frames < 0:
            raise ValueError(f"--trail_frames must be at least 0, got {self.trail_frames}")


class PoseArtist:
    """Draws the people of successive frames: skeletons in the color of their identity, ids and trails.

    The lower score of a limb's two joints sets its opacity. People without identity have the colors of the sides of the
    body.
    """

    def __init__(self, skeleton: Skeleton, style: DrawingStyle | None = None) -> None:
        """Starts without trails.

        Args:
            skeleton: Skeleton of the poses.
            style: Settings of the drawings; None for the defaults.
        """
        self._skeleton, self._style = skeleton, style or DrawingStyle()
        self._limb_sides = [skeleton.sides[a] or skeleton.sides[b] for a, b in skeleton.limbs]
        self._limb_joints = np.array(skeleton.limbs, int).reshape(-1, 2)
        self._joint_colors = [SIDE_COLORS[side] for side in skeleton.sides]
        self._torso = np.array([any(word in joint for word in _TORSO_WORDS) for joint in skeleton.joints])
        # Frame number and place of each track, oldest first.
        self._trails: dict[int, collections.deque[tuple[int, float, float]]] = {}
        self._frame_number = 0

    def draw(self, image: np.ndarray, poses: Poses, found: Poses | None = None) -> np.ndarray:
        """Draws over a frame.

        Args:
            image: Frame [H, W, 3]; it is drawn over itself where it can be written.
            poses: People to draw.
            found: More people whose heads are blurred, such as those that tracking has left out.

        Returns:
            The frame, or its copy if it cannot be written.
        """
        image = np.require(image, requirements=("C_CONTIGUOUS", "WRITEABLE"))
        if self._style.should_blur_heads:
            for people in (poses, found):
                if people is not None:
                    blur_heads(image, people, self._skeleton)
        thickness = max(2, round(max(image.shape[:2]) / _PICTURE_PER_THICKNESS))
        self._draw_trails(image, poses, thickness)
        for person in range(len(poses)):
            track_id = int(poses.track_ids[person])
            color = identity_color(track_id) if track_id >= 0 else None
            self._draw_person(image, poses.keypoints[person], poses.joint_scores[person], color, thickness)
        write_identities(image, poses, self._drawn_from)
        return image

    @property
    def _drawn_from(self) -> float:
        """The lowest score that is drawn; a score of 0 means that the joint was not found."""
        return max(self._style.joint_threshold, float(np.finfo(np.float32).tiny))

    def _draw_person(
        self, image: np.ndarray, keypoints: np.ndarray, scores: np.ndarray, color: Color | None, thickness: int
    ) -> None:
        height, width = image.shape[:2]
        # Points further out cannot be seen, and would overflow OpenCV's whole numbers.
        is_near = (np.abs(keypoints - (width / 2, height / 2)) < (2 * width, 2 * height)).all(axis=1)
        is_drawn = (scores >= self._drawn_from) & is_near
        if not is_drawn.any():
            return
        extent = np.ptp(keypoints[is_drawn], axis=0).max()
        thickness = int(np.clip(round(extent / _PERSON_PER_THICKNESS), 1, thickness))
        points = np.where(is_drawn[:, None], keypoints, 0)
        self._draw_limbs(image, points, is_drawn, scores, color, thickness)
        radius = thickness / 2 + 1
        outer, inner = round((radius + 1) * 2**_SHIFT), round(radius * 2**_SHIFT)
        centers = _fixed(points)
        for joint in np.flatnonzero(is_drawn).tolist():
            cv2.circle(image, centers[joint], outer, _OUTLINE, -1, cv2.LINE_AA, _SHIFT)
            cv2.circle(image, centers[joint], inner, self._joint_colors[joint], -1, cv2.LINE_AA, _SHIFT)

    def _draw_limbs(
        self,
        image: np.ndarray,
        points: np.ndarray,
        is_drawn: np.ndarray,
        scores: np.ndarray,
        color: Color | None,
        thickness: int,
    ) -> None:
        """Draws the limbs between joints [J, 2] that are drawn; only the rectangle around each limb changes."""
        ends = points[self._limb_joints]
        opacities = np.clip(_LEAST_OPACITY + (1 - _LEAST_OPACITY) * scores, 0, 1)[self._limb_joints].min(axis=1)
        margin = thickness + 1
        starts = np.maximum(ends.min(axis=1).astype(int) - margin, 0).tolist()
        stops = np.maximum(ends.max(axis=1).astype(int) + margin + 1, 0).tolist()
        fixed = [_fixed(ends[:, end]) for end in (0, 1)]
        for limb in np.flatnonzero(is_drawn[self._limb_joints].all(axis=1)).tolist():
            color_here = color or SIDE_COLORS[self._limb_sides[limb]]
            line = (fixed[0][limb], fixed[1][limb], color_here, thickness, cv2.LINE_AA, _SHIFT)
            opacity = float(opacities[limb])
            if opacity >= _CERTAIN:
                cv2.line(image, *line)
                continue
            (left, top), (right, bottom) = starts[limb], stops[limb]
            region = image[top:bottom, left:right]
            if region.size:
                below = region.copy()
                cv2.line(image, *line)
                cv2.addWeighted(region, opacity, below, 1 - opacity, 0, dst=region)

    def _draw_trails(self, image: np.ndarray, poses: Poses, thickness: int) -> None:
        if not self._style.trail_frames:
            return
        self._extend_trails(poses)
        for track_id, trail in self._trails.items():
            points = np.round(np.array([(x, y) for _, x, y in trail]) * 2**_SHIFT).astype(np.int32)
            bounds = np.linspace(0, len(points) - 1, _TRAIL_PIECES + 1).round().astype(int).tolist()
            for piece, (start, stop) in enumerate(itertools.pairwise(bounds)):
                if stop > start:
                    part = [points[start : stop + 1]]
                    width = max(1, thickness * (piece + 1) // (_TRAIL_PIECES + 1))
                    cv2.polylines(image, part, False, identity_color(track_id), width, cv2.LINE_AA, _SHIFT)

    def _extend_trails(self, poses: Poses) -> None:
        """Adds the current positions of all people, and drops positions that are too old."""
        self._frame_number += 1
        for trail in self._trails.values():
            while trail and trail[0][0] <= self._frame_number - self._style.trail_frames:
                trail.popleft()
        for person in np.flatnonzero(poses.track_ids >= 0):
            is_seen = poses.joint_scores[person] >= self._drawn_from
            # The torso sways less than the limbs.
            chosen = is_seen & self._torso if (is_seen & self._torso).any() else is_seen
            if chosen.any():
                x, y = poses.keypoints[person][chosen].mean(axis=0).tolist()
                self._trails.setdefault(int(poses.track_ids[person]), collections.deque()).append(
                    (self._frame_number, x, y)
                )
        self._trails = {track_id: trail for track_id, trail in self._trails.items() if trail}


def _fixed(points: np.ndarray) -> list[tuple[int, int]]:
    """Returns points [N, 2] as OpenCV takes fractions of a pixel."""
    return [(x, y) for x, y in np.rint(points * 2**_SHIFT).astype(int).tolist()]
