"""The looks of people: build, skin, hair, clothes."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from data_prep.synthetic.rendering import Paint, PaintFunction

_SKIN_TONES = ((245, 212, 185), (232, 190, 155), (205, 156, 120), (165, 115, 82), (112, 75, 54))
_HAIR_COLORS = (
    (38, 28, 24),
    (70, 46, 32),
    (110, 74, 44),
    (196, 160, 100),
    (150, 70, 40),
    (150, 148, 146),
)
_SHOE_COLORS = ((35, 32, 32), (235, 235, 232), (120, 75, 45), (190, 45, 45), (50, 70, 130))
_HAIR_STYLES = ("short", "short", "long", "bun", "bald", "cap")
_PATTERNS = ("plain", "stripes", "zip", "zip", "buttons", "print", "print", "belt")
_LEGWEAR = (*("trousers",) * 5, *("shorts",) * 2, "skirt", "long_skirt")


@dataclass(frozen=True)
class Appearance:
    """Looks of one person. Colors are float32 RGB [3], 0 to 255.

    Attributes:
        girth: Thickness of trunk and limbs; 1 is usual.
        skin: Color of the skin.
        hair: Color of the hair.
        hair_style: One of 'short', 'long', 'bun', 'bald' (on top) and 'cap'.
        has_beard: Whether there is a beard in the color of the hair.
        top: Color of the shirt or jacket.
        trim: Second color of the shirt or jacket, and color of the cap.
        pattern: Pattern of the shirt: 'plain', 'stripes', 'zip', 'buttons', 'print' or 'belt'.
        sleeve: Length of the sleeves: 0.5 is a T-shirt, 1 reaches the elbow, 2 the wrist.
        bottom: Color of the legwear.
        legwear: One of 'trousers', 'shorts', 'skirt' and 'long_skirt'.
        shoes: Color of the shoes.
        bag: Color of the backpack; None for people without one.
    """

    girth: float
    skin: np.ndarray
    hair: np.ndarray
    hair_style: str
    has_beard: bool
    top: np.ndarray
    trim: np.ndarray
    pattern: str
    sleeve: float
    bottom: np.ndarray
    legwear: str
    shoes: np.ndarray
    bag: np.ndarray | None


def sample_color(rng: np.random.Generator, saturation: tuple[float, float] = (0.1, 0.85)) -> np.ndarray:
    """Draws a color of any hue, RGB [3]."""
    hue, value = rng.random(), rng.uniform(0.22, 0.95)
    return _rgb(colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), value))


def _rgb(fractions: tuple[float, float, float]) -> np.ndarray:
    return 255 * np.asarray(fractions, np.float32)


def _pick(rng: np.random.Generator, colors: tuple[tuple[int, int, int], ...]) -> np.ndarray:
    jitter = rng.normal(0, 5, 3)
    return np.clip(np.asarray(colors[rng.integers(len(colors))]) + jitter, 0, 255).astype(np.float32)


def _sample_cloth(rng: np.random.Generator, surroundings: np.ndarray) -> np.ndarray:
    """Draws a color for clothes: of any hue, gray, or like one of the surroundings [N, 3]."""
    kind = rng.random()
    if kind < 0.15:
        nearby = surroundings[rng.integers(len(surroundings))] + rng.normal(0, 12, 3)
        return np.clip(nearby, 15, 245).astype(np.float32)
    if kind < 0.5:
        return np.full(3, rng.uniform(25, 235), np.float32) + rng.normal(0, 5, 3).astype(np.float32)
    return sample_color(rng)


def sample_appearance(rng: np.random.Generator, surroundings: np.ndarray) -> Appearance:
    """Draws the looks of a person.

    Args:
        rng: Source of the looks.
        surroundings: [N, 3] colors of the background, which some clothes take.
    """
    return Appearance(
        girth=float(np.clip(rng.normal(1.1, 0.1), 0.88, 1.4)),
        skin=_pick(rng, _SKIN_TONES),
        hair=_pick(rng, _HAIR_COLORS),
        hair_style=str(rng.choice(_HAIR_STYLES)),
        has_beard=bool(rng.random() < 0.15),
        top=_sample_cloth(rng, surroundings),
        trim=_sample_cloth(rng, surroundings),
        pattern=str(rng.choice(_PATTERNS)),
        sleeve=float(rng.choice([0.1, 0.55, 0.6, 1.3, 2.0, 2.0])),
        bottom=_sample_cloth(rng, surroundings),
        legwear=str(rng.choice(_LEGWEAR)),
        shoes=_pick(rng, _SHOE_COLORS),
        bag=sample_color(rng) if rng.random() < 0.2 else None,
    )


def paint_two_tone(first: np.ndarray, second: np.ndarray, boundary: float) -> Paint:
    """Paints a limb: the color `first` up to the place `boundary` along the limb, then `second`."""
    if boundary >= 1 or np.array_equal(first, second):
        return first
    if boundary <= 0:
        return second
    difference = second - first

    def paint(along: np.ndarray) -> np.ndarray:
        return first + np.clip((along - boundary) * 25 + 0.5, 0, 1)[..., None] * difference

    return paint


def _stripes(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
    return np.clip(np.sin(place * 34) * 3, 0, 1)


def _zip(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
    return (front > 0) * np.clip((0.15 - np.abs(left)) * 12, 0, 1)


def _buttons(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
    is_row = np.clip((np.cos(place * 28) - 0.3) * 4, 0, 1)
    return (front > 0) * is_row * np.clip((0.12 - np.abs(left)) * 14, 0, 1)


def _print(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
    is_near = np.maximum(np.abs(left) / 0.45, np.abs(place - 0.33) / 0.14)
    return (front > 0) * np.clip((1 - is_near) * 8, 0, 1)


def _belt(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
    return np.clip((0.06 - np.abs(place - 0.86)) * 40, 0, 1)


_PATTERN_MASKS = {
    "stripes": _stripes,
    "zip": _zip,
    "buttons": _buttons,
    "print": _print,
    "belt": _belt,
}


def paint_top(looks: Appearance) -> PaintFunction:
    """Paints the trunk: pattern, neckline, and the straps of a backpack."""
    pattern = _PATTERN_MASKS.get(looks.pattern)

    def paint(place: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
        color = np.broadcast_to(looks.top, (*place.shape, 3))
        if pattern is not None:
            color = color + pattern(place, front, left)[..., None] * (looks.trim - color)
        neckline = (front > 0) * np.clip((0.16 - place - np.abs(left) * 0.28) * 20, 0, 1)
        color = color + neckline[..., None] * (looks.skin - color)
        if looks.bag is not None:
            strap = (front > 0) * (place < 0.6) * np.clip((0.1 - np.abs(np.abs(left) - 0.5)) * 15, 0, 1)
            color = color + strap[..., None] * (0.8 * looks.bag - color)
        return color

    return paint


def _spot(distance: np.ndarray, radius: float) -> np.ndarray:
    return np.clip((1 - distance / radius) * 2.5, 0, 1)


def paint_head(looks: Appearance) -> PaintFunction:
    """Paints the head: hair or cap above the hairline, eyes, mouth, beard."""
    is_bald = looks.hair_style == "bald"
    hair = looks.trim if looks.hair_style == "cap" else looks.hair
    features = (
        (0.30, 0.10, 0.13, 0.15, (40.0, 30.0, 30.0)),
        (-0.30, 0.10, 0.13, 0.15, (40.0, 30.0, 30.0)),
        (0.0, -0.55, 0.26, 0.09, (150.0, 60.0, 60.0)),
    )

    def paint(up: np.ndarray, front: np.ndarray, left: np.ndarray) -> np.ndarray:
        color = np.broadcast_to(looks.skin, (*up.shape, 3))
        in_front = front > 0.15
        if looks.has_beard:
            beard = in_front * np.clip((-0.32 - up) * 10, 0, 1)
            color = color + 0.8 * beard[..., None] * (looks.hair - color)
        for x, y, width, height, feature in features:
            spot = _spot(np.hypot((left - x) / width, (up - y) / height), 1.0) * in_front
            color = color + spot[..., None] * (np.asarray(feature, np.float32) - color)
        hairline = np.clip(-0.2 + 0.9 * front, -0.75, 0.5)
        cover = np.clip((up - hairline) * 10, 0, 1)
        if is_bald:
            cover = cover * np.clip((0.35 - up) * 10, 0, 1)
        return color + cover[..., None] * (hair - color)

    return paint
