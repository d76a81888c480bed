"""Objects that hide people: posts, trees, bollards, planters, signs, columns, walls, seats."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.appearance import sample_color
from data_prep.synthetic.backgrounds import disc, fill, paint_tree, panel
from data_prep.synthetic.camera import Camera
from data_prep.synthetic.rendering import Sprite, cut_sprite

_STRIPS = 9


@dataclass(frozen=True)
class Prop:
    """An object that stands on the ground.

    Attributes:
        sprite: Image of the object.
        depth: Distance from the camera in meters.
        foot: [3] position on the ground in meters.
        height: Height in meters of the shadow's source.
        radius: Radius in meters of the shadow's source.
    """

    sprite: Sprite
    depth: float
    foot: np.ndarray
    height: float
    radius: float


def _cylinder(
    image: np.ndarray,
    camera: Camera,
    foot: np.ndarray,
    heights: tuple[float, float],
    radii: tuple[float, float],
    color: np.ndarray,
) -> None:
    """Draws an upright round body, from `heights[0]` with `radii[0]` up to `heights[1]` with `radii[1]`."""
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, _STRIPS + 1))
    for left, right in itertools.pairwise(edges):
        middle = (left + right) / 2
        shade = 0.55 + 0.55 * np.sqrt(max(0.0, 1 - (middle + 0.35) ** 2 / 1.9))
        corners = [
            (left * radii[0], heights[0]),
            (right * radii[0], heights[0]),
            (right * radii[1], heights[1]),
            (left * radii[1], heights[1]),
        ]
        world = np.array([(foot[0] + x, y, foot[2]) for x, y in corners])
        fill(image, camera.project(world)[0], shade * color)


def _draw_post(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    color = sample_color(rng, (0, 0.4)) * 0.7
    radius = rng.uniform(0.05, 0.11)
    _cylinder(image, camera, foot, (0, 5), (radius, radius * 0.8), color)
    _cylinder(image, camera, foot, (0, 0.5), (radius * 1.6, radius * 1.3), color * 0.9)


def _draw_tree(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    base, scale = camera.project(foot)
    paint_tree(image, base, rng.uniform(3.5, 5) * float(scale), rng)


def _draw_bollard(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    color = sample_color(rng)
    radius, height = rng.uniform(0.1, 0.16), rng.uniform(0.7, 1.0)
    _cylinder(image, camera, foot, (0, height), (radius, radius), color)
    band = np.array([235.0, 235, 230])
    _cylinder(image, camera, foot, (0.75 * height, 0.88 * height), (radius, radius), band)


def _draw_planter(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    width, height = rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.55)
    color = sample_color(rng, (0.1, 0.5)) * 0.8
    _cylinder(image, camera, foot, (0, height), (0.85 * width, width), color)
    leaf = np.array([rng.uniform(50, 110), rng.uniform(100, 150), rng.uniform(45, 80)])
    for _ in range(28):
        place = foot + np.array([rng.normal(0, 0.45 * width), height + abs(rng.normal(0.1, 0.17)), 0])
        center, scale = camera.project(place)
        radius = rng.uniform(0.06, 0.14) * float(scale)
        disc(image, center, (radius, 0.7 * radius), leaf * rng.uniform(0.7, 1.35))


def _draw_sign(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    _cylinder(image, camera, foot, (0, 2.3), (0.035, 0.035), np.full(3, 150.0))
    center, scale = camera.project(foot + np.array([0, 2.25, 0]))
    size = rng.uniform(0.25, 0.35) * float(scale)
    disc(image, center, (size, size), sample_color(rng, (0.6, 0.9)))
    disc(image, center, (0.75 * size, 0.75 * size), np.full(3, 235.0))


def _draw_column(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    color = sample_color(rng, (0.02, 0.2)) * 0.5 + 105
    radius = rng.uniform(0.18, 0.3)
    _cylinder(image, camera, foot, (0, 6), (radius, radius), color)
    _cylinder(image, camera, foot, (0, 0.25), (1.25 * radius, 1.25 * radius), 0.85 * color)


def _draw_wall(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    """Draws a board as tall as people, such as a kiosk or a partition."""
    half, height = rng.uniform(0.45, 0.9), rng.uniform(1.5, 2.6)
    color = sample_color(rng, (0.1, 0.6))
    x = foot[0]
    panel(image, camera, (x - half, x + half), (0, height), foot[2], color)
    inner = (x - half + 0.1, x + half - 0.1)
    panel(image, camera, inner, (0.55 * height, height - 0.12), foot[2], sample_color(rng))
    panel(image, camera, inner, (0.1, 0.5 * height), foot[2], 0.85 * color)


def _draw_bench(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    color = np.array([150.0, 105, 65]) * rng.uniform(0.7, 1.3)
    x, half = foot[0], rng.uniform(0.7, 1.0)
    for leg in (x - 0.8 * half, x + 0.8 * half):
        panel(image, camera, (leg - 0.04, leg + 0.04), (0, 0.8), foot[2], np.full(3, 60.0))
    for low in (0.4, 0.58, 0.72):
        panel(image, camera, (x - half, x + half), (low, low + 0.09), foot[2], color * (0.7 + low / 2))


def _draw_stool(image: np.ndarray, camera: Camera, foot: np.ndarray, rng: np.random.Generator) -> None:
    color = sample_color(rng, (0.1, 0.5)) * 0.9
    _cylinder(image, camera, foot, (0, 0.42), (0.2, 0.24), color)
    center, scale = camera.project(foot + np.array([0, 0.42, 0]))
    disc(image, center, (0.24 * float(scale), 0.05 * float(scale)), 1.15 * color)


_Drawer = Callable[[np.ndarray, Camera, np.ndarray, np.random.Generator], None]
# Function that draws the object, and height and radius in meters of the body that casts its shadow.
_DRAWERS: dict[str, tuple[_Drawer, float, float]] = {
    "post": (_draw_post, 4.0, 0.08),
    "tree": (_draw_tree, 2.5, 0.18),
    "bollard": (_draw_bollard, 0.9, 0.13),
    "planter": (_draw_planter, 0.6, 0.5),
    "sign": (_draw_sign, 2.2, 0.05),
    "column": (_draw_column, 3.0, 0.24),
    "wall": (_draw_wall, 2.0, 0.6),
    "bench": (_draw_bench, 0.8, 0.6),
    "stool": (_draw_stool, 0.4, 0.22),
}
OUTDOOR_PROPS = ("post", "tree", "bollard", "planter", "sign", "wall", "bench")
INDOOR_PROPS = ("column", "planter", "wall", "bench", "stool")


def build_prop(kind: str, camera: Camera, foot: np.ndarray, image_size: tuple[int, int], seed: int) -> Prop | None:
    """Draws an object once; every frame shows the same image of it.

    Args:
        kind: Name in `OUTDOOR_PROPS` or `INDOOR_PROPS`.
        camera: Camera of the backdrop.
        foot: [3] position on the ground in meters.
        image_size: (height, width) of the backdrop.
        seed: Seed of the object's colors and sizes.

    Returns:
        The object, or None if it is outside the backdrop.
    """
    drawer, height, radius = _DRAWERS[kind]
    sprite = cut_sprite(lambda image: drawer(image, camera, foot, np.random.default_rng(seed)), image_size)
    return None if sprite is None else Prop(sprite, float(foot[2]), foot, height, radius)
