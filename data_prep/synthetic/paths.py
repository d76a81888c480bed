"""Where a person is and looks over time; closed forms, so any moment can be asked for alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Course:
    """Places along a path.

    Attributes:
        positions: [T, 2] as (x, z) on the ground, in meters.
        headings: [T] in radians; 0 faces the camera, pi/2 faces the right of the image.
        distances: [T] meters walked since the start.
    """

    positions: np.ndarray
    headings: np.ndarray
    distances: np.ndarray


class Path(Protocol):
    """Anything that says where a person is."""

    def follow(self, seconds: np.ndarray) -> Course:
        """Returns the places at the given times [T]."""


@dataclass(frozen=True)
class Standing:
    """Stays at a place, turning at a constant rate.

    Attributes:
        position: (x, z) in meters.
        heading: at time 0, in radians.
        turn_rate: radians per second, positive toward the person's left.
    """

    position: tuple[float, float]
    heading: float
    turn_rate: float = 0.0

    def follow(self, seconds: np.ndarray) -> Course:
        """Returns the places at the given times [T]."""
        positions = np.broadcast_to(np.asarray(self.position), (len(seconds), 2))
        return Course(positions, self.heading + self.turn_rate * seconds, np.zeros_like(seconds))


@dataclass(frozen=True)
class Line:
    """Walks straight on.

    Attributes:
        start: (x, z) at time 0, in meters.
        heading: in radians.
        speed: meters per second.
    """

    start: tuple[float, float]
    heading: float
    speed: float

    def follow(self, seconds: np.ndarray) -> Course:
        """Returns the places at the given times [T]."""
        distances = self.speed * seconds
        direction = np.array([math.sin(self.heading), -math.cos(self.heading)])
        positions = np.asarray(self.start) + distances[:, None] * direction
        return Course(positions, np.full_like(seconds, self.heading), distances)


@dataclass(frozen=True)
class Loop:
    """Walks round a stadium: two straights parallel to the image joined by half circles.

    Attributes:
        center: (x, z) in meters.
        straight: length of each straight in meters; 0 gives a circle.
        radius: of the half circles in meters.
        speed: meters per second.
        start: meters along the loop at time 0. The loop begins at the left end of the nearer
            straight, goes right, turns away from the camera and comes back to the left.
        is_mirrored: exchange left and right.
    """

    center: tuple[float, float]
    straight: float
    radius: float
    speed: float
    start: float = 0.0
    is_mirrored: bool = False

    def follow(self, seconds: np.ndarray) -> Course:
        """Returns the places at the given times [T]."""
        distances = self.speed * seconds
        half = self.straight + math.pi * self.radius
        along = np.mod(self.start + distances, 2 * half)
        is_back = along >= half
        along = np.where(is_back, along - half, along)
        angle = np.maximum(along - self.straight, 0.0) / self.radius
        x = np.minimum(along, self.straight) - self.straight / 2 + self.radius * np.sin(angle)
        z = -self.radius * np.cos(angle)
        sign = np.where(is_back, -1.0, 1.0)
        headings = math.pi / 2 + angle + np.where(is_back, math.pi, 0.0)
        x, z = sign * x, sign * z
        if self.is_mirrored:
            x, headings = -x, -headings
        return Course(np.stack([x, z], axis=1) + self.center, headings, distances)
