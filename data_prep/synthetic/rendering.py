"""Shaded, anti-aliased shapes on a float image that records which shape drew each pixel.

A shape is evaluated as the distance to its outline at the pixel centers, which are at whole numbers, so its position is
exact to a fraction of a pixel. Surfaces are rounded toward the viewer and shaded by Lambert's law.

Image axes: x right, y down, and for normals a third axis toward the viewer.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

NOBODY = 0
OBJECT = 1

PaintFunction: TypeAlias = Callable[..., np.ndarray]
Paint: TypeAlias = np.ndarray | PaintFunction


@dataclass
class Canvas:
    """An image under construction.

    Attributes:
        pixels: [H, W, 3] float32 RGB, 0 to 255.
        owners: [H, W] int16, code of the topmost shape: `NOBODY`, `OBJECT` or a body part.
    """

    pixels: np.ndarray
    owners: np.ndarray

    @classmethod
    def over(cls, background: np.ndarray) -> Canvas:
        """Returns a canvas that starts from a copy of an image [H, W, 3]."""
        return cls(background.astype(np.float32), np.zeros(background.shape[:2], np.int16))


@dataclass(frozen=True)
class Light:
    """Parallel light plus ambient light.

    Attributes:
        direction: Unit vector (right, down, toward the viewer) that points to the light.
        ambient: Share of the ambient light, 0 to 1.
    """

    direction: tuple[float, float, float]
    ambient: float


@dataclass(frozen=True)
class Stroke:
    """The settings for drawing a shape on the canvas.

    Attributes:
        owner: Code to write into `Canvas.owners`.
        softness: Width in pixels over which the outline fades; 1 is sharp, more looks like motion blur.
    """

    owner: int = OBJECT
    softness: float = 1.0


@dataclass(frozen=True)
class _Window:
    """The part of the canvas that a shape can cover, and the coordinates of its pixels."""

    rows: slice
    columns: slice
    x: np.ndarray  # [1, w]
    y: np.ndarray  # [h, 1]


def _find_window(canvas: Canvas, points: list[list[float]], margin: float) -> _Window | None:
    height, width = canvas.owners.shape
    columns, rows = (
        slice(max(math.floor(min(places) - margin), 0), min(math.ceil(max(places) + margin) + 1, most))
        for places, most in zip(zip(*points, strict=True), (width, height), strict=True)
    )
    if columns.start >= columns.stop or rows.start >= rows.stop:
        return None
    places = _whole_numbers(max(height, width))
    return _Window(rows, columns, places[None, columns], places[rows, None])


@functools.cache
def _whole_numbers(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)


def _clip(values: np.ndarray) -> np.ndarray:
    """Clips an array of the caller to 0 to 1, in place."""
    np.maximum(values, 0, out=values)
    return np.minimum(values, 1, out=values)


def _blend(canvas: Canvas, window: _Window, alpha: np.ndarray, colors: np.ndarray, owner: int) -> None:
    region = canvas.pixels[window.rows, window.columns]
    change = colors - region
    change *= alpha[..., None]
    region += change
    canvas.owners[window.rows, window.columns][alpha > 0.5] = owner


def _shade(light: Light, x: np.ndarray, y: np.ndarray, facing: np.ndarray) -> np.ndarray:
    """Brightness of a surface with the given normal; rims are darkened, which separates the shapes."""
    lx, ly, lz = light.direction
    diffuse = np.maximum(x * lx + y * ly + facing * lz, 0)
    return (light.ambient + (1 - light.ambient) * diffuse) * (0.76 + 0.28 * facing)


def _paint(paint: Paint, shade: np.ndarray, *surface: np.ndarray) -> np.ndarray:
    color = paint(*surface) if callable(paint) else paint
    shaded = shade[..., None] * color
    return np.minimum(shaded, 255, out=shaded)


@dataclass(frozen=True)
class Capsule:
    """A rounded limb between two image points.

    Attributes:
        start: [2] first point in pixels.
        end: [2] last point in pixels.
        start_radius: Radius at the first point in pixels.
        end_radius: Radius at the last point in pixels.
        bulge: Additional radius in the middle in pixels.
    """

    start: np.ndarray
    end: np.ndarray
    start_radius: float
    end_radius: float
    bulge: float = 0.0


def draw_capsule(canvas: Canvas, capsule: Capsule, paint: Paint, light: Light, stroke: Stroke) -> None:
    """Draws a limb.

    Args:
        canvas: Image to draw on.
        capsule: Shape of the limb.
        paint: Color [3], or a function of the place along the limb [h, w] (0 start, 1 end).
        light: Light on the surface.
        stroke: How the limb is put on the canvas.
    """
    margin = max(capsule.start_radius, capsule.end_radius) + capsule.bulge + stroke.softness
    window = _find_window(canvas, [capsule.start.tolist(), capsule.end.tolist()], margin)
    if window is None:
        return
    axis = (capsule.end - capsule.start).astype(np.float32)
    squared_length = max(float(axis @ axis), 1e-6)
    x, y = window.x - np.float32(capsule.start[0]), window.y - np.float32(capsule.start[1])
    along = _clip((x * axis[0] + y * axis[1]) / squared_length)
    radius = capsule.start_radius + (capsule.end_radius - capsule.start_radius) * along
    if capsule.bulge:
        radius = radius + (4 * capsule.bulge) * along * (1 - along)
    outward_x, outward_y = x - along * axis[0], y - along * axis[1]
    distance = np.sqrt(outward_x * outward_x + outward_y * outward_y)
    alpha = _clip((radius - distance) / stroke.softness + 0.5)
    if squared_length > capsule.start_radius**2:
        # Shaded as an endless cylinder: round ends would show as balls where limbs meet.
        offset = (x * axis[1] - y * axis[0]) / np.float32(squared_length)
        outward_x, outward_y, distance = (
            offset * axis[1],
            -offset * axis[0],
            np.abs(offset) * np.float32(squared_length**0.5),
        )
    facing = np.sqrt(np.maximum(1 - (distance / radius) ** 2, 0))
    shade = _shade(light, outward_x / radius, outward_y / radius, facing)
    _blend(canvas, window, alpha, _paint(paint, shade, along), stroke.owner)


@dataclass(frozen=True)
class Trunk:
    """A body part of elliptic cross section between two image points.

    Attributes:
        top: [2] upper point of the axis in pixels.
        bottom: [2] lower point of the axis in pixels.
        places: [N] increasing places along the axis (0 top, 1 bottom); the shape ends at the first and the last.
        half_widths: [N] half widths in pixels at these places.
        yaw: Direction of the front in radians: 0 toward the viewer, pi/2 to the right.
    """

    top: np.ndarray
    bottom: np.ndarray
    places: np.ndarray
    half_widths: np.ndarray
    yaw: float


def _turn(across: np.ndarray, facing: np.ndarray, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Components of a normal along the front and the left of a body turned by `yaw`."""
    sine, cosine = np.sin(yaw), np.cos(yaw)
    return across * sine + facing * cosine, across * cosine - facing * sine


