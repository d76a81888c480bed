"""Places without people: street, park, hall, room and beach. Each is drawn once per video."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from data_prep.synthetic.appearance import sample_color
from data_prep.synthetic.camera import Camera

PLACES = ("street", "park", "hall", "room", "beach")
_INDOORS = ("hall", "room")
_SHIFT = 4  # fractional bits of OpenCV's drawing coordinates
_BLUR_ROWS = 4  # above a row of the ground, which its blur sees


@dataclass(frozen=True)
class Backdrop:
    """A place without people.

    Attributes:
        pixels: [H, W, 3] float32 RGB.
        is_indoors: Whether there is a back wall and no sun.
        far_depth: Distance in meters of the back wall, or beyond which people are too small to matter.
    """

    pixels: np.ndarray
    is_indoors: bool
    far_depth: float


def fill(image: np.ndarray, points: np.ndarray, color: np.ndarray) -> None:
    """Fills a polygon [N, 2] given in fractional pixels, anti-aliased."""
    fixed = np.rint(np.asarray(points, np.float64) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(image, [fixed], _tuple(color), cv2.LINE_AA, _SHIFT)


def stroke(image: np.ndarray, start: np.ndarray, end: np.ndarray, thickness: float, color: np.ndarray) -> None:
    """Draws a line between two points [2] given in fractional pixels, anti-aliased."""
    first, last = (_fixed(point) for point in (start, end))
    width = max(1, round(thickness))
    cv2.line(image, first, last, _tuple(color), width, cv2.LINE_AA, _SHIFT)


def disc(image: np.ndarray, center: np.ndarray, radii: tuple[float, float], color: np.ndarray) -> None:
    """Fills an ellipse with horizontal and vertical axes, given in fractional pixels, anti-aliased."""
    axes = tuple(max(1, value) for value in _fixed(radii))
    cv2.ellipse(image, _fixed(center), axes, 0, 0, 360, _tuple(color), -1, cv2.LINE_AA, _SHIFT)


def panel(
    image: np.ndarray,
    camera: Camera,
    x: tuple[float, float],
    y: tuple[float, float],
    depth: float,
    color: np.ndarray,
) -> None:
    """Fills an upright rectangle parallel to the image, given in meters."""
    (left, bottom), (right, top) = (camera.project_point(float(a), float(b), depth) for a, b in zip(x, y, strict=True))
    fill(image, np.array([(left, bottom), (right, bottom), (right, top), (left, top)]), color)


def _fixed(values: np.ndarray | Sequence[float]) -> tuple[int, ...]:
    """Returns the coordinates as the whole numbers that OpenCV's drawing functions take."""
    return tuple(round(float(value) * (1 << _SHIFT)) for value in values)


def _tuple(color: np.ndarray) -> tuple[int, ...]:
    return tuple(min(max(round(value), 0), 255) for value in color.tolist())


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Returns smooth noise [H, W] around 0 with about `cells` features across the width."""
    height, width = size
    rows = max(2, int(cells * height / width))
    coarse = rng.normal(0, 1, (rows, max(2, cells))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


# ---------------------------------------------------------------------------------------- ground

# From the positions x [H, W] and z [H, 1] in meters to red, green and blue [3, H, W]: NumPy works several times as fast
# along rows of a plane as along the three colors of a pixel.
Texture = Callable[[np.ndarray, np.ndarray], np.ndarray]


class _WorldNoise:
    """Noise that is fixed to the ground: a function of the position in meters that repeats after 64 cells."""

    _PERIOD = 64  # a power of two

    def __init__(self, rng: np.random.Generator) -> None:
        self._tile = rng.normal(0, 1, (self._PERIOD, self._PERIOD)).astype(np.float32)

    def __call__(self, x: np.ndarray, z: np.ndarray, cell_meters: float) -> np.ndarray:
        columns, rows = (_repeat(np.asarray(meters / cell_meters, np.float32), self._PERIOD) for meters in (x, z))
        rows = np.array(np.broadcast_to(rows, columns.shape))
        return cv2.remap(self._tile, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    def per_cell(self, column: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Returns the value of each whole cell."""
        rows, columns = (places.astype(np.intp) & (self._PERIOD - 1) for places in (row, column))
        return self._tile.ravel().take(rows * self._PERIOD + columns)


def _repeat(values: np.ndarray, period: float) -> np.ndarray:
    """Returns the values modulo `period`; `np.mod` takes several times as long."""
    return values - period * np.floor(values / period)


