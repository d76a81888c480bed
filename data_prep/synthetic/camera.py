"""The camera of a synthetic video, which projects meters to pixels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_NEAREST_DEPTH_METRES = 0.5


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera at (0, height_meters, 0) that looks along z.

    World axes in meters: x to the right, y up from the ground, z away from the camera. The image may be shifted against
    the optical axis, so vertical lines stay vertical while the horizon is off center.

    Attributes:
        focal_length: Focal length in pixels.
        center_x: Column of the optical axis in pixels.
        horizon_y: Row of the horizon in pixels.
        height_meters: Height of the lens above the ground.
    """

    focal_length: float
    center_x: float
    horizon_y: float
    height_meters: float

    def project(self, world_points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Projects world points.

        Args:
            world_points: [..., 3] points in meters.

        Returns:
            Image points [..., 2] as (x, y) in pixels, and pixels per meter [...] at their depth.
        """
        depth = np.maximum(world_points[..., 2], _NEAREST_DEPTH_METRES)
        pixels_per_meter = self.focal_length / depth
        x = self.center_x + world_points[..., 0] * pixels_per_meter
        y = self.horizon_y + (self.height_meters - world_points[..., 1]) * pixels_per_meter
        return np.stack([x, y], axis=-1), pixels_per_meter

    def project_point(self, x: float, y: float, depth: float) -> tuple[float, float]:
        """Returns the image point (x, y) in pixels of one world point, faster than `project` and with the same bits."""
        pixels_per_meter = self.focal_length / max(depth, _NEAREST_DEPTH_METRES)
        return self.center_x + x * pixels_per_meter, self.horizon_y + (self.height_meters - y) * pixels_per_meter

    def ground_row(self, depth_meters: float) -> float:
        """Returns the image row of the ground at a depth."""
        return self.horizon_y + self.focal_length * self.height_meters / depth_meters

    def world_x(self, column: float, depth_meters: float) -> float:
        """Returns the world x in meters of an image column at a depth."""
        return (column - self.center_x) * depth_meters / self.focal_length

    def depth_of_size(self, size_meters: float, size_pixels: float) -> float:
        """Returns the depth in meters at which an upright object has the given size in pixels."""
        return self.focal_length * size_meters / size_pixels

    def shifted(self, x: float, y: float) -> Camera:
        """Returns the same camera for an image whose origin is at pixel (x, y) of the present image."""
        return replace(self, center_x=self.center_x - x, horizon_y=self.horizon_y - y)
