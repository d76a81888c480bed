"""Random changes of whole training frames, after Payer et al. 2017, section 4."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

import numpy as np

ScaleConvention = Literal["magnify", "divide"]


@dataclasses.dataclass(frozen=True)
class FrameAugmentation:
    """The ranges of the random changes of training frames. The defaults change nothing.

    The frame is mirrored, fitted to the network's input, shifted, turned about the input's middle and scaled about it,
    in this order.

    Attributes:
        mirror_probability: Probability of mirroring left to right.
        translation_pixels: Largest move along each axis, in pixels of the network's input, before turning and scaling.
        rotation_degrees: Largest rotation from x towards y; rotations are uniform in [-rotation_degrees,
            rotation_degrees].
        scale_range: Range of the scale, which is uniform.
        scale_convention: Meaning of the scale: 'magnify' shows the frame larger by it, 'divide' smaller, as in tools
            that apply the scale to the coordinates of the output.
        intensity_shift: Largest change that is added to the normalized picture, one value per frame.
        intensity_scale: Largest change of the factor on the sum; factors are uniform in [1 - intensity_scale, 1 +
            intensity_scale].
    """

    mirror_probability: float = 0.0
    translation_pixels: float = 0.0
    rotation_degrees: float = 0.0
    scale_range: tuple[float, float] = (1.0, 1.0)
    scale_convention: ScaleConvention = "magnify"
    intensity_shift: float = 0.0
    intensity_scale: float = 0.0

    def __post_init__(self) -> None:
        low, high = self.scale_range
        rules = {
            "mirror_probability": (0 <= self.mirror_probability <= 1, "lie in [0, 1]"),
            "translation_pixels": (0 <= self.translation_pixels < np.inf, "be at least 0 and finite"),
            "rotation_degrees": (0 <= self.rotation_degrees < np.inf, "be at least 0 and finite"),
            "scale_range": (0 < low <= high < np.inf, "be 0 < low <= high"),
            "scale_convention": (
                self.scale_convention in get_args(ScaleConvention),
                f"be one of {get_args(ScaleConvention)}",
            ),
            "intensity_shift": (0 <= self.intensity_shift < np.inf, "be at least 0 and finite"),
            "intensity_scale": (0 <= self.intensity_scale < 1, "lie in [0, 1)"),
        }
        for field, (is_kept, rule) in rules.items():
            if not is_kept:
                raise ValueError(f"frame augmentation: {field} must {rule}, got {getattr(self, field)!r}")


NO_FRAME_AUGMENTATION = FrameAugmentation()


def draw_frame_augmentation(settings: FrameAugmentation, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draws the parameters of `count` frames.

    Returns:
        is_mirrored [N] bool, translations [N, 2] (x, y) in input pixels, rotations_degrees [N], zooms [N] by which the
        frame is shown larger, intensity_shifts [N] float32, intensity_scales [N] float32.
    """
    is_mirrored = rng.random(count) < settings.mirror_probability
    translations = rng.uniform(-1, 1, (count, 2)) * settings.translation_pixels
    rotations = rng.uniform(-1, 1, count) * settings.rotation_degrees
    scales = rng.uniform(*settings.scale_range, count)
    return {
        "is_mirrored": is_mirrored,
        "translations": translations,
        "rotations_degrees": rotations,
        "zooms": scales if settings.scale_convention == "magnify" else 1 / scales,
        "intensity_shifts": (rng.uniform(-1, 1, count) * settings.intensity_shift).astype(np.float32),
        "intensity_scales": (1 + rng.uniform(-1, 1, count) * settings.intensity_scale).astype(np.float32),
    }


def augmented_from_input(drawn: dict[str, np.ndarray], input_size: tuple[int, int]) -> np.ndarray:
    """Returns the maps from fitted to augmented frames, both in input pixels.

    The middle of the input stays where it is but for the translation. Mirroring here is mirroring before the fit,
    which puts the frame's middle on the input's and scales both axes alike.

    Args:
        drawn: Values from `draw_frame_augmentation`.
        input_size: (height, width) of the input in pixels.

    Returns:
        [N, 2, 3] float64.
    """
    angles = np.radians(drawn["rotations_degrees"])
    cos, sin = drawn["zooms"] * np.cos(angles), drawn["zooms"] * np.sin(angles)
    turned = np.stack([cos, -sin, sin, cos], axis=-1).reshape(-1, 2, 2)
    signs = np.stack([np.where(drawn["is_mirrored"], -1.0, 1.0), np.ones(len(angles))], axis=-1)
    linear = turned * signs[:, None, :]
    middle = (np.array(input_size[::-1], np.float64) - 1) / 2
    offsets = middle + np.einsum("nij,nj->ni", turned, drawn["translations"]) - linear @ middle
    return np.concatenate([linear, offsets[..., None]], axis=-1)