def _lines(values: np.ndarray, spacing: float, width: float) -> np.ndarray:
    """Returns 1 on lines that repeat every `spacing`, 0 elsewhere."""
    return (np.abs(_repeat(values / spacing, 1) - 0.5) > 0.5 - width / spacing / 2).astype(np.float32)


def _planes(color: np.ndarray) -> np.ndarray:
    """Returns a color as planes [3, 1, 1]."""
    return color[:, None, None]


def _tinted(color: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """Returns planes [3, H, W] of a color in the given brightness [H, W] around 0."""
    return _planes(color.astype(np.float32)) * (1 + brightness.astype(np.float32))


def _grass(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    color = np.array([rng.uniform(70, 125), rng.uniform(115, 160), rng.uniform(45, 80)])
    path_z, path_width = rng.uniform(6, 14), rng.uniform(1.2, 2.5)
    path_color = np.array([190, 172, 140]) + rng.normal(0, 10, 3)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        tint = 0.13 * noise(x, z, 0.05) + 0.10 * noise(x, z, 0.6) + 0.08 * noise(x, z, 4.0)
        wavy = z - path_z - 0.8 * np.sin(x * 0.35) + 0.15 * noise(x, z, 0.3)
        is_path = np.clip((path_width / 2 - np.abs(wavy)) * 6, 0, 1)
        path = _tinted(path_color, 0.06 * noise(x, z, 0.08))
        return _tinted(color, tint) * (1 - is_path) + path * is_path

    return texture


def _asphalt(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    color = np.full(3, rng.uniform(85, 140)) + rng.normal(0, 4, 3)
    line_z, curb_z = rng.uniform(5, 9), rng.uniform(10, 14)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        ground = _tinted(color, 0.07 * noise(x, z, 0.04) + 0.06 * noise(x, z, 1.5))
        dash = (np.abs(z - line_z) < 0.09) & (np.mod(x, 3.0) < 1.6)
        pavement = _tinted(color + 40, 0.05 * noise(x, z, 0.1) - 0.15 * _lines(x, 1.2, 0.05))
        ground = np.where(z > curb_z, pavement, ground)
        ground = np.where(np.abs(z - curb_z) < 0.12, _planes((color + 70).astype(np.float32)), ground)
        return np.where(dash, np.float32(225), ground)

    return texture


def _tiles(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    size, contrast = rng.uniform(0.5, 1.3), rng.uniform(0.03, 0.1)
    color = np.full(3, rng.uniform(120, 195)) + rng.normal(0, 8, 3)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        joints = np.maximum(_lines(x, size, 0.05), _lines(z, size, 0.08))
        tint = contrast * noise.per_cell(x / size + 500.5, z / size + 0.5)
        return _tinted(color, tint + 0.04 * noise(x, z, 0.1) - 0.22 * joints)

    return texture


def _planks(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    color = np.array([185, 140, 95]) * rng.uniform(0.6, 1.15) + rng.normal(0, 8, 3)
    width = rng.uniform(0.15, 0.35)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        tint = 0.07 * noise.per_cell(x / width + 500, np.zeros_like(z)) + 0.05 * noise(x * 6, z, 0.6)
        return _tinted(color, tint - 0.25 * _lines(x, width, 0.02))

    return texture


def _court(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    color = sample_color(rng, (0.25, 0.6)) * 0.6 + 80
    spacing = rng.uniform(3.5, 6)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        marks = np.maximum(_lines(x + 1.3, spacing, 0.07), _lines(z + 0.7, spacing * 0.9, 0.09))
        ground = _tinted(color, 0.03 * noise(x, z, 0.3) + 0.04 * noise(x, z, 2.0))
        return ground + marks * (235 - ground)

    return texture


def _sand(rng: np.random.Generator) -> Texture:
    noise = _WorldNoise(rng)
    color = np.array([222, 198, 152]) + rng.normal(0, 8, 3)
    shore_z = rng.uniform(15, 22)
    sea = np.array([60, 130, 165]) + rng.normal(0, 15, 3)

    def texture(x: np.ndarray, z: np.ndarray) -> np.ndarray:
        sand = _tinted(color, 0.06 * noise(x, z, 0.06) + 0.06 * noise(x, z, 0.7))
        water = _tinted(sea, 0.08 * noise(x * 0.3, z, 0.5))
        shore = np.clip((z - shore_z - 0.7 * np.sin(x * 0.5)) * 1.5, 0, 1)
        foam = np.exp(-8 * (shore - 0.5) ** 2)
        return sand * (1 - shore) + water * shore + 25 * foam

    return texture


_TEXTURES: dict[str, tuple[Callable[[np.random.Generator], Texture], ...]] = {
    "street": (_asphalt, _tiles),
    "park": (_grass,),
    "hall": (_court, _planks),
    "room": (_planks, _tiles),
    "beach": (_sand,),
}


def _first_ground_row(camera: Camera) -> int:
    return max(0, math.floor(camera.horizon_y) + 1)


def _paint_ground(image: np.ndarray, camera: Camera, texture: Texture, edge: int = 0) -> None:
    """Paints the ground below the horizon and below the row `edge`; its detail fades with the distance."""
    height, width = image.shape[:2]
    edge = max(edge, _first_ground_row(camera))
    if edge >= height:
        return
    first = max(edge - _BLUR_ROWS, _first_ground_row(camera))
    rows = np.arange(first, height, dtype=np.float32)[:, None]
    z = camera.focal_length * camera.height_meters / np.maximum(rows - camera.horizon_y, 0.3)
    columns = np.arange(width, dtype=np.float32)[None]
    x = (columns - camera.center_x) * z / camera.focal_length
    ground = cv2.merge(list(texture(x, z).astype(np.float32, copy=False)))
    smooth = cv2.GaussianBlur(ground, (0, 0), 2.0, sigmaY=1.0)
    detail = np.clip(1.5 - z / 14, 0, 1)[..., None]
    ground -= smooth
    ground *= detail
    ground += smooth
    image[edge:] = np.clip(ground, 0, 255, out=ground)[edge - first :]


# ---------------------------------------------------------------------------------------- sceneries


def _paint_sky(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
    """Paints the sky down to the ground, which is painted later."""
    height, width = image.shape[:2]
    seen = slice(_first_ground_row(camera))
    zenith = np.array([rng.uniform(70, 150), rng.uniform(130, 185), rng.uniform(190, 240)])
    haze = np.array([rng.uniform(205, 245), rng.uniform(215, 240), rng.uniform(215, 240)])
    below = np.clip(np.arange(height, dtype=np.float32)[seen] / max(camera.horizon_y, 1), 0, 1)[:, None]
    sky = (_planes(zenith) + below * _planes(haze - zenith)).astype(np.float32)
    clouds = _noise(rng, (height, width), 5)[seen] + 0.5 * _noise(rng, (height, width), 14)[seen]
    cover = np.clip((clouds - rng.uniform(0.0, 0.9)) * 0.7, 0, 0.85).astype(np.float32, copy=False)
    image[seen] = cv2.merge(list(np.clip(sky + cover * (248 - sky), 0, 255).astype(np.uint8)))


def _visible_width(image: np.ndarray, camera: Camera, depth: float) -> tuple[float, float]:
    return camera.world_x(0, depth), camera.world_x(image.shape[1], depth)


def _paint_buildings(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
    depth = rng.uniform(17, 26)
    x, right = _visible_width(image, camera, depth)
    while x < right:
        width, height = rng.uniform(4, 9), rng.uniform(4.5, 13)
        color = np.array([rng.uniform(120, 215)] * 3) + rng.normal(0, 13, 3)
        panel(image, camera, (x, x + width), (0, height), depth, color)
        panel(image, camera, (x, x + width), (height - 0.3, height), depth, 0.75 * color)
        _paint_windows(image, camera, rng, (x, width, height, depth), color)
        x += width


def _paint_windows(
    image: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    facade: tuple[float, float, float, float],
    color: np.ndarray,
) -> None:
    x, width, height, depth = facade
    glass = np.array([70, 90, 110]) + rng.normal(0, 20, 3)
    columns = max(2, int(width / rng.uniform(1.3, 2.2)))
    step = width / columns
    for column in range(columns):
        left = x + step * (column + 0.25)
        for floor in np.arange(3.2, height - 1.2, 2.6):
            tone = glass * rng.uniform(0.7, 1.4)
            panel(image, camera, (left - 0.08, left + step / 2 + 0.08), (floor - 0.1, floor + 1.4), depth, 0.85 * color)
            panel(image, camera, (left, left + step / 2), (floor, floor + 1.3), depth, tone)
        if rng.random() < 0.6:
            shop = sample_color(rng) if rng.random() < 0.4 else glass
            panel(image, camera, (left - 0.2, left + step * 0.65), (0, 2.2), depth, shop)


def paint_tree(image: np.ndarray, base: np.ndarray, size: float, rng: np.random.Generator) -> None:
    """Draws a tree; its branches resemble arms, and some trees have hardly any leaves.

    Args:
        image: Image to draw on.
        base: Position (x, y) of the foot in pixels.
        size: Height in pixels.
        rng: Source of the tree's shape and colors.
    """
    bark = np.array([rng.uniform(85, 165), rng.uniform(65, 125), rng.uniform(50, 95)])
    leaf = np.array([rng.uniform(50, 120), rng.uniform(95, 150), rng.uniform(40, 75)])
    tips = []

    def grow(start: np.ndarray, angle: float, length: float, thickness: float, level: int) -> None:
        end = start + length * np.array([math.sin(angle), -math.cos(angle)])
        stroke(image, start, end, thickness, bark * (0.8 + 0.1 * level))
        tips.append(end)
        if level < 3 and thickness > 0.8:
            for turn in (-1, 1):
                bend = angle + turn * rng.uniform(0.25, 0.7)
                grow(end, bend, length * rng.uniform(0.6, 0.8), thickness * 0.6, level + 1)

    grow(np.asarray(base, float), rng.normal(0, 0.05), 0.36 * size, max(1.5, 0.065 * size), 0)
    if rng.random() < 0.7:
        for tip in tips[1:]:
            for _ in range(4):
                place = tip + rng.normal(0, 0.07 * size, 2)
                radius = size * rng.uniform(0.05, 0.1)
                tone = leaf * rng.uniform(0.75, 1.3)
                disc(image, place, (radius, radius * rng.uniform(0.7, 1)), tone)


def _paint_far_trees(image: np.ndarray, camera: Camera, rng: np.random.Generator, count: int) -> None:
    for depth in sorted(rng.uniform(15, 40, count), reverse=True):
        left, right = _visible_width(image, camera, depth)
        world = np.array([rng.uniform(left, right), 0.0, depth])
        base, scale = camera.project(world)
        paint_tree(image, base, rng.uniform(3.5, 8) * float(scale), rng)


def _paint_hills(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
    width = image.shape[1]
    unit = image.shape[0] / 270
    for rise in (rng.uniform(25, 45), rng.uniform(8, 18)):
        ridge = cv2.resize(rng.normal(0, 0.4, (1, 9)).astype(np.float32), (width, 1), interpolation=cv2.INTER_CUBIC)[0]
        y = camera.horizon_y - rise * unit * (1 + ridge)
        color = np.array([90, 125, 95]) + (60 if rise > 20 else 0) + rng.normal(0, 10, 3)
        ends = [(width, camera.horizon_y + 3), (0, camera.horizon_y + 3)]
        points = np.concatenate([np.stack([np.arange(width), y], axis=1), ends])
        fill(image, points, color)


def _paint_wall(image: np.ndarray, camera: Camera, rng: np.random.Generator, depth: float) -> None:
    """Paints the back wall with wainscot or bricks and light from one side, down to the ground."""
    width = image.shape[1]
    wall = image[: _wall_end(camera, depth)]
    color = sample_color(rng, (0.03, 0.35)) * 0.5 + 110
    wall[:] = np.full((width, 3), np.clip(color, 0, 255), np.uint8)
    left, right = _visible_width(image, camera, depth)
    if rng.random() < 0.35:
        for row, y in enumerate(np.arange(0, 8, 0.35)):
            panel(image, camera, (left, right), (y, y + 0.03), depth, 0.85 * color)
            for x in np.arange(left + 0.5 * (row % 2), right, 1.0):
                panel(image, camera, (x, x + 0.03), (y, y + 0.35), depth, 0.85 * color)
    else:
        panel(image, camera, (left, right), (0, rng.uniform(0.8, 1.3)), depth, 0.75 * color)
    left_glow, right_glow = rng.uniform(0.75, 1.2, 2)
    glow = np.repeat(np.linspace(left_glow, right_glow, width), 3)
    wall[:] = np.clip(wall.reshape(-1, len(glow)) * glow, 0, 255).astype(np.uint8).reshape(wall.shape)
    panel(image, camera, (left, right), (0, 0.14), depth, 0.5 * color)


def _wall_end(camera: Camera, depth: float) -> int:
    """Returns the first image row of the ground in front of the back wall."""
    return max(0, round(camera.ground_row(depth)))


def _paint_furniture(image: np.ndarray, camera: Camera, rng: np.random.Generator, depth: float) -> None:
    """Paints windows, doors, pictures, shelves and wall bars along the back wall."""
    x, right = _visible_width(image, camera, depth)
    while x < right:
        width = rng.uniform(0.9, 2.8)
        kind = rng.choice(["window", "door", "picture", "shelf", "plain", "bars"])
        if kind == "window":
            panel(image, camera, (x - 0.1, x + width + 0.1), (0.9, 2.9), depth, np.full(3, 235))
            for part in range(2):
                start = x + part * width / 2
                pane = np.array([165, 200, 225]) * rng.uniform(0.8, 1.1)
                panel(image, camera, (start + 0.05, start + width / 2 - 0.05), (1, 2.8), depth, pane)
        elif kind == "door":
            color = sample_color(rng, (0.2, 0.6)) * 0.8
            panel(image, camera, (x, x + 1.0), (0, 2.1), depth, color)
            panel(image, camera, (x + 0.1, x + 0.9), (1.1, 1.95), depth, 1.15 * color)
        elif kind == "picture":
            panel(image, camera, (x, x + width * 0.6), (1.4, 2.3), depth, sample_color(rng))
            panel(image, camera, (x + 0.08, x + width * 0.6 - 0.08), (1.48, 2.22), depth, sample_color(rng))
        elif kind == "shelf":
            panel(image, camera, (x, x + width), (0, 2.2), depth, np.array([120, 85, 55]))
            for y in np.arange(0.15, 2, 0.5):
                for book in np.arange(x + 0.05, x + width - 0.15, 0.13):
                    panel(
                        image, camera, (book, book + 0.11), (y, y + rng.uniform(0.25, 0.42)), depth, sample_color(rng)
                    )
        elif kind == "bars":
            for y in np.arange(0.2, 2.6, 0.3):
                panel(image, camera, (x, x + width), (y, y + 0.07), depth, np.array([190, 150, 105]))
        x += width + rng.uniform(0.2, 1.5)


def _paint_car(image: np.ndarray, camera: Camera, rng: np.random.Generator) -> None:
    depth = rng.uniform(13, 17)
    left, right = _visible_width(image, camera, depth)
    x, color = rng.uniform(left, right - 2), sample_color(rng)
    panel(image, camera, (x, x + 4.2), (0.05, 0.3), depth, np.full(3, 45))
    panel(image, camera, (x, x + 4.2), (0.3, 0.85), depth, color)
    outline = np.array([(0.7, 0.85), (1.3, 1.4), (2.9, 1.4), (3.6, 0.85)])
    for share, tone in ((1.0, color * 0.9), (0.82, np.array([80, 100, 115]))):
        roof = (outline - [2.15, 0.85]) * share + np.array([2.15 + x, 0.85])
        world = np.concatenate([roof, np.full((4, 1), depth)], axis=1)
        fill(image, camera.project(world)[0], tone)
    for wheel in (0.85, 3.3):
        center, scale = camera.project(np.array([x + wheel, 0.32, depth]))
        for radius, gray in ((0.33 * float(scale), 30), (0.17 * float(scale), 160)):
            disc(image, center, (radius, radius), np.full(3, gray))


def build_backdrop(place: str, camera: Camera, image_size: tuple[int, int], rng: np.random.Generator) -> Backdrop:
    """Draws a place.

    Args:
        place: Name in `PLACES`.
        camera: Camera of the backdrop.
        image_size: (height, width) of the backdrop.
        rng: Source of the place's details.
    """
    image = np.zeros((*image_size, 3), np.uint8)
    makers = _TEXTURES[place]
    texture = makers[rng.integers(len(makers))](rng)
    is_indoors = place in _INDOORS
    far_depth = float(rng.uniform(10, 14)) if is_indoors else 17.0
    if is_indoors:
        _paint_wall(image, camera, rng, far_depth)
        _paint_furniture(image, camera, rng, far_depth)
        _paint_ground(image, camera, texture, _wall_end(camera, far_depth))
    else:
        _paint_sky(image, camera, rng)
        if place in ("park", "beach"):
            _paint_hills(image, camera, rng)
        _paint_ground(image, camera, texture)
        if place == "street":
            _paint_buildings(image, camera, rng)
            for _ in range(rng.integers(0, 3)):
                _paint_car(image, camera, rng)
        if place != "beach":
            _paint_far_trees(image, camera, rng, int(rng.integers(1, 9 if place == "park" else 4)))
    return Backdrop(image.astype(np.float32), is_indoors, far_depth)