def draw_trunk(canvas: Canvas, trunk: Trunk, paint: Paint, light: Light, stroke: Stroke) -> None:
    """Draws a trunk or a skirt.

    Args:
        canvas: Image to draw on.
        trunk: Shape of the body part.
        paint: Color [3], or a function of the place along the axis and of the components of the normal (-1 to 1) along
            the front and the left of the body, [h, w] each.
        light: Light on the surface.
        stroke: How the body part is put on the canvas.
    """
    axis = (trunk.bottom - trunk.top).astype(np.float32)
    length = max(float(np.hypot(*axis)), 1e-3)
    ends = trunk.top + np.outer(trunk.places[[0, -1]], axis)
    window = _find_window(canvas, ends.tolist(), float(trunk.half_widths.max()) + stroke.softness)
    if window is None:
        return
    ux, uy = axis / length
    x, y = window.x - np.float32(trunk.top[0]), window.y - np.float32(trunk.top[1])
    place = (x * ux + y * uy) / np.float32(length)
    offset = x * uy - y * ux
    half_width = np.interp(place, trunk.places, trunk.half_widths).astype(np.float32)
    inside = np.minimum(half_width - np.abs(offset), length * (place - trunk.places[0]))
    inside = np.minimum(inside, length * (trunk.places[-1] - place))
    alpha = _clip(inside / stroke.softness + 0.5)
    across = np.clip(offset / half_width, -1, 1)
    facing = np.sqrt(1 - across * across)
    shade = _shade(light, across * uy, -across * ux, facing)
    front, left = _turn(across, facing, trunk.yaw)
    _blend(canvas, window, alpha, _paint(paint, shade, place, front, left), stroke.owner)


