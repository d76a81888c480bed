"""Shadows on the ground: people and objects projected along the rays of the light."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from data_prep.synthetic.camera import Camera
from data_prep.synthetic.motion import SIDES

_REDUCTION = 2  # The mask is blurred anyway, and half the size costs a quarter of the time.
_SHIFT = 4

# Two points of a body and the radius between them as a fraction of the stature.
_CASTING = (
    ("shoulder_middle", "hip_middle", 0.09),
    ("head_center", "head_center", 0.065),
    *(
        (f"{side}_{start}", f"{side}_{end}", radius)
        for side in SIDES
        for start, end, radius in (
            ("shoulder", "elbow", 0.03),
            ("elbow", "wrist", 0.025),
            ("hip", "knee", 0.045),
            ("knee", "ankle", 0.03),
            ("heel", "toe", 0.024),
        )
    ),
)

Segment = tuple[np.ndarray, np.ndarray, float]


def person_segments(points: dict[str, np.ndarray], stature: float) -> list[Segment]:
    """Segments (start [3], end [3], radius) in meters that cast the shadow of a person."""
    return [(points[a], points[b], radius * stature) for a, b, radius in _CASTING]


class ShadowMap:
    """Collects shadows and darkens the ground where they are.

    Args:
        camera: Camera of the image to darken.
        image_size: (height, width) of the image.
        sun: World direction (x, y, z) to the light; None for diffuse light, which darkens only the ground near the
            feet.
    """

    def __init__(self, camera: Camera, image_size: tuple[int, int], sun: np.ndarray | None) -> None:
        self._camera, self._image_size, self._sun = camera, image_size, sun
        small = tuple(-(-size // _REDUCTION) for size in image_size)
        self._mask = np.zeros(small, np.uint8)

    def add(self, segments: Iterable[Segment]) -> None:
        """Adds the shadow of some segments."""
        for start, end, radius in segments:
            if self._sun is None:
                self._add_contact(start, end, radius)
            else:
                self._add_cast(self._sun, start, end, radius)

    def _add_cast(self, sun: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> None:
        ends = np.stack([start, end])
        reach = ends[:, 1:2] / sun[1]
        ground = ends - reach * sun
        image, scale = self._camera.project(ground)
        first, last = np.round(image / _REDUCTION * (1 << _SHIFT)).astype(int).tolist()
        thickness = max(1, round(1.3 * radius * float(scale.mean()) / _REDUCTION))
        cv2.line(self._mask, first, last, 255, thickness, cv2.LINE_8, _SHIFT)

    def _add_contact(self, start: np.ndarray, end: np.ndarray, radius: float) -> None:
        if min(start[1], end[1]) > 0.12:
            return
        ground = (start + end) / 2 * [1, 0, 1]
        image, scale = self._camera.project(ground)
        flatness = self._camera.height_meters / max(float(ground[2]), 0.5)
        wide = (1.2 * radius + 0.06) * float(scale) / _REDUCTION
        center = tuple(np.round(image / _REDUCTION * (1 << _SHIFT)).astype(int).tolist())
        axes = (int(wide * (1 << _SHIFT)), int(max(wide * flatness, 0.7) * (1 << _SHIFT)))
        cv2.ellipse(self._mask, center, axes, 0, 0, 360, 255, -1, cv2.LINE_8, _SHIFT)

    def darken(self, pixels: np.ndarray, strength: float) -> None:
        """Darkens a float image [H, W, 3] in place by a share of at most `strength`."""
        softness = (0.8 if self._sun is not None else 2.0) * self._image_size[0] / 270
        mask = cv2.GaussianBlur(self._mask, (0, 0), max(softness, 0.3))
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        if len(rows) == 0:
            return
        height, width = self._image_size
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        top, bottom = _REDUCTION * max(rows[0] - 1, 0), _REDUCTION * (rows[-1] + 2)
        left, right = _REDUCTION * max(columns[0] - 1, 0), _REDUCTION * (columns[-1] + 2)
        cut = np.s_[top:bottom, left:right]
        pixels[cut] *= 1 - (strength / 255) * mask[cut].astype(np.float32)[..., None]
