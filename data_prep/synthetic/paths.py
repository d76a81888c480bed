"""Place and heading of a person over time, in closed form, so that any moment can be computed alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Course:
    """Places along a path at T times.

    Attributes:
        positions: [T, 2] positions (x, z) on the ground in meters.
        headings: [T] headings in radians; 0 faces the camera, pi/2 faces the right of the image.
        distances: [T] distances in meters walked since time 0.
    """

    positions: np.ndarray
    headings: np.ndarray
    distances: np.ndarray


class Path(Protocol):
    """Place and heading of a person as a function of time."""

    def follow(self, seconds: np.ndarray) -> Course:
        """Computes the places at the given times [T] in seconds."""


@dataclass(frozen=True)
class Standing:
    """Stays at a place, turning at a constant rate.

    Attributes:
        position: Position (x, z) in meters.
        heading: Heading at time 0 in radians.
        turn_rate: Turn in radians per second, positive to the left of the person.
    """

    position: tuple[float, float]
    heading: float
    turn_rate: float = 0.0

    def follow(self, seconds: np.ndarray) -> Course:
        """Computes the places at the given times [T] in seconds."""
        positions = np.broadcast_to(np.asarray(self.position), (len(seconds), 2))
        return Course(positions, self.heading + self.turn_rate * seconds, np.zeros_like(seconds))


@dataclass(frozen=True)
class Line:
    """Walks straight ahead.

    Attributes:
        start: Position (x, z) at time 0 in meters.
        heading: Heading in radians.
        speed: Speed in meters per second.
    """

    start: tuple[float, float]
    heading: float
    speed: float

    def follow(self, seconds: np.ndarray) -> Course:
        """Computes the places at the given times [T] in seconds."""
        distances = self.speed * seconds
        direction = np.array([math.sin(self.heading), -math.cos(self.heading)])
        positions = np.asarray(self.start) + distances[:, None] * direction
        return Course(positions, np.full_like(seconds, self.heading), distances)


@dataclass(frozen=True)
class Loop:
    """Walks around a stadium: two straights parallel to the image, joined by half circles.

    Attributes:
        center: Position (x, z) of the center in meters.
        straight: Length of each straight in meters; 0 gives a circle.
        radius: Radius of the half circles in meters.
        speed: Speed in meters per second.
        start: Distance in meters along the loop at time 0. The loop begins at the left end of the nearer straight,
            goes right, turns away from the camera and comes back to the left.
        is_mirrored: Whether left and right are exchanged.
    """

    center: tuple[float, float]
    straight: float
    radius: float
    speed: float
    start: float = 0.0
    is_mirrored: bool = False

    def follow(self, seconds: np.ndarray) -> Course:
        """Computes the places at the given times [T] in seconds."""
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