@dataclass(frozen=True)
class Ball:
    """An ellipsoid such as a head.

    Attributes:
        center: [2] center in pixels.
        up: [2] unit vector of the long axis in the image.
        half_width: Half of the short axis in pixels.
        half_height: Half of the long axis in pixels.
        yaw: Direction of the front, as in `Trunk`.
    """

    center: np.ndarray
    up: np.ndarray
    half_width: float
    half_height: float
    yaw: float


def draw_ball(canvas: Canvas, ball: Ball, paint: Paint, light: Light, stroke: Stroke) -> None:
    """Draws an ellipsoid.

    Args:
        canvas: Image to draw on.
        ball: Shape of the ellipsoid.
        paint: Color [3], or a function of the components of the normal (-1 to 1) along the long axis, the front and the
            left, [h, w] each.
        light: Light on the surface.
        stroke: How the ellipsoid is put on the canvas.
    """
    margin = max(ball.half_width, ball.half_height) + stroke.softness
    window = _find_window(canvas, [ball.center.tolist()], margin)
    if window is None:
        return
    x, y = window.x - np.float32(ball.center[0]), window.y - np.float32(ball.center[1])
    ux, uy = (float(value) for value in ball.up)
    up = (x * ux + y * uy) / np.float32(ball.half_height)
    across = (y * ux - x * uy) / np.float32(ball.half_width)
    squared = up * up + across * across
    inside = (1 - np.sqrt(squared)) * min(ball.half_width, ball.half_height)
    alpha = _clip(inside / stroke.softness + 0.5)
    facing = np.sqrt(np.maximum(1 - squared, 0))
    shade = _shade(light, up * ux - across * uy, up * uy + across * ux, facing)
    front, left = _turn(across, facing, ball.yaw)
    _blend(canvas, window, alpha, _paint(paint, shade, up, front, left), stroke.owner)


@dataclass(frozen=True)
class Sprite:
    """An image with transparency, cut to its extent.

    Attributes:
        colors: [h, w, 3] float32 RGB, multiplied by the opacity.
        opacity: [h, w, 1] float32, 0 to 1.
        corner: Position (x, y) of the first pixel.
    """

    colors: np.ndarray
    opacity: np.ndarray
    corner: tuple[int, int]


def cut_sprite(draw: Callable[[np.ndarray], None], image_size: tuple[int, int]) -> Sprite | None:
    """Records what a function draws.

    Color and opacity of every pixel follow from drawing once on black and once on white, even at soft edges.

    Args:
        draw: Function that draws on a uint8 RGB image; it must draw the same each time.
        image_size: (height, width) of the image.

    Returns:
        The sprite, or None if nothing was drawn.
    """
    black = np.zeros((*image_size, 3), np.uint8)
    white = np.full((*image_size, 3), 255, np.uint8)
    draw(black)
    draw(white)
    opacity = 1 - (white.astype(np.float32) - black).mean(axis=2, keepdims=True) / 255
    rows, columns = np.nonzero(opacity[..., 0] > 0.004)
    if len(rows) == 0:
        return None
    cut = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    corner = (int(columns.min()), int(rows.min()))
    return Sprite(black[cut].astype(np.float32), np.clip(opacity[cut], 0, 1), corner)


def draw_sprite(canvas: Canvas, sprite: Sprite, shift: tuple[int, int], owner: int) -> None:
    """Puts a sprite on the canvas, moved by `shift` (x, y) in pixels."""
    height, width = canvas.owners.shape
    x, y = sprite.corner[0] + shift[0], sprite.corner[1] + shift[1]
    sprite_height, sprite_width = sprite.opacity.shape[:2]
    rows = slice(max(y, 0), min(y + sprite_height, height))
    columns = slice(max(x, 0), min(x + sprite_width, width))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    source = np.s_[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
    opacity = sprite.opacity[source]
    region = canvas.pixels[rows, columns]
    region *= 1 - opacity
    region += sprite.colors[source]
    canvas.owners[rows, columns][opacity[..., 0] > 0.5] = owner
